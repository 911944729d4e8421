"""The signature of a report, and whether an exported one is still what was signed.

Signed is SHA-256 over a domain separator and the report's canonical JSON, so that the signature can't be
passed off as one over something else that the same key signs.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from crypto_core.errors import KeydeckError
from crypto_core.incidents.report.json import as_json, canonical, written
from crypto_core.incidents.report.masking import shown
from crypto_core.incidents.report.parts import Report, Signed
from crypto_core.signing import Signature, Signer

DOMAIN = b"keydeck report v1\0"
NO_KEY = "No signing key is configured (KEYDECK_SIGNING_KEY)."

_MEMBERS = {"report", "sha256", "signature", "unsigned_because"}
_OF_SIGNATURE = {"key_arn", "algorithm", "signature"}


def digest_of(document: Mapping[str, Any]) -> bytes:
    """Return the 32 bytes that are signed for a report's JSON."""
    return hashlib.sha256(DOMAIN + canonical(document)).digest()


def sign(report: Report, signer: Signer | None, *, no_signer_because: str = NO_KEY) -> Signed:
    """Return the report with its signature, or with why it has none. KMS's refusal is such a reason."""
    digest = digest_of(as_json(report))
    if signer is None:
        return Signed(report, digest.hex(), None, no_signer_because)
    try:
        signature = signer.sign(digest)
    except KeydeckError as error:
        return Signed(report, digest.hex(), None, shown(error))
    return Signed(report, digest.hex(), signature)


def verify_report(text: str, signer: Signer) -> str | None:
    """Return None if an exported JSON report is what the configured key signed, else what is wrong.

    Every change is found, those of spacing included, but for line breaks at the end. Raises KmsError where
    KMS can't be asked.
    """
    try:
        whole = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return "It is not an exported report: it is not JSON, or a name stands in it twice."
    if not isinstance(whole, dict) or set(whole) != _MEMBERS or not isinstance(whole["report"], dict):
        return "It is not an exported report."
    try:
        # What can't be written as UTF-8 can't have been exported.
        same = written(whole).rstrip("\n").encode() == text.rstrip("\n").encode()
        digest = digest_of(whole["report"])
    except ValueError:
        return "It is not an exported report: it holds characters that no text can hold."
    if not same:
        return "It was written anew since it was exported: its spacing or order is another."
    if whole["sha256"] != digest.hex():
        return "It was changed: its content has another SHA-256 than the one that it names."
    if whole["signature"] is None:
        return f"It is not signed: {shown(whole['unsigned_because']) or 'no reason given'}"
    signature = _signature(whole["signature"])
    if signature is None or whole["unsigned_because"] != "":
        return "It was changed: what it says of its signature is no signature of a report."
    if not signer.verify(digest, signature):
        return "The signature is not by the configured key over this report."
    return None


def _signature(told: object) -> Signature | None:
    if not isinstance(told, dict) or set(told) != _OF_SIGNATURE:
        return None
    if not all(isinstance(value, str) for value in told.values()):
        return None
    try:
        value = b64decode(told["signature"], validate=True)
    except ValueError:
        return None
    signature = Signature(told["key_arn"], told["algorithm"], value)
    # Base64 spells some values in more than one way.
    return signature if signature.as_json() == told else None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # Readers differ in which of the two they take.
        raise ValueError("a name twice")
    return document


def _no_number(name: str) -> Any:
    raise ValueError(name)
