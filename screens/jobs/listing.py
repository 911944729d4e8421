"""The jobs as a table lists them."""

from __future__ import annotations

from crypto_core.lists.filter_language import Field
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from screens.ages import ago
from screens.facts import Facts
from screens.jobs.words import share_done, state_sign, to_go, what_words
from screens.jobs.work import job_work
from screens.use.lines import who
from screens.widgets.cells import fit_middle, percent
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows

MOST = 1_000
"""Jobs that are listed, the newest."""


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
