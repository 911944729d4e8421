"""What the console remembers from one day to the next: histories, saved filters, orders, columns, theme.

It holds plain lists and texts, so that whoever keeps it (console/files/memory_file.py) can write it as JSON.
A text in which a token or an envelope may stand is not remembered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from crypto_core.envelope import STORED_PREFIXES
from crypto_core.envelope.issuers import TOKEN_PREFIXES

KEPT = 100
KEPT_DAYS = 60
KEPT_PLACES = 20
"""Of how many databases, and of how many days of each, the count of protected tokens is kept."""
_LONGEST = 2000
_SECRET = (*TOKEN_PREFIXES, *STORED_PREFIXES.values())


def may_be_remembered(text: str) -> bool:
    """False for a text with something that begins like a token or an envelope, and for one that is huge."""
    return len(text) <= _LONGEST and not any(prefix in text for prefix in _SECRET)


@dataclass(frozen=True, slots=True)
class SortOrder:
    sort: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many tokens a database held when they were last counted on a day, and how many were protected."""

    day: date
    tokens: int
    protected: int


class Memory:
    """Everything that is remembered. Each change is handed to `save`, which must not raise."""

    def __init__(
        self, content: Mapping[str, Any] | None = None, save: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """`content` is what `save` was once given; what in it isn't understood is left out."""
        self._content: dict[str, Any] = json.loads(json.dumps(dict(content or {})))
        self._save = save

    def history(self, name: str) -> list[str]:
        """Return the history of a field, the newest last."""
        return _texts(self._section("history").get(name))

    def remember(self, name: str, text: str) -> None:
        """Put a text at the end of a history, once."""
        if text and may_be_remembered(text):
            kept = [entry for entry in self.history(name) if entry != text]
            self._put("history", name, [*kept, text][-KEPT:])

    def saved_filters(self, table: str) -> dict[str, str]:
        """Return a table's saved filters by name, in the order of their names."""
        found = self._section("filters").get(table)
        filters = found if isinstance(found, dict) else {}
        return {n: t for n, t in sorted(filters.items()) if isinstance(t, str)}

    def save_filter(self, table: str, name: str, expression: str) -> bool:
        """Save a filter; returns False where it can't be kept."""
        if not name or not may_be_remembered(name + expression):
            return False
        self._put("filters", table, {**self.saved_filters(table), name: expression})
        return True

    def forget_filter(self, table: str, name: str) -> None:
        self._put("filters", table, {n: t for n, t in self.saved_filters(table).items() if n != name})

    def order(self, table: str) -> SortOrder:
        match self._section("orders").get(table):
            case [str(sort), bool(descending)]:
                return SortOrder(sort, descending)
            case _:
                return SortOrder()

    def remember_order(self, table: str, order: SortOrder) -> None:
        self._put("orders", table, [order.sort, order.descending])

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the columns that an operator chose for a table, in order; none for the table's own."""
        match self._section("columns").get(table):
            case [list(chosen), *_]:
                return tuple(_texts(chosen))
            case _:
                return ()

    def remember_columns(self, table: str, chosen: Sequence[str]) -> None:
        self._put("columns", table, [list(chosen)])

    def day_counts(self, place: str) -> tuple[DayCount, ...]:
        """Return what was counted in a database on each day on which it was, the oldest first."""
        found = self._section("counts").get(place)
        kept = [_day_count(day, numbers) for day, numbers in found.items()] if isinstance(found, dict) else []
        return tuple(sorted((one for one in kept if one is not None), key=lambda one: one.day))

    def remember_day_count(self, place: str, count: DayCount) -> None:
        """Keep a day's count in place of an earlier one of that day, and drop days and places long past."""
        kept = {one.day: one for one in self.day_counts(place)}
        if not place or not may_be_remembered(place) or kept.get(count.day) == count:
            return
        kept[count.day] = count
        days = [kept[day] for day in sorted(kept)][-KEPT_DAYS:]
        others = {name: of for name, of in self._section("counts").items() if name != place}
        self._content["counts"] = dict([*others.items()][-KEPT_PLACES + 1 :])
        self._put("counts", place, {one.day.isoformat(): [one.tokens, one.protected] for one in days})

    @property
    def theme(self) -> str:
        """The theme that was chosen last, "" for none."""
        value = self._section("looks").get("theme")
        return value if isinstance(value, str) else ""

    def remember_theme(self, name: str) -> None:
        self._put("looks", "theme", name)

    @property
    def welcomed(self) -> bool:
        return self._section("looks").get("welcomed") is True

    def remember_welcome(self) -> None:
        self._put("looks", "welcomed", True)

    @property
    def arrangement(self) -> str:
        """How lists and details were chosen to stand, "" for none."""
        value = self._section("looks").get("arrangement")
        return value if isinstance(value, str) else ""

    def remember_arrangement(self, name: str) -> None:
        self._put("looks", "arrangement", name)

    def _section(self, name: str) -> dict[str, Any]:
        section = self._content.get(name)
        return section if isinstance(section, dict) else {}

    def _put(self, section: str, name: str, value: Any) -> None:
        self._content[section] = {**self._section(section), name: value}
        if self._save is not None:
            self._save(self._content)


def _day_count(day: str, numbers: Any) -> DayCount | None:
    """What a record says; None for one that can't be right."""
    match numbers:
        case [int(tokens), int(protected)] if 0 <= protected <= tokens:
            try:
                return DayCount(date.fromisoformat(day), tokens, protected)
            except ValueError:
                return None
    return None


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
