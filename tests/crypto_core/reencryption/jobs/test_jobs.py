"""A job writes every token once, whoever works on it, and is done when nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

import console
from console.container import Container
from console.sandbox.world import World
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens import chunks
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.chunks import BatchCounts
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.replacement import Compared
from crypto_core.reencryption.jobs.model import JobOptions, JobState, JobView
from crypto_core.reencryption.jobs.service import JobService
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values import errors
from tests.crypto_core.database.tokens.test_chunks import clock_goes_back
from tests.crypto_core.reencryption.jobs.working import Jobs, jobs_of
from tests.crypto_core.reencryption.running.runs import all_hold_their_tokens, wait_until

HOME = Path(console.__file__).resolve().parents[1]


@pytest.fixture
def jobs(services: Container, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs whose chunks are small, so that there are several."""
    monkeypatch.setattr(chunks.ChunkStore.cut_scope, "__kwdefaults__", {"size": 7})
    return jobs_of(services)


def old(world: World) -> Selection:
    return Selection(under_key=world.old_key.arn)


def scalar(superuser: Engine, sql: str) -> int:
    with superuser.connect() as connection:
        return int(connection.scalar(text(sql)) or 0)


def test_a_job_empties_a_key_and_says_so(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    under_old = len(world.sealed_under(world.old_key))
    number = jobs.start(old(world), world.current_key.arn)
    before = jobs.service.show_job(number)
    assert (before.state, before.remaining, before.job.planned) == (JobState.RUNNING, under_old, under_old)
    assert before.chunks > 3
    seen: list[JobView] = []
    view = jobs.service.join_job(number, progress=seen.append)
    assert view.state is JobState.DONE
    assert (view.done, view.remaining, view.poisoned, view.zeroes) == (under_old, 0, 0, 2)
    assert view.complete
    assert seen
    assert services.services.status.take_census().tokens_under(world.old_key.arn) == 0
    assert _under(view.census_before, world.old_key.arn) == under_old
    assert _under(view.census_after, world.old_key.arn) == 0
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == under_old
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)
    assert [r.ended for r in view.runners] == [True]
    document = json.loads(json.dumps(view.as_json()))
    assert (document["job"], document["done"], document["remaining"]) == (number, under_old, 0)


