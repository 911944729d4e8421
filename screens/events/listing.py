"""The events as a table lists them: columns, words, and what is exported."""

from __future__ import annotations

from typing import Any

from crypto_core.trail.event import Principal, TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.query import FIELDS
from crypto_core.trail.store import StoredEvent
from screens.facts import Facts
from screens.moments import clock_time
from screens.signs import Sign
from screens.widgets.cells import fit_middle
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing

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


def key_words(event: TrailEvent, facts: Facts) -> str:
    """Return the keys by their names, each with its material as far as the record tells."""
    if not event.key_arns:
        return event.alias or "-"
    names = []
    for place, arn in enumerate(event.key_arns):
        material = event.material_ids[place] if place < len(event.material_ids) else None
        names.append(facts.key_words.short_with_generation(arn, material))
    return " → ".join(names)


def _time(row: StoredEvent, facts: Facts) -> Cell:
    if not row.event.dated:
        return "undated", "$warning"
    return clock_time(row.event.time, facts.moment), "$warning" if row.event.is_future(facts.clock()) else ""


def _principal(row: StoredEvent, _facts: Facts) -> Cell:
    human = row.event.principal.is_human
    return principal_words(row.event.principal), "$warning" if human else ""


def _key(row: StoredEvent, facts: Facts) -> Cell:
    words = key_words(row.event, facts)
    return words, "$muted" if words == "-" else ""


def _token(row: StoredEvent, _facts: Facts) -> Cell:
    return (str(row.event.token_ref), "") if row.event.token_ref else ("-", "$muted")


def _error(row: StoredEvent, _facts: Facts) -> Cell:
    return (row.event.error_code, "$error") if row.event.failed else ("-", "$muted")


def _service(row: StoredEvent) -> str:
    return row.event.source.removesuffix(".amazonaws.com")


def _note(row: StoredEvent, _facts: Facts) -> Cell:
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


def _record(row: StoredEvent) -> dict[str, Any]:
    return row.as_json() | {"raw": row.event.raw.decode("utf-8", "replace")}


COLUMNS: tuple[Column[StoredEvent], ...] = (
    Column("time", "time", _time, "time", 8, 19, 0),
    Column("name", "event", lambda row, _: (row.event.name or "-", ""), "", 15, 24, 1),
    Column("principal", "principal", _principal, "", 15, 30, 2),
    Column("error", "error", _error, "", 12, 24, 3),
    Column("ip", "from", lambda row, _: (row.event.source_ip or "-", ""), "", 12, 24, 4),
    Column("key", "key · material", _key, "", 12, 26, 5),
    Column("token", "token", _token, "", 16, 44, 6, cut=fit_middle),
    Column("region", "Region", lambda row, _: (row.event.region, "$muted"), "", 9, 16, 7),
    Column("note", "note", _note, "", 8, 60, 8, shown=False),
    Column("session", "session", lambda row, _: (row.event.principal.session, ""), "", 8, 30, 9, shown=False),
    Column("account", "account", lambda row, _: (row.event.account, ""), "", 12, 14, 10, shown=False),
    Column("source", "source", lambda row, _: (_service(row), "$muted"), "", 4, 24, 11, shown=False),
    Column(
        "agent", "user agent", lambda row, _: (row.event.user_agent, "$muted"), "", 20, 120, 12, shown=False
    ),
)

LISTING: Listing[StoredEvent] = Listing(
    name="events",
    columns=COLUMNS,
    source=lambda facts: facts.services.events,
    fields=FIELDS,
    sort="time",
    descending=True,
    identity=lambda row: row.event.event_id,
    reference=lambda row: row.event.event_id,
    sign=lambda row, _facts: sign_of(row),
    record=_record,
    one="event",
    many="events",
    nothing="No events are in the store.",
)
EXAMPLE = "name:Decrypt error:* principal:*intruder* key:alias/tokens since:2h -service"
