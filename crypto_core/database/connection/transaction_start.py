"""How every transaction begins: its isolation, read only unless it is to write, and its time limits.

They are set in the transaction itself, so they hold behind a pooler that drops the options of a session, or
gives each transaction another session. A role's or database's default isolation doesn't count; its time
limits do where they are shorter than Keydeck's. All of it travels with the first statement: no round trip is
added.
PostgreSQL documentation, SET TRANSACTION and section 55.2.2.1, "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from psycopg2.extensions import STATUS_READY

from crypto_core.database.connection.server_settings import ServerSettings
from crypto_core.database.connection.watchdog import WatchedConnection, WatchedCursor

STATEMENT_TIMEOUT_SECONDS = 60
LOCK_TIMEOUT_SECONDS = 10
IDLE_TIMEOUT_SECONDS = 120
BRIEF_SECONDS = 10
"""How long the server waits in a brief transaction for its client, which may have been cut off."""

_SECONDS = {
    "statement_timeout": STATEMENT_TIMEOUT_SECONDS,
    "lock_timeout": LOCK_TIMEOUT_SECONDS,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT_SECONDS,
}


def _no_longer_than(name: str, seconds: int) -> str:
    """SQL that sets a limit for the transaction unless the session has a shorter one; 0 is none."""
    theirs = f"current_setting('{name}')"
    longer = f"{theirs} = '0' OR CAST({theirs} AS interval) > interval '{seconds}s'"
    return f"set_config('{name}', CASE WHEN {longer} THEN '{seconds}s' ELSE {theirs} END, true)"


def _limits(seconds: Mapping[str, int]) -> str:
    limits = ", ".join(_no_longer_than(*limit) for limit in seconds.items())
    # Compiling takes longer than it saves here: every answer is wanted at once.
    return f"SELECT {limits}, set_config('jit', 'off', true); "


_LIMITS = _limits(_SECONDS)
_BRIEF_LIMITS = _limits(_SECONDS | {"idle_in_transaction_session_timeout": BRIEF_SECONDS})


class LimitedConnection(WatchedConnection):
    """Its transactions are read only while `writes` isn't set, and see one moment while `snapshot` is.

    While `brief` is set, they end on the server once their client is silent for BRIEF_SECONDS.
    """

    read_only = False
    writes = True
    snapshot: bool | str = False
    """Or the name of the exported snapshot that they see."""
    brief = False
    ahead = ""
    """What goes before the next statement: see engine.send_with_next."""
    server = ServerSettings()
    """What the URL asks for."""

    @property
    def start(self) -> str:
        """What stands before the first statement of a transaction."""
        isolation = "REPEATABLE READ" if self.snapshot else "READ COMMITTED"
        access = ", READ ONLY" if self.read_only or not self.writes else ""
        name = self.snapshot if isinstance(self.snapshot, str) else ""
        # Only before the first query can it be imported.
        moment = f"SET TRANSACTION SNAPSHOT '{re.sub('[^0-9A-Fa-f-]', '', name)}'; " if name else ""
        asked, limits = self.server, _BRIEF_LIMITS if self.brief else _LIMITS
        # Of the limits that are asked for Keydeck's own leave what is shorter.
        return (
            f"SET TRANSACTION ISOLATION LEVEL {isolation}{access}; {moment}"
            f"{asked.limiting}{limits}{asked.setting}"
        )


class ReadOnlyConnection(LimitedConnection):
    """All its transactions are read only."""

    read_only = True


def connection_of(server: ServerSettings, *, read_only: bool) -> Callable[..., LimitedConnection]:
    """Return what makes connections whose transactions have the settings of a URL."""
    kind = ReadOnlyConnection if read_only or server.read_only else LimitedConnection

    def make(*arguments: Any, **options: Any) -> LimitedConnection:
        connection = kind(*arguments, **options)
        connection.server = server
        return connection

    return make


class LimitedCursor(WatchedCursor):
    """Sends what begins a transaction with its first statement."""

    def execute(self, query: Any, *arguments: Any) -> None:
        """Execute. Raises OperationalError if the server does not answer in time."""
        super().execute(self._begun(query), *arguments)

    def executemany(self, query: Any, *arguments: Any) -> None:
        """Execute for many parameters; the limit is one for all of them."""
        self._begin_apart()
        super().executemany(query, *arguments)

    def _begun(self, query: Any) -> Any:
        if not self._first:
            connection: Any = self.connection
            ahead, connection.ahead = connection.ahead, ""
            return ahead + query if ahead else query
        if self.name is None and isinstance(query, str):
            return self.connection.start + query  # type: ignore[attr-defined]
        # The driver puts its own DECLARE before the query of a server-side cursor.
        self._begin_apart()
        return query

    def _begin_apart(self) -> None:
        if self._first:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT 1")

    @property
    def _first(self) -> bool:
        return self.connection.status == STATUS_READY and not self.connection.autocommit
