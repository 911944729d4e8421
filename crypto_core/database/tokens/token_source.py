"""A token column as SQL, one row a token: of a secrets column, each member of each document is one.

A document is a JSON object of texts, in a column of text, bytea, json or jsonb. What is none counts as one
token whose member has no name, so that nothing in the column is overlooked; nested objects and lists count as
one token each. In any other column a value is one token: in bytea its UTF-8 text, in JSON the string that it
is; other JSON counts as it is written, and bytes that are no text in hex, which nothing recognises. No value,
whatever its bytes, can fail the statement: it is tested before it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Text as SqlText
from sqlalchemy import column as sql_column
from sqlalchemy.types import NullType

from crypto_core.database.dialect import JSONB
from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens.decoys import Decoy
from crypto_core.database.tokens.expressions import digest_of, id_text, text_of
from crypto_core.database.tokens.page_ranges import rows_between
from crypto_core.database.tokens.tables import TokenColumn, TokenTable
from crypto_core.values.references import TokenRef, token_ref


def is_decoy(table: TokenTable, rows: Any, decoys: Iterable[Decoy]) -> sa.ColumnElement[bool]:
    """By their ids first: of no other row a value is hashed."""
    every = tuple(decoys)
    digests = [token.digest for decoy in every for token in decoy.tokens]
    same = []
    for column in table.token_columns:
        stored = text_of(table, column, rows.c[column])
        same.append(
            sa.or_(rows.c[column].is_(None), sql.is_among(digest_of(stored), digests, sa.LargeBinary))
        )
    return sa.and_(sql.is_among(id_text(table, rows), (decoy.row_id for decoy in every), SqlText), *same)


def without_decoys(table: TokenTable, rows: Any) -> Any:
    if not table.decoys:
        return rows
    real = sa.func.coalesce(is_decoy(table, rows, table.decoys), False).is_(False)
    return sa.select(*rows.c).where(real).subquery()


MEMBER = "#member"
"""Of a secrets column's rows: the member's name."""
TABLE = "#table"

_UTF8 = (
    "^(0[1-9a-f]|[1-7].|c[2-9a-f][89ab].|d.[89ab].|e0[ab].[89ab].|e[1-9abcef]([89ab].){2}|ed[89].[89ab].|"
    "f0[9ab].([89ab].){2}|f[123]([89ab].){3}|f48.([89ab].){2})*$"
)
"""Bytes in hex that are UTF-8 (RFC 3629, section 4), without NUL."""
_PAIRS = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNREADABLE = r"\\u(0000|[dD][89a-fA-F])"
"""Escapes that no text in PostgreSQL can hold."""
_NOT_LATIN1, _NOT_ASCII = r"\\u(0000|(?!00))", r"\\u(0000|(?!00[0-7]))"
"""The same escapes where the database's encoding lacks the character: beyond Latin-1, and beyond ASCII."""
_TEXT = r'"([^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"'
_PAIR = rf"{_TEXT}\s*:\s*({_TEXT}|true|false|null|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)"
_FLAT = rf"^\s*\{{\s*({_PAIR}(\s*,\s*{_PAIR})*)?\s*\}}\s*$"
"""A JSON object without another in it, for servers that can't test for JSON: PostgreSQL 15 and older."""
_NOTHING: Any = sa.literal_column("'0'")
_ITSELF: Any = sa.literal_column("'{}'::text[]")


