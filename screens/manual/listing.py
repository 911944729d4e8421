"""The manual's pages as a table lists them; a word of the filter is looked for in all that they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from crypto_core.lists.filter_language import Field
from screens.manual.page_lines import page_rows, plain
from screens.manual_page import ManualPage
from screens.signs import Sign
from screens.widgets.table.columns import Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows

COLUMNS: tuple[Column[ManualPage], ...] = (
    Column("title", "page", lambda page, _: (page.title, "bold"), "title", 18, 30, 0),
    Column("about", "about", lambda page, _: (page.summary, ""), "", 24, 90, 1),
    Column("chapter", "chapter", lambda page, _: (page.chapter, "$muted"), "chapter", 15, 16, 2),
    Column("topic", "topic", lambda page, _: (page.topic, "$muted"), "topic", 10, 20, 3, shown=False),
)

ROWS: MemoryRows[ManualPage] = MemoryRows(
    lambda facts: facts.services.manual.pages(),
    {
        Field("topic"): lambda page, _: page.topic,
        Field("title"): lambda page, _: page.title,
        Field("chapter"): lambda page, _: page.chapter,
        Field("about"): lambda page, _: page.summary,
        Field("text"): lambda page, _: " ".join(page.text.replace("`", "").split()),
    },
    identity=lambda page: page.topic,
    sorts={
        "place": lambda page, facts: facts.services.manual.pages().index(page),
        "title": lambda page, _: page.title.lower(),
        "chapter": lambda page, _: page.chapter,
        "topic": lambda page, _: page.topic,
    },
    free=("topic", "title", "about", "text"),
)

LISTING: Listing[ManualPage] = Listing(
    name="manual",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
    sort="place",
    identity=lambda page: page.topic,
    reference=lambda page: f"keydeck help {page.topic}",
    sign=lambda _page, _facts: Sign(" ", ""),
    record=lambda page: {"topic": page.topic, "title": page.title, "about": page.summary, "text": page.text},
    one="page",
    many="pages",
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
    """Return the lines of a page that have what a filter looks for."""
    words = searched(expression)
    lines = [plain(row).strip() for row in page_rows(page.text, width)] if words else []
    return [lines[number] for number in lines_with(words, lines)]
