"""Which of the known token columns this database really has, and may read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from crypto_core.database.connection.engine import REACH, connected
from crypto_core.database.connection.transactions import POWERFUL
from crypto_core.database.dialect import VERSION_NUMBER, place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.attached_code import UPDATE, AttachedCode, attached_code, is_walled_off
from crypto_core.database.tokens.decoys import NO_DECOYS, Decoys, ReadDecoys, no_decoys
from crypto_core.database.tokens.placed_tables import NAMED, hidden_rows, placed_tables, view_columns
from crypto_core.database.tokens.tables import PLATFORM_TABLES, IdKind, TokenColumn, TokenTable, placed_names
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import listed
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.references import RowRef, TokenRef, composite_id
from crypto_core.values.typed_names import meant


@dataclass(frozen=True, slots=True)
class Unreadable:
    column: TokenColumn
    grant: CleanText


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A token column that isn't read: its type, its row's id or its table make it unreadable or unsafe.

    With `id_columns`, these can't tell its rows apart, so that none could be written without another.
    """

    column: TokenColumn
    reason: CleanText
    needed: str = ""
    id_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        needed = f" Needed: {self.needed}" if self.needed else ""
        return f"{self.column} is not offered: {self.reason}{needed}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables, narrowed to readable columns; what can't be used stands beside them."""

    tables: tuple[TokenTable, ...]
    unreadable: tuple[Unreadable, ...]
    unwritable: Mapping[TokenColumn, str]
    """With the statement that would allow it."""
    unsupported: tuple[Unsupported, ...] = ()
    missing: tuple[CleanText, ...] = ()
    """Declared schemas, tables and columns that aren't there, one sentence each."""
    hidden: tuple[str, ...] = ()
    decoys: Decoys = NO_DECOYS

    @property
    def gaps(self) -> tuple[str, ...]:
        """What can't be seen, one sentence each: columns that can't be used, none at all, hidden rows."""
        if not (self.tables or self.unreadable or self.unsupported):
            nothing = "No token table was found in this database, on the role's search path."
            none = f"{nothing} Check DATABASE_URL, or describe the tables in the settings file."
            return tuple(clean(gap, 1_000) for gap in (none, *self.missing, *self.hidden))
        unreadable = (f"{u.column} can't be read. Needed: {u.grant}" for u in self.unreadable)
        decoys = (self.decoys.unreadable,) if self.decoys.unreadable else ()
        gaps = (*unreadable, *self.unsupported, *self.missing, *self.hidden, *decoys)
        return tuple(clean(gap, 1_000) for gap in gaps)

    def why_nothing(self, reference: TokenRef | RowRef) -> str:
        """Return why nothing is read at a reference, to follow its name."""
        column = reference.column if isinstance(reference, TokenRef) else ""
        decoy = self.decoys.at(TokenRef(reference.table, column, reference.row_id))
        if decoy is not None:
            return f"it is a decoy of tripwire {decoy.tripwire}, which nothing opens."
        return "there is no such row, or it holds no token."

    def leaving_out(self, decoys: Decoys) -> Catalogue:
        tables = (replace(table, decoys=decoys.of_table(table.name)) for table in self.tables)
        return replace(self, tables=tuple(tables), decoys=decoys)

    @property
    def columns(self) -> tuple[TokenColumn, ...]:
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
        for unsupported in self.unsupported:
            if unsupported.column.table == name:
                raise InvalidReferenceError(str(unsupported))
        names = [t.name for t in self.tables]
        raise InvalidReferenceError(
            f"There is no token table {name!r}.",
            remedy=f"{meant(name, names)}Token tables here: {listed(names, NAMED) or 'none'}.",
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
        reference = replace(reference, row_id=_printed(table, reference))
        if isinstance(reference, RowRef):
            return tuple(TokenRef(table.name, c, reference.row_id) for c in table.token_columns)
        if reference.column not in table.token_columns:
            raise InvalidReferenceError(
                f"{reference}: {table.name} has no readable token column {reference.column!r}.",
                remedy=f"Token columns: {', '.join(table.token_columns)}.",
            )
        return (reference,)


class LiveCatalogue:
    """One database's catalogue, read at first use and kept until `refresh`. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        tables: Iterable[TokenTable] = PLATFORM_TABLES,
        *,
        decoys: ReadDecoys = no_decoys,
        agreed: Callable[[str], bool] = lambda agreement: False,
    ) -> None:
        """`decoys` reads what is left out, each time anew: it says itself how long it remembers.

        `agreed` says whether code of others is agreed to, by its `AttachedCode.agreement`.
        """
        self._agreed = agreed
        self.engine = engine
        self.decoys = decoys
        self.declared = tuple({(table.schema, table.name): table for table in tables}.values())
        """Whether they are there or not; see `placed_tables`."""
        self._known: Catalogue | None = None

    def __call__(self) -> Catalogue:
        """Return the catalogue. Raises DatabaseError."""
        known, decoys = self._known, self.decoys()
        if known is None:
            return self.refresh()
        if known.decoys is not decoys:
            self._known = known = known.leaving_out(decoys)
        return known

    def code_at(self, columns: Iterable[str], *, events: int = UPDATE) -> tuple[AttachedCode, ...]:
        """Return the code of others that runs when these columns are written. Raises DatabaseError."""
        names = {TokenColumn.named(name).table for name in columns}
        tables = [table for table in self().tables if table.name in names]
        with connected(self.engine) as connection:
            found = attached_code(connection, tables, events=events)
            walled = bool(found) and is_walled_off(connection)
        return tuple(replace(code, agreed=walled or self._agreed(code.agreement)) for code in found)

    def last(self) -> Catalogue:
        """Return the catalogue as it was returned last, without asking anybody. Raises DatabaseError."""
        return self._known or self.refresh()

    def refresh(self) -> Catalogue:
        """Ask the database again. Raises DatabaseError."""
        decoys, read = self.decoys(anew=True), read_catalogue(self.engine, self.declared)
        self._known = read.leaving_out(decoys) if decoys is not NO_DECOYS else read
        return self._known


def read_catalogue(engine: Engine, tables: Iterable[TokenTable] = PLATFORM_TABLES) -> Catalogue:
    """Return what this database offers of `tables`; see `placed_tables`. Raises DatabaseError."""
    readable: list[TokenTable] = []
    unreadable: list[Unreadable] = []
    unwritable: dict[TokenColumn, str] = {}
    unsupported: list[Unsupported] = []
    absent: dict[tuple[str, str], list[str]] = {}
    reach, views_allowed = engine.get_execution_options()[REACH], False
    with connected(engine) as connection:
        placed = placed_tables(connection, tables)
        hidden = hidden_rows(connection, placed.tables)
        tests_json = int(connection.scalar(VERSION_NUMBER) or 0) >= JSON_TESTS
        columns = _columns(connection, placed.tables)
        views = [t for t in placed.tables if any(c.kind == "v" for c in columns.get(t.name, {}).values())]
        shown_by = view_columns(connection, views) if views else {}
        for table in placed.tables:
            found = columns.get(table.name, {})
            for column in [c for c in table.token_columns if table.schema is not None and c not in found]:
                absent.setdefault((table.relation, column), []).append(table.name)
            present = [c for c in table.token_columns if c in found]
            identifiable = all(c in found and found[c].may_read for c in table.id_columns)
            may = [c for c in present if identifiable and found[c].may_read]
            for column in present:
                quoted, to = found[column].quoted, found[column].to_role
                if column not in may:
                    row_id = ", ".join(found[c].quoted if c in found else c for c in table.id_columns)
                    grant = f"{found[column].use}GRANT SELECT ({row_id}, {quoted}) {to}"
                    if found[column].refused:
                        grant = f"ALTER ROLE {found[column].role} BYPASSRLS"
                    unreadable.append(Unreadable(TokenColumn(table.name, column), clean(grant, 1_000)))
                if not found[column].may_write:
                    grant = f"GRANT UPDATE ({quoted}) {to}"
                    unwritable[TokenColumn(table.name, column)] = clean(grant, 1_000)
            for column in [c for c in may if not found[c].holds_tokens]:
                unsupported.append(Unsupported(TokenColumn(table.name, column), _type_reason(found[column])))
                may.remove(column)
            if may and not _identify(table.id_columns, shown_by.get(table.name, found)):
                unsupported += [_unidentified(table, c) for c in may]
            elif may and (unsafe := _unsafe(connection, table, found)):
                unsupported += [Unsupported(TokenColumn(table.name, c), unsafe[0], unsafe[1]) for c in may]
            elif may:
                views_allowed |= found[may[0]].kind == "v"
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
                            [(c, found[c].type_name) for c in shown]
                            + [(c, found[c].base_name) for c in (*table.id_columns, *may)]
                        ),
                        tests_json=tests_json,
                        required=frozenset(c for c in shown if found[c].required),
                    )
                )
    reach.views = views_allowed
    return Catalogue(
        tuple(readable),
        tuple(unreadable),
        unwritable,
        tuple(unsupported),
        (*placed.gaps, *_absent(absent)),
        hidden,
    )


def _absent(absent: Mapping[tuple[str, str], list[str]]) -> Iterator[CleanText]:
    """A sentence for each declared column that is missing in tables of a schema."""
    for (_, column), names in absent.items():
        yield clean(f"There is no column {column} in {listed(names, NAMED)}.", 1_000)


def _columns(connection: Connection, tables: Sequence[TokenTable]) -> dict[str, dict[str, Any]]:
    asked = placed_names(tables) | {"declared": [table.schema for table in tables]}
    columns: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_COLUMNS, asked):
        columns.setdefault(row.table_name, {})[row.attname] = row
    return columns


JSON_TESTS = 160_000
"""PostgreSQL tests a text for JSON from this version on."""


def _name(type_: str) -> str:
    """SQL for a type's name, with its schema unless it is PostgreSQL's own."""
    is_own = f"{type_}.typnamespace = 'pg_catalog'::regnamespace"
    place = f"(SELECT nspname FROM pg_namespace WHERE oid = {type_}.typnamespace)"  # noqa: S608
    return f"CASE WHEN {is_own} THEN {type_}.typname::text ELSE concat({place}, '.', {type_}.typname) END"


_COLUMNS = text(
    f"""
    SELECT asked.name AS table_name, a.attname,
           quote_ident(a.attname) AS quoted,
           concat('ON ', quote_ident(asked.schema_name) || '.', quote_ident(asked.table_name),
                  ' TO ', quote_ident(current_user)) AS to_role,
           CASE WHEN asked.schema_name IS NULL OR has_schema_privilege(c.relnamespace, 'USAGE') THEN ''
                ELSE format('GRANT USAGE ON SCHEMA %I TO %I; ', asked.schema_name, current_user) END AS use,
           {_name("t")} AS type_name, format_type(t.oid, NULL) AS type_text, {_name("base")} AS base_name,
           base.typnamespace <> 'pg_catalog'::regnamespace AS is_foreign,
           base.typcategory = 'S' OR base.oid IN ('bytea'::regtype, 'json'::regtype, 'jsonb'::regtype)
               AS holds_tokens,
           a.attnotnull AS required, CAST(c.relkind AS text) AS kind,
           {POWERFUL} AS powerful, row_security_active(c.oid) AS has_policies,
           (SELECT coalesce(json_agg((
                SELECT json_agg(k.attname) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS part(number)
                LEFT JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = part.number)), '[]')
            FROM pg_index i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                  AND a.attnum = ANY (i.indkey)) AS unique_keys,
           a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) AS is_time,
           quote_ident(current_user) AS role,
           row_security_active(a.attrelid) AND current_setting('row_security') = 'off' AS refused,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT')
               AND NOT (row_security_active(a.attrelid) AND current_setting('row_security') = 'off')
               AND (asked.schema_name IS NULL OR has_schema_privilege(c.relnamespace, 'USAGE')) AS may_read,
           has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_write
    FROM unnest(CAST(:names AS text[]), CAST(:declared AS text[]), CAST(:schemas AS text[]),
                CAST(:tables AS text[])) AS asked(name, schema_name, place, table_name)
    JOIN pg_class c ON c.oid = {place_oid("asked.place", "asked.table_name")}
    JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid, LATERAL (
        WITH RECURSIVE made AS (
            SELECT t.oid AS type
            UNION ALL SELECT d.typbasetype FROM made JOIN pg_type d ON d.oid = made.type AND d.typtype = 'd')
        SELECT b.* FROM made JOIN pg_type b ON b.oid = made.type AND b.typtype <> 'd') AS base
    WHERE a.attnum > 0 AND NOT a.attisdropped
    """  # noqa: S608  # nothing in it is foreign
)


def _type_reason(column: Any) -> CleanText:
    read = "text, varchar, char, bytea, json and jsonb"
    return clean(f"its type is {column.type_text}, and tokens are read from {read}.", 300)


def _unidentified(table: TokenTable, column: str) -> Unsupported:
    ids = table.id_columns
    row_id = f"{table.name}.{ids[0]}" if len(ids) == 1 else f"{table.name} ({', '.join(ids)})"
    needed = f"a primary key or a unique index on {' and '.join(ids)} alone, and NOT NULL."
    reason = clean(f"{row_id} may be NULL or occur twice.", 1_000)
    return Unsupported(TokenColumn(table.name, column), reason, needed, ids)


def _unsafe(connection: Connection, table: TokenTable, found: Mapping[str, Any]) -> tuple[CleanText, ...]:
    """Why to read a table would run code of others, and what is needed; nothing where it wouldn't."""
    some = found[table.id_columns[0]]
    kind = {"v": "a view", "f": "a foreign table"}.get(some.kind, "under row-level security")
    if some.powerful and (some.kind in ("v", "f") or some.has_policies):
        said = f"{table.name} is {kind}, and role {some.role} has rights on the server's own machine."
        return clean(said, 300), clean("an ordinary login; keydeck grants inspector prints its grants.", 100)
    attached = attached_code(connection, [table], events=0) if some.kind == "v" else ()
    if code := [str(one) for one in attached if one.kind in _RUN_BY_READING]:
        said = f"{table.name} is a view that runs code of others: {', '.join(code[:NAMED])}."
        return clean(said, 300), clean("a view without it, or the table behind it in the settings file.", 100)
    foreign = [c for c in table.id_columns if found[c].is_foreign]
    if foreign:
        type_ = f"the type of {table.name}.{foreign[0]} is {found[foreign[0]].type_text}"
        said = f"{type_}, which isn't PostgreSQL's own: comparing ids would run code of its owner."
        return clean(said, 300), clean("an id of another type.", 100)
    return ()


