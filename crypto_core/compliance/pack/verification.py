"""Verifies a pack by the rules of `compliance.proof.pack`, and that its documents are what its records give.

It needs neither the database nor AWS, but for signatures that only KMS can verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from crypto_core.aws.public_keys import PublicKey, PublicKeys, public_key
from crypto_core.compliance.facts import ChangeFacts
from crypto_core.compliance.library import Controls
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.documents import DOCUMENTS, README, PackDocument, hidden_tokens, readme
from crypto_core.compliance.pack.report_json import PeriodInputs, parsed, read_document
from crypto_core.compliance.period.judgment import (
    AtHand,
    CheckedRecords,
    PeriodQuestion,
    audit_period,
    moments_of,
)
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.proof.pack import RECORDS, PackedFolder, PackManifest, PackVerdict, prove_pack
from crypto_core.compliance.records.record import EvidenceRecord, read_record
from crypto_core.database.state.anchors.time_stamps import TimeStampRoots
from crypto_core.guard.signature import Signer, asking
from crypto_core.proof.forms import Anchor, Ask
from crypto_core.proof.journal import NOT_ANCHORED, JournalVerdict
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.counts import counted, listed
from crypto_core.values.errors import SettingsError
from crypto_core.values.json_records import JsonRecord, shape

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The files that came out the same, those that didn't, and what was not made again, a sentence each."""

    same: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recomputer:
    """Judges the records of a pack again. `version` is this Keydeck's."""

    controls: Callable[[], Controls]
    version: str
    documents: Sequence[PackDocument] = DOCUMENTS

    def recompute(
        self, folder: PackedFolder, manifest: PackManifest, records: Sequence[EvidenceRecord]
    ) -> Recomputed:
        """Return which documents are what the records give. Raises UnreadablePackError."""
        if manifest.version != self.version:
            return _not(f"Keydeck {manifest.version} made the pack, this is {clean(self.version, 50)}")
        controls = self.controls()
        try:
            document = parsed(folder.content(REPORT))
            inputs, context = read_document(document)
        except ValueError as error:
            return Recomputed(other=(f"{REPORT} ({clean(error, 200)})",))
        if wrong := _contradiction(inputs, context, manifest):
            return Recomputed(other=(f"{REPORT} ({wrong})",))
        if missing := _other_catalogues(document, controls):
            return _not(f"it was judged by catalogues that are others here: {listed(missing, 8)}")
        period = hidden_tokens(period_again(records, inputs, controls))
        return self._compared(folder, manifest, period, replace(context, catalogues=controls.catalogues))

    def _compared(
        self, folder: PackedFolder, manifest: PackManifest, period: AuditPeriod, context: PackContext
    ) -> Recomputed:
        there = {one.path for one in manifest.files}
        same: list[str] = []
        other: list[str] = []
        makers = [(one.path, one.make) for one in self.documents if not one.module]
        for path, make in (*makers, (README, readme)):
            if path in there:
                (same if make(period, context) == folder.content(path) else other).append(path)
        left = sorted(one.path for one in self.documents if one.module and one.path in there)
        told = f"Not made again, for libraries write them: {', '.join(left)}." if left else ""
        return Recomputed(tuple(same), tuple(other), (told,) if told else ())


def period_again(records: Sequence[EvidenceRecord], inputs: PeriodInputs, controls: Controls) -> AuditPeriod:
    """Return the period that records and inputs give, with what was wrong or unknown at the time."""
    begin, end = moments_of(inputs.since, inputs.until)
    within = tuple(one for one in records if inputs.since <= one.day <= inputs.until)
    before = next((one for one in reversed(records) if one.day < inputs.since), None)
    at_hand = AtHand(
        ChangeFacts(begin, end, inputs.changes),
        inputs.reviews,
        inputs.incidents,
        max(inputs.drills, default=None),
    )
    asked = PeriodQuestion(inputs.since, inputs.until, inputs.framework, inputs.seed, inputs.sample)
    period = audit_period(asked, CheckedRecords(within, before), controls, at_hand, inputs.made_at)
    return replace(period, problems=inputs.problems, unknown=inputs.unknown, unchecked=inputs.unchecked)


def _not(why: str) -> Recomputed:
    return Recomputed(remarks=(f"Documents were not recomputed: {why}.",))


def _contradiction(inputs: PeriodInputs, context: PackContext, manifest: PackManifest) -> str:
    pairs = {
        "since": (inputs.since, manifest.since),
        "until": (inputs.until, manifest.until),
        "framework": (inputs.framework, manifest.framework),
        "seed": (inputs.seed, manifest.seed),
        "database": (context.database_id, manifest.database_id),
        "time": (context.made_at, manifest.made_at),
        "version": (context.version, manifest.version),
    }
    return ", ".join(name for name, (one, other) in pairs.items() if one != other)


def _other_catalogues(document: Mapping[str, Any], controls: Controls) -> list[CleanText]:
    here: dict[str, object] = {str(one.id): one.digest for one in controls.catalogues}
    told = {str(one.get("id")): one.get("sha256") for one in document.get("catalogues") or ()}
    return [clean(name, 60) for name in sorted(here.keys() | told.keys()) if here.get(name) != told.get(name)]


