"""What keeps incidents and approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from screens.services import HasServices

if TYPE_CHECKING:
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.service import IncidentService


def incident_work(place: HasServices) -> IncidentService:
    return place.services.incidents


def approval_gate(place: HasServices) -> ApprovalGate:
    """Return what keeps approvals. Raises RefusedError where nothing does."""
    gate = place.services.approvals
    if gate is None:
        raise RefusedError("Nothing needs a second person here.")
    return gate
