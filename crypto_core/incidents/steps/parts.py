"""What all work on incidents goes by: the store, the runbooks, who acts, and whether anything may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine

from crypto_core.database.state.incident_changes import IncidentChange, IncidentRow, StepRow
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.guard.guard import Guard
from crypto_core.incidents.model import IncidentState, IncidentView, StepState, StepView, undecided
from crypto_core.incidents.people import people_of
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.incidents.steps.own_checks import own_checks
from crypto_core.incidents.steps.step_contracts import Toolbox
from crypto_core.incidents.views import UNREADABLE, incident_of, incident_view, step_views, unreadable
from crypto_core.values.clean_text import NO_TEXT, clean
from crypto_core.values.errors import EvidenceError, RefusedError, RunbookError
from crypto_core.values.moments import in_utc


class IncidentParts:
    """One database's incidents and what steps can do here. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        library: RunbookLibrary,
        toolbox: Toolbox,
        *,
        read_only: bool,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.engine = engine
        self.library = library
        self.store = IncidentStore(engine, journal, clock=clock)
        self.toolbox = replace(toolbox, checks={**own_checks(self.store, toolbox), **toolbox.checks})
        self.guard = Guard(journal, read_only=read_only, ready=require_schemas(engine))
        self.read_only = read_only
        self._journal = journal
        self._actor = ""
        self._runbooks: dict[str, Runbook] = {}

    def actor(self) -> str:
        """Return who acts. May ask AWS and the database."""
        self._actor = clean(self._journal.actor(), 300)
        return self._actor

    def last_actor(self) -> str:
        """Return the operator's identity, as last known; AWS is asked only the first time."""
        return self._actor or self.actor()

    def view(self, number: int) -> IncidentView:
        """Return an incident with all that is known of it.

        Raises UnknownIncidentError; RunbookError or EvidenceError where its runbook's text can't be gone by,
        EvidenceError where what is stored of it can't be read.
        """
        whole = self.store.whole(number)
        try:
            return incident_view(whole, self._runbook_of(whole.incident))
        except UNREADABLE as error:
            raise EvidenceError(f"What is stored of INC-{number} is nothing that Keydeck stores.") from error

    def views(self, *, closed: bool, limit: int | None) -> tuple[IncidentView, ...]:
        """Return incidents without evidence and entries, in a fixed number of statements."""
        listed = self.store.list(closed=closed, limit=limit and max(limit, 0))
        unread = {row.id for row, _ in listed if row.runbook_digest not in self._runbooks}
        texts = self.store.runbook_texts(unread) if unread else {}
        present = self.store.present([row.id for row, _ in listed]) if listed else {}
        people = self.store.people([row.id for row, _ in listed]) if listed else {}
        views = []
        for row, steps in listed:
            why = NO_TEXT
            try:
                runbook = self._runbook_of(row, texts)
            except (RunbookError, EvidenceError) as error:
                # One that can't be gone by hides no other; to open it tells why.
                why = error.message
                runbook = Runbook(clean(row.runbook_id), 0, why, SubjectKind.TOKENS, NO_TEXT, (), "")
            near = present.get(row.id, ())
            try:
                views.append(
                    IncidentView(
                        incident_of(row),
                        runbook,
                        step_views(runbook, steps),
                        present=near,
                        people=people_of(people.get(row.id, ())),
                        unread=why,
                    )
                )
            except UNREADABLE:
                # Nor does one whose row was changed to what can't be read.
                why = why or clean("What is stored of it is nothing that Keydeck stores.")
                steps_of = step_views(runbook, ())
                views.append(IncidentView(unreadable(row), runbook, steps_of, present=near, unread=why))
        return tuple(views)

    def open_step(
        self, number: int, step_id: str, *, or_skipped: bool = False
    ) -> tuple[IncidentView, StepView]:
        """Return an incident and a step that can still be worked on. Raises RefusedError if it can't."""
        view = self.view(number)
        step = self.step_of(view, step_id)
        if view.incident.state is IncidentState.CLOSED:
            raise RefusedError(_closed(view.incident.name, view.incident.closed_by, view.incident.closed_at))
        if step.state.ended and not (or_skipped and step.state is StepState.SKIPPED):
            raise RefusedError(
                _ended(view.incident.name, step_id, step.state, step.by, step.ended_at), remedy=_AGAIN
            )
        return view, step

    def step_of(self, view: IncidentView, step_id: str) -> StepView:
        """Return a step of an incident. Raises RefusedError if it has none of that name."""
        try:
            return view.step(step_id)
        except KeyError as error:
            known = ", ".join(step.step.id for step in view.steps)
            raise RefusedError(
                f"{view.incident.name} has no step {clean(step_id, 60)!r}.", remedy=f"Its steps: {known}."
            ) from error

    def _runbook_of(self, row: IncidentRow, texts: Mapping[int, str] | None = None) -> Runbook:
        known = self._runbooks.get(row.runbook_digest)
        if known is None:
            text = (texts or {}).get(row.id) or self.store.runbook_texts([row.id])[row.id]
            known = read_runbook(text, row.runbook_source)
            if known.digest != row.runbook_digest:
                raise EvidenceError(
                    f"The runbook kept with INC-{row.id} is not the one that it was declared with."
                )
            self._runbooks[row.runbook_digest] = known
        return (
            known
            if known.source == row.runbook_source
            else replace(known, source=clean(row.runbook_source, 300))
        )


