"""Token references: `table.column:row-id` names one token, `table:row-id` every token of a row.

In a secrets column, whose value is a JSON document, `table.column:row-id#member` names one of its tokens and
`table.column:row-id` all of them. A table that is described with its schema has it in front, as part of its
name: `schema.table.column:row-id`, and `schema.table.*:row-id` for a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidReferenceError

SECRETS_COLUMNS = frozenset({("connectors", "secret_json"), ("mcp_servers", "secret_json")})
SHORT = 20
"""Characters up to which no provider's token is."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_ODD = re.compile(r"^-|[^-\w]")
_EVERY_COLUMN = "*"


def table_name(schema: str | None, table: str) -> str:
    """Return the name of a table in references, lists and counts.

    Of a schema's name, letters, digits, `_` and `-` stand as they are. Every other character, and a `-` in
    front, is written as `%` and two hexadecimal digits for each byte of its UTF-8.
    """
    return table if schema is None else f"{_ODD.sub(_encoded, schema)}.{table}"


def split_name(name: str) -> tuple[str | None, str]:
    """Return the schema and the table of `table_name`; the schema is None for any other name."""
    written, _, table = name.rpartition(".")
    schema = unquote(written)
    return (schema, table) if schema and table and table_name(schema, table) == name else (None, name)


def _encoded(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class TokenRef:
    """One token. `row_id` is the id as text, whatever its type in the table: see `composite_id` too.

    `table` is the table's name, with its schema where it is described so: see `table_name`.
    `member` is the name of a token in a secrets column, None in any other column and for all of a row's.
    """

    table: str
    column: str
    row_id: str
    member: str | None = None

    @property
    def identity(self) -> str:
        """What tells the token from the others of its column: the row id, with `#` and the member behind it.

        There a `#` of the row id itself is written `%23`, and a `%` is `%25`.
        """
        if self.member is None:
            return self.row_id
        return f"{self.row_id.replace('%', '%25').replace('#', '%23')}#{self.member}"

    @property
    def row(self) -> TokenRef:
        """The same without its member: in a secrets column all tokens of the row."""
        return self if self.member is None else replace(self, member=None)

    def __lt__(self, other: TokenRef) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[str, str, str, bool, str]:
        return (self.table, self.column, self.row_id, self.member is not None, self.member or "")

    def __str__(self) -> str:
        """The reference as typed and shown, row id and member cleaned of control characters."""
        return f"{self.table}.{self.column}:{clean(self.identity, 200)}"


def token_ref(table: str, column: str, identity: str) -> TokenRef:
    """Return the token of a secrets column with this `TokenRef.identity`; without `#` all of the row's."""
    row_id, parted, member = identity.partition("#")
    row_id = row_id.replace("%23", "#").replace("%25", "%")
    return TokenRef(table, column, row_id, member if parted else None)


def composite_id(parts: Iterable[str]) -> str:
    """Return the row id of a table whose id has several columns: their values with `/` between them.

    A `/` of a value itself is written `%2F`, and a `%` is `%25`.
    """
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def id_parts(row_id: str) -> list[str]:
    return [part.replace("%2F", "/").replace("%25", "%") for part in row_id.split("/")]


@dataclass(frozen=True, slots=True)
class RowRef:
    """Every token column of one row."""

    table: str
    row_id: str

    def __str__(self) -> str:
        every = f".{_EVERY_COLUMN}" if "." in self.table else ""
        return f"{self.table}{every}:{clean(self.row_id, 200)}"


def parse_reference(text: str) -> TokenRef | RowRef:
    """Return the reference that `text` names. Raises InvalidReferenceError if it is neither form.

    Of the secrets columns only the platform's are known here; of others all behind the colon is taken for the
    row id, which the catalogue tells apart.
    """
    place, _, row_id = text.partition(":")
    table, parted, column = place.rpartition(".")
    if not parted:
        table, column = place, _EVERY_COLUMN
    is_place = _NAME.fullmatch(split_name(table)[1]) and (column == _EVERY_COLUMN or _NAME.fullmatch(column))
    if not (is_place and row_id):
        # Whoever pastes a token here must not find it in an error; none is short or has a colon.
        shown = f": {clean(text, 80)!r}" if ":" in text or len(text) <= SHORT else ""
        raise InvalidReferenceError(
            f"Not a token reference{shown}.",
            remedy="Write table.column:row-id, such as gh_connection.access_token:gh-42, or table:row-id; in "
            "a secrets column table.column:row-id#member. A table that is described with its schema is "
            "schema.table, and all of a row there schema.table.*:row-id.",
        )
    if column == _EVERY_COLUMN:
        return RowRef(table, row_id)
    if (split_name(table)[1], column) in SECRETS_COLUMNS:
        return token_ref(table, column, row_id)
    return TokenRef(table, column, row_id)
