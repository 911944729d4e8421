"""What Textual has parsed of style sheets, kept for all consoles of a process: each would parse it again."""

from __future__ import annotations

from typing import Any

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

_ROOM = 1_024
"""Sheets that are kept for each theme."""


def keep_parsed_css() -> None:
    kept: dict[frozenset[tuple[str, str]], LRUCache[Any, Any]] = {}
    begin, set_variables = Stylesheet.__init__, Stylesheet.set_variables

    def share(sheet: Stylesheet) -> None:
        sheet._parse_cache = kept.setdefault(frozenset(sheet._variables.items()), LRUCache(_ROOM))

    def begin_sharing(sheet: Stylesheet, *, variables: dict[str, str] | None = None) -> None:
        begin(sheet, variables=variables)
        share(sheet)

    def share_another(sheet: Stylesheet, variables: dict[str, str]) -> None:
        sheet._parse_cache = LRUCache(1)  # what others share is not cleared
        set_variables(sheet, variables)
        share(sheet)

    Stylesheet.__init__ = begin_sharing  # type: ignore[method-assign]
    Stylesheet.set_variables = share_another  # type: ignore[method-assign]
