"""A pack of evidence: its folder, of which nothing is trusted, its manifest, its seal, and what it holds.

manifest.json is canonical JSON and a line end; signature.json is {"sha256", "signature", "unsigned_because"}
over the manifest's text without its line end.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Callable

from crypto_core.compliance.proof.records import (
    PackedRecord,
    left_out,
    packed_records,
    signed_digest,
    wrong_records,
    wrong_signatures,
)
from crypto_core.proof.forms import (
    LARGEST_LINE,
    UNREADABLE,
    Anchor,
    Ask,
    Signature,
    StampTime,
    canonical,
    digest_of,
    document_of,
    export_head,
    export_lines,
    kept_anchors,
    moment_in,
    number_in,
    signature_in,
    text_in,
)
from crypto_core.proof.journal import JournalVerdict, JournalVerification

MANIFEST, SEAL = "manifest.json", "signature.json"
RECORDS, JOURNAL, ANCHORS = "records.jsonl", "journal.jsonl", "anchors.jsonl"
PACK_PURPOSE = "evidence pack"
PACK_FORM = 1
LARGEST = 512 * 1024 * 1024
"""Bytes of a file that is read; a pack of a year has some MB."""
_TEXTS = ("database_id", "framework", "made_by", "version", "seed")
_PART = 1024 * 1024


class UnreadablePackError(OSError):
    """A folder, or a file in it, can't be read."""


@dataclass(frozen=True)
class PackedFolder:
    """A folder that may be a pack: no link in it is followed."""

    path: Path

    def names(self) -> dict[str, bool]:
        """Return what is in it, and whether that is a plain file. Raises UnreadablePackError."""
        try:
            with os.scandir(self.path) as found:
                return {one.name: one.is_file(follow_symlinks=False) for one in found}
        except OSError as error:
            raise UnreadablePackError(f"{self.path} can't be read: {error.strerror}.") from error

    def content(self, name: str) -> bytes:
        return b"".join(self._parts(name))

    def digest(self, name: str) -> tuple[int, str]:
        """Return how many bytes a file has, and their SHA-256 in hex. Raises UnreadablePackError."""
        state, size = hashlib.sha256(), 0
        for part in self._parts(name):
            state.update(part)
            size += len(part)
        return size, state.hexdigest()

    def lines(self, name: str) -> Iterator[bytes]:
        return self._parts(name, lines=True)

    def _parts(self, name: str, *, lines: bool = False) -> Iterator[bytes]:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path / name, flags)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                whole = stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST
                while whole and (part := file.readline(LARGEST_LINE) if lines else file.read(_PART)):
                    yield part
        except (OSError, ValueError) as error:
            raise UnreadablePackError(f"{self.path / name} can't be read: {error}.") from error
        if not whole:
            told = f"{self.path / name} is no plain file, or larger than {LARGEST:,} bytes."
            raise UnreadablePackError(told)


@dataclass(frozen=True)
class PackedFile:
    """A file of a pack: its name, its bytes, and their SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class PackManifest:
    """What a pack says of itself. `keys` are public keys by ARN, for those that AWS gives out."""

    database_id: str
    since: date
    until: date
    framework: str
    made_at: datetime
    made_by: str
    version: str
    seed: str
    records: Mapping[str, Any]
    journal: Mapping[str, Any]
    keys: Mapping[str, Mapping[str, Any]]
    files: tuple[PackedFile, ...]

    def text(self) -> str:
        return canonical(
            {
                "keydeck_evidence_pack": PACK_FORM,
                **{name: str(getattr(self, name)) for name in _TEXTS},
                "since": self.since.isoformat(),
                "until": self.until.isoformat(),
                "made_at": self.made_at.isoformat(),
                "records": dict(self.records),
                "journal": dict(self.journal),
                "keys": {arn: dict(key) for arn, key in self.keys.items()},
                "files": [one.as_json() for one in sorted(self.files, key=lambda one: one.path)],
            }
        )


def read_manifest(content: bytes) -> PackManifest:
    """Return the manifest of a file. Raises ValueError for any other content, also one in another spacing."""
    try:
        told = document_of(content)
        found = PackManifest(
            text_in(told["database_id"]),
            date.fromisoformat(told["since"]),
            date.fromisoformat(told["until"]),
            text_in(told["framework"]),
            moment_in(told["made_at"]),
            *(text_in(told["made_by"]), text_in(told["version"]), text_in(told["seed"])),
            *(dict(told["records"]), dict(told["journal"])),
            {text_in(arn): dict(key) for arn, key in told["keys"].items()},
            tuple(
                PackedFile(text_in(one["path"]), number_in(one["bytes"]), text_in(one["sha256"]))
                for one in told["files"]
            ),
        )
        same = found.text().encode() + b"\n" == content
    except UNREADABLE as error:
        raise ValueError("it is no manifest of a pack") from error
    if any(one.path in ("", ".", "..") or "/" in one.path or "\0" in one.path for one in found.files):
        raise ValueError("a file's name leads elsewhere")
    if not same:
        raise ValueError("it is no manifest as Keydeck writes it")
    return found


@dataclass(frozen=True)
class PackSignature:
    """The signature over a manifest, or why there is none."""

    sha256: str
    """Of the manifest's text, in hex."""
    signature: Signature | None
    unsigned_because: str

    @staticmethod
    def digest_of(manifest: str) -> str:
        """Return the SHA-256 of a manifest's text, in hex."""
        return hashlib.sha256(manifest.encode()).hexdigest()

    def text(self) -> str:
        signature = self.signature.as_json() if self.signature else None
        told = {"sha256": self.sha256, "signature": signature}
        return canonical({**told, "unsigned_because": str(self.unsigned_because)}) + "\n"


