"""A change as it passes the guard: its task, its run, and its outcome in the journal's words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar
from uuid import UUID, uuid4

from crypto_core.guard.consent import Consent, Subject
from crypto_core.guard.held_step import require_held
from crypto_core.values import errors
from crypto_core.values.errors import RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_OUTSIDE = (errors.KmsError, errors.DatabaseError, errors.ProviderError, errors.TrailError)
"""Something outside did not do its part, which refuses nothing."""
_OURS = (
    errors.MissingSchemaError,
    errors.RowVanishedError,
    errors.ConflictError,
    errors.UntrustedKeyError,
    errors.KeyNotFoundError,
    errors.KeyDisabledError,
    errors.KeyStateError,
)
"""Those that fail again however often the change is tried."""


class Outcome(StrEnum):
    STARTED = "started"
    DONE = "done"
    DRY_RUN = "dry run"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def ended_by(error: BaseException) -> Outcome:
    """Return how something ended by an error: interrupted, refused by a rule of ours, or failed."""
    if isinstance(error, errors.InterruptedRunError) or not isinstance(error, Exception):
        return Outcome.INTERRUPTED
    refused = isinstance(error, errors.KeydeckError) and (
        isinstance(error, _OURS) or not isinstance(error, _OUTSIDE)
    )
    return Outcome.REFUSED if refused else Outcome.FAILED


R = TypeVar("R")

_log = logging.getLogger(__name__)


TEXT = "append_to_journal"
"""The function that makes entries of what it is given: no decision rests on them."""


class Recorder(Protocol):
    def record(
        self,
        action: str,
        subject: str,
        outcome: Outcome,
        detail: Mapping[str, Any] | None = None,
        *,
        within: Connection | None = None,
        actor: str | None = None,
        by: str = TEXT,
    ) -> None:
        """Append an entry, in the transaction of `within` where given. Raises DatabaseError,
        MissingSchemaError.

        `by` is the database's function that makes it: one that checks what it records, or `TEXT`.
        """


class PlannedChange(Subject, Protocol):
    """A plan that says itself what is to be done."""

    @property
    def summary(self) -> str: ...

    def as_json(self) -> Any: ...


class WarningPlan(Protocol):
    """A plan, of a dataclass, that warns whoever is to agree to it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def warnings(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class GuardedChange:
    action: str
    """As the journal calls the operation."""
    subject: str
    words: str
    """Follows "Cannot": "disable (alias/tokens)"."""
    plan: Subject
    summary: str
    """In one line, for a second person."""
    shown: Mapping[str, Any]
    """As a second person reads it."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Of every entry, besides the plan's digest."""
    still: Callable[[], None] = lambda: None
    """Looks again, right before; raises what speaks against the change."""
    changes_nothing: bool = False
    """Then no second person is asked."""

    @classmethod
    def of(
        cls,
        plan: PlannedChange,
        action: str,
        subject: str,
        *,
        words: str = "",
        shown: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> GuardedChange:
        """Return the change that a plan is, in the plan's own words but for those that are given."""
        words = words or plan.summary[0].lower() + plan.summary[1:]
        shown = plan.as_json() if shown is None else shown
        return cls(action, subject, words, plan, plan.summary, shown, **more)


def unless_changed(plan: Subject, again: Callable[[], Subject], words: str) -> Callable[[], None]:
    """Refuse, in these words, a plan that has another digest when it is made `again`."""

    def still() -> None:
        if again().digest != plan.digest:
            raise RefusedError(words, remedy="Nothing was done. Open a new preview.")

    return still


class Run:
    """A change in progress, from the consent until its end is journaled."""

    def __init__(self, change: GuardedChange, consent: Consent, journal: Recorder) -> None:
        self.id: UUID = uuid4()
        self.consent = consent
        self.begun = False
        self.so_far: dict[str, Any] = {}
        """Journaled if an error ends the run."""
        self._change, self._journal = change, journal

    @property
    def detail(self) -> dict[str, Any]:
        return {**self._change.detail, "run": str(self.id), "plan": self._change.plan.digest}

    def begin(
        self,
        detail: Mapping[str, Any],
        *,
        within: Connection | None = None,
        actor: str | None = None,
        by: str = TEXT,
    ) -> None:
        """Journal that it begins; nothing may be changed before. Raises DatabaseError, MissingSchemaError,
        StepLostError.

        `within`, `actor` and `by` as for Journal.record.
        """
        require_held()
        begun = {"consent": self.consent.origin.value, **detail}
        self.record(Outcome.STARTED, begun, within=within, actor=actor, by=by)
        self.begun = True
        _log.info("Begins to %s.", self._change.words)

    def record(
        self,
        outcome: Outcome,
        detail: Mapping[str, Any],
        *,
        within: Connection | None = None,
        actor: str | None = None,
        by: str = TEXT,
    ) -> None:
        """Journal something of it: its beginning, or its end with what it changes. Raises as `begin`."""
        told = {**self.detail, **detail}
        change = self._change
        self._journal.record(change.action, change.subject, outcome, told, within=within, actor=actor, by=by)

    def require_begun(self) -> None:
        """Pass if its beginning is journaled. Raises RuntimeError: whoever acts forgot it."""
        if not self.begun:
            raise RuntimeError(f"{self._change.action} was done without having begun.")


@dataclass(frozen=True, slots=True)
class Ended(Generic[R]):
    result: R
    outcome: Outcome | None
    """None where the end is journaled otherwise."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    """For the log, such as counts."""


def ended_by_others(_: Run, result: R) -> Ended[R]:
    """Return a job that was made: whoever works on it at last journals its end."""
    return Ended(result, None)
