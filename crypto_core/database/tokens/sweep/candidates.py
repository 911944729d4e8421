"""Every column of the database in which a token could be, which of them the role may read, and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from sqlalchemy import Connection

from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import OWN_TABLES, SCHEMA
from crypto_core.database.tokens.placed_tables import placed_tables
from crypto_core.database.tokens.sweep.results import declared_name, declared_table
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, listed

NAMED = 20


class Spelling(StrEnum):
    TEXT = "text"
    """By a cast: types of PostgreSQL's own, such as text, JSON and arrays of them."""
    BYTES = "bytes"
    """ASCII stays, anything else is escaped."""
    LISTS_OF_BYTES = "lists of bytes"
    PRINTED = "printed"
    """As PostgreSQL prints them: a type's owner may have made a cast of it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    name: str
    quoted: str
    type: str
    spelling: Spelling
    readable: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partition, foreign table or materialised view with the columns that can hold a token.

    `root` is the partitioned table that a partition belongs to, itself for any other. `usable` is False where
    the role may not use the schema. `filtered` says that row-level security hides rows from the role.
    `rows` is PostgreSQL's estimate, none where it isn't positive.
    """

    oid: int
    kind: str
    schema: str
    name: str
    quoted: str
    quoted_schema: str
    root: int
    usable: bool
    filtered: bool
    rows: float
    columns: tuple[Candidate, ...]

    @property
    def foreign(self) -> bool:
        return self.kind == "f"

    @property
    def partitioned(self) -> bool:
        return self.kind == "p"

    @property
    def place(self) -> str:
        return clean(f"{self.schema}.{self.name}", 200)

    def readable(self) -> tuple[Candidate, ...]:
        return tuple(column for column in self.columns if column.readable)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is to be read, and what can't be: `unread` are tables, `unseen` sentences about them and others.

    `reported` is the table to name for one: for a partition the table that it belongs to.
    """

    relations: tuple[Relation, ...]
    reported: Mapping[int, Relation]
    unseen: tuple[str, ...]
    unread: tuple[str, ...]


def read_candidates(connection: Connection, declared: frozenset[str], shown: frozenset[str]) -> Candidates:
    """Return every place that can hold a token and is not declared; see `declared_names`.

    Columns in `shown` are known to hold none: that one of them can't be read hides nothing.
    """
    every = {relation.oid: relation for relation in _relations(connection)}
    parents = _parents(connection)
    to_read: list[Relation] = []
    hidden: list[Relation] = []
    through: dict[int, set[str]] = {}
    for relation in every.values():
        if relation.partitioned:
            continue
        above = [every[oid] for oid in (relation.oid, *_ancestors(relation.oid, parents)) if oid in every]
        known = {
            column.name
            for column in relation.columns
            if any(declared_name(one.schema, one.name, column.name) in declared for one in above)
        }
        left = tuple(column for column in relation.columns if column.name not in known)
        readable = tuple(column for column in left if column.readable)
        if readable:
            to_read.append(replace(relation, columns=readable))
        unreadable = []
        for column in left:
            if column.readable or declared_name(relation.schema, relation.name, column.name) in shown:
                continue
            root = every.get(relation.root, relation)
            if any(column.name == other.name for other in root.readable()):
                through.setdefault(root.oid, set()).add(column.name)
            else:
                unreadable.append(column)
        if unreadable:
            hidden.append(replace(relation, columns=tuple(unreadable)))
    for oid, names in through.items():
        root = every[oid]
        to_read.append(replace(root, columns=tuple(c for c in root.columns if c.name in names)))
    # Of token tables, the catalogue says so.
    told = {declared_table(name) for name in declared}
    filtered = [one for one in to_read if one.filtered and (one.schema, one.name) not in told]
    role = str(connection.scalar(text("SELECT quote_ident(current_user)")))
    unseen = (*_unreadable(hidden, role), *_filtered(filtered), *_large_objects(connection))
    reported = {relation.oid: every.get(relation.root, relation) for relation in every.values()}
    unread = tuple(relation.place for relation in (*hidden, *filtered))
    return Candidates(tuple(to_read), reported, unseen, unread)


def declared_names(
    connection: Connection, tables: Iterable[TokenTable]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of these tables' token columns, wherever the tables are, and of those shown.

    Raises DatabaseError.
    """
    every = placed_tables(connection, tables).tables
    there = [(t.place, t) for t in every if t.place]
    return (
        frozenset(declared_name(s, t.relation, column) for s, t in there for column in t.token_columns),
        frozenset(
            declared_name(s, t.relation, column) for s, t in there for column in (*t.id_columns, *t.shown)
        ),
    )


def _relations(connection: Connection) -> Iterator[Relation]:
    rows = connection.execute(_COLUMNS, {"own_schema": SCHEMA, "own_tables": OWN_TABLES}).all()
    for _, group in groupby(rows, key=lambda row: row.oid):
        columns = list(group)
        first = columns[0]
        yield Relation(
            oid=first.oid,
            kind=first.relkind,
            schema=first.nspname,
            name=first.relname,
            quoted=first.quoted,
            quoted_schema=first.quoted_schema,
            root=first.root,
            usable=first.usable,
            filtered=first.filtered,
            rows=first.rows,
            columns=tuple(
                Candidate(c.attname, c.quoted_column, c.type, Spelling(c.spelling), c.usable and c.granted)
                for c in columns
            ),
        )