@dataclass(frozen=True, slots=True)
class TokenSource:
    """`source` has one row a token: the row's id, the stored value, what is shown."""

    table: TokenTable
    column: str
    source: Any

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column}"

    @property
    def of(self) -> TokenColumn:
        return TokenColumn(self.table.name, self.column)

    @property
    def has_members(self) -> bool:
        return self.column in self.table.documents

    @property
    def stored(self) -> Any:
        """As text; NULL is no token."""
        value = self.source.c[self.column]
        return sql.text_of(self.table, self.column, value) if self.is_text else value

    @property
    def is_text(self) -> bool:
        """Whether it is read as it stands, from its table."""
        return self.table.is_text(self.column)

    @property
    def row_id(self) -> Any:
        return sql.id_of(self.table, self.source)

    @property
    def id(self) -> Any:
        """What tells the token from others: the row's id in its own type; of several parts, text."""
        return self.id_text if self.has_members or self.table.has_composite_id else self.row_id

    @property
    def has_number_id(self) -> bool:
        return not self.has_members and self.table.has_number_id

    @property
    def id_text(self) -> Any:
        row_id = id_text(self.table, self.source)
        if not self.has_members:
            return row_id
        if not self.table.has_number_id:
            row_id = sa.func.replace(sa.func.replace(row_id, "%", "%25"), "#", "%23")
        return sa.func.concat(row_id, "#", self._member)

    @property
    def _member(self) -> Any:
        return self.source.c[MEMBER].collate("C")

    def ref(self, identity: object) -> TokenRef:
        return self.table.ref(self.column, str(identity))

    def order(self, *, backwards: bool = False) -> list[Any]:
        """By the rows' ids, which the primary key's index serves."""
        columns = [self.source.c[name] for name in self.table.id_columns]
        columns += [self._member] if self.has_members else []
        return [column.desc() for column in columns] if backwards else columns

    def beyond(
        self, identity: str | int, *, backwards: bool = False, inclusive: bool = False
    ) -> sa.ColumnElement[bool]:
        """True for tokens behind this one, or before it; with `inclusive`, for this one too."""
        row_id, member = (identity, None) if not self.has_members else _parted(str(identity))
        parts = self.table.id_parts(str(row_id)) if self.table.has_composite_id else [row_id]
        bounds = [sa.bindparam("at", part, NullType(), unique=True) for part in parts]
        at: Any = sa.tuple_(*bounds) if self.table.has_composite_id else bounds[0]
        if member is None:
            if inclusive:
                return (self.row_id <= at) if backwards else (self.row_id >= at)  # type: ignore[no-any-return]
            return (self.row_id < at) if backwards else (self.row_id > at)  # type: ignore[no-any-return]
        near, own = (
            (self.row_id <= at, self.row_id < at) if backwards else (self.row_id >= at, self.row_id > at)
        )
        named = sa.bindparam("member", member, SqlText, unique=True)
        further = self._member < named if backwards else self._member > named
        return sa.and_(near, sa.or_(own, further, *([self._member == named] if inclusive else [])))

    def is_one_of(self, identities: Sequence[str]) -> sa.ColumnElement[bool]:
        """True for these tokens, through the primary key; without a member for all of the row's."""
        if not self.has_members:
            return sql.id_in(self.table, self.source, identities)
        refs = [self.ref(identity) for identity in identities]
        rows = sql.id_in(self.table, self.source, sorted({ref.row_id for ref in refs}))
        ways: list[sa.ColumnElement[bool]] = []
        if named := [ref.identity for ref in refs if ref.member is not None]:
            ways.append(sql.is_among(self.id_text, named, SqlText))
        if whole := [ref.row_id for ref in refs if ref.member is None]:
            ways.append(sql.id_in(self.table, self.source, whole))
        return sa.and_(rows, sa.or_(*ways)) if ways else rows


def token_source(
    table: TokenTable,
    column: str,
    *,
    sampled: float | None = None,
    whole: bool = False,
    in_range: bool = False,
) -> TokenSource:
    """Return a token column as SQL; with `sampled`, of so many per cent of the table's pages.

    `whole` is for a statement that reads all of it, and is fast for that alone; with `in_range`, all that is
    in a range of its pages, which the statement's parameters say.
    """
    return _source(table, *differing(table), column, sampled, whole, in_range)


def differing(
    table: TokenTable,
) -> tuple[frozenset[tuple[str, str]], frozenset[str], bool, tuple[Decoy, ...]]:
    """What equal tables may differ in: things kept of a table are kept by this, too."""
    return table.types, table.required, table.tests_json, table.decoys


@lru_cache(maxsize=500)
def _source(
    table: TokenTable,
    types: frozenset[tuple[str, str]],
    required: frozenset[str],
    tests_json: bool,
    decoys: tuple[Decoy, ...],
    column: str,
    sampled: float | None,
    whole: bool,
    in_range: bool,
) -> TokenSource:
    needed = sql.columns_of(table, _needed(table, [*table.id_columns, *table.shown, column]))
    rows: Any = sql.table_of(table) if table.is_text(column) else needed
    some = rows if sampled is None else _sample(rows, sampled)
    some = rows_between(some) if in_range else some
    return _read_from(without_decoys(table, some), table, column, whole=whole)


