"""A job goes on through a database that stops, while the platform writes, and loses no token."""

from __future__ import annotations

import random
from collections.abc import Collection
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens import chunks
from crypto_core.database.tokens.store import TokenStore
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.replacement import UseSeen
from crypto_core.reencryption.jobs.final_census import Closer, Closing
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import DatabaseError, DatabaseUnreachableError
from tests.crypto_core.reencryption.jobs.working import jobs_of

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks.ChunkStore.cut_scope, "__kwdefaults__", {"size": 7})


def opened(container: Container, engine: Engine, ids: Collection[str]) -> dict[str, str]:
    cipher = TokenCipher(container.keyring)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, access_token FROM gh_connection")).all()
    return {row_id: cipher.decrypt(stored).reveal() for row_id, stored in rows if row_id in ids}


def test_a_database_that_is_restarted_in_the_middle_only_delays_a_job(
    own: Sandbox, container: Container
) -> None:
    world, jobs = own.world, jobs_of(container)
    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    restarted: list[int] = []

    def before() -> None:
        if not restarted and len(jobs.work.sealed) == 3:
            restarted.append(3)
            own.postgres.stop()
            own.postgres.restart()

    jobs.work.before = before
    view = jobs.service.join_job(number)
    assert restarted
    assert (view.state, view.poisoned, view.done) == (
        JobState.DONE,
        0,
        len(world.sealed_under(world.old_key)),
    )
    assert container.services.status.take_census().tokens_under(world.old_key.arn) == 0
    assert container.journal.verify() is None


def test_what_the_platform_writes_meanwhile_stays_and_is_found_by_the_closing_census(
    own: Sandbox, container: Container
) -> None:
    """The platform still seals under the old key, and changes, removes and adds rows."""
    world, jobs = own.world, jobs_of(container)
    platform = open_engine(own.platform_database_url)
    cipher = TokenCipher(container.keyring.trusting(world.old_key.arn))
    last: dict[str, str | None] = {}
    stop, trouble = Event(), list[BaseException]()
    ids = [r.row_id for r in world.sealed_under(world.old_key) if r.table == "gh_connection"]
    ids = sorted(set(ids))

    def write() -> None:
        dice = random.Random(7)
        number = 0
        try:
            while not stop.is_set():
                number += 1
                value = f"gho_written{number:029d}"
                stored = cipher.encrypt(value, world.old_key.arn).stored
                row_id, way = dice.choice(ids), number % 4
                with platform.begin() as connection:
                    if way == 0:
                        connection.execute(
                            text(
                                "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type,"
                                " scopes, created_at) VALUES (:id, 'o', 'u', :stored, 'oauth', '[]', now())"
                            ),
                            {"id": f"new-{number}", "stored": stored},
                        )
                        last[f"new-{number}"] = value
                    elif way == 1 and number % 8 == 1:
                        connection.execute(text("DELETE FROM gh_connection WHERE id = :id"), {"id": row_id})
                        last[row_id] = None
                    elif last.get(row_id, "") is not None:
                        sql = "UPDATE gh_connection SET access_token = :stored WHERE id = :id"
                        connection.execute(text(sql), {"id": row_id, "stored": stored})
                        last[row_id] = value
                sleep(0.01)
        except BaseException as error:  # noqa: BLE001  # told by the test
            trouble.append(error)

    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    planned = jobs.service.show_job(number).job.planned
    writer = Thread(target=write)
    writer.start()
    views: list[JobView] = []

    def progress(view: JobView) -> None:
        views.append(view)
        # The platform is switched to the new key once a wave has found what it wrote.
        if view.wave > 1:
            stop.set()

    view = jobs.service.join_job(number, progress=progress)
    stop.set()
    writer.join(60)
    assert not trouble
    assert view.state is JobState.DONE, view.why
    assert view.wave > 1
    assert (view.poisoned, view.remaining) == (0, 0)
    assert view.done > planned // 2
    status = container.services.status.take_census()
    assert status.tokens_under(world.old_key.arn) == 0
    now = opened(container, platform, last)
    assert sum(value is None for value in last.values()) > 0
    for row_id, value in last.items():
        assert now.get(row_id) == value
    platform.dispose()


def test_a_key_that_is_still_sealed_under_keeps_a_job_open(own: Sandbox, container: Container) -> None:
    world = own.world
    asked: list[int] = []

    class Trail:
        """CloudTrail tells of a seal the first two times."""

        def uses(self, key_arns: object, since: object, *, cancelled: object = None) -> UseSeen:
            asked.append(1)
            seals = int(len(asked) < 3)
            return UseSeen(since, uses=seals, seals=seals, by=("platform",))  # type: ignore[arg-type]

    jobs = jobs_of(container, witness=Trail())  # type: ignore[arg-type]
    view = jobs.service.join_job(jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn))
    assert (view.state, view.zeroes, len(asked)) == (JobState.DONE, 4, 3)
    assert not any("Still in use" in remark for remark in view.remarks)


