"""What pages about use are made of: facts, sentences, groups of events with their counts, days, gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from textual.content import Content

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event import UNDATED, Principal
from crypto_core.trail.store.tallies import Day, EventTally, Tallies
from crypto_core.values.clean_text import CleanText
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.moments import clock_time
from screens.routes import EventsRoute
from screens.widgets.cells import bar, cut, fit, fit_middle
from screens.widgets.line_list import Line, line

NAME_CELLS = 13
NUMBER_CELLS = 9
TIME_CELLS = 16
ROOMY = 100
"""Cells from which on the first event of a group has room beside the last."""
BLANK = Line(Content(""))
POSSIBLE = "?"
"""Marks each line about possible use rather than recorded use."""
THESE = "Enter: these events."


def fact(
    name: str,
    value: str,
    width: int,
    *,
    style: str = "",
    target: object = None,
    hint: str = THESE,
    whole_end: bool = False,
) -> Line:
    """Return a name and its value on one line; it is cut at its end, or in its middle for a `whole_end`."""
    room = max(width - NAME_CELLS, 10)
    shown = fit_middle(value, room).rstrip() if whole_end else cut(value, room)
    style = style or ("$accent" if target is not None else "")
    content = Content.assemble((fit(name, NAME_CELLS), "$muted"), (shown, style))
    return Line(content, target, hint if target is not None else "")


def prose(
    text: str | Content, width: int, *, lead: str = "", lead_style: str = "", style: str = ""
) -> Iterator[Line]:
    """Yield a text behind a lead, wrapped; what goes on below is set in as far as the lead is wide."""
    content = text if isinstance(text, Content) else Content(text)
    for number, part in enumerate(content.stylize(style).wrap(max(width - len(lead), 20))):
        yield line((" " * len(lead) if number else lead, lead_style), part)


def gap_lines(coverage: Coverage, width: int) -> Iterator[Line]:
    """Yield what is not covered, a sentence each."""
    for reason in coverage.reasons:
        yield from prose(f"not covered: {reason}", width, lead="▲ ", lead_style="$warning")


def heading(title: str, width: int, *columns: str) -> Line:
    """Return a section's title, at the right the names of the numbers below it."""
    right = "".join(fit(name, NUMBER_CELLS, right=True) for name in columns)
    room = max(width - len(right) - _time_cells(width), 10)
    last = ("  " + fit("first", TIME_CELLS) if width >= ROOMY else "") + "  " + fit("last", TIME_CELLS)
    return line((fit(title, room), "bold"), (f"{right}{last}".rstrip(), "$muted"))


def counted_line(
    label: str,
    numbers: Sequence[tuple[str, str]],
    seen: tuple[datetime | None, datetime | None],
    width: int,
    facts: ScreenFacts,
    *,
    lead: str = "",
    target: object = None,
    hint: str = THESE,
) -> Line:
    room = max(width - 2 - len(numbers) * NUMBER_CELLS - _time_cells(width), 8)
    now = facts.clock()
    parts: list[str | tuple[str, str]] = [
        (fit(lead, 2), "$warning"),
        (fit_middle(label, room), "$accent" if target is not None else ""),
        *((fit(number, NUMBER_CELLS, right=True), style) for number, style in numbers),
    ]
    first, last = (fit(moment_words(at, now), TIME_CELLS) for at in seen)
    if width >= ROOMY:
        parts.append((f"  {first}", "$muted"))
    parts.append((f"  {last}".rstrip(), "$muted"))
    return line(*parts, target=target, hint=hint if target is not None else "")


def _time_cells(width: int) -> int:
    return (TIME_CELLS + 2) * (2 if width >= ROOMY else 1)


def moment_words(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "-"
    return "undated" if at == UNDATED else clock_time(at, now)


def failed_words(failed: int) -> tuple[str, str]:
    """Return a number of failed calls with its style: a sign stands before it unless it is 0."""
    return (f"✖ {failed:,}", "$error") if failed else ("0", "$muted")


def group_lines(
    title: str,
    found: Tallies,
    shown: Callable[[EventTally], str],
    expression: str,
    width: int,
    facts: ScreenFacts,
) -> Iterator[Line]:
    """Yield a section for groups of events, nothing where there are none; Enter leads to their events."""
    if not found.rows:
        return
    yield heading(title, width, "events", "failed")
    for row in found.rows:
        whole = " ".join(text for text in row.texts if text)
        yield counted_line(
            shown(row),
            [(f"{row.events:,}", "bold"), failed_words(row.failed)],
            (row.first, row.last),
            width,
            facts,
            target=EventsRoute(narrowed(expression, found.fields, row.texts)),
            hint=f"{THESE} {whole}",
        )
    if found.others:
        words = f"… and {found.others:,} more, with {found.rest:,} events"
        yield line((f"  {words}", "$muted"), target=EventsRoute(expression), hint="Enter: all of the events.")


def group_text(row: EventTally) -> str:
    return "  ".join(text for text in row.texts if text) or "-"


def narrowed(expression: str, fields: Iterable[str], texts: Iterable[str]) -> str:
    """Return a filter for the events of a group: its value in every field, or none where it has none."""
    terms = [expression]
    for field, text in zip(fields, texts, strict=True):
        # An event about two keys has both in one text.
        values = text.split(" ") if field in ("key", "material") else [text]
        terms += [term(field, value) if value else f"-{field}:*" for value in values]
    return " ".join(terms)


def day_lines(days: Sequence[Day], expression: str, width: int) -> Iterator[Line]:
    """Yield the days, the newest first, each with a bar; Enter leads to its events."""
    if not days:
        return
    right = "".join(fit(name, NUMBER_CELLS, right=True) for name in ("events", "failed"))
    room = max(width - 2 - 12 - len(right), 8)
    title = fit("By day, UTC", 2 + 12 + room)
    yield line((title, "bold"), (right, "$muted"))
    peak = max(day.events for day in days)
    later = None
    for day in reversed(days):
        if later is not None and (later - day.day).days > 1:
            none = (later - day.day).days - 1
            yield line(
                (f"  · {none:,} day{'' if none == 1 else 's'} without an event in the store", "$muted")
            )
        later = day.day
        within = f"since:{day.day.isoformat()}T00:00:00Z until:{day.day.isoformat()}T23:59:59Z"
        yield line(
            (f"  {day.day.isoformat()}  ", "$accent"),
            (bar(day.events / peak if peak else 0.0, room), "$accent"),
            (fit(f"{day.events:,}", NUMBER_CELLS, right=True), "bold"),
            (fit(failed_words(day.failed)[0], NUMBER_CELLS, right=True), failed_words(day.failed)[1]),
            target=EventsRoute(f"{expression} {within}"),
            hint="Enter: the events of this day.",
        )


def who(arn: CleanText) -> str:
    """Return a principal's short name; "-" for a call that tells none."""
    return Principal(arn=arn).name or "-"


def span_words(first: datetime | None, last: datetime | None, now: datetime) -> str:
    return f"{moment_words(first, now)} – {moment_words(last, now)}"
