"""Works on a job with several processes, and tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING

from console.garbage import settle
from console.host.runners import RunnerProcess, runners
from console.host.worker_scaling import Growth, cores
from console.printed.printing import meter, say
from crypto_core.reencryption.jobs.model import JobState, JobView

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService

POLL_SECONDS = 0.5


def through(view: JobView) -> tuple[int, int]:
    """Return how many tokens a job is through with, and of how many: rows that came later count too."""
    done = view.done + view.poisoned
    return done, max(view.job.planned, done + view.remaining)


def work_on(
    work: JobService,
    job: int,
    cancelled: Event,
    *,
    processes: int | None = 1,
    environment: Mapping[str, str],
) -> JobView:
    """Work on a job, with further processes beside this one, until it ends or stops; return where it is then.

    Without a number of `processes` there is one at first, and further ones as Growth says. `environment`
    is what the further processes are started in. Raises as JobService.join_job.
    """
    label = work.show_job(job).job.verb.words
    growth = Growth(cores() if processes is None else processes)
    settle()
    with meter(label) as shown, runners(job, (processes or 1) - 1, environment) as others:

        def progress(view: JobView) -> None:
            shown.show(*through(view), view.tokens_per_second)
            if growth.wants_more(1 + len(others), view):
                others.append(RunnerProcess(job, environment))

        view = work.join_job(job, progress=progress, cancelled=cancelled)
    _tell(others)
    return work.at_end(job, cancelled) if others else view


def follow(work: JobService, job: int, cancelled: Event) -> JobView:
    """Tell how far a job is until it ends or stops, or `cancelled` is set; return where it is then."""
    view = work.show_job(job)
    with meter(view.job.verb.words) as shown:
        while True:
            shown.show(*through(view), view.tokens_per_second)
            if view.state is not JobState.RUNNING or cancelled.wait(POLL_SECONDS):
                return view
            view = work.show_job(job)


def _tell(others: list[RunnerProcess]) -> None:
    """Say which processes did not end well, and their last words."""
    for one in others:
        if one.code not in (0, 1, 130):
            last = one.said.splitlines()[-1:] or [f"exit code {one.code}"]
            say(f"Process {one.pid} stopped: {last[0]}")
