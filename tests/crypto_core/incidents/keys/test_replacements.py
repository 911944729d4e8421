"""Before a key is taken away, every token that took the place of those under it is opened by KMS, now."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text

from console.sandbox.endpoint import Denial, Fault
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import EnvelopeV1, parse, serialise
from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.held_step import performing
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind
from crypto_core.values.errors import InterruptedRunError
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.agreed import agreed
from tests.crypto_core.incidents.keys.conftest import Scene, told
from tests.platform_rows import connect_slack

DISABLE, SCHEDULE = ActionKind.DISABLE_KEY, ActionKind.SCHEDULE_DELETION


@pytest.fixture
def replaced(scene: Scene) -> Scene:
    scene.values["new_key"] = scene.stage.key()
    scene.stage.connect(scene.values["new_key"], 2)
    return scene


def put_unopenable(scene: Scene, platform: Engine, key: str) -> tuple[str, str]:
    """Store a token whose data key was another than KMS wrapped; returns its reference and its row's id."""
    answer = scene.stage.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    flipped = bytearray(answer["Plaintext"])
    flipped[7] ^= 1
    sealed = EnvelopeV1.seal(Secret.of("xoxb-lost"), DataKey(flipped), answer["CiphertextBlob"])
    stored = serialise(sealed)
    (ref,) = connect_slack(platform, stored)
    forged = (
        "INSERT INTO keydeck.key_answer (envelope_digest, edk_prefix, key_arn, asked_at)"
        " VALUES (:digest, :prefix, :key, now())"
    )
    with scene.container.engine.begin() as connection:
        told = {"digest": digest(stored), "prefix": sealed.edk_prefix, "key": key}
        connection.execute(text(forged), told)
    return str(ref), ref.row_id


def state_of(scene: Scene) -> str:
    return str(scene.stage.kms.describe_key(KeyId=scene.key)["KeyMetadata"]["KeyState"])


@pytest.mark.deep
def test_a_token_that_does_not_open_keeps_the_old_key_whatever_is_remembered(
    replaced: Scene, platform: Engine
) -> None:
    scene, new = replaced, replaced.values["new_key"]
    lost, row_id = put_unopenable(scene, platform, new)
    plan = scene.plan(DISABLE)
    assert "First has KMS open every token under" in plan.does[0]
    assert "(3 now)" in plan.does[0]
    shown: list[tuple[int, int]] = []
    with performing(DISABLE.does.operations):
        refused = scene.tools.actions[DISABLE].run_action(
            scene.situation(), plan, agreed(plan), lambda *done: shown.append(done)
        )
    assert not refused.complete
    assert shown[-1] == (3, 3)
    assert state_of(scene) == "Enabled"
    assert "1 of 3 tokens" in told(refused)
    assert any(line.startswith(f"{lost}: ") for line in refused.lines)
    assert f"keydeck backups restore {lost}" in refused.lines
    (kept,) = refused.evidence
    assert (kept.kind, kept.content["opened"], kept.content["not_opened"]) == (CaptureKind.VERIFICATION, 2, 1)
    assert kept.content["under"] == [new]
    scene.values |= refused.values
    # A step that is run again opens all anew, unless the operator chooses to give up what does not open.
    assert scene.fields(DISABLE) == {"unopened": ""}
    assert not scene.do(DISABLE, {"unopened": "again"}).complete
    given_up = scene.plan(DISABLE, {"unopened": "give-up"})
    assert (given_up.danger, given_up.confirmation) == (Danger.TYPED, "1")
    assert given_up.digest != plan.digest
    assert given_up.inner.plans[0].as_json()["unopened"] == "1"
    assert not scene.run(DISABLE, given_up, Consent.by_option(given_up)).complete
    # What was typed is for one token, not for two.
    _, another = put_unopenable(scene, platform, new)
    assert not scene.run(DISABLE, given_up).complete
    assert state_of(scene) == "Enabled"
    scene.values["unopened"] = "1"
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM slack_connection WHERE id::text = :id"), {"id": another})
    assert scene.run(DISABLE, given_up).complete
    assert state_of(scene) == "Disabled"
    # Its deletion asks again; once all open, nothing has to be given up.
    assert not scene.do(SCHEDULE, days=7).complete
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM slack_connection WHERE id::text = :id"), {"id": row_id})
    done = scene.do(SCHEDULE, {"unopened": "again"}, days=7)
    assert done.complete, told(done)
    assert done.lines[0].startswith("KMS opened all of 2 tokens under ")
    assert scene.fields(DISABLE) == {}


