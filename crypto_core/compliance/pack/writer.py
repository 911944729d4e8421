"""Writes a pack: a new folder of documents, records, the journal and what vouches for them, signed once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crypto_core.compliance.control import ControlCatalogue
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.documents import (
    DOCUMENTS,
    README,
    PackDocument,
    hidden_tokens,
    made_documents,
    readme,
)
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.proof import pack
from crypto_core.compliance.proof.records import record_line
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_export import journal_lines
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import Signature, Signer
from crypto_core.lists.new_files import ExportError, followed
from crypto_core.proof.journal import NOT_ANCHORED
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import DatabaseError, KeydeckError
from crypto_core.values.json_records import JsonRecord, shape

_log = logging.getLogger(__name__)

ACTION = "evidence pack"
"""What the journal calls a pack that was made."""
NO_KEY = "No signing key is configured (KEYDECK_SIGNING_KEY)."


@dataclass(frozen=True, slots=True)
@cleans(500, raw=("path", "signature"))
class PackMade(JsonRecord):
    """A pack that was written. `sha256`, in hex, is that of its manifest, as the journal names it."""

    path: Path
    sha256: str
    files: int
    bytes: int
    signature: Signature | None
    unsigned_because: CleanText
    left_out: tuple[CleanText, ...] = ()
    unjournaled: CleanText = NO_TEXT
    """Why the journal doesn't name it, "" where it does."""

    json_shape = shape(
        "path sha256 files bytes signature unsigned_because? left_out not_journaled_because=unjournaled?",
        path=lambda record: clean(record.path, 500),
    )


@dataclass(eq=False)
class PackWriter:
    """Makes packs. Blocks on SQL, and on KMS for the signature."""

    checkpoints: JournalCheckpoints
    signer: Signer | None
    before: Callable[[int], EvidenceRecord | None]
    """Gives the record before a number."""
    catalogues: Callable[[], Sequence[ControlCatalogue]]
    public_keys: Callable[[Collection[str]], Mapping[str, Mapping[str, Any]]]
    """Gives those of the signing keys with these ARNs, which signatures name, by ARN."""
    _: KW_ONLY
    version: str
    host: str = ""
    read_only: bool = False
    documents: Sequence[PackDocument] = DOCUMENTS
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._journal = self.checkpoints.journal

    def write(self, period: AuditPeriod, target: Path) -> PackMade:
        """Write a pack of a period to a new folder.

        Raises ExportError for a folder that is there or can't be written, DatabaseError. Where it can't be
        signed it says why.
        """
        anchors = [one.line() for one in self.checkpoints.anchoring.read().anchors]
        left_out = tuple(one.missing for one in self.documents if one.missing)
        if not anchors and self.checkpoints.anchoring.roots is None:
            left_out += (clean(NOT_ANCHORED),)
        made_by = clean(self._journal.actor(), 500)
        context = PackContext(
            *(clean(self._journal.database_id()), clean(self.version), self.clock(), made_by),
            *(clean(self.host), tuple(self.catalogues()), left_out),
        )
        with new_folder(target) as folder:
            files, journal = self._write_files(folder, hidden_tokens(period), context, anchors)
            manifest, signature, why = self._signed(self._manifest(period, context, files, journal))
            folder.write(pack.MANIFEST, [manifest.encode() + b"\n"])
            sha256 = pack.PackSignature.digest_of(manifest)
            folder.write(pack.SEAL, [pack.PackSignature(sha256, signature, clean(why, 500)).text().encode()])
        size = sum(one.bytes for one in files) + len(manifest) + 1
        unjournaled = self._record(period, sha256, signature, why)
        return PackMade(
            *(target, sha256, len(files) + 2, size, signature),
            *(clean(why, 500), left_out, clean(unjournaled, 500)),
        )

    def _write_files(
        self, folder: NewFolder, period: AuditPeriod, context: PackContext, anchors: Sequence[bytes]
    ) -> tuple[list[pack.PackedFile], dict[str, Any]]:
        files: list[pack.PackedFile] = []

        def write(name: str, parts: Iterable[bytes]) -> None:
            files.append(pack.PackedFile(name, *folder.write(name, parts)))

        ends: list[dict[str, Any]] = []
        write(pack.JOURNAL, _noting_ends(journal_lines(self.checkpoints), ends))
        write(pack.RECORDS, map(_record_line, self._records(period)))
        if anchors:
            write(pack.ANCHORS, anchors)
        for name, content in made_documents(period, context, self.documents):
            write(name, [content])
        write(README, [readme(period, context)])
        first, last = (ends[0], ends[-1]) if ends else ({}, {})
        journal = {"first": first.get("seq", 0), "last": last.get("seq", 0), "digest": last.get("digest", "")}
        return files, journal

    def _records(self, period: AuditPeriod) -> tuple[EvidenceRecord, ...]:
        """Those of the period, and the one before, which the first one names."""
        records = tuple(period.records)
        before = self.before(records[0].number) if records else None
        return (before, *records) if before else records

    def _manifest(
        self,
        period: AuditPeriod,
        context: PackContext,
        files: Sequence[pack.PackedFile],
        journal: Mapping[str, Any],
    ) -> pack.PackManifest:
        records = period.records
        last = records[-1] if records else None
        named = {one.signature.key_arn for one in records if one.signature}
        return pack.PackManifest(
            context.database_id,
            period.since,
            period.until,
            period.framework,
            context.made_at,
            context.made_by,
            context.version,
            period.seed,
            {
                "first": records[0].number if records else 0,
                "last": last.number if last else 0,
                "sha256_of_last": last.digest.hex() if last else "",
            },
            journal,
            self.public_keys(named),
            tuple(files),
        )

    def _signed(self, manifest: pack.PackManifest) -> tuple[str, Signature | None, str]:
        """Return the manifest's text with the signature over it, or with why there is none.

        The manifest names the key that signs it: whoever renames the key in the signature is found.
        """
        text = manifest.text()
        if self.signer is None:
            return text, None, NO_KEY
        try:
            signature = self.signer.sign(pack.signed_manifest(text))
            if signature.key_arn not in manifest.keys:
                unknown = {signature.key_arn: {"algorithm": signature.algorithm, "public_key": None}}
                text = replace(manifest, keys={**manifest.keys, **unknown}).text()
                signature = self.signer.sign(pack.signed_manifest(text))
        except KeydeckError as error:
            return text, None, error.message
        return text, signature, ""

    def _record(self, period: AuditPeriod, sha256: str, signature: Signature | None, why: str) -> str:
        """Journal the pack; returns why that failed, "" where it didn't."""
        if self.read_only:
            return "Keydeck is in read-only mode."
        detail = {
            "sha256": sha256,
            "since": period.since.isoformat(),
            "until": period.until.isoformat(),
            "framework": period.framework,
            "signature": signature.as_json() if signature else None,
            "unsigned_because": why,
        }
        subject = f"{ACTION} {period.since.isoformat()}..{period.until.isoformat()}"
        try:
            self._journal.record(ACTION, subject, Outcome.DONE, detail)
        except DatabaseError as error:
            _log.warning("An evidence pack was not journaled: %s", error.message)
            return error.message
        return ""


