"""What does jobs, where there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from screens.services import HasServices

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService


def job_work(place: HasServices) -> JobService:
    """Return what does jobs. Raises RefusedError where nothing does."""
    work = place.services.jobs
    if work is None:
        raise RefusedError("There are no jobs here.")
    return work
