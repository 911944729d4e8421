"""What does jobs, where there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from screens.facts import Facts

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService


def job_work(facts: Facts) -> JobService:
    """Return what does jobs. Raises RefusedError where nothing does."""
    work = facts.services.jobs
    if work is None:
        raise RefusedError("There are no jobs here.")
    return work
