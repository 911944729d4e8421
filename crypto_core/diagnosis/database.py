"""The database as Keydeck finds it: reachable, new enough, encrypted on the way, with which role, in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from threading import Event
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, Engine, select

from crypto_core.database import dialect
from crypto_core.database.connection.engine import TokenSource, connected, open_engine
from crypto_core.database.connection.pool import is_pooled
from crypto_core.database.replicas import ReplicaLags
from crypto_core.database.state.anchors.checkpoint_anchors import Anchoring
from crypto_core.database.tokens.table_figures import backlogs, vacuuming
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.diagnosis.check import Check, CheckOutcome, Clock, Topic, clock_check, system_clock
from crypto_core.diagnosis.own_schema import TableCheck, own_schema
from crypto_core.diagnosis.token_columns import other_places, token_columns
from crypto_core.guard.signature import Signer
from crypto_core.providers.endpoints import is_loopback
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS, UNSEEN
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseUnreachableError, KeydeckError

_LONG_SECONDS = 3_600
_LARGE_BYTES = 1 << 30

OLDEST_VERSION = 13
"""PostgreSQL's oldest major version that Keydeck is made for."""
_SKEW_SECONDS = (5.0, 300.0)
"""From when on a clock that differs is a warning, and a failure: journal and backups tell times."""


def upkeep(engine: Engine, tables: Sequence[TokenTable], *, area: str, read_only: bool) -> Iterator[Check]:
    """Yield what there is to say of replicas, and of vacuuming."""
    yield Topic(area, "replicas").by(lambda topic: _replicas(engine, topic))
    yield Topic(area, "vacuum").by(lambda topic: _vacuum(engine, tables, topic))


def _replicas(engine: Engine, topic: Topic) -> Check:
    lag = ReplicaLags(engine).look()
    with connected(engine) as connection:
        connection.execute(dialect.SHORT_STATEMENTS)
        slots = backlogs(connection)
    behind = [one for one in slots if one.bytes > _LARGE_BYTES]
    if lag.unseen:
        return topic.warning(
            UNSEEN, "Jobs then slow down before replicas are too far behind to be read from."
        )
    if behind:
        words = ", ".join(f"{one.name} ({one.bytes / _LARGE_BYTES:,.1f} GiB)" for one in behind[:3])
        said = f"Logical slots keep WAL that their subscribers have not taken: {words}."
        return topic.warning(said, "A job adds to it; let the subscribers catch up first.")
    if not lag.name:
        mirrors = f" Logical subscribers also get each envelope: {', '.join(one.name for one in slots)}."
        return topic.ok("None that streams from here." + (mirrors if slots else ""))
    said = f"{lag.name} is {lag.seconds:,.1f} s behind; a job waits above {MAX_LAG_SECONDS:g} s (--max-lag)."
    return topic.ok(said) if lag.seconds < MAX_LAG_SECONDS else topic.warning(said)


def _vacuum(engine: Engine, tables: Sequence[TokenTable], topic: Topic) -> Check:
    with connected(engine) as connection:
        connection.execute(dialect.SHORT_STATEMENTS)
        found = vacuuming(connection, tables)
    late = [one for one in found if one.remedy]
    if late:
        first = late[0]
        said = (
            f"{first.table} is never vacuumed by itself."
            if first.after is None
            else f"{first.table} is vacuumed by itself only after {first.after:,} dead rows."
        )
        more = f" So it is with {counted(len(late) - 1, 'more table')}." if late[1:] else ""
        return topic.warning(said + more, f"Before a large job: {' '.join(one.remedy for one in late[:5])}")
    longest = max((one.oldest_seconds for one in found), default=0.0)
    if longest > _LONG_SECONDS:
        said = f"A transaction that runs for {longest / 60:,.0f} min keeps dead rows from being removed."
        return topic.warning(said, "Find it in pg_stat_activity, by the oldest xact_start, and end it.")
    return topic.ok(f"{counted(len(found), 'table')} vacuumed in time by autovacuum's settings.")


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """A database to look at. `setting` is where its URL comes from, `area` the heading of the checks.

    Without `tables` it is the journal's own database: no tokens are looked for.
    """

    url: str = field(repr=False)
    setting: str
    area: str
    read_only: bool
    tables: tuple[TokenTable, ...] = ()
    anchors: tuple[str, ...] | None = None
    """Where checkpoints of the journal in it are anchored; None where it holds none, or nothing signs."""
    signer: Signer | None = None
    """What verifies signatures in that journal."""
    anchoring: Anchoring | None = None
    """What reads its anchors outside of the database."""
    token_source: TokenSource | None = None
    """What is asked for a token where the URL says iam=true."""
    apart: bool = False
    """True if the journal has a login or a database of its own."""
    added: tuple[TableCheck, ...] = ()
    """Checks of what capabilities keep beside the journal."""


