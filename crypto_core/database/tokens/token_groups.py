"""Tokens counted by what they have in common: whose they are, whose kind, under which key, in what format.

The counts are aggregates of SQL: no row is read, whatever their number. Which key sealed an envelope is told
by its key material group, or by KMS's own answer where that says something else; what neither tells is a
group of its own, never added to another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Text, case, cast, func, literal, null, select

from crypto_core.database.tokens.expressions import (
    edk_prefix_of_head,
    format_of,
    formats_counted,
    head_of,
    is_envelope,
)
from crypto_core.database.tokens.inventory_expressions import ColumnPlace
from crypto_core.database.tokens.key_expressions import KeyView
from crypto_core.envelope import Format
from crypto_core.values.clean_text import CleanText, clean

MOST_GROUPS = 1_000
KEY_NOT_KNOWN = "unknown"
"""Envelopes whose key nobody knows, or about which KMS's answers disagree."""
LONGEST_NAME = 301
"""Characters of an organisation's name: those that are alike so far are one group."""


class GroupBy(StrEnum):
    ORGANISATION = "org"
    PROVIDER = "provider"
    KEY = "key"
    FORMAT = "format"


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """`value` is what they have in common, as it is stored, "" for none."""

    value: str
    by_format: Mapping[Format, int]

    @property
    def tokens(self) -> int:
        return sum(self.by_format.values())

    @property
    def shown(self) -> CleanText:
        return clean(self.value, 300)


@dataclass(frozen=True, slots=True)
class TokenGroups:
    """Those with most tokens first; `rest` tokens are in `others` groups."""

    by: GroupBy
    rows: tuple[TokenGroup, ...]
    others: int = 0
    rest: int = 0

    @property
    def by_format(self) -> dict[Format, int]:
        return {f: sum(row.by_format.get(f, 0) for row in self.rows) for f in Format}


@dataclass
class GroupTally:
    by: GroupBy
    keys: KeyView
    _counts: dict[str, dict[Format, int]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def count(self, connection: Connection, place: ColumnPlace, passing: Any, *, named: bool = False) -> None:
        if named and not place.table.organisation:
            return
        for name, format_, tokens in self._counted(connection, place, passing):
            same = name.lower()
            kept = self._names.get(same, name)
            self._names[same] = min(kept, name)
            counts = self._counts.setdefault(same, {})
            counts[format_] = counts.get(format_, 0) + tokens

    def result(self, most: int) -> TokenGroups:
        found = [TokenGroup(self._names[same], counts) for same, counts in self._counts.items()]
        found.sort(key=lambda group: (-group.tokens, group.value))
        listed, left = tuple(found[:most]), found[most:]
        return TokenGroups(self.by, listed, len(left), sum(group.tokens for group in left))

    def _counted(
        self, connection: Connection, place: ColumnPlace, passing: Any
    ) -> Iterator[tuple[str, Format, int]]:
        source = self.keys.joined(place.source, place.stored)
        match self.by:
            case GroupBy.ORGANISATION:
                name = func.left(place.organisation, LONGEST_NAME)
                rows = _by_organisation(name, place.stored, source, passing)
                yield from ((row.name, Format(row.format), row.tokens) for row in connection.execute(rows))
            case GroupBy.KEY:
                yield from self._by_key(connection.execute(_by_head(place, self.keys, source, passing)))
            case GroupBy.FORMAT | GroupBy.PROVIDER:
                for name, tokens in connection.execute(formats_counted(place.stored, source, passing)):
                    value = place.table.provider if self.by is GroupBy.PROVIDER else str(name)
                    yield value, Format(name), tokens

    def _by_key(self, rows: Iterable[Any]) -> Iterator[tuple[str, Format, int]]:
        single = self.keys.single
        for row in rows:
            format_ = Format(row.format)
            told = row.key_arn
            if not row.answered and row.edk_prefix is not None:
                told, _ = single.get(bytes(row.edk_prefix), (None, None))
            value = (told or KEY_NOT_KNOWN) if format_.protected else ""
            yield value, format_, int(row.tokens)


def _by_organisation(name: Any, stored: Any, source: Any, passing: Any) -> Any:
    format_ = format_of(stored)
    counted = select(func.min(name).label("name"), format_.label("format"), func.count().label("tokens"))
    return counted.select_from(source).where(passing).group_by(func.lower(name), format_)


def _by_head(place: ColumnPlace, keys: KeyView, source: Any, passing: Any) -> Any:
    """By how envelopes begin first, so that few beginnings are decoded."""
    format_, head = format_of(place.stored), case((is_envelope(place.stored), head_of(place.stored)))
    answered: Any = literal(False)
    key_arn: Any = cast(null(), Text)
    own: list[Any] = []
    if keys.answers is not None:
        answered, key_arn = keys.answers.c.digest.is_not(None), keys.answers.c.key_arn
        own = [answered, key_arn]
    heads = (
        select(
            format_.label("format"),
            head.label("head"),
            answered.label("answered"),
            key_arn.label("key_arn"),
            func.count().label("tokens"),
        )
        .select_from(source)
        .where(passing)
        .group_by(format_, head, *own)
        .subquery()
    )
    h = heads.c
    prefix = edk_prefix_of_head(h.head).label("edk_prefix")
    named = [h.format, prefix, h.answered, h.key_arn]
    return select(*named, func.sum(h.tokens).label("tokens")).group_by(*named)
