"""Surveys, plans, applies and removes guards of token columns, every change journaled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event

from sqlalchemy import Engine

from crypto_core.database.column_guards.guard_states import (
    LONGEST_SECONDS,
    PLAIN_STRINGS,
    StoredState,
    count_stored,
    read_guards,
)
from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.column_guards.plan import (
    LOCK_LIMIT,
    LOCK_SECONDS,
    ColumnOutcome,
    ColumnStep,
    GuardPlan,
    GuardRequest,
    GuardResult,
    LeftOut,
    StepKind,
    transactions,
)
from crypto_core.database.connection.engine import connected, patient
from crypto_core.database.connection.lock_holders import LOCK_NOT_AVAILABLE, lock_holders
from crypto_core.database.qualified_sql import run_as_it_is
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attached_code import code_warnings
from crypto_core.database.tokens.backups import columns_encrypted_in_place
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run, unless_changed
from crypto_core.values import errors
from crypto_core.values.counts import counted

ACTION = "guard"
LOGGED = (
    "The error of a refused write holds the row, 64 characters of each column, and PostgreSQL logs it: a "
    "plaintext token too. Set log_error_verbosity = terse and log_min_error_statement = panic for the "
    "platform's role, and don't log the error's DETAIL in the platform."
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SurveyedColumn:
    """`stored` is None where nothing can be counted, `risk` why a guard may stop the platform."""

    guard: ColumnGuard
    stored: StoredState | None
    risk: str = ""


class ColumnGuardService:
    """Blocks on SQL: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        journal: Journal,
        *,
        write_format: Format,
        read_only: bool,
        approvals: ApprovalGate | None = None,
    ) -> None:
        self._guard = Guard(
            journal, read_only=read_only, ready=require_schemas(journal.engine), approvals=approvals
        )
        self._engine, self._catalogue, self._journal = engine, catalogue, journal
        self._write_format = write_format

    def survey(
        self, least: Format = Format.V1, columns: Sequence[str] = (), *, cancelled: Event | None = None
    ) -> tuple[SurveyedColumn, ...]:
        """Return every token column's guard, and what it would refuse of what is stored.

        Raises DatabaseError, InvalidReferenceError for an unknown column, InterruptedRunError.
        """
        guards = self._read(columns)
        try:
            in_place = columns_encrypted_in_place(self._journal.engine, [guard.column for guard in guards])
            unknown = ""
        except errors.MissingGrantError as error:
            in_place, unknown = (
                frozenset(),
                f"Whether Keydeck has encrypted tokens here is not known: {error}",
            )
        surveyed = []
        for guard in guards:
            if guard.obstacle:
                surveyed.append(SurveyedColumn(guard, None))
                continue
            stored = count_stored(self._engine, guard, least, cancelled=cancelled)
            risk = _risk(guard, stored, in_place=guard.column in in_place) or unknown
            surveyed.append(SurveyedColumn(guard, stored, risk))
        return tuple(surveyed)

    def draft_plan(self, request: GuardRequest) -> GuardPlan:
        """Return a plan, whoever may carry it out; nothing is journaled. Raises as `survey`."""
        if request.removes:
            there = (guard for guard in self._read(request.columns) if guard.constrained)
            return GuardPlan(request, tuple(ColumnStep(guard, StepKind.DROP) for guard in there))
        found = [_adding(one, request) for one in self.survey(request.least, request.columns)]
        steps = tuple(step for step in found if isinstance(step, ColumnStep))
        left_out = tuple(left for left in found if isinstance(left, LeftOut))
        adds = any(step.kind is not StepKind.VALIDATE for step in steps)
        return GuardPlan(request, steps, left_out, (LOGGED,) if adds else ())

    def plan_guard(self, request: GuardRequest) -> GuardPlan:
        """Return a plan, journaled as a dry run, a refusal too.

        Raises RefusedError where the role does not own a table, or Keydeck itself would be refused; else as
        `survey`.
        """
        return self._guard.plan(ACTION, request.subject, lambda: self._allowed(request), GuardPlan.as_json)

    def _allowed(self, request: GuardRequest) -> GuardPlan:
        order = ENVELOPE_FORMATS.index
        if not request.removes and order(self._write_format) < order(request.least):
            raise errors.RefusedError(
                f"Keydeck itself writes {self._write_format}, which {request.least} at least would refuse.",
                remedy=f"Set KEYDECK_WRITE_FORMAT={request.least} once the platform reads and writes it.",
            )
        drafted = self.draft_plan(request)
        code = self._catalogue.code_at([str(step.column) for step in drafted.steps])
        plan = replace(drafted, warnings=(*drafted.warnings, *code_warnings(code)), code=code)
        foreign = {step.guard.place: step.guard.owner for step in plan.steps if not step.guard.owned}
        if foreign:
            owned = ", ".join(f"{place} belongs to {owner}" for place, owner in foreign.items())
            does = " --remove" if request.removes else ""
            raise errors.RefusedError(
                f"Only the owner of a table can change its constraints, and this role is not: {owned}.",
                remedy=f"Connect as the owner, or have it run the output of: keydeck guard{does} --sql.",
            )
        return plan

    def change_guards(self, plan: GuardPlan, consent: Consent | None) -> GuardResult:
        """Carry a plan out column by column, and read back where each guard stands.

        A column that fails holds up no other. Raises ReadOnlyError, MissingSchemaError, NotConfirmedError,
        ApprovalNeededError, RefusedError if something has changed since the plan, DatabaseError.
        """
        request = plan.request

        changed = "The columns, or what is stored in them, have changed since the preview."
        still = unless_changed(plan, lambda: self._allowed(request), changed)
        change = GuardedChange.of(plan, ACTION, request.subject, still=still, changes_nothing=not plan.steps)
        if not plan.steps:
            self._guard.agreed(change, consent)
            return GuardResult(plan, ())

        def act(run_: Run) -> dict[TokenColumn, str]:
            run_.begin(plan.as_json())
            stopped: dict[TokenColumn, str] = {}
            tried: list[str] = []
            run_.so_far["tried"] = tried
            for step in plan.steps:
                tried.append(str(step.column))
                stopped[step.column] = self._change(step, request.least)
            return stopped

        def read_back(_: Run, stopped: dict[TokenColumn, str]) -> Ended[GuardResult]:
            result = GuardResult(plan, self._outcomes(plan, stopped))
            outcome = Outcome.DONE if result.done else Outcome.FAILED
            return Ended(result, outcome, {"outcomes": [one.as_json() for one in result.outcomes]})

        result, unjournaled = self._guard.run(change, consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def _read(self, columns: Sequence[str]) -> tuple[ColumnGuard, ...]:
        guards = read_guards(self._engine, self._catalogue.refresh())
        unknown = [name for name in columns if name not in {str(guard.column) for guard in guards}]
        if unknown:
            names = ", ".join(str(guard.column) for guard in guards) or "none"
            raise errors.InvalidReferenceError(
                f"There is no readable token column {unknown[0]!r}.", remedy=f"Token columns: {names}."
            )
        return tuple(guard for guard in guards if not columns or str(guard.column) in columns)

    def _change(self, step: ColumnStep, least: Format) -> str:
        """Do one column's step; returns what stopped it, "" for nothing."""
        try:
            for statements in transactions(step, least):
                with connected(self._engine, write=True) as connection, patient(connection, LONGEST_SECONDS):
                    connection.execute(PLAIN_STRINGS)
                    for statement in (LOCK_LIMIT, *statements):
                        run_as_it_is(connection, statement)
        except errors.DatabaseError as error:
            _log.info("%s: %s", step.column, error.message)
            if error.sqlstate != LOCK_NOT_AVAILABLE:
                return str(error)
            place = step.guard.place
            return (
                f"{place} is locked: no lock within {LOCK_SECONDS} s. {lock_holders(self._engine, place)} "
                "Try again when that transaction is over."
            )
        return ""

    def _outcomes(self, plan: GuardPlan, stopped: dict[TokenColumn, str]) -> tuple[ColumnOutcome, ...]:
        try:
            now = {guard.column: guard for guard in self._read(())}
        except errors.KeydeckError as error:
            told = f"Could not be read back: {error}"
            return tuple(
                ColumnOutcome(s.column, None, f"{stopped[s.column]} {told}".strip()) for s in plan.steps
            )
        return tuple(_outcome(step, plan.request, now.get(step.column), stopped) for step in plan.steps)


def _outcome(
    step: ColumnStep, request: GuardRequest, now: ColumnGuard | None, stopped: dict[TokenColumn, str]
) -> ColumnOutcome:
    if now is None:
        return ColumnOutcome(step.column, None, stopped[step.column] or "The column is not there any more.")
    there = now.state is step.expected and (request.removes or now.least is request.least)
    why = "" if there else stopped[step.column] or f"It is {now.state.value}, not {step.expected.value}."
    return ColumnOutcome(step.column, now.state, why)


def _risk(guard: ColumnGuard, stored: StoredState, *, in_place: bool) -> str:
    if stored.refused:
        many = counted(stored.refused, "stored value")
        return (
            f"{many} would be refused. Until they are encrypted or emptied, "
            "no update of their rows passes, not of other columns either; new ones can't be written."
        )
    if in_place:
        return (
            "Keydeck has encrypted tokens in place here: whether the platform writes envelopes by now is not "
            "known."
        )
    if guard.has_default:
        return "The column has a default: a new row without a token of its own would be refused."
    if not stored.envelopes:
        return "No envelope is stored here yet: whether the platform writes envelopes is not known."
    return ""


def _adding(one: SurveyedColumn, request: GuardRequest) -> ColumnStep | LeftOut | None:
    guard, stored = one.guard, one.stored
    if stored is None:
        return LeftOut(guard.column, f"Can't be guarded: {guard.obstacle}.")
    clean = not stored.refused
    if guard.guards and guard.least is request.least and guard.takes_all:
        # What is there already stops nobody anew.
        if guard.state is GuardState.VALIDATED:
            return None
        if not clean:
            many = counted(stored.refused, "stored value")
            return LeftOut(guard.column, f"Not validated: {many} would still be refused.")
        return ColumnStep(guard, StepKind.VALIDATE, validates=True)
    if one.risk and not request.everything:
        return LeftOut(guard.column, f"{one.risk} Include it with --all.")
    kind = StepKind.ADD if guard.state is GuardState.MISSING else StepKind.REPLACE
    return ColumnStep(guard, kind, clean, stored.refused, one.risk)


__all__ = ["ACTION", "ColumnGuardService", "SurveyedColumn"]
