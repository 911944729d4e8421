"""Operators of incidents: types of their fixtures, and what the journal tells of an incident."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from crypto_core.database.state.journal import Journal
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult

Act = Callable[..., ActionResult]
Operator = Callable[..., IncidentService]


def journaled(engine: Engine, incident: int) -> list[tuple[str, str, str]]:
    name = f"INC-{incident}"
    entries = Journal(engine, lambda: "").entries()
    return [
        (e.action, e.subject.removeprefix(name).strip(), e.outcome)
        for e in entries
        if e.subject == name or e.subject.startswith(f"{name} ")
    ]
