"""Checks a journal entry by entry, and by its checkpoints, those that were kept elsewhere among them.

It needs no database: entries and checkpoints are given, wherever they were read. What was wrong before an
acknowledged break is told apart from what is wrong now, as long as the journal is still as it was then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.database.state.anchors.anchor import Anchor, anchor_of, stamped
from crypto_core.database.state.anchors.time_stamps import TimeStampRoots
from crypto_core.database.state.checkpoint import ACTION, Checkpoint, SignedEntry
from crypto_core.database.state.journal_chain import Chain, WrittenLast, another_database
from crypto_core.database.state.journal_entry import JournalEntry
from crypto_core.errors import AnchorError, EndedKeyError, KmsError, RefusedError, SettingsError
from crypto_core.guard.outcome import Outcome
from crypto_core.guard.signature import Signer, SigningTime
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

MOST_PROBLEMS = 100
"""So many are named; of more, their number."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint of the table, and who made it, by its word."""

    checkpoint: Checkpoint
    actor: str


@dataclass(frozen=True, slots=True)
class OutsideAnchor:
    """A checkpoint that is held outside: over which entry, where, and its time stamp's time."""

    seq: int
    where: tuple[CleanText, ...]
    """The files or objects; none if the time stamp alone, in the journal, fixes it."""
    stamped_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """A JSON document's part."""
        at = self.stamped_at.isoformat() if self.stamped_at else None
        return {"seq": self.seq, "where": list(self.where), "stamped_at": at}


@dataclass(frozen=True, slots=True)
@cleans(problems=1_000, acknowledged=1_000, unchecked=1_000, database_id=100)
class JournalCheck:
    """What the journal's verification found. Each problem is one sentence; cleaned text."""

    entries: int
    problems: tuple[str, ...]
    checkpoints: int
    database_id: CleanText = NO_TEXT
    """The id of the journal's database; "" if it is lost."""
    anchored: int = 0
    """The newest entry that a valid checkpoint covers; 0 if none does."""
    anchored_at: datetime | None = None
    unchecked: str = ""
    """Why signatures were not checked, "" if they were or there are none."""
    failed: bool = False
    """True if signatures were to be checked and KMS could not be asked."""
    acknowledged: tuple[str, ...] = ()
    """Problems from before a break that was acknowledged."""
    breaks: tuple[Checkpoint, ...] = ()
    """The acknowledged breaks with a valid signature, the oldest first."""
    newest: SignedEntry | None = None
    """The last checkpoint, whether its entry is still there or not."""
    outside: tuple[OutsideAnchor, ...] = ()
    """Valid checkpoints that are held outside of the database, by ascending entry."""
    stamps_unverified: int = 0
    """How many time stamps were not verified, for want of certificates."""
    lost: Mapping[SignedEntry, tuple[str, ...]] = field(default_factory=dict)
    """What was signed and is missing, unless that was acknowledged, and the problems that say so."""

    @property
    def whole(self) -> bool:
        """True if nothing is wrong, as far as could be checked, but for what was acknowledged."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The document that `keydeck journal verify --json` prints."""
        return {
            "whole": self.whole,
            "broken": self.problems[0] if self.problems else None,
            "problems": list(self.problems),
            "acknowledged": list(self.acknowledged),
            "breaks": [one.as_json() for one in self.breaks],
            "outside": [one.as_json() for one in self.outside],
            "time_stamps_unverified": self.stamps_unverified,
            "entries": self.entries,
            "database_id": self.database_id or None,
            "checkpoints": self.checkpoints,
            "anchored": self.anchored,
            "anchored_at": self.anchored_at.isoformat() if self.anchored_at else None,
            "unanchored": max(self.entries - self.anchored, 0),
            "signatures_unchecked": self.unchecked,
        }