def _record_line(one: EvidenceRecord) -> bytes:
    return record_line(one.document, one.signature, str(one.unsigned_because)).encode()


def _noting_ends(lines: Iterator[str], ends: list[dict[str, Any]]) -> Iterator[bytes]:
    yield next(lines).encode()
    first = last = ""
    for line in lines:
        first, last = first or line, line
        yield line.encode()
    ends += [json.loads(line) for line in (first, last) if line]


class NewFolder:
    """A folder that is being filled. What is written is on the disk when `write` returns."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._names: list[str] = []

    def write(self, name: str, parts: Iterable[bytes]) -> tuple[int, str]:
        """Write a new file for its owner alone; return its bytes and SHA-256 in hex. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(self._place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._names.append(name)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(descriptor)
        return size, digest.hexdigest()

    def remove(self) -> None:
        for name in self._names:
            (self._place / name).unlink(missing_ok=True)
        with suppress(OSError):
            self._place.rmdir()


@contextmanager
def new_folder(path: Path) -> Iterator[NewFolder]:
    """Give a new folder (mode 700), which appears under its name once the block has ended well.

    Nothing is left of it otherwise; a process that is killed leaves a hidden folder beside it. Raises
    ExportError for what is there already or can't be written.
    """
    if os.path.lexists(path):
        raise ExportError(f"{path} already exists.", remedy="Choose another name.")
    followed(path.absolute().parent)
    partial = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir(mode=0o700)
        folder = NewFolder(partial)
        try:
            yield folder
            _to_disk(partial)
            # An empty folder that came meanwhile is replaced; one that holds anything makes this fail.
            partial.rename(path)
        except BaseException:  # also an interrupt must leave nothing behind
            folder.remove()
            raise
        _to_disk(partial.parent)
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror or type(error).__name__}.") from error


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
