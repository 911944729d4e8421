"""Which screen is behind each line, and which stand side by side. Each is loaded when it is first opened."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from screens import routes

if TYPE_CHECKING:
    from screens.facts import Facts
    from screens.main_screen import MainScreen

NAMES = ("status", "connections", "keys", "events", "incidents", "jobs", "findings", "log")
"""The main screens, in the order in which they stand side by side."""

SCREENS: dict[type, str] = {
    routes.TokensBehind: "connections.screen.ConnectionsScreen",
    routes.KeyBehind: "keys.key_screen.KeyScreen",
    routes.PolicyBehind: "keys.policy_screen.PolicyScreen",
    routes.RotationBehind: "keys.guide_screen.GuideScreen",
    routes.KeyUseBehind: "use.key_use_screen.KeyUseScreen",
    routes.WatchBehind: "use.watch_screen.WatchScreen",
    routes.FindingsBehind: "findings.screen.FindingsScreen",
    routes.JobBehind: "jobs.job_screen.JobScreen",
    routes.JobErrorsBehind: "jobs.errors_screen.JobErrorsScreen",
    routes.EventsBehind: "events.screen.EventsScreen",
    routes.EventBehind: "events.event_screen.EventScreen",
    routes.PivotsBehind: "events.pivot_screen.PivotScreen",
    routes.PrincipalBehind: "use.principal_screen.PrincipalScreen",
    routes.TimelineBehind: "use.token_screen.TokenScreen",
    routes.IncidentBehind: "incidents.incident_screen.IncidentScreen",
    routes.EvidenceListBehind: "incidents.evidence_screen.EvidenceListScreen",
    routes.EvidenceBehind: "incidents.evidence_screen.EvidenceScreen",
    routes.EntriesBehind: "incidents.timeline_screen.IncidentTimelineScreen",
    routes.ApprovalsBehind: "incidents.approvals_screen.ApprovalsScreen",
}
"""The screen below `screens` that shows what is behind a line; it takes the destination's fields."""


def main_screen(name: str, facts: Facts) -> MainScreen:
    """Return a new screen, one of NAMES."""
    return cast("MainScreen", load_screen(f"{name}.screen.{name.capitalize()}Screen")(facts))


def screen_behind(target: object, facts: Facts) -> MainScreen | None:
    """Return a new screen, None where a line leads to none."""
    path = SCREENS.get(type(target))
    if path is None:
        return None
    given = [getattr(target, field.name) for field in fields(cast("Any", target))]
    return cast("MainScreen", load_screen(path)(facts, *given))


def load_screen(path: str) -> type[Any]:
    """Return a screen's class by its path below `screens`."""
    module, _, name = path.rpartition(".")
    screen: type[Any] = getattr(import_module(f"screens.{module}"), name)
    return screen
