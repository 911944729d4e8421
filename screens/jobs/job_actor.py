"""What can be done to one job, alike on the list of jobs and on a job's own page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work

from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.text.counting import counted
from screens.actions.action import Action, ActionScope
from screens.actions.performing import Host
from screens.asking import ask
from screens.blocking import Trouble
from screens.jobs.beginning import begin_job, begin_restore
from screens.jobs.question import Question
from screens.jobs.words import at_work, restorable
from screens.jobs.work import job_work
from screens.main_screen import MainScreen

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService


class JobActor(MainScreen):
    """A screen that has a job in hand, or none yet."""

    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.JOB,)

    @property
    def job_in_hand(self) -> JobView | None:
        """The job that actions are about."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Grey out what the job's state has no use for."""
        if action.scope is ActionScope.JOB:
            if action.name == "work-here" and self.facts.services.job_processes is None:
                return False
            if action.name == "restore-job" and self.facts.services.undoing is None:
                return False
            if not _fits(action.name, self.job_in_hand):
                return None
        return super().possible(action)

    @work(exclusive=True, group="write")
    async def do_pause_job(self) -> None:
        """Ask, then pause the job."""
        view = self.job_in_hand
        if view is None:
            return
        about = [
            *_about(view),
            "Within a second no process calls KMS any more. What is sealed is written; the rest waits.",
        ]
        await self._ask_and_do(view, "Pause", about, lambda jobs: jobs.pause_job(view.job.id))

    @work(exclusive=True, group="write")
    async def do_resume_job(self) -> None:
        """Ask, then let the job go on."""
        view = self.job_in_hand
        if view is None:
            return
        about = [*_about(view), *([f"It stopped: {view.why}"] if view.why else []), _who_works(view)]
        await self._ask_and_do(view, "Resume", about, lambda jobs: jobs.resume_job(view.job.id))

    @work(exclusive=True, group="write")
    async def do_retry_job(self) -> None:
        """Ask, then let the tokens be tried anew that could not be written."""
        view = self.job_in_hand
        if view is None:
            return
        about = [
            *_about(view),
            f"{counted(view.poisoned, 'token')} that could not be written would be retried.",
            _who_works(view),
        ]
        await self._ask_and_do(view, "Retry", about, lambda jobs: jobs.retry_job(view.job.id))

    @work(exclusive=True, group="write")
    async def do_cancel_job(self) -> None:
        """Ask for the job's number, then end it for good."""
        view = self.job_in_hand
        if view is None:
            return
        about = [
            *_about(view),
            f"The job is cancelled for good. What is written stays: {counted(view.done, 'token')}.",
        ]
        end, number = "End", str(view.job.id)
        await self._ask_and_do(view, end, about, lambda jobs: jobs.cancel_job(view.job.id), typed=number)

    @work(exclusive=True, group="write")
    async def do_new_job(self) -> None:
        """Ask what for, then begin a job."""
        await begin_job(self)

    @work(exclusive=True, group="write")
    async def do_restore_job(self) -> None:
        """Show what would be put back, then begin the job that does it."""
        view = self.job_in_hand
        if view is not None:
            await begin_restore(self, view.job.id)

    @work(exclusive=True, group="write")
    async def do_work_here(self, number: str) -> None:
        """Ask, then let processes of this host work on the job."""
        view, processes = self.job_in_hand, self.facts.services.job_processes
        if view is None or processes is None:
            return
        if number and not (number.isascii() and number.isdecimal() and len(number) < 4):
            cast(Host, self.app).tell("Enter a number of processes, or leave it empty.", trouble=True)
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
            ask(
                self,
                lambda _: processes.work_on(job, wanted, trust=trust),
                lambda answer: self._working(answer, job, many),
                group="job-change",
            )

    def _working(self, answer: Trouble | None, job: int, many: str) -> None:
        host = cast(Host, self.app)
        if answer is None:
            host.tell(f"Job {job}: {many} of this host, until you leave.")
        else:
            host.tell(str(answer), trouble=True)
        self.ask_anew()

    async def _ask_and_do(
        self,
        view: JobView,
        title: str,
        about: Sequence[str],
        do: Callable[[JobService], JobView | int],
        typed: str = "",
    ) -> None:
        question = Question(f"{title} job {view.job.id}?", about, title, typed, safe="Go back")
        if not await self.app.push_screen_wait(question):
            return
        ask(self, lambda _: do(job_work(self.facts)), self._done, group="job-change")

    def _done(self, answer: JobView | int | Trouble) -> None:
        host = cast(Host, self.app)
        if isinstance(answer, Trouble):
            host.tell(str(answer), trouble=True)
        elif isinstance(answer, JobView):
            host.tell(f"Job {answer.job.id}: {answer.state.value}.")
        else:
            host.tell(f"To be retried: {counted(answer, 'token')}.")
        self.ask_anew()


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
