"""What does jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screens.services import HasServices

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService


def job_work(place: HasServices) -> JobService:
    return place.services.jobs
