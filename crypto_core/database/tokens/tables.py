"""The tables that hold tokens. The platform's six are built in; the database decides what is offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from crypto_core.database.tokens.decoys import Decoy
from crypto_core.values.references import TokenRef, id_parts, split_name, token_ref

READ_DIRECTLY = ("", "text", "varchar")
"""Types whose values are their own text; "" is an unknown type."""
CONVERTED = ("bytea", "json", "jsonb")
"""Types whose values have to be read first, row by row."""


IdKind = Literal["text", "integer", "uuid"]
_KINDS: dict[str, IdKind] = {
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "text": "text",
    "uuid": "uuid",
    "varchar": "text",
}


@dataclass(frozen=True, slots=True)
class TokenTable:
    """One table with tokens. `shown` are the columns that help an operator to recognise a row.

    `schema` is where it is, None for wherever the search path finds it, which then is `found_in`. As it is
    declared, it may be a pattern in which `*` stands for anything, and the table is meant in each schema
    that matches; once it is placed there, its `name` begins with the schema's (see `references.table_name`).
    `id_column` is what tells its rows apart, one column or several, in the order of the primary key's index;
    `id_kind` is what one column holds, as far as its type isn't known.
    `organisation` and `created` are those among them that say whose the row is and when it was made. The
    database says the rest: `types` are the columns' types in PostgreSQL (of a token column in a domain, what
    the domain is made of), `required` those never NULL, and `tests_json` whether it can test a text for JSON.
    `documents` are those token columns that are secrets columns: each value is a JSON object of several
    tokens. In any other token column each value is one token, whatever its type.
    `decoys` are rows that count as none and that nothing reads: see `decoys`.
    """

    name: str
    id_column: str | tuple[str, ...]
    id_kind: Literal["text", "integer"]
    token_columns: tuple[str, ...]
    shown: tuple[str, ...]
    provider: str
    organisation: str | None = "org_id"
    created: str | None = "created_at"
    documents: frozenset[str] = frozenset()
    schema: str | None = None
    found_in: str | None = None
    types: frozenset[tuple[str, str]] = field(default=frozenset(), compare=False)
    required: frozenset[str] = field(default=frozenset(), compare=False)
    tests_json: bool = field(default=True, compare=False)
    decoys: tuple[Decoy, ...] = field(default=(), compare=False, repr=False)

    @property
    def place(self) -> str | None:
        return self.schema or self.found_in

    @property
    def relation(self) -> str:
        return split_name(self.name)[1]

    @property
    def id_columns(self) -> tuple[str, ...]:
        return (self.id_column,) if isinstance(self.id_column, str) else self.id_column

    @property
    def has_composite_id(self) -> bool:
        return len(self.id_columns) > 1

    @property
    def has_number_id(self) -> bool:
        return not self.has_composite_id and self.kind_of(self.id_columns[0]) == "integer"

    def kind_of(self, id_column: str) -> IdKind:
        return _KINDS.get(self.type_of(id_column), "text" if self.has_composite_id else self.id_kind)

    def id_parts(self, row_id: str) -> list[str]:
        """Raises ValueError for too many or too few."""
        parts = id_parts(row_id) if self.has_composite_id else [row_id]
        if len(parts) != len(self.id_columns):
            raise ValueError(f"{len(parts)} parts, expected {len(self.id_columns)}")
        return parts

    def type_of(self, column: str) -> str:
        return dict(self.types).get(column, "")

    def is_foreign(self, column: str) -> bool:
        """Types that aren't PostgreSQL's own have their schema in front."""
        return "." in self.type_of(column)

    def is_text(self, column: str) -> bool:
        """True for a token column of a text type, whose every value is one token."""
        return column not in self.documents and self.type_of(column) not in CONVERTED

    def ref(self, column: str, identity: str) -> TokenRef:
        """By `TokenRef.identity`."""
        if column in self.documents:
            return token_ref(self.name, column, identity)
        return TokenRef(self.name, column, identity)


def placed_names(tables: Iterable[TokenTable]) -> dict[str, list[str | None]]:
    """The parameters of statements about tables."""
    every = tuple(tables)
    return {
        "names": [table.name for table in every],
        "schemas": [table.place for table in every],
        "tables": [table.relation for table in every],
    }


@dataclass(frozen=True, slots=True, order=True)
class TokenColumn:
    """A column that holds tokens, such as gh_connection.access_token."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"

    @classmethod
    def named(cls, name: str) -> TokenColumn:
        table, _, column = name.rpartition(".")
        return cls(table, column)

    def token(self, identity: str) -> TokenRef:
        return TokenRef(self.table, self.column, identity)


@dataclass(frozen=True, slots=True)
class Picked:
    """Tokens of one column as SQL: `ids` selects their identities, as "id"; `but` are left out."""

    column: TokenColumn
    ids: Any
    but: tuple[str, ...] = ()


PLATFORM_TABLES: tuple[TokenTable, ...] = (
    TokenTable(
        name="gh_connection",
        id_column="id",
        id_kind="text",
        token_columns=("access_token", "refresh_token"),
        shown=("org_id", "user_id", "token_type", "installation_id", "expires_at", "scopes", "created_at"),
        provider="github",
    ),
    TokenTable(
        name="jira_connection",
        id_column="id",
        id_kind="text",
        token_columns=("access_token", "refresh_token"),
        shown=("org_id", "user_id", "cloud_base_url", "token_type", "expires_at", "scopes", "created_at"),
        provider="jira",
    ),
    TokenTable(
        name="slack_connection",
        id_column="id",
        id_kind="integer",
        token_columns=("bot_token",),
        shown=("org_id", "team_id", "created_at", "updated_at"),
        provider="slack",
    ),
    TokenTable(
        name="confluence_connection",
        id_column="id",
        id_kind="integer",
        token_columns=("access_token",),
        shown=("org_id", "base_url", "email", "created_at", "updated_at"),
        provider="confluence",
    ),
    TokenTable(
        name="connectors",
        id_column="id",
        id_kind="integer",
        token_columns=("secret_json",),
        shown=("user_id", "provider", "name", "created_at"),
        provider="connector",
        organisation=None,
        documents=frozenset({"secret_json"}),
    ),
    TokenTable(
        name="mcp_servers",
        id_column="id",
        id_kind="integer",
        token_columns=("secret_json",),
        shown=("name", "url", "user_id", "org_id", "auth_type", "created_at"),
        provider="mcp",
        documents=frozenset({"secret_json"}),
    ),
)
