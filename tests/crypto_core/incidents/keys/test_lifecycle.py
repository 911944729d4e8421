"""Out of use and back, in every Region of the key; done twice it is done once."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.settings import load
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.keys.dependent_copies import NoRegister
from crypto_core.values.errors import NotConfirmedError, RefusedError
from tests.crypto_core.agreed import agreed
from tests.crypto_core.incidents.keys.conftest import Scene, told

STATE = CheckKind.KEY_STATE
DISABLE, ENABLE = ActionKind.DISABLE_KEY, ActionKind.ENABLE_KEY
SCHEDULE, CANCEL = ActionKind.SCHEDULE_DELETION, ActionKind.CANCEL_DELETION


@pytest.mark.deep
def test_a_key_goes_out_of_use_and_comes_back(scene: Scene) -> None:
    for kind, state, options in (
        (DISABLE, "Disabled", {}),
        (SCHEDULE, "PendingDeletion", {"days": 7}),
        (CANCEL, "Disabled", {}),
        (ENABLE, "Enabled", {}),
    ):
        assert scene.look(STATE, state=state).state is CheckState.NOT_YET
        plan = scene.plan(kind, **options)
        assert plan.digest == plan.inner.plans[0].digest
        result = scene.run(kind, plan)
        assert result.complete, told(result)
        assert scene.look(STATE, state=state).state is CheckState.PASSED
        again = scene.plan(kind, **options)
        assert (again.danger, again.inner.plans) == (Danger.NONE, ())
        assert scene.run(kind, again).lines == ("There was nothing to change.",)
    assert scene.look(CheckKind.SCOPE_KNOWN).state is CheckState.PASSED


def test_a_scope_that_is_not_counted_in_full_is_not_known(scene: Scene, superuser: Engine) -> None:
    with superuser.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (id int PRIMARY KEY, note text)"))
    seen = scene.look(CheckKind.SCOPE_KNOWN)
    assert seen.state is CheckState.UNKNOWN
    assert any(line.startswith("Not counted: ") and "ledger" in line for line in seen.lines)
    with superuser.begin() as connection:
        connection.execute(text("DROP TABLE ledger"))
    assert scene.look(CheckKind.SCOPE_KNOWN).state is CheckState.PASSED


def test_what_a_deletion_means_for_backups_is_said_and_its_days_are_asked_for(scene: Scene) -> None:
    assert scene.fields(SCHEDULE) == {"days": "30"}
    plan = scene.plan(SCHEDULE, {"days": "9"})
    assert any("Backups and dumps of the database" in line for line in plan.warnings)
    assert any("9 days" in line for line in plan.does)
    for entered in ("x", "5", "٣٠", "99999999999"):
        with pytest.raises(RefusedError):
            scene.plan(SCHEDULE, {"days": entered})


def test_without_a_register_which_copies_need_the_key_is_not_known(scene: Scene) -> None:
    container = Container(load().settings)
    container.key_management.__dict__["copy_register"] = NoRegister("There is none here.")
    without = Scene(scene.stage, scene.sandbox, container)
    unknown = "Whether registered copies need the key is not known: There is none here."
    seen = without.look(CheckKind.COPIES_KNOWN)
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, (unknown,))
    for kind, options in ((SCHEDULE, {"days": "9"}), (DISABLE, {})):
        warnings = without.plan(kind, options).warnings
        assert [line for line in warnings if "registered" in line] == [unknown]
    container.close()


def test_a_key_with_tokens_is_not_taken_away_by_the_runbook_whatever_is_typed(scene: Scene) -> None:
    scene.stage.connect(scene.key, 2)
    for kind, command in ((DISABLE, "disable"), (SCHEDULE, "schedule-deletion")):
        with pytest.raises(RefusedError, match=r"2 tokens under .*: nobody could open them") as refused:
            scene.plan(kind)
        assert f"keydeck keys {command} {scene.key}" in refused.value.remedy
    assert scene.look(STATE, state="Enabled").state is CheckState.PASSED


@pytest.mark.deep
def test_every_region_of_a_key_goes_out_of_use_and_comes_back(scene: Scene) -> None:
    scene.key = scene.stage.key(MultiRegion=True)
    replicate = scene.do(ActionKind.REPLICATE_KEY, region="us-east-1")
    assert replicate.complete, told(replicate)
    replica = scene.key.replace("eu-west-1", "us-east-1")
    assert scene.values["replica"] == replica
    assert scene.do(ActionKind.REPLICATE_KEY, {"region": "us-east-1"}).complete
    scene.stage.kms.disable_key(KeyId=scene.key.rsplit("/", 1)[-1])
    behind = scene.look(STATE, state="Disabled")
    assert (behind.state, behind.done, behind.total) == (CheckState.NOT_YET, 1, 2)
    assert f"{replica} is not Disabled" in behind.lines
    scene.stage.kms.enable_key(KeyId=scene.key.rsplit("/", 1)[-1])
    for kind, state in ((DISABLE, "Disabled"), (SCHEDULE, "PendingDeletion"), (CANCEL, "Disabled")):
        plan = scene.plan(kind)
        assert len(plan.inner.plans) == 2
        with pytest.raises(NotConfirmedError):
            scene.run(kind, plan, Consent("another", agreed(plan).origin, plan.confirmation))
        result = scene.run(kind, plan)
        assert result.complete, told(result)
        assert scene.look(STATE, state=state).state is CheckState.PASSED
    assert scene.do(ENABLE).complete
    # A Region that can't be asked does not keep the others from being taken away, and is not forgotten.
    scene.sandbox.control.add_denial(Denial("*", "kms:*", replica))
    plan = scene.plan(DISABLE)
    assert any(replica in line and "Left unchanged" in line for line in plan.warnings)
    assert scene.run(DISABLE, plan).complete
    blind = scene.look(STATE, state="Disabled")
    assert (blind.state, blind.done, blind.total) == (CheckState.UNKNOWN, 1, 2), told(blind)
    assert scene.do(ActionKind.LOCK_DOWN_KEY, {"platform": "no"}).complete
    assert scene.look(CheckKind.KEY_LOCKED_DOWN).state is CheckState.UNKNOWN
    for kind in (CaptureKind.KEY, CaptureKind.POLICY, CaptureKind.GRANTS, CaptureKind.KEY_USE):
        assert any("not_known" in json.dumps(dict(piece.content)) for piece in scene.capture(kind))


def test_a_key_of_one_region_has_no_replica_and_a_key_that_is_gone_is_told(scene: Scene) -> None:
    with pytest.raises(RefusedError, match="one Region"):
        scene.plan(ActionKind.REPLICATE_KEY, {"region": "us-east-1"})
    scene.key = scene.key[:-12] + "0" * 12
    gone = scene.look(STATE, state="Enabled")
    assert gone.state is CheckState.FAILED
    assert "KMS has no key of this name" in told(gone)
