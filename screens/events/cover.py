"""What the list of events covers: what is hidden from it, what the store has, and why it may be empty."""

from __future__ import annotations

from textual.content import Content

from crypto_core.counting import counted
from crypto_core.trail.store import Summary
from screens.blocking import Trouble
from screens.events.moments import end_of_axis
from screens.facts import Facts
from screens.widgets.cells import spread

_ROOMY = 96
"""Cells from which on the store's number of events has room too."""


def cover(
    summary: Summary | Trouble | None, whole: Summary | Trouble | None, facts: Facts, width: int
) -> Content:
    """Return one line: the services' calls that are hidden, and from when to when the store has events."""
    match summary:
        case None:
            hidden = Content.assemble(("counting…", "$muted"))
        case Trouble():
            hidden = Content.assemble(("✖ ", "$error"), f"not counted: {summary.message}")
        case Summary(hidden_service_events=0):
            hidden = Content.assemble(("no service events hidden", "$muted"))
        case Summary(hidden_service_events=number):
            words = f"{counted(number, 'service event')} hidden"
            hidden = Content.assemble((words, ""), ("  a shows them", "$muted"))
    return spread(hidden, _store(whole, facts, counts=width >= _ROOMY), width)


def _store(whole: Summary | Trouble | None, facts: Facts, *, counts: bool) -> Content:
    if not isinstance(whole, Summary) or whole.first is None or whole.last is None:
        return Content("")
    count = f"{counted(whole.events, 'event')}, " if counts else ""
    return Content.assemble((f"store: {count}{_from_to(whole, facts)}", "$muted"))


def _from_to(whole: Summary, facts: Facts) -> str:
    now = facts.clock()
    if whole.first is None or whole.last is None:
        return ""
    return f"{end_of_axis(whole.first, now)} – {end_of_axis(whole.last, now)}"


def nothing(whole: Summary | Trouble, facts: Facts) -> str:
    """Return what an empty list says: why, and what to do."""
    if isinstance(whole, Trouble):
        return "No answer from the store: r asks again."
    if whole.events:
        return (
            "No event passes this filter.\n/ changes it, Esc shows what the screen opened with.\n"
            f"The store has {counted(whole.events, 'event')}, {_from_to(whole, facts)}."
        )
    here = "P fetches the last 24 hours by LookupEvents, :pull 7d the last 7 days.\n"
    return (
        "No events are in the store: nothing was fetched or imported yet.\n"
        f"{here if facts.services.event_puller is not None else ''}"
        "In a shell: keydeck events pull fetches,\n"
        "keydeck events import PATH reads CloudTrail's files."
    )
