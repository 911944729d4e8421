"""One description of a subject, from which its list, page, printed table and report derive; lists in memory.

A sheet says of a model's fields what people read of them. A field of the model that it doesn't declare stands
on every surface all the same, in the words that its value's type has: the model is the place to add one.
Small lists are served as pages with the same filters, orders and cursors as those that SQL serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache, cached_property
from operator import attrgetter
from threading import Event
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from crypto_core.lists.filter_language import Field, parse_filter, passes
from crypto_core.lists.filter_terms import Value
from crypto_core.lists.filter_values import ValueKind
from crypto_core.lists.paging import Cursor, Page, Query, Row, unknown_sort
from crypto_core.lists.tone import Tone
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.json_records import json_members

Scalar = str | int | float


class MemorySource(Generic[Row]):
    """A PagedSource over rows that are in memory. Thread-safe if what it is given is."""

    def __init__(
        self,
        rows: Callable[[], Sequence[Row]],
        *,
        fields: Mapping[str, Field],
        read: Callable[[Row, str], Value],
        identity: Callable[[Row], Scalar],
        sorts: Mapping[str, Callable[[Row], Scalar | None]],
        free: Iterable[str] = (),
    ) -> None:
        """`rows` gives the rows as they are now, `read` a row's field by name.

        `identity` tells a row from every other and breaks ties; all of one type. `sorts` are the orders by
        name; None sorts before everything. That named "" is the source's own order, by identity if there is
        none. Free text is looked for in the fields `free`.
        """
        self._rows = rows
        self._fields = fields
        self._read = read
        self._identity = identity
        self._sorts = {"": lambda _: 0, **sorts}
        self._free = tuple(free)

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[Row]:
        stop_if(cancelled)
        rows = self._ordered(query)
        # How many rows stand before `start`, and whether its own is there.
        at = sum(self._at(query, row, start) < 0 for row in rows) if start is not None else 0
        there = start is not None and at < len(rows) and self._at(query, rows[at], start) == 0
        if backwards:
            end = len(rows) if start is None else at + (there and inclusive)
            begin = max(0, end - limit)
        else:
            begin = at + (there and not inclusive)
            end = min(len(rows), begin + limit)
        found = tuple(rows[begin:end])
        first = self._cursor(query, found[0]) if found else None
        last = self._cursor(query, found[-1]) if found else None
        return Page(found, first, last, above=begin > 0, below=end < len(rows))

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        stop_if(cancelled)
        return len(self._filtered(query))

    def _filtered(self, query: Query) -> list[Row]:
        terms = parse_filter(query.filter, self._fields)
        return [
            row
            for row in self._rows()
            if passes(terms, lambda name, row=row: self._read(row, name), free=self._free)  # type: ignore[misc]
        ]

    def _ordered(self, query: Query) -> list[Row]:
        if query.sort not in self._sorts:
            raise unknown_sort(query.sort, self._sorts)
        rows = sorted(self._filtered(query), key=self._identity)
        return sorted(rows, key=lambda row: self._value(query, row), reverse=query.descending)

    def _value(self, query: Query, row: Row) -> tuple[int, Scalar]:
        value = self._sorts[query.sort](row)
        return (0, 0) if value is None else (1, value)

    def _cursor(self, query: Query, row: Row) -> Cursor:
        return Cursor((*self._value(query, row), self._identity(row)))

    def _at(self, query: Query, row: Row, cursor: Cursor) -> int:
        there, value, identity = cursor.values
        mine: object = self._value(query, row)
        if mine != (there, value):
            return 1 if (mine > (there, value)) is not query.descending else -1  # type: ignore[operator]
        own = self._identity(row)
        return 0 if own == identity else 1 if own > identity else -1  # type: ignore[operator]


Words = tuple[str, str]

NOTHING: Words = ("-", Tone.QUIET)


class Reader(Protocol):
    """A reader of sheets, with its own names for moments, keys and materials."""

    def age(self, at: datetime, /) -> str:
        """Return how long ago a moment was, or the moment."""

    def ago(self, at: datetime, /) -> str:
        """Return the same as a text that says that it is past or to come."""

    def key(self, key_arn: str, key_material_id: str | None, /) -> str:
        """Return a short name of a key, with its material."""

    def material(self, key_material_id: str, /) -> str:
        """Return a key material's id."""


class PaperReader(NamedTuple):
    """A reader of documents: moments stay as they are, and no key's name is asked for."""

    age: Callable[[datetime], str]
    ago: Callable[[datetime], str]
    key: Callable[[str, str | None], str]
    material: Callable[[str], str]


