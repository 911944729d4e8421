"""Which tokens, in what state? Keyset pages from SQL; no token value is ever selected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    String,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy import Text as SqlText

from crypto_core.coverage import Evidence
from crypto_core.database.answers import AnswerBook, Wrapping
from crypto_core.database.catalogue import LiveCatalogue
from crypto_core.database.engine import connected
from crypto_core.database.expressions import (
    digest_of,
    edk_prefix_of,
    format_of,
    id_in,
    id_order,
    id_text,
    plaintext_provider_of,
    table_of,
)
from crypto_core.database.filters import Alternative, Field, Kind, Term, parse_filter
from crypto_core.database.references import TokenRef
from crypto_core.database.tables import TokenTable
from crypto_core.envelope import PROVIDER_PREFIXES, Format
from crypto_core.errors import RowVanishedError
from crypto_core.foreign import clean
from crypto_core.severity import FORMAT_SEVERITY, Severity


class SortKey(StrEnum):
    """What the inventory can be sorted by. Ties are broken by reference, so equal rows never jump."""

    STATE = "state"
    REFERENCE = "reference"
    ORGANISATION = "org"
    PROVIDER = "provider"
    FORMAT = "format"
    KEY = "key"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class InventoryQuery:
    """A filter expression (see database/filters.py) and an order. State ascending means worst first."""

    filter: str = ""
    sort: SortKey = SortKey.STATE
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended; opaque to callers."""

    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One token without its value. Text from the database is cleaned already.

    `plaintext_provider` is whose plaintext it is (github, slack, atlassian), told by its prefix.
    `characters` is the stored value's length. `key_arn` and `key_material_id` come from attribution.
    `shown` are (column, text) pairs that help to recognise the row.
    """

    ref: TokenRef
    provider: str
    organisation: str
    format: Format
    plaintext_provider: str | None
    characters: int
    key_arn: str | None
    key_material_id: str | None
    evidence: Evidence
    created_at: datetime | None
    shown: tuple[tuple[str, str], ...]

    @property
    def severity(self) -> Severity:
        """What the way the token is stored means by itself."""
        return FORMAT_SEVERITY[self.format]

    def as_json(self) -> dict[str, Any]:
        """One entry of what `keydeck connections --json` prints."""
        return {
            "reference": str(self.ref),
            "provider": self.provider,
            "organisation": self.organisation,
            "format": self.format.value,
            "severity": self.severity.value,
            "plaintext_provider": self.plaintext_provider,
            "characters": self.characters,
            "key_arn": self.key_arn,
            "key_material_id": self.key_material_id,
            "evidence": self.evidence.value,
            "created_at": self.created_at.isoformat() if self.created_at else None,
            "shown": dict(self.shown),
        }


@dataclass(frozen=True, slots=True)
class InventoryPage:
    """Some rows in order. `next` continues after the last one; None means that there is nothing more."""

    rows: tuple[InventoryRow, ...]
    next: Cursor | None


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
        Field("characters", Kind.NUMBER),
        Field("created", Kind.DATE),
    )
}
FIELDS |= {"ref": FIELDS["reference"], "material_id": FIELDS["material"], "state": FIELDS["severity"]}
"""Fields of the filter language. `leaked` is whose plaintext a value is; `key` also knows aliases."""


class Inventory:
    """The inventory of one database. Every method may block on SQL: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        answers: AnswerBook,
        *,
        aliases: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:
        """`aliases` gives the aliases of key ARNs as far as they are known; it must not block."""
        self._engine = engine
        self._catalogue = catalogue
        self._answers = answers
        self._aliases = aliases

    def page(self, query: InventoryQuery, after: Cursor | None = None, *, limit: int = 200) -> InventoryPage:
        """Return up to `limit` rows. Raises InvalidFilterError with the position, DatabaseError."""
        terms = parse_filter(query.filter, FIELDS)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            base = self._base(known, keys=query.sort is SortKey.KEY or _names(terms, "key", "material"))
            if base is None:
                return InventoryPage((), None)
            sort = _SORTS[query.sort](base.c)
            tie = (base.c.column_order, base.c.id_order)
            conditions: list[Any] = [*self._conditions(terms, base.c)]
            if after is not None:
                first, *rest = after.values
                beyond = sort < first if query.descending else sort > first
                conditions.append(
                    or_(beyond, and_(sort == first, tuple_(*tie) > tuple_(*map(literal, rest))))
                )
            statement = (
                select(base, sort.label("sort"))
                .where(*conditions)
                .order_by(sort.desc() if query.descending else sort, *tie)
                .limit(limit + 1)
            )
            found = connection.execute(statement).all()
            rows = self._rows(connection, found[:limit], known)
        last = found[limit - 1] if len(found) > limit else None
        cursor = Cursor((last.sort, last.column_order, last.id_order)) if last is not None else None
        return InventoryPage(rows, cursor)

    def count(self, query: InventoryQuery) -> int:
        """Return how many rows the filter lets through. Raises InvalidFilterError, DatabaseError."""
        terms = parse_filter(query.filter, FIELDS)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            base = self._base(known, keys=_names(terms, "key", "material"))
            if base is None:
                return 0
            statement = select(func.count()).select_from(base).where(*self._conditions(terms, base.c))
            return int(connection.scalar(statement) or 0)

    def row(self, ref: TokenRef) -> InventoryRow:
        """Return one row as it is now. Raises InvalidReferenceError, RowVanishedError, DatabaseError."""
        self._catalogue().references(ref)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            base = self._base(known, keys=False, only=ref)
            found = connection.execute(select(base)).all() if base is not None else []
            if not found:
                raise RowVanishedError(f"{ref}: there is no such row, or it holds no token.")
            return self._rows(connection, found, known)[0]

    def _base(
        self, known: Mapping[bytes, frozenset[Wrapping]], *, keys: bool, only: TokenRef | None = None
    ) -> Any:
        """All tokens as one relation, without their values."""
        relation = self._answers.relation() if keys else None
        parts = []
        order = -1
        for table in self._catalogue().tables:
            for column in table.token_columns:
                order += 1
                if only is not None and (only.table, only.column) != (table.name, column):
                    continue
                source = table_of(table)
                conditions: list[Any] = [source.c[column].is_not(None)]
                if only is not None:
                    conditions.append(id_in(table, source, [only.row_id]))
                part = select(*_columns(table, column, source, order)).where(*conditions)
                if keys:
                    part = _with_keys(part, source.c[column], source, relation, known)
                parts.append(part)
        if not parts:
            return None
        return union_all(*parts).subquery("tokens") if len(parts) > 1 else parts[0].subquery("tokens")

    def _conditions(self, terms: Iterable[Term], c: Any) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        for term in terms:
            found: ColumnElement[bool] = or_(*(self._matches(term.field, a, c) for a in term.alternatives))
            found = func.coalesce(found, False)
            conditions += [not_(found) if term.negated else found]
        return conditions

    def _matches(self, field: str | None, value: Alternative, c: Any) -> ColumnElement[bool]:
        if field is None:
            pattern = value.regex()
            texts = (c.reference, c.org, c.provider, c.shown)
            return or_(*(t.regexp_match(pattern, flags="i") for t in texts))
        if field == "severity":
            wanted = [f.value for f, s in FORMAT_SEVERITY.items() if re.fullmatch(value.regex(), s.value)]
            matches: ColumnElement[bool] = c.format.in_(wanted) if wanted else false()
            return matches
        if value.is_range:
            column = c[_COLUMN_OF_FIELD.get(field, field)]
            bounds = []
            if value.at_least is not None:
                bounds.append(column >= value.at_least if value.include_least else column > value.at_least)
            if value.at_most is not None:
                bounds.append(column <= value.at_most if value.include_most else column < value.at_most)
            return and_(*bounds)
        pattern = f"^({value.regex()})$"
        if field == "key" and value.text == "unknown":
            return and_(c.format.in_([Format.V1.value, Format.V2.value]), c.key_arn.is_(None))
        if field == "key":
            arns = [
                arn
                for arn, names in self._aliases().items()
                if any(re.fullmatch(value.regex(), name, re.IGNORECASE) for name in names)
            ]
            by_id = func.regexp_replace(c.key_arn, "^.*[:/]", "").regexp_match(pattern, flags="i")
            return or_(c.key_arn.regexp_match(pattern, flags="i"), by_id, c.key_arn.in_(arns))
        result: ColumnElement[bool] = c[_COLUMN_OF_FIELD.get(field, field)].regexp_match(pattern, flags="i")
        return result

    def _rows(
        self, connection: Connection, found: Sequence[Any], known: Mapping[bytes, frozenset[Wrapping]]
    ) -> tuple[InventoryRow, ...]:
        answers = self._answers_about(connection, found)
        rows = []
        for row in found:
            ref = TokenRef(row.table, row.column, row.row_id)
            evidence, wrapping = Evidence.UNKNOWN, None
            group = (
                known.get(bytes(row.edk_prefix), frozenset()) if row.edk_prefix is not None else frozenset()
            )
            if ref in answers:
                wrapping = answers[ref]
                evidence = Evidence.VERIFIED if wrapping else Evidence.UNKNOWN
            elif len(group) > 1:
                evidence = Evidence.CONFLICT
            elif group:
                evidence, wrapping = Evidence.INFERRED, next(iter(group))
            shown = {
                name: clean(text, 200) for name, text in json.loads(row.shown).items() if text is not None
            }
            rows.append(
                InventoryRow(
                    ref=ref,
                    provider=row.provider,
                    organisation=clean(row.org, 100),
                    format=Format(row.format),
                    plaintext_provider=row.leaked,
                    characters=row.characters,
                    key_arn=wrapping[0] if wrapping else None,
                    key_material_id=wrapping[1] if wrapping else None,
                    evidence=evidence,
                    created_at=row.created_at,
                    shown=tuple(shown.items()),
                )
            )
        return tuple(rows)

    def _answers_about(self, connection: Connection, found: Sequence[Any]) -> dict[TokenRef, Wrapping | None]:
        """What KMS has said about these very tokens, asked by digest of the page's v1 values."""
        digests: dict[bytes, list[TokenRef]] = {}
        by_column: dict[tuple[str, str], list[str]] = {}
        for row in found:
            if row.format == Format.V1.value:
                by_column.setdefault((row.table, row.column), []).append(row.row_id)
        for (name, column), ids in by_column.items():
            table = self._catalogue().table(name)
            source = table_of(table)
            statement = select(id_text(table, source), digest_of(source.c[column])).where(
                id_in(table, source, ids), source.c[column].is_not(None)
            )
            for row_id, digest in connection.execute(statement):
                digests.setdefault(bytes(digest), []).append(TokenRef(name, column, row_id))
        about = self._answers.about(connection, digests)
        return {
            ref: (answer.key_arn, answer.key_material_id) if answer.key_arn else None
            for digest, answer in about.items()
            for ref in digests[digest]
        }


