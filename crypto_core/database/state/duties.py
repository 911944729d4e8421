"""Duties, which one host at a time does: a lease in a row, by the server's clock, renewed meanwhile.

A lease needs no session of its own, so it holds behind a pooler, and its function has a privilege.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.retries import repeated_if_rolled_back
from crypto_core.database.qualified_sql import text
from crypto_core.database.state.lease_renewal import renewed
from crypto_core.errors import DutyLostError
from crypto_core.text.clean_text import clean, cleans
from crypto_core.text.moments import in_utc

RENEW_SECONDS = 5.0
_ACT = text(
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
        told = None if position is None else json.dumps(position)
        given = {"duty": self.name, "token": self._token, "process": self._process}
        return connection.execute(_ACT, {**given, "act": act, "position": told}).one()


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
    with renewed(f"duty {name}", RENEW_SECONDS, lease.renew, lease.end):
        yield lease
