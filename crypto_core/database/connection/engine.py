"""Connections to PostgreSQL: time limits, read-only transactions, and every failure as an error of ours.

SQLSTATE codes: PostgreSQL documentation, appendix A.

By RDS's IAM authentication each new connection logs in with a token of its own, good for 15 minutes.
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from crypto_core.database.connection import login_failures
from crypto_core.database.connection.interruption import LIMIT_SECONDS, cancelling
from crypto_core.database.connection.pool import SharedPool, refuses_transactions
from crypto_core.database.connection.transactions import (
    ON_OWN_PATH,
    STATEMENT_TIMEOUT_SECONDS,
    LimitedCursor,
    Reach,
    connection_of,
)
from crypto_core.database.connection.url_parameters import OWN_PATH
from crypto_core.database.connection.urls import DatabaseUrl, parse_database_url
from crypto_core.database.dialect import json_text
from crypto_core.database.qualified_sql import qualify, text
from crypto_core.database.schema import FUNCTIONS, OWN_TABLES, SCHEMA, journal, journal_end, metadata
from crypto_core.log.redaction import cap
from crypto_core.values import errors
from crypto_core.values.cancellation import Cancellation, stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseLoginError, KeydeckError

TokenSource = Callable[[str, int, str, str | None], str]
"""Gives a token for host, port, user and Region, None for the configured one. Raises KeydeckError."""

_DEFAULT_PORT = 5432
_RDS_HOST = re.compile(r"(?i).+\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?")


def region_of_host(host: str) -> str | None:
    """Return the Region that an RDS endpoint's name holds, None for another name."""
    found = _RDS_HOST.fullmatch(host)
    return found[1].lower() if found else None


def log_in_by_token(engine: Engine, url: DatabaseUrl, source: TokenSource) -> None:
    """Have each new connection of an engine send a token as the password.

    Connecting raises DatabaseLoginError where AWS's credentials give none.
    """
    host, port = url.hosts[0], int(next(filter(None, url.ports), _DEFAULT_PORT))

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, arguments: Any, keywords: dict[str, Any]) -> Any:
        try:
            token = source(host, port, str(url.user), region_of_host(host))
        except KeydeckError as error:
            raise DatabaseLoginError(
                f"No IAM token for the database: {error.message}", remedy=error.remedy
            ) from error
        return dialect.connect(*arguments, **{**keywords, "password": token})


CONNECT_TIMEOUT_SECONDS = 5
LONGEST_CONNECT_SECONDS = 30
"""A URL may ask for so much, where a database must wake up first."""
NETWORK_TIMEOUT_SECONDS = 30

_LOGGING_NAME = "keydeck"
_AUTHORITIES = "keydeck_authorities"
"""The engine's option with what certificates are verified by."""
REACH = "keydeck_reach"
"""The option with what its transactions may read."""
_ENTRIES = "keydeck_entries"
_SETTING = "keydeck_setting"
"""The option with the name of the setting that has its URL."""


def open_engine(
    url: str,
    *,
    read_only: bool = False,
    setting: str = "DATABASE_URL",
    token_source: TokenSource | None = None,
) -> Engine:
    """Return an engine; nothing is connected yet.

    With `read_only` PostgreSQL refuses writes in every transaction, else in those that `connected` opens for
    reading. Statement parameters never appear in exceptions or logs. `token_source` is asked where the URL
    says iam=true. Raises SettingsError for no PostgreSQL URL.
    """
    parsed = parse_database_url(url, setting)
    arguments: dict[str, Any] = {
        **parsed.place,
        "connect_timeout": _connect_timeout(parsed.keywords.get("connect_timeout")),
        "application_name": "keydeck",
        "client_encoding": "utf8",
        # Poolers refuse it at start-up. Given, it keeps PGOPTIONS from being sent.
        "options": parsed.server.route,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Keepalives find a dead network only while nothing is under way.
        "tcp_user_timeout": NETWORK_TIMEOUT_SECONDS * 1000,
        "connection_factory": connection_of(parsed.server, reach := Reach(), read_only=read_only),
        "cursor_factory": LimitedCursor,
    }
    # At DEBUG, SQLAlchemy logs every row; an engine with a name has a logger of its own.
    cap([f"sqlalchemy.engine.Engine.{_LOGGING_NAME}"], logging.WARNING)
    engine = create_engine(
        parsed.base,
        logging_name=_LOGGING_NAME,
        connect_args=arguments,
        execution_options={_AUTHORITIES: parsed.keywords.get("sslrootcert"), _SETTING: setting, REACH: reach},
        hide_parameters=True,
        json_serializer=json_text,
        poolclass=SharedPool,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=8,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        # Its look-up of types that Keydeck doesn't use would cost each connection a round trip.
        use_native_hstore=False,
    )
    qualify(engine)
    if parsed.iam:
        if token_source is None:
            raise errors.SettingsError(
                f"{setting} has iam=true, and there are no AWS credentials here to ask with."
            )
        log_in_by_token(engine, parsed, token_source)
    return engine


