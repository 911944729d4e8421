"""A run that is cancelled leaves whole tokens and goes on later."""

from __future__ import annotations

from threading import Event

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from tests.crypto_core.reencryption.running.runs import all_hold_their_tokens, everything, plan, run


@pytest.mark.deep
@pytest.mark.usefixtures("small_pages")
def test_a_cancelled_run_leaves_whole_tokens_and_goes_on_later(
    services: Container, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    cancelled = Event()

    def progress(told: RunProgress) -> None:
        if told.done >= 20:
            cancelled.set()

    result = services.services.work.run_plan(
        made, Consent.by_option(made), progress=progress, cancelled=cancelled
    )
    assert result.interrupted
    assert 20 <= result.done < made.tokens
    assert result.done + result.remaining + len(result.poisoned) == made.tokens
    assert not result.complete
    assert all_hold_their_tokens(cipher, platform, world)
    assert run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn).remaining == 0
    assert all_hold_their_tokens(cipher, platform, world)


def test_a_run_cancelled_before_it_begins_asks_nothing_and_writes_nothing(
    services: Container, world: World, platform: Engine
) -> None:
    before = everything(platform)
    made = plan(services, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    cancelled = Event()
    cancelled.set()
    result = services.services.work.run_plan(made, Consent.by_option(made), cancelled=cancelled)
    assert (result.done, result.kms_calls, result.interrupted) == (0, 0, True)
    assert result.remaining == made.tokens
    assert everything(platform) == before
