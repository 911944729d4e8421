"""Follows a journal entry by entry, and judges it by its checkpoints, those kept elsewhere among them.

Found is every change of any field, a gap, another order, a row too many; and that the newest are gone, by the
row that keeps the last one's number. Not found is what changed that row as well: the newest are gone, or
everything from some entry on was made anew. Only checkpoints know that. What was wrong before an acknowledged
break is told apart from what is wrong now, as long as the journal is still as it was then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from crypto_core.proof.forms import (
    CHECKPOINT,
    CLOCKS,
    DONE,
    FIRST,
    LATE,
    LEAST_DAYS,
    PURGE,
    RECORD,
    UNREADABLE,
    Anchor,
    Ask,
    Checkpoint,
    JournalEntry,
    SignedEntry,
    SigningTime,
    StampTime,
    StoredCheckpoint,
    WrittenLast,
    anchor_in,
    another_database,
    document_of,
    number_in,
    shown_moment,
    text_in,
)

MOST_PROBLEMS = 100
"""So many are named; of more, their number."""
RESTS_ON_NOTHING = (
    "No verified signature covers any of it: whoever can write a file can make it. It rests on nothing."
)
NOT_ANCHORED = "Not anchored outside: whoever owns the database and may sign could have made this anew."


class Chain:
    """The chain as far as it has been followed. Give it the entries by ascending number."""

    def __init__(self, *, after: int = 0) -> None:
        """`after` is the number before the first entry that is given; its digest is taken as it is told."""
        self.entries = 0
        self.last: JournalEntry | None = None
        self.database_id = ""
        """The id in the last entry that has one; "" as long as none has."""
        self._seq = after
        self._digest: bytes | None = FIRST if after == 0 else None

    def follow(self, entry: JournalEntry) -> str:
        """Take the next entry; return one sentence saying what is wrong with it, "" if nothing is."""
        wrong = self._wrong(entry)
        self.entries += 1
        self.last, self._seq, self._digest = entry, entry.seq, entry.digest
        self.database_id = entry.database_id or self.database_id
        return wrong

    def end(self, written: WrittenLast | None) -> str:
        """Return what is wrong with the chain's end, "" if nothing is, once all entries were followed.

        `written` is the entry that was written last, None where that is not known.
        """
        if written is None:
            return "The number of the entry written last is gone."
        last = (self.last.seq, self.last.digest) if self.last else (0, FIRST)
        if last == written[:2]:
            what = "The row of the entry written last"
            return another_database(what, self.database_id, written.database_id)
        if last[0] == written[0]:
            return f"Entry {last[0]} is not the one that was written last."
        return f"The journal ends at entry {last[0]}, but the entry written last is {written[0]}."

    def _wrong(self, entry: JournalEntry) -> str:
        expected, last = self._seq + 1, self.last
        if entry.seq > expected:
            return f"Entry {expected} is missing: the next one is {entry.seq}."
        if entry.seq < expected:
            what = "is there more than once" if self.entries else "has no place: the first one is 1"
            return f"Entry {entry.seq} {what}."
        if self._digest is not None and entry.previous != self._digest:
            return f"Entry {entry.seq} does not follow the entry before it."
        if entry.digest != entry.computed_digest():
            return f"Entry {entry.seq} was changed."
        if last and None not in (entry.database_role, last.database_role) and entry.at < last.at:
            return f"Entry {entry.seq} is earlier than the one before it."
        if self.database_id and entry.database_id is None:
            return f"Entry {entry.seq} names no database, though an entry before it does."
        if last and last.checked is not None and entry.checked is None:
            return f"Entry {entry.seq} does not say whether it was checked, though the one before it does."
        if entry.checked is not None and None in (entry.database_role, entry.database_id):
            return f"Entry {entry.seq} lacks its login or its database: Keydeck did not write it."
        return another_database(f"Entry {entry.seq}", self.database_id, entry.database_id or "")


class OutsideAnchor(NamedTuple):
    """A checkpoint that is held outside: over which entry, where, and its time stamp's time."""

    seq: int
    where: tuple[str, ...]
    """The files or objects; none if the time stamp alone, in the journal, fixes it."""
    stamped_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        at = self.stamped_at.isoformat() if self.stamped_at else None
        return {"seq": self.seq, "where": list(self.where), "stamped_at": at}


