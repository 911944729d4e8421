"""What does jobs, where there is any."""

from __future__ import annotations

from crypto_core.errors import RefusedError
from screens.facts import Facts
from screens.services import JobWork


def job_work(facts: Facts) -> JobWork:
    """Return what does jobs. Raises RefusedError where nothing does."""
    work = facts.services.jobs
    if work is None:
        raise RefusedError("There are no jobs here.")
    return work
