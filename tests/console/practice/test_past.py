"""When the intruder came again, at whatever hour the demo is started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.sandbox.timeline import last_night

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(0, 366 * 86_400))
def test_it_is_over_and_less_than_a_day_ago(second: int) -> None:
    now = NEW_YEAR + timedelta(seconds=second)
    begun = last_night(now, 3, 12, timedelta(minutes=5))
    assert now - timedelta(days=1) < begun < now - timedelta(minutes=5)
    # Rules count calls by the hour: the visit lies in one.
    assert begun.hour == (begun + timedelta(minutes=4)).hour
