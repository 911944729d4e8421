"""A lapse in words: from when to when it is known, what it was, and what ended it."""

from __future__ import annotations

from datetime import UTC, datetime

from crypto_core.compliance.period.period import Lapse, LapseSource
from screens.ages import span
from screens.styled import BAD, StyledLine


def when(lapse: Lapse) -> str:
    """Return from when to when, in UTC, and how long that was at least."""
    first, last = moment(lapse.first_at), moment(lapse.last_at)
    if lapse.first_at == lapse.last_at:
        return first
    return f"{first} – {last} ({span(lapse.last_at - lapse.first_at)})"


def bounds(lapse: Lapse) -> str:
    """Return how far beyond that it may have reached."""
    began = f"not so on {moment(lapse.after)}" if lapse.after else "so from the beginning of the records on"
    ended = f"over by {moment(lapse.before)}" if lapse.before else "not over yet"
    return f"{began}; {ended}"


def ending(lapse: Lapse) -> str:
    """Return what ended it."""
    if not lapse.over:
        return "still open"
    return f"ended by {lapse.ended_by}" if lapse.ended_by else "what ended it is not known"


def lapse_lines(lapse: Lapse) -> tuple[StyledLine, ...]:
    """Return the lapse: when and what, then what ended it and what it is known by."""
    known = "known by CloudTrail alone" if lapse.source is LapseSource.EVENTS else "known by the records"
    return (
        (BAD if not lapse.over else ("✖ ", "$muted"), (when(lapse), "bold"), f"  {lapse.what}"),
        (("  ", ""), (f"{ending(lapse)} · {bounds(lapse)} · {known}", "$muted")),
    )


def moment(at: datetime) -> str:
    """Return a moment of a record or an event, in UTC: the days of evidence are UTC's."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
