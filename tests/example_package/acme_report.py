"""An example of a report section: what the team's own form asks of every incident."""

from __future__ import annotations

from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.own_sections import OwnSection, OwnTable
from crypto_core.incidents.report.section import Named


def section(view: IncidentView) -> OwnSection | None:
    """Return who has to be told, by the team's rules."""
    return OwnSection(
        "Acme's form",
        (Named("Class", "A" if len(view.incident.scope.references) > 100 else "B"),),
        (
            OwnTable(
                "To be told", ("Who", "Until"), (("Data protection", "72 hours"), ("Owners", "72 hours"))
            ),
        ),
    )
