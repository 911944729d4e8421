"""SQL expressions that tell a stored value's format and key material group inside the database.

Base64 works on groups of three bytes, so "v1|" is four characters of the stored string, and the EDK's own
base64 begins right behind them: sixty-eight more stored characters are fifty-one characters of the EDK's
base64, of which fifty hold its first 37 bytes. In v2 the key ARN's base64, at most 160 characters, stands in
between. Nothing is decoded before its alphabet is checked, so a corrupt row can't fail the statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Text as SqlText
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.expression import TableClause
from sqlalchemy.types import NullType

from crypto_core.database.qualified_sql import Printed
from crypto_core.database.tokens.spellings import has_v1_fields, lenient_edk_prefix
from crypto_core.database.tokens.tables import READ_DIRECTLY, TokenTable
from crypto_core.database.tokens.token_patterns import HOLDS_ENVELOPE, LEAST_WITH_ENVELOPE
from crypto_core.envelope import (
    ENVELOPE_FORMATS,
    KEY_NAMED,
    MARK_CHARACTERS,
    MAX_KEY_ARN_BYTES,
    PROVIDER_PREFIXES,
    STORED_PREFIXES,
    VERSIONS,
    Envelope,
    Format,
)
from crypto_core.envelope.issuers import TOKEN_PREFIXES

Text_ = sa.ColumnElement[Any]

_kept = lru_cache(maxsize=128)
"""For expressions of many statements: building one takes longer than running it."""

HEAD_CHARACTERS = 72
"""Stored characters of v1's version and EDK prefix, in whole base64 groups."""
MARK_BEGINS, MARK_BYTES = 360, 16
"""Where an envelope's mark stands: behind the longest EDK prefix, so that no two envelopes share it."""
RESPELT = "djF~"
"""Begins the head of a v1 value that is spelt otherwise; the EDK's base64 follows at once."""
V2_CHARACTERS = 4 * -(-(4 * -(-MAX_KEY_ARN_BYTES // 3) + 51) // 3)
"""Stored characters behind the version that hold the longest key ARN and the EDK prefix."""

_BASE64 = "^[A-Za-z0-9+/]+={0,2}$"
_FOREIGN = "[^A-Za-z0-9+/]"
_HEADER = "^AQ[AEIMQUYcgkosw048][A-P]AH[g-j]"
"""The version header 01 0x 0x 00 78 in base64. Counted repetitions would make an expression slow."""
_EDK_CHARACTERS = 51
_TWO_ENVELOPES = 2 * 380
"""The least characters of two envelopes: a data key wrapped by KMS has 184 bytes."""
_MOST_FIELDS = max(len(version.field_names) for version in VERSIONS.values())
"""No envelope has more separators; two have."""
_UNMOVED: Any = sa.literal_column("'0'")


def table_of(table: TokenTable) -> TableClause:
    return columns_of(table, [*table.id_columns, *table.token_columns, *table.shown])


def columns_of(table: TokenTable, names: Iterable[str]) -> TableClause:
    columns = (sql_column(n, Printed() if table.is_foreign(n) else None) for n in dict.fromkeys(names))
    return sql_table(table.relation, *columns, schema=table.place)


@_kept
def text_of(table: TokenTable, column: str, value: Text_) -> Text_:
    """The value of a text column as text, compared byte by byte. Of char(n) PostgreSQL leaves padding out."""
    text: Text_ = value if table.type_of(column) in READ_DIRECTLY else sa.cast(value, SqlText)
    return text.collate("C")


def apart(statement: sa.Select[Any]) -> sa.Subquery:
    """Return a subquery that PostgreSQL computes row by row, before anything is done with its columns.

    An OFFSET of nothing says so, and as a literal it leaves the scan parallel. Besides, of what a subquery
    computes few different values are expected, so that counting them needs no sort.
    """
    return statement.offset(_UNMOVED).subquery()


@_kept
def format_of(stored: Text_) -> Text_:
    """As `Format`'s text. NULL is no token: leave it out before."""
    return sa.case(
        (stored == "", sa.literal(Format.EMPTY.value)),
        (sa.or_(_begins_as_v1(stored), is_respelt(stored)), sa.literal(Format.V1.value)),
        *((sa.func.starts_with(stored, STORED_PREFIXES[f]), sa.literal(f.value)) for f in ENVELOPE_FORMATS),
        (sa.func.starts_with(stored, STORED_PREFIXES[Format.DEV]), sa.literal(Format.DEV.value)),
        (starts_with_any(stored, TOKEN_PREFIXES), sa.literal(Format.PLAINTEXT.value)),
        else_=sa.literal(Format.UNRECOGNISED.value),
    )


def formats_counted(stored: Text_, source: Any, condition: sa.ColumnElement[bool]) -> sa.Select[Any, int]:
    format_ = format_of(stored)
    counted = sa.select(format_.label("format"), sa.func.count()).select_from(source)
    return counted.where(condition).group_by(format_)


@_kept
def plaintext_provider_of(stored: Text_) -> Text_:
    """By the prefix; NULL for anything but plaintext."""
    return sa.case(
        *(
            (sa.and_(starts_with_any(stored, prefixes), sa.not_(has_v1_fields(stored))), sa.literal(provider))
            for provider, prefixes in PROVIDER_PREFIXES.items()
        ),
        else_=sa.cast(sa.null(), sa.String),
    )


def starts_with_any(stored: Text_, prefixes: Sequence[str]) -> sa.ColumnElement[bool]:
    listed: Any = _array(prefixes)
    result: sa.ColumnElement[bool] = stored.bool_op("^@")(sa.func.any(sa.literal(listed, NullType())))
    return result


def is_among(column: Text_, values: Iterable[Any], type_: Any) -> sa.ColumnElement[bool]:
    listed = sa.bindparam("among", list(values), ARRAY(type_), unique=True)
    # Written as it stands: `==` would put the function any() to the left of a function, where it is none.
    result: sa.ColumnElement[bool] = column.bool_op("=")(sa.func.any(listed))
    return result


@_kept
def is_envelope(stored: Text_) -> sa.ColumnElement[bool]:
    """True for values in an envelope format, of any version, also for v1 that is spelt otherwise."""
    return sa.or_(has_mark(stored), has_v1_fields(stored))


@_kept
def has_mark(stored: Text_) -> sa.ColumnElement[bool]:
    """True for values that begin with an envelope's mark.

    Long values are stored outside their row, and fetched for every function that looks at them: here once.
    """
    marks = [STORED_PREFIXES[f] for f in sorted(ENVELOPE_FORMATS)]
    result: sa.ColumnElement[bool] = sa.func.left(stored, MARK_CHARACTERS).in_(marks)
    return result


@_kept
def is_respelt(stored: Text_) -> sa.ColumnElement[bool]:
    """True for v1 envelopes that only the platform's lenient reader opens.

    Of those with v1's mark it is told by a length that strict base64 never has, so that no other is decoded:
    one that keeps it counts as v1 all the same, and by its group or, without a readable one, by itself.
    """
    return sa.case(
        (sa.and_(_begins_as_v1(stored), _has_strict_length(stored)), False),
        (sa.or_(*(_names_key(stored, f) for f in ENVELOPE_FORMATS if f.names_key)), False),
        else_=has_v1_fields(stored),
    )


def names_key(stored: Text_, format_: Format) -> sa.ColumnElement[bool]:
    """True in a format that names its key, unless the platform's reader takes the value for v1."""
    begins = sa.func.starts_with(stored, STORED_PREFIXES[format_])
    return sa.and_(begins, sa.or_(_names_key(stored, format_), sa.not_(has_v1_fields(stored))))


def _names_key(stored: Text_, format_: Format) -> sa.ColumnElement[bool]:
    result: sa.ColumnElement[bool] = sa.func.starts_with(stored, STORED_PREFIXES[format_] + KEY_NAMED)
    return result


def _begins_as_v1(stored: Text_) -> sa.ColumnElement[bool]:
    begins: sa.ColumnElement[bool] = sa.func.starts_with(stored, STORED_PREFIXES[Format.V1])
    return begins


def _has_strict_length(stored: Text_) -> sa.ColumnElement[bool]:
    result: sa.ColumnElement[bool] = sa.func.octet_length(stored) % 4 == 0
    return result


@_kept
def holds_envelope(stored: Text_) -> sa.ColumnElement[bool]:
    """True for values that have an envelope in them, or may; for what is none by itself."""
    return sa.and_(sa.func.length(stored) >= LEAST_WITH_ENVELOPE, stored.regexp_match(HOLDS_ENVELOPE))


@_kept
def runs_on(stored: Text_) -> sa.ColumnElement[bool]:
    """True for values that begin as an envelope and have another one behind it.

    The length is known without the value; to look through all of them would double what a census takes.
    """
    is_base64 = sa.and_(stored.regexp_match(_BASE64), sa.func.length(stored) % 4 == 0)
    decoded = _decoded(stored)
    separators = sa.func.length(decoded) - sa.func.length(sa.func.replace(decoded, "|", ""))
    return sa.case(
        (sa.func.octet_length(stored) < _TWO_ENVELOPES, False),
        (sa.not_(sa.or_(*(_has_further(stored, STORED_PREFIXES[f]) for f in ENVELOPE_FORMATS))), False),
        # The mark's four characters come by chance, too; so many fields don't.
        (is_base64, separators > _MOST_FIELDS),
        else_=True,
    )


def _has_further(stored: Text_, mark: str) -> sa.ColumnElement[bool]:
    """Whether a mark stands behind the first character; of bytes that takes half as long as LIKE."""
    behind = sa.func.substr(_utf8(stored), 2)
    found: sa.ColumnElement[bool] = sa.func.position(sa.literal(mark.encode()).op("IN")(behind)) > 0
    return found


def _utf8(stored: Text_) -> Text_:
    return sa.func.convert_to(stored, sa.literal_column("'UTF8'"))


@_kept
def fetched(stored: Text_) -> Text_:
    """The value, of a long one a copy: stored outside its row, it would be fetched at each look at it."""
    return sa.case((sa.func.octet_length(stored) >= _TWO_ENVELOPES, sa.func.concat(stored)), else_=stored)


@_kept
def head_of(stored: Text_) -> Text_:
    """As much of the value as its format and EDK prefix need, beginning with the version's mark.

    Envelopes of one key material share at most about a thousand heads, so that what is costly to compute is
    computed for each head, not for each row. Where an envelope names its key, the EDK's base64 follows the
    mark at once in its head.
    """
    first = sa.func.left(stored, HEAD_CHARACTERS)
    ways: list[tuple[sa.ColumnElement[bool], sa.ColumnElement[Any]]] = [
        (sa.and_(_begins_as_v1(stored), _has_strict_length(stored)), first),
        (
            is_respelt(stored),
            sa.func.concat(RESPELT, lenient_edk_prefix(stored).op("||")(sa.literal_column("'A'"))),
        ),
    ]
    for mark in _marks(names_key=True):
        begins = sa.func.starts_with(stored, mark)
        readable = sa.and_(begins, _is_readable_behind_key(stored))
        ways += [(readable, sa.func.concat(mark, _edk_behind_key(stored))), (begins, sa.literal(mark))]
    return sa.case(*ways, else_=first)


@_kept
def edk_prefix_of_head(head: Text_) -> Text_:
    """The 37-byte EDK prefix as bytea, from a head; NULL where there is none with a KMS header."""
    behind = sa.func.substr(head, 5, HEAD_CHARACTERS - MARK_CHARACTERS)
    return sa.case(
        *_where_first(head, behind),
        *((sa.func.starts_with(head, mark), _prefix(behind)) for mark in (*_marks(names_key=True), RESPELT)),
        else_=sa.cast(sa.null(), sa.LargeBinary),
    )


def _where_first(value: Text_, behind: Text_) -> list[tuple[sa.ColumnElement[bool], Text_]]:
    """The EDK prefix where the EDK comes first, by mark."""
    whole = sa.func.length(behind) == HEAD_CHARACTERS - MARK_CHARACTERS
    readable = (whole, sa.not_(behind.regexp_match(_FOREIGN)))
    prefix = _prefix(_decoded(behind))
    return [
        (sa.and_(sa.func.starts_with(value, mark), *readable), prefix) for mark in _marks(names_key=False)
    ]


@_kept
def sure_part(head: Text_) -> Text_:
    """What heads of one EDK prefix have in common, so that of a thousand a few dozen are left; else the head.

    The prefix ends within a character of the EDK's base64, so of the one behind that only matters whether it
    is one of base64. No head is as long as what ends so, hence none is taken for others' part.
    """
    last, ends = sa.func.right(head, 4), "~~"
    is_whole = sa.and_(sa.func.length(head) == HEAD_CHARACTERS, sa.not_(last.regexp_match(_FOREIGN)))
    has_edk = sa.func.length(head) == MARK_CHARACTERS + _EDK_CHARACTERS
    return sa.case(
        *(
            (
                sa.and_(sa.func.starts_with(head, mark), is_whole),
                sa.case(
                    (_decoded(last).regexp_match(_FOREIGN), head),
                    else_=sa.func.concat(sa.func.left(head, HEAD_CHARACTERS - 1), ends),
                ),
            )
            for mark in _marks(names_key=False)
        ),
        *(
            (
                sa.and_(
                    sa.func.starts_with(head, mark),
                    has_edk,
                    sa.not_(sa.func.right(head, 1).regexp_match(_FOREIGN)),
                ),
                sa.func.concat(sa.func.left(head, MARK_CHARACTERS + _EDK_CHARACTERS - 1), ends),
            )
            for mark in (*_marks(names_key=True), RESPELT)
        ),
        else_=head,
    )


@_kept
def edk_prefix_of(stored: Text_) -> Text_:
    """The 37-byte EDK prefix of an envelope as bytea; NULL where there is none with a KMS header.

    It is that of the value's head, written without one: a head would stand in this a dozen times.
    """
    behind = sa.func.substr(stored, 5, HEAD_CHARACTERS - MARK_CHARACTERS)
    return sa.case(
        (is_respelt(stored), respelt_prefix(stored)),
        *_where_first(stored, behind),
        *(
            (sa.func.starts_with(stored, mark), edk_prefix_behind_key(stored))
            for mark in _marks(names_key=True)
        ),
        else_=sa.cast(sa.null(), sa.LargeBinary),
    )


@_kept
def respelt_prefix(stored: Text_) -> Text_:
    """The same of v1 values that are spelt otherwise."""
    encoded = lenient_edk_prefix(stored).op("||")(sa.literal_column("'=='"))
    return sa.func.decode(encoded, "base64")


@_kept
def edk_prefix_behind_key(stored: Text_) -> Text_:
    """The same of values that name their key before the EDK."""
    return sa.case(
        (_is_readable_behind_key(stored), _prefix(_edk_behind_key(stored))),
        else_=sa.cast(sa.null(), sa.LargeBinary),
    )


def _is_readable_behind_key(stored: Text_) -> sa.ColumnElement[bool]:
    """Whether as much can be decoded as the EDK prefix needs."""
    behind = sa.func.substr(stored, 5, V2_CHARACTERS)
    return sa.and_(sa.func.length(stored) >= V2_CHARACTERS + 4, sa.not_(behind.regexp_match(_FOREIGN)))


def _edk_behind_key(stored: Text_) -> Text_:
    decoded = _decoded(sa.func.substr(stored, 5, V2_CHARACTERS))
    return sa.func.left(sa.func.split_part(decoded, "|", 2), _EDK_CHARACTERS)


def _marks(*, names_key: bool) -> list[str]:
    """Of envelopes that name their key before the EDK, or of the others."""
    return [STORED_PREFIXES[f] for f in ENVELOPE_FORMATS if f.names_key is names_key]


def _decoded(encoded: Text_) -> Text_:
    return sa.func.encode(sa.func.decode(encoded, "base64"), "escape")


def _prefix(edk_text: Text_) -> Text_:
    """The first 37 bytes of an EDK, of whose base64 fifty-one characters are given."""
    return sa.case(
        (
            sa.and_(
                sa.func.length(edk_text) == _EDK_CHARACTERS,
                edk_text.regexp_match(_HEADER),
                sa.not_(edk_text.regexp_match(_FOREIGN)),
            ),
            sa.func.decode(sa.func.concat(sa.func.left(edk_text, _EDK_CHARACTERS - 1), "=="), "base64"),
        ),
        else_=sa.cast(sa.null(), sa.LargeBinary),
    )


@_kept
def mark_of(stored: Text_) -> Text_:
    """Some bytes of a marked envelope's ciphertext, as bytea: random in each. Other values have none."""
    return sa.case((has_mark(stored), _mark(stored)), else_=_NO_MARK)


def envelopes_mark(stored: Text_, is_respelt_v1: Any) -> Text_:
    """The same of envelopes alone, so that answers about them are joined to no other value."""
    return sa.case(
        (has_mark(stored), _mark(stored)), (is_respelt_v1, _NO_MARK), else_=sa.cast(sa.null(), sa.LargeBinary)
    )


_NO_MARK: Any = sa.literal_column("''::bytea")


def _mark(stored: Text_) -> Text_:
    return sa.func.substr(_utf8(stored), MARK_BEGINS + 1, MARK_BYTES)


@_kept
def digest_of(stored: Text_) -> Text_:
    """The mark and the SHA-256 of the stored value: tells two values apart without selecting either."""
    return mark_of(stored).op("||")(sa.func.sha256(_utf8(stored)))


def has_token_bytes(stored: Text_, lengths: Iterable[int]) -> sa.ColumnElement[bool]:
    """False for envelopes whose token has none of these lengths in bytes; true for whatever else there is.

    AES-GCM keeps a text's length, so the ciphertext tells it of every envelope that opens at all.
    """
    asked: Any = sa.literal(sorted(4 * length for length in lengths), ARRAY(sa.BigInteger))
    quarters = _token_quarters(stored)
    return sa.case(
        (sa.not_(has_mark(stored)), True),
        (sa.func.length(stored) % 4 != 0, True),
        (sa.not_(stored.regexp_match(_BASE64)), True),
        (sa.not_(_last_field(stored).regexp_match(_BASE64)), True),
        else_=sa.or_(quarters == sa.func.any(asked), quarters % 4 != 0),
    )


@_kept
def _token_quarters(stored: Text_) -> Text_:
    """Four times the length of an envelope's token; of one whose last field is no base64 no multiple of four.

    Of the base64 of the last field, a letter counts three and its padding, which the last letters tell, four.
    """
    overhead = sa.case(*((begins, version.sealed_overhead) for begins, version in _versions(stored)))
    ends = _decoded(sa.func.right(stored, 8))
    padding = sa.func.length(ends) - sa.func.length(sa.func.rtrim(ends, "="))
    return sa.func.length(_last_field(stored)) * 3 - (padding + overhead) * 4


def _versions(stored: Text_) -> list[tuple[Any, type[Envelope]]]:
    return [(sa.func.starts_with(stored, STORED_PREFIXES[f]), version) for f, version in VERSIONS.items()]


def _last_field(stored: Text_) -> Text_:
    last = sa.case(*((begins, len(version.field_names) + 1) for begins, version in _versions(stored)))
    return sa.func.split_part(_decoded(stored), "|", last)


def id_of(table: TokenTable, source: Any) -> Any:
    columns = [source.c[name] for name in table.id_columns]
    return sa.tuple_(*columns) if table.has_composite_id else columns[0]


def id_text(table: TokenTable, source: Any) -> Text_:
    parts = [_id_part_text(table, name, source.c[name]) for name in table.id_columns]
    between = (part for one in parts for part in ("/", one))
    return sa.func.concat(*list(between)[1:]) if table.has_composite_id else parts[0]


def _id_part_text(table: TokenTable, name: str, column: Any) -> Text_:
    text: Text_ = sa.cast(column, SqlText).collate("C")
    if not table.has_composite_id or table.kind_of(name) != "text":
        return text
    return sa.func.replace(sa.func.replace(text, "%", "%25"), "/", "%2F")


def id_in(table: TokenTable, source: Any, ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """Rows with one of these ids, in the columns' own types, so that the primary key's index serves.

    However many ids there are, they are one parameter for each column of the id.
    """
    if table.has_composite_id:
        if not ids:
            return sa.false()
        parts = {name: (values, SqlText) for name, values in _parts(table, ids).items()}
        return _is_part_of(table, source, unnested("given", parts))
    return _is_any(table, source, sa.bindparam("ids", _listed(table, ids), NullType(), unique=True))


def id_in_later(table: TokenTable, source: Any) -> sa.ColumnElement[bool]:
    """As `id_in`, with ids given by `later_ids` when the statement is executed."""
    if table.has_composite_id:
        parts = {f"part_{number}": SqlText for number, _ in enumerate(table.id_columns)}
        return _is_part_of(table, source, unnested_later("given", parts))
    return _is_any(table, source, sa.bindparam(f"{_LATER}ids", type_=NullType()))


def later_ids(table: TokenTable, ids: Sequence[str]) -> dict[str, Any]:
    if table.has_composite_id:
        return later_rows("given", _parts(table, ids))
    return {f"{_LATER}ids": _listed(table, ids)}


def _listed(table: TokenTable, ids: Sequence[str]) -> Any:
    # A literal of no type is read as an array of the column's.
    return [int(i) for i in ids] if table.has_number_id else _array(ids)


def _is_any(table: TokenTable, source: Any, listed: Any) -> sa.ColumnElement[bool]:
    result: sa.ColumnElement[bool] = id_of(table, source) == sa.func.any(listed)
    return result


def _parts(table: TokenTable, ids: Sequence[str]) -> dict[str, list[str]]:
    rows = [table.id_parts(one) for one in ids]
    return {f"part_{number}": [row[number] for row in rows] for number, _ in enumerate(table.id_columns)}


def _is_part_of(table: TokenTable, source: Any, given: Any) -> sa.ColumnElement[bool]:
    typed: dict[str, Any] = {"integer": sa.BigInteger, "uuid": sa.Uuid(as_uuid=False)}
    own, others = [], []
    for name, part in zip(table.id_columns, given.c, strict=True):
        type_ = typed.get(table.kind_of(name))
        known = table.type_of(name) in READ_DIRECTLY or type_ is not None
        own.append(source.c[name] if known else sa.cast(source.c[name], SqlText))
        others.append(part if type_ is None else sa.cast(part, type_))
    result: sa.ColumnElement[bool] = sa.tuple_(*own).in_(sa.select(*others))
    return result


def unnested(name: str, columns: Mapping[str, tuple[Sequence[Any], Any]]) -> Any:
    """Values as rows called `name`: of each column its values and their type, as one parameter.

    The parameter is one literal: PostgreSQL reads it at once, and reads an array that is spelt out in SQL
    element by element, as expressions.
    """
    return _rows(
        name,
        {column: type_ for column, (_, type_) in columns.items()},
        (sa.bindparam(n, _array(values), SqlText, unique=True) for n, (values, _) in columns.items()),
    )


def unnested_later(name: str, types: Mapping[str, Any]) -> Any:
    return _rows(name, types, (sa.bindparam(f"{_LATER}{name}_{column}", type_=SqlText) for column in types))


def later_rows(name: str, columns: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    return {f"{_LATER}{name}_{column}": _array(values) for column, values in columns.items()}


_LATER = "keydeck_"
"""Begins parameters' names, which in an UPDATE must be no column's that is set."""


def _rows(name: str, types: Mapping[str, Any], arrays: Iterable[Any]) -> Any:
    cast_ = (sa.cast(one, ARRAY(type_)) for one, type_ in zip(arrays, types.values(), strict=True))
    typed = (sql_column(column, type_) for column, type_ in types.items())
    return sa.func.unnest(*cast_).table_valued(*typed).render_derived(name=name)


def _array(values: Iterable[Any]) -> str:
    given = list(values)
    kinds = set(map(type, given))
    if kinds == {bytes}:
        return '{"\\\\x' + '","\\\\x'.join(map(bytes.hex, given)) + '"}'
    if kinds == {str}:
        joined = '","'.join(given)
        if "\\" not in joined and joined.count('"') == 2 * (len(given) - 1):
            return f'{{"{joined}"}}'
    return "{" + ",".join(map(_element, given)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes | memoryview):
        return f'"\\\\x{value.hex()}"'
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
