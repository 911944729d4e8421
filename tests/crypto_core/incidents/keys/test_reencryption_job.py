"""Re-encrypting and encrypting in place: one job, followed, gone on with, and proved by the census."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.keys.toolbox import key_tools
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.errors import JobError, KmsError, NotConfirmedError, RefusedError
from tests.crypto_core.incidents.keys.conftest import Scene, told

REENCRYPT, EMPTY = ActionKind.REENCRYPT, CheckKind.NOTHING_UNDER_KEY
ENCRYPT, SEALED = ActionKind.ENCRYPT_UNPROTECTED, CheckKind.NOTHING_UNPROTECTED


@pytest.fixture
def moved(scene: Scene) -> Scene:
    scene.stage.connect(scene.key, 3)
    scene.values["new_key"] = scene.stage.key()
    return scene


@pytest.mark.deep
def test_all_that_is_under_the_old_key_is_moved_by_one_job_also_after_a_crash(moved: Scene) -> None:
    scene = moved
    before = scene.look(EMPTY)
    assert (before.state, before.done, before.total) == (CheckState.NOT_YET, 0, 3)
    plan = scene.plan(REENCRYPT)
    assert (plan.danger, plan.confirmation, plan.digest) == (Danger.TYPED, "3", plan.inner.digest)
    for consent in (None, Consent.typed(plan, "4")):
        with pytest.raises(NotConfirmedError):
            scene.tools.actions[REENCRYPT].run_action(scene.situation(), plan, consent)
    # The console ends after the job was started and before it is remembered.
    scene.works = False
    started = scene.run(REENCRYPT, plan)
    assert not started.complete
    job = started.values["job"]
    assert f"Job {job} was handed over: " in told(started), "it may have ended by the time this is read"
    scene.values.pop("job")
    running = scene.look(EMPTY)
    assert running.state is CheckState.NOT_YET
    assert f"No process works on it: run the step's action again, or keydeck jobs join {job}" in told(running)
    with pytest.raises(RefusedError, match="does this already"):
        scene.run(REENCRYPT, plan)
    scene.at_work.add(int(job))
    assert "Processes here are starting to work on it" in told(scene.look(EMPTY))
    scene.at_work.clear()
    scene.works = True
    again = scene.plan(REENCRYPT)
    assert again.title == f"Continue job {job}"
    assert again.danger is Danger.CONFIRM
    ended = scene.run(REENCRYPT, again)
    assert ended.complete, told(ended)
    assert ended.values == {"job": job}
    assert scene.worked_on[-1] == (int(job), (scene.key, scene.values["new_key"]))
    assert len(scene.jobs.service.jobs()) == 1
    proved = scene.look(EMPTY)
    assert (proved.state, proved.done, proved.total) == (CheckState.PASSED, 3, 3), told(proved)
    assert "3 replaced envelopes under it" in told(proved)
    # What comes late takes a job of its own; with nothing left there is nothing to do.
    assert scene.do(REENCRYPT).lines == ("There is no such token: nothing had to be written.",)
    scene.stage.connect(scene.key)
    assert scene.look(EMPTY).state is CheckState.NOT_YET
    assert scene.do(REENCRYPT).complete
    assert len(scene.jobs.service.jobs()) == 2


@pytest.mark.deep
def test_kms_opens_every_new_envelope_so_that_one_wrong_data_key_in_three_stops_the_job(
    moved: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that errs after the first answer, which alone is looked at where a job samples."""
    monkeypatch.setattr("crypto_core.reencryption.bulk.token_sealer.PROVED", 10**12)
    moved.stage.connect(moved.key, 20)
    moved.sandbox.control.add_fault(Fault("GenerateDataKey", "another bit", fraction=1 / 3))
    with suppress(KmsError):
        assert not moved.do(REENCRYPT).complete
    moved.sandbox.control.clear()
    result = moved.do(REENCRYPT)
    (view,) = moved.jobs.service.jobs()
    assert result.complete, told(result)
    assert view.opened == f"all {view.done:,}"
    assert f"opened before they were written: {view.opened}" in told(result)
    cipher = TokenCipher(moved.container.keyring.limited_to(new := moved.values["new_key"]))
    scope = moved.container.status.prove(everywhere=False).scope_under(new)
    for page in moved.container.store.pages(scope, size=100):
        for token in page:
            cipher.open(token.value.reveal(), ref=token.ref).token.wipe()