def _read_from(rows: Any, table: TokenTable, column: str, *, whole: bool) -> TokenSource:
    """The token column, from rows that have the columns of its table."""
    if table.is_text(column):
        return TokenSource(table, column, rows)
    read = _members if column in table.documents else _values
    return TokenSource(table, column, read(table, column, rows, whole=whole))


def alike(tables: Iterable[TokenTable]) -> list[tuple[str, list[TokenTable]]]:
    groups: dict[Any, list[TokenTable]] = {}
    for table in tables:
        ids = [(name, table.type_of(name)) for name in table.id_columns]
        for column in table.token_columns:
            same = (table.relation, column, table.type_of(column), column in table.documents, *ids)
            groups.setdefault(same, []).append(table)
    return [(same[1], group) for same, group in groups.items()]


def source_of_all(tables: Sequence[TokenTable], column: str) -> TokenSource:
    """Return a column of tables that are alike, to be read all through; several have TABLE."""
    if len(tables) == 1:
        return token_source(tables[0], column, whole=True)
    first = replace(tables[0], shown=(TABLE,), organisation=None, created=None)
    names = [*first.id_columns, column]
    real = [(t, without_decoys(t, sql.columns_of(t, _needed(t, names)))) for t in tables]
    rows = sa.union_all(
        *(
            sa.select(
                *(own.c[n] for n in dict.fromkeys(names)), sa.cast(sa.literal(t.name), sa.String).label(TABLE)
            )
            for t, own in real
        )
    )
    return _read_from(rows.subquery(), first, column, whole=True)


def _needed(table: TokenTable, names: Iterable[str]) -> list[str]:
    """Columns to read of a table: what tells its decoys is in all of its token columns."""
    return [*names, *(table.token_columns if table.decoys else ())]


def whole_bytes(table: TokenTable, column: str, stored: Any) -> Any:
    if table.type_of(column) == "bytea":
        return stored
    return sa.func.convert_to(sa.cast(stored, SqlText), sa.literal_column("'UTF8'"))


def whole_value(table: TokenTable, column: str, text: Any) -> Any:
    """The text of a whole value in the column's own type."""
    type_name = table.type_of(column)
    if type_name == "bytea":
        return sa.func.convert_to(text, sa.literal_column("'UTF8'"))
    return sa.cast(text, {"json": sa.JSON, "jsonb": JSONB}.get(type_name, SqlText))


def _parted(identity: str) -> tuple[str, str | None]:
    ref = token_ref("", "", identity)
    return ref.row_id, ref.member


def _sample(source: Any, percent: float) -> Any:
    return sa.tablesample(source, sa.func.system(percent))


def _values(table: TokenTable, column: str, base: Any, *, whole: bool) -> Any:
    """The rows of a column in a type that is none of text: what is shown of a row, and its value."""
    names = dict.fromkeys([*table.id_columns, *table.shown])
    text, rows = (_read_through if whole else _read_singly)(table, column, base)
    value = text if table.type_of(column) == "bytea" else _string(text)
    if not whole:
        once = _once_a_row(value, rows)
        value, rows = once.c.value, rows.join(once, sa.true())
    shown = (rows.c[n] if whole else base.c[n] for n in names)
    statement = sa.select(*shown, sa.cast(value, SqlText).label(column)).select_from(rows)
    return sql.apart(statement) if whole else statement.subquery()


def _string(text: Any) -> Any:
    """The string that a JSON value is; of any other JSON its text, and of null none."""
    value = sa.cast(text, sa.JSON)
    told: Any = value.op("#>>")(_ITSELF)
    is_string = sa.and_(sa.func.json_typeof(value) == "string", _is_readable(text))
    return sa.case((sa.func.json_typeof(value) == "null", None), (is_string, told), else_=text)


