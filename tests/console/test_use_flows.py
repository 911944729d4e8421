"""Who used what, on screen over the sandbox: real rows, real envelopes, CloudTrail's LookupEvents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.container import Container
from console.lazy_services import if_made
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import INTRUDER_ADDRESS
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.envelope.encryption_context import encryption_context
from crypto_core.values.references import TokenRef
from screens.connections.screen import ConnectionsScreen
from screens.events.event_screen import EventScreen
from screens.events.screen import EventsScreen
from screens.principals import PrincipalScreen
from screens.use.key_use_screen import KeyUseScreen
from screens.use.token_screen import TokenScreen
from tests.console.test_shell import console
from tests.screens.test_token_timeline import go_to


@pytest.fixture
def opened(world: World) -> TokenRef:
    """A v1 token of a GitHub connection under the current key."""
    refs = world.sealed_under(world.current_key, world.current_key.material_ids[-1])
    return sorted(r for r in refs if r.table == "gh_connection" and world.tokens[r].format is Format.V1)[6]


@pytest.fixture(autouse=True)
def unthrottled(sandbox: Sandbox, services: Container) -> None:
    """LookupEvents answers at once, and is asked as fast: other tests left thousands of events."""
    sandbox.control.set_lookup_throttle(None)
    assert callable(services.trail.puller.plan_pull)
    puller = if_made(services.trail.puller)
    assert puller is not None
    puller._lookup = replace(puller._lookup, per_second=1_000.0)


def past(world: World, *, minutes: float, **more: object) -> PastCall:
    """A call of the intruder's."""
    values: dict[str, object] = {
        "time": datetime.now(UTC) - timedelta(minutes=minutes),
        "access_key_id": access_keys.INTRUDER,
        "operation": "Decrypt",
        "key_id": world.current_key.arn,
        "source_ip": INTRUDER_ADDRESS,
    }
    return PastCall(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.deep
async def test_from_an_event_to_its_principal_to_a_token_that_it_opened_to_the_connection(
    sandbox: Sandbox, services: Container, world: World, opened: TokenRef
) -> None:
    sandbox.control.history([past(world, minutes=30, encryption_context=encryption_context(opened))])
    services.trail.puller.pull_events(since=datetime.now(UTC) - timedelta(hours=1))
    async with console(services.services, start="events") as deck:
        await deck.filter("principal:*intruder token:* since:1h")
        await deck.press("T")
        assert isinstance(deck.app.screen, PrincipalScreen)
        assert "each named by its records" in deck.line_with("opened   ")
        await go_to(deck, str(opened))
        await deck.press("enter")
        assert isinstance(deck.app.screen, EventsScreen)
        await deck.press("enter")
        assert isinstance(deck.app.screen, EventScreen)
        await go_to(deck, "its timeline")
        await deck.press("enter")
        assert isinstance(deck.app.screen, TokenScreen)
        assert "opened " in deck.line_with("exact   ")
        assert "It is stored as v1 now, and was bound to its row before" in deck.text()
        assert "Possible, never certain" in deck.text()
        await go_to(deck, "token   ")
        await deck.press("enter")
        assert isinstance(deck.app.screen, ConnectionsScreen)
        assert opened.row_id in deck.cursor_line()


@pytest.mark.deep
async def test_a_keys_use_adds_up(
    sandbox: Sandbox, services: Container, world: World, new_key: Callable[[], str]
) -> None:
    key = new_key()
    used = past(world, minutes=40, key_id=key)
    sandbox.control.history([used, past(world, minutes=41, key_id=key, error_code="AccessDenied")])
    services.trail.puller.pull_events(since=datetime.now(UTC) - timedelta(hours=1))
    async with console(services.services, start="keys") as deck:
        await deck.filter(f"key:{key.rpartition('/')[2]}")
        await deck.press("T")
        assert isinstance(deck.app.screen, KeyUseScreen)
        told = services.services.event_use.key_use(key)
        assert f"{told.events:,}, failed {told.failed:,}, denied {told.denied:,}" in deck.text()


@pytest.mark.deep
async def test_what_was_fetched_is_complete_and_what_was_not_is_a_gap(services: Container) -> None:
    async with console(services.services, start="events") as deck:
        await deck.filter("since:2h")
        await deck.command("pull 3h")
        await deck.until(lambda: "complete to" in deck.text())
        await deck.filter("since:7d")
        await deck.until(lambda: "▲ " in deck.lines()[2])
