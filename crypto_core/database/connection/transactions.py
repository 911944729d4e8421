"""The start of every transaction, and its repetition where PostgreSQL rolled it back for another one's sake.

At the start are set the search path, isolation, read only unless it writes, and time limits.
Names mean PostgreSQL's own objects from the first statement on (CVE-2018-1058): of the statements that travel
together each is analysed once the one before it has run. The path of the URL or the role only decides which
tables are meant, and is put back for triggers of the platform's tables: ON_OWN_PATH.

All is set in the transaction itself, so it holds behind a pooler that drops a session's options or gives each
transaction another session. A role's or database's default isolation doesn't count; its time limits do where
they are shorter than Keydeck's. All of it travels with the first statement, without a further round trip.
PostgreSQL documentation, SET TRANSACTION and section 55.2.2.1, "Multiple Statements in a Simple Query".

Of two transactions that can't both be done PostgreSQL rolls one back whole, also at its commit. PostgreSQL
documentation, section 13.5, "Serialization Failure Handling".
"""

from __future__ import annotations

import functools
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from psycopg2 import ProgrammingError
from psycopg2.extensions import STATUS_READY

from crypto_core.database.connection.interruption import WatchedConnection, WatchedCursor
from crypto_core.database.connection.url_parameters import OWN_PATH, ServerSettings
from crypto_core.database.dialect import codec_of, fitted
from crypto_core.values.errors import DatabaseError, DatabaseUnreachableError

STATEMENT_TIMEOUT_SECONDS = 60
LOCK_TIMEOUT_SECONDS = 10
IDLE_TIMEOUT_SECONDS = 120
BRIEF_SECONDS = 10
"""How long the server waits in a brief transaction for its client."""

PIN = "SET LOCAL search_path TO pg_catalog, pg_temp; "
"""With pg_temp last, a table in there never takes the name of one of PostgreSQL's own."""
ON_OWN_PATH = (
    "(SELECT pg_catalog.set_config('search_path',"
    f" nullif(pg_catalog.current_setting('{OWN_PATH}', true), ''), true)) IS NOT NULL"
)
"""SQL that is true; from then on the path is the one that URL, role or database ask for.

Reading rows under it as the only condition reads the first one once it has run: so a statement that writes in
a CTE is planned on the pinned path, and its triggers run on their own. The next statement has the pinned path
again, whatever a trigger or a policy did to it.
"""
_NAMELESS = ("SELECT 1", "BEGIN")
"""May run outside a transaction: they look up no name."""
_SECONDS = {
    "statement_timeout": STATEMENT_TIMEOUT_SECONDS,
    "lock_timeout": LOCK_TIMEOUT_SECONDS,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT_SECONDS,
}


def _no_longer_than(name: str, seconds: int) -> str:
    """SQL that sets a limit for the transaction unless the session has a shorter one; 0 is none."""
    theirs = f"pg_catalog.current_setting('{name}')"
    longer = f"{theirs} = '0' OR CAST({theirs} AS interval) > interval '{seconds}s'"
    return f"pg_catalog.set_config('{name}', CASE WHEN {longer} THEN '{seconds}s' ELSE {theirs} END, true)"


RESTRICTING = "restrict_nonsystem_relation_kind"
POWERFUL = (
    "(pg_catalog.pg_has_role('pg_execute_server_program', 'USAGE')"
    " OR pg_catalog.pg_has_role('pg_read_server_files', 'USAGE')"
    " OR pg_catalog.pg_has_role('pg_write_server_files', 'USAGE'))"
)
"""True for roles with rights on the server's own machine, above all superusers."""


def _restricting(kinds: str) -> str:
    """SQL that keeps the transaction from reading through views and foreign tables, where the server can.

    So nothing that took a table's place runs with the reader's rights. Roles with rights on the server's
    machine read plain tables alone.
    """
    allowed = f"CASE WHEN {POWERFUL} THEN 'view, foreign-table' ELSE '{kinds}' END"
    known = f"pg_catalog.current_setting('{RESTRICTING}', true) IS NULL"
    return f"CASE WHEN {known} THEN NULL ELSE pg_catalog.set_config('{RESTRICTING}', {allowed}, true) END"


_MEANING = {
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    # Compiling takes longer than it saves here: every answer is wanted at once.
    "jit": "off",
}
"""How statements are read and values written, whatever the database's owner has set."""


def _limits(seconds: Mapping[str, int]) -> str:
    limits = [_no_longer_than(*limit) for limit in seconds.items()]
    meaning = [f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _MEANING.items()]
    return f"SELECT {', '.join(limits + meaning)}, "


_LIMITS = _limits(_SECONDS)
_BRIEF_LIMITS = _limits(_SECONDS | {"idle_in_transaction_session_timeout": BRIEF_SECONDS})
_NO_VIEWS, _ANY_KIND = f"{_restricting('view')}; ", f"{_restricting('')}; "


@dataclass(slots=True)
class Reach:
    """What an engine's transactions may read besides tables.

    Views only once all declared token tables are known to run PostgreSQL's own functions alone.
    """

    views: bool = False


