"""The manifest of a pack, which names every file, and the signature over it.

manifest.json is canonical JSON and a line end; signature.json is {"sha256", "signature", "unsigned_because"}
over the manifest's text without its line end.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any

from crypto_core.compliance.records.record import canonical
from crypto_core.guard.signature import Signature, digest_of
from crypto_core.text.cleaning import CleanText, clean, cleans

FORM = 1
PURPOSE = "evidence pack"
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
_PACK = "keydeck_evidence_pack"
_MEMBERS = {
    *(_PACK, "database_id", "since", "until", "framework", "made_at", "made_by", "version", "seed"),
    *("records", "journal", "keys", "files"),
}


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a pack: its name, its bytes, and their SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """The manifest's entry."""
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
@cleans(500, raw=("files", "keys", "records", "journal"))
class Manifest:
    """What a pack says of itself. `keys` are public keys by ARN, for those that AWS gives out."""

    database_id: CleanText
    since: date
    until: date
    framework: CleanText
    made_at: datetime
    made_by: CleanText
    version: CleanText
    seed: CleanText
    records: Mapping[str, Any]
    journal: Mapping[str, Any]
    keys: Mapping[str, Mapping[str, Any]]
    files: tuple[PackedFile, ...]

    def text(self) -> str:
        """The manifest as it is signed, without a line end."""
        return canonical(
            {
                _PACK: FORM,
                "database_id": self.database_id,
                "since": self.since.isoformat(),
                "until": self.until.isoformat(),
                "framework": self.framework,
                "made_at": self.made_at.isoformat(),
                "made_by": self.made_by,
                "version": self.version,
                "seed": self.seed,
                "records": dict(self.records),
                "journal": dict(self.journal),
                "keys": {arn: dict(key) for arn, key in self.keys.items()},
                "files": [one.as_json() for one in sorted(self.files, key=lambda one: one.path)],
            }
        )


@dataclass(frozen=True, slots=True)
@cleans(unsigned_because=500)
class PackSignature:
    """The signature over a manifest, or why there is none."""

    sha256: str
    """Of the manifest's text, in hex."""
    signature: Signature | None
    unsigned_because: CleanText

    @staticmethod
    def digest_of(manifest: str) -> str:
        """Return the SHA-256 of a manifest's text, in hex."""
        return hashlib.sha256(manifest.encode()).hexdigest()

    def text(self) -> str:
        """The file's content, with its line end."""
        signature = self.signature.as_json() if self.signature else None
        told = {
            "sha256": self.sha256,
            "signature": signature,
            "unsigned_because": str(self.unsigned_because),
        }
        return canonical(told) + "\n"


def signed_digest(manifest: str) -> bytes:
    """Return the 32 bytes that are signed for a manifest's text."""
    return digest_of(PURPOSE, manifest)


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest of a file. Raises ValueError for any other content, also one in another spacing."""
    told = _canonical_document(content)
    if set(told) != _MEMBERS or told[_PACK] != FORM:
        raise ValueError("it is no manifest of a pack")
    try:
        found = Manifest(
            *(clean(told["database_id"], 500), date.fromisoformat(told["since"])),
            *(date.fromisoformat(told["until"]), clean(told["framework"], 500)),
            *(datetime.fromisoformat(told["made_at"]), clean(told["made_by"], 500)),
            *(clean(told["version"], 500), clean(told["seed"], 500)),
            *(dict(told["records"]), dict(told["journal"])),
            {str(arn): dict(key) for arn, key in told["keys"].items()},
            tuple(
                PackedFile(_name(one["path"]), int(one["bytes"]), str(one["sha256"])) for one in told["files"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is no manifest of a pack") from error
    if found.text().encode() + b"\n" != content:
        raise ValueError("it is no manifest as Keydeck writes it")
    return found


def read_signature(content: bytes) -> PackSignature:
    """Return the signature of a file. Raises ValueError for any other content."""
    told = _canonical_document(content)
    if set(told) != {"sha256", "signature", "unsigned_because"}:
        raise ValueError("it is no signature of a pack")
    try:
        signature = told["signature"]
        found = PackSignature(
            str(told["sha256"]),
            signature and signature_of(signature),
            clean(told["unsigned_because"], 500),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is no signature of a pack") from error
    if found.text().encode() != content:
        raise ValueError("it is no signature as Keydeck writes it")
    return found


def signature_of(told: Mapping[str, Any]) -> Signature:
    """Return the signature that a document tells. Raises ValueError, KeyError, TypeError for what is none."""
    value = b64decode(told["signature"], validate=True)
    found = Signature(str(told["key_arn"]), str(told["algorithm"]), value)
    if found.as_json() != told:
        raise ValueError("it is no signature")  # Base64 spells some values in more than one way
    return found


def _canonical_document(content: bytes) -> dict[str, Any]:
    """The document of a file that holds canonical JSON and a line end. Raises ValueError."""
    try:
        told = json.loads(content)
        same = isinstance(told, dict) and canonical(told).encode() + b"\n" == content
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not same:
        raise ValueError("it is not written as Keydeck writes it")
    found: dict[str, Any] = told
    return found


def _name(path: Any) -> str:
    """A file's name. Raises ValueError for one that leads elsewhere."""
    if not isinstance(path, str) or path in ("", ".", "..") or PurePosixPath(path).name != path:
        raise ValueError("a file's name leads elsewhere")
    return path
