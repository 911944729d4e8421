"""What KMS refuses or answers wrongly is never stored, and its errors say nothing of the token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import parse
from crypto_core.guard.consent import Consent
from crypto_core.keyring.data_keys import RewrappedDataKey
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.reencryption.plan import Selection, Verb
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import everything, run


def test_a_source_that_may_not_be_opened_under_the_target_changes_nothing(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, new_key: NewKey
) -> None:
    """Rewrap opens the new envelope before it is stored; without Decrypt on the target nothing is."""
    target = new_key()
    work = services.services.work
    before = everything(platform)
    selections = (Selection(world.sealed_under(world.old_key)[:3]), Selection(under_key=world.old_key.arn))
    plans = [work.plan_reencryption(Verb.REWRAP, selection, target) for selection in selections]
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", target.rpartition("/")[2]))
    for plan in plans:
        result = work.run_plan(plan, Consent.by_option(plan))
        assert result.done == 0
        assert result.stopped_by or result.poisoned
    sandbox.control.clear()
    assert everything(platform) == before


def test_a_wrong_answer_of_kms_is_never_stored(
    services: Container, world: World, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrapped data key that is not the token's own: the new envelope would not open."""
    other = parse(services.store.read_token(world.sealed_under(world.current_key)[0]).value.reveal())
    original = KmsTransport.reencrypt

    async def reencrypt(kms: KmsTransport, *arguments: Any) -> RewrappedDataKey:
        answer = await original(kms, *arguments)
        return replace(answer, encrypted_data_key=other.encrypted_data_key)

    before = everything(platform)
    monkeypatch.setattr(KmsTransport, "reencrypt", reencrypt)
    result = run(
        services, Verb.REWRAP, Selection(world.sealed_under(world.old_key)[:2]), world.current_key.arn
    )
    assert result.done == 0
    assert len(result.poisoned) == 2
    assert everything(platform) == before


@pytest.mark.usefixtures("small_pages")
def test_a_kms_error_says_nothing_of_the_token(services: Container, sandbox: Sandbox, world: World) -> None:
    ref = world.plaintext_refs[0]
    sandbox.control.add_fault(Fault("GenerateDataKey", "KMSInternalException"))
    result = run(services, Verb.ENCRYPT, Selection((ref,)), world.current_key.arn)
    sandbox.control.clear()
    assert world.token_for(ref) not in str(result)
    assert "GenerateDataKey" in result.stopped_by


@pytest.mark.quick(1)
@pytest.mark.parametrize("wrong", ["another bit", "another blob"])
@pytest.mark.parametrize("verb", [Verb.ENCRYPT, Verb.REENCRYPT])
def test_a_data_key_that_kms_does_not_open_stops_a_run_before_anything_is_written(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, verb: Verb, wrong: str
) -> None:
    before = everything(platform)
    sandbox.control.add_fault(Fault("GenerateDataKey", wrong))
    services.kms.call("GenerateDataKey", KeyId=world.current_key.arn, KeySpec="AES_256")
    selection = (
        Selection(unprotected=True) if verb is Verb.ENCRYPT else Selection(under_key=world.old_key.arn)
    )
    result = run(services, verb, selection, world.current_key.arn)
    sandbox.control.clear()
    assert result.done == 0
    assert "does not open the data key that it has just issued" in result.stopped_by
    assert everything(platform) == before
