"""Notices over a container of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.service.settings import ServiceSettings
from crypto_core.notices.service import NoticeService

if TYPE_CHECKING:
    from console.container import Container


def notice_service(services: Container) -> NoticeService:
    """Return what makes and sends notices. Raises SettingsError."""
    settings = services.settings
    return NoticeService(
        services.state_engine,
        services.journal,
        ServiceSettings.of(settings).notify.built(settings.environment),
        lambda: services.incident_response.incidents.incidents(closed=False),
        read_only=settings.read_only,
    )
