"""Jobs: which tokens are being written anew, and how far is it?"""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from screens.facts import ScreenFacts
from screens.jobs.job_actor import JobActor
from screens.jobs.words import at_work, how_to_work, restorable, share_done, state_sign, to_go, what_words
from screens.list_screen import ListScreen
from screens.routes import JobRoute
from screens.use.lines import who
from screens.widgets.cells import percent
from screens.widgets.notice import HintLine
from screens.widgets.table.columns import Cell
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table_list import memory_listing

MOST = 1_000


class JobsScreen(JobActor, ListScreen[JobView]):
    """All jobs, the newest first, on whatever host they started or run."""

    CSS_PATH = "screen.tcss"
    NAME = "jobs"
    EVERY = 5.0

    def body(self) -> Iterable[Widget]:
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield HintLine()

    @property
    def job_in_hand(self) -> JobView | None:
        return self.row_in_hand

    def show_list(self) -> None:
        view = self.job_in_hand
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state, view.state if view else None, bool(view and view.poisoned))
        self.query_one(HintLine).say(_hint(view, self.facts) if view is not None else "")

    def route_of(self, row: JobView) -> JobRoute:
        return JobRoute(row.job.id)


def _hint(view: JobView, facts: ScreenFacts) -> str:
    if view.why:
        return f"Enter: the job. {view.why}"
    if view.state is JobState.RUNNING and not at_work(view):
        return f"Enter: the job. No process is working on it. {how_to_work(view, facts)}"
    if restorable(view) and not facts.read_only:
        return "Enter: the job, with its censuses. U: restore what it replaced."
    return "Enter: the job, followed as it goes."


def _share(view: JobView, _facts: ScreenFacts) -> Cell:
    return percent(round(share_done(view) * 1_000), 1_000), ""


def _state(view: JobView, _facts: ScreenFacts) -> Cell:
    return view.state.value, state_sign(view).style


def _failed(view: JobView, _facts: ScreenFacts) -> Cell:
    return f"{view.poisoned:,}", "$error" if view.poisoned else "$muted"


def _eta(view: JobView, _facts: ScreenFacts) -> Cell:
    return to_go(view).removeprefix("about ") or "-", "$muted"


def _rate(view: JobView, _facts: ScreenFacts) -> Cell:
    return f"{view.tokens_per_second:,.0f}/s", "$muted"


def _by(view: JobView, _facts: ScreenFacts) -> Cell:
    return who(view.job.created_by), "$muted"


def _to(view: JobView, facts: ScreenFacts) -> Cell:
    return facts.key_words.long(view.job.target_key_arn), "$muted"


SHEET: Sheet[JobView, ScreenFacts] = Sheet(
    "job",
    "jobs",
    (
        SheetField("job", None, (5, 9, 0), at="job.id", tone="bold", order=True, right=True),
        SheetField("state", _state, (9, 10, 1), find=True, values=tuple(JobState), order=True),
        SheetField("what", lambda view, _: (what_words(view.job), ""), (24, 60, 2), ends=True),
        SheetField("done", _share, (8, 9, 3), order=lambda view, _: share_done(view), right=True),
        SheetField("failed", _failed, (11, 13, 4), "not written", "poisoned", order=True, right=True),
        SheetField("remaining", None, (9, 13, 5), order=True, right=True),
        SheetField("written", None, (9, 13, 9), at="done", order=True, right=True),
        SheetField("rate", _rate, (9, 12, 7), "tokens", right=True),
        SheetField("eta", _eta, (6, 8, 5), "ETA"),
        SheetField("begun", None, (10, 12, 8), at="job.created_at", tone="$muted"),
        SheetField("by", _by, (12, 30, 10), at="job.created_by", free=True, order=True),
        SheetField("to", _to, (14, 40, 11), at="job.target_key_arn", find=True, shown=False),
        SheetField("from", at="job.source_key_arn", find=True, listed=False),
        SheetField("verb", at="job.verb", find=True, values=tuple(Verb), listed=False),
        SheetField("selection", at="job.selection", free=True, listed=False),
        SheetField("host", at="job.host", free=True, listed=False),
    ),
)

LISTING = memory_listing(
    "jobs",
    SHEET,
    lambda facts: facts.services.jobs.jobs(MOST),
    sort="job",
    descending=True,
    identity=lambda view: view.job.id,
    reference=lambda view: str(view.job.id),
    sign=lambda view, _: state_sign(view),
    nothing="No jobs yet. Press n to start one, or run: keydeck reencrypt --from OLD --to NEW",
)
EXAMPLE = "state:running,paused verb:reencrypt to:*9f2c"
