"""Every action about keys performs the operations that it names, all of them and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from sqlalchemy import Engine, text

from console.sandbox.sandbox import Sandbox
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.values.errors import RefusedError
from tests.crypto_core.incidents.keys.conftest import PLATFORM, Scene


@pytest.mark.deep
def test_a_key_is_created_and_its_alias_set_later(
    scene: Scene, fail: Callable[[str, str], None], sandbox: Sandbox
) -> None:
    inputs = {"platform": PLATFORM, "alias": f"alias/named-{scene.key[-8:]}"}
    fail("CreateAlias", "KMSInternalException")
    made = scene.do(ActionKind.CREATE_KEY, inputs)
    sandbox.control.clear()
    scene.values.clear()
    assert scene.do(ActionKind.CREATE_KEY, inputs).values["new_key"] == made.values["new_key"]
    performs_what_it_names(scene, ActionKind.CREATE_KEY)


@pytest.mark.deep
def test_a_policy_is_put_and_grants_are_revoked(scene: Scene) -> None:
    scene.stage.kms.create_grant(KeyId=scene.key, GranteePrincipal=PLATFORM, Operations=["Decrypt"])
    assert scene.do(ActionKind.LOCK_DOWN_KEY, {"platform": "no"}).complete
    performs_what_it_names(scene, ActionKind.LOCK_DOWN_KEY)


@pytest.mark.deep
@pytest.mark.parametrize("kind", [ActionKind.REENCRYPT, ActionKind.ENCRYPT_UNPROTECTED])
def test_a_job_is_made_gone_on_with_and_tried_again(
    scene: Scene, superuser: Engine, kind: ActionKind
) -> None:
    scene.stage.connect(scene.key)
    scene.stage.connect_in_plaintext(1)
    scene.values["new_key"] = scene.stage.key()
    scene.works = False
    (job,) = scene.do(kind).values.values()
    # The operator's own decision, which is none of the action's.
    scene.jobs.service.pause_job(int(job))
    scene.works = True
    assert scene.do(kind).complete
    with superuser.begin() as connection:
        unwritten = (
            "INSERT INTO keydeck.job_token SELECT :job, 'slack_connection.bot_token', id, 'invalid', "
            "'a test', 1, now() FROM slack_connection LIMIT 1"
        )
        connection.execute(text(unwritten), {"job": int(job)})
    scene.do(kind)
    performs_what_it_names(scene, kind, but={"jobs pause"})


@pytest.mark.deep
def test_a_key_is_disabled_enabled_deleted_later_after_all_not_and_replicated(scene: Scene) -> None:
    scene.key = scene.stage.key(MultiRegion=True)
    before: set[str] = set()
    for kind, options in (
        (ActionKind.DISABLE_KEY, {}),
        (ActionKind.ENABLE_KEY, {}),
        (ActionKind.SCHEDULE_DELETION, {"days": 7}),
        (ActionKind.CANCEL_DELETION, {}),
    ):
        assert scene.do(kind, **options).complete
        performs_what_it_names(scene, kind, but=before)
        before = scene.performed()
    assert scene.do(ActionKind.ENABLE_KEY).complete
    assert scene.do(ActionKind.REPLICATE_KEY, region="us-east-1").complete
    performs_what_it_names(scene, ActionKind.REPLICATE_KEY, but=before)


def test_what_an_action_does_not_name_is_refused_and_journaled(scene: Scene) -> None:
    plan = scene.plan(ActionKind.DISABLE_KEY)
    with pytest.raises(RefusedError, match="does not perform keys disable"):
        scene.run(ActionKind.ENABLE_KEY, plan)
    assert scene.journaled()[-1] == ("keys disable", "refused")
    assert scene.stage.kms.describe_key(KeyId=scene.key)["KeyMetadata"]["KeyState"] == "Enabled"


def performs_what_it_names(scene: Scene, kind: ActionKind, *, but: Iterable[str] = ()) -> None:
    """Raise AssertionError unless exactly an action's operations were done, besides others."""
    assert scene.performed() - set(but) == {operation.name for operation in kind.does.operations}
