"""The old key goes on opening what is under it: enabled, trusted, and not let go of too early."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crypto_core.incidents.keys.rotation.guide import GuideStepState
from tests.crypto_core.incidents.keys.rotation.conftest import Stage, told

OLD_KEY = "old-key"


@pytest.fixture
def new(stage: Stage) -> str:
    """A new key that the platform uses; one token is left under the old one."""
    stage.connect(stage.old)
    key = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=key, KEYDECK_TRUSTED_KEYS=stage.old)
    stage.connect(key)
    return key


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_an_old_key_that_opens_nothing_is_urgent(stage: Stage, new: str, state: str) -> None:
    assert stage.look(new).complete
    if state == "Disabled":
        stage.kms.disable_key(KeyId=stage.old)
    else:
        stage.kms.schedule_key_deletion(KeyId=stage.old)
    guide = stage.look(new)
    step = guide.step(OLD_KEY)
    assert step.state is GuideStepState.NOW
    assert f"while it is {state}" in told(step)
    commands = [i.text for i in step.verdict.do]
    assert commands[-1] == f"keydeck keys enable {stage.old}"
    if state == "PendingDeletion":
        assert commands[0] == f"keydeck keys cancel-deletion {stage.old}"
        assert "it is deleted on" in told(step)
    assert not guide.complete
    # Also before anything else is done.
    assert stage.step(OLD_KEY, stage.key()).state is GuideStepState.NOW


@pytest.mark.quick(1)
@pytest.mark.parametrize("named", ["arn", "id", "other alias"])
def test_it_counts_as_trusted_by_a_name_that_stays(stage: Stage, new: str, named: str) -> None:
    alias = f"alias/kept-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    name = {"arn": stage.old, "id": stage.old.rpartition("/")[2], "other alias": alias}[named]
    stage.configure(KEYDECK_TRUSTED_KEYS=f"{stage.key()},{name}")
    assert stage.step(OLD_KEY, new).state is GuideStepState.DONE


def test_trust_by_the_alias_that_moves_goes_with_it(stage: Stage) -> None:
    alias = f"alias/moving-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=alias, KEYDECK_TRUSTED_KEYS=alias)
    stage.connect(stage.old)
    switch = stage.step("switch", stage.key())
    assert (f"KEYDECK_TRUSTED_KEYS={alias},{stage.old}", f"KEYDECK_TRUSTED_KEYS={alias}") in [
        (i.text, i.instead_of) for i in switch.verdict.do
    ]


def test_being_written_under_is_no_lasting_trust(stage: Stage, new: str) -> None:
    other = stage.key()
    stage.configure(KEYDECK_TRUSTED_KEYS=other)
    step = stage.step(OLD_KEY, new)
    assert step.state is GuideStepState.NOW
    assert (f"KEYDECK_TRUSTED_KEYS={other},{stage.old}", f"KEYDECK_TRUSTED_KEYS={other}") in [
        (i.text, i.instead_of) for i in step.verdict.do
    ]


def test_tokens_of_an_unknown_key_may_be_under_it(stage: Stage, new: str, deny: Callable[..., None]) -> None:
    stage.empty()
    stage.connect(new)
    guide = stage.look(new)
    assert guide.step("rest").state is GuideStepState.DONE
    assert f"keydeck keys disable {stage.old}" in told(guide.step(OLD_KEY))
    other = stage.key()
    stage.connect(other)
    deny("kms:Decrypt", resource=other)
    guide = stage.look(new)
    rest = guide.step("rest")
    assert rest.state is GuideStepState.NOW
    assert "0 tokens, not all could be counted" in told(rest)
    assert "keydeck verify --all" in told(rest)
    assert "keydeck keys disable" not in told(guide.step(OLD_KEY))


def test_an_empty_key_is_not_let_go_of_while_it_is_written_under(stage: Stage) -> None:
    guide = stage.look(stage.key())
    assert guide.tokens == 0
    assert [s.state for s in guide.steps[-2:]] == [GuideStepState.WAITING] * 2
    assert "keydeck keys disable" not in told(guide.step(OLD_KEY))
