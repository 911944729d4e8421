"""A key's use: by operation, principal, material, Region and day, each leading to its events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.lists.coverage import Coverage
from crypto_core.values.errors import EventStoreError
from screens.keys.key_screen import KeyScreen
from screens.use.key_use_screen import KeyUseScreen
from tests.screens.deck import LARGE, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless
from tests.screens.sample_events import denied, event
from tests.screens.samples import ACCOUNT, KEYS
from tests.screens.stage import Stage
from tests.screens.test_hostile_events import hostile
from tests.screens.test_token_timeline import go_to, shown, there

TALL = (120, 60)


async def test_t_leads_from_the_list_and_the_page_of_a_key_to_its_use() -> None:
    async with deck(there(), start="keys", size=LARGE) as d:
        await d.press("T")
        assert isinstance(d.app.screen, KeyUseScreen)
        assert "Keys › Use › alias/tokens …9f2c" in d.lines()[1]
        assert "246, failed 3, denied 3" in d.line_with("events   ")
        await go_to(d, "key   ")
        await d.press("enter")
        assert isinstance(d.app.screen, KeyScreen)
        used = d.line_with("used, 14 d")
        assert "············▃█  246 calls · ✖ 3 denied · 3 failed" in used
        assert "4  ✖ 3 denied   last" in d.line_with("user/intruder")
        await go_to(d, "user/intruder")
        await d.press("enter")
        assert d.pane.feed.count == 4
        await d.press("escape", "T")
        assert isinstance(d.app.screen, KeyUseScreen)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("words", "events"),
    [
        ("events   ", 246),
        ("of them", 40),
        ("Decrypt", 206),
        ("user/intruder", 4),
        ("material 3", 243),
        ("not in the record", 3),
        ("AccessDenied", 3),
        ("eu-west-1  alias/tokens", 246),
        ("2026-07-01  █", 177),
        ("2026-06-30  █", 69),
    ],
)
async def test_each_line_leads_to_the_events_that_it_counts(words: str, events: int) -> None:
    async with deck(there(), start="keys", size=TALL) as d:
        await d.press("T")
        assert f"{events:,}" in d.line_with(words)
        await go_to(d, words)
        await d.press("enter")
        shown(d)
        assert d.pane.feed.count == events


async def test_days_without_an_event_are_said_and_never_taken_for_days_without_use() -> None:
    stage = Stage()
    stage.events.add([event(1), event(2, ago=3 * 86_400)])
    async with deck(stage, start="keys", size=TALL) as d:
        await d.press("T")
        assert "· 2 days without an event in the store" in d.text()


@pytest.mark.deep
async def test_the_replicas_of_a_multi_region_key_are_told_together_and_apart() -> None:
    ids = [f"arn:aws:kms:{region}:{ACCOUNT}:key/mrk-{'1' * 32}" for region in ("eu-west-1", "us-east-1")]
    stage = Stage(keys=(replace(KEYS[0], key_arn=ids[0]), *KEYS[1:]))
    stage.events.add([event(n, ago=n, key=ids[0]) for n in range(3)])
    stage.events.add([event(10 + n, ago=n, key=ids[1], awsRegion="us-east-1") for n in range(2)])
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.filter("key:*mrk*")
        await d.press("T")
        assert "5, failed 0, denied 0" in d.line_with("events   ")
        assert all(arn in d.text() for arn in ids)
        assert " 3 " in d.line_with("  eu-west-1  alias/tokens")
        await go_to(d, "  us-east-1  ")
        await d.press("enter")
        shown(d)
        assert d.pane.feed.count == 2


async def test_events_of_an_alias_alone_are_told_apart_as_possible() -> None:
    stage = Stage()
    of_alias = event(3, key=None, requestParameters={"keyId": "alias/tokens"}, errorCode="NotFoundException")
    assert of_alias.alias == "alias/tokens"
    stage.events.add([event(1), denied(2), of_alias])
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.press("T")
        assert "2, failed 1" in d.line_with("events   ")
        assert "1 further event by alias alone, maybe of another key then" in d.line_with("possible   ")


async def test_a_key_without_events_says_so_and_what_the_store_lacks() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("T")
        assert "No event in the store is about this key." in d.text()
        assert "▲ not covered: The store holds no events." in d.text()


async def test_gaps_and_trouble_are_shown_and_r_asks_again() -> None:
    stage = there()
    stage.event_use.covered = Coverage(("eu-west-1: not fetched from 08:00 to 09:00.",))
    stage.faults["use.key"] = EventStoreError("The store is damaged.")
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.press("T")
        assert "✖ The store is damaged." in d.text()
        stage.faults.clear()
        await d.press("r")
        assert "▲ not covered: eu-west-1: not fetched from 08:00 to 09:00." in d.text()
        assert "damaged" not in d.text()


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_records_of_a_key_are_inert(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    stage.events.add([hostile(n, text, additionalEventData={"keyMaterialId": text}) for n in range(3)])
    stage.event_use.covered = Coverage((text,))
    async with deck(stage, start="keys", size=size) as d:
        await d.press("enter")
        assert "used, 14 d" in d.text()
        await d.press("G")
        assert_harmless(d, size)
        await d.press("escape", "T")
        for key in (*["down"] * 12, "G", "enter", "escape", "question_mark", "escape"):
            await d.press(key)
            assert_harmless(d, size)