def require_open(change: IncidentChange) -> None:
    """Raise RefusedError if the incident was closed meanwhile."""
    row = change.incident
    if row.state == IncidentState.CLOSED.value:
        raise RefusedError(_closed(f"INC-{row.id}", row.closed_by, row.closed_at))


def still_open(
    change: IncidentChange, step_id: str, seen: StepState | None = None, *, or_skipped: bool = False
) -> StepRow:
    """Return where a step stands, under the incident's lock.

    Raises RefusedError, which says who did what and when, if it has ended, or isn't what was `seen` any more.
    """
    require_open(change)
    row = change.step(step_id)
    state, name = StepState(row.state), f"INC-{change.incident.id}"
    if state.ended and not (or_skipped and state is StepState.SKIPPED):
        raise RefusedError(_ended(name, step_id, state, row.actor, row.ended_at), remedy=_AGAIN)
    if seen is not None and state is not seen:
        what = "begun" if state is StepState.BEGUN else "reopened"
        at = in_utc(row.begun_at, _NOT_KNOWN)
        raise RefusedError(
            f"Step {step_id} of {name} was {what} by {clean(row.actor)} at {at}.", remedy="Look at it again."
        )
    return row


def out_of_order(runbook: Runbook, change: IncidentChange, step_id: str) -> str:
    """Return what the timeline says of a step that is begun before its turn, "" if it isn't."""
    for step in runbook.steps:
        if step.id == step_id:
            break
        if _waits_for_work(runbook, change, step):
            return f" Out of order: step {step.id} is still open."
    return ""


def begin_next(runbook: Runbook, change: IncidentChange) -> None:
    """Note that the time of the step whose turn it is now runs."""
    for step in runbook.steps:
        if _waits_for_work(runbook, change, step):
            row = change.step(step.id)
            if row.begun_at is None:
                change.set_step(step.id, row.state, row.state, begun_at=change.now)
            return


def not_ended(runbook: Runbook, change: IncidentChange) -> list[str]:
    """Return the ids of the steps that are not ended, but for those that wait for a skipped decision."""
    return [step.id for step in runbook.steps if _waits_for_work(runbook, change, step)]


def _waits_for_work(runbook: Runbook, change: IncidentChange, step: RunbookStep) -> bool:
    """True if a step is not ended, and what it hangs on was not left undecided."""
    if StepState(change.step(step.id).state).ended:
        return False
    decision = undecided(runbook, step.id, change.step)
    return decision is None or not StepState(change.step(decision.id).state).ended


_NOT_KNOWN = "a moment that is not known"
_AGAIN = "To do it again, reopen it with a reason."


def _ended(name: str, step_id: str, state: StepState, actor: str, at: datetime | None) -> str:
    when = in_utc(at, _NOT_KNOWN)
    if state is StepState.NOT_NEEDED:
        return f"Step {step_id} of {name} is not needed: {clean(actor)} decided so at {when}."
    did = "skipped" if state is StepState.SKIPPED else "finished"
    return f"Step {step_id} of {name} was {did} by {clean(actor)} at {when}."


def _closed(name: str, actor: str, at: datetime | None) -> str:
    return f"{name} was closed by {clean(actor)} at {in_utc(at, _NOT_KNOWN)}; nothing in it changes any more."