@dataclass(frozen=True, slots=True)
@cleans(1_000)
class PackCheck(JsonRecord):
    """What a pack proves. Where something is wrong, the rest is a mere claim. Cleaned text.

    `unproved` says why nothing is proved though nothing is wrong, "" where it is.
    """

    problems: tuple[CleanText, ...] = ()
    unproved: CleanText = NO_TEXT
    remarks: tuple[CleanText, ...] = ()
    """What was not checked, or is to be known."""
    since: date | None = None
    until: date | None = None
    framework: CleanText = NO_TEXT
    database_id: CleanText = NO_TEXT
    made_at: CleanText = NO_TEXT
    made_by: CleanText = NO_TEXT
    version: CleanText = NO_TEXT
    sha256: CleanText = NO_TEXT
    key_arn: CleanText = NO_TEXT
    algorithm: CleanText = NO_TEXT
    key_from: CleanText = NO_TEXT
    """Where the key is from by which signatures were verified."""
    files: int = 0
    records: int = 0
    entries: int = 0
    anchored: int = 0
    """The newest entry that a valid checkpoint covers; 0 if none does."""
    kept_outside: tuple[CleanText, ...] = field(default=())
    """Up to which entries the journal is fixed outside of the pack, a sentence each."""
    recomputed: tuple[CleanText, ...] = ()
    """The files that were made again from the records, and are the same byte for byte."""

    json_shape = shape(
        "proved problems unproved_because=unproved? remarks since until framework? database_id? made_at? "
        "made_by? version? sha256? key_arn? algorithm? key_from? ..."
    )

    @property
    def proved(self) -> bool:
        """Whether the pack is what the key signed, and fits together."""
        return not self.problems and not self.unproved


ONLY_FITS = (
    "The public key is the one in the pack: it proves only that all of this fits together. Name the key that "
    "you got elsewhere: --public-key FILE."
)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """What verifies signatures, and where it is from. `own` is the pack's own key, which proves nothing."""

    signer: Signer | None
    where: str
    own: bool = False


def own_key(manifest: PackManifest) -> TrustedKey:
    keys: list[PublicKey] = []
    for arn, told in manifest.keys.items():
        value = told.get("public_key")
        if isinstance(value, str):
            with suppress(SettingsError):
                keys.append(public_key(value.encode(), clean(arn, 300)))
    where = "the public key in the pack" if keys else "the pack has no public key: name it, --public-key FILE"
    return TrustedKey(PublicKeys(keys) if keys else None, where, own=True)


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
    keys: list[TrustedKey] = [trusted] if trusted else []

    def ask_by(manifest: PackManifest) -> Ask:
        keys[:] = [trusted or own_key(manifest)]
        return asking(keys[0].signer, keys[0].where)

    stamp_time = roots.vouched if roots else None
    found = prove_pack(folder, ask_by, given=anchors, stamp_time=stamp_time, also=also)
    manifest, seal, journal = found.manifest, found.seal, found.journal
    if manifest is None:
        return PackCheck(tuple(map(clean, found.wrong)))
    again = Recomputed() if found.wrong else _recomputed(folder, manifest, found, recomputer)
    problems = [*found.wrong, *(f"{name} is not what the records of the pack give." for name in again.other)]
    unproved = next(iter(found.unproved), ONLY_FITS if keys[0].own else "")
    if journal and journal.contradicted:
        unproved = unproved or f"{journal.contradicted[0]} That was acknowledged: judge whether to accept it."
    signature = seal.signature if seal else None
    return PackCheck(
        problems=tuple(map(clean, problems)),
        unproved=clean(unproved, 1_000),
        remarks=tuple(clean(one, 1_000) for one in (*_remarks(found), *again.remarks)),
        since=manifest.since,
        until=manifest.until,
        framework=clean(manifest.framework),
        database_id=clean(manifest.database_id),
        made_at=clean(manifest.made_at.isoformat()),
        made_by=clean(manifest.made_by),
        version=clean(manifest.version),
        sha256=clean(seal.sha256 if seal else ""),
        key_arn=clean(signature.key_arn if signature else ""),
        algorithm=clean(signature.algorithm if signature else ""),
        key_from=clean(keys[0].where),
        files=len(manifest.files) + 2,
        records=len(found.records),
        entries=journal.entries if journal else 0,
        anchored=journal.anchored if journal else 0,
        kept_outside=tuple(map(clean, _outside(journal))) if journal else (),
        recomputed=tuple(map(clean, again.same)),
    )


def _recomputed(
    folder: PackedFolder, manifest: PackManifest, found: PackVerdict, recomputer: Recomputer
) -> Recomputed:
    """Make the documents again where all else holds, so that one change is one problem."""
    try:
        records = [
            read_record(one.document, one.link.signature, one.unsigned_because) for one in found.records
        ]
    except ValueError as error:
        return Recomputed(other=(f"{RECORDS} ({clean(error, 200)})",))
    return recomputer.recompute(folder, manifest, records)


def _remarks(found: PackVerdict) -> Iterator[str]:
    journal = found.journal
    if journal:
        yield from (f"Journal, acknowledged: {one}" for one in journal.acknowledged)
        if not journal.anchored:
            yield "The journal has no signed checkpoint: only the pack's signature vouches for it."
        if not journal.outside:
            yield NOT_ANCHORED
    if unsigned := found.unsigned:
        told = f"{counted(len(unsigned), 'record')} without a signature of its own"
        named = listed([f"{number:,}" for number in unsigned], 10)
        yield f"{told}: {named}. The chain, the journal and the pack's signature vouch for them."
    if gaps := found.gaps:
        named = listed([day.isoformat() for day in gaps], 10)
        yield f"{counted(len(gaps), 'day')} without a record: {named}."
    if removed := found.removed:
        named = listed([f"{number:,}" for number in removed], 10)
        yield f"{counted(len(removed), 'record')} whose documents were taken away: {named}."


def _outside(journal: JournalVerdict) -> Iterator[str]:
    for one in journal.outside:
        stamped = f", time-stamped {one.stamped_at:%Y-%m-%d %H:%M} UTC" if one.stamped_at else ""
        where = f" by {', '.join(one.where)}" if one.where else ""
        yield f"up to entry {one.seq:,}{where}{stamped}"
