"""Events that name a token, by their encryption context or by a receipt: facts, counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.keys.key_uses import MAKES, READS, REWRAPS
from crypto_core.trail.event_fields import SAID
from crypto_core.trail.store.tallies import Day, Tallies
from crypto_core.values.json_records import JsonRecord, shape

MOST = 200


@dataclass(frozen=True, slots=True)
class NamedUse(JsonRecord):
    """Events whose encryption context, or whose receipt, names a token: facts.

    `rows` is by operation, principal, address and error. `opened` are the calls that brought its plaintext,
    `rewrapped` those that moved its data key under another key and brought none, `sealed` those that made it:
    all of them succeeded.
    """

    rows: Tallies
    opened: int
    rewrapped: int
    sealed: int
    failed: int
    first: datetime | None
    last: datetime | None
    days: tuple[Day, ...]
    filter: str

    json_shape = shape(
        "events opened rewrapped sealed failed first? last? by days filter",
        by=lambda use: use.rows.as_json(SAID),
    )

    @property
    def events(self) -> int:
        return self.rows.events


def named_use(found: Tallies, days: tuple[Day, ...], expression: str) -> NamedUse:
    """Return the use of a token by its events, told by operation, principal, address and error."""
    rows = found.rows
    shown = Tallies(
        found.fields,
        rows[:MOST],
        len(rows[MOST:]) + found.others,
        sum(r.events for r in rows[MOST:]) + found.rest,
    )
    return NamedUse(
        shown,
        opened=sum(r.done for r in rows if r.texts[0] in READS),
        rewrapped=sum(r.done for r in rows if r.texts[0] in REWRAPS),
        sealed=sum(r.done for r in rows if r.texts[0] in MAKES),
        failed=sum(r.failed for r in rows),
        first=min((r.first for r in rows), default=None),
        last=max((r.last for r in rows), default=None),
        days=days,
        filter=expression,
    )