def signed_manifest(manifest: str) -> bytes:
    return digest_of(PACK_PURPOSE, manifest)


def read_seal(content: bytes) -> PackSignature:
    """Return the signature of a file. Raises ValueError for any other content."""
    try:
        told = document_of(content)
        signature = None if told["signature"] is None else signature_in(told["signature"])
        found = PackSignature(text_in(told["sha256"]), signature, text_in(told["unsigned_because"]))
    except UNREADABLE as error:
        raise ValueError("it is no signature of a pack") from error
    if found.text().encode() != content:
        raise ValueError("it is no signature as Keydeck writes it")
    return found


@dataclass
class PackVerdict:
    """What a pack proves. Where something is wrong, the rest is a mere claim."""

    wrong: dict[str, None] = field(default_factory=dict)
    unproved: dict[str, None] = field(default_factory=dict)
    """Why nothing is proved though nothing is wrong."""
    manifest: PackManifest | None = None
    seal: PackSignature | None = None
    records: tuple[PackedRecord, ...] = ()
    removed: tuple[int, ...] = ()
    """Records of the period whose documents were taken away, as the journal tells."""
    journal: JournalVerdict | None = None

    @property
    def unsigned(self) -> tuple[int, ...]:
        return tuple(one.number for one in self.records if one.link.signature is None)

    @property
    def days(self) -> tuple[date, ...]:
        """The days of the period of which there is a record."""
        told = self.manifest
        found = {one.day for one in self.records if told and told.since <= one.day <= told.until}
        return tuple(sorted(found))

    @property
    def gaps(self) -> tuple[date, ...]:
        """The days of the period whose record is missing."""
        told = self.manifest
        if told is None:
            return ()
        there = set(self.days)
        due = islice(days_of(told.since, told.until, told.made_at, there), 4_000)
        return tuple(day for day in due if day not in there)


def days_of(since: date, until: date, made_at: datetime, recorded: Iterable[date]) -> Iterator[date]:
    """Yield the days of a period that are over, and today if there is a record of it already."""
    today = made_at.date()
    is_due = today in set(recorded)
    days = (since + timedelta(days=n) for n in range((min(until, today) - since).days + 1))
    return (day for day in days if day < today or is_due)


def prove_pack(
    folder: PackedFolder,
    ask_by: Callable[[PackManifest], Ask],
    *,
    given: Sequence[Anchor] = (),
    stamp_time: StampTime | None = None,
    also: Iterable[str] = (),
) -> PackVerdict:
    """Return what a pack proves. `ask_by` gives what verifies its signatures.

    `given` are anchors that whoever verifies has kept, `also` problems that were found before. Raises
    UnreadablePackError for a folder that can't be read.
    """
    found = PackVerdict(dict.fromkeys(also))
    names = folder.names()
    if not names.get(MANIFEST):
        found.wrong[f"{MANIFEST} is missing, or no plain file: this is no evidence pack."] = None
        return found
    try:
        manifest = found.manifest = read_manifest(folder.content(MANIFEST))
    except ValueError as error:
        found.wrong[f"{MANIFEST} was changed, or is none: {error}."] = None
        return found
    ask = ask_by(manifest)
    try:
        found.wrong.update(dict.fromkeys(_wrong_files(folder, manifest)))
        _prove_seal(folder, names, manifest, ask, found)
        _prove_records(folder, names, manifest, found)
        _prove_journal(folder, names, manifest, ask, found, given, stamp_time)
    except UnreadablePackError as error:
        found.wrong[str(error)] = None
    found.wrong.pop("", None)
    return found


def _wrong_files(folder: PackedFolder, manifest: PackManifest) -> Iterator[str]:
    there = folder.names()
    listed = {one.path: one for one in manifest.files}
    if len(listed) != len(manifest.files):
        yield "The manifest lists a file twice."
    for name in sorted(there.keys() - listed.keys() - {MANIFEST, SEAL}):
        yield f"{name} is in the folder, and not in the manifest."
    for name, file in sorted(listed.items()):
        if name not in there:
            yield f"{name} is missing."
        elif not there[name]:
            yield f"{name} is no plain file."
        elif folder.digest(name) != (file.bytes, file.sha256):
            yield f"{name} was changed: it has another SHA-256 than the manifest says."


