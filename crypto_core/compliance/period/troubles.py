"""What was wrong, and when: runs of records and changes brought together, one trouble a cause. Pure.

Causes that are about one thing and came and went with the same records are one. Changes say what began and
ended it. What was opened and closed between two records is known by the changes alone. An event of a change
that belongs to a trouble is none of its own, and neither is one that an operation on record explains.

A record shows a cause, or shows that it is gone, or can't tell: a part was not measured, a finding was
suppressed, or something could not be looked at that could be when the cause was last seen. What a record
can't tell, and days without one, end nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from crypto_core.compliance.answer import ControlAnswer, ControlStatus, size_of, without_counts
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.facts import ChangeFact, GuardingKeyFacts, KeyFact
from crypto_core.compliance.period import turns
from crypto_core.compliance.period.period import Lapse, LapseSource
from crypto_core.compliance.period.turns import told
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.findings.finding import Finding
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted, first_lines

RANK = {status: status.rank for status in ControlStatus}


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A record and the answer of every test to it, by the test's name."""

    record: EvidenceRecord
    answers: Mapping[str, ControlAnswer]

    @property
    def at(self) -> datetime:
        return self.record.taken_at

    def status(self, control: FrameworkControl) -> ControlStatus:
        """Return what a control comes to: the worst answer; not assessed where no test answers it."""
        told = (self.answers[name].status for name in control.tests)
        return min(told, key=RANK.__getitem__, default=ControlStatus.NOT_ASSESSED)

    def causes(self) -> dict[str, tuple[Finding, list[str]]]:
        """Return each cause by what it is of, once, with the tests that tell of it."""
        found: dict[str, tuple[Finding, list[str]]] = {}
        for name, answer in self.answers.items():
            for one in answer.causes:
                found.setdefault(one.thing, (one, []))[1].append(name)
        return found


def judge_records(records: Iterable[EvidenceRecord]) -> tuple[JudgedRecord, ...]:
    """Return records with their answers, in the order of time."""
    ordered = sorted(records, key=lambda one: (one.taken_at, one.number))
    return tuple(
        JudgedRecord(one, {name: test.answer(one.snapshot) for name, test in ALL_TESTS.items()})
        for one in ordered
    )


_NEAR = timedelta(minutes=15)
"""So far from an event the operation that made it is on record."""


@dataclass(eq=False, slots=True)
class Streak:
    """A cause in records that follow each other. `worst` is the cause where it is at its worst."""

    first: Finding
    worst: Finding
    tests: dict[str, None]
    seen: list[JudgedRecord]
    after: datetime | None
    """When the last record before was taken that shows it was not so."""
    before: datetime | None = None
    """When the first record was taken that shows it is gone."""
    last: Finding = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.first

    @property
    def first_at(self) -> datetime:
        return self.seen[0].at

    @property
    def last_at(self) -> datetime:
        return self.seen[-1].at

    @property
    def happening(self) -> bool:
        """Whether it is about what happened rather than what stands."""
        return self.first.first_at is not None

    def see(self, record: JudgedRecord, cause: Finding, tests: Sequence[str]) -> None:
        self.seen.append(record)
        self.tests |= dict.fromkeys(tests)
        self.worst = max(self.worst, cause, key=size_of)
        self.last = cause


def runs_of(judged: Sequence[JudgedRecord]) -> tuple[Streak, ...]:
    """Return every run of every cause, in the order in which they began."""
    every: list[Streak] = []
    standing: dict[str, Streak] = {}
    for place, record in enumerate(judged):
        shown = record.causes()
        for id_ in [one for one in standing if one not in shown]:
            run = standing[id_]
            if shows_gone(record, run.seen[-1], run.last, run.tests):
                run.before = record.at
                del standing[id_]
        for id_, (cause, tests) in shown.items():
            if id_ in standing:
                standing[id_].see(record, cause, tests)
            else:
                after = _last_without(judged[:place], record, cause, tests)
                standing[id_] = Streak(cause, cause, dict.fromkeys(tests), [record], after)
                every.append(standing[id_])
    return tuple(every)


