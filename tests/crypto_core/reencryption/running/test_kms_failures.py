"""KMS fails in the middle of a run: it stops, no token is lost, and a second run completes it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import all_hold_their_tokens, everything, plan, run, under

TROUBLES = {
    "KMSInternalException": Fault("Decrypt", "KMSInternalException"),
    "KeyUnavailableException": Fault("GenerateDataKey", "KeyUnavailableException"),
    "DependencyTimeoutException": Fault("*", "DependencyTimeoutException"),
    "ThrottlingException": Fault("Decrypt", "ThrottlingException"),
    "ExpiredTokenException": Fault("GenerateDataKey", "ExpiredTokenException"),
    "reset": Fault("GenerateDataKey", "reset"),
    "LimitExceededException": Fault("GenerateDataKey", "LimitExceededException"),
    "AccessDenied Decrypt": Denial("*", "kms:Decrypt"),
    "AccessDenied GenerateDataKey": Denial("*", "kms:GenerateDataKey"),
}


ALWAYS = {"reset", "AccessDenied Decrypt", "KMSInternalException"}
EACH_TROUBLE = pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(trouble, id=name, marks=() if name in ALWAYS else pytest.mark.deep)
        for name, trouble in TROUBLES.items()
    ],
)


def cause(sandbox: Sandbox, trouble: Fault | Denial) -> None:
    if isinstance(trouble, Fault):
        sandbox.control.add_fault(trouble)
    else:
        sandbox.control.add_denial(trouble)


@pytest.mark.deep
@EACH_TROUBLE
@pytest.mark.usefixtures("small_pages")
def test_a_kms_that_fails_in_the_middle_stops_the_run_and_a_second_run_completes_it(
    services: Container,
    sandbox: Sandbox,
    world: World,
    platform: Engine,
    cipher: TokenCipher,
    trouble: Fault | Denial,
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    told: list[RunProgress] = []

    def progress(now: RunProgress) -> None:
        # Small pages read at most nine tokens ahead of a batch: later, there may be nothing left to ask KMS.
        if not told:
            cause(sandbox, trouble)
        told.append(now)

    before = everything(platform)
    result = services.services.work.run_plan(made, Consent.by_option(made), progress=progress)
    sandbox.control.clear()
    assert result.stopped_by
    assert not result.complete
    assert 0 < result.done < made.tokens
    assert result.done + result.remaining + len(result.poisoned) == made.tokens
    after = everything(platform)
    assert sum(after[r] != before[r] for r in after) == result.done
    assert all_hold_their_tokens(cipher, platform, world)
    second = run(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert (second.stopped_by, second.remaining) == ("", 0)
    assert result.done + second.done == len(world.sealed_under(world.old_key))
    assert all_hold_their_tokens(cipher, platform, world)
    assert under(services, world.old_key.arn) == 0


@pytest.mark.parametrize("operation", ["Decrypt", "ReEncrypt"])
@pytest.mark.usefixtures("small_pages")
def test_a_rewrap_that_is_stopped_in_the_middle_loses_nothing(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher, operation: str
) -> None:
    made = plan(services, Verb.REWRAP, Selection(everything=True), world.current_key.arn)

    def progress(told: RunProgress) -> None:
        if told.done > 20:
            sandbox.control.add_fault(Fault(operation, "KMSInternalException"))

    result = services.services.work.run_plan(made, Consent.by_option(made), progress=progress)
    sandbox.control.clear()
    assert operation in result.stopped_by
    assert 20 < result.done < made.tokens
    assert all_hold_their_tokens(cipher, platform, world)


@pytest.mark.deep
def test_some_calls_that_fail_are_retried_and_the_run_completes(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    sandbox.control.add_fault(Fault("*", "KMSInternalException", count=3))
    result = services.services.work.run_plan(made, Consent.by_option(made))
    sandbox.control.clear()
    assert (result.stopped_by, result.remaining) == ("", 0)
    assert all_hold_their_tokens(cipher, platform, world)


@pytest.mark.usefixtures("small_pages")
def test_a_target_that_is_disabled_in_the_middle_stops_the_run(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, new_key: NewKey
) -> None:
    target, kms = new_key(), sandbox.client("kms")
    made = plan(services, Verb.REENCRYPT, Selection(everything=True), target)

    def progress(told: RunProgress) -> None:
        if told.done >= 10:
            kms.disable_key(KeyId=target)

    result = services.services.work.run_plan(made, Consent.by_option(made), progress=progress)
    kms.enable_key(KeyId=target)
    assert "disabled" in result.stopped_by
    assert result.remaining > 0
    assert all_hold_their_tokens(TokenCipher(services.keyring.trusting(target)), platform, world)
