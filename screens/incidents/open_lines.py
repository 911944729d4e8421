"""Open incidents as the first lines of Status: each is Enter away from its page."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from crypto_core.incidents.model import IncidentView
from screens.facts import ScreenFacts
from screens.incidents.words import elapsed, incident_sign, through
from screens.routes import IncidentRoute
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line

_WORD = 9


def open_lines(views: Sequence[IncidentView], width: int, facts: ScreenFacts) -> list[Line]:
    now, lines = facts.clock(), []
    for view in views:
        sign, incident, current = incident_sign(view, now), view.incident, view.current
        step = f"{through(view)} {current.step.title}" if current is not None else "every step has ended"
        content = Content.assemble(
            sign,
            " ",
            (fit("incident", _WORD), sign.style),
            (f" {incident.name} ", "bold"),
            (cut(incident.title, max(width // 3, 12)), "bold"),
            ("  " + cut(f"open {elapsed(incident, now)} · step {step}", max(width // 2 - 14, 12)), "$muted"),
        )
        hint = f"Enter: the incident. {incident.scope!s}"
        lines.append(Line(content.truncate(width, ellipsis=True), IncidentRoute(incident.id), hint))
    return lines