def look_at_database(place: DatabasePlace, stop: Event, clock: Clock = system_clock) -> Iterator[Check]:
    """Yield the checks of one database. Writes nothing; asks with a connection of its own."""
    try:
        engine = open_engine(
            place.url, read_only=place.read_only, setting=place.setting, token_source=place.token_source
        )
    except KeydeckError as error:
        yield Topic(place.area, "address").failed_by(error)
        return
    try:
        reached = _reach(engine, place)
        yield reached
        if reached.outcome is CheckOutcome.FAILED:
            yield Topic(place.area, "the rest").skipped("Not asked: the database can't be used.")
            return
        asked: Sequence[tuple[str, _Find]] = (*_ASKED, ("clock", partial(_clock, clock)))
        for name, find in asked:
            if stop.is_set():
                return
            yield Topic(place.area, name).by(partial(find, engine, place))
        looks = (token_columns, other_places, upkeep) if place.tables else ()
        tokens = [partial(look, engine, place.tables) for look in looks]
        own = partial(
            own_schema,
            engine,
            anchors=place.anchors,
            signer=place.signer,
            anchoring=place.anchoring,
            tokens=place.apart,
            added=place.added,
        )
        for look in (*tokens, own):
            if stop.is_set():
                return
            yield from look(area=place.area, read_only=place.read_only)
    finally:
        engine.dispose()


def _reach(engine: Engine, place: DatabasePlace) -> Check:
    topic = Topic(place.area, "reachable")
    started = perf_counter()
    try:
        with connected(engine) as connection:
            connection.scalar(select(1))
            connecting = perf_counter() - started
            started = perf_counter()
            connection.scalar(select(1))
            asking = perf_counter() - started
    except DatabaseUnreachableError as error:
        return topic.failed(error.message, f"{error.remedy} The URL is {place.setting}.")
    except KeydeckError as error:
        return topic.failed_by(error)
    return topic.ok(f"Connected in {connecting * 1000:,.0f} ms; an answer takes {asking * 1000:,.1f} ms.")


def _version(engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with _asking(engine) as connection:
        number = int(str(connection.scalar(dialect.VERSION_NUMBER)))
        said = "PostgreSQL {}, encoding {}.".format(*connection.execute(dialect.VERSION).one())
    if number // 10_000 < OLDEST_VERSION:
        remedy = f"Keydeck is made for PostgreSQL {OLDEST_VERSION} and newer."
        return topic.warning(said, remedy)
    return topic.ok(said)


def _encryption(engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with _asking(engine) as connection:
        # What the server says of it is, behind a pooler, the pooler's own connection.
        driver: Any = connection.connection.dbapi_connection
        info = driver.info
        host = str(info.host or "")
    if info.ssl_in_use:
        return topic.ok(f"{info.ssl_attribute('protocol')}, {info.ssl_attribute('cipher')}.")
    if not host or host.startswith(("/", "@")) or is_loopback(host):  # a Unix socket, or loopback
        return topic.ok("Not encrypted; the connection stays on this machine.")
    return topic.warning(
        f"The connection to {host} is not encrypted: tokens in plaintext can be read on the way.",
        f"Add sslmode=verify-full (at least sslmode=require) to {place.setting}.",
    )


def _pooler(engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with _asking(engine) as connection:
        if is_pooled(connection):
            return topic.ok("There is one between; Keydeck needs nothing of a session.")
    return topic.ok("None is between.")


def _role(engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with _asking(engine) as connection:
        role, superuser = connection.execute(dialect.ROLE).one()
    if superuser:
        said = f"{role} is a superuser: no grant limits what Keydeck, or anyone with its password, may do."
        remedy = "Use a role that has what keydeck help privileges lists, and no more."
        return topic.warning(said, remedy)
    return topic.ok(f"{role}.")


def _session(engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with connected(engine, write=True) as connection:
        connection.execute(dialect.SHORT_STATEMENTS)
        read_only, standby = connection.execute(dialect.READ_ONLY).one()
    if place.read_only and not read_only:
        return topic.failed(
            "A transaction may write although Keydeck is read only: something in between changes statements.",
            "Connect to PostgreSQL directly, or: ALTER ROLE … SET default_transaction_read_only = on;",
        )
    if place.read_only:
        return topic.ok("Read only, as set.")
    if read_only:
        why = "it is a standby" if standby else "the server or the role sets it so"
        said = f"The database accepts no writes: {why}. Inspection works."
        return topic.warning(said, "Connect to the primary, with a role that may write.")
    return topic.ok("May write.")


def _clock(clock: Clock, engine: Engine, place: DatabasePlace, topic: Topic) -> Check:
    with _asking(engine) as connection:
        before = clock()
        theirs = dialect.clock_now(connection)
        after = clock()
    middle = before + (after - before) / 2
    off_by = (theirs.astimezone(UTC) - middle).total_seconds()
    return clock_check(topic, "the database server", off_by, _SKEW_SECONDS)


@contextmanager
def _asking(engine: Engine) -> Iterator[Connection]:
    with connected(engine) as connection:
        connection.execute(dialect.SHORT_STATEMENTS)
        yield connection


_Find = Callable[[Engine, DatabasePlace, Topic], Check]
_ASKED: tuple[tuple[str, _Find], ...] = (
    ("version", _version),
    ("encryption", _encryption),
    ("pooler", _pooler),
    ("role", _role),
    ("session", _session),
)
