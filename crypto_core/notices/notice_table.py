"""The notices that receivers are sent: waiting, sent, or given up, one row for each receiver."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock, seconds_from_now, upsert
from crypto_core.database.schema import notice as table

WAITING, SENT, GIVEN_UP = "waiting", "sent", "given up"
STATES = (WAITING, SENT, GIVEN_UP)


@dataclass(frozen=True, slots=True)
class NoticeRow:
    id: int
    digest: str
    receiver: str
    kind: str
    severity: str
    told: Mapping[str, Any]
    made_at: datetime
    state: str
    attempts: int
    next_at: datetime
    ended_at: datetime | None
    trouble: str


_ROW = [table.c[name] for name in NoticeRow.__slots__]


def add_notices(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
    """Add rows of digest, receiver, kind, severity, told; return how many were not there yet."""
    added = 0
    for row in rows:
        values = {**row, "made_at": clock(), "next_at": clock(), "state": WAITING}
        new = upsert(table).values(values).on_conflict_do_nothing(index_elements=["digest", "receiver"])
        added += connection.execute(new).rowcount
    return added


def due_notices(
    engine: Engine, receiver: str, severities: Collection[str], *, limit: int
) -> tuple[NoticeRow, ...]:
    """Return what a receiver is sent now of these severities, the oldest first. Raises DatabaseError."""
    c = table.c
    due = (c.receiver == receiver, c.state == WAITING, c.next_at <= clock(), c.severity.in_(severities))
    with connected(engine) as connection:
        rows = connection.execute(select(*_ROW).where(*due).order_by(c.id).limit(limit))
        return tuple(NoticeRow(*row) for row in rows)


def held_notices(engine: Engine, receiver: str, free: Collection[str]) -> int:
    """Count what waits for a receiver outside of the severities `free`. Raises DatabaseError."""
    c = table.c
    held = (c.receiver == receiver, c.state == WAITING, c.severity.not_in(free))
    with connected(engine) as connection:
        return int(connection.scalar(select(func.count()).where(*held)) or 0)


def note_sent(connection: Connection, numbers: Collection[int]) -> None:
    sent = {"state": SENT, "ended_at": clock(), "attempts": table.c.attempts + 1, "trouble": ""}
    connection.execute(update(table).where(table.c.id.in_(numbers)).values(sent))


def note_failed(
    connection: Connection, numbers: Collection[int], trouble: str, *, again_in: float, give_up_after: float
) -> None:
    """These wait for so many seconds, or are given up once they are so old."""
    c = table.c
    over = c.made_at < seconds_from_now(-give_up_after)
    failed = {
        "attempts": c.attempts + 1,
        "trouble": trouble,
        "next_at": seconds_from_now(again_in),
        "state": case((over, GIVEN_UP), else_=WAITING),
        "ended_at": case((over, clock())),
    }
    connection.execute(update(table).where(c.id.in_(numbers)).values(failed))


def listed_notices(engine: Engine, states: Collection[str], *, limit: int) -> tuple[NoticeRow, ...]:
    wanted = select(*_ROW).where(table.c.state.in_(states)).order_by(table.c.id.desc()).limit(limit)
    with connected(engine) as connection:
        return tuple(NoticeRow(*row) for row in connection.execute(wanted))


def counted_notices(engine: Engine) -> dict[tuple[str, str], int]:
    c = table.c
    with connected(engine) as connection:
        rows = connection.execute(select(c.receiver, c.state, func.count()).group_by(c.receiver, c.state))
        return {(receiver, state): number for receiver, state, number in rows}
