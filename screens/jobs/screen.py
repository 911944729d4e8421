"""Jobs: which tokens are being written anew, and how far is it?"""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from crypto_core.lists.filter_language import Field
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from screens.ages import ago
from screens.facts import Facts
from screens.jobs.job_actor import JobActor
from screens.jobs.words import at_work, how_to_work, restorable, share_done, state_sign, to_go, what_words
from screens.jobs.work import job_work
from screens.list_screen import ListScreen
from screens.routes import JobRoute
from screens.use.lines import who
from screens.widgets.cells import fit_middle, percent
from screens.widgets.hint_line import HintLine
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows
from screens.widgets.table.pane import TablePane

MOST = 1_000
"""Jobs that are listed, the newest."""


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


def _hint(view: JobView, facts: Facts) -> str:
    if view.why:
        return f"Enter: the job. {view.why}"
    if view.state is JobState.RUNNING and not at_work(view):
        return f"Enter: the job. No process is working on it. {how_to_work(view, facts)}"
    if restorable(view) and facts.services.undoing is not None and not facts.read_only:
        return "Enter: the job, with its censuses. U: restore what it replaced."
    return "Enter: the job, followed as it goes."


def _share_done(view: JobView, _facts: Facts) -> Cell:
    return percent(round(share_done(view) * 1_000), 1_000), ""


def _failed(view: JobView, _facts: Facts) -> Cell:
    return f"{view.poisoned:,}", "$error" if view.poisoned else "$muted"


def _remaining(view: JobView, _facts: Facts) -> Cell:
    return f"{view.remaining:,}", ""


def _eta(view: JobView, _facts: Facts) -> Cell:
    return to_go(view).removeprefix("about ") or "-", "$muted"


def _rate(view: JobView, _facts: Facts) -> Cell:
    return f"{view.tokens_per_second:,.0f}/s", "$muted"


def _begun(view: JobView, facts: Facts) -> Cell:
    return ago(view.job.created_at, facts.moment), "$muted"


def _to(view: JobView, facts: Facts) -> Cell:
    return facts.key_words.long(view.job.target_key_arn), "$muted"


COLUMNS: tuple[Column[JobView], ...] = (
    Column("job", "job", lambda view, _: (str(view.job.id), "bold"), "job", 5, 9, 0, right=True),
    Column("state", "state", lambda view, _: (view.state.value, state_sign(view).style), "state", 9, 10, 1),
    Column("what", "what", lambda view, _: (what_words(view.job), ""), "", 24, 60, 2, cut=fit_middle),
    Column("done", "done", _share_done, "done", 8, 9, 3, right=True),
    Column("failed", "not written", _failed, "failed", 11, 13, 4, right=True),
    Column("remaining", "remaining", _remaining, "remaining", 9, 13, 5, right=True),
    Column("written", "written", lambda view, _: (f"{view.done:,}", ""), "written", 9, 13, 9, right=True),
    Column("rate", "tokens", _rate, "", 9, 12, 7, right=True),
    Column("eta", "ETA", _eta, "", 6, 8, 5),
    Column("begun", "begun", _begun, "", 10, 12, 8),
    Column("by", "by", lambda view, _: (who(view.job.created_by), "$muted"), "by", 12, 30, 10),
    Column("to", "to", _to, "", 14, 40, 11, shown=False),
)

ROWS: MemoryRows[JobView] = MemoryRows(
    lambda facts: job_work(facts).jobs(MOST),
    {
        Field("state", values=tuple(s.value for s in JobState)): lambda view, _: view.state.value,
        Field("verb", values=tuple(v.value for v in Verb)): lambda view, _: view.job.verb.value,
        Field("selection"): lambda view, _: view.job.selection,
        Field("by"): lambda view, _: view.job.created_by,
        Field("host"): lambda view, _: view.job.host,
        Field("from"): lambda view, _: view.job.source_key_arn,
        Field("to"): lambda view, _: view.job.target_key_arn,
    },
    identity=lambda view: view.job.id,
    sorts={
        "job": lambda view, _: view.job.id,
        "state": lambda view, _: view.state.value,
        "done": lambda view, _: share_done(view),
        "written": lambda view, _: view.done,
        "remaining": lambda view, _: view.remaining,
        "failed": lambda view, _: view.poisoned,
        "by": lambda view, _: view.job.created_by,
    },
    free=("selection", "by", "host"),
)

LISTING: Listing[JobView] = Listing(
    name="jobs",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
    sort="job",
    descending=True,
    identity=lambda view: view.job.id,
    reference=lambda view: str(view.job.id),
    sign=lambda view, _: state_sign(view),
    record=lambda view: view.as_json(),
    one="job",
    many="jobs",
    nothing="No jobs yet. Press n to start one, or run: keydeck reencrypt --from OLD --to NEW",
)
EXAMPLE = "state:running,paused verb:reencrypt to:*9f2c"