def _connect_timeout(asked: str | None) -> int:
    seconds = int(float(asked or 0))
    return min(seconds, LONGEST_CONNECT_SECONDS) if seconds > 0 else CONNECT_TIMEOUT_SECONDS


@contextmanager
def connected(
    engine: Engine,
    *,
    write: bool = False,
    snapshot: bool | str = False,
    brief: bool = False,
    cancelled: Event | None = None,
) -> Iterator[Connection]:
    """Give a connection in a transaction: committed at the end if `write`, else read only.

    With `snapshot` all its statements see one moment, that of another session's exported snapshot if it is
    its name; else each sees what is committed by then. `brief` is for transactions whose locks others wait
    for: the server ends one whose client has gone silent.

    A Cancellation that is set ends the statement under way; any other event is looked at before the first.
    Raises InterruptedRunError then, else DatabaseError.
    """
    stop_if(cancelled)
    try:
        with (
            told_apart(engine),
            engine.begin() if write else engine.connect() as connection,
            _beginning(connection, write=write, snapshot=snapshot, brief=brief),
        ):
            if isinstance(cancelled, Cancellation):
                with cancelling(connection, cancelled):
                    yield connection
            else:
                yield connection
    except errors.DatabaseTimeoutError as error:
        if cancelled is not None and cancelled.is_set():
            raise errors.InterruptedRunError("Cancelled.") from error
        raise with_limit(error, lambda: _limit(engine)) from error


def _limit(engine: Engine) -> str:
    """The role's limit for a statement, as PostgreSQL writes it. Raises DatabaseError."""
    with told_apart(), engine.connect() as connection:
        return clean(connection.scalar(text("SHOW statement_timeout")), 30)


@contextmanager
def _beginning(connection: Connection, *, write: bool, snapshot: bool | str, brief: bool) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    driver.writes, driver.snapshot, driver.brief = write, snapshot, brief
    driver.ahead = ""
    connection.info[_ENTRIES] = []
    try:
        yield
    finally:
        driver.writes, driver.snapshot, driver.brief = True, False, False


def note_entry(connection: Connection, number: int) -> None:
    """Note an entry of the journal that Keydeck itself made in this transaction."""
    connection.info.setdefault(_ENTRIES, []).append(number)


def own_entries(connection: Connection) -> list[int]:
    return list(connection.info.get(_ENTRIES, ()))


def finish_with_next(connection: Connection) -> None:
    """Have deferred triggers run on their own path ahead of the next statement, which fails where they do.

    Without a next statement they run at the end.
    """
    driver: Any = connection.connection.driver_connection
    driver.ahead = f"SELECT {ON_OWN_PATH}; SET CONSTRAINTS ALL IMMEDIATE; {driver.pin}"


def schemas_on_own_path(connection: Connection) -> list[str]:
    """Return the usable schemas of the path that URL, role or database ask for, in order.

    Raises DatabaseError.
    """
    statement = f"SELECT pg_catalog.current_schemas(false) WHERE {ON_OWN_PATH}"
    with told_apart():
        found: list[str] = connection.exec_driver_sql(statement).scalar_one()
    return found


