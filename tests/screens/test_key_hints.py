"""The keys at the bottom: what is in sight is what can be done now."""

from __future__ import annotations

from tests.left_out import needs
from tests.screens.deck import deck


async def test_a_page_whose_first_line_leads_on_offers_enter() -> None:
    async with deck(start="connections") as d:
        await d.filter("format:plaintext")
        await d.press("T")
        line = d.lines().index(d.line_with("Enter open"))
        styles = [s.style for s in d.app.screen._compositor.render_strips()[line] if "Enter" in s.text]
        assert styles
        assert styles[0] is not None
        assert styles[0].bold


@needs("evidence")
async def test_where_it_is_narrow_the_last_places_lose_their_words_and_stay() -> None:
    async with deck(start="status", size=(80, 24)) as d:
        assert " ".join(d.lines()[-1].split()).endswith("7 findings 8 ? : q")
    async with deck(start="status", size=(60, 24)) as d:
        assert " ".join(d.lines()[-1].split()).endswith(" 7 8 ? : q")
