"""The job that the demo opens on: some of the tokens that are under the old key, rewrapped."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from console.game_day.measures import agreed
from crypto_core.errors import RefusedError
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb

if TYPE_CHECKING:
    from console.container import Container
    from console.sandbox.world import World
    from crypto_core.reencryption.jobs.service import JobService

TOKENS = 120
"""At most: the demo opens soon, however many tokens it has."""


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """Starts the job and works on it, as `keydeck rewrap --job` does. Raises KeydeckError."""

    container: Container
    world: World

    def start(self, cancelled: Event) -> int:
        """Plan it, make it and return its number."""
        target = self.world.current_key.arn
        under_old = self.world.sealed_under(self.world.old_key)[:TOKENS]
        if not under_old:
            raise RefusedError("There is no token under the old key.")
        chosen = Selection(references=under_old)
        plan = self._jobs.plan_job(Verb.REWRAP, chosen, target, JobOptions(), cancelled=cancelled)
        return self._jobs.start_job(plan, agreed(plan))

    def work(self, job: int, cancelled: Event) -> None:
        """Work on it to its end, or until `cancelled` is set."""
        self._jobs.join_job(job, cancelled=cancelled)

    @property
    def _jobs(self) -> JobService:
        jobs = self.container.services.jobs
        if jobs is None:
            raise RefusedError("Jobs can't be kept here.")
        return jobs
