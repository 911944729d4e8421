"""Chunks cover every token once, whatever the ids are, and PostgreSQL alone compares them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from crypto_core.database.connection.engine import connected
from crypto_core.database.state.installation import VERSION, require_schema
from crypto_core.database.state.jobs import JobDraft, JobStore
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.chunks import BatchCounts, Chunk, ChunkStore
from crypto_core.database.tokens.store import TokenScope, TokenStore
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.envelope import Format
from crypto_core.values.errors import LeaseLostError, MissingSchemaError
from crypto_core.values.references import TokenRef

HOSTILE = ["", " ", "'", "''; --", '"', "\\", "\\'", "%s", "%(id)s", ":id", "{a,b}", "NULL", "ä", "Z", "a"]
HOSTILE += ["é", "e\u0301", "\u202e", "\n", "0", "00", "-1", "10", "9", "x" * 300, "😀"]

IDS = {
    "integer": [*range(-3, 40), 2_147_483_647, -2_147_483_648],
    "bigint": [*range(0, 40, 3), 2**62, -(2**62), 2**31],
    "uuid": [UUID(int=i * 2**120 + i) for i in range(40)],
    "text": [*HOSTILE, *(f"gh-{i}" for i in range(30))],
    'text COLLATE "C"': [*HOSTILE, *(f"gh-{i}" for i in range(30))],
}


def draft() -> JobDraft:
    return JobDraft(
        run_id=uuid4(),
        verb="reencrypt",
        selection="every envelope",
        scope={},
        source_key_arn=None,
        target_key_arn="arn",
        write_format="v1",
        allow_downgrade=False,
        verify="local",
        plan={},
        plan_digest="",
        planned=0,
        calls_per_second=1.0,
        census_before=None,
        created_by="",
        host="",
        consent="option",
    )


def claimed(chunks: ChunkStore, job: int) -> Iterator[Chunk]:
    while (chunk := chunks.claim_chunk(job, uuid4(), 60.0)) is not None:
        yield chunk


@pytest.mark.quick(5)
@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("size", [1, 4, 1_000])
def test_chunks_cover_every_row_once(services: Container, superuser: Engine, kind: str, size: int) -> None:
    ids = IDS[kind]
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE TABLE vault (id {kind} PRIMARY KEY, token text)"))
        connection.execute(text(f"GRANT SELECT, UPDATE ON vault TO {OPERATOR}"))
        for row_id in ids:
            statement = text("INSERT INTO vault VALUES (:id, :token)")
            connection.execute(statement, {"id": row_id, "token": f"ghp_{row_id}"})
        connection.execute(text("UPDATE vault SET token = NULL WHERE token LIKE '%3'"))
        expected = set(connection.scalars(text("SELECT id::text FROM vault WHERE token IS NOT NULL")))
    id_kind = "integer" if kind in ("integer", "bigint") else "text"
    table = TokenTable("vault", "id", id_kind, ("token",), (), "github")  # type: ignore[arg-type]
    catalogue = LiveCatalogue(services.engine, [table])
    store = TokenStore(services.engine, catalogue, AttributionCache(services.engine))
    chunks, jobs = ChunkStore(services.engine, store), JobStore(services.engine)
    scope = TokenScope(frozenset({Format.PLAINTEXT}))
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        assert chunks.cut_scope(connection, job, 1, scope, size=size) == len(expected)
    assert jobs.counts([job])[job].chunks == -(-len(expected) // size)
    found: list[str] = []
    for chunk in claimed(chunks, job):
        assert chunk.row_ids is not None
        assert len(chunk.row_ids) == chunk.expected
        found += [t.ref.row_id for t in store.among(scope, chunk.column, chunk.row_ids)]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_chunks_rows_lie_together_and_neighbours_come_in_different_rounds(
    services: Container, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("CREATE TABLE vault (id uuid PRIMARY KEY, token text)"))
        connection.execute(text(f"GRANT SELECT, UPDATE ON vault TO {OPERATOR}"))
        rows = "SELECT md5(n::text)::uuid, 'ghp_' || n FROM generate_series(1, 100) n"
        connection.execute(text(f"INSERT INTO vault {rows}"))
        placed = list(connection.scalars(text("SELECT id::text FROM vault ORDER BY ctid")))
    table = TokenTable("vault", "id", "text", ("token",), (), "github")
    catalogue = LiveCatalogue(services.engine, [table])
    store = TokenStore(services.engine, catalogue, AttributionCache(services.engine))
    chunks, jobs = ChunkStore(services.engine, store), JobStore(services.engine)
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        chunks.cut_scope(connection, job, 1, TokenScope(frozenset({Format.PLAINTEXT})), size=50)
    listed = [chunk.row_ids or [] for chunk in claimed(chunks, job)]
    assert [set(ids) for ids in listed] == [set(placed[:50]), set(placed[50:])]
    assert listed[0][:6] == [placed[n] for n in (9, 19, 29, 39, 49, 0)]


def test_listed_tokens_are_chunks_of_their_own(services: Container) -> None:
    chunks, jobs = ChunkStore(services.engine, services.store), JobStore(services.engine)
    refs = [TokenRef("gh_connection", "access_token", f"gh-{i}") for i in range(5)]
    refs += [TokenRef("slack_connection", "bot_token", str(i)) for i in range(3)]
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        assert chunks.cut_listed(connection, job, 1, [*refs, refs[0]], size=2) == len(refs)
    listed = [
        TokenRef(c.table_name, c.column_name, row_id)
        for c in claimed(chunks, job)
        for row_id in c.row_ids or ()
    ]
    assert sorted(listed) == sorted(refs)


def test_a_lease_runs_out_by_the_databases_clock_and_renewing_keeps_it(services: Container) -> None:
    chunks, jobs = ChunkStore(services.engine, services.store), JobStore(services.engine)
    refs = [TokenRef("gh_connection", "access_token", f"gh-{i}") for i in range(2)]
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        chunks.cut_listed(connection, job, 1, refs)
    one, other = uuid4(), uuid4()
    chunk = chunks.claim_chunk(job, one, 0.0)
    assert chunk is not None
    beat = chunks.renew_lease(job, one, chunk, 60.0)
    assert (beat.state, beat.held) == ("running", True)
    assert chunks.claim_chunk(job, other, 60.0) is None
    chunks.renew_lease(job, one, chunk, 0.0)
    taken = chunks.claim_chunk(job, other, 60.0)
    assert taken is not None
    assert (taken.id, taken.attempt) == (chunk.id, 2)
    assert not chunks.renew_lease(job, one, chunk, 60.0).held
    with pytest.raises(LeaseLostError):
        chunks.finish_chunk(chunk, BatchCounts(done=2))
    chunks.release_chunk(taken, "gh-0", BatchCounts(done=1))
    again = chunks.claim_chunk(job, one, 60.0)
    assert again is not None
    assert again.position == "gh-0"
    chunks.finish_chunk(again, BatchCounts(done=1))
    counts = jobs.counts([job])[job]
    assert (counts.done, counts.chunks, counts.chunks_done, counts.left) == (2, 1, 1, 0)


def two_chunks(services: Container) -> tuple[ChunkStore, JobStore, int]:
    chunks, jobs = ChunkStore(services.engine, services.store), JobStore(services.engine)
    refs = [TokenRef("gh_connection", "access_token", f"gh-{i}") for i in range(2)]
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        chunks.cut_listed(connection, job, 1, refs, size=1)
    return chunks, jobs, job


def clock_goes_back(superuser: Engine, by: str = "1 hour") -> None:
    """Shift all that is stored into the future, as a server with a clock that is behind sees it."""
    with superuser.begin() as connection:
        for table, column in (("job_chunk", "lease_until"), ("job_runner", "seen_at"), ("job", "zero_at")):
            connection.execute(text(f"UPDATE keydeck.{table} SET {column} = {column} + interval '{by}'"))


def test_when_the_databases_clock_goes_back_a_chunk_waits_no_longer_than_a_lease(
    services: Container, superuser: Engine
) -> None:
    chunks, _, job = two_chunks(services)
    assert chunks.claim_chunk(job, uuid4(), 15.0) is not None
    left = text("SELECT max(lease_until - clock_timestamp()) FROM keydeck.job_chunk")
    clock_goes_back(superuser)
    # It is not taken at once: whoever holds it may live.
    taken = chunks.claim_chunk(job, uuid4(), 15.0)
    assert taken is not None
    assert taken.attempt == 1
    assert chunks.claim_chunk(job, uuid4(), 15.0) is None
    with superuser.connect() as connection:
        assert connection.scalar(left) <= timedelta(seconds=15)


def test_who_holds_a_chunk_keeps_it_over_a_clock_that_goes_back_and_nobody_else_gets_it(
    services: Container, superuser: Engine
) -> None:
    chunks, _, job = two_chunks(services)
    one = uuid4()
    held = [chunks.claim_chunk(job, one, 15.0) for _ in range(2)]
    clock_goes_back(superuser)
    assert chunks.claim_chunk(job, uuid4(), 15.0) is None
    for chunk in held:
        assert chunk is not None
        assert chunks.renew_lease(job, one, chunk, 15.0).held
        chunks.finish_chunk(chunk, BatchCounts(done=1))


def test_who_was_seen_in_the_future_counts_as_gone_once_it_is_silent(
    services: Container, superuser: Engine
) -> None:
    chunks, jobs, job = two_chunks(services)
    gone, here = uuid4(), uuid4()
    for runner in (gone, here):
        jobs.enlist(job, runner, host="h", pid=1, actor="ana")
    clock_goes_back(superuser)
    chunks.renew_lease(job, here, None, 15.0)
    with superuser.connect() as connection:
        ahead = text("SELECT count(*) FROM keydeck.job_runner WHERE seen_at > clock_timestamp()")
        assert connection.scalar(ahead) == 0


def test_the_rate_is_shared_by_those_that_have_work(services: Container) -> None:
    chunks, jobs, job = two_chunks(services)
    one, other, idle = uuid4(), uuid4(), uuid4()
    for runner in (one, other, idle):
        jobs.enlist(job, runner, host="h", pid=1, actor="ana")
    first = chunks.claim_chunk(job, one, 15.0)
    assert chunks.renew_lease(job, one, first, 15.0).working == 1
    # Whoever has none yet would share it with those that have.
    assert chunks.renew_lease(job, idle, None, 15.0).working == 2
    second = chunks.claim_chunk(job, other, 15.0)
    assert chunks.renew_lease(job, one, first, 15.0).working == 2
    assert chunks.renew_lease(job, other, second, 15.0).working == 2
    assert chunks.renew_lease(job, idle, None, 15.0).working == 3
    assert second is not None
    chunks.finish_chunk(second, BatchCounts(done=1))
    assert chunks.renew_lease(job, one, first, 15.0).working == 1
    jobs.leave(one)
    assert chunks.renew_lease(job, idle, None, 15.0).working == 1


def test_a_chunk_of_a_job_that_does_not_run_is_not_given(services: Container) -> None:
    chunks, jobs = ChunkStore(services.engine, services.store), JobStore(services.engine)
    with connected(services.engine, write=True) as connection:
        job = jobs.create(connection, draft())
        chunks.cut_listed(connection, job, 1, [TokenRef("gh_connection", "access_token", "gh-1")])
    assert jobs.change(job, "paused", ["running"])
    assert not jobs.change(job, "paused", ["running"])
    assert chunks.claim_chunk(job, uuid4(), 60.0) is None
    assert jobs.change(job, "running", ["paused"])
    assert chunks.claim_chunk(job, uuid4(), 60.0) is not None


def test_an_older_schema_is_told_to_be_updated(services: Container, superuser: Engine) -> None:
    require_schema(services.engine)
    with superuser.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM keydeck.version")) == VERSION
        connection.execute(text("UPDATE keydeck.version SET version_num = '0001'"))
    with pytest.raises(MissingSchemaError, match="version 0001") as caught:
        require_schema(services.engine)
    assert "keydeck init" in caught.value.remedy
