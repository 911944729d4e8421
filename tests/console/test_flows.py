"""The console over the sandbox: real rows, a real KMS endpoint, what an operator presses and then sees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint.control import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from screens.connections.screen import ConnectionsScreen
from screens.keys.key_screen import KeyScreen
from tests.console.test_shell import console
from tests.screens.deck import Deck

Stored = Callable[[Any], str]


async def choose(deck: Deck, expression: str) -> None:
    await deck.press("slash")
    await deck.type(expression)
    await deck.press("enter")


async def test_status_shows_what_is_wrong_and_leads_to_the_rows_behind_it(
    services: Container, world: World
) -> None:
    async with console(services.services) as deck:
        top = deck.line_with("in plaintext")
        assert "critical" in top
        assert str(len(world.plaintext_refs)) in top
        await deck.press("enter")
        assert isinstance(deck.app.screen, ConnectionsScreen)
        assert f"1 of {len(world.plaintext_refs)} tokens" in deck.text()


async def test_a_plaintext_token_is_encrypted_in_place_and_its_row_shows_that(
    services: Container, world: World, stored: Stored
) -> None:
    ref = world.plaintext_refs[0]
    async with console(services.services, start="connections") as deck:
        await choose(deck, f"table:{ref.table} id:{ref.row_id}")
        assert "plaintext" in deck.cursor_line()
        await deck.press("x", "enter")
        assert "1 token would be written" in deck.text()
        await deck.press("right", "enter")
        assert "1 of 1 token written" in deck.text()
        await deck.press("enter")
        line = deck.cursor_line()
        assert "v1" in line
        assert "verified" in line
    assert stored(ref).startswith("djF8")


async def test_rewrap_says_that_it_is_no_recovery_and_moves_the_key(
    services: Container, world: World, sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    arn = new_key()
    # The write key comes first in the list, then keys with an alias, by name.
    sandbox.client("kms").create_alias(AliasName="alias/a-new-home", TargetKeyId=arn)
    ref = world.sealed_under(world.current_key)[0]
    async with console(services.services, start="connections") as deck:
        await choose(deck, f"column:{ref.column} id:{ref.row_id}")
        await deck.press("w", "down", "enter")
        assert "would be written under alias/a-new-home" in deck.text()
        assert "no recovery from a compromise" in " ".join(deck.says().split())
        await deck.press("right", "enter")
        assert "1 of 1 token written" in deck.text()
        await deck.press("enter")
        assert "a-new-home" in deck.cursor_line()
    sandbox.client("kms").delete_alias(AliasName="alias/a-new-home")
    assert services.services.inventory.row(ref).key_arn == arn


async def test_verify_says_whether_a_token_opened_and_never_shows_it(
    services: Container, world: World
) -> None:
    ref = world.sealed_under(world.current_key)[0]
    async with console(services.services, start="connections") as deck:
        await choose(deck, f"column:{ref.column} id:{ref.row_id}")
        await deck.press("v")
        assert "opened" in deck.text()
        assert world.token_for(ref) not in deck.text()


@pytest.mark.deep
async def test_a_key_is_rotated_from_its_page_and_the_effect_is_seen(
    services: Container, new_key: Callable[[], str]
) -> None:
    arn = new_key()
    async with console(services.services, start="keys") as deck:
        await choose(deck, f"key:{arn.rpartition('/')[2]}")
        await deck.press("enter")
        assert isinstance(deck.app.screen, KeyScreen)
        assert "on demand 0 of 25 used" in deck.text()
        await deck.press("n")
        assert "1 of 25" in deck.says()
        await deck.type(arn.rpartition("/")[2])
        await deck.press("enter")
        assert "Done and verified." in deck.says()
        await deck.press("enter")
        assert "on demand 1 of 25 used" in deck.text()
    assert [m.rotation for m in services.services.keys.show(arn).materials] == [None, "ON_DEMAND"]
    rotated = [e for e in services.journal.entries() if arn in e.subject]
    assert [e.outcome for e in rotated] == ["dry run", "started", "done"]


async def test_a_key_with_tokens_is_not_disabled_without_typing_how_many(
    services: Container, world: World
) -> None:
    async with console(services.services, start="keys") as deck:
        await choose(deck, f"key:{world.current_key.key_id}")
        await deck.press("d")
        assert "To accept that, type" in deck.says()
        await deck.type(world.current_key.alias)
        await deck.press("enter")
        await deck.press("escape")
    assert services.services.keys.describe(world.current_key.arn).state == "Enabled"


@pytest.mark.deep
async def test_read_only_is_shown_and_refuses_before_a_change_is_prepared(
    services: Container, world: World, stored: Stored
) -> None:
    ref = world.plaintext_refs[0]
    before = stored(ref)
    with closing(Container(load({"read_only": True}).settings)) as reading:
        async with console(reading.services, start="connections") as deck:
            assert "[RO]" in deck.text()
            await choose(deck, f"table:{ref.table} id:{ref.row_id}")
            await deck.press("x")
            assert "Read-only: encrypt in place is refused." in deck.text()
            await deck.press("enter", "right", "enter")
    assert stored(ref) == before


async def test_a_denied_permission_is_named_and_the_rest_goes_on(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:GetKeyRotationStatus"))
    async with console(services.services, start="keys") as deck:
        await deck.press("enter")
        assert "kms:GetKeyRotationStatus" in deck.text()
        assert "Enabled" in deck.text()
        await deck.press("1")
        assert "problems" in deck.text()
    sandbox.control.clear()
