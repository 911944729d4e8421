"""The manual's pages as a table lists them; a word of the filter is looked for in all that they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from crypto_core.lists.sheet import Sheet, SheetField
from screens.facts import ScreenFacts
from screens.manual.page_lines import page_rows, plain
from screens.manual_page import ManualPage
from screens.signs import Sign
from screens.widgets.table.table_list import memory_listing


def _text(page: ManualPage, _facts: ScreenFacts) -> str:
    return " ".join(page.text.replace("`", "").split())


SHEET: Sheet[ManualPage, ScreenFacts] = Sheet(
    "page",
    "pages",
    (
        SheetField(
            "title", None, (18, 30, 0), "page", tone="bold", free=True, order=lambda p, _: p.title.lower()
        ),
        SheetField("about", None, (24, 90, 1), at="summary", free=True),
        SheetField("chapter", None, (15, 16, 2), tone="$muted", find=True, order=True),
        SheetField("topic", None, (10, 20, 3), tone="$muted", free=True, order=True, shown=False),
        SheetField("text", find=_text, free=True, listed=False),
        SheetField("place", order=lambda p, facts: facts.services.manual.pages().index(p), listed=False),
    ),
)

LISTING = memory_listing(
    "manual",
    SHEET,
    lambda facts: facts.services.manual.pages(),
    sort="place",
    identity=lambda page: page.topic,
    reference=lambda page: f"keydeck help {page.topic}",
    sign=lambda _page, _facts: Sign(" ", ""),
    record=lambda page: {"topic": page.topic, "title": page.title, "about": page.summary, "text": page.text},
    nothing="No page.",
)
EXAMPLE = 'quota, or "key material"'

_TERM = re.compile(r'"([^"]+)"|([^\s()"]+)')


def searched(expression: str) -> tuple[str, ...]:
    """Return the words that a filter looks for everywhere, in lower case."""
    found = (
        (quoted or word).lower()
        for quoted, word in _TERM.findall(expression)
        if quoted or (":" not in word and not word.startswith("-") and word not in ("AND", "OR", "NOT"))
    )
    return tuple(filter(None, (word.strip("*") for word in found)))


def lines_with(words: Sequence[str], lines: Iterable[str]) -> list[int]:
    """Return the numbers of the lines that have all the words; where none has, of those that have one."""
    counts = [sum(word in line.lower() for word in words) for line in lines]
    most = max(counts, default=0)
    wanted = len(words) if most == len(words) else 1
    return [number for number, count in enumerate(counts) if count >= wanted] if most else []


def matching_lines(page: ManualPage, expression: str, width: int) -> list[str]:
    words = searched(expression)
    lines = [plain(row).strip() for row in page_rows(page.text, width)] if words else []
    return [lines[number] for number in lines_with(words, lines)]
