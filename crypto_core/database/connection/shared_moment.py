"""Tasks that several sessions do at once, all at one moment: the snapshot of the session that leads.

It exports its snapshot and keeps its transaction until every task is done; the others import it. Where they
can't (no further connection, a pooler that leads to another server) it does all tasks itself. One failure
ends them all. PostgreSQL documentation, "Snapshot Synchronization Functions" and SET TRANSACTION SNAPSHOT.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.interruption import cancelling
from crypto_core.database.qualified_sql import text
from crypto_core.values.cancellation import Cancellation, stop_if

T = TypeVar("T")

POLL_SECONDS = 0.05

_log = logging.getLogger(__name__)
_EXPORT = text("SELECT pg_export_snapshot()")
_READY = text("SELECT 1")


def at_one_moment(
    engine: Engine,
    leading: Connection,
    tasks: Sequence[Callable[[Connection], T]],
    *,
    sessions: int,
    cancelled: Event | None = None,
    done: Callable[[int, T], None] = lambda index, result: None,
) -> list[T]:
    """Return each task's result; `leading`, in a `snapshot`, is one of at most so many sessions.

    `done` is called after each task, by one thread at a time. Raises the first failure, InterruptedRunError.
    """
    crew = _Crew(tasks, done)
    helpers = min(sessions, len(tasks)) - 1
    moment = str(leading.scalar(_EXPORT)) if helpers > 0 else ""
    for _ in range(helpers):
        # Nobody waits for one that has no connection yet.
        Thread(target=_help, args=(engine, moment, crew), name="keydeck-session", daemon=True).start()
    try:
        with cancelling(leading, crew.over):
            crew.work(leading, cancelled)
        return crew.results(cancelled)
    except BaseException as error:
        first = crew.fail(error)
        if first is error:
            raise
        raise first from error
    finally:
        crew.over.set()


@dataclass(eq=False, repr=False)
class _Crew(Generic[T]):
    tasks: Sequence[Callable[[Connection], T]]
    done: Callable[[int, T], None]
    over: Cancellation = field(default_factory=Cancellation)
    _taken: int = 0
    _found: dict[int, T] = field(default_factory=dict)
    _failure: BaseException | None = None
    _changed: Condition = field(default_factory=Condition)

    def work(self, connection: Connection, cancelled: Event | None = None) -> None:
        """Do tasks for as long as there are any. Raises InterruptedRunError."""
        while (index := self._next()) is not None:
            stop_if(cancelled)
            result = self.tasks[index](connection)
            with self._changed:
                self._found[index] = result
                self.done(index, result)
                self._changed.notify_all()

    @property
    def has_more(self) -> bool:
        return self._taken < len(self.tasks) and not self.over.is_set()

    def fail(self, error: BaseException) -> BaseException:
        """End the others' work; returns the first failure."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
        self.over.set()
        return self._failure

    def results(self, cancelled: Event | None) -> list[T]:
        """Wait for all results. Raises the first failure, or InterruptedRunError."""
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                stop_if(cancelled)
                if len(self._found) == len(self.tasks):
                    break
                self._changed.wait(POLL_SECONDS)
            return [self._found[index] for index in range(len(self.tasks))]

    def _next(self) -> int | None:
        with self._changed:
            if not self.has_more:
                return None
            self._taken += 1
            return self._taken - 1


def _help(engine: Engine, moment: str, crew: _Crew[Any]) -> None:
    """Do tasks in a session of its own; where there is none, others do them."""
    ready = False
    try:
        with connected(engine, snapshot=moment, cancelled=crew.over) as connection:
            connection.execute(_READY)
            ready = True
            crew.work(connection)
    except BaseException as error:  # noqa: BLE001  # raised where the results are waited for
        if ready:
            crew.fail(error)
        elif crew.has_more:
            _log.info("One session less counts: %s", type(error).__name__)
