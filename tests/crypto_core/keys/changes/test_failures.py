"""KMS denies, throttles, falls silent: nothing is claimed that was not read back, and all is journaled."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.database.state.journal import Journal, JournalEntry
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.values.errors import (
    InterruptedRunError,
    KmsAccessDeniedError,
    KmsInternalError,
    KmsLimitError,
    KmsRequestError,
    KmsThrottledError,
    KmsUnreachableError,
)
from tests.crypto_core.agreed import agreed

PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"

Made = Callable[[KeyChange], ChangeResult]
Journaled = Callable[[], list[tuple[str, str]]]
Fail = Callable[[str, str], None]
Deny = Callable[..., None]


def detail(entry: JournalEntry) -> dict[str, Any]:
    found = json.loads(entry.detail)
    assert isinstance(found, dict)
    return found


def test_a_denied_change_is_told_by_its_action_and_journaled_as_failed(
    changes: KeyChangeService, key: str, kms: Any, deny: Deny, last_entry: Callable[[], JournalEntry]
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    deny("kms:DisableKey")
    with pytest.raises(KmsAccessDeniedError) as caught:
        changes.make_change(plan, agreed(plan))
    assert caught.value.action == "kms:DisableKey"
    entry = last_entry()
    assert (entry.action, entry.outcome) == ("keys disable", "failed")
    assert detail(entry)["done"] == []
    assert "kms:DisableKey" in detail(entry)["reason"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize(
    ("action", "part"),
    [
        ("kms:ListKeyRotations", "rotations on demand"),
        ("kms:GetKeyRotationStatus", "rotation under way"),
    ],
)
def test_what_may_not_be_looked_at_does_not_keep_a_key_from_rotating(
    changes: KeyChangeService, key: str, deny: Deny, action: str, part: str
) -> None:
    deny(action)
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    if part == "rotations on demand":
        assert plan.seen[part] == f"not known: {action} is not allowed"
        assert any(f"{action} is not allowed" in w for w in plan.warnings)
    # Another material is proof enough.
    assert changes.make_change(plan, agreed(plan)).verified


def test_an_effect_that_may_not_be_looked_at_is_not_claimed(
    changes: KeyChangeService, key: str, kms: Any, deny: Deny, journaled: Journaled
) -> None:
    deny("kms:GetKeyRotationStatus")
    plan = changes.plan_change(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=90))
    assert plan.seen["automatic rotation"] == "not known: kms:GetKeyRotationStatus is not allowed"
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.done, result.stopped_by) == (False, ("EnableKeyRotation",), "")
    assert "kms:GetKeyRotationStatus is not allowed" in result.unverified
    assert journaled()[-1] == ("keys enable-rotation", "done")


def test_a_key_whose_alias_is_denied_is_told_with_how_to_go_on(
    changes: KeyChangeService,
    made: Made,
    key: str,
    kms: Any,
    deny: Deny,
    sandbox: Sandbox,
    last_entry: Callable[[], JournalEntry],
) -> None:
    alias = f"alias/late-{key.rsplit('/', 1)[-1]}"
    change = KeyChange(
        ChangeKind.CREATE, alias=alias, period_days=365, principals={Role.PLATFORM: (PLATFORM,)}
    )
    plan = changes.plan_change(change)
    deny("kms:CreateAlias")
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.done) == (False, ("CreateKey",))
    assert "Access denied: kms:CreateAlias" in result.stopped_by
    assert "Done before that: kms:CreateKey." in result.stopped_by
    assert result.next_steps == (
        f"The key {result.key_arn} exists, with its policy. Still to do:",
        f"keydeck keys alias {alias} {result.key_arn}",
        f"keydeck keys enable-rotation {result.key_arn} --period 365",
    )
    assert kms.describe_key(KeyId=result.key_arn)["KeyMetadata"]["KeyState"] == "Enabled"
    facts = {f.name: f.after for f in result.facts}
    assert (facts["state"], facts[alias], facts["automatic rotation"]) == ("Enabled", "no such alias", "off")
    entry = last_entry()
    assert entry.outcome == "failed"
    assert detail(entry)["key_arn"] == result.key_arn
    assert detail(entry)["done"] == ["kms:CreateKey"]

    sandbox.control.clear()
    assert made(KeyChange(ChangeKind.POINT_ALIAS, result.key_arn, alias=alias)).verified
    assert made(KeyChange(ChangeKind.ENABLE_ROTATION, result.key_arn, period_days=365)).verified


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("kind", "operation", "times"),
    [
        (ChangeKind.ROTATE, "RotateKeyOnDemand", 1),
        (ChangeKind.CREATE, "CreateKey", 1),
        (ChangeKind.DISABLE, "DisableKey", 3),
    ],
)
def test_what_costs_a_key_or_a_rotation_is_not_sent_again_by_itself(
    changes: KeyChangeService,
    key: str,
    kms: Any,
    fail: Fail,
    sandbox: Sandbox,
    journaled: Journaled,
    kind: ChangeKind,
    operation: str,
    times: int,
) -> None:
    plan = changes.plan_change(KeyChange(kind, key if kind is not ChangeKind.CREATE else ""))
    fail(operation, "ThrottlingException")
    before = sandbox.control.stats().calls.get(f"kms:{operation}", 0)
    with pytest.raises(KmsThrottledError):
        changes.make_change(plan, agreed(plan))
    assert sandbox.control.stats().calls[f"kms:{operation}"] == before + times
    assert journaled()[-1] == (f"keys {kind.value}", "failed")
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []


def test_kms_gone_before_the_change_leaves_no_beginning(
    changes: KeyChangeService, key: str, fail: Fail, journaled: Journaled
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE_ROTATION, key))
    fail("*", "reset")
    with pytest.raises(KmsUnreachableError):
        changes.make_change(plan, agreed(plan))
    assert [o for _, o in journaled()] == ["dry run", "failed"]


def test_a_change_that_is_not_answered_is_looked_for(
    changes: KeyChangeService, key: str, fail: Fail, last_entry: Callable[[], JournalEntry]
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    fail("RotateKeyOnDemand", "reset")
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.done) == (False, ())
    assert "kms:RotateKeyOnDemand was sent" in result.stopped_by
    assert "its effect could not be confirmed, but it may have been done" in result.stopped_by
    assert {f.name: f.after for f in result.facts}["rotations on demand"] == "0 of 25"
    assert last_entry().outcome == "failed"


def after_it_is_done(monkeypatch: pytest.MonkeyPatch, kms: KmsApi, operation: str, error: Any) -> None:
    """Let KMS carry an operation out, and its answer be lost with `error`."""
    call = kms.call

    def lost(name: str, **parameters: Any) -> Any:
        answer = call(name, **parameters)
        if name == operation:
            raise error
        return answer

    monkeypatch.setattr(kms, "call", lost)


@pytest.mark.parametrize("error", [KmsUnreachableError("No answer."), KmsInternalError("Failed.")])
def test_a_change_whose_answer_was_lost_is_seen_to_be_there(
    changes: KeyChangeService,
    services: Container,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    last_entry: Callable[[], JournalEntry],
    error: Exception,
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    after_it_is_done(monkeypatch, services.kms, "DisableKey", error)
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.done) == (True, ())
    assert "kms:DisableKey was sent: its effect is there." in result.stopped_by
    assert (last_entry().outcome, detail(last_entry())["verified"]) == ("done", True)
    assert detail(last_entry())["stopped_by"] == result.stopped_by


def test_a_key_that_may_have_been_made_is_not_named(
    changes: KeyChangeService, services: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.CREATE))
    after_it_is_done(monkeypatch, services.kms, "CreateKey", KmsUnreachableError("No answer."))
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.key_arn, result.facts) == (False, "", ())
    assert "it may have been done" in result.stopped_by
    assert result.unverified == "KMS named no key that could be looked at."
    assert "keydeck keys list" in result.next_steps[0]


def test_kms_gone_when_the_effect_is_to_be_read_back(
    changes: KeyChangeService,
    services: Container,
    key: str,
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
    last_entry: Callable[[], JournalEntry],
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    call = services.kms.call

    def then_gone(name: str, **parameters: Any) -> Any:
        answer = call(name, **parameters)
        if name == "DisableKey":
            fail("*", "reset")
        return answer

    monkeypatch.setattr(services.kms, "call", then_gone)
    result = changes.make_change(plan, agreed(plan))
    assert (result.verified, result.done, result.facts) == (False, ("DisableKey",), ())
    assert "No answer from AWS at DescribeKey" in result.unverified
    assert (last_entry().outcome, detail(last_entry())["verified"]) == ("done", False)


def test_an_effect_that_kms_shows_late_is_waited_for(
    changes: KeyChangeService, services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    call, told = services.kms.call, []

    def late(name: str, **parameters: Any) -> Any:
        answer = call(name, **parameters)
        if name == "DescribeKey" and answer["KeyMetadata"]["KeyState"] == "Disabled":
            told.append(name)
            if len(told) < 3:
                answer["KeyMetadata"]["KeyState"] = "Enabled"
        return answer

    monkeypatch.setattr(services.kms, "call", late)
    changes._patience = (0.0, 0.0, 0.0)
    assert changes.make_change(plan, agreed(plan)).verified
    assert len(told) == 3


def test_an_effect_that_is_not_there_is_not_verified(
    changes: KeyChangeService, services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=100))
    call = services.kms.call

    def ignored(name: str, **parameters: Any) -> Any:
        return {} if name == "EnableKeyRotation" else call(name, **parameters)

    monkeypatch.setattr(services.kms, "call", ignored)
    result = changes.make_change(plan, agreed(plan))
    assert not result.verified
    assert result.unverified == "automatic rotation is off instead of every 100 days"


def test_a_change_that_is_cancelled_is_not_sent(
    changes: KeyChangeService, key: str, sent: Callable[[], dict[str, int]], journaled: Journaled
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    cancelled = Event()
    cancelled.set()
    sent()
    with pytest.raises(InterruptedRunError):
        changes.make_change(plan, agreed(plan), cancelled=cancelled)
    assert sent() == {}
    assert journaled()[-1] == ("keys rotate", "interrupted")


def test_a_census_that_is_cancelled_ends_preview_and_change(
    changes: KeyChangeService, key: str, sent: Callable[[], dict[str, int]], journaled: Journaled
) -> None:
    change = KeyChange(ChangeKind.DISABLE, key)
    plan = changes.plan_change(change)
    cancelled = Event()
    cancelled.set()
    sent()
    with pytest.raises(InterruptedRunError):
        changes.plan_change(change, cancelled=cancelled)
    with pytest.raises(InterruptedRunError):
        changes.make_change(plan, agreed(plan), cancelled=cancelled)
    assert sent() == {}
    assert [o for _, o in journaled()] == ["dry run", "interrupted", "interrupted"]


def test_a_change_that_is_broken_off_says_what_was_sent(
    changes: KeyChangeService,
    services: Container,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    last_entry: Callable[[], JournalEntry],
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    after_it_is_done(monkeypatch, services.kms, "RotateKeyOnDemand", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        changes.make_change(plan, agreed(plan))
    assert last_entry().outcome == "interrupted"
    assert detail(last_entry())["unanswered"] == "RotateKeyOnDemand"


def test_an_end_that_cannot_be_journaled_is_told(
    changes: KeyChangeService,
    services: Container,
    key: str,
    superuser: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    call = services.kms.call

    def then_no_journal(name: str, **parameters: Any) -> Any:
        answer = call(name, **parameters)
        if name == "DisableKey":
            with superuser.begin() as connection:
                connection.execute(text("DROP TABLE keydeck.journal"))
        return answer

    monkeypatch.setattr(services.kms, "call", then_no_journal)
    result = changes.make_change(plan, agreed(plan))
    assert result.verified
    assert result.unjournaled.startswith("Keydeck's own schema is not in this database")


def test_a_beginning_that_cannot_be_journaled_stops_the_change(
    changes: KeyChangeService, key: str, monkeypatch: pytest.MonkeyPatch, sent: Callable[[], dict[str, int]]
) -> None:
    from crypto_core.values.errors import DatabaseUnreachableError

    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))

    def gone(*_: Any, **__: Any) -> None:
        raise DatabaseUnreachableError("No connection to the database.")

    monkeypatch.setattr(Journal, "record", gone)
    sent()
    with pytest.raises(DatabaseUnreachableError):
        changes.make_change(plan, agreed(plan))
    assert sent() == {}


LIMIT = "LimitExceededException"


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("operation", "error", "kind", "said", "remedy"),
    [
        ("RotateKeyOnDemand", LIMIT, KmsLimitError, "A limit of KMS is reached", "25 rotations on demand"),
        ("RotateKeyOnDemand", "ConflictException", KmsRequestError, "is rotating", "Wait until that is done"),
        (
            "RotateKeyOnDemand",
            "UnsupportedOperationException",
            KmsRequestError,
            "this kind of key does not have it",
            "spec, origin and Regions",
        ),
        ("DisableKey", "AlreadyExistsException", KmsRequestError, "already exists", "keydeck keys show"),
        (
            "PutKeyPolicy",
            "MalformedPolicyDocumentException",
            KmsRequestError,
            "KMS rejected the key policy",
            "no one able to change it",
        ),
        ("PutKeyPolicy", LIMIT, KmsLimitError, "A limit of KMS is reached", "32 KB"),
    ],
)
def test_what_kms_says_no_to_comes_in_words_with_a_way_out(
    changes: KeyChangeService,
    key: str,
    fail: Fail,
    operation: str,
    error: str,
    kind: Any,
    said: str,
    remedy: str,
) -> None:
    policy = (
        '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, '
        '"Action": "kms:*", "Resource": "*", "Sid": "other"}}'
    )
    plans: dict[str, ChangePlan] = {
        "RotateKeyOnDemand": changes.plan_change(KeyChange(ChangeKind.ROTATE, key)),
        "DisableKey": changes.plan_change(KeyChange(ChangeKind.DISABLE, key)),
        "PutKeyPolicy": changes.plan_change(KeyChange(ChangeKind.PUT_POLICY, key, policy=policy)),
    }
    plan = plans[operation]
    fail(operation, error)
    with pytest.raises(kind) as caught:
        changes.make_change(plan, Consent.typed(plan, plan.confirmation))
    assert type(caught.value) is kind
    assert said in caught.value.message
    assert remedy in caught.value.remedy


def test_hostile_text_in_a_grant_acts_nowhere(
    changes: KeyChangeService, made: Made, key: str, kms: Any
) -> None:
    name = "[/red]\x1b[2J\u202egrant"
    grant = kms.create_grant(KeyId=key, GranteePrincipal=PLATFORM, Operations=["Decrypt"], Name=name)
    plan = changes.plan_change(KeyChange(ChangeKind.REVOKE_GRANT, key, grant_id=grant["GrantId"]))
    assert plan.seen["grant"] == "role/keydeck-platform may Decrypt ([/red][2Jgrant)"
    result = made(plan.change)
    assert result.verified
    for fact in result.facts:
        assert fact.before.isprintable()
        assert fact.after.isprintable()


def test_hostile_text_in_an_alias_is_not_typed_to_mean_its_key(
    changes: KeyChangeService, services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.services.keys, "known_aliases", lambda: {key: ("alias/[/red] x",)})
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    assert plan.key_name == "alias/[/red] x"
    assert plan.confirmation == key.rsplit("/", 1)[-1]
