"""A job is undone where nothing newer is there, and its backups are forgotten on demand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens.backups import backups_under, replaced, written_by_keydeck
from crypto_core.database.tokens.store import digest
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from tests.console.command_types import NewKey, Stored
from tests.crypto_core.reencryption.jobs.working import Jobs, jobs_of

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def jobs(services: Container) -> Jobs:
    return jobs_of(services)


@pytest.fixture
def done(jobs: Jobs, world: World) -> int:
    """A job that has emptied the old key."""
    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert jobs.service.join_job(number).complete
    return number


def put_back(jobs: Jobs, number: int) -> int:
    plan = jobs.undoing.plan_restore(number)
    return jobs.undoing.start_restore(plan, Consent.by_option(plan))


@pytest.mark.deep
def test_a_job_is_undone_but_for_what_is_newer(
    jobs: Jobs,
    services: Container,
    superuser: Engine,
    platform: Engine,
    world: World,
    done: int,
    stored: Stored,
) -> None:
    refs = world.sealed_under(world.old_key)
    newer = next(r for r in refs if r.table == "gh_connection")
    value = TokenCipher(services.keyring).encrypt("gho_newer", world.current_key.arn).stored
    with platform.begin() as connection:
        statement = f"UPDATE gh_connection SET {newer.column} = :stored WHERE id = :id"
        connection.execute(text(statement), {"stored": value, "id": newer.row_id})
    with superuser.connect() as connection:
        rows = connection.execute(text("SELECT token_column, row_id, envelope FROM keydeck.envelope_backup"))
        before = {TokenRef(*c.split("."), i): e for c, i, e in rows}
    undo = put_back(jobs, done)
    view = jobs.service.join_job(undo)
    assert (view.state, view.job.restores, view.poisoned) == (JobState.DONE, done, 0)
    assert view.done == len(refs) - 1
    assert stored(newer) == value
    assert {ref: stored(ref) for ref in refs if ref != newer} == {
        ref: envelope for ref, envelope in before.items() if ref != newer
    }
    # What was there is kept as well: undoing can be undone.
    assert jobs.undoing.plan_restore(undo).tokens == len(refs) - 1
    again = jobs.service.join_job(put_back(jobs, undo))
    assert again.done == len(refs) - 1
    assert services.services.status.take_census().tokens_under(world.old_key.arn) == 0
    assert services.journal.verify() is None


@pytest.mark.deep
def test_what_a_later_job_wrote_is_not_undone_with_an_earlier_one(
    jobs: Jobs, services: Container, world: World, done: int, new_key: NewKey
) -> None:
    later = jobs.service.join_job(jobs.start(Selection(under_key=world.current_key.arn), new_key()))
    assert later.done
    view = jobs.service.join_job(put_back(jobs, done))
    assert (view.state, view.done) == (JobState.DONE, 0)
    assert services.services.status.take_census().tokens_under(world.old_key.arn) == 0


@pytest.mark.deep
def test_undoing_is_refused_where_it_could_not_be(
    jobs: Jobs, services: Container, world: World, done: int
) -> None:
    plan = jobs.undoing.plan_restore(done)
    with pytest.raises(NotConfirmedError):
        jobs.undoing.start_restore(plan, Consent.pressed(plan))
    in_place = jobs.start(Selection(unprotected=True), world.current_key.arn, Verb.ENCRYPT)
    with pytest.raises(RefusedError, match="plaintext is never kept"):
        jobs.undoing.plan_restore(in_place)
    purging = jobs.undoing.plan_purge(job=done)
    jobs.undoing.purge_backups(purging, Consent.by_option(purging))
    with pytest.raises(RefusedError, match="No envelope is kept"):
        jobs.undoing.plan_restore(done)
    told = [(entry.action, entry.outcome) for entry in services.journal.entries()]
    assert told[-5:] == [
        ("backups purge", "dry run"),
        ("backups purge", "started"),
        ("envelopes purged", "done"),
        ("backups purge", "done"),
        ("jobs restore", "refused"),
    ]


@pytest.mark.deep
def test_purged_envelopes_are_gone_and_their_tokens_still_count_as_keydecks(
    jobs: Jobs, services: Container, superuser: Engine, world: World, done: int
) -> None:
    refs = world.sealed_under(world.old_key)
    assert backups_under(services.engine, world.old_key.arn) == len(refs)
    assert jobs.undoing.plan_purge(before=EPOCH).envelopes == 0
    plan = jobs.undoing.plan_purge()
    assert plan.envelopes == len(refs)
    for consent in (None, Consent.pressed(plan), Consent.typed(plan, "7")):
        with pytest.raises(NotConfirmedError):
            jobs.undoing.purge_backups(plan, consent)
    assert jobs.undoing.purge_backups(plan, Consent.typed(plan, str(len(refs)))) == len(refs)
    with superuser.connect() as connection:
        kept = connection.scalar(text("SELECT count(envelope) FROM keydeck.envelope_backup"))
    assert kept == backups_under(services.engine, world.old_key.arn) == 0
    assert replaced(services.engine, refs[0]) == ()
    assert written_by_keydeck(services.engine, services.engine, refs, EPOCH) == set(refs)


@pytest.mark.deep
def test_what_does_not_open_is_undone_too(
    jobs: Jobs,
    services: Container,
    world: World,
    done: int,
    superuser: Engine,
    platform: Engine,
    stored: Stored,
) -> None:
    """A job wrote an envelope that nobody can open: what stood there before does open."""
    ref = next(r for r in world.sealed_under(world.old_key) if r.table == "gh_connection")
    broken = TokenCipher(services.keyring).encrypt("gho_other", world.current_key.arn).stored
    field = list(broken)
    field[-20:-10] = "AAAAAAAAAA"
    broken = "".join(field)
    with platform.begin() as connection:
        statement = f"UPDATE gh_connection SET {ref.column} = :stored WHERE id = :id"
        connection.execute(text(statement), {"stored": broken, "id": ref.row_id})
    with superuser.begin() as connection:
        statement = (
            "UPDATE keydeck.envelope_backup SET written_digest = :digest "
            "WHERE row_id = :id AND token_column = :c"
        )
        named = {"id": ref.row_id, "c": f"gh_connection.{ref.column}", "digest": digest(broken)}
        connection.execute(text(statement), named)
        kept = connection.scalar(
            text("SELECT envelope FROM keydeck.envelope_backup WHERE row_id = :id AND token_column = :c"),
            named,
        )
    view = jobs.service.join_job(put_back(jobs, done))
    assert (view.poisoned, view.done) == (0, len(world.sealed_under(world.old_key)))
    assert stored(ref) == kept
