"""Who runs a step's action right now: a lease in a row, by the server's clock, renewed while the action runs.

It needs no session of its own, so it holds behind a pooler. The row's token and login say whose the step is:
it stays its holder's until another operator takes it, which keydeck.hold_step allows once the lease expired.
So a console that was frozen may go on if nobody came in between, and writes nothing if somebody did.

The server's clock may go back, where another server takes over. A lease that then ends further ahead than a
lease is long is cut to that length by whoever comes next: a holder that lives renews it within that time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from threading import Lock
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.retries import repeated_if_rolled_back
from crypto_core.database.qualified_sql import text
from crypto_core.database.state.lease_renewal import renewed
from crypto_core.errors import RefusedError, StepLostError
from crypto_core.guard.held_step import holding
from crypto_core.text.clean_text import clean
from crypto_core.text.moments import in_utc

LEASE_SECONDS = 10.0
"""How long a step waits for a holder whose console was killed, or is frozen."""
RENEW_SECONDS = 2.0
_ACT = text("SELECT * FROM keydeck.hold_step(:incident, :step, CAST(:token AS uuid), :holder, :host, :act)")


class StepLease:
    """A step that this process holds. Thread-safe."""

    def __init__(self, engine: Engine, incident: int, step_id: str, holder: str = "") -> None:
        self._engine = engine
        self._incident, self._step_id = incident, step_id
        self._given = {
            "incident": incident,
            "step": step_id,
            "token": uuid4(),
            "holder": clean(holder, 300),
            "host": clean(socket.gethostname(), 100),
        }
        self._sure_until = 0.0
        """Until when, by this machine's clock, nobody else can have taken the step."""
        self._lock = Lock()

    @repeated_if_rolled_back
    def take(self) -> None:
        """Take the step. Raises RefusedError if somebody holds it, DatabaseError."""
        asked = _now()
        with connected(self._engine, write=True) as connection:
            row = self._act(connection, "take")
        if not row.held:
            raise RefusedError(
                f"Step {self._step_id} of INC-{self._incident} is running right now, started by {_who(row)}.",
                remedy=(
                    "Wait for it to end; if its console was killed or is frozen, the step can be run "
                    f"again in {max(ceil(row.seconds), 1)} s."
                ),
            )
        self._sure_until = asked + LEASE_SECONDS

    def require(self) -> None:
        """Pass if the step is still held; ask where that isn't sure. Raises StepLostError, DatabaseError."""
        if _now() >= self._sure_until:
            self.renew()

    @repeated_if_rolled_back
    def renew(self) -> None:
        """Hold the step for longer. Raises StepLostError if another operator has it, DatabaseError."""
        with self._lock:
            asked = _now()
            with connected(self._engine, write=True) as connection:
                self._require(self._act(connection, "renew"))
            self._sure_until = asked + LEASE_SECONDS

    def require_until_commit(self, connection: Connection) -> None:
        """Pass if the step is held until the transaction's end. Raises StepLostError."""
        self._require(self._act(connection, "look"))

    def _act(self, connection: Connection, act: str) -> Row[Any]:
        return connection.execute(_ACT, {**self._given, "act": act}).one()

    def _require(self, row: Row[Any]) -> None:
        if row.held:
            return
        self._sure_until = 0.0
        until = f", whose lease is until {in_utc(row.held_until)}" if row.held_until is not None else ""
        by = f" by {_who(row)}" if row.held_until is not None else ""
        raise StepLostError(
            f"Step {self._step_id} of INC-{self._incident} was taken over{by}{until}: this console did not "
            f"renew its lease for {LEASE_SECONDS:g} s. It stopped before its next write."
        )

    def end(self) -> None:
        with connected(self._engine, write=True) as connection:
            self._act(connection, "end")


@contextmanager
def leased(engine: Engine, incident: int, step_id: str, holder: str) -> Iterator[StepLease]:
    """Hold a step while the block runs; what changes anything within requires it.

    Raises RefusedError if another operator holds it, DatabaseError; within, StepLostError before a write once
    another operator has taken it.
    """
    lease = StepLease(engine, incident, step_id, holder)
    lease.take()
    with renewed(f"step {step_id}", RENEW_SECONDS, lease.renew, lease.end), holding(lease):
        yield lease


def _who(row: Row[Any]) -> str:
    login = f", database login {clean(row.held_login, 100)}" if row.held_login else ""
    return f"{clean(row.held_by, 300)} on {clean(row.held_on, 100)}{login}"


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    """Seconds that pass also while this machine sleeps, where its clock can say so."""
    return time.clock_gettime(_CLOCK)
