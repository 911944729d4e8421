"""Who runs a step's action right now: a lease in a row, by the server's clock, renewed while the action runs.

It needs no session of its own, so it holds behind a pooler. The row's token says whose the step is: it stays
its holder's until another operator takes it, which only an expired lease allows. So a console that was frozen
may go on if nobody came in between, and writes nothing if somebody did.

The server's clock may go back, where another server takes over. A lease that then ends further ahead than a
lease is long is cut to that length by whoever comes next: a holder that lives renews it within that time.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from uuid import uuid4

from sqlalchemy import Connection, Engine, Executable, and_, func, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.repeating import repeated_if_rolled_back
from crypto_core.database.dialect import clock, seconds_from_now, upsert
from crypto_core.database.schema import incident_lease as table
from crypto_core.errors import DatabaseError, RefusedError, StepLostError
from crypto_core.guard.held_step import holding
from crypto_core.text.cleaning import clean
from crypto_core.text.moments import in_utc

LEASE_SECONDS = 10.0
"""How long a step waits for a holder that does not answer any more: its console was killed, or is frozen."""
RENEW_SECONDS = 2.0

_log = logging.getLogger(__name__)


class StepLease:
    """A step that this process holds. Thread-safe."""

    def __init__(self, engine: Engine, incident: int, step_id: str) -> None:
        self._engine = engine
        self._incident, self._step_id = incident, step_id
        self._token = uuid4()
        c = table.c
        self._step = and_(c.incident_id == incident, c.step_id == step_id)
        self._mine = and_(self._step, c.token == self._token)
        self._sure_until = 0.0
        """Until when, by this machine's clock, nobody else can have taken the step."""
        self._lock = Lock()
        self._over = Event()

    def take(self, holder: str) -> None:
        """Take the step. Raises RefusedError if somebody holds it, DatabaseError."""
        values = {
            "incident_id": self._incident,
            "step_id": self._step_id,
            "token": self._token,
            "holder": clean(holder, 300),
            "host": clean(socket.gethostname(), 100),
            "until": seconds_from_now(LEASE_SECONDS),
        }
        taken = upsert(table).values(values)
        taken = taken.on_conflict_do_update(
            index_elements=["incident_id", "step_id"],
            set_={name: taken.excluded[name] for name in ("token", "holder", "host", "until")},
            where=table.c.until <= clock(),
        )
        full = seconds_from_now(LEASE_SECONDS)
        cut = update(table).where(self._step, table.c.until > full).values(until=full)
        asked = _now()
        other = self._try(cut, taken.returning(table.c.token))
        if other is not None:
            raise self._held(*other)
        self._sure_until = asked + LEASE_SECONDS

    @repeated_if_rolled_back
    def _try(self, cut: Executable, taken: Executable) -> tuple[str, str, float] | None:
        """Who holds the step, None if it is ours."""
        c = table.c
        with connected(self._engine, write=True) as connection:
            connection.execute(cut)
            if connection.execute(taken).one_or_none() is not None:
                return None
            left = func.ceil(func.extract("epoch", c.until - clock()))
            holder, host, seconds = connection.execute(select(c.holder, c.host, left).where(self._step)).one()
            return holder, host, seconds

    def _held(self, holder: str, host: str, seconds: float) -> RefusedError:
        return RefusedError(
            f"Step {self._step_id} of INC-{self._incident} is running right now, started by "
            f"{clean(holder, 300)} on {clean(host, 100)}.",
            remedy=(
                "Wait for it to end; if its console was killed or is frozen, the step can be run "
                f"again in {max(int(seconds), 1)} s."
            ),
        )

    def require(self) -> None:
        """Pass if the step is still held. Asks the database where that isn't sure.

        Raises StepLostError, DatabaseError.
        """
        if _now() >= self._sure_until:
            self.renew()

    @repeated_if_rolled_back
    def renew(self) -> None:
        """Hold the step for longer. Raises StepLostError if another operator has it, DatabaseError."""
        with self._lock:
            asked = _now()
            renewed = update(table).where(self._mine).values(until=seconds_from_now(LEASE_SECONDS))
            with connected(self._engine, write=True) as connection:
                if not connection.execute(renewed).rowcount:
                    self._raise_lost(connection)
            self._sure_until = asked + LEASE_SECONDS

    def require_until_commit(self, connection: Connection) -> None:
        """Pass if the step is still held, and nobody can take it before the transaction's end.

        Raises StepLostError.
        """
        if connection.scalar(select(table.c.step_id).where(self._mine).with_for_update()) is None:
            self._raise_lost(connection)

    def _raise_lost(self, connection: Connection) -> None:
        self._sure_until = 0.0
        c = table.c
        now = connection.execute(select(c.holder, c.host, c.until).where(self._step)).one_or_none()
        by = f" by {clean(now.holder, 300)} on {clean(now.host, 100)}" if now is not None else ""
        until = f", whose lease is until {in_utc(now.until)}" if now is not None else ""
        raise StepLostError(
            f"Step {self._step_id} of INC-{self._incident} was taken over{by}{until}: this console did not "
            f"renew its lease for {LEASE_SECONDS:g} s. It stopped before its next write."
        )

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lease while the block runs; then give it back."""
        thread = Thread(target=self._renew_until_over, name="keydeck-step", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._give_back()

    def _renew_until_over(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                self.renew()
            except StepLostError:
                return  # whoever writes next is told
            except DatabaseError as error:
                _log.info("The lease of step %s can't be renewed for now: %s", self._step_id, error.message)

    def _give_back(self) -> None:
        try:
            with self._lock, connected(self._engine, write=True) as connection:
                connection.execute(update(table).where(self._mine).values(until=clock()))
        except DatabaseError as error:
            _log.info("The lease of step %s ends by itself: %s", self._step_id, error.message)


@contextmanager
def leased(engine: Engine, incident: int, step_id: str, holder: str) -> Iterator[StepLease]:
    """Hold a step while the block runs; what changes anything within requires it.

    Raises RefusedError if another operator holds it, DatabaseError; within, StepLostError before a write once
    another operator has taken it.
    """
    lease = StepLease(engine, incident, step_id)
    lease.take(holder)
    with lease.renewing(), holding(lease):
        yield lease


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    """Seconds that pass also while this machine sleeps, where its clock can say so."""
    return time.clock_gettime(_CLOCK)
