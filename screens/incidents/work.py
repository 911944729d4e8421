"""What keeps approvals, and files of reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crypto_core.lists.new_files import ExportError, write_new
from crypto_core.values.errors import RefusedError
from screens.services import HasServices

if TYPE_CHECKING:
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.service import IncidentService

ENDINGS = {".md": "markdown", ".html": "html", ".json": "json"}
"""The form of a report by the ending of its file's name."""


def approval_gate(place: HasServices) -> ApprovalGate:
    """Return what keeps approvals. Raises RefusedError where nothing does."""
    gate = place.services.approvals
    if gate is None:
        raise RefusedError("Nothing needs a second person here.")
    return gate


def write_report(service: IncidentService, incident: int, path: Path) -> dict[Path, str]:
    """Write the report in the form that the file's name says, to a new file; returns what stands where.

    A name without an ending is that of three files, one for each form. Raises ExportError for a name that
    says no form or is taken, and what the service raises.
    """
    form = ENDINGS.get(path.suffix.lower(), "")
    if not path.name or (path.suffix and not form):
        raise ExportError(f"{path}: the name of a report must end in .html, .md or .json.")
    if form:
        texts = {path: service.report(incident, form)}
    else:
        reports = service.reports(incident)
        texts = {path.with_name(f"{path.name}{ending}"): reports[name] for ending, name in ENDINGS.items()}
    write_new(texts)
    return texts
