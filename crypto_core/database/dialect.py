"""PostgreSQL's own: column types, upserts, encodings, the clock, locks, its identity.

Where a database's encoding isn't UTF-8, PostgreSQL rejects a statement for one character that it can't
convert, and a JSON document for an escape of one: these are written in ASCII. SQL_ASCII takes every byte.
PostgreSQL documentation, sections 23.3 "Character Set Support" and 8.14 "JSON Types".

Other statements are SQLAlchemy's, or text of tokens/ and state/.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg2.extensions import encodings
from sqlalchemy import ColumnElement, Connection, Function, TextClause, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from crypto_core.database.qualified_sql import text
from crypto_core.values.clean_text import clean

__all__ = ["ARRAY", "JSONB", "upsert"]


def place_oid(schema: str, table: str) -> str:
    """Return SQL for the oid of a table, NULL for none; both arguments are expressions.

    Unlike to_regclass it fails in no schema that the role may not use.
    """
    return (
        "(SELECT placed.oid FROM pg_class placed JOIN pg_namespace place ON place.oid = placed.relnamespace "  # noqa: S608
        f"WHERE place.nspname = {schema} AND placed.relname = {table})"
    )


def clock() -> Function[Any]:
    """The database's time, in a statement; now() stands still in a transaction."""
    return func.clock_timestamp()


def seconds_ago(seconds: float) -> ColumnElement[Any]:
    return clock() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def seconds_from_now(seconds: float) -> ColumnElement[Any]:
    return clock() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def clock_now(connection: Connection) -> datetime:
    now: datetime = connection.execute(select(clock())).scalar_one()
    return now


def privilege_on(table: str) -> TextClause:
    """Return the query whether a table of schema keydeck is there and the role has `:privilege` on it."""
    # to_regclass fails where the role may not use the schema, hence the order.
    return text(
        f"""
        SELECT CASE WHEN to_regnamespace('keydeck') IS NULL THEN false
               WHEN NOT has_schema_privilege(to_regnamespace('keydeck'), 'USAGE') THEN false
               WHEN to_regclass('keydeck.{table}') IS NULL THEN false
               ELSE has_table_privilege(to_regclass('keydeck.{table}'), :privilege) END
        """  # a name of ours
    )


VERSION_NUMBER = text("SHOW server_version_num")
"""Ten thousand times the major version, and more."""
VERSION = text("SELECT current_setting('server_version'), current_setting('server_encoding')")
CURRENT_ROLE = text("SELECT current_user")
ROLE = text("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
READ_ONLY = text("SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery()")
"""Whether the transaction refuses writes, and whether the server is a standby."""
SHORT_STATEMENTS = text("SET LOCAL statement_timeout = '3s'")
IDENTITY = text(
    "SELECT pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_NAME = text("SELECT current_database()")
_MAY_READ_SYSTEM = text("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
_SYSTEM = text("SELECT system_identifier FROM pg_control_system()")
SCHEMA_USE = text(
    "SELECT has_schema_privilege(oid, 'USAGE') AS usable, quote_ident(current_user) AS role"
    " FROM pg_namespace WHERE nspname = :schema"
)
TABLE_PRIVILEGES = text(
    """
    SELECT c.relname, p.privilege, has_table_privilege(c.oid, p.privilege) AS held
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p(privilege)
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT f.writes, 'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN (VALUES ('append_to_journal', 'journal'), ('write_receipts', 'receipt'),
        ('write_evidence_record', 'evidence_record'), ('record_approval', 'approval'), ('record_job', 'job'),
        ('keep_evidence', 'incident_evidence'), ('record_checkpoint', 'journal_checkpoint'),
        ('write_tripwire_list', 'tripwire'), ('back_up_envelopes', 'envelope_backup'),
        ('hold_duty', 'duty'), ('hold_step', 'incident_lease')
    ) AS f(name, writes)
    ON p.proname = f.name
    WHERE n.nspname = :schema
    """
)


def database_identity(connection: Connection) -> str:
    """Return the database's identity in words, which copies of it don't have.

    A copy of a server's files has its system identifier and object ids, so the server's start counts too: a
    restart makes another identity. The system identifier is left out where the role may not read it.
    """
    since, oid = connection.execute(IDENTITY).one()
    system = connection.scalar(_SYSTEM) if connection.scalar(_MAY_READ_SYSTEM) else None
    of = f", PostgreSQL system {system}" if system is not None else ""
    started = since.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{clean(connection.scalar(_NAME), 100)} (oid {oid}{of}, started {started})"


_ANY = ("UTF8", "SQL_ASCII")
_IN_ASCII = str.maketrans(
    dict.fromkeys("‐‑‒–—−·", "-")
    | dict.fromkeys("‘’“”", "'")
    | {"…": "...", "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "≠": "!=", "×": "x", "•": "*"}
)
_DIFFERING = frozenset("¢£¥¬‖‾−〜")
"""Python's EUC_JP has them where PostgreSQL's has not."""
_LONE = re.compile("[\ud800-\udfff]")


def as_stored(connection: Connection, value: Any, *, escaped: bool = False) -> Any:
    """Return a value as the database will return it; what is digested before it is written goes through this.

    `escaped` is for what is sent as JSON that escapes all but ASCII.
    """
    driver: Any = connection.connection.driver_connection
    is_utf8 = driver.get_parameter_status("server_encoding") in (None, _ANY[0])
    return fitted(value, "ascii" if escaped and not is_utf8 else codec_of(driver))


def codec_of(connection: Any) -> str | None:
    """Return Python's codec for the encoding of a connection's server.

    None where the server holds every character, "" where Python doesn't know its encoding.
    """
    name = connection.get_parameter_status("server_encoding") or _ANY[0]
    return None if name in _ANY else encodings.get(name, "")


def fitted(value: Any, codec: str | None) -> Any:
    """Return a value, and all that a list or a mapping holds, as a database of this encoding can store it.

    What is fitted already stays the same.
    """
    if codec is None:
        return value
    if isinstance(value, str):
        return value if value.isascii() else "".join(_in(codec, one) for one in value)
    if isinstance(value, Mapping):
        return {fitted(name, codec): fitted(one, codec) for name, one in value.items()}
    return [fitted(one, codec) for one in value] if isinstance(value, list | tuple) else value


def _in(codec: str, character: str) -> str:
    if not codec:
        return character.translate(_IN_ASCII)  # of others the server says whether it can hold them
    written = codecs.encode(character, codec, "ignore")
    # PostgreSQL's EUC_JP has JIS X 0212 too; other long ones are of Python's own making, as are some others.
    known = 0 < len(written) <= 2 or (codec.startswith("euc_j") and written[:1] == b"\x8f")
    if known and (len(written) == 1 or character not in _DIFFERING):
        return character
    plain = character.translate(_IN_ASCII)
    return plain if plain.isascii() else f"<U+{ord(character):04X}>"


def json_text(document: Any, **options: Any) -> str:
    """Return JSON with every character as itself, since its escape may be refused."""
    written = json.dumps(document, ensure_ascii=False, **options)
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
