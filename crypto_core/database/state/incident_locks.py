"""Who runs a step's action right now: a lock of PostgreSQL's that ends with the process that holds it.

A step that was begun and isn't held by anybody is one whose console died; its action may be run again. While
it is held, a second operator is told so. PostgreSQL documentation, section 13.3.5, "Advisory Locks".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from crypto_core.database.connection.engine import told_apart
from crypto_core.database.dialect import free_session_lock, try_session_lock


@contextmanager
def held(engine: Engine, incident: int, step_id: str) -> Iterator[bool]:
    """Hold a step while the block runs; gives False, and holds nothing, if somebody else does.

    Takes a session of its own for as long, which isn't one of the engine's pool: however many actions run,
    whoever only looks gets a connection. Raises DatabaseError where there is none to be had.
    """
    named = hashlib.sha256(f"keydeck incident {incident} {step_id}".encode()).digest()
    lock = int.from_bytes(named[:8], "big", signed=True)
    with told_apart():
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        with told_apart():
            # Closed, it ends its session, and with it whatever it holds.
            connection.detach()
            got = try_session_lock(connection, lock)
        try:
            yield got
        finally:
            if got:
                # The end of a session is noticed a moment later; this frees the step at once.
                with suppress(SQLAlchemyError):
                    free_session_lock(connection, lock)
    finally:
        connection.close()
