"""The new key: what can't take the old one's place, who would lose access, what this identity may do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crypto_core.incidents.keys.rotation.guide import GuideStepState
from crypto_core.values.errors import KeyNotFoundError, SettingsError
from tests.crypto_core.incidents.keys.conftest import statement
from tests.crypto_core.incidents.keys.rotation.conftest import Stage, told

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PLATFORM = f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform"
WORKER = f"arn:aws:iam::{ACCOUNT}:role/worker"
MISSING = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
USES = ("Decrypt", "GenerateDataKey")


ADMINISTRATION = statement("Administration", ROOT, "PutKeyPolicy", "DescribeKey", "GetKeyPolicy", "*Grant*")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}, "is RSA_2048"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "is HMAC_256"),
    ],
)
def test_a_key_that_is_not_symmetric_is_not_possible(
    stage: Stage, parameters: dict[str, str], word: str
) -> None:
    guide = stage.look(stage.key(**parameters))
    step = guide.step("new-key")
    assert step.state is GuideStepState.IMPOSSIBLE
    assert word in told(step)
    assert "symmetric key" in told(step)
    assert all(s.state is GuideStepState.WAITING for s in guide.steps[1:])


def test_a_replica_is_the_old_key(stage: Stage) -> None:
    old = stage.key(MultiRegion=True)
    stage.kms.replicate_key(KeyId=old.rpartition("/")[2], ReplicaRegion="eu-central-1")
    replica = old.replace("eu-west-1", "eu-central-1")
    step = stage.step("new-key", replica, old=old)
    assert step.state is GuideStepState.IMPOSSIBLE
    assert "the same key material" in told(step)


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "PendingImport"])
def test_a_key_that_is_not_enabled_comes_with_the_way_out(stage: Stage, state: str) -> None:
    new = stage.key()
    if state == "Disabled":
        stage.kms.disable_key(KeyId=new)
    elif state == "PendingDeletion":
        stage.kms.schedule_key_deletion(KeyId=new)
    else:
        stage._sandbox.control.set_key_state(new, state)
    guide = stage.look(new)
    step = guide.step("new-key")
    assert step.state is GuideStepState.NOW
    assert f"{new} is {state}" in step.verdict.evidence
    assert [i.text for i in step.verdict.do] == {
        "Disabled": [f"keydeck keys enable {new}"],
        "PendingDeletion": [f"keydeck keys cancel-deletion {new}", f"keydeck keys enable {new}"],
        "PendingImport": [f"Wait until the key is Enabled: keydeck keys show {new}"],
    }[state]
    assert guide.step("switch").state is GuideStepState.WAITING


def test_a_key_that_is_not_there_is_said_to_be_missing(stage: Stage) -> None:
    guide = stage.look(MISSING)
    step = guide.step("new-key")
    assert (guide.new, step.state) == (None, GuideStepState.NOW)
    assert step.verdict.evidence[0].startswith(f"{MISSING}: ")
    assert any(i.text.startswith("keydeck keys create") for i in step.verdict.do)


def test_a_key_that_may_not_be_looked_at_is_not_known(stage: Stage, deny: Callable[..., None]) -> None:
    new = stage.key()
    deny("kms:DescribeKey", resource=new)
    guide = stage.look(new)
    step = guide.step("new-key")
    assert step.state is GuideStepState.UNKNOWN
    assert "kms:DescribeKey is not allowed" in told(step)
    assert guide.step("switch").state is GuideStepState.WAITING


def test_an_old_key_that_is_not_there_is_an_error(stage: Stage) -> None:
    with pytest.raises(KeyNotFoundError):
        stage.look(old=MISSING)
    with pytest.raises(SettingsError):
        stage.look(old="alias/with spaces")


@pytest.mark.deep
def test_who_would_lose_access_is_named_before_the_switch(stage: Stage) -> None:
    stage.put_policy(stage.old, ADMINISTRATION, statement("Use", [PLATFORM, WORKER], *USES))
    new = stage.key()
    stage.put_policy(
        new, ADMINISTRATION, statement("Use", PLATFORM, *USES), statement("Seal", WORKER, "GenerateDataKey")
    )
    guide = stage.look(new)
    step = guide.step("new-key")
    assert step.state is GuideStepState.NOW
    assert "role/worker loses Decrypt" in step.verdict.evidence
    assert not any("keydeck-platform" in text for text in step.verdict.evidence)
    assert "or the platform goes dark" in told(step)
    assert f"keydeck keys policy {new} --explain" in told(step)
    assert guide.step("switch").state is GuideStepState.WAITING
    # The operator says that it is meant, or gives it to them.
    assert stage.states(new, accepted=[WORKER])["new-key"] == "done"
    stage.put_policy(new, ADMINISTRATION, statement("Use", [PLATFORM, WORKER], *USES))
    assert stage.states(new)["new-key"] == "done"


def test_who_works_by_a_grant_needs_one_under_the_new_key(stage: Stage) -> None:
    for grantee in (WORKER, PLATFORM):
        stage.kms.create_grant(KeyId=stage.old, GranteePrincipal=grantee, Operations=["Decrypt"])
    new = stage.key()
    stage.put_policy(stage.old, ADMINISTRATION)
    stage.put_policy(new, ADMINISTRATION, statement("Use", PLATFORM, *USES))
    step = stage.step("new-key", new)
    assert [e for e in step.verdict.evidence if "loses" in e] == ["role/worker loses Decrypt"]
    stage.kms.create_grant(KeyId=new, GranteePrincipal=WORKER, Operations=["Decrypt"])
    assert stage.states(new)["new-key"] == "done"


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("action", "of_new", "word"),
    [
        ("kms:GetKeyPolicy", True, "kms:GetKeyPolicy is not allowed"),
        ("kms:GetKeyPolicy", False, "kms:GetKeyPolicy is not allowed"),
        ("kms:ListGrants", True, "kms:ListGrants is not allowed"),
        ("kms:ListGrants", False, "kms:ListGrants is not allowed"),
    ],
)
def test_access_that_may_not_be_read_is_not_taken_for_granted(
    stage: Stage, deny: Callable[..., None], action: str, of_new: bool, word: str
) -> None:
    new = stage.key()
    deny(action, resource=new if of_new else stage.old)
    guide = stage.look(new)
    step = guide.step("new-key")
    assert step.state is GuideStepState.UNKNOWN
    assert word in told(step)
    assert word in " ".join(guide.coverage.reasons)
    assert guide.step("switch").state is GuideStepState.WAITING


def test_rotation_that_is_not_as_wanted_is_warned_of(stage: Stage) -> None:
    new = stage.key()
    line = f"keydeck keys enable-rotation {new} --period 180"
    stage.configure(KEYDECK_ROTATION_DAYS="180")
    assert line in told(stage.step("new-key", new))
    stage.kms.enable_key_rotation(KeyId=new, RotationPeriodInDays=365)
    assert line in told(stage.step("new-key", new))
    stage.kms.enable_key_rotation(KeyId=new, RotationPeriodInDays=180)
    step = stage.step("new-key", new)
    assert line not in told(step)
    assert "Automatic rotation: every 180 days" in step.verdict.evidence


@pytest.mark.deep
def test_what_a_multi_region_key_has_and_the_new_one_lacks(stage: Stage) -> None:
    old = stage.key(MultiRegion=True)
    stage.kms.replicate_key(KeyId=old.rpartition("/")[2], ReplicaRegion="eu-central-1")
    single = stage.step("new-key", stage.key(), old=old)
    assert "can't be made so later" in told(single)
    new = stage.key(MultiRegion=True)
    line = f"keydeck keys replicate {new} eu-central-1"
    assert line in told(stage.step("new-key", new, old=old))
    stage.kms.replicate_key(KeyId=new.rpartition("/")[2], ReplicaRegion="eu-central-1")
    step = stage.step("new-key", new, old=old)
    assert line not in told(step)
    assert "a policy of its own" in told(step)
    assert "--multi-region" in told(stage.step("new-key", None, old=old))


def test_a_key_of_another_region_is_told_what_it_means(stage: Stage) -> None:
    stage.configure(KEYDECK_REGIONS="eu-west-1,eu-central-1")
    new = stage.key("eu-central-1")
    guide = stage.look(new)
    step = guide.step("new-key")
    assert step.state is GuideStepState.DONE
    assert "must ask both Regions" in told(step)
    assert "ReEncrypt" not in told(guide.step("preflight"))
    assert "rewrap" not in told(guide.step("rest"))


def test_an_alias_is_not_pointed_at_a_key_of_another_region(stage: Stage) -> None:
    alias = f"alias/here-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    stage.configure(
        KEYDECK_REGIONS="eu-west-1,eu-central-1", TOKEN_ENCRYPTION_KEY_ID=alias, KEYDECK_WRITE_ALIAS=alias
    )
    new = stage.key("eu-central-1")
    step = stage.step("switch", new)
    lines = [(i.text, i.instead_of) for i in step.verdict.do]
    assert (f"TOKEN_ENCRYPTION_KEY_ID={new}", f"TOKEN_ENCRYPTION_KEY_ID={alias}") in lines
    assert "keydeck keys alias" not in told(step)
    assert f"{alias} is of another Region than the new key" in told(step)


def test_a_new_denial_is_warned_of(stage: Stage) -> None:
    new = stage.key()
    condition = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}
    fence = statement("Fence", "*", "Decrypt", Effect="Deny", Condition=condition)
    stage.put_policy(new, statement("Account", ROOT, "*"), fence)
    step = stage.step("new-key", new)
    assert "Fence denies Decrypt by StringNotEquals aws:SourceVpce" in "".join(step.verdict.warnings)
    assert step.state is GuideStepState.DONE
    stage.put_policy(stage.old, statement("Account", ROOT, "*"), fence)
    assert "Fence denies" not in told(stage.step("new-key", new))


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_the_preflight_is_this_identitys_own(stage: Stage, deny: Callable[..., None], action: str) -> None:
    new = stage.key()
    deny(action, principal="*keydeck-oncall*", resource=new)
    guide = stage.look(new)
    step = guide.step("preflight")
    assert step.state is GuideStepState.NOW
    assert f"{action} on {new}: refused" in told(step)
    assert "says nothing of the platform's" in told(step)
    assert guide.step("switch").state is GuideStepState.WAITING
    # The platform's own use says more.
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new, KEYDECK_TRUSTED_KEYS=stage.old)
    if action == "kms:GenerateDataKey":
        stage.connect(new)
        guide = stage.look(new)
        assert guide.step("preflight").optional
        assert guide.complete


def test_a_permission_that_kms_does_not_tell_is_not_known(
    stage: Stage, fail: Callable[[str, str], None]
) -> None:
    new = stage.key()
    fail("GenerateDataKey", "KMSInternalException")
    guide = stage.look(new)
    assert guide.step("preflight").state is GuideStepState.UNKNOWN
    assert guide.step("switch").state is GuideStepState.NOW
    assert not guide.complete


def test_rewrapping_is_rehearsed_but_not_needed(stage: Stage, deny: Callable[..., None]) -> None:
    new = stage.key()
    deny("kms:ReEncryptTo", resource=new)
    step = stage.step("preflight", new)
    assert step.state is GuideStepState.DONE
    assert f"kms:ReEncryptTo on {new}: refused" in told(step)


def test_hostile_text_of_policies_aliases_and_descriptions_is_data(stage: Stage) -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07[bold]gone[/bold]\u202e"
    new = stage.key(Description=evil)
    stage.put_policy(
        stage.old,
        ADMINISTRATION,
        statement(evil, f"arn:aws:iam::{ACCOUNT}:role/$(touch pwned){evil}", *USES),
        statement("Sid", f"arn:aws:iam::{ACCOUNT}:role/plain;rm", *USES),
    )
    texts = []
    for guide in (stage.look(new), stage.look()):
        texts += [t for step in guide.steps for t in told(step).splitlines()]
    assert any("touch pwned" in t for t in texts)
    for line in texts:
        assert line.isprintable(), line
    (create,) = [t for t in texts if t.startswith("keydeck keys create")]
    assert "touch" not in create
    assert ";rm" not in create
