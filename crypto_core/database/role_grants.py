"""The SQL privileges that a role needs, as statements for a DBA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import SCHEMA, function_of, metadata
from crypto_core.database.tokens.placed_tables import found_on_path
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.guard.operations import READ, KeydeckRole, of_role, own_tables, token_login_tables

_PLACE = text(
    f"""
    SELECT quote_ident(n.nspname) AS schema, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")}
    """  # noqa: S608  # nothing in it is foreign
)
_QUOTED = text("SELECT quote_ident(:name)")


class Login(StrEnum):
    ONLY = "only"
    TOKENS = "tokens"
    """Reads and writes tokens, and in schema `keydeck` what no decision rests on; DATABASE_URL has it."""
    RECORDS = "records"
    """Writes journal and state and reaches no token; KEYDECK_STATE_URL has it."""


def role_grants(
    engine: Engine, tables: Iterable[TokenTable], role: KeydeckRole, grantee: str, login: Login = Login.ONLY
) -> tuple[str, ...]:
    """Return the statements that let the database role `grantee` work as `role`. Raises DatabaseError.

    No column is granted that Keydeck does not use.
    """
    writes = any(operation.writes_tokens for operation in of_role(role))
    reads = KeydeckRole.INSPECTOR in role.includes
    tables = () if login is Login.RECORDS else tables
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
            tokens = login is Login.TOKENS
            needed = token_login_tables(role) if tokens else own_tables(role)
            all_ = {table.name for table in metadata.tables.values()}
            for name in sorted((all_ if reads else {*needed, "journal_end"}) | {"version"}):
                privileges = needed.get(name, READ)
                if "EXECUTE" in privileges:
                    yield f"GRANT EXECUTE ON FUNCTION {function_of(name, tokens=tokens)} {to}"
                on_table = [privilege for privilege in privileges if privilege != "EXECUTE"]
                yield f"GRANT {', '.join(on_table)} ON {SCHEMA}.{name} {to}"

        return tuple(statements())
