"""What is to become of the guards, told before anything happens; what became of it; and the statements.

These are transactions that wait 2 s for a lock at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from crypto_core.database.column_guards.check_expression import check_expression
from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.qualified_sql import qualified
from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format
from crypto_core.guard.consent import Danger
from crypto_core.text.cleaning import clean, cleans
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class GuardRequest:
    """What is asked for. Without `columns` it is every token column."""

    removes: bool = False
    least: Format = Format.V1
    """The oldest envelope format that may be written."""
    columns: tuple[str, ...] = ()
    everything: bool = False
    """True to guard columns too where that may stop the platform from writing."""

    @property
    def subject(self) -> str:
        return ", ".join(self.columns) or "token columns"


class StepKind(StrEnum):
    """What is done to a column's constraint."""

    ADD = "add"
    REPLACE = "replace"
    """Another definition is there: it is dropped, and ours is added, in one transaction."""
    VALIDATE = "validate"
    DROP = "drop"


_VERBS = {
    StepKind.ADD: "Refuse what is no envelope in",
    StepKind.REPLACE: "Replace the check on",
    StepKind.VALIDATE: "Validate the check on",
    StepKind.DROP: "Remove the check on",
}


@dataclass(frozen=True, slots=True)
class ColumnStep(JsonRecord):
    """What is to be done for one column. `refused` are stored values that the check refuses.

    `risk` is why it may stop the platform from writing, "" if nothing says so.
    """

    guard: ColumnGuard
    kind: StepKind
    validates: bool = False
    refused: int = 0
    risk: str = ""

    json_shape = shape(
        "column constraint=guard.constraint does=kind was=guard.state becomes=expected refused risk"
    )

    @property
    def column(self) -> TokenColumn:
        return self.guard.column

    @property
    def expected(self) -> GuardState:
        """Where the guard stands afterwards."""
        if self.kind is StepKind.DROP:
            return GuardState.MISSING
        return GuardState.VALIDATED if self.validates else GuardState.NOT_VALIDATED

    @property
    def sentence(self) -> str:
        validated = ", validated at once" if self.validates and self.kind is not StepKind.VALIDATE else ""
        return f"{_VERBS[self.kind]} {self.column}{validated}."


@dataclass(frozen=True, slots=True)
@cleans(reason=1_000)
class LeftOut(JsonRecord):
    """A column for which nothing is done, and why."""

    column: TokenColumn
    reason: str


@dataclass(frozen=True, slots=True)
@cleans(warnings=2_000)
class GuardPlan(JsonRecord, RunsCode):
    """A dry run's result; nothing has been changed."""

    request: GuardRequest
    steps: tuple[ColumnStep, ...]
    left_out: tuple[LeftOut, ...] = ()
    """Columns that stay as they are because a guard may stop the platform there, or can't be had."""
    warnings: tuple[str, ...] = ()
    code: tuple[AttachedCode, ...] = ()

    json_shape = shape(
        "does least=request.least all=request.everything columns=steps left_out warnings plan=digest",
        does=lambda record: "remove" if record.request.removes else "apply",
    )

    @property
    def summary(self) -> str:
        """What is to be done, on one line."""
        columns = counted(len(self.steps), "token column")
        if self.request.removes:
            return f"Remove the check that refuses what is no envelope from {columns}"
        older = "" if self.request.least is Format.V1 else f" of {self.request.least} or newer"
        return f"Have the database refuse what is no envelope{older} in {columns}"

    @property
    def danger(self) -> Danger:
        """How much asking it takes: typing, where the platform may be stopped from writing."""
        if not self.steps:
            return Danger.NONE
        return Danger.TYPED if any(step.risk for step in self.steps) else Danger.CONFIRM

    @property
    def confirmation(self) -> str:
        return str(len(self.steps))

    @property
    def digest(self) -> str:
        """Names exactly this. How many values are refused may change while the platform works."""
        steps = [
            (str(s.column), s.guard.place, s.kind.value, s.validates, s.guard.state.value, bool(s.risk))
            for s in self.steps
        ]
        code = [code.as_json() for code in self.code]
        told = ["guard", self.request.removes, self.request.least.value, steps, *([code] if code else [])]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
@cleans(why=2_000)
class ColumnOutcome(JsonRecord):
    """Where a column's guard stands after a run; `why` says what stopped it, "" where it is as planned."""

    column: TokenColumn
    state: GuardState | None
    """None where it could not be read back."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class GuardResult(JsonRecord):
    """What became of a plan, as read back from the catalogue."""

    plan: GuardPlan
    outcomes: tuple[ColumnOutcome, ...]
    unjournaled: str = ""
    """Why the end is not in the journal, "" if it is."""

    json_shape = shape("*plan done ...")

    @property
    def done(self) -> bool:
        return not any(outcome.why for outcome in self.outcomes)


LOCK_SECONDS = 2
LOCK_LIMIT = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
_LONGEST = 20_000


def transactions(step: ColumnStep, least: Format) -> Iterator[tuple[str, ...]]:
    """Give the statements of a step: those of each transaction, without its beginning and its end."""
    guard = step.guard
    table, name = f"ALTER TABLE {guard.place}", _quoted(guard.constraint)
    drop = f"{table} DROP CONSTRAINT {name}"
    check = qualified(check_expression(guard.quoted, guard.type, least, document=guard.document))
    add = f"{table} ADD CONSTRAINT {name} CHECK ({check}) NOT VALID"
    match step.kind:
        case StepKind.DROP:
            yield (drop,)
        case StepKind.ADD:
            yield (add,)
        case StepKind.REPLACE:
            yield drop, add
        case StepKind.VALIDATE:
            pass
    if step.validates:
        yield (f"{table} VALIDATE CONSTRAINT {name}",)


def script(steps: Iterable[ColumnStep], least: Format) -> Iterator[str]:
    """Give the lines of a script for whoever owns the tables, to be run as that role.

    A name that is not printable is another one once it is cleaned: its statements stand there as a comment.
    """
    for step in steps:
        guard: ColumnGuard = step.guard
        yield f"-- {clean(step.sentence, 1_000)} Run as {guard.owner}."
        for statements in transactions(step, least):
            lines = ("BEGIN", LOCK_LIMIT, *statements, "COMMIT")
            safe = all(clean(line, _LONGEST) == line for line in lines)
            before = "" if safe else "-- Not printable: "
            yield from (f"{before}{clean(line, _LONGEST)};" for line in lines)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
