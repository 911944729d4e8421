"""The one way to change anything: may it be, who agreed, who else approved, what is journaled and read back.

`plan` makes a plan, which is journaled as a dry run, or as refused or failed. `run` does what was planned: it
demands consent and a second person, has the service look again whether all is as
planned, lets it act, has it read back what is there, and journals how that ended. Whatever ends any of these
is journaled in one way, and that it can't be journaled never takes the place of the error itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from operator import attrgetter
from typing import Any, TypeVar

from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, require
from crypto_core.guard.guarded_change import (
    Ended,
    GuardedChange,
    Outcome,
    Recorder,
    Run,
    WarningPlan,
    ended_by,
)
from crypto_core.guard.held_step import require_named
from crypto_core.values import errors

_log = logging.getLogger(__name__)

READ_ONLY = "Keydeck is in read-only mode."


A = TypeVar("A")
P = TypeVar("P", bound="WarningPlan")
R = TypeVar("R")


@dataclass(frozen=True)
class Guard:
    """Stands before every change of one service. Thread-safe.

    `ready` raises MissingSchemaError where what a change needs for its backups and its journal is not there,
    DatabaseReadOnlyError and NewerSchemaError where it can't be written.
    `approvals` is asked for a second identity; None where nothing needs one.
    """

    journal: Recorder
    _: KW_ONLY
    read_only: bool
    ready: Callable[[], None]
    approvals: ApprovalGate | None = None

    def may_change(self, what: str) -> None:
        """Pass if anything may be changed at all.

        Raises ReadOnlyError, MissingSchemaError, DatabaseReadOnlyError, NewerSchemaError, DatabaseError.
        """
        if self.read_only:
            raise errors.ReadOnlyError(f"Cannot {what}: {READ_ONLY}")
        self.ready()

    def require_writable(self) -> None:
        """Pass unless the database refuses every change: then a plan is not begun, and nobody is asked.

        Without a schema, and with read-only set, a plan can be looked at. Raises DatabaseReadOnlyError,
        NewerSchemaError.
        """
        if self.read_only:
            return
        try:
            self.ready()
        except (errors.DatabaseReadOnlyError, errors.NewerSchemaError):
            raise
        except errors.DatabaseError as error:
            _log.info("A plan is made all the same: %s", error.message)

    @contextmanager
    def recording(
        self,
        action: str,
        subject: str,
        detail: Mapping[str, Any] | None = None,
        said: Callable[[errors.KeydeckError], str] = attrgetter("message"),
    ) -> Iterator[None]:
        """Journal an error of ours that ends the block, and re-raise it.

        `said` gives what may be kept of its message. Raises RefusedError, journaled too, within an action
        that does not name this one.
        """
        try:
            require_named(action)
            yield
        except errors.KeydeckError as error:
            outcome = ended_by(error)
            reason = said(error)
            self.try_to_record(action, subject, outcome, {**(detail or {}), "reason": reason})
            _log.info("%s, %s: %s: %s", action, subject, outcome.value, reason)
            raise

    def plan(
        self,
        action: str,
        subject: str,
        make: Callable[[], P],
        shown: Callable[[P], Mapping[str, Any]],
        detail: Mapping[str, Any] | None = None,
        said: Callable[[errors.KeydeckError], str] = attrgetter("message"),
    ) -> P:
        """Return the plan that `make` makes, journaled as a dry run, with warnings besides its own.

        They say that it could not be journaled, and what the approval that it needs is worth. Raises what
        `make` raises, journaled as by `recording`, and as `require_writable`.
        """
        self.require_writable()
        with self.recording(action, subject, detail, said):
            plan = make()
        unrecorded = self.try_to_record(action, subject, Outcome.DRY_RUN, shown(plan))
        notes = [f"The dry run was not journaled: {unrecorded}"] if unrecorded else []
        if self.approvals is not None and self.approvals.advisory and self.approvals.needed(action):
            notes.append(self.approvals.advisory)
        return replace(plan, warnings=(*plan.warnings, *notes))

    def agreed(self, change: GuardedChange, consent: Consent | None) -> Consent:
        """Return the consent to a change, once all is there that it takes.

        Raises ReadOnlyError, MissingSchemaError, DatabaseError; NotConfirmedError, what looking again raises,
        and ApprovalNeededError, each journaled.
        """
        self.may_change(change.words)
        with self.recording(change.action, change.subject, {"plan": change.plan.digest, **change.detail}):
            given = require(consent, change.plan)
            change.still()
            if self.approvals is not None and not change.changes_nothing:
                self.approvals.require(change.action, change.summary, change.plan.digest, change.shown)
            return given

    def run(
        self,
        change: GuardedChange,
        consent: Consent | None,
        act: Callable[[Run], A],
        read_back: Callable[[Run, A], Ended[R]],
    ) -> tuple[R, str]:
        """Do what was planned; returns what came of it, and why its end could not be journaled, "" if it was.

        `act` calls `Run.begin` right before it changes something; `read_back` looks at what is there now.
        Raises what `agreed` raises before, and what `act` and `read_back` raise, journaled too.
        """
        run = Run(change, self.agreed(change, consent), self.journal)
        try:
            done = act(run)
            run.require_begun()
            ended = read_back(run, done)
        except BaseException as error:
            self._broke_off(change, run, error)
            raise
        if ended.outcome is None:
            return ended.result, ""
        _log.info("Ended to %s: %s.", change.words, ended.summary or ended.outcome.value)
        return ended.result, self._ended(change, run, ended.outcome, ended.detail)

    def _broke_off(self, change: GuardedChange, run: Run, error: BaseException) -> None:
        """Journal what ended a run instead of a result. Only our own errors are made to be shown."""
        reason = error.message if isinstance(error, errors.KeydeckError) else type(error).__name__
        outcome = ended_by(error)
        _log.info("%s, %s: %s: %s", change.action, change.subject, outcome.value, reason)
        self._ended(change, run, outcome, {**run.so_far, "reason": reason})

    def _ended(self, change: GuardedChange, run: Run, outcome: Outcome, detail: Mapping[str, Any]) -> str:
        told = {**run.detail, **({"run_ended": True} if run.begun else {}), **detail}
        return self.try_to_record(change.action, change.subject, outcome, told)

    def try_to_record(self, action: str, subject: str, outcome: Outcome, detail: Mapping[str, Any]) -> str:
        """Journal a refused or ended change; returns why that failed, "" if it did not."""
        if self.read_only:
            return READ_ONLY
        try:
            self.journal.record(action, subject, outcome, detail)
        except errors.MissingSchemaError as error:
            return str(error)
        except errors.DatabaseError as error:
            _log.warning("Not journaled: %s, %s: %s", action, outcome.value, error.message)
            return error.message
        return ""