def shows_gone(record: JudgedRecord, seen: JudgedRecord, cause: Finding, tests: Iterable[str]) -> bool:
    """Return whether a record shows that a cause is not there which another one showed.

    So it is where a test that told of it was answered, does not tell of it any more, and looked at all that
    it looked at then.
    """
    gone = False
    for name in tests:
        answer = record.answers[name]
        if any(one.thing == cause.thing for one in (*answer.causes, *answer.undecided)):
            return False
        if answer.status is not ControlStatus.NOT_ASSESSED:
            gone = gone or unseen(answer) <= unseen(seen.answers[name])
    return gone


def unseen(answer: ControlAnswer) -> frozenset[str]:
    """Return what a test could not look at, in a form to compare."""
    return frozenset(map(without_counts, answer.unseen))


def _last_without(
    earlier: Sequence[JudgedRecord], record: JudgedRecord, cause: Finding, tests: Sequence[str]
) -> datetime | None:
    """When the last of the records was taken that shows it was not so; those that can't tell are passed."""
    return next((one.at for one in reversed(earlier) if shows_gone(one, record, cause, tests)), None)


@dataclass(eq=False, slots=True)
class Trouble:
    """Something that was wrong: the runs that are one thing, or the changes that alone tell of it.

    The moments are those of a Lapse. `happened` are findings about events that began, ended or changed it.
    """

    aspect: turns.Aspect
    subject: str
    source: LapseSource
    first_at: datetime
    last_at: datetime
    after: datetime | None
    before: datetime | None
    runs: Sequence[Streak] = ()
    began: turns.Turn = turns.NO_TURN
    ended: turns.Turn = turns.NO_TURN
    happened: list[Streak] = field(default_factory=list)

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that tell of it; where changes alone do, those that would have told."""
        by_runs = [name for run in (*self.runs, *self.happened) for name in run.tests]
        expected = () if self.runs else turns.table_of(self.aspect).tests
        return tuple(dict.fromkeys((*expected, *by_runs)))

    def may_hold(self, at: datetime) -> bool:
        """Return whether it is not known to have begun later, or to have ended before."""
        return (self.after is None or self.after <= at) and (self.before is None or at <= self.before)


_Things = Mapping[tuple[turns.Aspect, str], Sequence[Trouble]]
"""Troubles by what they are about: aspect and subject."""


@dataclass(eq=False)
class TroubleFinder:
    """Finds what was wrong. Records and changes are in the order of time."""

    judged: Sequence[JudgedRecord]
    changes: Sequence[ChangeFact]
    subjects: turns.Subjects
    guarding: Sequence[frozenset[str]]
    """The keys that guard tokens, by their one names, as each record knows them."""

    def __post_init__(self) -> None:
        self._by_subject: dict[str, list[ChangeFact]] = {}
        for change in self.changes:
            self._by_subject.setdefault(self.subjects.one(change.subject), []).append(change)
        self._times = [change.at for change in self.changes]

    def find(self) -> tuple[tuple[Trouble, ...], tuple[Trouble, ...]]:
        """Return what was wrong, and what events tell of that operations on record explain."""
        runs = runs_of(self.judged)
        standing = [self._standing(group) for group in self._one_things(r for r in runs if not r.happening)]
        known = [*standing, *self._by_changes(_by_thing(standing))]
        things = _by_thing(known)
        alone = [run for run in runs if run.happening and not self._put_to(run, things)]
        events = [self._event(group) for group in self._one_things(alone)]
        explained = [one for one in events if self._is_explained(one)]
        return (*known, *(one for one in events if one not in explained)), tuple(explained)

    def _one_things(self, runs: Iterable[Streak]) -> Iterator[list[Streak]]:
        """Group runs that are about one thing and came and went with the same records."""
        groups: dict[tuple[object, ...], list[Streak]] = {}
        for run in runs:
            subject = self.subjects.one(run.first.subject)
            always = run.after is None and run.before is None
            thing = turns.thing_of(run.first, subject, together=not always)
            key = (*thing, run.seen[0].record.number, run.seen[-1].record.number)
            groups.setdefault(key, []).append(run)
        yield from groups.values()

    def _standing(self, runs: Sequence[Streak]) -> Trouble:
        first = runs[0]
        aspect, subject = turns.aspect_of(first.first.rule), self.subjects.one(first.first.subject)
        after = max((run.after for run in runs if run.after), default=None)
        before = min((run.before for run in runs if run.before), default=None)
        near = self._changes_of(aspect, subject, runs)
        began = turns.beginning(near, aspect, after, first.first_at)
        ended = turns.ending(near, aspect, first.last_at, before, began.changes)
        if ended is turns.NO_TURN and aspect is turns.Aspect.STORAGE:
            # Writing many tokens anew takes a while: it may have begun before the last record with some left.
            ended = turns.ending(near, aspect, first.first_at, before)
        return Trouble(
            aspect,
            subject,
            LapseSource.RECORDS,
            began.at or first.first_at,
            ended.at or first.last_at,
            began.at or after,
            ended.at or before,
            runs,
            began,
            ended,
        )

    def _changes_of(self, aspect: turns.Aspect, subject: str, runs: Sequence[Streak]) -> Sequence[ChangeFact]:
        """The changes that are about it; of tokens, those of its columns, else those of any."""
        if aspect is not turns.Aspect.STORAGE:
            return self._by_subject.get(subject, ())
        found = [one for one in self.changes if turns.concerns(one, aspect)]
        columns = [run.first.subject for run in runs]
        named = [one for one in found if any(column and column in one.subject for column in columns)]
        return named or found

    def _by_changes(self, standing: _Things) -> Iterator[Trouble]:
        for subject, changes in self._by_subject.items():
            for aspect in turns.CHANGED_ASPECTS:
                theirs = standing.get((aspect, subject), ())
                for opened in _openings(changes, aspect):
                    if aspect in turns.OF_GUARDING_KEYS and not self._guards(subject, opened[0].at):
                        continue
                    found = self._changed(aspect, subject, opened, changes)
                    if not any(_is_same(found, opened, one) for one in theirs):
                        yield found

    def _changed(
        self, aspect: turns.Aspect, subject: str, opened: Sequence[ChangeFact], changes: Sequence[ChangeFact]
    ) -> Trouble:
        began = turns.fact(opened[0], opened)
        ended = turns.ending(changes, aspect, opened[-1].at, None, opened)
        first_at = began.at or opened[0].at
        gone = self._first_without(aspect, subject, opened[-1].at) if ended.at is None else None
        if gone is not None:
            ended = turns.ending(changes, aspect, opened[-1].at, gone, opened)
        last_at = ended.at or opened[-1].at
        before = ended.at or gone
        return Trouble(
            aspect, subject, LapseSource.EVENTS, first_at, last_at, first_at, before, (), began, ended
        )

    def _first_without(self, aspect: turns.Aspect, subject: str, at: datetime) -> datetime | None:
        for one in self.judged:
            if one.at > at and self._shows_none(one, aspect, subject):
                return one.at
        return None

    def _shows_none(self, record: JudgedRecord, aspect: turns.Aspect, subject: str) -> bool:
        answers = [record.answers[name] for name in turns.table_of(aspect).tests]
        told = [one for answer in answers for one in (*answer.causes, *answer.undecided)]
        assessed = any(answer.status is not ControlStatus.NOT_ASSESSED for answer in answers)
        return assessed and not any(self._is_about(one, aspect, subject) for one in told)

    def records_without(self, trouble: Trouble) -> tuple[int, ...]:
        """Return the records that were taken within a trouble and show nothing of it."""
        return tuple(
            one.record.number
            for one in self.judged
            if trouble.first_at < one.at < trouble.last_at
            and self._shows_none(one, trouble.aspect, trouble.subject)
        )

    def _guards(self, subject: str, at: datetime) -> bool:
        places = [place for place, one in enumerate(self.judged) if one.at > at]
        place = places[0] if places else len(self.judged) - 1
        return place >= 0 and subject in self.guarding[place]

    def _put_to(self, run: Streak, known: _Things) -> bool:
        """Put what happened to the trouble that it began, ended or changed. False if there is none."""
        aspect, subject = turns.aspect_of(run.first.rule), self.subjects.one(run.first.subject)
        at = run.first.first_at or run.first_at
        about = [one for one in known.get((aspect, subject), ()) if one.may_hold(at)]
        if aspect is turns.Aspect.OTHER or not about:
            return False
        max(about, key=lambda one: one.first_at).happened.append(run)
        return True

    def _event(self, runs: Sequence[Streak]) -> Trouble:
        first = min(run.first.first_at or run.first_at for run in runs)
        last = max(run.last.first_at or run.last_at for run in runs)
        after = max((run.after for run in runs if run.after and run.after <= first), default=None)
        before = min((run.before for run in runs if run.before), default=None)
        aspect, subject = turns.aspect_of(runs[0].first.rule), self.subjects.one(runs[0].first.subject)
        return Trouble(aspect, subject, LapseSource.EVENTS, first, max(first, last), after, before, runs)

    def _is_explained(self, trouble: Trouble) -> bool:
        """Whether an operation on record made the change, and nothing was opened by it."""
        if trouble.aspect not in (*turns.CHANGED_ASPECTS, turns.Aspect.ALIAS):
            return False
        first = bisect_left(self._times, trouble.first_at - _NEAR)
        last = bisect_right(self._times, trouble.last_at + _NEAR)
        near = [
            one
            for one in self.changes[first:last]
            if self.subjects.one(one.subject) == trouble.subject or trouble.subject in one.subject
        ]
        made = [one for one in near if one.source != turns.TRAIL and one.outcome == turns.DONE]
        return bool(made) and not any(one.opens for one in near)

    def _is_about(self, cause: Finding, aspect: turns.Aspect, subject: str) -> bool:
        return turns.aspect_of(cause.rule) is aspect and self.subjects.one(cause.subject) == subject


def _by_thing(troubles: Iterable[Trouble]) -> dict[tuple[turns.Aspect, str], list[Trouble]]:
    found: dict[tuple[turns.Aspect, str], list[Trouble]] = {}
    for one in troubles:
        found.setdefault((one.aspect, one.subject), []).append(one)
    return found


def _openings(changes: Sequence[ChangeFact], aspect: turns.Aspect) -> Iterator[list[ChangeFact]]:
    """Each row of changes that begin it, up to the one that ends it; each grant alone."""
    opened: list[ChangeFact] = []
    for change in changes:
        if turns.begins(change, aspect):
            if turns.stays_open(change):
                yield [change]
            else:
                opened.append(change)
        elif turns.ends(change, aspect) and opened:
            yield opened
            opened = []
    if opened:
        yield opened


def _is_same(found: Trouble, opened: Sequence[ChangeFact], other: Trouble) -> bool:
    """Whether a trouble that records show is the one that changes tell of.

    Rotation is on or off: what overlaps is one. A policy can be too wide in several ways at a time: there the
    records must have begun to show it by one of these changes.
    """
    if found.aspect is turns.Aspect.ACCESS:
        return any(change in other.began.changes for change in opened)
    begins_first = found.before is None or other.first_at <= found.last_at
    return begins_first and (other.before is None or found.first_at <= other.last_at)


Exemptions = Mapping[str, Sequence[Exemption]]
_MOST = 3
"""Sentences of a lapse that are shown; it has one for each finding."""


def find_lapses(
    judged: Sequence[JudgedRecord],
    changes: Sequence[ChangeFact],
    controls: Sequence[FrameworkControl],
    exemptions: Exemptions,
    end: date,
) -> tuple[tuple[Lapse, ...], tuple[Lapse, ...]]:
    """Return the lapses of these controls, and what events tell of that operations on record explain.

    Both are in the order of time. `judged` and `changes` are so, too; `end` is the period's last day.
    """
    keys = [_keys(one) for one in judged]
    subjects = turns.Subjects.of((key.name, key.arn) for found in keys for key in found)
    guarding = [frozenset(subjects.one(key.arn) for key in found) for found in keys]
    finder = TroubleFinder(judged, changes, subjects, guarding)
    found, explained = finder.find()

    def lapses(troubles: Iterable[Trouble]) -> tuple[Lapse, ...]:
        every = [_lapse(one, finder, controls, exemptions, end) for one in troubles]
        return tuple(
            sorted((one for one in every if one.controls), key=lambda one: (one.first_at, one.cause))
        )

    return lapses(found), lapses(explained)


def _keys(judged: JudgedRecord) -> tuple[KeyFact, ...]:
    facts = judged.record.snapshot.known(GuardingKeyFacts)
    return facts.keys if facts else ()


def _lapse(
    trouble: Trouble,
    finder: TroubleFinder,
    controls: Iterable[FrameworkControl],
    exemptions: Exemptions,
    end: date,
) -> Lapse:
    theirs = tuple(one for one in controls if set(one.tests) & set(trouble.tests))
    days = _days(trouble, end)
    every = [one for control in theirs for one in exemptions.get(control.id, ())]
    shown = [record for run in (*trouble.runs, *trouble.happened) for record in run.seen]
    changes = dict.fromkeys((*trouble.began.changes, *trouble.ended.changes))
    return Lapse(
        cause=clean(_cause(trouble), 600),
        what=_what(trouble),
        source=trouble.source,
        first_at=trouble.first_at,
        last_at=trouble.last_at,
        after=trouble.after,
        before=trouble.before,
        ended_by=trouble.ended.words,
        tests=tuple(map(clean, trouble.tests)),
        controls=theirs,
        changes=tuple(sorted(changes, key=lambda one: one.at)),
        records=tuple(sorted({one.record.number for one in shown})),
        began_by=trouble.began.words,
        remarks=tuple(_remarks(trouble, finder)),
        exemptions=tuple(dict.fromkeys(one for one in every if any(map(one.holds_on, days)))),
        excepted=bool(theirs)
        and all(
            any(granted.holds_on(day) for granted in exemptions.get(one.id, ()))
            for one in theirs
            for day in days
        ),
    )


def _days(trouble: Trouble, end: date) -> Sequence[date]:
    """The days of it; what isn't over goes on to the period's end."""
    first = trouble.first_at.date()
    last = trouble.last_at.date() if trouble.before else max(trouble.last_at.date(), end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _worst(trouble: Trouble) -> list[Finding]:
    runs = trouble.runs or trouble.happened
    return sorted((run.worst for run in runs), key=lambda one: (-size_of(one), one.thing))


def _cause(trouble: Trouble) -> str:
    if trouble.runs:
        return _worst(trouble)[0].thing
    return f"{trouble.aspect} {trouble.subject}"


def _what(trouble: Trouble) -> CleanText:
    sentences: list[str] = list(dict.fromkeys(one.title for one in _worst(trouble)))
    if not trouble.runs:
        opened = [one for one in trouble.began.changes if one.opens]
        sentences = [f"{opened[0].opens}: {opened[0].subject}"] if opened else sentences
        sentences = sentences or [told(one) for one in trouble.began.changes[:1]]
    return clean("; ".join(first_lines(sentences, _MOST)), 600)


def _remarks(trouble: Trouble, finder: TroubleFinder) -> Iterable[CleanText]:
    judged = finder.judged
    if trouble.source is LapseSource.RECORDS:
        seen = {record.record.day for run in trouble.runs for record in run.seen}
        first, last = trouble.runs[0].first_at.date(), trouble.runs[0].last_at.date()
        if unknown := (last - first).days + 1 - len(seen):
            days = counted(unknown, "day")
            yield clean(f"Nothing is known of {days} within it: no record, or none that could tell.")
        ids = {run.first.thing for run in trouble.runs}
        later = [one for one in judged if one.at > trouble.runs[0].last_at]
        hidden = [one for one in later if ids & {c.thing for a in one.answers.values() for c in a.undecided}]
        if hidden and not trouble.ended.at:
            yield clean(f"From record {hidden[0].record.number} on it is suppressed or left open, not gone.")
    elif without := finder.records_without(trouble):
        yield clean(f"Record {without[0]}, taken within it, shows nothing of it.")
