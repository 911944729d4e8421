"""The signature of a report, and whether an exported one is still what was signed.

Signed is the digest of guard.signature over the report's canonical JSON, for a purpose of its own, so that
the signature can't be passed off as one over something else that the same key signs.

The exported document is {"report": …, "sha256": …, "signature": … or null, "unsigned_because": …}. The report
has "schema" and "schema_version"; the version goes up whenever a member is renamed, removed or comes to mean
something else, not when one is added. Its members are the fields of all sections. Moments are ISO 8601 in
UTC, durations are in seconds, what isn't known is null.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.guard.signature import Signature, Signer, SigningTime, digest_of
from crypto_core.incidents.report.section import Report, Signed
from crypto_core.proof.forms import another_database
from crypto_core.reports.foreign_text import shown
from crypto_core.reports.json import canonical, json_value, written
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import EndedKeyError, KeydeckError, RefusedError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import in_utc

SCHEMA = "keydeck incident report"
SCHEMA_VERSION = 1

PURPOSE = "incident report"
NO_KEY = "No signing key is configured (KEYDECK_SIGNING_KEY)."
_MEMBERS = {"report", "sha256", "signature", "unsigned_because"}
_OF_SIGNATURE = {"key_arn", "algorithm", "signature"}


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON document's part."""
    members: dict[str, Any] = {}
    for section in report.sections:
        members |= json_value(section)
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **members}


def exported(signed: Signed) -> str:
    """Return the document that is exported, with a line break at its end."""
    return written(
        {
            "report": as_json(signed.report),
            "sha256": signed.sha256,
            "signature": signed.signature.as_json() if signed.signature else None,
            "unsigned_because": signed.unsigned_because,
        }
    )


@dataclass(frozen=True, slots=True)
class ReportCheck(JsonRecord):
    """What an exported report proves. Where something is wrong, the rest is a mere claim. Cleaned text."""

    wrong: str = ""
    """What is wrong, in a sentence; "" if the report is what the configured key signed."""
    name: str = ""
    state: str = ""
    made_at: str = ""
    sha256: str = ""
    key_arn: str = ""
    """The key that the report names as its signer's, "" if it names none."""
    algorithm: str = ""
    database_id: str = ""
    """The id of the journal's database that the report names, "" if it names none."""
    signed_by: str = ""
    """By when it was signed, as the journal has it; "" if that doesn't record it."""

    json_shape = shape(
        "proved wrong? incident=name? state? made_at? sha256? key_arn? algorithm? database_id? signed_by?"
    )

    @property
    def proved(self) -> bool:
        return not self.wrong


def digest_of_report(document: Mapping[str, Any]) -> bytes:
    """Return the 32 bytes that are signed for a report's JSON."""
    return digest_of(PURPOSE, canonical(document))


def sign(report: Report, signer: Signer | None, *, no_signer_because: str = NO_KEY) -> Signed:
    """Return the report with its signature, or with why it has none. KMS's refusal is such a reason."""
    digest = digest_of_report(as_json(report))
    if signer is None:
        return Signed(report, digest.hex(), None, no_signer_because)
    try:
        signature = signer.sign(digest)
    except KeydeckError as error:
        return Signed(report, digest.hex(), None, shown(error))
    return Signed(report, digest.hex(), signature)


def check_report(
    text: str,
    signer: Signer | None,
    *,
    no_signer_because: str = NO_KEY,
    database_id: str = "",
    signed_at: Callable[[str], SigningTime | None] = lambda _: None,
) -> ReportCheck:
    """Return whether an exported JSON report is what the configured key signed, or what is wrong with it.

    `database_id` is the id of the journal's database that it must be of; a report that names none is of any.
    `signed_at` returns by when a report of that SHA-256 was signed, by another's word than the signer's.

    Every change is found, those of spacing included, but for line breaks at the end. Raises RefusedError for
    a signed one where there is no signer, KmsError where KMS can't be asked.
    """
    try:
        whole = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return ReportCheck("It is not an exported report: it is not JSON, or a name stands in it twice.")
    if not isinstance(whole, dict) or set(whole) != _MEMBERS or not isinstance(whole["report"], dict):
        return ReportCheck("It is not an exported report.")
    try:
        # What can't be written as UTF-8 can't have been exported.
        same = written(whole).rstrip("\n").encode() == text.rstrip("\n").encode()
        digest = digest_of_report(whole["report"])
    except (ValueError, RecursionError):
        return ReportCheck("It is not an exported report: it holds what no report can hold.")
    signature = _signature(whole["signature"])
    when = None
    wrong = _changed(whole, digest, same=same, signature=signature)
    if not wrong and signature is not None:
        if signer is None:
            raise RefusedError(
                f"The report can't be verified: {no_signer_because}",
                remedy=f"It names {clean(signature.key_arn, 300)} as its key: configure it if it is yours.",
            )
        when = signed_at(digest.hex())
        try:
            if not signer.verify(digest, signature, when):
                wrong = "The signature is not by the configured key over this report."
        except EndedKeyError as error:
            wrong = f"The signature does not count. {error.message}"
    named = clean(whole["report"].get("database_id"), 100)
    wrong = wrong or another_database("The report", database_id, named)
    head = whole["report"].get("head")
    told = head if isinstance(head, dict) else {}
    return ReportCheck(
        wrong,
        clean(told.get("name"), 40),
        clean(told.get("state"), 40),
        clean(told.get("made_at"), 40),
        digest.hex(),
        clean(signature.key_arn, 300) if signature else "",
        clean(signature.algorithm, 60) if signature else "",
        named,
        f"{in_utc(when.at)}, {when.evidence}" if when else "",
    )


def _changed(whole: Mapping[str, Any], digest: bytes, *, same: bool, signature: Signature | None) -> str:
    if not same:
        return "It was rewritten after its export: its spacing or order differs."
    if whole["sha256"] != digest.hex():
        return "It was changed: its content has another SHA-256 than the one that it names."
    if whole["signature"] is None:
        why = shown(whole["unsigned_because"]) or "no reason given"
        return (
            f"It is not signed, and so proves nothing: anyone who changes it can recompute its SHA-256. {why}"
        )
    if signature is None or whole["unsigned_because"] != "":
        return "It was changed: what it says of its signature is no signature of a report."
    return ""


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
