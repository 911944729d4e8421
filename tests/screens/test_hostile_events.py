"""What attackers write into CloudTrail's records is data on every page about events."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from crypto_core.trail.event import TrailEvent
from crypto_core.values.errors import EventStoreError
from screens.events.event_screen import LONGEST_LINE, MOST_CHARACTERS, EventScreen, readable
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.hostile import EACH_TEXT, EACH_TEXT_AND_SIZE, assert_harmless
from tests.screens.sample_events import event
from tests.screens.stage import Stage


def hostile(number: int, text: str, **more: Any) -> TrailEvent:
    """An event with a text wherever a caller, or a role's name, may put one."""
    who = records.role(text, text) | {"invokedBy": text, "accessKeyId": text}
    fields: dict[str, Any] = {
        "sourceIPAddress": text,
        "userAgent": text,
        "errorCode": text,
        "errorMessage": text,
        "awsRegion": text,
        "recipientAccountId": text,
        "requestParameters": {"encryptionContext": {text: text, **records.context(text)}, "keyId": text},
    }
    return event(number, text or "x", who=who, **(fields | more))


async def everywhere(d: Deck, size: tuple[int, int]) -> None:
    """Every page about the event under the cursor."""
    assert_harmless(d, size)
    for keys in (
        *(("n",), ("escape",), ("i",), ("escape",), ("x",), ("escape",), ("y",), ("Y",), ("z",), ("Z",)),
        *(("v",), ("down",), ("enter",), ("escape",), ("escape",)),
    ):
        await d.press(*keys)
        assert_harmless(d, size)


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_records_are_inert_in_list_bars_pivots_filters_and_clipboard(
    text: str, size: tuple[int, int]
) -> None:
    stage = Stage()
    stage.events.add([hostile(n, text) for n in range(3)])
    async with deck(stage, start="events", size=size) as d:
        await d.filter("*")
        await everywhere(d, size)
        assert all(unicodedata.category(c) != "Cc" for c in d.app.clipboard if c not in "\t\n")


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_records_are_inert_on_the_events_own_page(text: str) -> None:
    stage = Stage()
    stage.events.add([hostile(1, text)])
    async with deck(stage, start="events", size=LARGE) as d:
        await d.press("enter")
        for key in (*["down"] * 24, "G", "y", "Y", "m", "question_mark", "escape"):
            await d.press(key)
            assert_harmless(d, LARGE)
        assert all(unicodedata.category(c) not in ("Cc", "Cf") for c in d.app.clipboard)


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_notes_troubles_and_gaps_are_inert(text: str) -> None:
    stage = Stage()
    stage.events.add([event(1)])
    stage.events.annotate(event(1).event_id, text, text)
    stage.puller.gaps = (text,)
    async with deck(stage, start="events", size=LARGE) as d:
        await d.press("P", "n", "escape", "enter")
        assert_harmless(d, LARGE)
        await d.press("escape")
        for name in ("page", "summary", "histogram", "review"):
            stage.faults[f"events.{name}"] = EventStoreError(text, remedy=text)
        await d.press("r", "m", "a")
        assert_harmless(d, LARGE)


@pytest.mark.deep
async def test_a_user_agent_of_5_mb_and_deep_nesting_stall_no_page() -> None:
    nested: Any = {}
    for _ in range(300):
        nested = {"a": nested}
    stage = Stage()
    stage.events.add([event(1, userAgent="w" * 5_000_000), event(2, serviceEventDetails=nested, ago=1)])
    async with deck(stage, start="events", size=LARGE) as d:
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        await d.press("G")
        assert_harmless(d, LARGE)
        assert "more characters" in "".join(line.plain for line in d.app.screen.answer.raw)  # type: ignore[union-attr]
        await d.press("Y")
        assert len(d.app.clipboard) <= 64_000
        await d.press("escape", "down", "enter", "G")
        assert_harmless(d, LARGE)


@pytest.mark.deep
def test_a_record_is_laid_out_up_to_a_limit_and_what_is_cut_is_said() -> None:
    many = readable(b'{"a": [' + b", ".join([b'"x"'] * 100_000) + b"]}")
    assert sum(len(line) for line in many) <= MOST_CHARACTERS + 1_000
    assert "cut: the record has" in many[-1].plain
    long = readable(b'{"a": "' + b"y" * 5_000_000 + b'"}')
    assert all(len(line) <= LONGEST_LINE + 60 for line in long)


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b"\xff\xfe\x1b[31m", b'{"a": "\\ud800"}'])
def test_what_is_no_json_is_shown_as_text(raw: bytes) -> None:
    for line in readable(raw):
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in line.plain)
