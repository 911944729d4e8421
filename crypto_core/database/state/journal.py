"""The journal: append-only, hash-chained record of changes, refusals and dry runs.

What an entry is, what its digest covers, and how a change shows: `proof`. What keeps the newest entries from
being removed unnoticed: `journal_checkpoints`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, and_, func, not_, select

from crypto_core.database.connection.engine import connected, note_entry, told_apart
from crypto_core.database.connection.lock_holders import LOCK_NOT_AVAILABLE, holding, lock_holders
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import json_text
from crypto_core.database.schema import SCHEMA
from crypto_core.database.schema import journal as table
from crypto_core.database.schema import journal_end as end
from crypto_core.database.state.journal_entry import entry_of, selecting, told_in
from crypto_core.guard.guarded_change import TEXT, Outcome
from crypto_core.guard.signature import SigningTime
from crypto_core.proof.forms import FIRST, JournalEntry, WrittenLast
from crypto_core.proof.journal import Chain
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseError, DatabaseTimeoutError

__all__ = ["FIRST", "EntryFilter", "Journal", "JournalEntry", "chained"]

_PAGE = 1000
_END_LOCK = (f"{SCHEMA}.{end.name}", "RowExclusiveLock")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Everything given must hold. Texts are parts of the field, in any case."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    action: str = ""
    subject: str = ""
    outcome: str = ""

    def conditions(self) -> Iterator[Any]:
        if self.since is not None:
            yield table.c.at >= self.since
        if self.until is not None:
            yield table.c.at <= self.until
        for name in ("actor", "action", "subject", "outcome"):
            if part := getattr(self, name):
                yield table.c[name].icontains(part, autoescape=True)


class Journal:
    def __init__(self, engine: Engine, actor: Callable[[], str], *, through: str = "") -> None:
        """`actor` returns who acts, at each entry; `through` stands behind this machine's name."""
        self.engine = engine
        self.host = clean(f"{socket.gethostname()}, {through}" if through else socket.gethostname(), 200)
        self._actor = actor
        self._stuck: frozenset[str] = frozenset()
        """The transactions that held the journal's end when an entry waited in vain: nothing waits twice."""

    def actor(self) -> str:
        """Return who acts. May ask AWS and the database, so not while rows are locked."""
        return self._actor()

    def record(
        self,
        action: str,
        subject: str,
        outcome: Outcome,
        detail: Mapping[str, Any] | None = None,
        *,
        within: Connection | None = None,
        actor: str | None = None,
        by: str = TEXT,
    ) -> None:
        """Append one entry, in the transaction of `within` where given. Raises DatabaseError.

        PostgreSQL adds its number, the time, who had logged in, and the digest; see journal_entry.
        `actor` is for who had to ask before the transaction began; see `actor`. `by` is the function that
        checks what is recorded: whoever decides anything by an entry relies on that.
        """
        told = json_text(detail or {}, sort_keys=True)
        fields = (clean(action, 100), clean(subject, 500), outcome.value, told)
        number = self.call(by, *fields, within=within, actor=actor)
        if within is not None and number is not None:
            note_entry(within, number)

    def call(
        self, function: str, *arguments: Any, within: Connection | None = None, actor: str | None = None
    ) -> int | None:
        """Call a function that writes an entry and what belongs to it; return what it returns.

        It is given who acts and the host before the arguments. Raises DatabaseError.
        """
        who = clean(self.actor() if actor is None else actor, 500)
        called = select(getattr(func.keydeck, function)(who, self.host, *arguments))
        if self._stuck and self._stuck & holding(self.engine, *_END_LOCK).keys():
            raise self._held_up()
        self._stuck = frozenset()
        try:
            if within is None:
                return self._append(called)
            with told_apart():
                made: int | None = within.execute(called).scalar_one()
                return made
        except DatabaseTimeoutError as error:
            if error.sqlstate != LOCK_NOT_AVAILABLE:
                raise
            with suppress(DatabaseError):
                self._stuck = frozenset(holding(self.engine, *_END_LOCK))
            trouble = self._held_up()
            if not self._end_holder():
                raise trouble from error
            if within is not None:
                raise trouble from error  # that transaction is over; the next one finds the way free
            return self._append(called)

    def _held_up(self) -> DatabaseTimeoutError:
        held = lock_holders(self.engine, *_END_LOCK)
        return DatabaseTimeoutError(
            f"The journal's end is locked by another transaction. {held}",
            remedy=(
                "Have a superuser end that transaction: a session with SELECT pg_terminate_backend(…). With "
                "GRANT pg_signal_backend TO the owner of schema keydeck, Keydeck ends such sessions itself."
            ),
            sqlstate=LOCK_NOT_AVAILABLE,
        )

    def _end_holder(self) -> bool:
        """End the sessions that hold the journal's end for seconds, if the schema's owner may; True if so."""
        try:
            with connected(self.engine, write=True) as connection:
                return bool(connection.scalar(select(func.keydeck.end_holder())))
        except DatabaseError as error:
            _log.info("The holder of the journal's end could not be ended: %s", error.message)
            return False

    @repeated_if_rolled_back
    def _append(self, called: Select[Any]) -> int | None:
        with connected(self.engine, write=True) as connection:
            made: int | None = connection.execute(called).scalar_one()
            return made

    def entries(self, *, limit: int = 1000, which: EntryFilter | None = None) -> tuple[JournalEntry, ...]:
        """Return the newest `limit` entries that the filter lets through, oldest first.

        Raises DatabaseError.
        """
        conditions = (which or EntryFilter()).conditions()
        newest = selecting().where(*conditions).order_by(table.c.seq.desc()).limit(limit)
        with connected(self.engine) as connection:
            rows = connection.execute(newest).all()
        return tuple(entry_of(row) for row in reversed(rows))

    def begun(self, run_id: UUID) -> tuple[Mapping[str, Any], ...]:
        """Return the details of the checked entries that began a run and its further waves, the first first.

        Raises DatabaseError.
        """
        c = table.c
        mentions = c.detail.contains(str(run_id), autoescape=True)
        began = select(c.detail).where(c.outcome == Outcome.STARTED.value, c.checked, mentions)
        with connected(self.engine) as connection:
            details = map(told_in, connection.scalars(began.order_by(c.seq)))
            return tuple(detail for detail in details if detail.get("run") == str(run_id))

    def ended(
        self, since: datetime, until: datetime, actions: Sequence[str], *, limit: int
    ) -> tuple[tuple[JournalEntry, ...], int]:
        """Return entries of these actions that began or ended something in a time, the oldest first.

        With them comes how many more than `limit` there are. Those of parts of a run, which name the tokens
        that were written, are left out. Raises DatabaseError.
        """
        c = table.c
        part = and_(c.detail.contains('"references"'), c.detail.not_like('%"run_ended": true%'))
        began_or_ended = (Outcome.STARTED, Outcome.DONE, Outcome.FAILED, Outcome.INTERRUPTED)
        which = (
            *(c.at >= since, c.at < until, c.action.in_(actions)),
            *(c.outcome.in_([one.value for one in began_or_ended]), not_(part)),
        )
        with connected(self.engine) as connection:
            rows = connection.execute(selecting().where(*which).order_by(c.seq).limit(limit)).all()
            left = 0
            if len(rows) == limit:
                left = connection.execute(select(func.count()).where(*which)).scalar_one() - limit
        return tuple(map(entry_of, rows)), left

    def beginnings(self, runs: Iterable[str]) -> tuple[JournalEntry, ...]:
        c = table.c
        found: list[JournalEntry] = []
        with connected(self.engine) as connection:
            for run in runs:
                began = (c.outcome == Outcome.STARTED.value, c.detail.contains(run, autoescape=True))
                statement = selecting().where(*began).order_by(c.seq).limit(1)
                found += map(entry_of, connection.execute(statement))
        return tuple(found)

    def actors(self) -> tuple[str, ...]:
        with connected(self.engine) as connection:
            return tuple(
                connection.execute(select(table.c.actor).distinct().order_by(table.c.actor)).scalars()
            )

    def database_id(self) -> str:
        """Return the random id of the journal's database, which copies of it have too; "" if it is lost.

        Raises DatabaseError.
        """
        with connected(self.engine) as connection:
            last = written_last(connection)
        return last.database_id if last else ""

    def signing_time(self, action: str, part: str) -> SigningTime | None:
        """Return when the first entry of an action was made that has a part in its detail; None without one.

        That is PostgreSQL's time, not the word of whoever signed what it records. Raises DatabaseError.
        """
        c = table.c
        which = (
            c.action == action,
            c.outcome == Outcome.DONE.value,
            c.detail.contains(part, autoescape=True),
        )
        with connected(self.engine) as connection:
            row = connection.execute(selecting().where(*which).order_by(c.seq).limit(1)).first()
        return None if row is None else entry_of(row).evidence

    def verify(self, *, after: int = 0) -> str | None:
        """Return None if the chain is whole behind an entry, else a sentence saying where it breaks first."""
        chain = Chain(after=after)
        with connected(self.engine, snapshot=True) as connection:
            last = written_last(connection)
            wrong = next(
                (wrong for entry in chained(connection, after=after) if (wrong := chain.follow(entry))), None
            )
        return wrong or chain.end(last) or None


def chained(connection: Connection, *, after: int | None = None) -> Iterator[JournalEntry]:
    """Yield all entries, or those behind a number, in their order, without holding them all."""
    behind = () if after is None else (table.c.seq > after,)
    statement = selecting().where(*behind).order_by(table.c.seq)
    for row in connection.execute(statement, execution_options={"yield_per": _PAGE}):
        yield entry_of(row)


def written_last(connection: Connection) -> WrittenLast | None:
    row = connection.execute(select(end.c.seq, end.c.digest, end.c.database_id)).first()
    return None if row is None else WrittenLast(row.seq, bytes(row.digest), str(row.database_id))
