"""Verifies a pack: its files, the signature, records and journal, and that its documents are what these give.

It needs neither the database nor AWS, but for signatures that only KMS can verify.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from crypto_core.aws.public_keys import PublicKey, PublicKeys, public_key
from crypto_core.compliance.pack.check import PackCheck
from crypto_core.compliance.pack.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    PackSignature,
    read_manifest,
    read_signature,
    signed_digest,
)
from crypto_core.compliance.pack.packed_folder import PackedFolder, UnreadablePackError, wrong_files
from crypto_core.compliance.pack.recomputing import Recomputed, Recomputer
from crypto_core.compliance.pack.records_file import (
    NamedRecords,
    read_records,
    unsigned_numbers,
    wrong_records,
    wrong_signatures,
)
from crypto_core.compliance.pack.writer import ANCHORS, JOURNAL, RECORDS
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.database.state.anchors.anchor import Anchor
from crypto_core.database.state.anchors.append_file import read_anchors
from crypto_core.database.state.anchors.time_stamps import TimeStampRoots
from crypto_core.database.state.evidence_records import PURGE, RECORD
from crypto_core.database.state.journal_chain import another_database
from crypto_core.database.state.journal_entry import JournalEntry, told_in
from crypto_core.database.state.journal_export import exported_journal
from crypto_core.database.state.journal_verification import JournalCheck, JournalVerification
from crypto_core.errors import AnchorError, EndedKeyError, KmsError, RefusedError, SettingsError
from crypto_core.guard.outcome import Outcome
from crypto_core.guard.signature import Signer
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted, listed

ONLY_FITS = (
    "The public key is the one in the pack: it proves only that all of this fits together. Name the key that "
    "you got elsewhere: --public-key FILE."
)
_MARGIN = timedelta(hours=6)
"""A record may be journaled on the next day."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """What verifies signatures, and where it is from. `own` is the pack's own key, which proves nothing."""

    signer: Signer | None
    where: str
    own: bool = False


def own_key(manifest: Manifest) -> TrustedKey:
    """Return the public keys that a pack itself has."""
    keys: list[PublicKey] = []
    for arn, told in manifest.keys.items():
        value = told.get("public_key")
        if isinstance(value, str):
            with suppress(SettingsError):
                keys.append(public_key(value.encode(), clean(arn, 300)))
    where = "the public key in the pack" if keys else "the pack has no public key: name it, --public-key FILE"
    return TrustedKey(PublicKeys(keys) if keys else None, where, own=True)


@dataclass
class _Found:
    """What was found so far."""

    problems: dict[str, None] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    unproved: str = ""

    def wrong(self, sentences: Iterable[str]) -> None:
        self.problems |= dict.fromkeys(one for one in sentences if one)


def verify_pack(
    folder: PackedFolder,
    trusted: TrustedKey | None,
    recomputer: Recomputer,
    *,
    anchors: Sequence[Anchor] = (),
    roots: TimeStampRoots | None = None,
    also: Iterable[str] = (),
) -> PackCheck:
    """Return what a pack proves. `trusted` is None for the key that the pack itself has.

    `anchors` were kept elsewhere, `also` are problems that were found before.

    Raises UnreadablePackError for a folder that can't be read.
    """
    found = _Found()
    found.wrong(also)
    names = folder.names()
    if MANIFEST not in names:
        return PackCheck((clean(f"{MANIFEST} is missing: this is no evidence pack."),))
    content = folder.content(MANIFEST)
    try:
        manifest = read_manifest(content)
    except ValueError as error:
        return PackCheck((clean(f"{MANIFEST} was changed, or is none: {clean(error, 200)}."),))
    key = trusted or own_key(manifest)
    found.wrong(wrong_files(folder, manifest))
    signature = _signature(folder, names, manifest, key, found)
    records = _records(folder, manifest, found)
    journal = _journal(
        folder, manifest, records, key, (*anchors, *_own_anchors(folder, names, found)), roots, found
    )
    again = _recomputed(folder, manifest, records, recomputer, found)
    if not found.unproved and key.own:
        found.unproved = ONLY_FITS
    told = signature.signature if signature else None
    return PackCheck(
        problems=tuple(map(clean, found.problems)),
        unproved=clean(found.unproved, 1_000),
        remarks=tuple(clean(one, 1_000) for one in found.remarks),
        since=manifest.since,
        until=manifest.until,
        framework=manifest.framework,
        database_id=manifest.database_id,
        made_at=clean(manifest.made_at.isoformat()),
        made_by=manifest.made_by,
        version=manifest.version,
        sha256=clean(signature.sha256 if signature else ""),
        key_arn=clean(told.key_arn if told else ""),
        algorithm=clean(told.algorithm if told else ""),
        key_from=clean(key.where),
        files=len(manifest.files) + 2,
        records=len(records),
        entries=journal.entries if journal else 0,
        anchored=journal.anchored if journal else 0,
        kept_outside=tuple(map(clean, _outside(journal))) if journal else (),
        recomputed=tuple(map(clean, again.same)),
    )


