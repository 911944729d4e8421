"""The tokens of one column as SQL: what is shown of them, and what can be asked about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import TokenSource, token_source, without_decoys
from crypto_core.envelope import ENVELOPE_FORMATS, PROVIDER_PREFIXES, STORED_PREFIXES, Format
from crypto_core.findings.finding import Severity
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.filter_language import Field, ValueKind

_ENVELOPES = frozenset(ENVELOPE_FORMATS)

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("reference"),
        Field("table"),
        Field("column"),
        Field("id"),
        Field("org"),
        Field("provider"),
        Field("format", values=tuple(f.value for f in Format)),
        Field("severity", values=tuple(s.value for s in Severity)),
        Field("leaked", values=tuple(PROVIDER_PREFIXES)),
        Field("key"),
        Field("material"),
        Field("evidence", values=tuple(e.value for e in Evidence)),
        Field("characters", ValueKind.NUMBER),
        Field("created", ValueKind.DATE),
    )
}
FIELDS |= {"ref": FIELDS["reference"], "material_id": FIELDS["material"], "state": FIELDS["severity"]}
"""Fields of the filter language. `leaked` is whose plaintext a value is; `key` also knows aliases."""


@dataclass(frozen=True, slots=True)
class ColumnPlace(TokenSource):
    """`number` is the column's place among all, `source` its tokens or some of them."""

    number: int

    @property
    def organisation(self) -> Any:
        name = self.table.organisation
        if not name:
            return sa.cast(sa.literal(""), sa.Text)
        text = sa.cast(self.source.c[name], sa.Text)
        return text if name in self.table.required else sa.func.coalesce(text, "")

    @property
    def created(self) -> Any:
        name = self.table.created
        known = name is not None and name in self.table.shown
        return sa.cast(self.source.c[name] if known else sa.null(), sa.DateTime(timezone=True))

    @property
    def characters(self) -> Any:
        """An envelope has as many bytes, and they need not be counted."""
        return sa.case(
            (sql.is_envelope(self.stored), sa.func.octet_length(self.stored)),
            else_=sa.func.length(self.stored),
        )

    @property
    def reference(self) -> Any:
        return sa.func.concat(f"{self.name}:", self.id_text)

    def texts(self, parts: Iterable[str]) -> list[Any]:
        """Where free text is looked for besides the reference, each for itself.

        Columns in whose type no such text can be written are left out: a date need not be printed for each
        row to be sure that no name is in it.
        """
        names = [n for n in self.table.shown if n != self.table.organisation]
        shown = [self.source.c[n] for n in names if can_hold(self.table.type_of(n), parts)]
        return [self.organisation, *(sa.cast(c, sa.Text) for c in shown)]

    def columns(self) -> tuple[Any, ...]:
        return _shown(self)

    def among(self, rows: Any) -> ColumnPlace:
        return replace(self, source=rows)

    def sampled(self, percent: float) -> ColumnPlace:
        return self.among(token_source(self.table, self.column, sampled=percent).source)

    def whole(self) -> ColumnPlace:
        if self.is_text:
            return self
        return self.among(token_source(self.table, self.column, whole=True).source)


def places_of(tables: Iterable[TokenTable]) -> tuple[ColumnPlace, ...]:
    """Keep them: expressions about them are put together once."""
    tables = tuple(tables)
    sources = {table.name: without_decoys(table, sql.table_of(table)) for table in tables}
    columns = ((table, column) for table in tables for column in table.token_columns)
    return tuple(
        ColumnPlace(t, c, sources[t.name] if t.is_text(c) else token_source(t, c).source, n)
        for n, (t, c) in enumerate(columns)
    )


