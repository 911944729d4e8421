"""The SQL privileges that a role needs, as statements for a DBA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import FUNCTIONS, SCHEMA, metadata
from crypto_core.database.tokens.placed_tables import found_on_path
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.guard.operations import READ, KeydeckRole, of_role, own_tables

_PLACE = text(
    f"""
    SELECT quote_ident(n.nspname) AS schema, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")}
    """  # noqa: S608  # nothing in it is foreign
)
_QUOTED = text("SELECT quote_ident(:name)")


def role_grants(
    engine: Engine, tables: Iterable[TokenTable], role: KeydeckRole, grantee: str
) -> tuple[str, ...]:
    """Return the statements that let the database role `grantee` work as `role`. Raises DatabaseError.

    Tables of the platform are named with their schema, and no column is granted that Keydeck does not use.
    """
    writes = any(operation.writes_tokens for operation in of_role(role))
    reads = KeydeckRole.INSPECTOR in role.includes
    with connected(engine) as connection:

        def quoted(names: Iterable[str]) -> str:
            return ", ".join(str(connection.scalar(_QUOTED, {"name": name})) for name in names)

        def statements() -> Iterator[str]:
            to = f"TO {quoted([grantee])};"
            places = {
                t: connection.execute(_PLACE, {"schema": t.place, "table": t.relation}).one()
                for t in (found_on_path(connection, tables) if reads else ())
            }
            for schema in dict.fromkeys(place.schema for place in places.values()):
                yield f"GRANT USAGE ON SCHEMA {schema} {to}"
            for table, place in places.items():
                read = dict.fromkeys((*table.id_columns, *table.token_columns, *table.shown))
                yield f"GRANT SELECT ({quoted(read)}) ON {place.name} {to}"
                if writes:
                    yield f"GRANT UPDATE ({quoted(table.token_columns)}) ON {place.name} {to}"
            yield f"GRANT USAGE ON SCHEMA {SCHEMA} {to}"
            needed = own_tables(role)
            all_ = {table.name for table in metadata.tables.values()}
            for name in sorted((all_ if reads else {*needed, "journal_end"}) | {"version"}):
                privileges = needed.get(name, READ)
                if "EXECUTE" in privileges:
                    yield f"GRANT EXECUTE ON FUNCTION {FUNCTIONS[name]} {to}"
                on_table = [privilege for privilege in privileges if privilege != "EXECUTE"]
                yield f"GRANT {', '.join(on_table)} ON {SCHEMA}.{name} {to}"

        return tuple(statements())