class Problems:
    """What is wrong, up to a number that can be read."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self._more = 0

    def add(self, problem: str) -> None:
        """Add a sentence; "" is none, and each stands there once."""
        if not problem or problem in self._told:
            return
        if len(self._told) < MOST_PROBLEMS:
            self._told[problem] = None
        else:
            self._more += 1

    def told(self) -> tuple[str, ...]:
        """Return them, and of those beyond the most their number."""
        return (*self._told, *([f"And {self._more:,} more."] if self._more else []))

    def take(self, others: Problems) -> None:
        """Add all of others."""
        for problem in others._told:
            self.add(problem)
        self._more += others._more


class JournalContents:
    """SHA-256 over a journal as it stands, damaged or not: entries and checkpoints before a break."""

    def __init__(self) -> None:
        self._state = hashlib.sha256(b"keydeck journal contents 1\0")

    def entry(self, entry: JournalEntry) -> None:
        """Take the next entry."""
        self._take(str(entry.seq).encode(), entry.computed_digest(), entry.previous, entry.digest)

    def checkpoints(self, stored: Iterable[StoredCheckpoint]) -> bytes:
        """Return the digest with checkpoints behind the entries taken so far."""
        whole = JournalContents()
        whole._state = self._state.copy()
        for one in stored:
            document = json.dumps(one.checkpoint.as_json(), sort_keys=True)
            whole._take(document.encode(), one.actor.encode(errors="surrogatepass"))
        return whole._state.digest()

    def copy(self) -> JournalContents:
        """Return it as it is now."""
        same = JournalContents()
        same._state = self._state.copy()
        return same

    def _take(self, *parts: bytes) -> None:
        for part in parts:
            self._state.update(len(part).to_bytes(8, "big") + part)


class JournalVerification:
    """One verification. First the entries are followed, then it is checked."""

    def __init__(
        self,
        last: WrittenLast | None,
        stored: Sequence[StoredCheckpoint],
        anchors: Sequence[Anchor] = (),
        *,
        database_id: str = "",
        roots: TimeStampRoots | None = None,
    ) -> None:
        """`last` is the entry written last, None where that is lost; `stored` the table's checkpoints in
        their order, `anchors` those from elsewhere. With a `database_id` it must be the journal of that one;
        with `roots` time stamps are verified.
        """
        self.chain = Chain()
        self.last, self._stored, self._expected = last, stored, database_id
        self._anchors, self._roots = anchors, roots
        self._kept = [anchor.checkpoint for anchor in anchors]
        self._places = {id(anchor.checkpoint): anchor.where for anchor in anchors}
        self._ends: dict[int, bytes] = {}
        self._told: dict[bytes, tuple[Checkpoint, str, int]] = {}
        self._times: dict[bytes, SigningTime] = {}
        self._stamps: dict[bytes, datetime] = {}
        """When each was time-stamped first, by its signature."""
        self._unverified = 0
        self._anchored_in: set[str] = set()
        every = (*(one.checkpoint for one in stored), *self._kept)
        self._wanted = {checkpoint.seq for checkpoint in every}
        self._marks: dict[int, tuple[int, JournalContents]] = {}
        self._breaks = {checkpoint.seq for checkpoint in every if checkpoint.broken is not None}
        self._contents = JournalContents() if self._breaks else None
        self._stretches = [Problems()]
        self.ends_wrong = ""
        """What is wrong with the journal's end."""

    def follow(self, entries: Iterable[JournalEntry]) -> None:
        """Follow all entries, by ascending number."""
        try:
            for entry in entries:
                self._follow(entry)
            self.ends_wrong = self.chain.end(self.last)
        except ValueError:
            # Bytes below the table that are no text at all end PostgreSQL's or the driver's reading.
            seq = self.chain.last.seq if self.chain.last else 0
            self.ends_wrong = f"What comes after entry {seq} can't be read."
        self._stretches[-1].add(self.ends_wrong)

    def _follow(self, entry: JournalEntry) -> None:
        self._stretches[-1].add(self.chain.follow(entry))
        if entry.seq in self._wanted:
            self._ends[entry.seq] = entry.digest
        if (read := journaled_anchor(entry)) is not None:
            found = read.checkpoint
            self._anchored_in.update(where for where, error in anchor_outcomes(entry) if not error)
            self._stretches[-1].add(self._stamp(read, f"entry {entry.seq}"))
            self._told[found.signature.value] = (found, entry.actor, entry.seq)
            self._times.setdefault(found.signature.value, entry.evidence)
        if self._contents is not None:
            self._contents.entry(entry)
            if entry.seq in self._breaks:
                self._marks[entry.seq] = (len(self._stretches), self._contents.copy())
                self._stretches.append(Problems())

    def check(
        self, signer: Signer | None, *, also: Iterable[str] = (), absent: Iterable[str] = ()
    ) -> JournalCheck:
        """Return what was found, once the entries were followed. Asks KMS about signatures.

        `also` are problems that were found before, `absent` the places of anchors that are not there.
        """
        before, now = Problems(), Problems()
        gone = [
            f"{one} is gone, where checkpoints were anchored." for one in absent if one in self._anchored_in
        ]
        for problem in (*also, *gone):
            now.add(problem)
        for anchor in self._anchors:
            now.add(self._stamp(anchor, anchor.where))
        for value, at in self._stamps.items():
            self._times[value] = SigningTime(at, "a time stamp")
        rows = [one.checkpoint for one in self._stored]
        wrong: list[tuple[Checkpoint, str, bool]] = []
        valid, unchecked, failed = self._signed((*rows, *self._kept), signer, wrong)
        breaks = [
            (place, checkpoint)
            for place, checkpoint in enumerate(rows)
            if checkpoint in valid and self._acknowledges(place, checkpoint)
        ]
        place, acknowledged = max(breaks, key=lambda found: found[1].seq, default=(-1, None))
        stretches, since = (self._marks[acknowledged.seq][0], acknowledged.seq) if acknowledged else (0, 0)
        excused = {(one.seq, one.digest) for _, b in breaks if b.broken for one in b.broken.lost}
        for number, stretch in enumerate(self._stretches):
            (before if number < stretches else now).take(stretch)
        of = self.chain.database_id or (self.last.database_id if self.last else "")
        now.add(another_database("The journal", self._expected, of))
        forged = {checkpoint for checkpoint, _, ended in wrong if not ended}
        earlier = {id(checkpoint) for checkpoint in rows[: max(place, 0)]}

        def sink(checkpoint: Checkpoint) -> Problems:
            lost = (checkpoint.seq, checkpoint.digest) in excused and checkpoint not in forged
            return before if id(checkpoint) in earlier or lost else now

        for checkpoint in rows:
            if checkpoint in valid and checkpoint.broken and checkpoint not in {one for _, one in breaks}:
                sentence = "acknowledges a break, but the journal before it is not as it was then."
                sink(checkpoint).add(f"{checkpoint} {sentence}")
        for checkpoint, sentence, _ in wrong:
            sink(checkpoint).add(sentence)
        for one in self._stored:
            if self._told.pop(one.checkpoint.signature.value, ())[:2] != (one.checkpoint, one.actor):
                sink(one.checkpoint).add(
                    f"{one.checkpoint} does not match the journal, or its entry is missing."
                )
        for unstored, _, seq in self._told.values():
            (before if seq <= since else now).add(f"{unstored} is missing, though entry {seq} records it.")
        anchors, lost = [], dict[SignedEntry, list[str]]()
        for checkpoint in (*rows, *self._kept):
            if sentence := self._missing(checkpoint, of):
                where = self._places.get(id(checkpoint))
                told = f"{sentence} It is kept in {where}." if where else sentence
                sink(checkpoint).add(told)
                if sink(checkpoint) is now and checkpoint in valid:
                    lost.setdefault(checkpoint.entry, []).append(told)
            elif checkpoint in valid:
                anchors.append(checkpoint)
        newest = max(anchors, key=lambda c: (c.seq, c.at), default=None)
        latest = max(valid, key=lambda c: (c.at, c.seq), default=None)
        return JournalCheck(
            entries=self.chain.entries,
            problems=now.told(),
            checkpoints=len(rows),
            database_id=clean(of, 100),
            anchored=newest.seq if newest else 0,
            anchored_at=newest.at if newest else None,
            unchecked=unchecked,
            failed=failed,
            acknowledged=before.told(),
            breaks=tuple(checkpoint for _, checkpoint in sorted(breaks, key=lambda found: found[1].seq)),
            newest=latest.entry if latest else None,
            lost={entry: tuple(sentences) for entry, sentences in lost.items()},
            outside=self._outside(anchors),
            stamps_unverified=self._unverified,
        )

    def _signed(
        self,
        checkpoints: Iterable[Checkpoint],
        signer: Signer | None,
        wrong: list[tuple[Checkpoint, str, bool]],
    ) -> tuple[set[Checkpoint], str, bool]:
        """Those whose signatures are valid, and why the others were not checked.

        `wrong` gets the others with a sentence, and whether that is for the end of a former key alone.
        """
        valid: set[Checkpoint] = set()
        for checkpoint in dict.fromkeys(checkpoints):
            if signer is None:
                return set(), "No signing key is configured (KEYDECK_SIGNING_KEY).", False
            when = self._times.get(checkpoint.signature.value)
            try:
                if signer.verify(checkpoint.signed, checkpoint.signature, when):
                    valid.add(checkpoint)
                else:
                    wrong.append((checkpoint, f"{checkpoint} is not signed by a configured key.", False))
            except EndedKeyError as error:
                wrong.append((checkpoint, f"{checkpoint} does not count. {error.message}", True))
            except (KmsError, SettingsError) as error:
                return valid, clean(error, 1000), True
        return valid, "", False

    def _stamp(self, anchor: Anchor, where: str) -> str:
        """Note when a checkpoint was time-stamped; return what is wrong with that, "" for nothing."""
        if not anchor.time_stamp:
            return ""
        if self._roots is None:
            self._unverified += 1
            return ""
        try:
            at = self._roots.time_of(anchor.time_stamp, stamped(anchor.checkpoint))
        except AnchorError as error:
            return f"{anchor.checkpoint} has a time stamp in {where} that does not count. {error.message}"
        value = anchor.checkpoint.signature.value
        self._stamps[value] = min(at, self._stamps.get(value, at))
        return ""

    def _outside(self, valid: Sequence[Checkpoint]) -> tuple[OutsideAnchor, ...]:
        """The places outside in which valid checkpoints are held that the journal agrees with."""
        found: dict[tuple[int, bytes], OutsideAnchor] = {}
        for checkpoint in valid:
            place = self._places.get(id(checkpoint), NO_TEXT)
            at = self._stamps.get(checkpoint.signature.value)
            if place or at:
                key = (checkpoint.seq, checkpoint.signature.value)
                known = found.get(key)
                where = (*(known.where if known else ()), *((place,) if place else ()))
                found[key] = OutsideAnchor(checkpoint.seq, tuple(dict.fromkeys(where)), at)
        return tuple(found[key] for key in sorted(found))

    def _acknowledges(self, place: int, checkpoint: Checkpoint) -> bool:
        """Whether it acknowledges a break, and the journal up to it is still what was acknowledged."""
        mark = self._marks.get(checkpoint.seq)
        if checkpoint.broken is None or mark is None or self._ends.get(checkpoint.seq) != checkpoint.digest:
            return False
        return mark[1].checkpoints(self._stored[:place]) == checkpoint.broken.contents

    def _missing(self, checkpoint: Checkpoint, of: str) -> str:
        """What the journal lacks of what a checkpoint is over, "" if it holds that."""
        if elsewhere := another_database(str(checkpoint), of, checkpoint.database_id):
            return elsewhere
        if checkpoint.seq not in self._ends:
            return (
                f"Entry {checkpoint.seq} is gone, at which the journal was signed on "
                f"{checkpoint.at:%Y-%m-%d %H:%M:%S} UTC."
            )
        if self._ends[checkpoint.seq] != checkpoint.digest:
            return f"Entry {checkpoint.seq} is not the one that was signed there."
        return ""


def journaled_anchor(entry: JournalEntry) -> Anchor | None:
    """The checkpoint that an entry tells of, with its time stamp; None if it tells of none."""
    if entry.action != ACTION or entry.outcome != Outcome.DONE or entry.checked is False:
        return None
    try:
        return anchor_of(entry.detail.encode(errors="surrogatepass"), NO_TEXT)
    except RefusedError:
        return None


def anchor_outcomes(entry: JournalEntry) -> list[tuple[str, str]]:
    """Return where a checkpoint's entry says that it was anchored, each with the error, "" for none."""
    try:
        anchors = json.loads(entry.detail).get("anchors")
    except (ValueError, RecursionError, AttributeError):
        return []
    told = [one for one in anchors if isinstance(one, dict)] if isinstance(anchors, list) else []
    return [(str(one.get("where")), str(one.get("error") or "")) for one in told]