def test_what_a_transaction_counted_whose_end_was_not_heard_of_is_not_counted_again(
    own: Sandbox, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each batch's first two tries the answer to COMMIT is lost, while tokens change; some are damaged."""
    world, jobs = own.world, jobs_of(container)
    platform = open_engine(own.platform_database_url)
    number = jobs.start(Selection(everything=True), world.current_key.arn)
    write, lost = TokenStore.write_tokens, list[int]()

    def unheard(self: TokenStore, *arguments: Any, **options: Any) -> Any:
        written = write(self, *arguments, **options)
        lost.append(1)
        if len(lost) % 3:
            raise DatabaseUnreachableError("The connection was lost.")
        return written

    monkeypatch.setattr(TokenStore, "write_tokens", unheard)
    changed: list[str] = []
    cipher = TokenCipher(container.keyring)

    def before() -> None:
        """Change a token that is sealed and not yet written, every other time to what is no envelope."""
        sealed = jobs.work.sealed
        if not sealed or len(changed) == 6:
            return
        last = sealed[-1]
        value = "gho_plain" if len(changed) % 2 else cipher.encrypt("gho_sealed", world.old_key.arn).stored
        sql = f"UPDATE {last.ref.table} SET {last.ref.column} = :v WHERE id::text = :id AND"
        told = {"id": last.ref.row_id, "v": value, "was": last.value.reveal()}
        with platform.begin() as connection:
            found = connection.execute(text(f"{sql} {last.ref.column} = :was"), told)
        changed.extend([str(last.ref)] * found.rowcount)

    jobs.work.before = before
    view = jobs.service.join_job(number)
    assert view.state is JobState.DONE, view.why
    assert len(changed) == 6
    sums = "sum(done), sum(changed), sum(poisoned), sum(conflicts), sum(kms_calls), sum(expected)"
    with container.engine.connect() as connection:
        row = connection.execute(text(f"SELECT {sums} FROM keydeck.job_chunk")).one()
        backups = connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup"))
    done, gone, poisoned, conflicts, calls, expected = row
    # Whatever was sealed was written, or found changed, or could not be.
    assert done + conflicts + poisoned == len(jobs.work.sealed)
    assert (done, poisoned) == (backups, view.poisoned)
    assert done + gone + poisoned == expected
    assert conflicts >= gone >= 1
    assert calls == jobs.work.calls
    assert container.journal.verify() is None
    platform.dispose()


@pytest.mark.parametrize(
    ("everything", "error"),
    [(False, "KMSInternalException"), (False, "reset"), (True, "ThrottlingException")],
)
def test_a_census_that_kms_keeps_from_being_whole_ends_no_job(
    own: Sandbox, container: Container, monkeypatch: pytest.MonkeyPatch, everything: bool, error: str
) -> None:
    """The platform's key got new material, which only KMS can tell whose it is, and KMS fails just then."""
    world, jobs = own.world, jobs_of(container)
    platform = open_engine(own.platform_database_url)
    cipher = TokenCipher(container.keyring.trusting(world.old_key.arn))
    selection = Selection(everything=True) if everything else Selection(under_key=world.old_key.arn)
    number = jobs.start(selection, world.current_key.arn)
    failing: list[int] = []
    close = Closer.close_job

    def closed(self: Closer, *arguments: Any) -> Closing:
        if not failing:
            failing.append(12)
            own.client("kms").rotate_key_on_demand(KeyId=world.old_key.arn)
            stored = cipher.encrypt("gho_written_meanwhile", world.old_key.arn).stored
            with platform.begin() as connection:
                sql = "UPDATE gh_connection SET access_token = :stored WHERE id = :id"
                connection.execute(text(sql), {"stored": stored, "id": row_id})
            own.control.add_fault(Fault("Decrypt", error, count=12))
        return close(self, *arguments)

    row_id = next(r.row_id for r in world.sealed_under(world.old_key) if r.column == "access_token")
    monkeypatch.setattr(Closer, "close_job", closed)
    view = jobs.service.join_job(number)
    assert failing
    assert (view.state, view.wave) == (JobState.DONE, 2), view.why
    with platform.connect() as connection:
        sql = "SELECT access_token FROM gh_connection WHERE id = :id"
        found = cipher.open(str(connection.scalar(text(sql), {"id": row_id})))
    assert found.wrapped_by.key_arn == world.current_key.arn
    assert found.token.reveal() == "gho_written_meanwhile"
    assert not any("not whole" in remark for remark in view.remarks)
    platform.dispose()


def test_a_key_that_fails_for_good_fails_the_job_until_it_is_resumed(
    own: Sandbox, container: Container
) -> None:
    world, jobs = own.world, jobs_of(container)
    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    own.control.set_key_state(world.current_key.arn, "Disabled")
    with pytest.raises(Exception, match="disabled") as caught:
        jobs.service.join_job(number)
    assert not isinstance(caught.value, DatabaseError)
    view = jobs.service.show_job(number)
    assert (view.state, view.poisoned) == (JobState.FAILED, 0)
    assert "disabled" in view.why
    assert jobs.service.join_job(number).done == view.done
    own.control.set_key_state(world.current_key.arn, "Enabled")
    jobs.service.resume_job(number)
    assert jobs.service.join_job(number).complete
