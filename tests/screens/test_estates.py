"""Estates: the worst first, what environments share below, and Enter goes on working there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError
from screens.estate_status import EstateStanding, SharedKey
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.hostile import assert_harmless
from tests.screens.samples import CURRENT, HOSTILE, NOW
from tests.screens.stage import Stage
from tests.screens.test_context import StageContexts

AT = NOW - timedelta(minutes=1)
PROD = EstateStanding(
    clean("prod"), clean("prod"), AT, 12_000, 11_532, 3, Severity.CRITICAL, 1, (CURRENT,), gaps=("one table",)
)
STAGE = EstateStanding(clean("stage"), clean("stage"), AT, 40, 40, incidents=0, keys=(CURRENT,), well=True)
GONE = EstateStanding(clean("gone"), clean("gone"), AT, trouble=clean("The database did not answer."))


def staged(*standings: EstateStanding, shared: tuple[SharedKey, ...] = ()) -> tuple[Stage, StageContexts]:
    stage = Stage()
    contexts = StageContexts(stage, {"stage": Stage()})
    contexts.standings, contexts.shared = standings, shared
    stage.contexts = contexts
    return stage, contexts


async def test_the_worst_comes_first_and_enter_works_there() -> None:
    shared = (SharedKey(clean(CURRENT), ("prod", "stage")),)
    stage, contexts = staged(STAGE, PROD, GONE, shared=shared)
    async with deck(stage, size=LARGE) as d:
        await d.press("0")
        text = d.text()
        assert text.index("did not answer") < text.index("12,000") < text.index("100.0%")
        assert "96.1%" in text
        assert "The database did not answer." in text
        assert "guards tokens of prod and stage" in text
        await d.press("down")
        assert "Not whole: one table" in d.says()
        await d.press("end", "enter")
        assert contexts.now.estate == "stage"
        await d.press("0", "a")
        assert contexts.now.estate == "gone"
        await d.command("context estate prod")
        assert contexts.now.estate == "prod"


async def test_what_is_foreign_does_nothing_and_none_is_said() -> None:
    foreign = [
        replace(one, name=clean(text), environment=clean(text), gaps=(clean(text),), trouble=clean(trouble))
        for text in HOSTILE
        for one, trouble in ((PROD, ""), (GONE, text))
    ]
    stage, _ = staged(*foreign, shared=tuple(SharedKey(clean(text), (clean(text),)) for text in HOSTILE))
    async with deck(stage, size=SMALL) as d:
        await d.press("0")
        for key in ("down", "end", "home", "pagedown"):
            assert_harmless(d, SMALL)
            await d.press(key)
    stage, _ = staged()
    async with deck(stage, size=SMALL) as d:
        await d.press("0")
        assert "No estates" in d.text()
        stage.faults["estates"] = KmsError("[/red]No answer.")
        await d.press("r")
        assert "[/red]No answer." in d.says()
