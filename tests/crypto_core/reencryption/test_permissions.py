"""A run that KMS would refuse is not begun: the plan says which permission is missing, on which key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import classify
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.values.errors import MissingPermissionError
from tests.console.command_types import Stored


@pytest.fixture
def plan(services: Container) -> Callable[..., Plan]:
    return services.services.work.plan_reencryption


@pytest.mark.deep
def test_a_target_that_may_not_make_data_keys_is_refused_before_the_first_token(
    services: Container, sandbox: Sandbox, world: World, stored: Stored
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    before = stored(ref)
    sandbox.control.add_denial(Denial("*", "kms:GenerateDataKey", world.current_key.key_id))
    with pytest.raises(MissingPermissionError) as refused:
        services.services.work.plan_reencryption(
            Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
        )
    assert f"kms:GenerateDataKey on {world.current_key.arn} is refused" in refused.value.message
    assert "Allow kms:GenerateDataKey" in refused.value.remedy
    assert stored(ref) == before
    entry = services.journal.entries(limit=1)[0]
    assert entry.outcome == Outcome.REFUSED


def test_both_sides_of_a_rewrap_are_tried(plan: Callable[..., Plan], sandbox: Sandbox, world: World) -> None:
    selection = Selection((world.sealed_under(world.old_key)[0],))
    for action, key in (
        ("kms:ReEncryptFrom", world.old_key.arn),
        ("kms:ReEncryptTo", world.current_key.arn),
        ("kms:Decrypt", world.current_key.arn),
    ):
        sandbox.control.clear()
        assert plan(Verb.REWRAP, selection, world.current_key.arn).tokens == 1
        sandbox.control.add_denial(Denial("*", action, key.rpartition("/")[2]))
        with pytest.raises(MissingPermissionError, match=f"{action} on {key} is refused"):
            plan(Verb.REWRAP, selection, world.current_key.arn)


def test_one_of_several_sources_that_may_not_be_opened_is_told_and_holds_up_nobody(
    services: Container, plan: Callable[..., Plan], sandbox: Sandbox, world: World
) -> None:
    services.services.status.take_census()
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", world.old_key.key_id))
    made = plan(Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    assert made.tokens
    assert any(f"kms:Decrypt on {world.old_key.arn} is refused" in w for w in made.warnings)


def test_asking_brings_no_data_key_home_and_writes_nothing(
    services: Container,
    plan: Callable[..., Plan],
    sandbox: Sandbox,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[dict[str, Any]] = []
    call = services.kms.call

    def noted(operation: str, **parameters: Any) -> dict[str, Any]:
        answer = call(operation, **parameters)
        if operation in ("GenerateDataKey", "ReEncrypt"):
            answers.append(answer)
        return answer

    monkeypatch.setattr(services.kms, "call", noted)
    plan(Verb.REENCRYPT, Selection((world.sealed_under(world.old_key)[0],)), world.current_key.arn)
    assert answers == []


def test_a_plan_asks_in_read_only_mode_too(
    environment: dict[str, str], sandbox: Sandbox, world: World
) -> None:
    container = Container(load({"read_only": True}).settings)
    selection = Selection((world.plaintext_refs[0],))
    try:
        assert (
            container.services.work.plan_reencryption(Verb.ENCRYPT, selection, world.current_key.arn).tokens
            == 1
        )
        sandbox.control.add_denial(Denial("*", "kms:GenerateDataKey", world.current_key.key_id))
        with pytest.raises(MissingPermissionError):
            container.services.work.plan_reencryption(Verb.ENCRYPT, selection, world.current_key.arn)
    finally:
        container.close()


def test_the_command_says_what_is_missing_and_exits_as_for_what_failed_outside(
    keydeck: Callable[..., Any], services: Container, sandbox: Sandbox, world: World
) -> None:
    ref = world.plaintext_refs[0]
    sandbox.control.add_denial(Denial("*", "kms:GenerateDataKey", world.current_key.key_id))
    ran = keydeck("encrypt", str(ref), "--to", world.current_key.arn, "--yes")
    assert ran.exit_code == 3
    assert "kms:GenerateDataKey" in ran.stderr
    with services.engine.connect() as connection:
        value = connection.scalar(
            text(f"SELECT {ref.column} FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id}
        )
    assert not classify(value).format.protected