class NamedRecord(NamedTuple):
    """A record of evidence as an entry of the journal names it. `signature` is None without one."""

    number: int
    entry: int
    when: SigningTime
    sha256: str
    previous: str
    signature: Mapping[str, Any] | None


class Removal(NamedTuple):
    """Documents of records that an entry says were taken away, and when."""

    entry: int
    at: datetime
    first: int
    last: int


@dataclass
class NamedRecords:
    by_number: dict[int, list[NamedRecord]] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)

    def take(self, entry: JournalEntry) -> str:
        """Take what an entry tells of records; return what is wrong with it, "" for nothing.

        That documents were taken away counts only where it was checked; of records that are there, an entry
        from before there were checks may tell, too.
        """
        if entry.outcome != DONE or entry.action not in (RECORD, PURGE):
            return ""
        if entry.checked is False:
            return unchecked_entry(entry)
        try:
            told = document_of(entry.detail)
            if entry.action == RECORD:
                signature = told.get("signature")
                sha256, previous = text_in(told.get("sha256", "")), text_in(told.get("previous", ""))
                found = NamedRecord(
                    number_in(told["number"]), entry.seq, entry.evidence, sha256, previous, signature
                )
                self.by_number.setdefault(found.number, []).append(found)
                return ""
            removal = Removal(entry.seq, entry.at, number_in(told["first"]), number_in(told["last"]))
        except UNREADABLE:
            return f"Entry {entry.seq} ({entry.action}) can't be read: Keydeck did not write it."
        if entry.checked:
            self.removals.append(removal)
        return ""

    def first(self, number: int) -> NamedRecord | None:
        return next(iter(self.by_number.get(number, ())), None)

    def removed(self, number: int, entry: int | None = None) -> bool:
        """Whether the document of a record was taken away, by an `entry` where one is given.

        A removal excuses nothing that was younger than documents are kept at least.
        """
        made = self.first(number)
        oldest = timedelta(days=LEAST_DAYS)
        return made is not None and any(
            one.first <= number <= one.last
            and entry in (None, one.entry)
            and made.when.at <= one.at - oldest + LATE
            for one in self.removals
        )


@dataclass(frozen=True)
class JournalVerdict:
    """What a journal's verification found. Each problem is one sentence."""

    entries: int
    problems: tuple[str, ...]
    checkpoints: int
    database_id: str = ""
    """The id of the journal's database; "" if it is lost."""
    anchored: int = 0
    """The newest entry that a valid checkpoint covers; 0 if none does."""
    anchored_at: datetime | None = None
    unchecked: str = ""
    """Why signatures were not checked, "" if they were or there are none."""
    acknowledged: tuple[str, ...] = ()
    """Problems from before a break that was acknowledged."""
    contradicted: tuple[str, ...] = ()
    """Those of them that speak against a checkpoint which was given to verify by."""
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
        for problem in others._told:
            self.add(problem)
        self._more += others._more


class JournalContents:
    """SHA-256 over a journal as it stands, damaged or not: entries and checkpoints before a break."""

    def __init__(self, state: Any = None) -> None:
        self._state = state or hashlib.sha256(b"keydeck journal contents 1\0")

    def entry(self, entry: JournalEntry) -> None:
        _take(self._state, str(entry.seq).encode(), entry.computed_digest(), entry.previous, entry.digest)

    def checkpoints(self, stored: Iterable[StoredCheckpoint]) -> bytes:
        """Return the digest with checkpoints behind the entries taken so far."""
        whole = self._state.copy()
        for one in stored:
            document = json.dumps(one.checkpoint.as_json(), sort_keys=True)
            _take(whole, document.encode(), one.actor.encode(errors="surrogatepass"))
        digest: bytes = whole.digest()
        return digest

    def copy(self) -> JournalContents:
        return JournalContents(self._state.copy())


def _take(state: Any, *parts: bytes) -> None:
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)


class _Stamped(NamedTuple):
    """An anchor with a time stamp, and the entry that holds it: number 0 for one from elsewhere."""

    anchor: Anchor
    held: int
    held_at: datetime | None