@contextmanager
def patient(connection: Connection, seconds: int) -> Iterator[None]:
    """Let statements of this transaction take so many seconds, also where the role has less: whole-table
    reads.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{seconds}s'"))
    driver: Any = connection.connection.driver_connection
    driver.limit_seconds = seconds + LIMIT_SECONDS - STATEMENT_TIMEOUT_SECONDS
    try:
        with told_apart():
            yield
    except errors.DatabaseTimeoutError as error:
        raise with_limit(error, lambda: f"{seconds}s") from error
    finally:
        driver.limit_seconds = None


@contextmanager
def told_apart(engine: Engine | None = None) -> Iterator[None]:
    """Turn SQLAlchemy's and the driver's exceptions into errors of ours, without parameters and rows.

    With `engine`, a pooler that allows no transactions is distinguished from a closed connection, and OpenSSL
    reports why a certificate is not verified.
    """
    try:
        yield
    except DBAPIError as error:
        lines = _login_lines(error)
        _forget_row(error)
        if engine is not None and _is_closed(error) and refuses_transactions(engine):
            raise login_failures.failure_of(login_failures.STATEMENT_POOLING, "") from error
        options = engine.get_execution_options() if engine is not None else {}
        if engine is not None:
            lines += login_failures.verification_failures(lines, options.get(_AUTHORITIES))
        raise _translated(error, lines, **_named(options)) from error
    except SQLAlchemyError as error:
        # The pool's own time limit, among others.
        raise errors.DatabaseUnreachableError(
            f"The database can't be used: {type(error).__name__}.", remedy="Try again."
        ) from error


def _named(options: Mapping[str, Any]) -> dict[str, str]:
    return {"setting": options[_SETTING]} if _SETTING in options else {}


def _is_closed(error: DBAPIError) -> bool:
    return not getattr(error.orig, "pgcode", None) and "closed the connection" in str(error.orig)


def _login_lines(error: DBAPIError) -> list[str]:
    """libpq's line for each host that it tried; only where no statement can have met a row."""
    said = [line for line in str(error.orig).splitlines() if line.strip()]
    if error.statement is not None or getattr(error.orig, "pgcode", None):
        return said[:1]
    return [line for line in said if not line.startswith("\t")]


def _forget_row(error: DBAPIError) -> None:
    """Keep only the first line of the driver's text.

    PostgreSQL's DETAIL repeats the row, tokens included, and tracebacks print the cause.
    """
    for part in (error, error.orig):
        if part is not None:
            part.args = tuple(str(argument).strip().partition("\n")[0] for argument in part.args[:1])


_FUNCTIONS = frozenset(re.findall(rf"{SCHEMA}\.(\w+)", " ".join(FUNCTIONS.values())))
_BEFORE_TABLE = ("INSERT INTO", "UPDATE", "DELETE FROM", "SELECT.*? (?:FROM|JOIN)")
_TABLE = re.compile(r'(?i)\b(?:FROM|UPDATE|INTO|JOIN)\s+(?:ONLY\s+)?(?:"?\w+"?\.)?"?(\w+)(?!\w*"?\.)')
_BY_OWNER = "or have the code that runs in the write run as its owner: SECURITY DEFINER"


def _grant(said: str, statement: str, context: str) -> str:
    """The statement that gives what is denied. The server may say it in any language, but not the names."""
    words = re.findall(r"\w+", said)
    if context:
        for before in _BEFORE_TABLE:
            for table in re.findall(rf'(?i)\b{before} (?:ONLY )?([\w."]+)', " ".join(context.split())):
                if table.replace('"', "").rpartition(".")[2] in words:
                    return f"GRANT {before[:6]} ON {table} TO the role, {_BY_OWNER}"
        return f"the privilege that the message names, {_BY_OWNER}"
    if function := next((word for word in words if word in _FUNCTIONS), ""):
        return f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{function} TO the role"
    english = re.search(r"permission denied for (schema|database) (\w+)", said)
    if english or SCHEMA in words:
        kind, name = english.groups() if english else ("schema", SCHEMA)
        return f"GRANT {'USAGE' if kind == 'schema' else 'CREATE'} ON {kind.upper()} {name} TO the role"
    used = {*_TABLE.findall(statement), *OWN_TABLES}
    name = next((word for word in reversed(words) if word in used), "")
    if not name:
        return "the privilege that the message names; keydeck help privileges lists what each role needs"
    privilege = "SELECT, INSERT, UPDATE" if name in OWN_TABLES else "SELECT, UPDATE"
    if name in (journal.name, journal_end.name):
        privilege = "SELECT"
    return f"GRANT {privilege} ON TABLE {name} TO the role"


