"""The suspects are refused the key at once; the platform works on, even where its own role is suspected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine

from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.endpoint.principals import VPC_ENDPOINT
from console.sandbox.sandbox import Sandbox
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import KeydeckRole
from crypto_core.incidents.keys.block import ONLY_FROM, PRINCIPALS
from crypto_core.incidents.keys.subject import BLOCKED, NEW_KEY, PLATFORM_PRINCIPALS, UNBLOCKED
from crypto_core.incidents.model import CheckResult, CheckState, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.incidents.steps.step_contracts import looked_at
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.values.errors import RefusedError
from tests.adversary.ground import role_of
from tests.crypto_core.agreed import agreed
from tests.crypto_core.incidents.keys.conftest import ACCOUNT, PLATFORM, SUSPECT, Scene, told

BLOCK, BLOCKED_ALL = ActionKind.BLOCK_SUSPECTS, CheckKind.SUSPECTS_BLOCKED
DAYS = 3 * 24 * 60
"""Minutes."""
HOME, OFFICE, ELSEWHERE = "10.20.1.17", "203.0.113.24", "198.51.100.77"

Calls = Callable[[str, str, str, int, int], None]


@pytest.fixture
def called(scene: Scene) -> Calls:
    """Let an access key have made calls under the key: operation, address, minutes ago, how many."""

    def call(access_key: str, operation: str, address: str, minutes: int, times: int) -> None:
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        scene.sandbox.control.history(
            PastCall(moment, access_key, operation, scene.key, source_ip=address) for _ in range(times)
        )

    scene.since = datetime.now(UTC) - timedelta(minutes=30)
    return call


@pytest.fixture
def held(sandbox: Sandbox) -> Iterator[Callable[[str, str, str, str], Any]]:
    """KMS as a principal of these: name, kind, access key, address."""

    def client(name: str, kind: str, access_key: str, address: str) -> Any:
        sandbox.control.add_principal(access_key, name, kind, "i-0abc" if kind == "role" else None)
        sandbox.control.set_address(access_key, address)
        return sandbox.client("kms", access_key)

    yield client
    sandbox.control.clear()


def an_access_key() -> str:
    return f"ASIA{uuid4().hex[:16].upper()}"


def seals(kms: Any, key: str) -> bool:
    try:
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return False
        raise
    return True


def test_a_suspect_is_refused_by_pressing_enter_and_the_platform_works_on(
    scene: Scene, called: Calls, held: Callable[..., Any]
) -> None:
    stolen = an_access_key()
    intruder = held("build-bot", "user", stolen, ELSEWHERE)
    platform = held("keydeck-platform", "role", an_access_key(), HOME)
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    called(stolen, "Decrypt", ELSEWHERE, 3, 40)
    scene.pull()
    scene.principal = SUSPECT
    assert scene.look(BLOCKED_ALL).state is CheckState.NOT_YET
    fields = scene.fields(BLOCK)
    assert fields == {PRINCIPALS: SUSPECT}
    assert seals(platform, scene.key)
    assert scene.do(BLOCK, fields).complete
    assert not seals(intruder, scene.key)
    assert seals(platform, scene.key)
    assert (scene.values[BLOCKED], scene.values[UNBLOCKED]) == (SUSPECT, "")
    # What the policy says counts, also of more suspects than an incident remembers.
    kept, scene.values[BLOCKED] = scene.values[BLOCKED], ""
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED
    scene.values[BLOCKED] = kept
    passed = scene.look(BLOCKED_ALL)
    assert passed.state is CheckState.PASSED
    assert "1 principal refused; read back in" in told(passed)
    # Somebody puts another policy: the check sees it.
    changes = scene.container.services.key_changes
    plan = changes.plan_change(KeyChange(ChangeKind.UNBLOCK, scene.key, principal=SUSPECT))
    changes.make_change(plan, agreed(plan))
    gone = scene.look(BLOCKED_ALL)
    assert gone.state is CheckState.NOT_YET
    assert f"{SUSPECT} is not refused in" in told(gone)


@pytest.mark.deep
def test_what_the_block_refuses_is_counted_and_a_call_that_still_gets_through_fails_it(
    scene: Scene, called: Calls, held: Callable[..., Any]
) -> None:
    intruder = held("build-bot", "user", stolen := an_access_key(), ELSEWHERE)
    scene.principal = SUSPECT
    declared = datetime.now(UTC)
    assert scene.do(BLOCK, scene.fields(BLOCK)).complete
    assert not seals(intruder, scene.key)
    assert not seals(intruder, scene.key)

    def look(begun: datetime) -> CheckResult:
        step = RunbookStep("block", "Block", "", action=BLOCK)
        view = StepView(step, 2, StepState.BEGUN, begun_at=begun)
        situation = replace(scene.situation(), steps=(view,))
        return looked_at(scene.tools.checks[BLOCKED_ALL], situation)

    refused = look(declared)
    assert refused.state is CheckState.PASSED, told(refused)
    assert "user/build-bot: 2 calls refused since" in told(refused)
    called(stolen, "Decrypt", ELSEWHERE, 1, 3)
    scene.pull()
    through = look(declared - timedelta(minutes=10))
    assert through.state is CheckState.NOT_YET
    assert "user/build-bot still gets in: 3 calls since" in told(through)


@pytest.mark.deep
def test_the_platforms_own_role_is_refused_but_from_where_it_worked_before_and_so_under_the_new_key(
    scene: Scene, called: Calls, held: Callable[..., Any]
) -> None:
    platform = held("keydeck-platform", "role", an_access_key(), HOME)
    thief = held("keydeck-platform", "role", stolen := an_access_key(), ELSEWHERE)
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    called(access_keys.PLATFORM, "Decrypt", OFFICE, DAYS, 1)
    called(stolen, "Decrypt", ELSEWHERE, 3, 40)
    scene.pull()
    scene.principal = PLATFORM
    fields = scene.fields(BLOCK)
    assert fields == {PRINCIPALS: "", ONLY_FROM: f"{OFFICE}, {VPC_ENDPOINT}"}
    plan = scene.plan(BLOCK, fields)
    assert plan.danger is Danger.TYPED
    assert "from any other the platform can neither open nor write" in "\n".join(plan.warnings)
    scene.run(BLOCK, plan)
    assert seals(platform, scene.key)
    assert not seals(thief, scene.key)
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED
    # The platform is proposed for the new key, which refuses the thief from its first moment.
    alias = f"alias/{uuid4().hex[:12]}"
    made = scene.do(ActionKind.CREATE_KEY, {**scene.fields(ActionKind.CREATE_KEY), "alias": alias})
    assert made.complete
    assert PLATFORM in scene.values[PLATFORM_PRINCIPALS]
    assert seals(platform, scene.values[NEW_KEY])
    assert not seals(thief, scene.values[NEW_KEY])
    # What is remembered counts only while the key says the same: else it is a suspect again.
    kept = scene.values[BLOCKED]
    scene.values[BLOCKED] = f"{PLATFORM}|{ELSEWHERE}"
    assert PLATFORM not in scene.fields(ActionKind.CREATE_KEY)["platform"]
    scene.values[BLOCKED] = kept
    # Locked down, the platform reads on, and the thief does not.
    blob = scene.stage.kms.encrypt(KeyId=scene.key, Plaintext=b"x")["CiphertextBlob"]
    inputs = {**scene.fields(ActionKind.LOCK_DOWN_KEY), "platform": "yes"}
    assert scene.do(ActionKind.LOCK_DOWN_KEY, inputs).complete
    assert PLATFORM in scene.values["readers"]
    assert platform.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        thief.decrypt(CiphertextBlob=blob)


def test_where_a_thief_worked_from_for_hours_before_somebody_noticed_is_no_place_of_the_platform(
    scene: Scene, called: Calls
) -> None:
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    called(access_keys.PLATFORM, "Decrypt", ELSEWHERE, 5 * 60, 3)  # long before what it was declared from
    called(access_keys.PLATFORM, "Decrypt", ELSEWHERE, 3, 40)
    scene.principal = PLATFORM
    assert scene.fields(BLOCK) == {PRINCIPALS: "", ONLY_FROM: VPC_ENDPOINT}


def test_a_platform_that_only_reads_is_known_by_having_been_there(scene: Scene, called: Calls) -> None:
    called(access_keys.PLATFORM, "Decrypt", HOME, DAYS, 9)
    called(access_keys.PLATFORM, "Decrypt", ELSEWHERE, 3, 40)
    scene.principal = PLATFORM
    assert scene.fields(BLOCK) == {PRINCIPALS: "", ONLY_FROM: VPC_ENDPOINT}


@pytest.mark.deep
def test_who_makes_most_data_keys_only_now_is_not_taken_for_the_platform(scene: Scene, called: Calls) -> None:
    stolen = an_access_key()
    scene.sandbox.control.add_principal(stolen, "build-bot", "user", None)
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 5)
    called(stolen, "GenerateDataKey", ELSEWHERE, 3, 500)
    scene.pull()
    scene.principal = SUSPECT
    assert scene.fields(BLOCK) == {PRINCIPALS: SUSPECT}


@pytest.mark.deep
def test_where_the_platform_works_from_is_not_guessed_and_it_is_left_out_by_name(
    scene: Scene, called: Calls
) -> None:
    # A private address without its endpoint: KMS would not know the caller by it.
    called(access_keys.PLATFORM, "GenerateDataKey", "192.168.7.7", DAYS, 9)
    called(access_keys.PLATFORM, "Decrypt", ELSEWHERE, 3, 40)
    scene.pull()
    scene.principal = PLATFORM
    fields = scene.fields(BLOCK)
    assert fields == {PRINCIPALS: "", ONLY_FROM: ""}
    plan = scene.plan(BLOCK, fields)
    assert f"Not blocked: {PLATFORM}, a suspect: it is the platform's own" in "\n".join(plan.warnings)
    scene.run(BLOCK, plan, Consent.pressed(plan))
    found = scene.look(BLOCKED_ALL)
    assert found.state is CheckState.PASSED
    assert told(found).startswith("Nobody is blocked")
    assert f"Not blocked, as decided: {PLATFORM}" in told(found)


@pytest.mark.deep
def test_without_a_record_of_before_who_makes_most_data_keys_is_not_taken_off_the_air(
    scene: Scene, called: Calls
) -> None:
    called(access_keys.PLATFORM, "GenerateDataKey", ELSEWHERE, 20, 9)
    called(access_keys.ANALYST, "Decrypt", OFFICE, 10, 1)
    scene.pull()
    scene.principal = PLATFORM
    fields = scene.fields(BLOCK)
    assert PLATFORM not in fields[PRINCIPALS]
    assert ONLY_FROM in fields


@pytest.mark.deep
def test_who_may_be_the_platform_and_is_not_blocked_keeps_the_step_open(scene: Scene, called: Calls) -> None:
    stolen = an_access_key()
    scene.sandbox.control.add_principal(stolen, "build-bot", "user", None)
    called(stolen, "GenerateDataKey", ELSEWHERE, 20, 9)
    scene.pull()
    scene.principal = SUSPECT
    fields = scene.fields(BLOCK)
    assert fields == {PRINCIPALS: "", ONLY_FROM: ""}
    labels = {field.name: field.label for field in scene.tools.actions[BLOCK].fields(scene.situation())}
    assert labels[ONLY_FROM].startswith("user/build-bot may be the platform's own: ")
    plan = scene.plan(BLOCK, fields)
    words = (
        f"Not blocked: {SUSPECT}, a suspect that makes most data keys. Whether it is the platform's own is"
    )
    assert words in "\n".join(plan.warnings)
    scene.run(BLOCK, plan, Consent.pressed(plan))
    open_ = scene.look(BLOCKED_ALL)
    assert open_.state is CheckState.NOT_YET
    assert words in told(open_)
    # With the platform's past, whoever makes data keys only now is none of it.
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    scene.pull(timedelta(days=4))
    assert scene.fields(BLOCK) == {PRINCIPALS: SUSPECT}
    scene.do(BLOCK)
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED


@pytest.mark.deep
def test_who_may_be_the_platform_is_blocked_once_chosen(scene: Scene, called: Calls) -> None:
    stolen = an_access_key()
    scene.sandbox.control.add_principal(stolen, "build-bot", "user", None)
    called(stolen, "GenerateDataKey", ELSEWHERE, 20, 9)
    scene.pull()
    scene.principal = SUSPECT
    scene.do(BLOCK, {PRINCIPALS: SUSPECT})
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED


@pytest.mark.deep
def test_a_suspect_that_the_journal_names_as_an_actor_is_blocked_all_the_same(
    scene: Scene, called: Calls, superuser: Engine
) -> None:
    """One entry by any operator's login would make a colleague of the thief."""
    operator = f"arn:aws:iam::{ACCOUNT}:role/keydeck-operator"
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    called(access_keys.OPERATOR, "Decrypt", OFFICE, 10, 400)
    scene.pull()
    proposed = scene.fields(BLOCK)[PRINCIPALS]
    assert operator in proposed
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/keydeck-operator/olga"
    with role_of(KeydeckRole.OPERATOR, scene.container, superuser) as login:
        journal = Journal(login, lambda: f"{session}, database role operator")
        journal.record("keys show", "a key", Outcome.DONE)
    assert scene.fields(BLOCK)[PRINCIPALS] == proposed
    plan = scene.plan(BLOCK)
    assert f"{operator} is an actor according to the journal" in "\n".join(plan.warnings)
    scene.run(BLOCK, plan)
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED
    assert operator in str(scene.policy())


