"""Who runs a step's action right now: a lock of PostgreSQL's that ends with the process that holds it.

A step that was begun and isn't held by anybody is one whose console died; its action may be run again. While
it is held, a second operator is told so. PostgreSQL documentation, section 13.3.5, "Advisory Locks".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from crypto_core.database.engine import told_apart


@contextmanager
def held(engine: Engine, incident: int, step_id: str) -> Iterator[bool]:
    """Hold a step while the block runs; gives False, and holds nothing, if somebody else does.

    Takes a connection of its own for as long. Raises DatabaseError where there is none to be had.
    """
    named = hashlib.sha256(f"keydeck incident {incident} {step_id}".encode()).digest()
    lock = int.from_bytes(named[:8], "big", signed=True)
    with told_apart():
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        with told_apart():
            got = bool(connection.scalar(select(func.pg_try_advisory_lock(lock))))
    except BaseException:
        # Whether the session has the lock isn't known: it ends.
        connection.invalidate()
        connection.close()
        raise
    try:
        yield got
    finally:
        try:
            if got:
                _release(connection, lock)
        finally:
            connection.close()


def _release(connection: Connection, lock: int) -> None:
    done = False
    try:
        with suppress(SQLAlchemyError):  # a session that is lost has lost its locks
            connection.execute(select(func.pg_advisory_unlock(lock)))
            done = True
    finally:
        if not done:
            connection.invalidate()
