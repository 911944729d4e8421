"""A job is done when a fresh proof says so: neither forged answers nor a KMS that errs for a while end it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Timer

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.tokens import chunks
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.jobs.final_census import quiet_seconds
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import IncorrectKeyError
from tests.crypto_core.reencryption.jobs.working import jobs_of


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for cut in (chunks.ChunkStore.cut_scope, chunks.ChunkStore.cut_picked, chunks.ChunkStore.cut_listed):
        monkeypatch.setattr(cut, "__kwdefaults__", {"size": 7})


def left_under_old(services: Container, world: World) -> int:
    """How many tokens of the old key still open with it alone."""
    cipher, old = TokenCipher(services.keyring), world.old_key.arn
    left = 0
    for token in services.store.read_many(world.sealed_under(world.old_key)):
        try:
            left += cipher.open(token.value.reveal(), old).wrapped_by.key_arn == old
        except IncorrectKeyError:
            continue
    return left


def forge(superuser: Engine, key_arn: str) -> None:
    """Every remembered answer, also those that are yet to come, names a key."""
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.key_answer SET key_arn = :arn"), {"arn": key_arn})
        connection.execute(
            text(
                "CREATE FUNCTION keydeck.forged() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN NEW.key_arn := '{key_arn}'; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER forged BEFORE INSERT OR UPDATE ON keydeck.key_answer "
                "FOR EACH ROW EXECUTE FUNCTION keydeck.forged()"
            )
        )


@pytest.mark.deep
@pytest.mark.parametrize("how", ["under the key", "all", "by a filter"])
def test_forged_answers_leave_nothing_under_the_key(
    services: Container, superuser: Engine, world: World, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.planner.LISTED", 5)
    old = world.old_key.arn
    services.services.status.take_census()
    forge(superuser, world.current_key.arn)
    assert services.services.status.take_census().tokens_under(old) == 0
    selection = {
        "under the key": Selection(under_key=old),
        "all": Selection(everything=True),
        "by a filter": Selection(filter="format:v1"),
    }[how]
    jobs = jobs_of(services)
    view = jobs.service.join_job(jobs.start(selection, world.current_key.arn))
    assert view.state is JobState.DONE, view.why
    assert view.poisoned <= len(world.corrupt)
    assert left_under_old(services, world) == 0


@pytest.mark.deep
def test_a_kms_that_names_another_key_for_a_while_leaves_nothing_under_the_old_one(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    jobs = jobs_of(services, settle_seconds=1.5)
    under = len(world.sealed_under(world.old_key))
    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    # Twelve tokens before the end it begins to err, and stops before the second of the two last proofs.
    ends: list[Timer] = []

    def before() -> None:
        if not ends and len(jobs.work.sealed) == under - 12:
            sandbox.control.add_fault(Fault("Decrypt", "another key", message=world.current_key.arn))
            ends.append(Timer(0.8, sandbox.control.clear))
            ends[0].start()

    jobs.work.before = before
    view = jobs.service.join_job(number)
    assert ends
    assert view.state is JobState.DONE, view.why
    unwritten = {one.reference for one in jobs.service.unwritten(number)}
    assert unwritten <= {str(ref) for ref in world.corrupt}
    assert left_under_old(services, world) == 0
    assert view.job.id == number
    assert services.status.prove(about=world.old_key.arn).tokens_under(world.old_key.arn) == 0


def test_the_last_census_of_a_job_is_a_fresh_proof_and_says_what_it_rests_on(
    services: Container, world: World
) -> None:
    jobs = jobs_of(services)
    view = jobs.service.join_job(jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn))
    assert view.census_after is not None
    proof = view.census_after["proof"]
    assert proof["complete"] is True
    assert proof["asked"] >= proof["groups"] > 0
    assert world.old_key.arn not in {answer["key_arn"] for answer in proof["answers"]}


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("took", "zeroes", "seconds"), [(0.2, 1, 1.0), (4.0, 1, 4.0), (900.0, 1, 10.0), (0.2, 2, 10.0)]
)
def test_the_second_proof_waits_as_long_as_the_job_took_but_seconds_at_most(
    services: Container, world: World, took: float, zeroes: int, seconds: float
) -> None:
    jobs = jobs_of(services)
    job = jobs.service.parts.jobs.get(
        jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    )
    began = job.created_at
    ended = replace(job, started_at=began, zero_at=began + timedelta(seconds=took), zeroes=zeroes)
    assert quiet_seconds(ended) == seconds
