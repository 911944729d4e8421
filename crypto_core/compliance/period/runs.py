"""From when to when each cause is known to have stood, by records alone.

A record shows a cause, or shows that it is gone, or can't tell: a part was not measured, a finding was
suppressed, or something could not be looked at that could be when the cause was last seen. What a record
can't tell, and days without one, end nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from crypto_core.compliance.answer import ControlAnswer, ControlStatus
from crypto_core.compliance.cause import Cause, without_counts
from crypto_core.compliance.period.judged_records import JudgedRecord


@dataclass(eq=False, slots=True)
class Run:
    """A cause in records that follow each other. `worst` is the cause where it is at its worst."""

    first: Cause
    worst: Cause
    tests: dict[str, None]
    seen: list[JudgedRecord]
    after: datetime | None
    """When the last record before was taken that shows it was not so."""
    before: datetime | None = None
    """When the first record was taken that shows it is gone."""
    undecided: int = 0
    """How many records between these could not tell."""
    last: Cause = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.first

    @property
    def first_at(self) -> datetime:
        """When the first record that shows it was taken."""
        return self.seen[0].at

    @property
    def last_at(self) -> datetime:
        """When the last record that shows it was taken."""
        return self.seen[-1].at

    @property
    def happening(self) -> bool:
        """Whether it is about what happened rather than what stands."""
        return self.first.at is not None

    def see(self, record: JudgedRecord, cause: Cause, tests: Sequence[str]) -> None:
        """Take a record that shows it."""
        self.seen.append(record)
        self.tests |= dict.fromkeys(tests)
        self.worst = max(self.worst, cause, key=lambda one: one.size)
        self.last = cause


def runs_of(judged: Sequence[JudgedRecord]) -> tuple[Run, ...]:
    """Return every run of every cause, in the order in which they began."""
    every: list[Run] = []
    standing: dict[str, Run] = {}
    for place, record in enumerate(judged):
        shown = record.causes()
        for id_ in [one for one in standing if one not in shown]:
            run = standing[id_]
            if shows_gone(record, run.seen[-1], run.last, run.tests):
                run.before = record.at
                del standing[id_]
            else:
                run.undecided += 1
        for id_, (cause, tests) in shown.items():
            if id_ in standing:
                standing[id_].see(record, cause, tests)
            else:
                after = _last_without(judged[:place], record, cause, tests)
                standing[id_] = Run(cause, cause, dict.fromkeys(tests), [record], after)
                every.append(standing[id_])
    return tuple(every)


def shows_gone(record: JudgedRecord, seen: JudgedRecord, cause: Cause, tests: Iterable[str]) -> bool:
    """Return whether a record shows that a cause is not there which another one showed.

    So it is where a test that told of it was answered, does not tell of it any more, and looked at all that
    it looked at then.
    """
    gone = False
    for name in tests:
        answer = record.answers[name]
        if any(one.id == cause.id for one in (*answer.causes, *answer.undecided)):
            return False
        if answer.status is not ControlStatus.NOT_ASSESSED:
            gone = gone or unseen(answer) <= unseen(seen.answers[name])
    return gone


def unseen(answer: ControlAnswer) -> frozenset[str]:
    """Return what a test could not look at, in a form to compare."""
    return frozenset(map(without_counts, answer.unseen))


def _last_without(
    earlier: Sequence[JudgedRecord], record: JudgedRecord, cause: Cause, tests: Sequence[str]
) -> datetime | None:
    """When the last of the records was taken that shows it was not so; those that can't tell are passed."""
    return next((one.at for one in reversed(earlier) if shows_gone(one, record, cause, tests)), None)
