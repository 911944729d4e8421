"""What the list of events says of itself: whether all was fetched of the time that it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crypto_core.findings.finding import Finding, Severity
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.store.own_callers import note_caller
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow
from crypto_core.values.errors import EventStoreError
from screens.blocking_calls import Failure
from screens.event_filters import window
from screens.events.cover_line import Covered, cover, gap_words
from screens.events.screen import EventsScreen
from screens.findings.screen import FindingsScreen
from screens.moments import seconds
from tests.crypto_core.trail.records import ACCOUNT, event, role, user
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.hostile import EACH_TEXT, assert_harmless
from tests.screens.samples import HOSTILE, NOW
from tests.screens.stage import Stage
from tests.screens.test_token_timeline import there


def fetched(stage: Stage, since: datetime, until: datetime) -> None:
    """Write down that a time was fetched."""
    book = PullBook(stage.events.store.file)
    book.cover(PullScope("lookup", "eu-west-1"), TimeWindow(seconds(since), seconds(until)), seconds(NOW))


@pytest.mark.deep
async def test_what_was_not_fetched_is_a_gap_told_in_full_where_there_is_room() -> None:
    async with deck(there(), start="events", size=SMALL) as d:
        assert "▲ 1 gap   store 30 Jun 08:13 – 1 Jul 11:59" in d.lines()[2]
        assert "40 service events hidden" in d.lines()[2]
    async with deck(there(), start="events", size=LARGE) as d:
        assert "▲ 1 gap   store: 246 events, 30 Jun 08:13" in d.lines()[2]
        assert "▲ eu-west-1: not fetched from 2026-06-30 12:00 to 2026-07-01 12:00 UTC." in d.lines()[3]


async def test_own_calls_are_hidden_at_first_and_counted_and_a_shows_them() -> None:
    stage = there()
    store = stage.events.store
    note_caller(store.file, f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana")
    ours = "Boto3/1.40.21 app/keydeck"
    store.add(
        [event(ago=60, who=role("oncall", "ana"), userAgent=ours), event(ago=61, who=user(), userAgent=ours)]
    )
    async with deck(stage, start="events", size=SMALL) as d:
        # Who only copies the user agent is shown.
        assert "1 of 206 events" in d.lines()[1]
        assert "41 events hidden" in d.lines()[2]
        await d.press("a")
        assert "1 of 247 events" in d.lines()[1]
        await d.filter("-own since:24h")
        assert "1 own event hidden" in d.lines()[2]


@pytest.mark.deep
async def test_complete_is_claimed_only_up_to_when_cloudtrail_has_delivered() -> None:
    stage = there()
    fetched(stage, NOW - timedelta(days=2), NOW)
    async with deck(stage, start="events", size=LARGE) as d:
        assert "complete to 10:45" in d.lines()[2]
        assert "gap" not in d.text()
        await d.filter("-service since:30m")
        assert "too recent for all to be there" in d.lines()[2]
        await d.filter("-service since:24h until:2h")
        assert "   complete   store:" in " " + d.lines()[2]
        await d.filter("-service since:3d")
        assert "▲ 1 gap" in d.lines()[2]


@pytest.mark.deep
async def test_a_list_without_a_beginning_is_judged_from_the_stores_first_event_on() -> None:
    stage = there()
    fetched(stage, NOW - timedelta(hours=20), NOW)
    async with deck(stage, start="events", size=LARGE) as d:
        await d.filter("-service")
        assert "not fetched from 2026-06-30 08:" in d.text()


async def test_without_events_nothing_is_claimed() -> None:
    async with deck(start="events", size=LARGE) as d:
        assert "complete" not in d.text()
        await d.filter("*")
        assert "complete" not in d.text()


@pytest.mark.deep
async def test_a_store_that_does_not_answer_says_that_gaps_are_not_known() -> None:
    stage = there()
    async with deck(stage, start="events", size=LARGE) as d:

        class Broken:
            def coverage_of(self, *_: object) -> Coverage:
                raise EventStoreError("The store is damaged.")

        object.__setattr__(d.facts.services, "event_coverage", Broken())
        await d.filter("-service since:23h")
        assert "✖ gaps not known" in d.lines()[2]


@EACH_TEXT
@pytest.mark.parametrize("width", [60, 78, 118])
def test_hostile_gaps_are_one_line_each_and_only_the_first_few(text: str, width: int) -> None:
    covered = Covered(NOW - timedelta(days=1), None, Coverage((text,) * 5))
    assert len(gap_words(covered).plain.splitlines()) == 3
    assert "and 3 more" in gap_words(covered).plain
    facts = type("F", (), {"clock": lambda self: NOW})()
    for known in (covered, Failure(text), None):
        assert cover(None, None, known, facts, width).cell_length <= width


async def test_hostile_gaps_are_inert_on_screen() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        screen = d.app.screen
        assert isinstance(screen, EventsScreen)
        for text in HOSTILE:
            screen.cover.know_fetched(Covered(NOW, None, Coverage((text, text))))
            await d.settle()
            assert_harmless(d, LARGE)


@pytest.mark.parametrize(
    ("expression", "first", "last"),
    [
        ("", None, None),
        ("since:24h", NOW - timedelta(hours=24), None),
        ("since:24h until:1h", NOW - timedelta(hours=24), NOW - timedelta(hours=1)),
        ("since:24h since:2h name:Decrypt", NOW - timedelta(hours=2), None),
        ("-since:24h", None, None),
        ("time:nonsense", None, None),
    ],
)
def test_the_time_that_a_filter_lets_through(
    expression: str, first: datetime | None, last: datetime | None
) -> None:
    assert window(expression, NOW) == (first, last)


def test_the_time_of_a_whole_day() -> None:
    first, last = window("time:2026-06-30", NOW)
    assert first == datetime(2026, 6, 30, tzinfo=UTC)
    assert last is not None
    assert last >= datetime(2026, 6, 30, 23, 59, tzinfo=UTC)


@pytest.mark.deep
async def test_d_leads_to_what_rules_found_in_events_and_not_to_what_they_found_in_keys() -> None:
    stage = there()
    found = Finding(
        "trail-new-principal",
        Severity.HIGH,
        "arn:aws:iam::111122223333:user/intruder",
        "user/intruder decrypted for the first time",
        "1 call",
        "Ask who it is.",
        techniques=("T1528",),
        events=("00000000-0000-4000-8000-000000003100",),
    )
    stage.trail_findings = (found,)
    async with deck(stage, start="events", size=LARGE) as d:
        await d.press("d")
        assert isinstance(d.app.screen, FindingsScreen)
        assert "user/intruder decrypted" in d.text()
        assert "kms-public" not in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, EventsScreen)
        assert d.pane.feed.count == 1
