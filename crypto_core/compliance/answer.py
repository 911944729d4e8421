"""What a test answers, and what a control comes to by its tests' answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.findings.finding import Finding, Severity
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.counts import first_lines
from crypto_core.values.json_records import JsonRecord, shape

_COUNT = re.compile(r"(?<![\w.:/-])[0-9][0-9,]*(?![\w:/-])")
"""A number that stands by itself, such as a count; not part of a name, a date or an ARN."""

BY_TEST = ""
"""The rule of a cause that is known by its test alone; the test's name stands for it."""
MOST_LINES = 8


def cause(rule: str, subject: str = "", what: str = "", tokens: int = 0) -> Finding:
    """Return what a test finds, which has no severity: `rule` is its word for it, `what` the sentence."""
    return Finding(rule, Severity.NONE, subject, clean(what or rule, 300), "", "", tokens=tokens)


def size_of(cause: Finding) -> int:
    """Return how bad a cause is beside the same on another day: by its severity, else by its tokens."""
    return cause.tokens if cause.severity is Severity.NONE else len(Severity) - cause.severity.rank


def without_counts(text: str) -> CleanText:
    """Return a text with "#" for each number that stands by itself: the same while numbers change."""
    return clean(_COUNT.sub("#", text), 300)


class ControlStatus(StrEnum):
    """What a control, or a test, comes to; the worst first."""

    NOT_MET = "not met"
    NOT_ASSESSED = "not assessed"
    PARTLY = "partly"
    """As far as it was measured nothing is wrong, and something was not measured or holds in part alone."""
    MET = "met"

    @property
    def rank(self) -> int:
        return list(ControlStatus).index(self)


@dataclass(frozen=True, slots=True)
@cleans(lines=600, reason=600, unseen=600)
class ControlAnswer(JsonRecord):
    """A test's answer. `lines` are its evidence; `lack` and `reason` say why it is not assessed."""

    status: ControlStatus
    lines: tuple[CleanText, ...] = ()
    lack: Lack | None = None
    reason: CleanText = NO_TEXT
    causes: tuple[Finding, ...] = ()
    """Why it is not met: everything that is wrong, however many lines tell of it."""
    undecided: tuple[Finding, ...] = ()
    """What stands and is not counted as wrong, such as a suppressed finding."""
    unseen: tuple[CleanText, ...] = ()
    """What could not be looked at: something wrong may hide there."""

    json_shape = shape("status lines lack reason?")


def answer(
    good: Sequence[str | Finding],
    *,
    bad: Sequence[str | Finding] = (),
    open_: Sequence[str | Finding] = (),
    unseen: Sequence[str] = (),
    causes: Sequence[Finding] = (),
    undecided: Sequence[Finding] = (),
) -> ControlAnswer:
    """Return not met where anything is bad, partly where something is left open or unseen, else met.

    The evidence is what is bad, then what is open, what is unseen, and what is good. What is bad is its own
    cause, and what is open is undecided, where it isn't a line alone; `causes` and `undecided` are those of
    lines. Without any the test has one cause.
    """
    causes = [*causes, *(one for one in bad if isinstance(one, Finding))]
    undecided = [*undecided, *(one for one in open_ if isinstance(one, Finding))]
    left = bool(open_ or unseen)
    status = ControlStatus.NOT_MET if bad else ControlStatus.PARTLY if left else ControlStatus.MET
    lines = (*_first(bad), *_first(open_), *_first(unseen), *_first(good))
    return ControlAnswer(
        status,
        tuple(clean(line, 600) for line in lines),
        causes=tuple(causes) or tuple(cause(BY_TEST, what=str(line)) for line in bad[:1]),
        undecided=tuple(undecided),
        unseen=tuple(clean(line, 600) for line in unseen),
    )


def not_assessed(reason: str, lack: Lack = Lack.NOTHING) -> ControlAnswer:
    return ControlAnswer(ControlStatus.NOT_ASSESSED, (), lack, clean(reason, 600))


def lacking(missing: MissingPart) -> ControlAnswer:
    return not_assessed(missing.reason, missing.lack)


def _first(found: Sequence[str | Finding]) -> tuple[str, ...]:
    return first_lines([one if isinstance(one, str) else one.title for one in found], MOST_LINES)


@dataclass(frozen=True, slots=True)
class ControlTest:
    """One test. `ask` gets the moment of the snapshot and the facts of `parts`, in their order.

    It is asked only where all of these are there: what is missing is never met.
    """

    name: str
    measures: str
    parts: tuple[SnapshotPart, ...]
    ask: Callable[..., ControlAnswer]

    def answer(self, snapshot: Snapshot) -> ControlAnswer:
        """Return what the test says of a snapshot. Pure."""
        found = [snapshot.part(part) for part in self.parts]
        for one in found:
            if isinstance(one, MissingPart):
                return lacking(one)
        answer = self.ask(snapshot.taken_at, *found)
        if not (answer.causes or answer.undecided):
            return answer
        return replace(answer, causes=self._named(answer.causes), undecided=self._named(answer.undecided))

    def _named(self, causes: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Each cause once; one without a rule is known by this test."""
        named = [one if one.rule else replace(one, rule=self.name) for one in causes]
        return tuple({one.thing: one for one in reversed(named)}.values())[::-1]


def control_test(name: str, *parts: SnapshotPart) -> Callable[[Callable[..., ControlAnswer]], ControlTest]:
    """Declare the function below as a test; the first paragraph of its docstring is what it measures."""

    def declare(ask: Callable[..., ControlAnswer]) -> ControlTest:
        measures = (ask.__doc__ or "").partition("\n\n")[0]
        return ControlTest(name, " ".join(measures.split()), parts, ask)

    return declare
