"""What a test answers, and what a control comes to by its tests' answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crypto_core.compliance.cause import NO_KIND, Cause, cause
from crypto_core.compliance.snapshot import Lack, MissingPart
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

MOST_LINES = 8
"""Lines of evidence of one kind that an answer has."""


class ControlStatus(StrEnum):
    """What a control, or a test, comes to; the worst first."""

    NOT_MET = "not met"
    NOT_ASSESSED = "not assessed"
    PARTLY = "partly"
    """As far as it was measured nothing is wrong, and something was not measured or holds in part alone."""
    MET = "met"

    @property
    def rank(self) -> int:
        """0 for the worst; for sorting."""
        return list(ControlStatus).index(self)


@dataclass(frozen=True, slots=True)
@cleans(lines=600, reason=600, unseen=600)
class ControlAnswer:
    """A test's answer. `lines` are its evidence; `lack` and `reason` say why it is not assessed."""

    status: ControlStatus
    lines: tuple[CleanText, ...] = ()
    lack: Lack | None = None
    reason: CleanText = NO_TEXT
    causes: tuple[Cause, ...] = ()
    """Why it is not met: everything that is wrong, however many lines tell of it."""
    undecided: tuple[Cause, ...] = ()
    """What stands and is not counted as wrong, such as a suppressed finding."""
    unseen: tuple[CleanText, ...] = ()
    """What could not be looked at: something wrong may hide there."""

    def as_json(self) -> dict[str, Any]:
        """The answer as a JSON document's part."""
        return {
            "status": self.status.value,
            "lines": list(self.lines),
            "lack": self.lack.value if self.lack else None,
            "reason": self.reason or None,
        }


def answer(
    good: Sequence[str],
    *,
    bad: Sequence[str] = (),
    open_: Sequence[str] = (),
    unseen: Sequence[str] = (),
    causes: Sequence[Cause] = (),
    undecided: Sequence[Cause] = (),
) -> ControlAnswer:
    """Return not met where anything is bad, partly where something is left open or unseen, else met.

    The evidence is what is bad, then what is open, what is unseen, and what is good. `causes` are those of
    what is bad, `undecided` those of what is open; without them the test has one cause.
    """
    left = bool(open_ or unseen)
    status = ControlStatus.NOT_MET if bad else ControlStatus.PARTLY if left else ControlStatus.MET
    lines = (*_first(bad), *_first(open_), *_first(unseen), *_first(good))
    return ControlAnswer(
        status,
        tuple(clean(line, 600) for line in lines),
        causes=tuple(causes) or tuple(cause(NO_KIND, what=line) for line in bad[:1]),
        undecided=tuple(undecided),
        unseen=tuple(clean(line, 600) for line in unseen),
    )


def not_assessed(reason: str, lack: Lack = Lack.NOTHING) -> ControlAnswer:
    """Return an answer that says why there is none."""
    return ControlAnswer(ControlStatus.NOT_ASSESSED, (), lack, clean(reason, 600))


def lacking(missing: MissingPart) -> ControlAnswer:
    """Return the answer to what a part is missing for."""
    return not_assessed(missing.reason, missing.lack)


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more:,} more"] if more > 0 else [])]
