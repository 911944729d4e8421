"""What steps of incidents say of registered copies: which of them need a key, and which were restored."""

from __future__ import annotations

from dataclasses import replace

from console.forensics.services import ForensicsServices
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.forensics.copies.register import NewCopy
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from tests.crypto_core.forensics.copies.test_register import NOW
from tests.crypto_core.forensics.copies.test_scan_reader import COPY, NEED, UNKNOWN
from tests.crypto_core.incidents.keys.conftest import Scene
from tests.crypto_core.incidents.tokens.staging import Stage


def test_registered_copies_that_need_the_key_are_named_and_none_is_never_a_zero(scene: Scene) -> None:
    none = scene.look(CheckKind.COPIES_KNOWN)
    assert (none.state, "not known" in none.lines[0]) == (CheckState.UNKNOWN, True)
    register = scene.container.of(ForensicsServices).copy_register
    register.add(NewCopy("other", replace(COPY, needs=()), NOW))
    assert scene.look(CheckKind.COPIES_KNOWN).state is CheckState.PASSED
    register.add(NewCopy("weekly", replace(COPY, needs=(replace(NEED, key_arn=scene.key),)), NOW))
    seen = scene.look(CheckKind.COPIES_KNOWN)
    assert (seen.state, "Copy weekly" in seen.lines[0]) == (CheckState.NOT_YET, True)
    plan = scene.plan(ActionKind.SCHEDULE_DELETION, {"days": "9"})
    assert any("Copy weekly" in line and "7 envelopes" in line for line in plan.warnings)
    register.add(NewCopy("offline", replace(COPY, needs=(UNKNOWN,)), NOW))
    register.remove("weekly")
    assert scene.look(CheckKind.COPIES_KNOWN).state is CheckState.UNKNOWN


def test_a_restored_copy_that_was_scanned_is_compared_and_its_keys_are_named_before(
    stage: Stage, world: World
) -> None:
    stage.about(database="restored")
    assert any(
        "No copy restored is registered" in line for line in stage.plan(ActionKind.VERIFY_RESTORED).does
    )
    sealed = world.by_format[Format.V1]
    old = replace(NEED, key_arn=world.old_key.arn, envelopes=sealed, distinct=1, by_format={"v1": sealed})
    holds = replace(COPY, needs=(old,), exposed=(), damaged=0)
    stage.container.of(ForensicsServices).copy_register.add(NewCopy("restored", holds, NOW, taken_at=NOW))
    plan = stage.plan(ActionKind.VERIFY_RESTORED)
    assert any(f"It needs {world.old_key.alias}" in line and "Enabled" in line for line in plan.does)
    lines = stage.run(ActionKind.VERIFY_RESTORED, {"sample": 5}).lines
    assert f"v1: {sealed:,} in the restored token columns, {sealed:,} in the scanned copy" in lines
    dev = world.by_format[Format.DEV]
    assert any(line.startswith(f"{dev:,} more than in the copy") for line in lines)