def _prove_seal(
    folder: PackedFolder, names: Mapping[str, bool], manifest: PackManifest, ask: Ask, found: PackVerdict
) -> None:
    if not names.get(SEAL):
        found.wrong[f"{SEAL} is missing, or no plain file: the pack is not signed."] = None
        return
    try:
        seal = found.seal = read_seal(folder.content(SEAL))
    except ValueError as error:
        found.wrong[f"{SEAL} was changed, or is none: {error}."] = None
        return
    text = manifest.text()
    if seal.sha256 != PackSignature.digest_of(text):
        found.wrong[f"{MANIFEST} was changed: it has another SHA-256 than {SEAL} says."] = None
    elif seal.signature is None:
        why = seal.unsigned_because or "no reason given"
        found.wrong[f"The pack is not signed, and so proves nothing: anybody can make another. {why}"] = None
    elif seal.unsigned_because:
        found.wrong[f"{SEAL} was changed: it has a signature, and says why it has none."] = None
    elif seal.signature.key_arn not in manifest.keys:
        found.wrong[f"{SEAL} was changed: it names a key that {MANIFEST} does not."] = None
    else:
        answer = ask([(signed_manifest(text), seal.signature, None)])[0]
        if answer.valid is None:
            found.unproved[f"The signature was not checked: {answer.why}"] = None
        elif answer.why:
            found.wrong[f"The pack's signature does not count. {answer.why}"] = None
        elif not answer.valid:
            found.wrong["The pack is not signed by the key over this manifest."] = None


def _prove_records(
    folder: PackedFolder, names: Mapping[str, bool], manifest: PackManifest, found: PackVerdict
) -> None:
    if not names.get(RECORDS):
        found.wrong[f"{RECORDS} is missing, or no plain file."] = None
        return
    read = list(packed_records(RECORDS, folder.content(RECORDS)))
    found.wrong.update(dict.fromkeys(one for one in read if isinstance(one, str)))
    found.records = tuple(one for one in read if not isinstance(one, str))
    within = [one for one in found.records if manifest.since <= one.day <= manifest.until]
    told = {
        "first": within[0].number if within else 0,
        "last": within[-1].number if within else 0,
        "sha256_of_last": within[-1].link.digest.hex() if within else "",
    }
    if told != manifest.records:
        found.wrong[f"{RECORDS} holds other records than {MANIFEST} says."] = None


def _prove_journal(
    folder: PackedFolder,
    names: Mapping[str, bool],
    manifest: PackManifest,
    ask: Ask,
    found: PackVerdict,
    given: Sequence[Anchor],
    stamp_time: StampTime | None,
) -> None:
    """Verify the journal, and the records by what it names."""
    if not names.get(JOURNAL):
        found.wrong[f"{JOURNAL} is missing, or no plain file."] = None
        return
    own: list[Anchor] = []
    for one in kept_anchors(ANCHORS, folder.content(ANCHORS)) if names.get(ANCHORS) else ():
        if isinstance(one, str):
            found.wrong[one] = None
        else:
            own.append(one)
    lines = folder.lines(JOURNAL)
    last, stored, fault = export_head(JOURNAL, next(lines, b""))
    verification = JournalVerification(
        *(last, stored, own),
        given=given,
        database_id=manifest.database_id,
        stamp_time=stamp_time,
        wanted=[one.journal_seq for one in found.records],
    )
    verification.follow(export_lines(JOURNAL, lines))
    end = verification.chain.last
    told = {"first": 1, "last": end.seq, "digest": end.digest.hex()} if end else None
    if told is not None and told != manifest.journal:
        found.wrong[f"{JOURNAL} is another journal than {MANIFEST} says."] = None
    verdict = found.journal = verification.judge(ask, also=[fault])
    found.wrong.update(dict.fromkeys(f"Journal: {one}" for one in verdict.problems))
    if verdict.unchecked:
        why = f"Signatures of the journal's checkpoints were not checked: {verdict.unchecked}"
        found.unproved[why] = None
    named, records = verification.records, found.records
    found.wrong.update(
        dict.fromkeys(wrong_records(records, named, verification.digests, manifest.database_id))
    )
    found.wrong.update(dict.fromkeys(left_out(records, named, manifest.since, manifest.until)))
    there = {one.number for one in records}
    found.removed = tuple(n for n in sorted(named.by_number) if n not in there and named.removed(n))
    signed = [(one.link, signed_digest(one.document)) for one in records]
    wrong, unchecked = wrong_signatures(signed, named, ask)
    found.wrong.update(dict.fromkeys(wrong))
    if unchecked:
        found.unproved[f"Signatures of records were not checked: {unchecked}"] = None
