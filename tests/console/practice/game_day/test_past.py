"""The calls before a game lie where the rules look, at whatever time of day it is played."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from console.practice.game_day.game import begins
from console.practice.game_day.scenario import SCENARIOS, Past

LAST_NIGHT = [past for scenario in SCENARIOS.values() for past in scenario.past if not past.nights_ago]


@pytest.mark.parametrize("past", LAST_NIGHT, ids=lambda past: past.by)
def test_last_night_is_within_a_day_and_one_hour_at_every_minute(past: Past) -> None:
    midnight, lasted = datetime(2026, 11, 28, tzinfo=UTC), timedelta(seconds=past.every * past.times)
    for minute in range(24 * 60):
        now = midnight + timedelta(minutes=minute, seconds=13)
        begun = begins(past, now)
        assert now - timedelta(days=1) < begun
        assert begun + lasted < now
        assert begun.hour == (begun + lasted).hour