@pytest.mark.deep
def test_a_paused_job_is_resumed_and_a_cancelled_one_is_not(moved: Scene) -> None:
    scene = moved
    scene.works = False
    job = int(scene.do(REENCRYPT).values["job"])
    scene.jobs.service.pause_job(job)
    assert "is paused" in told(scene.look(EMPTY))
    scene.do(REENCRYPT)
    assert scene.jobs.service.show_job(job).state == "running"
    scene.jobs.service.cancel_job(job)
    assert scene.look(EMPTY).state is CheckState.FAILED
    scene.works = True
    other = scene.do(REENCRYPT)
    assert other.complete
    assert int(other.values["job"]) != job


@pytest.mark.deep
def test_a_token_that_can_not_be_written_is_named_and_tried_again(moved: Scene, platform: Engine) -> None:
    scene = moved
    with platform.begin() as connection:
        row_id, stored = connection.execute(text("SELECT id, bot_token FROM slack_connection LIMIT 1")).one()
        parts = base64.b64decode(stored).split(b"|")
        cipher = bytearray(base64.b64decode(parts[3]))
        cipher[0] ^= 1
        parts[3] = base64.b64encode(bytes(cipher))
        damaged = base64.b64encode(b"|".join(parts)).decode()
        update = text("UPDATE slack_connection SET bot_token = :v WHERE id = :id")
        connection.execute(update, {"v": damaged, "id": row_id})
    result = scene.do(REENCRYPT)
    reference = f"slack_connection.bot_token:{row_id}"
    assert not result.complete
    assert reference in told(result)
    look = scene.look(EMPTY)
    assert look.state is CheckState.FAILED
    assert reference in told(look)
    retry = scene.plan(REENCRYPT)
    assert retry.title.startswith("Try again what job")
    with platform.begin() as connection:
        connection.execute(update, {"v": stored, "id": row_id})
    assert scene.run(REENCRYPT, retry).complete
    assert scene.look(EMPTY).state is CheckState.PASSED


@pytest.mark.deep
def test_what_was_not_protected_is_encrypted_in_place(moved: Scene) -> None:
    scene = moved
    assert scene.look(SEALED).state is CheckState.PASSED
    nothing = scene.do(ENCRYPT)
    assert nothing.complete
    assert nothing.values == {}
    scene.stage.connect_in_plaintext(2)
    before = scene.look(SEALED)
    assert before.state is CheckState.NOT_YET
    assert "slack_connection.bot_token: 2 tokens" in told(before)
    result = scene.do(ENCRYPT)
    assert result.complete
    assert set(result.values) == {"encrypt_job"}
    assert scene.look(SEALED).state is CheckState.PASSED


def test_without_a_new_key_nothing_is_planned_and_without_a_job_nothing_left_is_counted_twice(
    scene: Scene,
) -> None:
    for kind in (REENCRYPT, ENCRYPT):
        with pytest.raises(RefusedError, match="no new key yet"):
            scene.plan(kind)
    look = scene.look(EMPTY)
    assert look.state is CheckState.PASSED
    assert "counted again" in told(look)


@pytest.mark.deep
def test_a_process_that_does_not_start_is_said_and_the_job_is_remembered(moved: Scene) -> None:
    def refuse(job: int, trusted: tuple[str, ...]) -> None:
        raise JobError("No process could be started.")

    moved._work_on = refuse  # type: ignore[method-assign]
    moved.tools = key_tools(moved._services(moved.container))
    result = moved.do(REENCRYPT)
    assert result.values["job"]
    assert f"keydeck jobs join {result.values['job']} --trust {moved.key}" in told(result)


def test_what_aws_does_not_tell_is_not_known(
    moved: Scene, fail: Callable[[str, str], None], sandbox: Sandbox
) -> None:
    fail("DescribeKey", "KMSInternalException")
    for kind in (EMPTY, CheckKind.KEY_STATE, CheckKind.KEY_LOCKED_DOWN, CheckKind.PLATFORM_SWITCHED):
        assert moved.look(kind, **({"state": "Enabled"} if kind is CheckKind.KEY_STATE else {})).state is (
            CheckState.UNKNOWN
        )
    sandbox.control.clear()


@pytest.mark.deep
def test_what_a_dead_database_does_not_tell_is_not_known(
    moved: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    container = Container(load().settings)
    dead = Scene(moved.stage, moved.sandbox, container)
    dead.values = dict(moved.values)
    for kind in (EMPTY, SEALED, CheckKind.PLATFORM_SWITCHED, CheckKind.SCOPE_KNOWN):
        look = dead.look(kind)
        assert look.state is CheckState.UNKNOWN, (kind, look)
        assert "database" in told(look).lower()
    container.close()
