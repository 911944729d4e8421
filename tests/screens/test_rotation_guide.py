"""The guide through a manual rotation."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from crypto_core.incidents.keys.rotation.guide import GuideStepState
from crypto_core.incidents.keys.rotation.verdict import RotationVerdict, command, note, setting
from crypto_core.incidents.model import CheckState
from crypto_core.lists.coverage import Coverage
from crypto_core.values.errors import KmsUnreachableError
from screens.keys.guide_screen import GuideScreen
from screens.widgets.question import AskText
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, harmless_after
from tests.screens.samples import CURRENT, GUIDE, OLD
from tests.screens.stage import Stage


async def guide(d: Deck, new: str = "alias/tokens-2") -> None:
    await d.command(f"replace {new}")
    assert isinstance(d.app.screen, GuideScreen)


async def test_every_step_says_where_it_stands_what_was_seen_and_what_to_do() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await guide(d)
        assert d.stage.looked == [(CURRENT, "alias/tokens-2")]
        assert "Keys › Rotation › tokens → tokens-2" in d.lines()[1]
        for words in (
            "2 of 6 steps done   under the old key: 60 tokens",
            "✔ 1 New key, for all users of the old one   done",
            "nobody loses access",
            "▶ 3 Switch the alias or the environment   now",
            f"→ TOKEN_ENCRYPTION_KEY_ID={CURRENT}",
            f"instead of TOKEN_ENCRYPTION_KEY_ID={OLD}",
            "→ keydeck keys alias tokens-live alias/tokens",
            "→ Restart the platform.",
            "▲ The platform may read its key from elsewhere.",
            "· 5 Move the tokens that are left   waiting, optional",
            "? 6 Old key kept for reading   not known",
            "▲ not covered: backups are not counted",
        ):
            assert words in d.text()


async def test_the_cursor_rests_on_what_is_to_be_typed_and_y_copies_it_whole() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await guide(d)
        copied: list[str] = []
        d.app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        assert "→ y sends the line to the clipboard." in d.text()
        await d.press("y", "down")
        assert "→ y sends the command to the clipboard." in d.text()
        await d.press("y")
        assert copied == [f"TOKEN_ENCRYPTION_KEY_ID={CURRENT}", "keydeck keys alias tokens-live alias/tokens"]
        assert d.toasts()[-1] == "Sent to the clipboard: keydeck keys alias tokens-live alias/tokens"
        await d.press("enter")
        assert isinstance(d.app.screen, GuideScreen)


async def test_what_is_to_be_typed_is_folded_without_a_space_that_is_not_there() -> None:
    async with deck(start="keys", size=SMALL) as d:
        await guide(d)
        text = "".join(line.strip(" ›▅▄▂▆█▁▃▇") for line in d.lines())
        assert f"TOKEN_ENCRYPTION_KEY_ID={CURRENT}" in text


@pytest.mark.deep
async def test_without_anything_to_type_there_is_nothing_to_copy() -> None:
    steps = tuple(replace(step, verdict=replace(step.verdict, do=(note("Wait."),))) for step in GUIDE.steps)
    async with deck(Stage(guide=replace(GUIDE, steps=steps)), start="keys", size=LARGE) as d:
        await guide(d)
        await d.command("copy-line")
        assert d.toasts() == ["Copy: not available here, nothing is selected."]


@pytest.mark.deep
async def test_m_asks_for_the_new_key_and_takes_none_for_an_answer() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("m")
        assert isinstance(d.app.screen, AskText)
        await d.press("escape")
        assert d.stage.looked == []
        await d.press("m", "enter")
        assert isinstance(d.app.screen, GuideScreen)
        assert d.stage.looked == [(CURRENT, None)]
        assert "tokens → a new key" in d.lines()[1]
        await d.press("escape", "m")
        await d.type("alias/other")
        await d.press("enter")
        assert d.stage.looked[-1] == (CURRENT, "alias/other")


async def test_the_guide_looks_again_by_itself_and_goes_on_from_what_it_sees() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await guide(d)
        done = tuple(
            replace(step, state=GuideStepState.DONE, verdict=replace(step.verdict, do=()))
            for step in GUIDE.steps
        )
        d.stage.guide = replace(GUIDE, steps=done, tokens=0, coverage=Coverage())
        assert "complete" not in d.lines()[2]
        await d.tick(11)
        assert len(d.stage.looked) == 2
        assert "complete   under the old key: 0 tokens" in d.lines()[2]
        assert "not covered" not in d.text()


async def test_a_look_that_takes_long_is_taken_less_often() -> None:
    passing = count(step=3)
    async with deck(start="keys", size=LARGE) as d:
        d.facts.timer = lambda: next(passing)
        await guide(d)
        # Three seconds of the database's time: a twentieth of a minute.
        await d.tick(59)
        assert len(d.stage.looked) == 1
        await d.tick(2)
        assert len(d.stage.looked) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tokens": None}, "under the old key: not counted"),
        ({"outside": "The database did not answer."}, "▲ not covered: The database did not answer."),
    ],
)
async def test_what_could_not_be_seen_is_told(more: dict[str, Any], words: str) -> None:
    async with deck(Stage(guide=replace(GUIDE, **more)), start="keys", size=LARGE) as d:
        await guide(d)
        assert words in d.text()


async def test_trouble_is_told_and_what_was_seen_stays() -> None:
    stage = Stage()
    stage.faults["replacement"] = KmsUnreachableError("No answer from KMS.")
    async with deck(stage, start="keys", size=LARGE) as d:
        await guide(d)
        assert "No answer from KMS." in d.text()
        assert "No answer: r asks again." in d.text()
        stage.faults.clear()
        await d.press("r")
        assert "2 of 6 steps done" in d.text()
        stage.faults["replacement"] = KmsUnreachableError("No answer from KMS.")
        await d.press("r")
        assert "No answer from KMS." in d.text()
        assert "2 of 6 steps done" in d.text()


async def test_a_look_that_hangs_can_be_left() -> None:
    async with deck(start="keys") as d:
        d.stage.hold("replacement")
        await guide(d)
        assert "Looking at both keys and the tokens…" in d.text()
        await d.press("escape")
        assert d.app.screen.crumb[0] == "Keys"


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_text_in_a_guide_is_harmless(text: str, size: tuple[int, int]) -> None:
    do = (command(text), setting(text, text), note(text))
    verdict = RotationVerdict(CheckState.NOT_YET, (text,), do, (text,))
    steps = tuple(replace(step, verdict=verdict) for step in GUIDE.steps)
    hostile = replace(GUIDE, steps=steps, outside=text, coverage=Coverage((text,)))
    async with deck(Stage(guide=hostile), start="keys", size=size) as d:
        await guide(d, "x[/red]")
        await harmless_after(d, size, "end", "y")
