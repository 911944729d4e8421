"""What the rules say of what came since they were last asked: nothing is missed, all is told once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from crypto_core.trail.rules import service
from crypto_core.trail.rules.service import NewFindings, TrailRules
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import NOW, context, read, record, role
from tests.crypto_core.trail.rules.watching import ALIASES, CONFIGURED, DAY, HOUR, change, normal

NEW, TOKENS = "event-decrypt-new-principal", "event-bulk-tokens"
STRANGER = role("stranger")
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)

Comes = Callable[..., None]


@pytest.fixture
def rules(store: EventStore) -> TrailRules:
    return TrailRules(store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW)


@pytest.fixture
def comes(store: EventStore) -> Comes:
    """Let records come to the store."""

    def add(*records: Mapping[str, Any]) -> None:
        store.add([read(one) for one in records])

    return add


@pytest.fixture
def told(rules: TrailRules, comes: Comes) -> TrailRules:
    """Rules that have examined a quiet week."""
    comes(*normal(), record(ago=HOUR))
    rules.note_told(rules.examine_arrivals())
    return rules


def rules_of(new: NewFindings) -> list[str]:
    return [one.rule for one in new.examined.findings]


def reasons(new: NewFindings) -> str:
    return " ".join(gap.reason for gap in new.examined.gaps)


def at(moment: datetime) -> dict[str, str]:
    return {"eventTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}


def test_what_is_delivered_late_is_examined_when_it_comes(told: TrailRules, comes: Comes) -> None:
    comes(*(record(ago=3 * DAY + n, who=STRANGER) for n in range(3)))
    # The last day, by the events' own time, knows nothing of it.
    assert NEW not in [one.rule for one in told.examine_events().findings]
    new = told.examine_arrivals()
    assert rules_of(new) == [NEW]
    (found,) = new.examined.findings
    assert len(found.events) == 3


def test_a_finding_is_told_once_and_again_when_there_is_more_of_it(told: TrailRules, comes: Comes) -> None:
    comes(record(ago=60, who=STRANGER))
    first = told.examine_arrivals()
    assert rules_of(first) == [NEW]
    # Nobody has noted that it was told: whoever was interrupted is told it again.
    assert rules_of(told.examine_arrivals()) == [NEW]
    told.note_told(first)
    comes(record(ago=50))
    assert rules_of(told.examine_arrivals()) == []
    comes(record(ago=40, who=STRANGER))
    assert rules_of(told.examine_arrivals()) == [NEW]


def test_where_nothing_has_come_that_is_said_and_nothing_else(told: TrailRules) -> None:
    new = told.examine_arrivals()
    assert (rules_of(new), new.first) == ([], False)
    assert "none has come since the last examination" in reasons(new)
    assert new.examined.gaps[-1].hides.grave


def test_each_day_is_held_against_what_came_before_it(told: TrailRules, comes: Comes) -> None:
    # On its second day a principal is no longer new, though both days come together.
    comes(record(ago=3 * DAY, who=STRANGER), record(ago=2 * DAY, who=STRANGER))
    (found,) = told.examine_arrivals().examined.findings
    assert found.first_at == NOW - timedelta(days=3)


def test_what_is_many_within_an_hour_is_so_across_midnight(told: TrailRules, comes: Comes) -> None:
    around = MIDNIGHT - timedelta(days=1, minutes=4)
    comes(*(record(context=context(f"gh-{n}"), **at(around + timedelta(seconds=8 * n))) for n in range(60)))
    new = told.examine_arrivals()
    assert rules_of(new) == [TOKENS]
    told.note_told(new)
    comes(record(context=context("gh-1"), **at(around + timedelta(hours=20))))
    assert rules_of(told.examine_arrivals()) == []


@pytest.mark.deep
def test_more_days_than_are_examined_at_once_are_a_gap(
    told: TrailRules, comes: Comes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_DAYS", 4)
    comes(*(record(ago=DAY * (day + 10), who=STRANGER) for day in range(7)))
    new = told.examine_arrivals()
    assert "3 days from 2026-11-09 to 2026-11-11" in reasons(new)
    assert new.examined.since.date().isoformat() == "2026-11-12"


def test_what_has_no_date_or_one_that_is_still_to_come_is_not_overlooked(
    told: TrailRules, comes: Comes
) -> None:
    comes(
        record(who=STRANGER, **at(NOW + timedelta(days=400))), {**record(who=STRANGER), "eventTime": "soon"}
    )
    new = told.examine_arrivals()
    assert rules_of(new) == [NEW]
    assert "1 event without a date" in reasons(new)


def test_where_what_was_examined_is_forgotten_all_that_is_left_is_examined(
    told: TrailRules, comes: Comes, store: EventStore
) -> None:
    store._clock = lambda: NOW + timedelta(days=400)
    store.forget_before(30)
    assert store.summary("").events == 0
    comes(change("DisableKey", ago=5 * DAY))
    assert rules_of(told.examine_arrivals()) == ["event-key-disabled"]


def test_what_is_dated_in_the_future_is_a_gap_until_a_window_holds_it(
    rules: TrailRules, comes: Comes
) -> None:
    comes(*normal(), record(ago=60), record(who=STRANGER, **at(NOW + timedelta(minutes=4))))
    assert not any("in the future" in gap.reason for gap in rules.examine_events().gaps)
    comes(record(who=STRANGER, **at(NOW + timedelta(days=3))))
    (gap,) = [gap for gap in rules.examine_events().gaps if "in the future" in gap.reason]
    assert "2026-11-28" in gap.reason
    assert gap.hides.grave
    later = rules.examine_events(NOW, NOW + timedelta(days=4))
    assert not any("in the future" in gap.reason for gap in later.gaps)
    assert NEW in [one.rule for one in later.findings]
