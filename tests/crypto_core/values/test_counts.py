"""The first of many texts, and moments, as sentences have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from crypto_core.values.counts import first_lines, listed
from crypto_core.values.moments import in_utc


def test_so_many_are_listed_and_the_rest_is_counted() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed([str(n) for n in range(2_000)], 1) == "0 and 1,999 more"
    assert first_lines(["a", "b"], 2) == ("a", "b")
    assert first_lines(["a", "b", "c"], 1) == ("a", "and 2 more")


def test_a_moment_is_told_in_utc_wherever_it_was_noted() -> None:
    noon = datetime(2026, 5, 1, 12, 0, 7, 900, tzinfo=timezone(timedelta(hours=2)))
    assert in_utc(noon) == in_utc(noon.astimezone(UTC)) == "2026-05-01 10:00:07 UTC"
    assert in_utc(None) == "?"
    assert in_utc(None, "never") == "never"
