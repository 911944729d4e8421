"""Whether PostgreSQL keeps up while many tokens are written: its replicas, and vacuuming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import SHORT_STATEMENTS
from crypto_core.database.replicas import ReplicaLags
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.upkeep import backlogs, vacuuming
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS, UNSEEN
from crypto_core.text.counting import counted

_LONG_SECONDS = 3_600
_LARGE_BYTES = 1 << 30


def upkeep(engine: Engine, tables: Sequence[TokenTable], *, area: str, read_only: bool) -> Iterator[Check]:
    """Yield what there is to say of replicas, and of vacuuming."""
    yield Topic(area, "replicas").by(lambda topic: _replicas(engine, topic))
    yield Topic(area, "vacuum").by(lambda topic: _vacuum(engine, tables, topic))


def _replicas(engine: Engine, topic: Topic) -> Check:
    lag = ReplicaLags(engine).look()
    with connected(engine) as connection:
        connection.execute(SHORT_STATEMENTS)
        behind = [one for one in backlogs(connection) if one.bytes > _LARGE_BYTES]
    if lag.unseen:
        return topic.warning(
            UNSEEN, "Jobs then slow down before replicas are too far behind to be read from."
        )
    if behind:
        words = ", ".join(f"{one.name} ({one.bytes / _LARGE_BYTES:,.1f} GiB)" for one in behind[:3])
        said = f"Logical slots keep WAL that their subscribers have not taken: {words}."
        return topic.warning(said, "A job adds to it; let the subscribers catch up first.")
    if not lag.name:
        return topic.ok("None that streams from here.")
    said = f"{lag.name} is {lag.seconds:,.1f} s behind; a job waits above {MAX_LAG_SECONDS:g} s (--max-lag)."
    return topic.ok(said) if lag.seconds < MAX_LAG_SECONDS else topic.warning(said)


def _vacuum(engine: Engine, tables: Sequence[TokenTable], topic: Topic) -> Check:
    with connected(engine) as connection:
        connection.execute(SHORT_STATEMENTS)
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