_COLUMN_OF_FIELD = {
    "id": "row_id",
    "material": "key_material_id",
    "created": "created_at",
}

_RANKS = {f.value: s.rank for f, s in FORMAT_SEVERITY.items()}

_SORTS: dict[SortKey, Callable[[Any], Any]] = {
    SortKey.STATE: lambda c: case(_RANKS, value=c.format, else_=0),
    SortKey.REFERENCE: lambda c: c.column_order,
    SortKey.ORGANISATION: lambda c: func.coalesce(c.org, "").collate("C"),
    SortKey.PROVIDER: lambda c: c.provider.collate("C"),
    SortKey.FORMAT: lambda c: c.format.collate("C"),
    SortKey.KEY: lambda c: func.concat(
        func.coalesce(c.key_arn, ""), " ", func.coalesce(c.key_material_id, "")
    ).collate("C"),
    SortKey.CREATED: lambda c: func.coalesce(func.extract("epoch", c.created_at), 0),
}


def _names(terms: Iterable[Term], *fields: str) -> bool:
    return any(t.field in fields for t in terms)


def _columns(table: TokenTable, column: str, source: Any, order: int) -> list[Any]:
    stored = source.c[column]
    shown: list[Any] = []
    for name in table.shown:
        if name != table.organisation:
            shown += [literal(name), cast(source.c[name], SqlText)]
    organisation = cast(source.c[table.organisation], SqlText) if table.organisation else literal("")
    created = source.c["created_at"] if "created_at" in table.shown else cast(null(), DateTime(timezone=True))
    return [
        cast(literal(table.name), String).label("table"),
        cast(literal(column), String).label("column"),
        literal(order).label("column_order"),
        id_text(table, source).label("row_id"),
        id_order(table, source).label("id_order"),
        func.concat(f"{table.name}.{column}:", id_text(table, source)).label("reference"),
        cast(literal(table.provider), String).label("provider"),
        organisation.label("org"),
        format_of(stored).label("format"),
        plaintext_provider_of(stored).label("leaked"),
        func.length(stored).label("characters"),
        edk_prefix_of(stored).label("edk_prefix"),
        cast(created, DateTime(timezone=True)).label("created_at"),
        cast(func.jsonb_build_object(*shown), SqlText).label("shown"),
    ]


def _with_keys(
    part: Any, stored: Any, source: Any, relation: Any, known: Mapping[bytes, frozenset[Wrapping]]
) -> Any:
    """Add key_arn and key_material_id: the token's own answer, else its group's."""
    single = {prefix: next(iter(ws)) for prefix, ws in known.items() if len(ws) == 1}
    prefix = edk_prefix_of(stored)
    unknown = cast(null(), String)
    arn: Any = case({p: literal(w[0], String) for p, w in single.items()}, value=prefix, else_=unknown)
    materials = {p: literal(w[1], String) for p, w in single.items() if w[1]}
    material: Any = case(materials, value=prefix, else_=unknown) if materials else unknown
    if not single:
        arn = unknown
    if relation is None:
        return part.add_columns(arn.label("key_arn"), material.label("key_material_id"))
    joined = source.outerjoin(relation, relation.c.digest == digest_of(stored))
    asked = relation.c.digest.is_not(None)
    return part.select_from(joined).add_columns(
        case((asked, relation.c.key_arn), else_=arn).label("key_arn"),
        case((asked, relation.c.key_material_id), else_=material).label("key_material_id"),
    )
