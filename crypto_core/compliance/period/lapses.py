"""Lapses in words, of the controls that were asked for, and the exceptions that held. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from crypto_core.compliance.answer import size_of
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFact, GuardingKeyFacts, KeyFact
from crypto_core.compliance.period.judged_records import JudgedRecord
from crypto_core.compliance.period.period import Lapse, LapseSource
from crypto_core.compliance.period.troubles import Trouble, TroubleFinder
from crypto_core.compliance.period.turns import Subjects, told
from crypto_core.findings.finding import Finding
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import counted

Exemptions = Mapping[str, Sequence[Exemption]]
_MOST = 3
"""Sentences of one lapse that are told; it has one for each finding."""


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
    subjects = Subjects.of((key.name, key.arn) for found in keys for key in found)
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
    more = len(sentences) - _MOST
    return clean("; ".join([*sentences[:_MOST], *([f"and {more:,} more"] if more > 0 else [])]), 600)


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
