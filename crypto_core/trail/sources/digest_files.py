"""One digest file of CloudTrail's: what it says, whether CloudTrail signed it, whether it follows on another.

CloudTrail User Guide, "CloudTrail digest file structure" and "Custom implementations of CloudTrail log file
integrity validation".
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from crypto_core.aws.kms import KmsApi
from crypto_core.trail.record_reader import load_foreign
from crypto_core.trail.sources.source_calls import pages_of, why
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError
from crypto_core.values.json_records import JsonRecord

MOST_FILES = 100_000
_MOST_SENTENCES = 200
DIGEST_NAME = re.compile(r"(?P<chain>.+)_(?P<stamp>[0-9]{8}T[0-9]{6}Z)(?P<backfill>_backfill)?\.json\.gz")
_ALGORITHM = "SHA256withRSA"
_LARGEST_KEYS = 1024 * 1024
_BEFORE = timedelta(hours=2)
"""A digest is delivered up to about an hour after what it tells of."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest file as it was read. `hashed` is the SHA-256 of its content, in hexadecimal."""

    key: str
    hashed: str
    signature: str
    document: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str:
        value = self.document.get(name)
        return value if isinstance(value, str) else ""

    def files(self) -> list[Mapping[str, Any]] | None:
        """Return what it says of each log file; None where these are too many."""
        entries = self.document.get("logFiles")
        files = [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, list) else []
        return None if len(files) > MOST_FILES else files


@dataclass(frozen=True, slots=True)
class DigestTally(JsonRecord):
    """Counts of what digests say, added up, and what is wrong or worth a note, a sentence each."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Self) -> Self:
        both: dict[str, Any] = {
            name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__
        }
        sentences = {name: both[name][:_MOST_SENTENCES] for name in ("problems", "notes")}
        return type(self)(**(both | sentences))

    def but(self, problem: str, **counts: Any) -> Self:
        return self + type(self)(problems=(clean(problem, 600),), **counts)

    def noting(self, note: str) -> Self:
        return self + type(self)(notes=(clean(note, 600),))


def digest_of(key: str, body: bytes, signature: str) -> Digest | str:
    """Return the digest that is in an unpacked file, or why it is none."""
    try:
        document = load_foreign(body)
    except ValueError:
        return "it is not JSON."
    if not isinstance(document, Mapping):
        return "it is no digest."
    return Digest(key, hashlib.sha256(body).hexdigest(), signature, document)


def public_keys(
    kms: KmsApi, region: str, since: datetime, until: datetime, cancelled: Event | None
) -> dict[str, RSAPublicKey] | str:
    """Return CloudTrail's public keys of a window by fingerprint, or why they can't be had."""
    ask = partial(kms.read, "cloudtrail", "ListPublicKeys", region=region)
    window = {"StartTime": since - _BEFORE, "EndTime": until + _BEFORE}
    try:
        answers = list(pages_of(ask, cancelled, **window))
    except KmsError as error:
        return why(error)
    return keys_of(one for answer in answers for one in answer.get("PublicKeyList") or ())


def keys_in_file(path: Path) -> dict[str, RSAPublicKey] | str:
    """Return the public keys in what `aws cloudtrail list-public-keys` prints, or why there are none."""
    try:
        with path.open("rb") as file:
            document = load_foreign(file.read(_LARGEST_KEYS))
        listed = document["PublicKeyList"]
        found = keys_of({**one, "Value": base64.b64decode(one["Value"])} for one in listed)
    except OSError as error:
        return error.strerror or type(error).__name__
    except (ValueError, TypeError, LookupError):
        return "the file is not what list-public-keys prints."
    return found or "the file has no RSA key."


def keys_of(listed: Iterable[Mapping[str, Any]]) -> dict[str, RSAPublicKey]:
    """Return the public keys of an answer of ListPublicKeys by fingerprint, without those of another kind."""
    found: dict[str, RSAPublicKey] = {}
    for one in listed:
        try:
            key = load_der_public_key(bytes(one.get("Value") or b""))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPublicKey):
            found[str(one.get("Fingerprint"))] = key
    return found


def signed_text(document: Mapping[str, Any], hashed: str) -> bytes:
    """Return what CloudTrail signs of a digest; the first of a chain has no signature before it."""
    before = document.get("previousDigestSignature")
    place = f"{document.get('digestS3Bucket')}/{document.get('digestS3Object')}"
    return "\n".join(
        (str(document.get("digestEndTime")), place, hashed, before if isinstance(before, str) else "null")
    ).encode("utf-8", "replace")


def wrong(digest: Digest, bucket: str, keys: Mapping[str, RSAPublicKey]) -> str:
    """Return what is wrong with a digest by itself; "" for nothing."""
    if digest.text("digestS3Bucket") != bucket or digest.text("digestS3Object") != digest.key:
        return "it was moved here from elsewhere."
    if digest.text("digestSignatureAlgorithm") != _ALGORITHM:
        return "it is signed in a way that CloudTrail doesn't use."
    key = keys.get(digest.text("digestPublicKeyFingerprint"))
    if key is None:
        return "CloudTrail has no public key of its fingerprint."
    try:
        signature = bytes.fromhex(digest.signature)
        key.verify(signature, signed_text(digest.document, digest.hashed), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return "the signature doesn't match."
    return ""


def broken(later: Digest, earlier: Digest, bucket: str) -> str:
    """Return what breaks the chain between two digests that follow each other; "" for nothing."""
    before = later.text("previousDigestS3Object")
    if not before:
        return "the chain starts over here: logging or validation was switched off before."
    if before != earlier.key or later.text("previousDigestS3Bucket") != bucket:
        return f"the digest before it is missing: {clean(before, 300)}."
    if later.text("previousDigestHashValue").lower() != earlier.hashed:
        return "the digest before it is another one than it was."
    if later.text("previousDigestSignature").lower() != earlier.signature.lower():
        return "the digest before it has another signature than it had."
    return ""