class LimitedConnection(WatchedConnection):
    """Its transactions are read only without `writes`, and see one moment with `snapshot`.

    With `brief` the server ends them once their client is silent for BRIEF_SECONDS.
    """

    read_only = False
    writes = True
    snapshot: bool | str = False
    """Or the name of an exported snapshot."""
    brief = False
    pin = PIN
    ahead = ""
    """Goes before the next statement: see engine.finish_with_next."""
    server = ServerSettings()
    reach = Reach()

    @property
    def start(self) -> str:
        isolation = "REPEATABLE READ" if self.snapshot else "READ COMMITTED"
        access = ", READ ONLY" if self.read_only or not self.writes else ""
        name = self.snapshot if isinstance(self.snapshot, str) else ""
        # Only before the first query can it be imported.
        moment = f"SET TRANSACTION SNAPSHOT '{re.sub('[^0-9A-Fa-f-]', '', name)}'; " if name else ""
        asked, limits = self.server, _BRIEF_LIMITS if self.brief else _LIMITS
        kinds = _ANY_KIND if self.reach.views else _NO_VIEWS
        # Of the limits that are asked for Keydeck's own leave what is shorter.
        return (
            f"{self.pin}SET TRANSACTION ISOLATION LEVEL {isolation}{access}; {moment}"
            f"{asked.limiting}{limits}{kinds}{asked.setting}"
        )


class ReadOnlyConnection(LimitedConnection):
    read_only = True


def connection_of(
    server: ServerSettings, reach: Reach, *, read_only: bool
) -> Callable[..., LimitedConnection]:
    """Return the factory of connections whose transactions have a URL's settings."""
    kind = ReadOnlyConnection if read_only or server.read_only else LimitedConnection

    def make(*arguments: Any, **options: Any) -> LimitedConnection:
        connection = kind(*arguments, **options)
        connection.server, connection.reach = server, reach
        return connection

    return make


def _reads_backslashes(connection: Any) -> bool:
    """Whether the session would take statements that travel together apart in another way."""
    return connection.get_parameter_status("standard_conforming_strings") == "off"  # type: ignore[no-any-return]


class LimitedCursor(WatchedCursor):
    """Sends what begins a transaction with its first statement, and what the server's encoding can hold."""

    def execute(self, query: Any, *arguments: Any) -> None:
        super().execute(self._begun(query), *fitted(arguments, codec_of(self.connection)))

    def executemany(self, query: Any, *arguments: Any) -> None:
        """The limit is one for all parameters."""
        self._begin_apart()
        super().executemany(query, *fitted(arguments, codec_of(self.connection)))

    def copy_expert(self, *arguments: Any, **named: Any) -> None:
        self._begin_apart()
        super().copy_expert(*arguments, **named)

    def callproc(self, *arguments: Any) -> None:
        """Refuse: the driver begins the transaction by itself, and writes the statement."""
        raise NotImplementedError("Functions are called in a SELECT, rows copied by copy_expert.")

    copy_from = copy_to = callproc  # type: ignore[assignment]

    def _begun(self, query: Any) -> Any:
        connection: Any = self.connection
        if self.name is not None or not isinstance(query, str):
            # The driver puts its own DECLARE before the query of a server-side cursor.
            self._begin_apart()
            return query
        if connection.autocommit and connection.pin and query not in _NAMELESS:
            raise ProgrammingError("Outside a transaction the search path isn't pinned.")
        if self._first and query not in _NAMELESS and _reads_backslashes(connection):
            self._begin_apart()
        ahead, connection.ahead = connection.ahead, ""
        pin = "" if connection.autocommit else connection.pin
        return f"{connection.start if self._first else pin}{ahead}{query}"

    def _begin_apart(self) -> None:
        if self._first or self.connection.ahead:  # type: ignore[attr-defined]
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT 1")

    @property
    def _first(self) -> bool:
        return self.connection.status == STATUS_READY and not self.connection.autocommit


TRIES = 8
FIRST_WAIT_SECONDS = 0.01

_ROLLED_BACK = ("40001", "40P01")
"""A serialization failure, a deadlock."""

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def repeated_if_rolled_back(transaction: Callable[P, R]) -> Callable[P, R]:
    """Repeat a whole transaction that was rolled back for another's sake.

    Besides the transaction it may do nothing that must not be done twice. Raises what the last try raised.
    """

    @functools.wraps(transaction)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        wait = FIRST_WAIT_SECONDS
        for _ in range(TRIES - 1):
            try:
                return transaction(*args, **kwargs)
            except DatabaseError as error:
                if error.sqlstate not in _ROLLED_BACK:
                    raise
                _log.info("Done again: %s", error.message)
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
            wait *= 2
        return transaction(*args, **kwargs)

    return repeated


def repeated_if_cut_off(read: Callable[P, R]) -> Callable[P, R]:
    """Read once more if the session was closed meanwhile; `read` may change nothing."""

    @functools.wraps(read)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except DatabaseUnreachableError as error:
            _log.info("Read again: %s", error.message)
        return read(*args, **kwargs)

    return repeated