_RUN_BY_READING = ("view", "policy", "type", "cast", "foreign table")
"""Kinds of attached code that reading a view may run."""


def _identify(columns: Iterable[str], found: Mapping[str, Any]) -> bool:
    """True if columns of a table are never NULL, and no two rows have the same values in them.

    In a unique index, what is computed has no name.
    """
    wanted = set(columns)
    keys = (set(key) for column in wanted if column in found for key in found[column].unique_keys)
    required = all(column in found and found[column].required for column in wanted)
    return required and any(key <= wanted for key in keys)


def _printed(table: TokenTable, reference: TokenRef | RowRef) -> str:
    """The row id of a reference as PostgreSQL prints it: 042 is 42. Raises InvalidReferenceError."""
    try:
        parts = table.id_parts(reference.row_id)
    except ValueError as error:
        names = "/".join(table.id_columns)
        raise InvalidReferenceError(
            f"{reference}: an id of {table.name} has {len(table.id_columns)} parts.",
            remedy=f"Write {names} as the row id; a / within one of them is %2F, a % is %25.",
        ) from error
    printed = []
    for name, part in zip(table.id_columns, parts, strict=True):
        kind = table.kind_of(name)
        try:
            is_bigint = kind == "integer" and table.has_composite_id
            printed.append(_bigint(part) if is_bigint else _PRINTED[kind](part))
        except ValueError as error:
            whose = f"the values of {name} in" if table.has_composite_id else "the ids of"
            are = "whole numbers" if kind == "integer" else "UUIDs"
            raise InvalidReferenceError(
                f"{reference}: {whose} {table.name} are {are}.", remedy="Check the reference."
            ) from error
    return composite_id(printed) if table.has_composite_id else printed[0]


def _storable(text_: str) -> bool:
    """False for NUL and lone surrogates, which no text in PostgreSQL can hold."""
    return "\x00" not in text_ and not any("\ud800" <= c <= "\udfff" for c in text_)


def _integer(text_: str) -> str:
    if not (text_.isascii() and text_.removeprefix("-").isdigit() and len(text_) <= 19):
        raise ValueError("no whole number")
    return str(int(text_))


def _bigint(text_: str) -> str:
    """A whole number that can be cast to bigint. Raises ValueError for anything else."""
    number = _integer(text_)
    if not -(2**63) <= int(number) < 2**63:
        raise ValueError("no bigint")
    return number


_PRINTED: Mapping[IdKind, Callable[[str], str]] = {
    "integer": _integer,
    "text": str,
    "uuid": lambda text_: str(UUID(text_)),
}
