"""The new key: for everybody who works with the old one but the suspect, and made once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.values.errors import InvalidFieldError, NotConfirmedError, RefusedError
from tests.crypto_core.incidents.keys.conftest import ON_CALL, PLATFORM, ROOT, SUSPECT, Scene, statement, told

CREATE, READY, LOCK = ActionKind.CREATE_KEY, CheckKind.NEW_KEY_READY, ActionKind.LOCK_DOWN_KEY


@pytest.mark.deep
def test_a_key_is_made_without_the_suspect_once_and_is_ready(scene: Scene) -> None:
    assert scene.look(READY).state is CheckState.NOT_YET
    fields = scene.fields(CREATE)
    assert fields["key"] == "new"
    assert fields["alias"] == "alias/tokens-inc7"
    # The policy names both: only the operator knows who is suspected.
    assert set(fields["platform"].split(", ")) == {PLATFORM, SUSPECT}
    inputs = fields | {"platform": PLATFORM, "alias": f"alias/made-{scene.key[-8:]}"}
    plan = scene.plan(CREATE, inputs)
    assert plan.danger is Danger.CONFIRM
    assert any(SUSPECT in line and "Loses access" in line for line in plan.warnings)
    assert any("role/keydeck-platform may Decrypt, GenerateDataKey" in line for line in plan.does)
    with pytest.raises(NotConfirmedError):
        scene.tools.actions[CREATE].run_action(scene.situation(), plan, None)
    assert ("keys create", "refused") in scene.journaled()
    result = scene.run(CREATE, plan)
    assert result.complete, told(result)
    new = scene.values["new_key"]
    assert new != scene.key
    # This process trusts what its operator has made; no other does, whatever an incident says.
    assert new in scene.container.keyring.trusted
    assert "For every other process: KEYDECK_TRUSTED_KEYS=" in told(result)
    assert told(result).endswith(new)
    assert new not in Container(load().settings).keyring.trusted
    given = {s["Sid"]: s["Principal"]["AWS"] for s in scene.policy(new)["Statement"]}
    assert given["PlatformUsesDataKeys"] == PLATFORM
    assert given["RespondersLockDown"] == ON_CALL
    ready = scene.look(READY)
    assert ready.state is CheckState.PASSED, told(ready)
    assert f"Left out on purpose: {SUSPECT}" in told(ready)
    # Whom nobody left out on purpose would go dark.
    scene.values["left_out"] = ""
    missing = scene.look(READY)
    assert missing.state is CheckState.NOT_YET
    assert "user/build-bot loses Decrypt" in told(missing)

    # After a crash nothing is remembered: the key is found, and no other one is made.
    scene.values.clear()
    assert scene.fields(CREATE)["key"] == new
    again = scene.plan(CREATE, inputs | {"key": "new"})
    assert "was made for INC-7" in again.title
    assert scene.run(CREATE, again).values["new_key"] == new
    # Nor by somebody who had planned before it was made.
    assert scene.run(CREATE, plan).values["new_key"] == new
    assert [a for a in scene.journaled() if a == ("keys create", "done")] == [("keys create", "done")]


def test_what_a_crash_left_undone_is_done_with_the_same_key(
    scene: Scene, fail: Callable[[str, str], None], sandbox: Sandbox
) -> None:
    alias = f"alias/left-{scene.key[-8:]}"
    inputs = {"platform": PLATFORM, "alias": alias}
    fail("CreateAlias", "KMSInternalException")
    first = scene.run(CREATE, scene.plan(CREATE, inputs))
    assert not first.complete
    new = first.values["new_key"]
    sandbox.control.clear()
    scene.values.clear()
    second = scene.do(CREATE, inputs)
    assert second.complete, told(second)
    assert second.values["new_key"] == new
    names = scene.stage.kms.list_aliases()["Aliases"]
    assert {a.get("TargetKeyId") for a in names if a["AliasName"] == alias} == {new.rsplit("/", 1)[-1]}


@pytest.mark.deep
def test_where_iam_decides_cloudtrail_tells_who_the_platform_is(scene: Scene) -> None:
    scene.key = scene.stage.key()  # its policy names the account alone
    moment = datetime.now(UTC) - timedelta(minutes=30)
    calls = ((access_keys.PLATFORM, "GenerateDataKey"), (access_keys.INTRUDER, "Decrypt"))
    scene.sandbox.control.history([PastCall(moment, who, name, scene.key) for who, name in calls])
    assert scene.fields(CREATE)["platform"] == ""
    scene.pull()
    fields = scene.fields(CREATE)
    assert fields["platform"] == PLATFORM
    plan = scene.plan(CREATE, fields | {"alias": ""})
    intruder = SUSPECT.replace("build-bot", "intruder")
    assert f"Loses access: {intruder}, which used the old key in the last 90 days." in plan.warnings
    assert any("account 123456789012 may Decrypt" in line for line in plan.warnings)
    assert scene.run(CREATE, plan).complete
    assert scene.values["left_out"].split(",") == [ROOT, intruder]
    ready = scene.look(READY)
    assert ready.state is CheckState.PASSED, told(ready)


@pytest.mark.deep
def test_an_intruder_who_seals_like_the_platform_is_not_proposed_for_the_new_key(scene: Scene) -> None:
    scene.stage.put_policy(scene.key, statement("Account", ROOT, "*"))
    now = datetime.now(UTC)
    calls = [
        PastCall(now - timedelta(days=d), access_keys.PLATFORM, "Decrypt", scene.key) for d in range(2, 7)
    ]
    stranger = f"AKIA{uuid4().hex[:16].upper()}"
    scene.sandbox.control.add_principal(stranger, f"stranger-{stranger[-6:].lower()}")
    calls += [
        PastCall(now - timedelta(minutes=30), who, name, scene.key)
        for name in ("GenerateDataKey", "Decrypt")
        for who in (access_keys.PLATFORM, stranger)
    ]
    scene.sandbox.control.history(calls)
    scene.container.trail.puller.pull_events(since=now - timedelta(days=8), until=now)
    fields = scene.fields(CREATE)
    assert fields["platform"] == PLATFORM
    intruder = SUSPECT.replace("build-bot", f"stranger-{stranger[-6:].lower()}")
    plan = scene.plan(CREATE, fields | {"alias": ""})
    assert any(f"Gets nothing, a suspect: {intruder}." in line for line in plan.warnings)
    (_, _, platform) = scene.tools.actions[CREATE].fields(scene.situation())
    assert platform.suspects == (intruder,)
    words = dict(platform.choices)
    assert next(arn for arn, _ in platform.choices) == intruder
    assert "suspect" in words[intruder]
    assert "platform writer" in words[PLATFORM]
    # Named all the same, it takes its name: neither a press nor --yes is enough.
    inputs = fields | {"alias": "", "platform": f"{PLATFORM}, {intruder}"}
    named = scene.plan(CREATE, inputs)
    assert named.warnings[0].startswith(f"SUSPECT: user/{intruder.rpartition('/')[2]} would get access")
    assert (named.danger, named.confirmation) == (Danger.TYPED, f"user/{intruder.rpartition('/')[2]}")
    for consent in (Consent.pressed(named), Consent.by_option(named), Consent.typed(named, "build-bot")):
        with pytest.raises(NotConfirmedError):
            scene.run(CREATE, named, consent)
    # Locking down keeps what was chosen and typed, and has it typed again; others are not proposed.
    assert scene.fields(LOCK)["readers"] == PLATFORM
    scene.values["platform_principals"] = f"{PLATFORM},{intruder}"
    again = scene.plan(LOCK, scene.fields(LOCK) | {"platform": "yes"})
    assert again.danger is Danger.TYPED
    assert again.confirmation == named.confirmation
    # The key's policy lets the stranger administer it: the new key's does not.
    scene.stage.put_policy(
        scene.key,
        statement("Account", ROOT, "*"),
        statement("Own", intruder, "*"),
        statement("P", PLATFORM, "Decrypt"),
    )
    does = scene.plan(CREATE, fields | {"alias": ""}).does
    assert not any(intruder.rpartition("/")[2] in line for line in does)


@pytest.mark.deep
@pytest.mark.parametrize(("nights", "proposed"), [(1, True), (2, False)])
def test_where_nobody_made_data_keys_who_opened_them_day_by_day_is_the_platform(
    scene: Scene, nights: int, proposed: bool
) -> None:
    scene.stage.put_policy(scene.key, statement("Account", ROOT, "*"))
    now = datetime.now(UTC)
    calls = [
        PastCall(now - timedelta(days=d), access_keys.PLATFORM, "Decrypt", scene.key) for d in range(2, 7)
    ]
    # However often on one night: it is the days that count.
    calls += [
        PastCall(now - timedelta(days=2 + night, seconds=n), access_keys.INTRUDER, "Decrypt", scene.key)
        for night in range(nights)
        for n in range(20)
    ]
    # Others who looked in now and then are each held against it, not all together.
    calls.append(PastCall(now - timedelta(days=4), access_keys.ANALYST, "Decrypt", scene.key))
    # Who works with Keydeck makes data keys too, and is not the platform.
    calls.append(PastCall(now - timedelta(hours=3), access_keys.ON_CALL, "GenerateDataKey", scene.key))
    scene.sandbox.control.history(calls)
    scene.pull(timedelta(days=8))
    fields = scene.fields(CREATE)
    if not proposed:
        assert fields["platform"] == ""
        with pytest.raises(InvalidFieldError, match="the platform would go dark"):
            scene.plan(CREATE, fields | {"alias": ""})
        return
    assert fields["platform"] == PLATFORM
    warnings = scene.plan(CREATE, fields | {"alias": ""}).warnings
    assert any(line.startswith(f"{PLATFORM} was not seen to make data keys") for line in warnings)
    assert any(line.startswith("Loses access: ") and "user/intruder" in line for line in warnings)
    # Whoever is suspected is not proposed, however steady.
    scene.principal = PLATFORM
    assert scene.fields(CREATE)["platform"] == ""


@pytest.mark.deep
def test_a_suspected_platform_is_left_out_until_it_is_named_and_typed(scene: Scene) -> None:
    scene.principal = PLATFORM
    scene.stage.connect(scene.key)
    scene.pull()
    (_, _, platform) = scene.tools.actions[CREATE].fields(scene.situation())
    assert (platform.default, platform.required) == (SUSPECT, False)
    scene.stage.put_policy(
        scene.key, statement("A", ROOT, "*"), statement("P", PLATFORM, "Decrypt", "GenerateDataKey")
    )
    (_, _, platform) = scene.tools.actions[CREATE].fields(scene.situation())
    assert (platform.default, platform.required) == ("", True)
    for kind, inputs in ((CREATE, {"platform": ""}), (CREATE, {}), (LOCK, {})):
        with pytest.raises(RefusedError) as refused:
            scene.plan(kind, inputs)
        assert "role/keydeck-platform made data keys under the key" in str(refused.value)
    named = scene.plan(CREATE, {"platform": PLATFORM, "alias": ""})
    assert (named.danger, named.confirmation) == (Danger.TYPED, "role/keydeck-platform")
    assert scene.run(CREATE, named).complete
    assert scene.fields(LOCK)["readers"] == PLATFORM
    assert scene.plan(LOCK, scene.fields(LOCK)).confirmation == "role/keydeck-platform"
    # Shutting it out takes the number of tokens that go dark, as without suspects.
    assert scene.plan(LOCK, {"platform": "no"}).confirmation == "1"
    # A suspect as a reader besides takes both.
    scene.principal = SUSPECT
    both = scene.plan(LOCK, {"platform": "yes", "readers": SUSPECT})
    assert both.confirmation == "1 user/build-bot"
    assert scene.run(LOCK, both).complete


@pytest.mark.deep
def test_a_key_that_lets_in_a_suspect_or_no_platform_is_not_simply_chosen(scene: Scene) -> None:
    scene.principal = SUSPECT
    other = scene.stage.key()
    scene.stage.put_policy(other, *scene.policy()["Statement"])
    plan = scene.plan(CREATE, {"key": other})
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, "user/build-bot")
    with pytest.raises(NotConfirmedError):
        scene.run(CREATE, plan, Consent.by_option(plan))
    assert scene.run(CREATE, plan).complete
    administers = statement("A", ROOT, "PutKeyPolicy", "GetKeyPolicy", "DescribeKey")
    for more, what in (((), "reader"), ((statement("P", PLATFORM, "Decrypt"),), "writer")):
        scene.stage.put_policy(
            other, administers, statement("S", SUSPECT, "Decrypt", "GenerateDataKey"), *more
        )
        with pytest.raises(RefusedError, match=f"would have no {what}"):
            scene.plan(CREATE, {"key": other})


@pytest.mark.deep
def test_a_key_that_there_is_can_be_chosen_but_not_the_old_one_nor_one_that_is_shut(scene: Scene) -> None:
    other = scene.stage.key()
    scene.stage.put_policy(other, *scene.policy()["Statement"])
    choices = {c for f in scene.tools.actions[CREATE].fields(scene.situation()) for c, _ in f.choices}
    assert other in choices
    assert scene.key not in choices
    plan = scene.plan(CREATE, {"key": other})
    assert "Changes nothing in AWS" in plan.does_not[0]
    assert scene.run(CREATE, plan).complete
    assert scene.values["new_key"] == other
    assert scene.look(READY).state is CheckState.PASSED
    scene.stage.kms.disable_key(KeyId=other.rsplit("/", 1)[-1])
    shut = scene.look(READY)
    assert shut.state is CheckState.NOT_YET
    assert "keydeck keys enable" in told(shut)
    for name in (other, scene.key):
        with pytest.raises(RefusedError):
            scene.plan(CREATE, {"key": name})
    scene.values["new_key"] = scene.key
    assert scene.look(READY).state is CheckState.FAILED


def test_nobody_or_nonsense_as_the_platform_is_refused(scene: Scene) -> None:
    for entered in ("", "[/red]\x1b[2J", "arn:aws:iam::123456789012:root/x"):
        with pytest.raises(RefusedError) as refused:
            scene.plan(CREATE, {"platform": entered})
        assert "\x1b" not in str(refused.value)