class JournalVerification:
    """One verification. First the entries are followed, then they are judged."""

    def __init__(
        self,
        last: WrittenLast | None,
        stored: Sequence[StoredCheckpoint],
        anchors: Sequence[Anchor] = (),
        *,
        given: Sequence[Anchor] = (),
        database_id: str = "",
        stamp_time: StampTime | None = None,
        wanted: Iterable[int] = (),
    ) -> None:
        """`last` is the entry written last, None where that is lost; `stored` the table's checkpoints in
        their order, `anchors` those that are kept outside, `given` those to verify by that whoever verifies
        has kept. With a `database_id` it must be the journal of that one; with `stamp_time` time stamps are
        verified. Of the entries `wanted` digests are kept, too.
        """
        self.chain, self.records = Chain(), NamedRecords()
        self.last, self._stored, self._expected = last, stored, database_id
        self._anchors, self._given, self._stamp_time = (
            (*anchors, *given),
            {id(one) for one in given},
            stamp_time,
        )
        every = (*(one.checkpoint for one in stored), *(one.checkpoint for one in self._anchors))
        self._wanted = {checkpoint.seq for checkpoint in every} | set(wanted)
        self.digests: dict[int, bytes] = {}
        """Those of the entries that are wanted, by number."""
        self._times: dict[int, datetime] = {}
        self._journaled: dict[bytes, tuple[Checkpoint, str, int]] = {}
        self._signing: dict[bytes, SigningTime] = {}
        self._stamps: list[_Stamped] = []
        self._anchored_in: set[str] = set()
        self._breaks = {checkpoint.seq for checkpoint in every if checkpoint.broken is not None}
        self._contents = JournalContents() if self._breaks else None
        self._marks: dict[int, tuple[int, JournalContents]] = {}
        self._stretches = [Problems()]
        self.ends_wrong = ""
        """What is wrong with the journal's end."""

    def follow(self, entries: Iterable[JournalEntry | str]) -> None:
        """Follow all entries, by ascending number; among them sentences on what can't be read."""
        try:
            for entry in entries:
                if isinstance(entry, str):
                    self._stretches[-1].add(entry)
                else:
                    self._follow(entry)
            self.ends_wrong = self.chain.end(self.last)
        except ValueError:
            # Bytes below the table that are no text at all end PostgreSQL's or the driver's reading.
            seq = self.chain.last.seq if self.chain.last else 0
            self.ends_wrong = f"What comes after entry {seq} can't be read."
        self._stretches[-1].add(self.ends_wrong)

    def _follow(self, entry: JournalEntry) -> None:
        problems = self._stretches[-1]
        problems.add(self.chain.follow(entry))
        problems.add(self.records.take(entry))
        if entry.seq in self._wanted:
            self.digests[entry.seq], self._times[entry.seq] = entry.digest, entry.at
        if entry.action == CHECKPOINT and entry.outcome == DONE:
            self._take_checkpoint(entry)
        if self._contents is not None:
            self._contents.entry(entry)
            if entry.seq in self._breaks:
                self._marks[entry.seq] = (len(self._stretches), self._contents.copy())
                self._stretches.append(Problems())

    def _take_checkpoint(self, entry: JournalEntry) -> None:
        if entry.checked is False:
            self._stretches[-1].add(unchecked_entry(entry))
            return
        anchor = journaled_anchor(entry)
        if anchor is None:
            self._stretches[-1].add(
                f"Entry {entry.seq} ({CHECKPOINT}) can't be read: Keydeck did not write it."
            )
            return
        found = anchor.checkpoint
        self._anchored_in.update(where for where, error in anchor_outcomes(entry) if not error)
        self._stamps += [_Stamped(anchor, entry.seq, entry.at)] * bool(anchor.time_stamp)
        self._journaled[found.signature.value] = (found, entry.actor, entry.seq)
        self._signing.setdefault(found.signature.value, entry.evidence)

    def judge(self, ask: Ask, *, also: Iterable[str] = (), absent: Iterable[str] = ()) -> JournalVerdict:
        """Return what was found, once the entries were followed. `ask` verifies signatures.

        `also` are problems that were found before, `absent` the places of anchors that are not there.
        """
        before, now = Problems(), Problems()
        gone = [
            f"{one} is gone, where checkpoints were anchored." for one in absent if one in self._anchored_in
        ]
        for problem in (*also, *gone):
            now.add(problem)
        stamped = self._stamped(now)
        rows = [one.checkpoint for one in self._stored]
        kept = [one.checkpoint for one in self._anchors]
        valid, wrong, unchecked = self._signed((*rows, *kept), stamped, ask)
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
        forged = {checkpoint for checkpoint, (_, has_ended) in wrong.items() if not has_ended}
        earlier = {id(checkpoint) for checkpoint in rows[: max(place, 0)]}

        def sink(checkpoint: Checkpoint) -> Problems:
            lost = (checkpoint.seq, checkpoint.digest) in excused and checkpoint not in forged
            return before if id(checkpoint) in earlier or lost else now

        for checkpoint in rows:
            if checkpoint in valid and checkpoint.broken and checkpoint not in {one for _, one in breaks}:
                sentence = "acknowledges a break, but the journal before it is not as it was then."
                sink(checkpoint).add(f"{checkpoint} {sentence}")
        for checkpoint in (*rows, *kept):
            if checkpoint in wrong:
                sink(checkpoint).add(wrong[checkpoint][0])
        journaled = dict(self._journaled)
        for one in self._stored:
            if journaled.pop(one.checkpoint.signature.value, ())[:2] != (one.checkpoint, one.actor):
                sentence = f"{one.checkpoint} does not match the journal, or its entry is missing."
                sink(one.checkpoint).add(sentence)
        for unstored, _, seq in journaled.values():
            (before if seq <= since else now).add(f"{unstored} is missing, though entry {seq} records it.")
        places = {id(one.checkpoint): one for one in self._anchors}
        held: list[Checkpoint] = []
        lost: dict[SignedEntry, list[str]] = {}
        contradicted: list[str] = []
        for checkpoint in (*rows, *kept):
            anchor = places.get(id(checkpoint))
            if sentence := self._missing(checkpoint, of):
                told = f"{sentence} It is kept in {anchor.where}." if anchor and anchor.where else sentence
                sink(checkpoint).add(told)
                if sink(checkpoint) is now and checkpoint in valid:
                    lost.setdefault(checkpoint.entry, []).append(told)
                elif anchor and id(anchor) in self._given:
                    contradicted.append(told)
            elif checkpoint in valid:
                held.append(checkpoint)
        newest = max(held, key=lambda c: (c.seq, c.at), default=None)
        latest = max(valid, key=lambda c: (c.at, c.seq), default=None)
        return JournalVerdict(
            entries=self.chain.entries,
            problems=now.told(),
            checkpoints=len(rows),
            database_id=of,
            anchored=newest.seq if newest else 0,
            anchored_at=newest.at if newest else None,
            unchecked=unchecked,
            acknowledged=before.told(),
            contradicted=tuple(contradicted) if now.told() == () else (),
            breaks=tuple(checkpoint for _, checkpoint in sorted(breaks, key=lambda found: found[1].seq)),
            newest=latest.entry if latest else None,
            lost={entry: tuple(sentences) for entry, sentences in lost.items()},
            outside=_outside(held, places, stamped),
            stamps_unverified=0 if self._stamp_time else len(self._every_stamp()),
        )

    def _every_stamp(self) -> list[_Stamped]:
        return [*self._stamps, *(_Stamped(one, 0, None) for one in self._anchors if one.time_stamp)]

    def _stamped(self, problems: Problems) -> dict[bytes, datetime]:
        """When each checkpoint was time-stamped first, by its signature; what is wrong goes to `problems`.

        What a time stamp is over was there before it, and the entry that holds it came after.
        """
        found: dict[bytes, datetime] = {}
        for anchor, held, held_at in self._every_stamp() if self._stamp_time else ():
            where = f"entry {held}" if held else anchor.where
            at = self._stamp_time(anchor.time_stamp, anchor.stamped) if self._stamp_time else ""
            checkpoint = anchor.checkpoint
            if isinstance(at, str):
                problems.add(f"{checkpoint} has a time stamp in {where} that does not count. {at}")
                continue
            written = self._times.get(checkpoint.seq)
            if written and self.digests[checkpoint.seq] == checkpoint.digest and written > at + CLOCKS:
                told = f"Entry {checkpoint.seq} says {shown_moment(written)}"
                problems.add(f"{told}, but a time stamp in {where} was made over it at {shown_moment(at)}.")
            if held_at and held_at < at - CLOCKS:
                told = f"Entry {held} says {shown_moment(held_at)}"
                problems.add(f"{told}, but holds a time stamp of {shown_moment(at)}.")
            value = checkpoint.signature.value
            found[value] = min(at, found.get(value, at))
        return found

    def _signed(
        self, checkpoints: Iterable[Checkpoint], stamped: Mapping[bytes, datetime], ask: Ask
    ) -> tuple[set[Checkpoint], dict[Checkpoint, tuple[str, bool]], str]:
        """Those whose signatures are valid; the others with a sentence, and whether that is for the end of a
        former key alone; and why some could not be checked.
        """
        times = {**self._signing, **{value: SigningTime(at, "a time stamp") for value, at in stamped.items()}}
        every = list(dict.fromkeys(checkpoints))
        claims = [(one.signed, one.signature, times.get(one.signature.value)) for one in every]
        valid: set[Checkpoint] = set()
        wrong: dict[Checkpoint, tuple[str, bool]] = {}
        unchecked = ""
        for checkpoint, answer in zip(every, ask(claims)):
            if answer.valid:
                valid.add(checkpoint)
            elif answer.valid is None:
                unchecked = unchecked or answer.why
            elif answer.why:
                wrong[checkpoint] = (f"{checkpoint} does not count. {answer.why}", True)
            else:
                wrong[checkpoint] = (f"{checkpoint} is not signed by a configured key.", False)
        return valid, wrong, unchecked

    def _acknowledges(self, place: int, checkpoint: Checkpoint) -> bool:
        """Whether it acknowledges a break, and the journal up to it is still what was acknowledged."""
        mark = self._marks.get(checkpoint.seq)
        if checkpoint.broken is None or mark is None or self.digests.get(checkpoint.seq) != checkpoint.digest:
            return False
        return mark[1].checkpoints(self._stored[:place]) == checkpoint.broken.contents

    def _missing(self, checkpoint: Checkpoint, of: str) -> str:
        """What the journal lacks of what a checkpoint is over, "" if it holds that."""
        if elsewhere := another_database(str(checkpoint), of, checkpoint.database_id):
            return elsewhere
        if checkpoint.seq not in self.digests:
            gone = f"Entry {checkpoint.seq} is gone, at which the journal was signed on"
            return f"{gone} {shown_moment(checkpoint.at)}."
        if self.digests[checkpoint.seq] != checkpoint.digest:
            return f"Entry {checkpoint.seq} is not the one that was signed there."
        return ""