def _signature(
    folder: PackedFolder, names: dict[str, bool], manifest: Manifest, key: TrustedKey, found: _Found
) -> PackSignature | None:
    """The pack's signature; what is wrong with it, or why it could not be checked, goes to `found`."""
    if SIGNATURE not in names:
        found.wrong([f"{SIGNATURE} is missing: the pack is not signed."])
        return None
    try:
        told = read_signature(folder.content(SIGNATURE))
    except ValueError as error:
        found.wrong([f"{SIGNATURE} was changed, or is none: {clean(error, 200)}."])
        return None
    text = manifest.text()
    if told.sha256 != PackSignature.digest_of(text):
        found.wrong([f"{MANIFEST} was changed: it has another SHA-256 than {SIGNATURE} says."])
    elif told.signature is None:
        why = told.unsigned_because or "no reason given"
        found.wrong([f"The pack is not signed, and so proves nothing: anybody can make another. {why}"])
    elif told.unsigned_because:
        found.wrong([f"{SIGNATURE} was changed: it has a signature, and says why it has none."])
    elif told.signature.key_arn not in manifest.keys:
        found.wrong([f"{SIGNATURE} was changed: it names a key that {MANIFEST} does not."])
    elif key.signer is None:
        found.unproved = f"The signature was not checked: {key.where}"
    else:
        try:
            if not key.signer.verify(signed_digest(text), told.signature):
                found.wrong(["The pack is not signed by the key over this manifest."])
        except EndedKeyError as error:
            found.wrong([f"The pack's signature does not count. {error.message}"])
        except (KmsError, SettingsError) as error:
            found.unproved = f"The signature was not checked: {error}"
    return told


def _records(folder: PackedFolder, manifest: Manifest, found: _Found) -> tuple[EvidenceRecord, ...]:
    try:
        records = read_records(folder.content(RECORDS))
    except (ValueError, UnreadablePackError) as error:
        found.wrong([str(error)])
        return ()
    within = [one for one in records if manifest.since <= one.day <= manifest.until]
    last = within[-1] if within else None
    told = {
        "first": within[0].number if within else 0,
        "last": last.number if last else 0,
        "sha256_of_last": last.digest.hex() if last else "",
    }
    if told != manifest.records:
        found.wrong([f"{RECORDS} holds other records than {MANIFEST} says."])
    found.wrong(
        another_database(f"Record {one.number:,}", manifest.database_id, one.database_id) for one in records
    )
    return records


def _own_anchors(folder: PackedFolder, names: dict[str, bool], found: _Found) -> list[Anchor]:
    if not names.get(ANCHORS):
        return []
    try:
        read = list(read_anchors(folder.path / ANCHORS))
    except AnchorError as error:
        found.wrong([error.message])
        return []
    found.wrong(one for one in read if not isinstance(one, Anchor))
    return [one for one in read if isinstance(one, Anchor)]