@pytest.mark.deep
def test_who_is_left_out_by_choice_is_named(scene: Scene, called: Calls) -> None:
    operator = f"arn:aws:iam::{ACCOUNT}:role/keydeck-operator"
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    called(access_keys.OPERATOR, "Decrypt", OFFICE, 10, 400)
    scene.pull()
    assert operator in scene.fields(BLOCK)[PRINCIPALS]
    plan = scene.plan(BLOCK, {PRINCIPALS: ""})
    assert f"Not blocked: {operator}, a suspect" in "\n".join(plan.warnings)
    scene.run(BLOCK, plan)
    assert f"Not blocked, as decided: {operator}" in told(scene.look(BLOCKED_ALL))


@pytest.mark.deep
def test_whoever_is_suspected_later_is_not_blocked_yet(scene: Scene, called: Calls) -> None:
    called(access_keys.PLATFORM, "GenerateDataKey", HOME, DAYS, 9)
    scene.pull()
    assert scene.do(BLOCK, scene.fields(BLOCK)).complete
    assert scene.look(BLOCKED_ALL).state is CheckState.PASSED
    scene.principal = SUSPECT
    found = scene.look(BLOCKED_ALL)
    assert found.state is CheckState.NOT_YET
    assert f"Suspected by now, and not blocked: {SUSPECT}" in told(found)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({PRINCIPALS: "[/red]\x1b[2J"}, "is not an IAM role or user"),
        ({PRINCIPALS: "arn:aws:iam::123456789012:root"}, "is not an IAM role or user"),
        ({PRINCIPALS: "arn:aws:iam::123456789012:role/keydeck-oncall"}, "is who you are here"),
    ],
    ids=["hostile", "account", "oneself"],
)
def test_who_can_not_be_blocked_is_refused_before_anything_is_sent(
    scene: Scene, inputs: dict[str, str], said: str
) -> None:
    before = scene.policy()
    with pytest.raises(RefusedError, match=said) as refused:
        scene.plan(BLOCK, inputs)
    assert "\x1b" not in str(refused.value)
    assert scene.policy() == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[/red]\x1b[2J", "is neither an address"),
        ("10.0.0.0/8", "is private"),
        ("0.0.0.0/1", "is private"),
        ("8.0.0.0/7", "is almost everywhere"),
        ("vpce-XYZ", "is neither an address"),
    ],
)
def test_a_source_that_binds_nobody_is_refused(scene: Scene, source: str, said: str) -> None:
    change = KeyChange(ChangeKind.BLOCK, scene.key, principal=SUSPECT, only_from=(source,))
    with pytest.raises(RefusedError, match=said) as refused:
        scene.container.services.key_changes.plan_change(change)
    assert "\x1b" not in str(refused.value)