def _outside(
    held: Iterable[Checkpoint], places: Mapping[int, Anchor], stamped: Mapping[bytes, datetime]
) -> tuple[OutsideAnchor, ...]:
    """The places outside in which valid checkpoints are held that the journal agrees with."""
    found: dict[tuple[int, bytes], OutsideAnchor] = {}
    for checkpoint in held:
        anchor, at = places.get(id(checkpoint)), stamped.get(checkpoint.signature.value)
        if (anchor and anchor.where) or at:
            key = (checkpoint.seq, checkpoint.signature.value)
            known = found[key].where if key in found else ()
            where = (*known, *([anchor.where] if anchor and anchor.where else []))
            found[key] = OutsideAnchor(checkpoint.seq, tuple(dict.fromkeys(where)), at)
    return tuple(found[key] for key in sorted(found))


def unchecked_entry(entry: JournalEntry) -> str:
    """Return the sentence for an entry that only a function which checks it can have made, and did not."""
    return f"Entry {entry.seq} ({entry.action}) is mere text and counts for nothing: no check made it."


def journaled_anchor(entry: JournalEntry) -> Anchor | None:
    """The checkpoint that an entry tells of, with its time stamp; None if it tells of none."""
    if entry.action != CHECKPOINT or entry.outcome != DONE or entry.checked is False:
        return None
    try:
        return anchor_in(document_of(entry.detail))
    except UNREADABLE:
        return None


def anchor_outcomes(entry: JournalEntry) -> list[tuple[str, str]]:
    """Return where a checkpoint's entry says that it was anchored, each with the error, "" for none."""
    try:
        anchors = document_of(entry.detail).get("anchors")
    except UNREADABLE:
        return []
    told = [one for one in anchors if isinstance(one, dict)] if isinstance(anchors, list) else []
    return [(str(one.get("where")), str(one.get("error") or "")) for one in told]
