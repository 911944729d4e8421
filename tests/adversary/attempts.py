"""What a database role may do, tried for real against everything that the catalogue names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

REFUSED = "42501"
READERS_LOCK = "LOCK as readers"
"""The lock that every reader takes: it holds up nobody but who changes the table's shape."""

_COLUMNS = text(
    """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS place, quote_ident(a.attname) AS column,
           a.attgenerated <> '' AS computed, a.attidentity <> '' AS numbered,
           format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
           coalesce(array_position(p.conkey::int[], a.attnum::int), 0) AS key_part,
           EXISTS (
               SELECT FROM pg_constraint f
               WHERE f.conrelid = c.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey)
           ) AS refers
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    ORDER BY 1, 2, a.attnum
    """
)
_FUNCTIONS = text(
    """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) AS name,
           p.oid::regprocedure::text AS signature,
           p.prorettype = 'trigger'::regtype AS of_a_trigger,
           has_function_privilege(p.oid, 'EXECUTE') AS may
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 2
    """
)
_SEQUENCES = text(
    """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
    """
)
_SCHEMAS = text(
    "SELECT quote_ident(nspname) FROM pg_namespace"
    " WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)' ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    computed: bool
    numbered: bool
    required: bool
    key_part: int
    refers: bool


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a role may do: with a table, a function, a sequence, a schema, the database."""

    action: str
    place: str


def tables_of(engine: Engine) -> dict[str, tuple[Column, ...]]:
    """Return the columns of every table, view and foreign table, by its name with its schema."""
    found: dict[str, list[Column]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(_COLUMNS):
            column = Column(
                row.column, row.type, row.computed, row.numbered, row.required, row.key_part, row.refers
            )
            found[row.place].append(column)
    return {place: tuple(columns) for place, columns in found.items()}


def deeds_of(engine: Engine, tables: Mapping[str, tuple[Column, ...]]) -> dict[Deed, frozenset[str]]:
    """Return what the engine's role may do, and for INSERT and UPDATE of which columns. Changes nothing."""
    found: dict[Deed, frozenset[str]] = {}
    with engine.connect() as connection:
        for place, columns in tables.items():
            for action, of in _of_columns(place, columns).items():
                may = frozenset(name for name, statement in of.items() if _may(connection, statement))
                if may:
                    found[Deed(action, place)] = may
            for action, statements in _of_table(place).items():
                if any(_may(connection, statement) for statement in statements):
                    found[Deed(action, place)] = frozenset()
        for row in connection.execute(_FUNCTIONS).all():
            # PostgreSQL itself lets nobody call a trigger's function.
            if row.may and not row.of_a_trigger:
                found[Deed("EXECUTE", row.name)] = frozenset()
            if _may(connection, f"ALTER FUNCTION {row.signature} COST 7"):
                found[Deed("ALTER", row.name)] = frozenset()
        for name in connection.scalars(_SEQUENCES).all():
            for statement in (f"SELECT nextval('{name}')", f"SELECT setval('{name}', 7)"):
                if _may(connection, statement):
                    found[Deed("count", name)] = frozenset()
        for name in connection.scalars(_SCHEMAS).all():
            if _may(connection, f"CREATE TABLE {name}.adversary (x int)"):
                found[Deed("CREATE", f"schema {name}")] = frozenset()
        for action, statement in _OF_DATABASE.items():
            if _may(connection, statement):
                found[Deed(action, "the database")] = frozenset()
        connection.rollback()
    return found


_OF_DATABASE = {
    "CREATE": "CREATE SCHEMA adversary",
    "TEMPORARY": "CREATE TEMPORARY TABLE adversary (x int)",
    "advisory locks": "SELECT pg_advisory_xact_lock(7)",
    "large objects": "SELECT lo_create(0)",
    "triggers off": "SET LOCAL session_replication_role = replica",
    "another role": "SET LOCAL SESSION AUTHORIZATION operator",
}


_INSERTING = "INSERT INTO {place} ({name}) OVERRIDING SYSTEM VALUE SELECT NULL::{type} WHERE false"
SUPPRESSING = (
    "CREATE TRIGGER adversary BEFORE UPDATE ON {place} FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
)


def _of_columns(place: str, columns: Iterable[Column]) -> dict[str, dict[str, str]]:
    own = [column for column in columns if not column.computed]
    return {
        "INSERT": {c.name: _INSERTING.format(place=place, name=c.name, type=c.type) for c in own},
        "UPDATE": {
            c.name: f"UPDATE {place} SET {c.name} = {'DEFAULT' if c.numbered else 'NULL'} WHERE false"
            for c in own
        },
    }


def _of_table(place: str) -> dict[str, tuple[str, ...]]:
    return {
        "DELETE": (f"DELETE FROM {place} WHERE false",),
        "TRUNCATE": (f"TRUNCATE {place} CASCADE",),
        READERS_LOCK: (f"LOCK TABLE {place} IN ACCESS SHARE MODE",),
        "LOCK": tuple(
            f"LOCK TABLE {place} IN {mode} MODE"
            for mode in ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
        ),
        "TRIGGER": (SUPPRESSING.format(place=place),),
        "RULE": (f"CREATE RULE adversary AS ON UPDATE TO {place} DO ALSO NOTIFY adversary",),
        "COMMENT": (f"COMMENT ON TABLE {place} IS 'adversary'",),
        "ALTER": (f"ALTER TABLE {place} ADD COLUMN adversary int", f"CREATE INDEX ON {place} ((1))"),
        "DROP": (f"DROP TABLE {place} CASCADE",),
        "policies": (f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY",),
    }


def _may(connection: Connection, statement: str) -> bool:
    """Whether it isn't for want of a privilege that a statement fails, if it does. Leaves nothing behind."""
    nested = connection.begin_nested()
    try:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    except DBAPIError as error:
        code = getattr(error.orig, "pgcode", "")
        # To own it is a privilege, too, that PostgreSQL names in its own way.
        return code != REFUSED
    else:
        return True
    finally:
        nested.rollback()


def other_value(column: Column) -> str:
    """An expression for another value than a row has in a column."""
    name, kind = column.name, column.type
    match kind:
        case "uuid":
            return "gen_random_uuid()"
        case "boolean":
            return f"NOT coalesce({name}, false)"
        case "bytea":
            return f"coalesce({name}, ''::bytea) || '\\x07'::bytea"
        case "jsonb" | "json":
            return f"""CAST('{{"adversary": "was here"}}' AS {kind})"""
        case "integer" | "bigint" | "double precision":
            return f"coalesce({name}, 0) + 1"
        case _ if kind.startswith("timestamp"):
            return f"coalesce({name}, now()) + interval '1 hour'"
        case _ if kind.endswith("[]"):
            return f"CAST(ARRAY['adversary'] AS {kind})"
        case _ if kind.startswith(("text", "character")):
            return f"CAST('adversary' AS {kind})" if "(" in kind else f"coalesce({name}, '') || 'adversary'"
    raise AssertionError(f"How is a {kind} changed?")
