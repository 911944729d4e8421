"""Who took part in events, and under which keys: what can be blocked, and what an incident can be about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import Event

from crypto_core.key_names import is_key_arn
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import term

MOST = 300


def actors(events: EventStore, ids: Iterable[str], cancelled: Event | None = None) -> tuple[str, ...]:
    """Return who made some events' calls, by ARN, most first. Raises EventStoreError, InterruptedRunError."""
    return tuple(who for who, _ in _counted(events, "principal", "id", ids, cancelled))


def keys_used(
    events: EventStore, field: str, values: Iterable[str], cancelled: Event | None = None
) -> tuple[str, ...]:
    """Return the keys of events found by `field`, by ARN, most first. Raises as `actors`."""
    found: Counter[str] = Counter()
    for text, number in _counted(events, "key", field, values, cancelled):
        # An event about two keys has both in one text.
        for arn in text.split(" "):
            if is_key_arn(arn):
                found[arn] += number
    return tuple(arn for arn, _ in found.most_common())


def _counted(
    events: EventStore, column: str, field: str, values: Iterable[str], cancelled: Event | None
) -> Iterator[tuple[str, int]]:
    asked = tuple(dict.fromkeys(values))[:MOST]
    if asked:
        found = events.tally((column,), term(field, *asked), limit=MOST, cancelled=cancelled)
        for row in sorted(found.rows, key=lambda row: -row.events):
            if row.texts[0]:
                yield row.texts[0], row.events