def _journal(
    folder: PackedFolder,
    manifest: Manifest,
    records: Sequence[EvidenceRecord],
    key: TrustedKey,
    anchors: Sequence[Anchor],
    roots: TimeStampRoots | None,
    found: _Found,
) -> JournalCheck | None:
    """Verify the journal, and the records by what it names."""
    if not folder.names().get(JOURNAL):
        return None  # missing, or no plain file: already among the problems
    named, digests = NamedRecords(), dict[int, bytes]()
    wanted = {one.journal_seq for one in records}
    try:
        with exported_journal(folder.path / JOURNAL) as journal:
            verification = JournalVerification(
                journal.last, journal.stored, anchors, database_id=manifest.database_id, roots=roots
            )
            verification.follow(_gathered(journal.entries, named, digests, wanted))
    except RefusedError as error:
        found.wrong([error.message])
        return None
    last = verification.chain.last
    told = {"first": 1, "last": last.seq, "digest": last.digest.hex()} if last else None
    if told is not None and told != manifest.journal:
        found.wrong([f"{JOURNAL} is another journal than {MANIFEST} says."])
    check = verification.check(key.signer)
    found.wrong(f"Journal: {one}" for one in check.problems)
    found.remarks |= dict.fromkeys(f"Journal, acknowledged: {one}" for one in check.acknowledged)
    if check.unchecked and not found.unproved:
        found.unproved = f"Signatures of the journal's checkpoints were not checked: {check.unchecked}"
    if not check.anchored:
        found.remarks["The journal has no signed checkpoint: only the pack's signature vouches for it."] = (
            None
        )
    found.wrong(wrong_records(records, named, digests))
    found.wrong(_left_out(records, named, manifest))
    if unsigned := unsigned_numbers(records):
        sentence = (
            f"{counted(len(unsigned), 'record')} without a signature of its own: {listed(unsigned, 10)}."
        )
        found.remarks[f"{sentence} The chain, the journal and the pack's signature vouch for them."] = None
    if key.signer is not None:
        try:
            found.wrong(wrong_signatures(records, key.signer, named))
        except (KmsError, SettingsError) as error:
            found.unproved = found.unproved or f"Signatures of records were not checked: {error}"
    return check


def _gathered(
    entries: Iterator[JournalEntry], named: NamedRecords, digests: dict[int, bytes], wanted: set[int]
) -> Iterator[JournalEntry]:
    """Pass entries on, and note what they tell of records."""
    for entry in entries:
        if entry.seq in wanted:
            digests[entry.seq] = entry.digest
        if entry.outcome == Outcome.DONE and entry.action == RECORD and entry.checked is not False:
            named.take(told_in(entry.detail), entry.evidence)
        if entry.outcome == Outcome.DONE and entry.action == PURGE and entry.checked:
            named.remove(told_in(entry.detail))
        yield entry


def _left_out(records: Sequence[EvidenceRecord], named: NamedRecords, manifest: Manifest) -> Iterator[str]:
    """Records of the period that the journal names and the pack has not, a sentence each."""
    there = {one.number for one in records} | named.removed
    begin = datetime.combine(manifest.since, time(), UTC) + _MARGIN
    end = datetime.combine(manifest.until, time(), UTC) + timedelta(days=1) - _MARGIN
    for number, when in sorted(named.times.items()):
        if number not in there and begin <= when.at <= end:
            yield f"Record {number:,} is left out, which {when.evidence} names on {when.at:%Y-%m-%d}."


def _recomputed(
    folder: PackedFolder,
    manifest: Manifest,
    records: Sequence[EvidenceRecord],
    recomputer: Recomputer,
    found: _Found,
) -> Recomputed:
    """Make the documents again where all else holds, so that one change is one problem."""
    if found.problems:
        return Recomputed()
    again = recomputer.recompute(folder, manifest, records)
    found.wrong(f"{name} is not what the records of the pack give." for name in again.other)
    found.remarks |= dict.fromkeys(again.remarks)
    return again


def _outside(journal: JournalCheck) -> Iterator[str]:
    for one in journal.outside:
        stamped = f", time-stamped {one.stamped_at:%Y-%m-%d %H:%M} UTC" if one.stamped_at else ""
        where = f" by {', '.join(one.where)}" if one.where else ""
        yield f"up to entry {one.seq:,}{where}{stamped}"
