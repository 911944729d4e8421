"""A job is worked on as it was confirmed, whoever has changed its row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.jobs.service import NOT_READABLE
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import JobChangedError
from crypto_core.values.references import TokenRef
from tests.console.command_types import Stored

RUNNER = (
    "INSERT INTO keydeck.job_runner (id, job_id, host, pid, actor, started_at, seen_at, samples)"
    " VALUES (gen_random_uuid(), :id, 'h', 1, 'a', now(), now(), '[{}]')"
)

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def ref(world: World) -> TokenRef:
    return world.sealed_under(world.old_key)[0]


@pytest.fixture
def job(services: Container, world: World, ref: TokenRef) -> int:
    plan = services.tokens.jobs.plan_job(
        Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions()
    )
    return services.tokens.jobs.start_job(plan, Consent.pressed(plan))


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "change",
    [
        "target_key_arn = :key",
        "source_key_arn = :key",
        "write_format = 'v2'",
        "allow_downgrade = true",
        "verb = 'rewrap'",
        """scope = '{"formats": ["v1"]}'""",
        "plan = plan - 'selected'",
        """plan = plan || '{"binding": "another"}'""",
        "run_id = gen_random_uuid()",
    ],
)
def test_a_job_whose_row_was_changed_writes_nothing(
    services: Container, superuser: Engine, world: World, stored: Stored, ref: TokenRef, job: int, change: str
) -> None:
    before = stored(ref)
    with superuser.begin() as connection:
        key = {"key": world.old_key.arn} if ":key" in change else {}
        connection.execute(text(f"UPDATE keydeck.job SET {change}"), key)
    with pytest.raises(JobChangedError):
        services.tokens.jobs.join_job(job)
    assert stored(ref) == before


def test_what_steers_a_job_may_change(services: Container, superuser: Engine, job: int) -> None:
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.job SET calls_per_second = 7, wave = 1, why = 'x'"))
    assert services.tokens.jobs.join_job(job).done == 1


def test_a_job_that_nobody_confirmed_is_not_worked_on(
    services: Container, superuser: Engine, job: int
) -> None:
    columns = (
        "verb, state, selection, scope, target_key_arn, write_format, allow_downgrade, verify, plan,"
        " plan_digest, planned, calls_per_second, created_by, host, consent, created_at"
    )
    copied = (
        f"INSERT INTO keydeck.job (run_id, {columns}) SELECT gen_random_uuid(), {columns} FROM keydeck.job"
    )
    with superuser.begin() as connection:
        other = connection.scalar(text(f"{copied} RETURNING id"))
    with pytest.raises(JobChangedError, match="not confirmed"):
        services.tokens.jobs.join_job(int(other or 0))


def test_the_first_entry_of_a_run_counts(
    services: Container, superuser: Engine, world: World, job: int
) -> None:
    """Who may call the journal's function can add another beginning, and not put it before the true one."""
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.job SET target_key_arn = :key"), {"key": world.old_key.arn})
        forged = "SELECT keydeck.append_to_journal('a', 'h', 'reencrypt', 's', 'started', :detail)"
        run = connection.scalar(text("SELECT run_id FROM keydeck.job"))
        connection.execute(text(forged), {"detail": f'{{"run": "{run}"}}'})
    with pytest.raises(JobChangedError):
        services.tokens.jobs.join_job(job)


def test_a_job_that_was_begun_before_there_were_digests_is_begun_anew(
    services: Container, forge: Callable[..., None], job: int
) -> None:
    forge("UPDATE keydeck.journal SET detail = (detail::jsonb - 'terms')::text")
    with pytest.raises(JobChangedError) as refused:
        services.tokens.jobs.join_job(job)
    assert f"keydeck jobs cancel {job}" in refused.value.remedy


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE keydeck.job SET state = 'adversary' WHERE id = :id",
        "UPDATE keydeck.job SET verb = 'adversary' WHERE id = :id",
        "UPDATE keydeck.job SET remarks = '7' WHERE id = :id",
        RUNNER,
    ],
)
def test_a_job_that_cannot_be_read_hides_no_other(
    services: Container, superuser: Engine, world: World, ref: TokenRef, job: int, change: str
) -> None:
    plan = services.tokens.jobs.plan_job(
        Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions()
    )
    other = services.tokens.jobs.start_job(plan, Consent.pressed(plan))
    with superuser.begin() as connection:
        connection.execute(text(change), {"id": job})
    listed = {view.job.id: view.why for view in services.tokens.jobs.jobs()}
    assert (listed[job], listed[other]) == (NOT_READABLE, "")
