"""Which of the known token columns this database really has, and may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Engine, text

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import VERSION_NUMBER
from crypto_core.database.tokens.hidden_rows import hidden_rows
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenColumn, TokenTable
from crypto_core.errors import InvalidReferenceError
from crypto_core.references import RowRef, TokenRef
from crypto_core.text.cleaning import CleanText, clean


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A token column that is there but can't be read; `grant` is the statement that would allow it."""

    column: TokenColumn
    grant: str


@dataclass(frozen=True, slots=True)
class Unidentified:
    """A token column whose rows the id can't tell apart, so that no row could be written without another."""

    column: TokenColumn
    id_column: str

    def __str__(self) -> str:
        table = self.column.table
        return (
            f"{self.column} is not offered: {table}.{self.id_column} may be NULL or occur twice. Needed: a "
            f"primary key or a unique index on {self.id_column} alone, and NOT NULL."
        )


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A token column of a type in which tokens can't be read."""

    column: TokenColumn
    type: CleanText

    def __str__(self) -> str:
        return (
            f"{self.column} is not offered: its type is {self.type}, and tokens are read from text, varchar, "
            "char, bytea, json and jsonb."
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables as this database has them, narrowed to columns that are there and readable."""

    tables: tuple[TokenTable, ...]
    unreadable: tuple[Unreadable, ...]
    unwritable: Mapping[TokenColumn, str]
    """Columns that can't be written, each with the statement that would allow it."""
    unidentified: tuple[Unidentified, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    hidden: tuple[str, ...] = ()
    """Why rows may be missing in what is read of these tables; see `hidden_rows`."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What can't be seen, one sentence each: columns that can't be used, none at all, hidden rows."""
        if not (self.tables or self.unreadable or self.unusable):
            nothing = "No token table was found in this database, on the role's search path."
            none = f"{nothing} Check DATABASE_URL, or describe the tables in the settings file."
            return tuple(clean(gap, 1_000) for gap in (none, *self.hidden))
        unreadable = (f"{u.column} can't be read. Needed: {u.grant}" for u in self.unreadable)
        return tuple(clean(gap, 1_000) for gap in (*unreadable, *self.unusable, *self.hidden))

    @property
    def unusable(self) -> tuple[Unidentified | Unsupported, ...]:
        """Readable columns that aren't offered, each saying why."""
        return (*self.unidentified, *self.unsupported)

    @property
    def columns(self) -> tuple[TokenColumn, ...]:
        """All readable token columns, in the order in which they are shown."""
        return tuple(TokenColumn(t.name, c) for t in self.tables for c in t.token_columns)

    def table(self, name: str) -> TokenTable:
        """Return a table. Raises InvalidReferenceError, naming the tables that there are."""
        for table in self.tables:
            if table.name == name:
                return table
        for unreadable in self.unreadable:
            if unreadable.column.table == name:
                raise InvalidReferenceError(
                    f"Table {name} can't be read by this database role.", remedy=f"Needed: {unreadable.grant}"
                )
        for unusable in self.unusable:
            if unusable.column.table == name:
                raise InvalidReferenceError(str(unusable))
        names = ", ".join(t.name for t in self.tables) or "none"
        raise InvalidReferenceError(
            f"There is no token table {name!r}.", remedy=f"Token tables here: {names}."
        )

    def references(self, reference: TokenRef | RowRef) -> tuple[TokenRef, ...]:
        """Return the token references that `reference` means. Raises InvalidReferenceError.

        One without a member in a secrets column means all of the row's there.
        """
        if not _storable(reference.row_id):
            raise InvalidReferenceError(f"{reference}: no row id holds such characters.")
        table = self.table(reference.table)
        if isinstance(reference, TokenRef) and reference.column in table.documents:
            if reference.member is None:
                reference = table.ref(reference.column, reference.row_id)
        elif isinstance(reference, TokenRef) and reference.member is not None:
            reference = TokenRef(reference.table, reference.column, reference.identity)
        if table.id_kind == "integer" and not _is_integer(reference.row_id):
            raise InvalidReferenceError(
                f"{reference}: the ids of {table.name} are whole numbers.", remedy="Check the reference."
            )
        if table.id_kind == "integer":
            # As PostgreSQL prints it: 042 is 42.
            reference = replace(reference, row_id=str(int(reference.row_id)))
        if isinstance(reference, RowRef):
            return tuple(TokenRef(table.name, c, reference.row_id) for c in table.token_columns)
        if reference.column not in table.token_columns:
            raise InvalidReferenceError(
                f"{reference}: {table.name} has no readable token column {reference.column!r}.",
                remedy=f"Token columns: {', '.join(table.token_columns)}.",
            )
        return (reference,)


class LiveCatalogue:
    """The catalogue of one database, read at first use and kept until `refresh`. Thread-safe."""

    def __init__(self, engine: Engine, tables: Iterable[TokenTable] = PLATFORM_TABLES) -> None:
        self.engine = engine
        self.declared = tuple({table.name: table for table in tables}.values())
        """The tables that are asked for, whether they are there or not."""
        self._known: Catalogue | None = None

    def __call__(self) -> Catalogue:
        """Return the catalogue. Raises DatabaseError."""
        return self._known or self.refresh()

    def refresh(self) -> Catalogue:
        """Ask the database again. Raises DatabaseError."""
        self._known = read_catalogue(self.engine, self.declared)
        return self._known


def read_catalogue(engine: Engine, tables: Iterable[TokenTable] = PLATFORM_TABLES) -> Catalogue:
    """Return what this database offers of `tables`; of two with one name, the later. Raises DatabaseError."""
    readable: list[TokenTable] = []
    unreadable: list[Unreadable] = []
    unwritable: dict[TokenColumn, str] = {}
    unidentified: list[Unidentified] = []
    unsupported: list[Unsupported] = []
    declared = {t.name: t for t in tables}.values()
    with connected(engine) as connection:
        hidden = hidden_rows(connection, declared)
        tests_json = int(connection.scalar(VERSION_NUMBER) or 0) >= JSON_TESTS
        for table in declared:
            found = {row.attname: row for row in connection.execute(_COLUMNS, {"table": table.name}).all()}
            present = [c for c in table.token_columns if c in found]
            identifiable = table.id_column in found and found[table.id_column].may_read
            may = [c for c in present if identifiable and found[c].may_read]
            for column in present:
                quoted, to = found[column].quoted, found[column].to_role
                if column not in may:
                    row_id = found[table.id_column].quoted if table.id_column in found else table.id_column
                    grant = f"GRANT SELECT ({row_id}, {quoted}) {to}"
                    if found[column].refused:
                        grant = f"ALTER ROLE {found[column].role} BYPASSRLS"
                    unreadable.append(Unreadable(TokenColumn(table.name, column), grant))
                if not found[column].may_write:
                    unwritable[TokenColumn(table.name, column)] = f"GRANT UPDATE ({quoted}) {to}"
            for column in [c for c in may if not found[c].holds_tokens]:
                named = clean(found[column].type_text, 100)
                unsupported.append(Unsupported(TokenColumn(table.name, column), named))
                may.remove(column)
            if may and not found[table.id_column].identifies:
                unidentified += [Unidentified(TokenColumn(table.name, c), table.id_column) for c in may]
            elif may:
                shown = tuple(c for c in table.shown if c in found and found[c].may_read)
                dated = [c for c in shown if c == table.created and found[c].is_time]
                readable.append(
                    replace(
                        table,
                        token_columns=tuple(may),
                        shown=shown,
                        organisation=table.organisation if table.organisation in shown else None,
                        created=dated[0] if dated else None,
                        types=frozenset(
                            [(c, found[c].type_name) for c in (table.id_column, *shown)]
                            + [(c, found[c].base_name) for c in may]
                        ),
                        tests_json=tests_json,
                        required=frozenset(c for c in shown if found[c].required),
                    )
                )
    return Catalogue(
        tuple(readable), tuple(unreadable), unwritable, tuple(unidentified), tuple(unsupported), hidden
    )


JSON_TESTS = 160_000
"""PostgreSQL tests a text for JSON from this version on."""

_COLUMNS = text(
    """
    SELECT a.attname,
           quote_ident(a.attname) AS quoted,
           format('ON %I TO %I', CAST(:table AS text), current_user) AS to_role,
           t.typname AS type_name, format_type(t.oid, NULL) AS type_text, base.typname AS base_name,
           base.typcategory = 'S' OR base.oid IN ('bytea'::regtype, 'json'::regtype, 'jsonb'::regtype)
               AS holds_tokens,
           a.attnotnull AS required,
           a.attnotnull AND EXISTS (
               SELECT FROM pg_index i
               WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                     AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS identifies,
           a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) AS is_time,
           quote_ident(current_user) AS role,
           row_security_active(a.attrelid) AND current_setting('row_security') = 'off' AS refused,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT')
               AND NOT (row_security_active(a.attrelid) AND current_setting('row_security') = 'off')
               AS may_read,
           has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_write
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid, LATERAL (
        WITH RECURSIVE made AS (
            SELECT t.oid AS type
            UNION ALL SELECT d.typbasetype FROM made JOIN pg_type d ON d.oid = made.type AND d.typtype = 'd')
        SELECT b.* FROM made JOIN pg_type b ON b.oid = made.type AND b.typtype <> 'd') AS base
    WHERE a.attrelid = to_regclass(quote_ident(:table)) AND a.attnum > 0 AND NOT a.attisdropped
    """
)


def _storable(text_: str) -> bool:
    """False for NUL and lone surrogates, which no text in PostgreSQL can hold."""
    return "\x00" not in text_ and not any("\ud800" <= c <= "\udfff" for c in text_)


def _is_integer(text_: str) -> bool:
    return text_.isascii() and text_.removeprefix("-").isdigit() and len(text_) <= 19
