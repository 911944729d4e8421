"""One job, followed as it goes, from whichever console."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from crypto_core.reencryption.jobs.model import JobView
from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.jobs.job_actor import JobActor
from screens.jobs.lines import job_lines
from screens.jobs.words import state_sign
from screens.use.use_screen import UseScreen
from screens.widgets.line_list import Line


class JobScreen(JobActor, UseScreen[JobView]):
    """Where the job stands is in the database: asked for every second, nothing of it is kept here."""

    NAME = "job"
    EVERY = 0.5
    ASKING = "Asking where the job stands…"

    def __init__(self, facts: ScreenFacts, job: int) -> None:
        super().__init__(facts)
        self.job = job
        self._here = (0, "")
        """How many processes of this console work on it, and why others stopped."""

    @property
    def crumb(self) -> tuple[str, str]:
        return "Job", str(self.job)

    @property
    def job_in_hand(self) -> JobView | None:
        return self.answer

    def ask_for(self, cancelled: Cancellation) -> JobView:
        return self.facts.services.jobs.show_job(self.job)

    def lines(self, answer: JobView, width: int) -> Iterable[Line]:
        return job_lines(answer, width, self.facts)

    def _keep(self, answer: JobView | Failure) -> None:
        here = self.facts.services.job_processes
        told = (here.at_work().get(self.job, 0), here.trouble(self.job)) if here is not None else (0, "")
        if told != self._here:
            self._here, self._written = told, ((), ())
        super()._keep(answer)
        self._show_state()

    def cursor_moved(self) -> None:
        super().cursor_moved()
        self._show_state()

    def _show_state(self) -> None:
        view = self.answer
        if view is None or not self.is_mounted:
            return
        sign = state_sign(view)
        self.show_path(Content.assemble((f"{sign.text} {view.state.value}", sign.style)))
        self.refresh_hints(view.state, view.poisoned > 0)