def test_a_connection_that_breaks_after_the_last_token_is_no_failure_of_the_job(
    jobs: Jobs, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    show, lost = (
        JobService.show_job,
        [errors.DatabaseUnreachableError("server closed the connection") for _ in range(3)],
    )

    def breaks(service: JobService, job: int) -> JobView:
        if lost:
            raise lost.pop()
        return show(service, job)

    number = jobs.start(Selection((world.sealed_under(world.old_key)[0],)), world.current_key.arn)
    monkeypatch.setattr(JobService, "show_job", breaks)
    view = jobs.service.join_job(number)
    assert (view.state, view.done, lost) == (JobState.DONE, 1, [])


def test_what_does_not_pass_is_told_at_once(
    jobs: Jobs, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(service: JobService, job: int) -> JobView:
        raise errors.DatabaseUnreachableError("no such role", sqlstate="28000")

    number = jobs.start(Selection((world.sealed_under(world.old_key)[0],)), world.current_key.arn)
    monkeypatch.setattr(JobService, "show_job", refused)
    with pytest.raises(errors.DatabaseUnreachableError, match="no such role"):
        jobs.service.join_job(number)


def _under(census: object, arn: str) -> int:
    assert isinstance(census, dict)
    return sum(k["tokens"] for k in census["keys"] if k["key_arn"] == arn)


@pytest.mark.deep
def test_what_cannot_be_known_of_writers_is_said(jobs: Jobs, world: World) -> None:
    view = jobs.service.join_job(jobs.start(old(world), world.current_key.arn))
    assert any("is not known" in remark for remark in view.remarks)


@pytest.mark.quick(1)
@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
@pytest.mark.parametrize("as_job", [False, True], ids=["run", "job"])
def test_the_same_is_known_as_damaged_after_a_run_and_after_a_job(
    services: Container, world: World, verb: Verb, as_job: bool
) -> None:
    broken = services.store.read_many(
        ref for ref, kind in world.corrupt.items() if kind.looks_like is Format.V1
    )
    chosen, target = Selection(everything=True), world.current_key.arn
    if as_job:
        service = services.tokens.jobs
        plan = service.plan_job(verb, chosen, target, JobOptions())
        number = service.start_job(plan, Consent.typed(plan, plan.confirmation))
        service.join_job(number)
        unwritten = service.unwritten(number)
    else:
        work = services.tokens.work
        made = work.plan_reencryption(verb, chosen, target)
        result = work.run_plan(made, Consent.typed(made, made.confirmation))
        unwritten = result.poisoned
    reasons = {one.reference: one.reason for one in unwritten}
    answers = AttributionCache(services.engine)
    for token in broken:
        known = answers.of(token.digest)
        assert known is not None
        assert known.key_arn is None
        assert known.reason.startswith(reasons[str(token.ref)])
    status = services.services.status.take_census()
    of_no_key = sum(share.tokens for share in status.keys if share.key_arn is None)
    assert of_no_key == len(broken) > 0
    assert status.tokens_under(target) == status.by_format[Format.V1] - len(broken)


@pytest.mark.deep
def test_a_rewrap_leaves_the_ciphertext_and_a_job_over_all_takes_several_keys(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    number = jobs.start(Selection(everything=True), world.current_key.arn, Verb.REWRAP)
    view = jobs.service.join_job(number)
    status = services.services.status.take_census()
    assert view.state is JobState.DONE, view.why
    # Damaged ones are where they were.
    assert view.done + view.poisoned == status.by_format[Format.V1]
    unwritten = {u.reference for u in jobs.service.unwritten(number)}
    assert unwritten == {str(r) for r, t in world.tokens.items() if t.corruption and t.format is Format.V1}
    assert status.tokens_under(world.old_key.arn) <= len(unwritten)
    assert len(jobs.service.unwritten(number)) == view.poisoned
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
def test_plaintext_is_encrypted_in_place_and_the_journal_names_the_tokens(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    number = jobs.start(Selection(unprotected=True), world.current_key.arn, Verb.ENCRYPT)
    view = jobs.service.join_job(number)
    refs = {str(r) for r in (*world.plaintext_refs, *world.dev_refs)}
    assert (view.state, view.done) == (JobState.DONE, len(refs))
    told = [json.loads(e.detail) for e in services.journal.entries() if e.action == "encrypt"]
    assert {ref for d in told for ref in d.get("references", ())} == refs
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == 0
    assert services.journal.verify() is None


@pytest.mark.deep
def test_the_journal_has_the_jobs_changes_and_no_batch(jobs: Jobs, services: Container, world: World) -> None:
    number = jobs.start(old(world), world.current_key.arn)
    jobs.service.pause_job(number)
    assert jobs.service.join_job(number).state is JobState.PAUSED
    jobs.service.resume_job(number)
    jobs.service.join_job(number)
    entries = [e for e in services.journal.entries() if f'"job": {number}' in e.detail]
    assert [(e.action, e.outcome) for e in entries] == [
        ("reencrypt", "started"),
        ("jobs pause", "done"),
        ("jobs resume", "done"),
        ("reencrypt", "done"),
    ]
    assert services.journal.verify() is None


@pytest.mark.deep
def test_a_job_needs_a_consent_to_this_very_plan(jobs: Jobs, services: Container, world: World) -> None:
    plan = jobs.service.plan_job(Verb.REENCRYPT, old(world), world.current_key.arn, JobOptions())
    other = jobs.service.plan_job(Verb.REWRAP, old(world), world.current_key.arn, JobOptions())
    for consent in (None, Consent.by_option(other), Consent.pressed(plan)):
        with pytest.raises(errors.NotConfirmedError):
            jobs.service.start_job(plan, consent)
    assert jobs.service.jobs() == ()
    with pytest.raises(errors.UnknownJobError):
        jobs.service.show_job(1)


def test_a_plan_tells_time_cost_and_quota(services: Container, world: World) -> None:
    lost = Compared(("arn:aws:iam::1:role/billing: no statement allows it",), ("No events are kept.",))
    made = jobs_of(services, compare=lambda *_: lost)
    plan = made.service.plan_job(
        Verb.REENCRYPT, old(world), world.current_key.arn, JobOptions(calls_per_second=10, ask_kms=True)
    )
    assert plan.seconds == pytest.approx(plan.plan.tokens * 3 / 10)
    assert plan.dollars == pytest.approx(plan.plan.tokens * 3 * 0.03 / 10_000)
    assert plan.quota_share == pytest.approx(10 / plan.quota)
    assert plan.kms_calls == plan.plan.tokens * 3
    assert plan.losses == lost.losses
    assert plan.plan.warnings[-1:] == lost.notes
    with pytest.raises(errors.NotConfirmedError):
        made.service.start_job(plan, Consent.pressed(plan))


def test_of_every_key_that_tokens_may_leave_it_is_asked_who_loses_access(
    services: Container, world: World
) -> None:
    old, new = world.old_key.arn, world.current_key.arn

    def compare(source: str, target: str, accepted: Sequence[str]) -> Compared:
        return Compared((f"{source} to {target}",)) if "*" not in accepted else Compared()

    made = jobs_of(services, compare=compare, in_use=(new, old))
    every = Selection(everything=True)
    assert made.service.plan_job(Verb.REENCRYPT, every, new, JobOptions()).losses == (f"{old} to {new}",)
    assert made.service.plan_job(Verb.REENCRYPT, every, new, JobOptions(accepted=("*",))).losses == ()
    unprotected = Selection(unprotected=True)
    assert made.service.plan_job(Verb.ENCRYPT, unprotected, new, JobOptions()).losses == ()


@pytest.mark.deep
def test_two_runners_share_the_chunks_and_none_is_done_twice(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    under_old = len(world.sealed_under(world.old_key))
    second = jobs_of(services)
    both = Event()

    def meet() -> None:
        # Neither goes on before both are at work.
        if jobs.work.sealed or second.work.sealed:
            both.wait(0.02)

    jobs.work.before = second.work.before = meet
    number = jobs.start(old(world), world.current_key.arn)
    other = Thread(target=second.service.join_job, args=(number,))
    other.start()
    view = jobs.service.join_job(number)
    other.join(60)
    assert jobs.work.sealed
    assert second.work.sealed
    sealed = [t.ref for t in (*jobs.work.sealed, *second.work.sealed)]
    assert len(sealed) == len(set(sealed)) == under_old
    assert jobs.service.show_job(number).done == under_old == view.done
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == under_old
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
def test_the_chunk_of_a_killed_process_returns_after_its_lease(
    jobs: Jobs, services: Container, superuser: Engine, world: World, environment: dict[str, str]
) -> None:
    number = jobs.start(Selection(everything=True), world.current_key.arn)
    command = [sys.executable, "-m", "tests.crypto_core.reencryption.jobs.working", str(number), "50", "1.5"]
    with subprocess.Popen(command, cwd=HOME, env={**os.environ, "PYTHONPATH": "."}) as process:
        wait_until(lambda: jobs.service.show_job(number).done >= 4)
        process.send_signal(signal.SIGKILL)
    done = jobs.service.show_job(number).done
    assert scalar(superuser, "SELECT count(*) FROM keydeck.job_chunk WHERE state = 'taken'") == 1
    view = jobs.service.join_job(number)
    assert view.state is JobState.DONE, view.why
    assert view.done > done
    # Also of tokens that stay in the selection, none is written or counted twice.
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == view.done
    assert (
        scalar(superuser, "SELECT count(DISTINCT (token_column, row_id)) FROM keydeck.envelope_backup")
        == view.done
    )
    assert scalar(superuser, "SELECT max(attempt) FROM keydeck.job_chunk") == 2
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
@pytest.mark.parametrize("when", ["before", "at work", "between the last two counts"])
def test_a_database_clock_that_goes_back_stops_no_job(
    services: Container, superuser: Engine, world: World, when: str
) -> None:
    jobs = jobs_of(services, lease_seconds=0.3, settle_seconds=0.5 if when.startswith("between") else 0.0)
    under_old = len(world.sealed_under(world.old_key))
    number = jobs.start(old(world), world.current_key.arn)
    # A process that died with a chunk.
    assert jobs.parts.chunks.claim_chunk(number, uuid4(), 15.0) is not None
    went_back = Event()

    def shift() -> None:
        if not went_back.is_set():
            went_back.set()
            clock_goes_back(superuser)

    def between() -> None:
        wait_until(lambda: bool(scalar(superuser, "SELECT count(*) FROM keydeck.job WHERE zeroes = 1")))
        shift()

    if when == "before":
        shift()
    else:
        with superuser.begin() as connection:
            connection.execute(text("UPDATE keydeck.job_chunk SET lease_until = clock_timestamp()"))
    if when == "at work":
        jobs.work.before = shift
    elif when != "before":
        Thread(target=between, daemon=True).start()
    view = jobs.service.join_job(number)
    assert went_back.is_set()
    assert view.state is JobState.DONE, view.why
    assert view.done == under_old == scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup")
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
def test_a_runner_whose_lease_was_lost_writes_nothing_more(
    jobs: Jobs, superuser: Engine, world: World
) -> None:
    number = jobs.start(old(world), world.current_key.arn)
    stolen: list[int] = []

    def steal() -> None:
        if not stolen and jobs.work.sealed:
            with superuser.begin() as connection:
                sql = "UPDATE keydeck.job_chunk SET attempt = attempt + 1 WHERE state = 'taken' RETURNING id"
                stolen.append(connection.execute(text(sql)).scalar_one())

    jobs.work.before = steal
    cancelled = Event()
    thread = Thread(target=jobs.service.join_job, args=(number,), kwargs={"cancelled": cancelled})
    thread.start()
    wait_until(lambda: bool(stolen) and jobs.service.show_job(number).chunks_done > 2)
    cancelled.set()
    thread.join(60)
    (chunk,) = stolen
    # What was counted in it before the theft is all that there is.
    assert scalar(superuser, f"SELECT done FROM keydeck.job_chunk WHERE id = {chunk}") == 0
    backups = scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup")
    assert backups == scalar(superuser, "SELECT sum(done) FROM keydeck.job_chunk")


@pytest.mark.quick(1)
@pytest.mark.parametrize("word", ["pause", "cancel"])
def test_a_job_that_is_paused_or_cancelled_asks_nothing_more(
    jobs: Jobs, services: Container, superuser: Engine, world: World, word: str
) -> None:
    number = jobs.start(old(world), world.current_key.arn)

    def wait() -> None:
        time.sleep(0.05)
        if len(jobs.work.sealed) == 5:
            getattr(jobs.service, f"{word}_job")(number)

    jobs.work.before = wait
    view = jobs.service.join_job(number)
    assert view.state.value == {"pause": "paused", "cancel": "cancelled"}[word]
    assert 0 < view.done < view.job.planned
    # What was sealed is written, and the chunk is given back behind it.
    assert view.done == len(jobs.work.sealed)
    assert scalar(superuser, "SELECT count(*) FROM keydeck.job_chunk WHERE state = 'taken'") == 0
    jobs.work.before = lambda: None
    if word == "cancel":
        for change in (jobs.service.resume_job, jobs.service.retry_job, jobs.service.pause_job):
            with pytest.raises(errors.JobError):
                change(number)
        assert jobs.service.join_job(number).done == view.done
    else:
        jobs.service.resume_job(number)
        assert jobs.service.join_job(number).done == view.job.planned
        refs = [t.ref for t in jobs.work.sealed]
        assert len(refs) == len(set(refs))
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


REFUSES = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;"
    " CREATE TRIGGER refuse BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION refuse()"
)
MENDED = "DROP TRIGGER refuse ON gh_connection"
PARTITIONED = (
    "ALTER TABLE gh_connection RENAME TO flat; CREATE TABLE gh_connection (LIKE flat) PARTITION BY HASH (id);"
    " ALTER TABLE gh_connection ADD PRIMARY KEY (id); GRANT SELECT, UPDATE ON gh_connection TO operator;"
    " CREATE TABLE gh_0 PARTITION OF gh_connection FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
    " CREATE TABLE gh_1 PARTITION OF gh_connection FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
    " INSERT INTO gh_connection SELECT * FROM flat; DROP TABLE flat; "
)
GRANTED = "GRANT INSERT ON audit TO operator"
REFUSALS = {
    "a row": (
        REFUSES.format(
            "IF NEW.id IN (SELECT min(id) FROM gh_connection) THEN RAISE 'not it'; END IF;", "gh_connection"
        ),
        MENDED,
        "id = (SELECT min(id) FROM gh_connection)",
        ("not it", "Have the table's owner"),
    ),
    "an audit trigger": (
        "CREATE TABLE audit (id text); REVOKE ALL ON audit FROM operator; "
        + REFUSES.format("INSERT INTO public.audit VALUES (NEW.id);", "gh_connection"),
        GRANTED,
        "true",
        ("Needed: GRANT INSERT ON public.audit TO the role, or", "SECURITY DEFINER"),
    ),
    "words of another language": (
        REFUSES.format(
            "RAISE 'keine Berechtigung für Schema revision' USING ERRCODE = '42501';", "gh_connection"
        ),
        MENDED,
        "true",
        ("für Schema revision", "SECURITY DEFINER"),
    ),
    "no replica identity": (
        "CREATE PUBLICATION p FOR ALL TABLES; ALTER TABLE gh_connection REPLICA IDENTITY NOTHING",
        "ALTER TABLE gh_connection REPLICA IDENTITY DEFAULT",
        "true",
        ("set REPLICA IDENTITY using ALTER TABLE",),
    ),
    "a partition": (
        PARTITIONED + REFUSES.format("RAISE 'closed' USING ERRCODE = '55000';", "gh_1"),
        "DROP TRIGGER refuse ON gh_1",
        "id IN (SELECT id FROM gh_1)",
        ("closed", "Have the table's owner"),
    ),
}


@pytest.mark.deep
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_the_database_refuses_is_recorded_counted_and_retried(
    services: Container, superuser: Engine, world: World, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.batch_sink.ALIKE", 2)
    refuse, mend, which, says = REFUSALS[refusal]
    jobs = jobs_of(services)
    with superuser.begin() as connection:
        connection.execute(text(refuse))
        ids = set(connection.scalars(text(f"SELECT id FROM gh_connection WHERE {which}")))
    number = jobs.start(old(world), world.current_key.arn)
    view = jobs.service.join_job(number)
    blocked = [r for r in world.sealed_under(world.old_key) if r.table == "gh_connection" and r.row_id in ids]
    assert 0 < len(blocked) < view.job.planned
    assert (view.state, view.poisoned, view.complete) == (JobState.DONE, len(blocked), False), view.why
    assert dict(view.errors) == {"refused-by-database": len(blocked)}
    assert view.done == view.job.planned - len(blocked)
    told = jobs.service.unwritten(number, "refused-by-database")
    assert {u.reference for u in told} == {str(r) for r in blocked}
    assert all(words in u.reason for u in told for words in says), told[0].reason
    assert jobs.service.unwritten(number, "another-kind") == ()
    with superuser.begin() as connection:
        connection.execute(text(mend))
    assert jobs.service.retry_job(number) == len(blocked)
    again = jobs.service.join_job(number)
    assert (again.poisoned, again.done, again.complete) == (0, view.job.planned, True)
    assert services.services.status.take_census().tokens_under(world.old_key.arn) == 0
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
def test_a_full_disk_is_waited_out(jobs: Jobs, services: Container, superuser: Engine, world: World) -> None:
    with superuser.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER full_disk BEFORE INSERT ON keydeck.envelope_backup"
                " FOR EACH ROW EXECUTE FUNCTION full_disk()"
            )
        )
    number = jobs.start(old(world), world.current_key.arn)
    views: list[JobView] = []

    def progress(view: JobView) -> None:
        views.append(view)
        if len(views) == 2:
            with superuser.begin() as connection:
                connection.execute(text("DROP TRIGGER full_disk ON keydeck.envelope_backup"))

    view = jobs.service.join_job(number, progress=progress)
    assert views[1].done == 0
    assert (view.state, view.poisoned, view.done) == (JobState.DONE, 0, view.job.planned)
    # Nothing was sealed twice for it.
    assert len(jobs.work.sealed) == view.job.planned
    assert all_hold_their_tokens(TokenCipher(services.keyring), superuser, world)


@pytest.mark.deep
def test_a_row_that_another_transaction_holds_does_not_hold_up_the_others(
    jobs: Jobs, services: Container, platform: Engine, world: World
) -> None:
    ref = next(r for r in world.sealed_under(world.old_key) if r.table == "jira_connection")
    number = jobs.start(old(world), world.current_key.arn)
    with platform.connect() as holder:
        holder.execute(text("SELECT FROM jira_connection WHERE id = :id FOR UPDATE"), {"id": ref.row_id})
        others = {r for r in world.sealed_under(world.old_key) if r.row_id != ref.row_id}
        thread = Thread(target=jobs.service.join_job, args=(number,))
        thread.start()
        wait_until(lambda: jobs.service.show_job(number).done >= len(others))
    thread.join(60)
    view = jobs.service.show_job(number)
    assert (view.state, view.poisoned, view.done) == (JobState.DONE, 0, view.job.planned)


@pytest.mark.deep
def test_losing_the_lease_rolls_a_batch_back(jobs: Jobs, superuser: Engine, world: World) -> None:
    number = jobs.start(old(world), world.current_key.arn)
    parts = jobs.parts
    first = parts.chunks.claim_chunk(number, uuid4(), 0.0)
    assert first is not None
    second = parts.chunks.claim_chunk(number, uuid4(), 60.0)
    assert second is not None
    assert (second.id, second.attempt) == (first.id, 2)
    with pytest.raises(errors.LeaseLostError), connected(parts.engine, write=True) as connection:
        parts.chunks.count_batch(connection, first, "x", BatchCounts(done=1))
    for give_back in (
        lambda: parts.chunks.finish_chunk(first, BatchCounts()),
        lambda: parts.chunks.release_chunk(first, None, BatchCounts()),
    ):
        with pytest.raises(errors.LeaseLostError):
            give_back()
    parts.chunks.finish_chunk(second, BatchCounts())
    assert scalar(superuser, f"SELECT done FROM keydeck.job_chunk WHERE id = {first.id}") == 0


def test_processes_hear_of_their_mean_pace(jobs: Jobs, world: World) -> None:
    job, store = jobs.start(old(world), world.current_key.arn), jobs.parts.jobs
    one, two, idle = uuid4(), uuid4(), uuid4()
    for runner in (one, two, idle):
        store.enlist(job, runner, host="ops", pid=1, actor="ana")
    assert store.sample(job, idle, [{"calls": 0, "pace": 9.0}]) == 0.0
    assert store.sample(job, one, [{"calls": 5, "pace": 1.0}, {"calls": 5, "pace": 100.0}]) == 100.0
    assert store.sample(job, two, [{"calls": 5, "pace": 300.0}]) == 200.0