def _lacks_own_column(code: str, said: str) -> bool:
    """Whether a column of Keydeck's own tables is missing: its schema is older."""
    named = re.findall(r"(\w+)\.\w", said) if code == "42703" else ()
    return any(f"{SCHEMA}.{name}" in metadata.tables for name in named)


def _refused_by_others(code: str, statement: str, context: str) -> bool:
    """Whether a table of the platform's refuses, or code that runs in the write: others may be written."""
    own = f"{SCHEMA}." in f"{statement} {context}".replace(OWN_PATH, "")
    return bool(statement) and not own and (bool(context) or code in ("0A000", "42501", "42809", "55000"))


def _translated(error: DBAPIError, lines: list[str], **named: str) -> errors.DatabaseError:
    driver: Any = error.orig
    code = getattr(driver, "pgcode", None) or ""
    diagnostics = getattr(driver, "diag", None)
    said = clean(getattr(diagnostics, "message_primary", None) or "", 300)
    statement, context = error.statement or "", getattr(diagnostics, "context", None) or ""
    foreign = _refused_by_others(code, statement, context)
    if code == "25006":
        return errors.DatabaseReadOnlyError("The database session is read only.", sqlstate=code)
    if code == "42501":
        return errors.MissingGrantError(
            f"The database role lacks a privilege: {said}.",
            remedy=f"Needed: {_grant(said, statement, context)}.",
            sqlstate=code,
            foreign=foreign,
        )
    if (code in ("42P01", "3F000", "42883") and "keydeck" in said) or _lacks_own_column(code, said):
        return errors.MissingSchemaError(
            "Keydeck's own schema is not in this database, or of another version than this Keydeck.",
            remedy="Create or update it with: keydeck init. It says so if the schema is newer.",
            sqlstate=code,
        )
    if code in (QUERY_CANCELED, "55P03"):
        return errors.DatabaseTimeoutError(f"The database took too long: {said}.", sqlstate=code)
    if code == "53300" or code[:2] in ("08", "57", "28", "3D"):
        return login_failures.login_failure([said], code, **named)
    if not code or error.connection_invalidated:
        return login_failures.login_failure(lines, code, **named)
    if "statement pooling" in said:
        return login_failures.login_failure([said], code, **named)
    return errors.DatabaseError(
        f"The database rejected the statement: {said} (SQLSTATE {code}).",
        remedy=_refused_remedy(diagnostics, context) if foreign or code[:2] == "23" else "",
        sqlstate=code,
        foreign=foreign,
    )


def _refused_remedy(diagnostics: Any, context: str) -> str:
    """What to do where a table refuses a write; the server's own hint, if no code of others gave it."""
    if constraint := clean(getattr(diagnostics, "constraint_name", None), 100):
        return f"Have the table's owner mend the constraint {constraint}, or the row."
    hint = "" if context else clean(getattr(diagnostics, "message_hint", None), 300)
    return hint or "Have the table's owner mend its definition, or the code that runs in the write."


QUERY_CANCELED = "57014"

_OWN = f"{STATEMENT_TIMEOUT_SECONDS // 60}min"


def with_limit(error: errors.DatabaseTimeoutError, limit: Callable[[], str]) -> errors.DatabaseTimeoutError:
    """Return the error with the limit of statements in it, where a statement was cut short.

    `limit` returns it as PostgreSQL writes it; it may raise DatabaseError.
    """
    if error.sqlstate != QUERY_CANCELED or error.limit:
        return error
    try:
        found = limit()
    except errors.DatabaseError:
        return error
    return errors.DatabaseTimeoutError(
        f"{error.message.removesuffix('.')}; a statement may take {found} here.",
        remedy="" if found == _OWN else _RAISE,
        sqlstate=error.sqlstate,
        limit=found,
    )


_RAISE = (
    "Try again when the database is less busy. Where statement_timeout is set for the role, the database or "
    f"the server, a DBA can raise it for Keydeck, whose own limit is {STATEMENT_TIMEOUT_SECONDS} s: "
    "ALTER ROLE … SET statement_timeout."
)
