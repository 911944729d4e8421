"""Events that name a token, by their encryption context or by a receipt: facts, counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.key_uses import MAKES, READS, REWRAPS
from crypto_core.trail.event_fields import SAID
from crypto_core.trail.store.tallies import Day, Tallies, moment_json

MOST = 200


@dataclass(frozen=True, slots=True)
class NamedUse:
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
    """Lets these events through."""

    @property
    def events(self) -> int:
        return self.rows.events

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "opened": self.opened,
            "rewrapped": self.rewrapped,
            "sealed": self.sealed,
            "failed": self.failed,
            "first": moment_json(self.first),
            "last": moment_json(self.last),
            "by": self.rows.as_json(SAID),
            "days": [day.as_json() for day in self.days],
            "filter": self.filter,
        }


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