def test_what_can_not_be_opened_now_is_not_taken_as_opened(replaced: Scene) -> None:
    scene, new = replaced, replaced.values["new_key"]
    plan = scene.plan(DISABLE)
    scene.sandbox.control.add_denial(Denial("*", "kms:Decrypt", new.rpartition("/")[2]))
    denied = scene.run(DISABLE, plan)
    assert not denied.complete
    assert denied.values == {"unopened": "2"}
    scene.sandbox.control.clear()
    scene.sandbox.control.add_fault(Fault("Decrypt", "KMSInternalException"))
    silent = scene.run(DISABLE, plan)
    assert not silent.complete
    assert silent.values == {"unopened": "uncounted"}
    assert "The key was left as it is." in silent.lines
    scene.sandbox.control.clear()
    stopped = scene.situation()
    assert stopped.cancelled is not None
    stopped.cancelled.set()
    with performing(DISABLE.does.operations), pytest.raises(InterruptedRunError):
        scene.tools.actions[DISABLE].run_action(stopped, plan, agreed(plan))
    assert state_of(scene) == "Enabled"


@pytest.mark.deep
def test_what_the_incidents_job_wrote_is_opened_whatever_its_values_say(
    scene: Scene, platform: Engine
) -> None:
    scene.stage.connect(scene.key, 3)
    new = scene.values["new_key"] = scene.stage.key()
    assert scene.do(ActionKind.REENCRYPT).complete
    scene.evidence["job"] = [json.dumps(dict(piece.content)) for piece in scene.capture(CaptureKind.JOB)]
    lost, row_id = put_unopenable(scene, platform, new)
    # Whoever can write to the incident's row names another key.
    scene.values = {"new_key": scene.stage.key()}
    refused = scene.do(DISABLE)
    assert not refused.complete
    assert f"keydeck backups restore {lost}" in refused.lines
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM slack_connection WHERE id::text = :id"), {"id": row_id})
        damaged_id, stored = connection.execute(
            text("SELECT id, bot_token FROM slack_connection LIMIT 1")
        ).one()
        # As if KMS had answered with a blob that no key opens: it is under no key that is known.
        whole = parse(stored)
        damaged = serialise(whole.rewrapped(bytes(40) + whole.encrypted_data_key[40:], new))
        update = text("UPDATE slack_connection SET bot_token = :token WHERE id = :id")
        connection.execute(update, {"token": damaged, "id": damaged_id})
    with scene.container.engine.begin() as connection:
        written = "UPDATE keydeck.envelope_backup SET written_digest = :now WHERE written_digest = :before"
        connection.execute(text(written), {"now": digest(damaged), "before": digest(stored)})
    refused = scene.do(DISABLE, {"unopened": "again"})
    assert f"keydeck backups restore slack_connection.bot_token:{damaged_id}" in refused.lines, told(refused)
    # Nothing of the three is where the job has put them: that is no reason to go on.
    scene.stage.empty()
    strange = scene.do(DISABLE, {"unopened": "again"})
    assert not strange.complete
    assert "3 tokens moved there by this incident, none is there now" in told(strange)
    assert state_of(scene) == "Enabled"


def test_an_incident_that_moved_no_token_has_none_opened(scene: Scene) -> None:
    plan = scene.plan(DISABLE)
    assert plan.does[0] == "This incident has moved no token to another key: none is opened first."
    done = scene.run(DISABLE, plan)
    assert done.complete
    assert done.evidence == ()
    assert done.lines[0] == "The incident has moved no token to another key: there was nothing to open."
