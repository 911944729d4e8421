"""The events as a table lists them: columns, words, and what is exported."""

from __future__ import annotations

from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.trail.event import Principal, TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.query import FIELDS
from crypto_core.trail.store import StoredEvent
from screens.facts import ScreenFacts
from screens.moments import clock_time
from screens.signs import Sign
from screens.widgets.table.columns import Cell
from screens.widgets.table.table_list import Listing

FAILED = Sign("✖", "$error")
HUMAN = Sign("▲", "$warning")
REVIEWED = Sign("✓", "$success")
NOTED = Sign("✎", "$accent")
PLAIN = Sign("·", "$muted")


def sign_of(row: StoredEvent) -> Sign:
    """Return the sign in the first column: a reviewed event needs no further attention."""
    if row.reviewed_at is not None:
        return REVIEWED
    if row.event.failed:
        return FAILED
    if row.event.principal.is_human:
        return HUMAN
    return NOTED if row.note else PLAIN


def principal_words(principal: Principal) -> str:
    """Return the short name; people, root and the console are marked by a sign and a word."""
    name = principal.name or principal.kind or "-"
    if not principal.is_human:
        return name
    return f"▲ {name} (console)" if principal.from_console else f"▲ {name}"


def key_words(event: TrailEvent, facts: ScreenFacts) -> str:
    """Return the keys by their names, each with its material as far as the record tells."""
    if not event.key_arns:
        return event.alias or "-"
    names = []
    for place, arn in enumerate(event.key_arns):
        material = event.material_ids[place] if place < len(event.material_ids) else None
        names.append(facts.key_words.short_with_generation(arn, material))
    return " → ".join(names)


def _time(row: StoredEvent, facts: ScreenFacts) -> Cell:
    if not row.event.dated:
        return "undated", "$warning"
    return clock_time(row.event.time, facts.moment), "$warning" if row.event.is_future(facts.clock()) else ""


def _principal(row: StoredEvent, _facts: ScreenFacts) -> Cell:
    human = row.event.principal.is_human
    return principal_words(row.event.principal), "$warning" if human else ""


def _key(row: StoredEvent, facts: ScreenFacts) -> Cell:
    words = key_words(row.event, facts)
    return words, "$muted" if words == "-" else ""


def _error(row: StoredEvent, _facts: ScreenFacts) -> Cell:
    return (row.event.error_code, "$error") if row.event.failed else ("-", "$muted")


def _service(row: StoredEvent, _facts: ScreenFacts) -> Cell:
    return row.event.source.removesuffix(".amazonaws.com"), "$muted"


def _note(row: StoredEvent, _facts: ScreenFacts) -> Cell:
    reviewed = "✓ reviewed" if row.reviewed_at is not None else ""
    note = f"✎ {row.note}" if row.note else ""
    return f"{reviewed} {note}".strip(), "$muted"


def values(row: StoredEvent, column: str) -> tuple[str, str]:
    """Return the filter's field that a column shows, and this row's value in it; "" where it has none."""
    event = row.event
    match column:
        case "time":
            return "time", event.time.isoformat().replace("+00:00", "Z") if event.dated else ""
        case "key":
            return "key", event.key_arns[0] if event.key_arns else event.alias
        case _ if column in EVENT_FIELDS:
            return column, EVENT_FIELDS[column].text(event)
        case _:
            return "id", event.event_id


SHEET: Sheet[StoredEvent, ScreenFacts] = Sheet(
    "event",
    "events",
    (
        SheetField("time", _time, (8, 19, 0), order=True),
        SheetField("name", None, (15, 24, 1), "event", "event.name", nothing=("-", "")),
        SheetField("principal", _principal, (15, 30, 2)),
        SheetField("error", _error, (12, 24, 3)),
        SheetField("ip", None, (12, 24, 4), "from", "event.source_ip", nothing=("-", "")),
        SheetField("key", _key, (12, 26, 5), "key · material"),
        SheetField("token", None, (16, 44, 6), at="event.token_ref", ends=True),
        SheetField("region", None, (9, 16, 7), "Region", "event.region", "$muted"),
        SheetField("note", _note, (8, 60, 8), shown=False),
        SheetField("session", None, (8, 30, 9), at="event.principal.session", shown=False),
        SheetField("account", None, (12, 14, 10), at="event.account", shown=False),
        SheetField("source", _service, (4, 24, 11), shown=False),
        SheetField("agent", None, (20, 120, 12), "user agent", "event.user_agent", "$muted", shown=False),
    ),
)

LISTING: Listing[StoredEvent] = Listing(
    name="events",
    sheet=SHEET,
    source=lambda facts: facts.services.events,
    fields=FIELDS,
    sort="time",
    descending=True,
    identity=lambda row: row.event.event_id,
    reference=lambda row: row.event.event_id,
    sign=lambda row, _facts: sign_of(row),
    record=lambda row: row.as_json() | {"raw": row.event.raw.decode("utf-8", "replace")},
    nothing="No events are in the store.",
)
EXAMPLE = "name:Decrypt error:* principal:*intruder* key:alias/tokens since:2h -service"
