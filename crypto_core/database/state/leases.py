"""Leases in rows, by the server's clock, renewed meanwhile: of steps' actions, and of duties of one host.

A lease needs no session of its own, so it holds behind a pooler. The row's token and login say whose it is;
the function that sets it has a privilege of its own. A step stays its holder's until another operator takes
it, which keydeck.hold_step allows once the lease expired. So a console that was frozen may go on if nobody
came in between, and writes nothing if somebody did.

The server's clock may go back, where another server takes over. A lease that then ends further ahead than a
lease is long is cut to that length by whoever comes next: a holder that lives renews it within that time.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import json_text
from crypto_core.database.qualified_sql import text
from crypto_core.guard.held_step import holding
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.errors import DatabaseError, DutyLostError, RefusedError, StepLostError
from crypto_core.values.moments import in_utc

_log = logging.getLogger(__name__)


@contextmanager
def renewed(name: str, seconds: float, renew: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Renew a lease every so many seconds, until the block ends or `renew` says that another one has it.

    Nothing renews it once `end` is called.
    """
    over, turn = Event(), Lock()

    def keep() -> None:
        while not over.wait(seconds):
            with turn:
                if over.is_set():
                    return
                try:
                    renew()
                except (StepLostError, DutyLostError):
                    return  # the next write raises it
                except DatabaseError as error:
                    _log.info("The lease of %s can't be renewed for now: %s", name, error.message)

    Thread(target=keep, name="keydeck-lease", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        try:
            with turn:
                end()
        except DatabaseError as error:
            _log.info("The lease of %s ends by itself: %s", name, error.message)


STEP_LEASE_SECONDS = 10.0
"""How long a step waits for a holder whose console was killed, or is frozen."""
STEP_RENEW_SECONDS = 2.0
_HOLD_STEP = text(
    "SELECT * FROM keydeck.hold_step(:incident, :step, CAST(:token AS uuid), :holder, :host, :act)"
)


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
        self._sure_until = asked + STEP_LEASE_SECONDS

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
            self._sure_until = asked + STEP_LEASE_SECONDS

    def require_until_commit(self, connection: Connection) -> None:
        """Pass if the step is held until the transaction's end. Raises StepLostError."""
        self._require(self._act(connection, "look"))

    def _act(self, connection: Connection, act: str) -> Row[Any]:
        return connection.execute(_HOLD_STEP, {**self._given, "act": act}).one()

    def _require(self, row: Row[Any]) -> None:
        if row.held:
            return
        self._sure_until = 0.0
        until = f", whose lease is until {in_utc(row.held_until)}" if row.held_until is not None else ""
        by = f" by {_who(row)}" if row.held_until is not None else ""
        raise StepLostError(
            f"Step {self._step_id} of INC-{self._incident} was taken over{by}{until}: this console did not "
            f"renew its lease for {STEP_LEASE_SECONDS:g} s. It stopped before its next write."
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
    with renewed(f"step {step_id}", STEP_RENEW_SECONDS, lease.renew, lease.end), holding(lease):
        yield lease


def _who(row: Row[Any]) -> str:
    login = f", database login {clean(row.held_login, 100)}" if row.held_login else ""
    return f"{clean(row.held_by, 300)} on {clean(row.held_on, 100)}{login}"


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    """Seconds that pass also while this machine sleeps, where its clock can say so."""
    return time.clock_gettime(_CLOCK)


DUTY_RENEW_SECONDS = 5.0
_HOLD_DUTY = text(
    "SELECT * FROM keydeck.hold_duty(:duty, CAST(:token AS uuid), :process, :act, CAST(:position AS jsonb))"
)


@dataclass(frozen=True, slots=True)
@cleans(process=200, login=100)
class DutyHolder:
    """The process in its own words, its login, and when it did the duty.

    `since` is when it took it, `done_at` its last round's end, `idle` the seconds since the later of both.
    """

    process: str
    login: str
    since: datetime | None
    done_at: datetime | None
    idle: float

    def __str__(self) -> str:
        since = f" since {in_utc(self.since)}" if self.since else ""
        done = f"last round {in_utc(self.done_at)}" if self.done_at else "no round yet"
        return f"held by {self.login or 'an unknown login'} ({self.process}){since}, {done}"


class DutyLease:
    """A duty that this process holds. `position` is how far it got, as JSON, when it was taken."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self.position: Mapping[str, Any] = {}
        self._engine = engine
        self._token = uuid4()
        self._process = clean(f"{socket.gethostname()}, process {os.getpid()}", 200)

    @repeated_if_rolled_back
    def take(self) -> DutyHolder | None:
        """Take the duty. Returns None, or who holds it. Raises DatabaseError."""
        with connected(self._engine, write=True) as connection:
            row = self._act(connection, "take")
        self.position = row.so_far if isinstance(row.so_far, dict) else {}
        if row.held:
            return None
        return DutyHolder(
            clean(row.held_by, 200), clean(row.held_login, 100), row.held_since, row.done_at, row.idle or 0.0
        )

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction in which nobody else can take the duty. Raises DutyLostError, DatabaseError."""
        with connected(self._engine, write=True) as connection:
            self._refuse_lost(self._act(connection, "look"))
            yield connection

    def remember(self, connection: Connection, position: Mapping[str, Any]) -> None:
        self._act(connection, "remember", position)
        self.position = position

    def finish(self) -> None:
        with self.writing() as connection:
            self._act(connection, "done")

    def renew(self) -> None:
        with connected(self._engine, write=True) as connection:
            row = self._act(connection, "renew")
        self._refuse_lost(row)  # a hand-over to who asks is committed

    def end(self) -> None:
        with connected(self._engine, write=True) as connection:
            self._act(connection, "end")

    def _refuse_lost(self, row: Row[Any]) -> None:
        if not row.held:
            raise DutyLostError(f"Duty {self.name} was taken over by another host, and stops here.")

    def _act(self, connection: Connection, act: str, position: Mapping[str, Any] | None = None) -> Row[Any]:
        told = None if position is None else json_text(position)
        given = {"duty": self.name, "token": self._token, "process": self._process}
        return connection.execute(_HOLD_DUTY, {**given, "act": act, "position": told}).one()


@contextmanager
def on_duty(engine: Engine, name: str) -> Iterator[DutyLease | DutyHolder]:
    """Hold a duty while the block runs; give its holder where that is another process.

    Raises DatabaseError; writing within raises DutyLostError once another host has it.
    """
    lease = DutyLease(engine, name)
    holder = lease.take()
    if holder is not None:
        yield holder
        return
    with renewed(f"duty {name}", DUTY_RENEW_SECONDS, lease.renew, lease.end):
        yield lease
