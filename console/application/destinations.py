"""The screen of each route, and the main screens side by side. Each is loaded when it is first opened."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from screens import routes

if TYPE_CHECKING:
    from screens.facts import Facts
    from screens.main_screen import MainScreen

NAMES = ("status", "connections", "keys", "events", "incidents", "jobs", "findings", "compliance", "log")
"""The main screens, in the order in which they stand side by side."""

SCREENS: dict[type, str] = {
    routes.TokensRoute: "connections.screen.ConnectionsScreen",
    routes.TokenGroupsRoute: "connections.groups_screen.TokenGroupsScreen",
    routes.KeyRoute: "keys.key_screen.KeyScreen",
    routes.PolicyRoute: "keys.policy_screen.PolicyScreen",
    routes.RotationRoute: "keys.guide_screen.GuideScreen",
    routes.KeyUseRoute: "use.key_use_screen.KeyUseScreen",
    routes.FindingsRoute: "findings.screen.FindingsScreen",
    routes.JobRoute: "jobs.job_screen.JobScreen",
    routes.JobErrorsRoute: "jobs.errors_screen.JobErrorsScreen",
    routes.EventsRoute: "events.screen.EventsScreen",
    routes.EventRoute: "events.event_screen.EventScreen",
    routes.PivotsRoute: "events.pivot_screen.PivotScreen",
    routes.PrincipalRoute: "principals.screen.PrincipalScreen",
    routes.TimelineRoute: "use.token_screen.TokenScreen",
    routes.IncidentRoute: "incidents.incident_screen.IncidentScreen",
    routes.EvidenceListRoute: "incidents.evidence_screen.EvidenceListScreen",
    routes.EvidenceRoute: "incidents.evidence_screen.EvidenceScreen",
    routes.EntriesRoute: "incidents.timeline_screen.IncidentTimelineScreen",
    routes.EstatesRoute: "estates.screen.EstatesScreen",
    routes.PeopleRoute: "incidents.people_screen.PeopleScreen",
    routes.ApprovalsRoute: "incidents.approvals_screen.ApprovalsScreen",
    routes.ControlDayRoute: "compliance.pages.ControlDayScreen",
    routes.OpenPointsRoute: "compliance.pages.OpenPointsScreen",
    routes.ManualRoute: "manual.screen.ManualScreen",
    routes.ManualPageRoute: "manual.page_screen.ManualPageScreen",
}
"""The screen of each route, by its path below `screens`; it takes the route's fields."""


def main_screen(name: str, facts: Facts) -> MainScreen:
    return cast("MainScreen", load_screen(f"{name}.screen.{name.capitalize()}Screen")(facts))


def screen_for(target: object, facts: Facts) -> MainScreen | None:
    path = SCREENS.get(type(target))
    if path is None:
        return None
    given = [getattr(target, field.name) for field in fields(cast("Any", target))]
    return cast("MainScreen", load_screen(path)(facts, *given))


def load_screen(path: str) -> type[Any]:
    module, _, name = path.rpartition(".")
    screen: type[Any] = getattr(import_module(f"screens.{module}"), name)
    return screen