@lru_cache(maxsize=64)
def _shown(place: ColumnPlace) -> tuple[Any, ...]:
    shown = [n for n in place.table.shown if n != place.table.organisation]
    pairs = (part for name in shown for part in (name, sa.cast(place.source.c[name], sa.Text)))
    return (
        sa.cast(sa.literal(place.table.name), sa.String).label("table"),
        sa.cast(sa.literal(place.column), sa.String).label("column"),
        place.id_text.label("row_id"),
        sa.cast(sa.literal(place.table.provider), sa.String).label("provider"),
        place.organisation.label("org"),
        sql.format_of(place.stored).label("format"),
        sql.plaintext_provider_of(place.stored).label("leaked"),
        place.characters.label("characters"),
        sql.edk_prefix_of(place.stored).label("edk_prefix"),
        sa.case((sql.is_envelope(place.stored), sql.digest_of(place.stored))).label("digest"),
        place.created.label("created_at"),
        sa.cast(sa.func.json_build_object(*pairs), sa.Text).label("shown"),
    )


_DIGITS = "0123456789"
_DATES = _DIGITS + "-+:. infinityBC"
_WRITTEN_WITH = {
    "bool": "truefalse",
    "date": _DATES,
    "float4": _DIGITS + "-+.eNaInfinity",
    "float8": _DIGITS + "-+.eNaInfinity",
    "int2": _DIGITS + "-",
    "int4": _DIGITS + "-",
    "int8": _DIGITS + "-",
    "numeric": _DIGITS + "-.NaInfinity",
    "timestamp": _DATES,
    "timestamptz": _DATES,
    "uuid": _DIGITS + "abcdef-",
}


def can_hold(type_name: str, parts: Iterable[str]) -> bool:
    """False if no value of the type has these texts in it, in upper or lower case."""
    written = _WRITTEN_WITH.get(type_name)
    return written is None or not set("".join(parts).lower()) - set(written.lower())


def has_format(stored: Any, formats: Iterable[Format]) -> sa.ColumnElement[bool]:
    return _has_format(stored, frozenset(formats))


@lru_cache(maxsize=256)
def _has_format(stored: Any, wanted: frozenset[Format]) -> sa.ColumnElement[bool]:
    if wanted == frozenset(Format):
        return sa.literal(True)
    envelopes, others = wanted & _ENVELOPES, wanted - _ENVELOPES
    told = (
        [sql.is_envelope(stored)] if envelopes == _ENVELOPES else [_is(stored, f) for f in sorted(envelopes)]
    )
    if others == frozenset(Format) - _ENVELOPES:
        told.append(sa.not_(sql.is_envelope(stored)))
    elif others:
        # Nearly every value is an envelope: the rest is not looked at then.
        told.append(
            sa.and_(sa.not_(sql.is_envelope(stored)), sa.or_(*(_is(stored, f) for f in sorted(others))))
        )
    return sa.or_(sa.false(), *told)


def _is(stored: Any, format_: Format) -> sa.ColumnElement[bool]:
    """For formats without a mark, of values that are no envelopes."""
    if format_ in STORED_PREFIXES:
        if format_.names_key:
            return sql.names_key(stored, format_)
        begins: sa.ColumnElement[bool] = sa.func.starts_with(stored, STORED_PREFIXES[format_])
        return sa.or_(begins, sql.is_respelt(stored)) if format_ is Format.V1 else begins
    if format_ is Format.EMPTY:
        empty: sa.ColumnElement[bool] = stored == ""
        return empty
    plain = sa.or_(*(leaked_by(stored, provider) for provider in PROVIDER_PREFIXES))
    if format_ is Format.PLAINTEXT:
        return plain
    others = (sa.func.starts_with(stored, p) for f, p in STORED_PREFIXES.items() if f not in _ENVELOPES)
    return sa.and_(stored != "", sa.not_(sa.or_(*others, plain)))


def leaked_by(stored: Any, provider: str) -> sa.ColumnElement[bool]:
    begins = sa.or_(*(sa.func.starts_with(stored, prefix) for prefix in PROVIDER_PREFIXES[provider]))
    return sa.and_(begins, sa.not_(sql.is_envelope(stored)))
