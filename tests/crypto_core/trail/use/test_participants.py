"""Who took part in events, and under which keys, those with most events first."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import actors, keys_used
from tests.crypto_core.trail import records
from tests.screens.hostile import EACH_TEXT
from tests.screens.sample_events import event
from tests.screens.samples import CURRENT, OLD

INTRUDER = records.user()["arn"]


@pytest.fixture
def events(tmp_path: Path) -> EventStore:
    """Two calls of an intruder under the old key, one under the current one, three of the platform."""
    store = EventStore(tmp_path / "events.sqlite")
    store.add(
        [
            event(1, key=OLD, who=records.user()),
            event(2, key=OLD, who=records.user()),
            event(3, key=CURRENT, who=records.user()),
            event(4, "AssumeRole", key=None, who=records.user()),
            *(event(n, key=CURRENT) for n in range(5, 8)),
        ]
    )
    return store


def ids(*numbers: int) -> list[str]:
    return [event(n).event_id for n in numbers]


def test_principals_and_keys_are_named_with_most_events_first(events: EventStore) -> None:
    platform = event(5).principal.arn
    assert actors(events, ids(1, 5, 6)) == (platform, INTRUDER)
    assert keys_used(events, "principal", (INTRUDER,)) == (OLD, CURRENT)
    assert keys_used(events, "id", ids(3, 4)) == (CURRENT,)


def test_without_events_nobody_and_nothing_is_named(events: EventStore) -> None:
    assert actors(events, ()) == keys_used(events, "principal", ()) == keys_used(events, "id", ids(4)) == ()
    assert actors(events, ["unheard of"]) == ()


@EACH_TEXT  # together they are deep, each alone is long
def test_hostile_names_are_looked_for_as_they_are(events: EventStore, text: str) -> None:
    assert keys_used(events, "principal", (text,)) in ((), (OLD, CURRENT), (CURRENT, OLD))
    assert actors(events, (text,)) == ()
