"""The jobs as a table lists them."""

from __future__ import annotations

from crypto_core.lists.filter_language import Field, Value
from crypto_core.lists.in_memory import MemorySource
from crypto_core.lists.paging import PagedSource
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from screens.ages import ago
from screens.facts import Facts
from screens.jobs.words import share_done, state_sign, to_go
from screens.jobs.work import job_work
from screens.signs import Sign
from screens.use.lines import who
from screens.widgets.cells import fit_middle, percent
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing

MOST = 1_000
"""Jobs that are listed, the newest."""
FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("state", values=tuple(s.value for s in JobState)),
        Field("verb", values=tuple(v.value for v in Verb)),
        Field("selection"),
        Field("by"),
        Field("host"),
        Field("from"),
        Field("to"),
    )
}


def _number(view: JobView, _facts: Facts) -> Cell:
    return str(view.job.id), "bold"


def _state(view: JobView, _facts: Facts) -> Cell:
    return view.state.value, state_sign(view).style


def _what(view: JobView, _facts: Facts) -> Cell:
    return f"{view.job.verb.words}: {view.job.selection}", ""


def _through(view: JobView, _facts: Facts) -> Cell:
    return percent(round(share_done(view) * 1_000), 1_000), ""


def _written(view: JobView, _facts: Facts) -> Cell:
    return f"{view.done:,}", ""


def _left(view: JobView, _facts: Facts) -> Cell:
    return f"{view.remaining:,}", ""


def _failed(view: JobView, _facts: Facts) -> Cell:
    return f"{view.poisoned:,}", "$error" if view.poisoned else "$muted"


def _rate(view: JobView, _facts: Facts) -> Cell:
    return f"{view.tokens_per_second:,.0f}/s", "$muted"


def _to_go(view: JobView, _facts: Facts) -> Cell:
    return to_go(view).removeprefix("about ") or "-", "$muted"


def _to(view: JobView, facts: Facts) -> Cell:
    return facts.key_words.long(view.job.target_key_arn), "$muted"


def _begun(view: JobView, facts: Facts) -> Cell:
    return ago(view.job.created_at, facts.moment), "$muted"


def _by(view: JobView, _facts: Facts) -> Cell:
    return who(view.job.created_by), "$muted"


def _sign(view: JobView, _facts: Facts) -> Sign:
    return state_sign(view)


def _read(view: JobView, field: str) -> Value:
    match field:
        case "state":
            return view.state.value
        case "verb":
            return view.job.verb.value
        case "by":
            return view.job.created_by
        case "host":
            return view.job.host
        case "from":
            return view.job.source_key_arn
        case "to":
            return view.job.target_key_arn
    return view.job.selection


def source(facts: Facts) -> PagedSource[JobView]:
    """Return the jobs as they are whenever they are asked for."""
    return MemorySource(
        lambda: job_work(facts).jobs(MOST),
        fields=FIELDS,
        read=_read,
        identity=lambda view: view.job.id,
        free=("selection", "by", "host"),
        sorts={
            "job": lambda view: view.job.id,
            "state": lambda view: view.state.value,
            "through": share_done,
            "written": lambda view: view.done,
            "left": lambda view: view.remaining,
            "failed": lambda view: view.poisoned,
            "by": lambda view: view.job.created_by,
        },
    )


LISTING: Listing[JobView] = Listing(
    name="jobs",
    columns=(
        Column("job", "job", _number, "job", 5, 9, 0, right=True),
        Column("state", "state", _state, "state", 9, 10, 1),
        Column("what", "what", _what, "", 24, 60, 2, cut=fit_middle),
        Column("through", "through", _through, "through", 8, 9, 3, right=True),
        Column("failed", "not written", _failed, "failed", 11, 13, 4, right=True),
        Column("left", "left", _left, "left", 9, 13, 5, right=True),
        Column("written", "written", _written, "written", 9, 13, 9, right=True),
        Column("rate", "tokens", _rate, "", 9, 12, 7, right=True),
        Column("to-go", "to go", _to_go, "", 6, 8, 5),
        Column("begun", "begun", _begun, "", 10, 12, 8),
        Column("by", "by", _by, "by", 12, 30, 10),
        Column("to", "to", _to, "", 14, 40, 11, shown=False),
    ),
    source=source,
    fields=FIELDS,
    sort="job",
    descending=True,
    identity=lambda view: view.job.id,
    reference=lambda view: str(view.job.id),
    sign=_sign,
    record=lambda view: view.as_json(),
    one="job",
    many="jobs",
    nothing="No jobs yet. n begins one, as does: keydeck reencrypt --from OLD --to NEW",
)
EXAMPLE = "state:running,paused verb:reencrypt to:*9f2c"
