"""What of Keydeck shows that something was changed behind its back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

from console.container import Container
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.diagnosis.database import DatabasePlace, look_at_database
from crypto_core.guard.approvals import Decision
from crypto_core.reencryption.jobs.confirmed_terms import ConfirmedTerms
from crypto_core.values.errors import JobChangedError, KeydeckError


def _doctor(services: Container) -> Iterator[str]:
    url = str(services.settings.database_url)
    place = DatabasePlace(url, "DATABASE_URL", "database", False, services.settings.all_tables)
    for check in look_at_database(place, Event()):
        if check.outcome in (CheckOutcome.FAILED, CheckOutcome.WARNING, CheckOutcome.UNKNOWN):
            yield f"{check.name} {check.outcome}"


def _journal_verify(services: Container) -> Iterator[str]:
    yield from JournalCheckpoints(services.journal, None, read_only=True).verify().problems


def _incident_show(services: Container) -> Iterator[str]:
    for listed in services.incident_response.incidents.incidents(closed=True):
        number = listed.incident.id
        try:
            for piece in services.incident_response.incidents.show(number).evidence:
                services.incident_response.incidents.evidence(number, piece.id)
        except KeydeckError as error:
            yield type(error).__name__


def _approvals_list(services: Container) -> Iterator[str]:
    for request in services.approvals.requests(pending=False):
        if request.decision is Decision.CHANGED:
            yield str(request.id)


def _jobs_join(services: Container) -> Iterator[str]:
    terms = ConfirmedTerms(services.journal)
    for view in services.tokens.jobs.jobs():
        try:
            terms.require(services.tokens.jobs.parts.jobs.get(view.job.id))
        except JobChangedError as error:
            yield error.message


def _check(services: Container) -> Iterator[str]:
    status = services.status.take_census()
    yield from (f"{problem.severity} {problem.title}" for problem in status.problems)
    yield from status.coverage.reasons


DETECTORS: dict[str, Callable[[Container], Iterator[str]]] = {
    "`keydeck doctor`": _doctor,
    "`keydeck journal verify`": _journal_verify,
    "`keydeck incident show`": _incident_show,
    "`keydeck approvals list`": _approvals_list,
    "`keydeck jobs join`": _jobs_join,
    "`keydeck check`": _check,
}


def shown(services: Container) -> dict[str, frozenset[str]]:
    """Return what each of them has to say, an error of ours included."""
    found = {}
    for name, detector in DETECTORS.items():
        said = set()
        try:
            for one in detector(services):
                said.add(one)
        except KeydeckError as error:
            said.add(type(error).__name__)
        found[name] = frozenset(said)
    return found
