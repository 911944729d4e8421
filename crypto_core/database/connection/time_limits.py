"""Says which time limit ended a statement, and who can raise it."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.database.connection.transaction_start import STATEMENT_TIMEOUT_SECONDS
from crypto_core.errors import DatabaseError, DatabaseTimeoutError

QUERY_CANCELED = "57014"

_OWN = f"{STATEMENT_TIMEOUT_SECONDS // 60}min"


def with_limit(error: DatabaseTimeoutError, limit: Callable[[], str]) -> DatabaseTimeoutError:
    """Return the error with the limit of statements in it, where one was cut short and it can be had.

    `limit` returns it as PostgreSQL writes it; it may raise DatabaseError.
    """
    if error.sqlstate != QUERY_CANCELED or error.limit:
        return error
    try:
        found = limit()
    except DatabaseError:
        return error
    return DatabaseTimeoutError(
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
