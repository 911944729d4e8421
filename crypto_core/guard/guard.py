"""What stands before every change: may anything be changed, who agreed, who else approved, what is journaled.

A service plans within `recording`, which journals what ends it; records the plan with `dry_run`; and begins
only with what `agreed` returns. Whatever ends either of these is journaled in one way, and that it can't be
journaled never takes the place of the error itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Protocol

from crypto_core.errors import DatabaseError, KeydeckError, MissingSchemaError, ReadOnlyError
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Subject, require
from crypto_core.guard.outcome import Outcome, ended_by

_log = logging.getLogger(__name__)

READ_ONLY = "Keydeck is read only."


class Recorder(Protocol):
    """What takes entries of the journal."""

    def record(
        self, action: str, subject: str, outcome: Outcome, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Append an entry. Raises DatabaseError, MissingSchemaError."""
        ...


class Guard:
    """Stands before every change of one service. Thread-safe."""

    def __init__(
        self,
        journal: Recorder,
        *,
        read_only: bool,
        ready: Callable[[], None],
        approvals: ApprovalGate | None = None,
    ) -> None:
        """`ready` raises MissingSchemaError where what a change needs for its backups and its journal is not
        there. `approvals` is asked for a second identity; None where nothing needs one.
        """
        self._journal = journal
        self._read_only = read_only
        self._ready = ready
        self._approvals = approvals

    def may_change(self, what: str) -> None:
        """Pass if anything may be changed at all. Raises ReadOnlyError, MissingSchemaError, DatabaseError."""
        if self._read_only:
            raise ReadOnlyError(f"Cannot {what}: {READ_ONLY}")
        self._ready()

    @contextmanager
    def recording(
        self,
        action: str,
        subject: str,
        detail: Mapping[str, Any] | None = None,
        said: Callable[[KeydeckError], str] = attrgetter("message"),
    ) -> Iterator[None]:
        """Journal which error of ours ends what is done within, and raise it on.

        `said` gives what may be kept of its message.
        """
        try:
            yield
        except KeydeckError as error:
            outcome = ended_by(error)
            reason = said(error)
            self.try_to_record(action, subject, outcome, {**(detail or {}), "reason": reason})
            _log.info("%s, %s: %s: %s", action, subject, outcome.value, reason)
            raise

    def dry_run(self, action: str, subject: str, plan: Mapping[str, Any]) -> str:
        """Journal a plan that was shown; returns why it could not be journaled, "" if it was."""
        return self.try_to_record(action, subject, Outcome.DRY_RUN, plan)

    def agreed(
        self,
        plan: Subject,
        consent: Consent | None,
        *,
        action: str,
        subject: str,
        summary: str,
        shown: Mapping[str, Any],
        detail: Mapping[str, Any] | None = None,
        still: Callable[[], None] = lambda: None,
        alone: bool = False,
    ) -> Consent:
        """Return the consent to a plan, once all is there that it takes.

        `still` looks again whether all is as planned. `shown` is the plan as a second person sees it, who is
        asked unless `alone`. Raises NotConfirmedError, ApprovalNeededError and what `still` raises, each
        journaled.
        """
        with self.recording(action, subject, {"plan": plan.digest, **(detail or {})}):
            given = require(consent, plan)
            still()
            if self._approvals is not None and not alone:
                self._approvals.require(action, summary, plan.digest, shown)
            return given

    def try_to_record(self, action: str, subject: str, outcome: Outcome, detail: Mapping[str, Any]) -> str:
        """Journal what was not begun or has ended; returns why it could not be journaled, "" if it was."""
        if self._read_only:
            return READ_ONLY
        try:
            self._journal.record(action, subject, outcome, detail)
        except MissingSchemaError as error:
            return str(error)
        except DatabaseError as error:
            _log.warning("Not journaled: %s, %s: %s", action, outcome.value, error.message)
            return error.message
        return ""
