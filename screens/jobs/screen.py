"""Jobs: which tokens are being written anew, and how far is it?"""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from crypto_core.reencryption.jobs.model import JobState, JobView
from screens.facts import Facts
from screens.jobs.job_actor import JobActor
from screens.jobs.listing import EXAMPLE, LISTING
from screens.jobs.words import at_work, how_to_work, restorable
from screens.list_screen import ListScreen
from screens.routes import JobRoute
from screens.widgets.hint_line import HintLine
from screens.widgets.table.pane import TablePane


class JobsScreen(JobActor, ListScreen[JobView]):
    """All jobs, the newest first, on whatever host they started or run."""

    CSS_PATH = "screen.tcss"
    NAME = "jobs"
    EVERY = 5.0

    def body(self) -> Iterable[Widget]:
        """The jobs, and a word on the one under the cursor."""
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield HintLine()

    @property
    def job_in_hand(self) -> JobView | None:
        """The job under the cursor."""
        return self.row_in_hand

    def show_list(self) -> None:
        """Show where in the list the cursor is, and what can be done with the job under it."""
        view = self.job_in_hand
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state, view.state if view else None, bool(view and view.poisoned))
        self.query_one(HintLine).say(_hint(view, self.facts) if view is not None else "")

    def route_of(self, row: JobView) -> JobRoute:
        """The job's page."""
        return JobRoute(row.job.id)


def _hint(view: JobView, facts: Facts) -> str:
    if view.why:
        return f"Enter: the job. {view.why}"
    if view.state is JobState.RUNNING and not at_work(view):
        return f"Enter: the job. No process is working on it. {how_to_work(view, facts)}"
    if restorable(view) and facts.services.undoing is not None and not facts.read_only:
        return "Enter: the job, with its censuses. U: restore what it replaced."
    return "Enter: the job, followed as it goes."
