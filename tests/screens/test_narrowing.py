"""Filters made from what is on screen let through what they say, whatever the values are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.lists.filter_language import passes
from crypto_core.trail.query import parse, values
from crypto_core.values.errors import InvalidFilterError
from screens.event_filters import between, since, term, with_or_without_noise, with_term
from tests.crypto_core.trail import records

NOW = records.NOW


@given(
    st.text(min_size=1, max_size=40)
    .map(lambda text: "".join(c for c in text if c.isprintable()))
    .filter(bool)
)
def test_a_value_is_found_by_its_own_term(agent: str) -> None:
    found = records.event(userAgent=agent)
    if not found.user_agent:
        return
    only = parse(term("agent", found.user_agent), NOW)
    assert passes(only, lambda name: values(found, name, {}))
    without = parse(term("agent", found.user_agent, negated=True), NOW)
    assert not passes(without, lambda name: values(found, name, {}))


@pytest.mark.parametrize("words", ["yesterday-ish", '2h"', '"', "[/red]", "2026-13-01"])
def test_words_that_name_no_time_say_how_one_is_written(words: str) -> None:
    with pytest.raises(InvalidFilterError, match="is not a valid time") as raised:
        since(words, None, NOW)
    assert "30m, 2h, 7d" in raised.value.remedy


def test_a_term_is_added_once() -> None:
    once = with_term("-service", term("ip", "10.0.0.1"))
    assert once == '-service ip:"10.0.0.1"'
    assert with_term(once, term("ip", "10.0.0.1")) == once


@pytest.mark.parametrize("before", ["since:24h", "time:2026-01-01..", "until:2h since:3d", ""])
def test_a_span_of_time_replaces_the_one_before(before: str) -> None:
    first, last = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    after = between(f'name:"a b" {before} -service', first, last, NOW)
    assert after == 'name:"a b" -service since:2026-11-25T10:00:00Z until:2026-11-25T11:00:00Z'
    parse(after, NOW)


def test_the_ends_of_the_calendar_can_be_written() -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert len(parse(between("", first, last, NOW), NOW)) == 2


def test_calls_of_services_and_of_keydeck_are_hidden_and_shown_in_turn() -> None:
    assert with_or_without_noise("-service -own since:24h", NOW) == "since:24h"
    assert with_or_without_noise("-service since:24h", NOW) == "since:24h"
    assert with_or_without_noise("-own", NOW) == ""
    assert with_or_without_noise("since:24h", NOW) == "-service -own since:24h"
    assert with_or_without_noise("service own name:Decrypt", NOW) == "-service -own name:Decrypt"
    assert with_or_without_noise("", NOW) == "-service -own"
