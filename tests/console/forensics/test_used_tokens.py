"""A token's timeline in the console: openings and uses in one list."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.store import ProviderLog
from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook
from crypto_core.forensics.provider_logs.token_use import TokenUses
from crypto_core.values.clean_text import clean
from crypto_core.values.references import TokenRef
from screens.events.event_screen import EventScreen
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.hostile import EACH_TEXT, assert_harmless
from tests.screens.samples import NOW
from tests.screens.stage import Stage
from tests.screens.test_token_timeline import V2, go_to, there, timeline_of


def with_uses(stage: Stage, *uses: ProviderEvent) -> Stage:
    """The same with what GitHub's audit log has of gh-2's token."""
    store = stage.events.store
    log = ProviderLog(store.file)
    log.add(uses)
    TokenHashBook(store.file).note({TokenRef("gh_connection", "access_token", "gh-2"): HASH}, "test", NOW)
    stage.added["token_uses"] = TokenUses(log, store, lambda: NOW)
    return stage


HASH = b"h" * 32


def use_at(
    number: int, text: str = "git.clone", *, days: float = 0.0, address: str = "192.0.2.1"
) -> ProviderEvent:
    at = NOW - timedelta(days=days, minutes=number)
    texts = [clean(one, 100) for one in (f"{number}", text, text, address, text, text, text, "OAuth")]
    event_id, action, actor, ip, agent, target, place, access = texts
    return ProviderEvent(
        *("github", event_id, at, action, actor, ip, agent, target, place, access), token_hash=HASH, raw=b"{}"
    )


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_openings_and_uses_stand_in_one_list_the_newest_first(size: tuple[int, int]) -> None:
    usual = [use_at(n, "git.fetch", days=20 - n) for n in range(3)]
    thief = use_at(9, "git.clone", address="198.51.100.99")
    async with deck(with_uses(there(), *usual, thief), start="connections", size=size) as d:
        await timeline_of(d, V2)
        assert "used 4 times, may have been used 0 times" in d.line_with("Opened and used")
        told = " ".join(d.text().split())
        assert "nobody used this address or this client before" in told or size == SMALL
        line = d.line_with("thief?")
        assert "used by git.clone from 198.51.100.99" in line or size == SMALL
        await go_to(d, "opened by")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_uses_of_a_token_are_inert(text: str) -> None:
    stage = with_uses(there(), *(use_at(n, text, address=text) for n in range(3)))
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        for key in (*["down"] * 6, "G"):
            await d.press(key)
            assert_harmless(d, LARGE)
