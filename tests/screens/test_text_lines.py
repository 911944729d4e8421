"""Lines that are painted past Textual's own way look as they would have."""

from __future__ import annotations

import pytest
from textual.content import Content
from textual.geometry import Offset
from textual.selection import Selection
from textual.strip import Strip
from textual.widgets import Static

from screens.connections.detail import TokenDetail
from screens.widgets.header import Header
from screens.widgets.text_lines import TextLines
from tests.screens.deck import LARGE, SMALL, Deck, deck


def cells(strips: list[Strip]) -> list[list[object]]:
    """Each cell's character and style; of a blank, its ground."""
    return [
        [
            (character, style if character != " " else style and (style.bgcolor, style.underline))
            for text, style, _ in strip
            for character in text
        ]
        for strip in strips
    ]


def texts(d: Deck) -> list[TextLines]:
    header = d.app.screen.query_one(Header)
    return [*header.query(TextLines), d.app.screen.query_one(TokenDetail)]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_lines_look_as_textual_paints_them(size: tuple[int, int]) -> None:
    async with deck(start="connections", size=size) as d:
        for act in (d.table.do_down, lambda: d.app.do_theme(""), d.table.do_last):
            act()
            await d.settle()
            for text in texts(d):
                crop = text.outer_size.region
                assert text._shown
                assert cells(text.render_lines(crop)) == cells(Static.render_lines(text, crop))
                part = crop.shrink((0, 3, 0, 2))
                assert cells(text.render_lines(part)) == cells(Static.render_lines(text, part))


async def test_selected_text_is_seen_as_such() -> None:
    async with deck(start="connections", size=LARGE) as d:
        detail = d.app.screen.query_one(TokenDetail)
        crop = detail.outer_size.region
        before = cells(detail.render_lines(crop))
        d.app.screen.selections = {detail: Selection(Offset(0, 0), Offset(8, 0))}
        await d.settle()
        assert cells(detail.render_lines(crop)) != before


async def test_below_a_line_that_textual_folds_everything_is_painted_anew() -> None:
    async with deck(start="connections", size=LARGE) as d:
        detail = d.app.screen.query_one(TokenDetail)
        detail.styles.text_wrap = "nowrap"
        long = Content("y" + " " * detail.size.width)
        detail.show([long, Content("old")])
        await d.settle()
        detail._exchange_repaint_regions()
        assert detail.show([long, Content("new")])
        assert max(region.height for region in detail._exchange_repaint_regions()) > 1
        crop = detail.outer_size.region
        assert cells(detail.render_lines(crop)) == cells(Static.render_lines(detail, crop))


async def test_only_lines_that_changed_are_painted() -> None:
    async with deck(start="connections", size=LARGE) as d:
        detail = d.app.screen.query_one(TokenDetail)
        lines = list(detail._shown)
        assert not detail.show(lines)
        detail._exchange_repaint_regions()
        assert detail.show([*lines[:-1], lines[0]])
        last = detail.styles.gutter.top + len(lines) - 1
        assert {region.y for region in detail._exchange_repaint_regions()} == {last}
