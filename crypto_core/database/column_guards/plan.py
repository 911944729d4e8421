"""Plans for the guards, their results, and the statements: transactions that wait 2 s for a lock at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from crypto_core.database.column_guards.check_expression import check_expression
from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.qualified_sql import qualified
from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format
from crypto_core.guard.consent import Danger, document_digest
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class GuardRequest:
    """Without `columns` it is every token column."""

    removes: bool = False
    least: Format = Format.V1
    columns: tuple[str, ...] = ()
    everything: bool = False
    """Whether to guard columns too where that may stop the platform from writing."""

    @property
    def subject(self) -> str:
        return ", ".join(self.columns) or "token columns"


class StepKind(StrEnum):
    ADD = "add"
    REPLACE = "replace"
    """Another definition is there: it is dropped and ours added, in one transaction."""
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
    """A column's step. `refused` counts stored values that the check refuses.

    `risk` is why it may stop the platform from writing.
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
    column: TokenColumn
    reason: str


@dataclass(frozen=True, slots=True)
@cleans(warnings=2_000)
class GuardPlan(JsonRecord, RunsCode):
    """A dry run's result; nothing has been changed."""

    request: GuardRequest
    steps: tuple[ColumnStep, ...]
    left_out: tuple[LeftOut, ...] = ()
    """Columns where a guard may stop the platform, or can't be had."""
    warnings: tuple[str, ...] = ()
    code: tuple[AttachedCode, ...] = ()

    json_shape = shape(
        "does least=request.least all=request.everything columns=steps left_out warnings plan=digest",
        does=lambda record: "remove" if record.request.removes else "apply",
    )

    @property
    def summary(self) -> str:
        columns = counted(len(self.steps), "token column")
        if self.request.removes:
            return f"Remove the check that refuses what is no envelope from {columns}"
        older = "" if self.request.least is Format.V1 else f" of {self.request.least} or newer"
        return f"Have the database refuse what is no envelope{older} in {columns}"

    @property
    def danger(self) -> Danger:
        if not self.steps:
            return Danger.NONE
        return Danger.TYPED if any(step.risk for step in self.steps) else Danger.CONFIRM

    @property
    def confirmation(self) -> str:
        return str(len(self.steps))

    @property
    def digest(self) -> str:
        """How many values are refused is no part of it: that changes while the platform works."""
        steps = [
            (str(s.column), s.guard.place, s.kind.value, s.validates, s.guard.state.value, bool(s.risk))
            for s in self.steps
        ]
        code = [code.as_json() for code in self.code]
        told = ["guard", self.request.removes, self.request.least.value, steps, *([code] if code else [])]
        return document_digest(told)


@dataclass(frozen=True, slots=True)
@cleans(why=2_000)
class ColumnOutcome(JsonRecord):
    """A guard after a run; `state` is None where it could not be read back, `why` what stopped it."""

    column: TokenColumn
    state: GuardState | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class GuardResult(JsonRecord):
    """A plan's outcome, as read back from the catalogue."""

    plan: GuardPlan
    outcomes: tuple[ColumnOutcome, ...]
    unjournaled: str = ""
    """Why the end is not in the journal."""

    json_shape = shape("*plan done ...")

    @property
    def done(self) -> bool:
        return not any(outcome.why for outcome in self.outcomes)


LOCK_SECONDS = 2
LOCK_LIMIT = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
_LONGEST = 20_000


def transactions(step: ColumnStep, least: Format) -> Iterator[tuple[str, ...]]:
    """Give a step's statements by transaction, without BEGIN and COMMIT."""
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
    """Give the lines of a script, to be run as the tables' owner.

    Statements with an unprintable name stand there as comments: cleaned, it would be another name.
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