def _members(table: TokenTable, column: str, base: Any, *, whole: bool) -> Any:
    """The rows of a secrets column: what is shown of a row, and each member of its document."""
    names = dict.fromkeys([*table.id_columns, *table.shown])
    document, rows = (_read_through if whole else _read_singly)(table, column, base)
    read = sa.case(
        (document == "null", None),
        (_is_object(table, document), sa.cast(document, sa.JSON)),
        else_=sa.func.json_build_object("", document),
    )
    members = sa.func.json_each(read).table_valued("key", sql_column("value", sa.JSON)).lateral("member")
    # A name that is an envelope names no member: the two together are one that has none.
    is_named = sa.not_(sql.is_envelope(members.c.key))
    pair = sa.cast(sa.func.json_build_object(members.c.key, members.c.value), SqlText)
    told: Any = sa.case((is_named, members.c.value.op("#>>")(_ITSELF)), else_=pair)
    joined = rows.join(members, sa.true())
    if not whole:
        value = _once_a_row(told, members)
        told, joined = value.c.value, joined.join(value, sa.true())
    statement = (
        sa.select(
            *(rows.c[n] if whole else base.c[n] for n in names),
            sa.case((is_named, sa.cast(members.c.key, SqlText)), else_="").label(MEMBER),
            sa.cast(told, SqlText).label(column),
        )
        .select_from(joined)
        .where(
            sa.or_(sa.func.json_typeof(members.c.value).in_(["string", "object", "array"]), sa.not_(is_named))
        )
    )
    return sql.apart(statement) if whole else statement.subquery()


def _read_singly(table: TokenTable, column: str, base: Any) -> tuple[Any, Any]:
    """The whole value as text, and the rows that have it; any row is found by its id."""
    written = _once_a_row(_written(table, column, base), base)
    text = _once_a_row(_text(table, column, base, written.c.value), base, written)
    return text.c.value, base.join(written, sa.true()).join(text, sa.true())


def _read_through(table: TokenTable, column: str, base: Any) -> tuple[Any, Any]:
    """For all rows at once, which several processes of the server may share."""
    written = sql.apart(sa.select(*base.c, _written(table, column, base).label("#written")))
    text = _text(table, column, written, written.c["#written"])
    rows = sql.apart(sa.select(*written.c, text.label("#text")))
    return rows.c["#text"], rows


def _once_a_row(value: Any, *of: Any) -> Any:
    """An OFFSET makes PostgreSQL compute it once a row."""
    return sa.select(value.label("value")).correlate(*of).offset(_NOTHING).lateral()


def _written(table: TokenTable, column: str, base: Any) -> Any:
    """The value in characters: of bytea as PostgreSQL escapes it, which no bytes can fail."""
    value = base.c[column]
    written = sa.func.encode(value, "escape") if table.type_of(column) == "bytea" else sa.cast(value, SqlText)
    return written.collate("C")


def _text(table: TokenTable, column: str, base: Any, written: Any) -> Any:
    """The value as text, in hex for bytes that are none. Plain ASCII is the same in PostgreSQL's escapes."""
    if table.type_of(column) != "bytea":
        return written
    value = base.c[column]
    is_utf8 = sa.and_(_encoding() == "UTF8", sa.func.encode(value, "hex").regexp_match(_UTF8))
    plain = sa.func.octet_length(value) == sa.func.octet_length(written)
    in_hex = sa.literal_column(r"E'\\x'").op("||")(sa.func.encode(value, "hex"))
    return sa.case((plain, written), (is_utf8, sa.func.convert_from(value, "UTF8")), else_=in_hex)


def _is_object(table: TokenTable, document: Any) -> sa.ColumnElement[bool]:
    is_json = (
        document.op("IS")(sa.literal_column("JSON OBJECT"))
        if table.tests_json
        else document.regexp_match(_FLAT)
    )
    return sa.and_(is_json, _is_readable(document))


def _encoding() -> Any:
    return sa.cast(sa.func.getdatabaseencoding(), SqlText)


def _is_readable(text: Any) -> sa.ColumnElement[bool]:
    escaped = sa.func.strpos(text, r"\u") > 0
    unreadable = sa.case(
        (_encoding() == "UTF8", sa.func.regexp_replace(text, _PAIRS, "", "g").regexp_match(_UNREADABLE)),
        else_=text.regexp_match(sa.case((_encoding() == "LATIN1", _NOT_LATIN1), else_=_NOT_ASCII)),
    )
    return sa.or_(sa.not_(escaped), sa.not_(unreadable))
