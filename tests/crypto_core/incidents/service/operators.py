"""Operators of incidents: their services, and what the journal tells of an incident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.left_tokens import LeftTokens
from crypto_core.incidents.keys.accepted_losses import LossAcceptance
from crypto_core.incidents.report.service import ReportService
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult, Toolbox
from crypto_core.incidents.suspects import Suspects

Act = Callable[..., ActionResult]
Operator = Callable[..., IncidentService]


def service_of(
    engine: Engine, journal: Journal, library: RunbookLibrary, toolbox: Toolbox, **options: Any
) -> IncidentService:
    """An operator's own service, as a console of its own has it; no event and no key is known to it."""
    unknown: dict[str, Any] = {
        "read_only": False,
        "reports": ReportService(IncidentStore(engine, journal).content, journal),
        "suspects": lambda _incident, _cancelled: Suspects(),
        "providers": lambda _scope: (),
        "losses": lambda parts: LossAcceptance(
            parts, lambda _key, _cancelled: LeftTokens(), lambda _refs: ()
        ),
        "callers": lambda _view, _suspects, _cancelled: None,
        "aliases": lambda _key: (),
        "waiting": tuple,
    }
    return IncidentService(engine, journal, library, toolbox, **unknown | options)


def journaled(engine: Engine, incident: int) -> list[tuple[str, str, str]]:
    name = f"INC-{incident}"
    entries = Journal(engine, lambda: "").entries()
    return [
        (e.action, e.subject.removeprefix(name).strip(), e.outcome)
        for e in entries
        if e.subject == name or e.subject.startswith(f"{name} ")
    ]
