"""Works on a job with several processes, and tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING
from uuid import UUID

from console.garbage import settle
from console.host.runners import RunnerProcess, runners
from console.host.worker_count import Growth, cores
from console.printed.output import meter, say, utc
from crypto_core.reencryption.endurance import Endurance
from crypto_core.reencryption.jobs.model import JobRunnerView, JobState, JobView
from crypto_core.values.errors import DatabaseError

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService

POLL_SECONDS = 0.5

_CUT_OFF = "Others take its tokens over. Cut off, it goes on by itself; killed, start another."


def work_on(
    work: JobService, job: int, cancelled: Event, *, processes: int | None = 1, environment: Mapping[str, str]
) -> JobView:
    """Work on a job, with further processes beside this one, until it ends or stops; return where it is then.

    Without a number of `processes` there is one at first, and further ones as Growth says. `environment`
    is what the further processes are started in. Raises as JobService.join_job.
    """
    label = work.show_job(job).job.verb.words
    growth = Growth(cores() if processes is None else processes)
    settle()
    heard = Heard()
    with meter(label) as shown, runners(job, (processes or 1) - 1, environment) as others:

        def progress(view: JobView) -> None:
            heard.tell(view)
            shown.show(view.through, view.whole, view.tokens_per_second, waiting=view.waiting)
            if growth.wants_more(1 + len(others), view):
                others.append(RunnerProcess(job, environment))

        view = work.join_job(job, progress=progress, cancelled=cancelled)
    _tell(others)
    return work.at_end(job, cancelled) if others else view


def follow(work: JobService, job: int, cancelled: Event) -> JobView:
    view, heard = work.show_job(job), Heard()
    with meter(view.job.verb.words) as shown:
        while True:
            heard.tell(view)
            shown.show(view.through, view.whole, view.tokens_per_second, waiting=view.waiting)
            if view.state is not JobState.RUNNING or cancelled.wait(POLL_SECONDS):
                return view
            view = _shown(work, job, cancelled)


def _shown(work: JobService, job: int, cancelled: Event) -> JobView:
    try:
        return work.show_job(job)
    except DatabaseError as error:
        if not error.passing:
            raise
        say(f"{error.message} Waiting for the database.")
        return Endurance(cancelled)(lambda: work.show_job(job))


class Heard:
    """Says once of each process of a job that nothing is heard of it any more, and that it is back."""

    def __init__(self) -> None:
        self._silent: dict[UUID, JobRunnerView] = {}

    def tell(self, view: JobView) -> None:
        for runner in view.runners:
            name = f"Process {runner.pid} on {runner.host}"
            if runner.silent and view.state is JobState.RUNNING and runner.id not in self._silent:
                self._silent[runner.id] = runner
                say(f"{name} is silent since {utc(runner.seen_at)} UTC. {_CUT_OFF}")
            elif not runner.silent and self._silent.pop(runner.id, None) is not None:
                say(f"{name} {'has ended' if runner.ended else 'is back'}.")


def _tell(others: list[RunnerProcess]) -> None:
    for one in others:
        if one.code not in (0, 1, 130):
            last = one.said.splitlines()[-1:] or [f"exit code {one.code}"]
            say(f"Process {one.pid} stopped: {last[0]}")
