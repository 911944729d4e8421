"""Duties, which one host at a time does: a lease in a row, by the server's clock, renewed meanwhile.

It needs no session of its own, so it holds behind a pooler; and it is only for roles that may change the
table, which an advisory lock is not.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, and_, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.repeating import repeated_if_rolled_back
from crypto_core.database.dialect import clock, seconds_from_now, upsert
from crypto_core.database.schema import duty as table
from crypto_core.errors import DatabaseError, DutyLostError
from crypto_core.text.cleaning import clean

LEASE_SECONDS = 30.0
"""How long a duty waits for a host that does not answer any more."""
RENEW_SECONDS = 5.0

_log = logging.getLogger(__name__)


class DutyLease:
    """A duty that this process holds. `position` is how far it got, as JSON, when it was taken."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self.position: Mapping[str, Any] = {}
        self._engine = engine
        self._token = uuid4()
        c = table.c
        self._mine = and_(c.name == name, c.token == self._token)
        self._over = Event()

    @repeated_if_rolled_back
    def take(self) -> str:
        """Take the duty. Returns "", or who holds it. Raises DatabaseError."""
        values = {
            "name": self.name,
            "token": self._token,
            "holder": clean(f"{socket.gethostname()}, process {os.getpid()}", 200),
            "until": seconds_from_now(LEASE_SECONDS),
        }
        c = table.c
        taken = upsert(table).values(values)
        taken = taken.on_conflict_do_update(
            index_elements=["name"],
            set_={name: taken.excluded[name] for name in ("token", "holder", "until")},
            where=c.until <= clock(),
        )
        full = seconds_from_now(LEASE_SECONDS)
        with connected(self._engine, write=True) as connection:
            # A lease longer than a lease can be is by a server's clock that was ahead.
            connection.execute(update(table).where(c.name == self.name, c.until > full).values(until=full))
            row = connection.execute(taken.returning(c.position)).one_or_none()
            if row is not None:
                self.position = row.position if isinstance(row.position, dict) else {}
                return ""
            return clean(connection.scalar(select(c.holder).where(c.name == self.name)), 200)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction in which nobody else can take the duty. Raises DutyLostError, DatabaseError."""
        with connected(self._engine, write=True) as connection:
            held = select(table.c.name).where(self._mine).with_for_update()
            if connection.scalar(held) is None:
                raise DutyLostError(f"Duty {self.name} was taken over by another host, and stops here.")
            yield connection

    def remember(self, connection: Connection, position: Mapping[str, Any]) -> None:
        """Remember how far the duty got, in a transaction of `writing`."""
        connection.execute(update(table).where(self._mine).values(position=dict(position)))
        self.position = position

    def finish(self) -> None:
        """Note that the duty was done. Raises DutyLostError, DatabaseError."""
        with self.writing() as connection:
            connection.execute(update(table).where(self._mine).values(done_at=clock()))

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lease while the block runs; then give it back."""
        thread = Thread(target=self._renew_until_over, name="keydeck-duty", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._set_until(clock(), "ends by itself")

    def _renew_until_over(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            self._set_until(seconds_from_now(LEASE_SECONDS), "can't be renewed for now")

    def _set_until(self, until: Any, otherwise: str) -> None:
        try:
            with connected(self._engine, write=True) as connection:
                connection.execute(update(table).where(self._mine).values(until=until))
        except DatabaseError as error:
            _log.info("The lease of duty %s %s: %s", self.name, otherwise, error.message)


@contextmanager
def on_duty(engine: Engine, name: str) -> Iterator[DutyLease | str]:
    """Hold a duty while the block runs; give who holds it where that is another process.

    Raises DatabaseError; what is written within raises DutyLostError once another host has taken it.
    """
    lease = DutyLease(engine, name)
    holder = lease.take()
    if holder:
        yield holder
        return
    with lease.renewing():
        yield lease