Reads = TypeVar("Reads", bound=Reader)

_reads = cache(attrgetter)


@dataclass(frozen=True, slots=True)
class SheetField(Generic[Row, Reads]):
    """One field: the name that filters, orders and memories know it by, its words and its width.

    `words` are by default those of the value in this `tone`, or `nothing` where there is none. The value is
    that of the attribute `at`, by default that of the name. `width` is how many characters it takes at least
    and at most, and its rank: where room is short, fields with a higher one are left out first. What isn't
    `shown` is in a list for who asks for it, what isn't `listed` in none.
    """

    name: str
    words: Callable[[Row, Reads], Words] | None = None
    width: tuple[int, int, int] = (8, 24, 10)
    heading: str = ""
    at: str = ""
    tone: str = Tone.PLAIN
    nothing: Words = NOTHING
    shown: bool = True
    listed: bool = True
    right: bool = False
    ends: bool = False
    """Cut in the middle, as its end matters as much as its beginning."""
    order: Callable[[Row, Reads], Scalar | None] | str | bool = False
    """An attribute by its name, True for the value, False for no order."""
    find: Callable[[Row, Reads], Value] | bool = False
    """What a filter compares: True for the value, False for none."""
    also: str = ""
    """Another name in filters."""
    free: bool = False
    """Whether words without a field's name are looked for here too."""
    kind: ValueKind = ValueKind.TEXT
    values: tuple[str, ...] = ()
    """The only values that a filter takes."""

    @property
    def title(self) -> str:
        return self.heading or self.name.replace("_", " ")

    @property
    def sort(self) -> str:
        return self.name if self.order else ""

    @property
    def least(self) -> int:
        return self.width[0]

    @property
    def most(self) -> int:
        return self.width[1]

    def value(self, row: Row) -> Any:
        """Return its value in a row; a state by its word."""
        value = _reads(self.at or self.name)(row)
        return value.value if isinstance(value, Enum) else value

    def text(self, row: Row, reader: Reads) -> Words:
        if self.words is not None:
            return self.words(row, reader)
        text = words_of(self.value(row), reader)
        return (text, self.tone) if text else self.nothing

    def cell(self, row: Row, reader: Reads) -> object:
        value = None if self.words is not None else self.value(row)
        return value if isinstance(value, int) else self.text(row, reader)[0]

    def found(self, row: Row, reader: Reads) -> Value:
        value = self.find(row, reader) if callable(self.find) else self.value(row)
        return value if isinstance(value, int | float | datetime | tuple | None) else str(value)

    def sorted_by(self, row: Row, reader: Reads) -> Scalar | None:
        if callable(self.order):
            return self.order(row, reader)
        value: Any = _reads(self.order)(row) if isinstance(self.order, str) else self.value(row)
        return value.timestamp() if isinstance(value, datetime) else value


@dataclass(frozen=True)
class Sheet(Generic[Row, Reads]):
    """A subject: the words for one row and for many, and its fields.

    With a `model`, its fields that aren't declared have words of their own, but for `hidden` ones.
    """

    one: str
    many: str
    declared: tuple[SheetField[Row, Reads], ...]
    model: Any = None
    hidden: frozenset[str] = frozenset()

    @cached_property
    def others(self) -> tuple[SheetField[Row, Reads], ...]:
        """The model's fields that aren't declared."""
        if self.model is None:
            return ()
        known = {field.at or field.name for field in self.declared} | self.hidden
        members = (m for m in json_members(self.model) if m.attribute and m.attribute not in known)
        return tuple(SheetField(member.key, at=member.attribute, shown=False) for member in members)

    @property
    def listed(self) -> tuple[SheetField[Row, Reads], ...]:
        return (*(field for field in self.declared if field.listed), *self.others)

    def facts(self, row: Row, reader: Reads, *names: str) -> Iterator[tuple[str, CleanText]]:
        """Yield these fields of a row and those that aren't declared: headings and cleaned texts."""
        by_name = {field.name: field for field in self.declared}
        for field in (*map(by_name.__getitem__, names), *self.others):
            yield field.title, clean(field.text(row, reader)[0], 4_000)


def words_of(value: Any, reader: Reader) -> str:
    """Return a value as people read it, "" for none."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return reader.ago(value)
    if isinstance(value, dict):
        return "  ".join(f"{name} {words_of(one, reader)}" for name, one in value.items() if one)
    if isinstance(value, tuple | list | frozenset):
        return ", ".join(words_of(one, reader) for one in value)
    return str(value)