def _parents(connection: Connection) -> dict[int, list[int]]:
    parents: dict[int, list[int]] = {}
    for child, parent in connection.execute(_INHERITED):
        parents.setdefault(child, []).append(parent)
    return parents


def _ancestors(oid: int, parents: Mapping[int, list[int]]) -> Iterator[int]:
    for parent in parents.get(oid, ()):
        yield parent
        yield from _ancestors(parent, parents)


def _unreadable(hidden: Iterable[Relation], role: str) -> Iterator[str]:
    """A sentence for each schema."""
    by_schema: dict[str, list[Relation]] = {}
    for relation in hidden:
        by_schema.setdefault(relation.schema, []).append(relation)
    for schema, relations in sorted(by_schema.items()):
        names = listed([relation.place for relation in relations], NAMED)
        usage = (
            "" if relations[0].usable else f"GRANT USAGE ON SCHEMA {relations[0].quoted_schema} TO {role}; "
        )
        grant = f"GRANT SELECT ON {relations[0].quoted}{', …' if len(relations) > 1 else ''} TO {role}"
        columns = sum(len(relation.columns) for relation in relations)
        yield (
            f"{counted(columns, 'column')} of {counted(len(relations), 'table')} in schema "
            f"{clean(schema, 70)} can't be read, so whether tokens are in them is not known: {names}. "
            f"Needed: {usage}{grant}"
        )


def _filtered(relations: Iterable[Relation]) -> Iterator[str]:
    names = [relation.place for relation in relations]
    if names:
        yield (
            f"Row-level security hides rows from this role in {listed(names, NAMED)}, so whether "
            "tokens are in them is not known. Needed: a role with BYPASSRLS"
        )


def _large_objects(connection: Connection) -> Iterator[str]:
    number = connection.scalar(text("SELECT count(*) FROM pg_largeobject_metadata")) or 0
    if number:
        yield f"{counted(number, 'large object')} can't be searched: whether tokens are in them is not known."


_SYSTEM = (
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'"
)

_COLUMNS = text(
    f"""
    WITH RECURSIVE relations AS MATERIALIZED (
        SELECT c.oid, c.relkind, n.nspname, c.relname,
               greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)) AS rows,
               format('%I.%I', n.nspname, c.relname) AS quoted, quote_ident(n.nspname) AS quoted_schema,
               CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid ELSE c.oid END AS root,
               has_schema_privilege(n.oid, 'USAGE') AS usable,
               c.relrowsecurity AND row_security_active(c.oid) AS filtered
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relispopulated AND {_SYSTEM}
              AND NOT (n.nspname = :own_schema AND c.relname = ANY (:own_tables))
    ), attributes AS MATERIALIZED (
        SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod
        FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped
    ), spelt AS (
        SELECT DISTINCT atttypid AS type, atttypid AS base, false AS listed FROM attributes
        UNION
        SELECT s.type, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,
               s.listed OR t.typtype <> 'd'
        FROM spelt s JOIN pg_type t ON t.oid = s.base
        WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
    ), able AS (
        SELECT s.type, CASE WHEN t.oid <> 'bytea'::regtype
                                 AND (SELECT typtype <> 'd' AND typnamespace <> 'pg_catalog'::regnamespace
                                      FROM pg_type WHERE oid = s.type) THEN 'printed'
                            WHEN t.oid <> 'bytea'::regtype AND t.typnamespace <> 'pg_catalog'::regnamespace
                            THEN 'printed'
                            WHEN t.oid <> 'bytea'::regtype THEN 'text'
                            WHEN s.listed THEN 'lists of bytes' ELSE 'bytes' END AS spelling
        FROM spelt s JOIN pg_type t ON t.oid = s.base
        WHERE t.typtype <> 'd' AND (
            t.typcategory IN ('S', 'C')
            OR (t.typcategory IN ('U', 'R') AND t.typnamespace <> 'pg_catalog'::regnamespace)
            OR t.oid IN ('bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype,
                         'jsonpath'::regtype, 'tsvector'::regtype))
    )
    SELECT r.*, a.attname, quote_ident(a.attname) AS quoted_column,
           format_type(a.atttypid, a.atttypmod) AS type, able.spelling,
           has_column_privilege(r.oid, a.attnum, 'SELECT') AS granted
    FROM relations r JOIN attributes a ON a.attrelid = r.oid JOIN able ON able.type = a.atttypid
    WHERE NOT (a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod BETWEEN 5 AND 17)
    ORDER BY r.nspname, r.relname, a.attnum
    """  # noqa: S608  # nothing in it is foreign
)
"""Columns of a type whose text could hold a token. Shorter ones than any token can't; 4 is the header's."""

_INHERITED = text("SELECT inhrelid::bigint, inhparent::bigint FROM pg_inherits")
