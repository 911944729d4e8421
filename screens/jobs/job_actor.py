"""What can be done to one job, alike on the list of jobs and on a job's own page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import work

from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.jobs.new_job import begin_job, begin_restore
from screens.jobs.words import at_work, restorable
from screens.main_screen import MainScreen
from screens.widgets.question import Question

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService


class JobActor(MainScreen):
    ACTS: ClassVar[tuple[str, ...]] = ("job",)

    @property
    def job_in_hand(self) -> JobView | None:
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if possible and action.scope == "job" and not _fits(action.name, self.job_in_hand):
            return None
        return possible

    def do_pause_job(self) -> None:
        about = "Within a second no process calls KMS any more. What is sealed is written; the rest waits."
        self._change("Pause", lambda _: [about], lambda jobs, job: jobs.pause_job(job))

    def do_resume_job(self) -> None:
        self._change(
            "Resume",
            lambda view: [*([f"It stopped: {view.why}"] if view.why else []), _who_works(view)],
            lambda jobs, job: jobs.resume_job(job),
        )

    def do_retry_job(self) -> None:
        self._change(
            "Retry",
            lambda view: [
                f"{counted(view.poisoned, 'token')} that could not be written would be retried.",
                _who_works(view),
            ],
            lambda jobs, job: jobs.retry_job(job),
        )

    def do_cancel_job(self) -> None:
        self._change(
            "End",
            lambda view: [
                f"The job is cancelled for good. What is written stays: {counted(view.done, 'token')}."
            ],
            lambda jobs, job: jobs.cancel_job(job),
            typed=True,
        )

    @work(exclusive=True, group="write")
    async def do_new_job(self) -> None:
        await begin_job(self)

    @work(exclusive=True, group="write")
    async def do_restore_job(self) -> None:
        view = self.job_in_hand
        if view is not None:
            await begin_restore(self, view.job.id)

    @work(exclusive=True, group="write")
    async def do_work_here(self, number: str) -> None:
        view, processes = self.job_in_hand, self.facts.services.job_processes
        if view is None or processes is None:
            return
        if number and not (number.isascii() and number.isdecimal() and len(number) < 4):
            self.say("Enter a number of processes, or leave it empty.", trouble=True)
            return
        wanted = int(number) if number else processes.fitting(view.calls_per_second, view.remaining)
        many = "1 process" if wanted == 1 else f"{wanted:,} processes"
        about = [
            *_about(view),
            f"{many} of this host would work on it, until it ends or is paused, or you leave the console.",
            f"Processes at work on it: {at_work(view):,}.",
        ]
        question = Question(f"Work here on job {view.job.id}?", about, "Work here", safe="Go back")
        if await self.app.push_screen_wait(question):
            job = view.job.id
            trust = (view.job.target_key_arn,) if view.job.restores is not None else ()
            self.change(
                lambda: processes.work_on(job, wanted, trust=trust),
                lambda _: f"Job {job}: {many} of this host, until you leave.",
            )

    @work(exclusive=True, group="write")
    async def _change(
        self,
        title: str,
        about: Callable[[JobView], Sequence[str]],
        make: Callable[[JobService, int], JobView | int],
        *,
        typed: bool = False,
    ) -> None:
        """Say of the job in hand what would come of it, ask, then make a change of it."""
        view = self.job_in_hand
        if view is None:
            return
        job = view.job.id
        lines, number = [*_about(view), *about(view)], str(job) if typed else ""
        question = Question(f"{title} job {job}?", lines, title, number, safe="Go back")
        if await self.app.push_screen_wait(question):
            self.change(lambda: make(self.facts.services.jobs, job), _changed)


def _changed(answer: JobView | int) -> str:
    if isinstance(answer, JobView):
        return f"Job {answer.job.id}: {answer.state.value}."
    return f"To be retried: {counted(answer, 'token')}."


def _fits(name: str, view: JobView | None) -> bool:
    if name == "new-job":
        return True
    if view is None:
        return False
    match name:
        case "work-here":
            return view.state is JobState.RUNNING
        case "restore-job":
            return restorable(view)
        case "pause-job":
            return view.state is JobState.RUNNING
        case "resume-job":
            return view.state in (JobState.PAUSED, JobState.FAILED)
        case "retry-job":
            return view.poisoned > 0 and view.state is not JobState.CANCELLED
        case _:
            return not view.state.ended


def _about(view: JobView) -> tuple[str, str]:
    job = view.job
    return (
        f"{job.verb.words.capitalize()}: {job.selection}",
        f"{view.done:,} written, {view.remaining:,} remaining, {view.poisoned:,} not written.",
    )


def _who_works(view: JobView) -> str:
    if at_work(view):
        return f"Processes at work on it: {at_work(view):,}."
    return f"No process is working on it. Start one with w here, or with keydeck jobs join {view.job.id}."
