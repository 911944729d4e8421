"""The console's shell over the sandbox: what every screen shares, with real rows and a real KMS endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.application.app import KeydeckApp
from console.application.context import ConsoleContexts
from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.setting_parts import DatabaseSettings
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from screens.connections.screen import ConnectionsScreen
from screens.keys.key_screen import KeyScreen
from screens.memory import Memory
from screens.services import Services
from screens.status.screen import StatusScreen
from tests.screens.deck import LARGE, Deck
from tests.screens.stage import Stage

Stored = Callable[[Any], str]


@asynccontextmanager
async def console(services: Services, *, start: str = "status", **more: Any) -> AsyncIterator[Deck]:
    """The console over these services, at rest on its first screen."""
    app = KeydeckApp(services, start_screen=start, **more)
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        deck = Deck(app, pilot, Stage())
        await deck.until(lambda: app.facts.status.at or app.facts.status.trouble)
        yield deck


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[Engine]:
    url = make_url(sandbox.superuser_url).set(database="postgres").render_as_string(hide_password=False)
    engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@contextmanager
def refusing_connections(server: Engine, database: str) -> Iterator[None]:
    """PostgreSQL ends every connection to a database and lets nobody in."""
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"), {"d": database}
        )
    try:
        yield
    finally:
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"))


@pytest.fixture
def small_database(server: Engine, sandbox: Sandbox) -> Iterator[str]:
    """URL of a copy of the generated database that holds Slack's tokens alone."""
    name = f"small_{uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE tokens OWNER {PLATFORM}"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {OPERATOR}"))
    engine = open_engine(make_url(sandbox.superuser_url).set(database=name).render_as_string(False))
    with engine.begin() as connection:
        for table in ("gh_connection", "jira_connection", "confluence_connection"):
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
    yield make_url(sandbox.database_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.deep
async def test_every_way_to_a_write_is_refused_when_read_only_and_nothing_is_written(
    services: Container, world: World, stored: Stored
) -> None:
    ref = world.plaintext_refs[0]
    before = stored(ref)
    contexts = ConsoleContexts(load({"read_only": True}).settings)
    try:
        async with console(contexts.services, start="connections") as deck:
            assert "[RO]" in deck.lines()[0]
            assert "encrypt in place" not in deck.text()
            await deck.filter(f"table:{ref.table} id:{ref.row_id}")
            await deck.press("x", "w", "e")
            await deck.command("encrypt")
            assert isinstance(deck.app.screen, ConnectionsScreen)
            assert [told.split(": ")[0] for told in deck.toasts()] == ["Read-only"] * 4
            await deck.command("verify")
            assert "opened" in deck.text() or "did not open" in deck.text()
    finally:
        contexts.close()
    assert stored(ref) == before


@pytest.mark.deep
async def test_from_a_problem_to_its_tokens_to_a_key_and_back_each_as_it_was_left(
    services: Container, world: World
) -> None:
    async with console(services.services) as deck:
        await deck.press("enter")
        assert isinstance(deck.app.screen, ConnectionsScreen)
        assert deck.lines()[1].lstrip().startswith("Status › Connections › format:plaintext")
        assert f"1 of {len(world.plaintext_refs)} tokens" in deck.lines()[1]
        await deck.press("s", "down", "space")
        before = deck.cursor_line()
        await deck.press("3", "enter")
        assert isinstance(deck.app.screen, KeyScreen)
        await deck.press("escape", "1")
        assert deck.cursor_line() == before
        assert "1 marked" in deck.lines()[1]
        await deck.press("escape")
        assert isinstance(deck.app.screen, StatusScreen)


@pytest.mark.deep
async def test_a_list_is_filtered_and_sorted_in_sql_marked_verified_and_exported(
    services: Container, world: World, tmp_path: Path
) -> None:
    under = world.sealed_under(world.current_key)
    memory = Memory()
    async with console(services.services, start="connections", memory=memory) as deck:
        await deck.command("sort key")
        assert "sort: key · material ↑" in deck.lines()[1]
        await deck.command("sort reference desc")
        await deck.filter("format:v1,v2 provider:github")
        rows = [str(row.ref) for row in deck.pane.feed.window.rows]
        expected = [r for r in world.tokens if r.table == "gh_connection" and r not in world.plaintext_refs]
        assert 0 < len(rows) <= len(expected)
        assert rows == sorted(rows, reverse=True)
        await deck.press("end")
        assert str(deck.pane.feed.window.rows[-1].ref).split(":")[1] in deck.cursor_line()
        await deck.press("A")
        assert f"{len(rows)} marked" in deck.lines()[1]
        await deck.press("v")
        assert "opened" in deck.says()
        await deck.press("enter", "u")
        await deck.command(f"export {tmp_path}/tokens.jsonl")
        await deck.press("enter")
        assert f"{len(rows)} tokens in" in deck.says()
    written = [json.loads(line)["reference"] for line in (tmp_path / "tokens.jsonl").read_text().splitlines()]
    assert written == rows
    assert under


@pytest.mark.deep
async def test_another_database_is_switched_to_without_a_restart(
    services: Container, world: World, small_database: str
) -> None:
    settings = load().settings.model_copy(
        update={"databases": {"small": DatabaseSettings(url=small_database, environment="copy")}}
    )
    slack = sum(1 for ref in world.tokens if ref.table == "slack_connection")
    contexts = ConsoleContexts(settings)
    try:
        async with console(contexts.services) as deck:
            assert f"{len(world.tokens):,} tokens" in deck.text()
            await deck.press("enter", "2")
            await deck.command("context database small")
            await deck.until(lambda: deck.facts.status.at)
            assert " copy " in deck.lines()[0]
            await deck.until(lambda: f"1 of {slack} tokens" in deck.lines()[1])
            await deck.press("1")
            assert f"{slack:,} tokens" in deck.text()
            await deck.command("context database elsewhere")
            assert "There is no database 'elsewhere'" in deck.toasts()[-1]
            assert f"{slack:,} tokens" in deck.text()
    finally:
        contexts.close()


@pytest.mark.deep
async def test_a_database_that_dies_is_told_and_what_was_known_stays_until_it_is_back(
    services: Container, server: Engine, database_url: str, world: World
) -> None:
    name = str(make_url(database_url).database)
    async with console(services.services) as deck:
        await deck.press("2", "1")
        with refusing_connections(server, name):
            await deck.press("r")
            await deck.until(lambda: "✖ database:" in deck.text())
            assert f"{len(world.tokens):,} tokens" in deck.text()
            await deck.press("2", "r")
            assert f"1 of {len(world.tokens)} tokens" in deck.text()
            await deck.press("3", "r")
            assert "Enabled" in deck.text()
        await deck.press("1", "r")
        await deck.until(lambda: "✖ database:" not in deck.text())
        await deck.press("2", "r")
        assert f"of {len(world.tokens)} tokens" in deck.lines()[1]


@pytest.mark.deep
async def test_an_endpoint_that_does_not_answer_leaves_rows_usable_and_q_quits_at_once(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    async with console(services.services, start="connections") as deck:
        sandbox.control.set_latency(20_000)
        try:
            await deck.pilot.press("3", "r", "2", "down", "down")
            await deck.pilot.pause()
            assert f"3 of {len(world.tokens)} tokens" in deck.lines()[1]
            await deck.pilot.press("q")
            await deck.pilot.pause()
            assert deck.app._exit
        finally:
            sandbox.control.clear()
    assert deck.app.return_code == 0


@pytest.mark.deep
async def test_what_the_platform_writes_appears_at_the_next_refresh_and_the_cursor_stays(
    services: Container, platform: Engine, world: World
) -> None:
    async with console(services.services, start="connections") as deck:
        await deck.command("sort reference")
        await deck.filter("provider:github format:v1")
        await deck.press("down", "down")
        row = deck.table.current
        assert row is not None
        ref, above = row.ref, deck.pane.feed.window.rows[0].ref
        with platform.begin() as connection:
            for changed in (ref, above):
                statement = f"UPDATE {changed.table} SET {changed.column} = 'ghp_plain' WHERE id::text = :id"
                connection.execute(text(statement), {"id": changed.row_id})
        await deck.filter("provider:github")
        deck.table.move_to(deck.pane.feed.window.place(ref) or 0)
        await deck.press("r")
        assert "plaintext" in deck.cursor_line()
        with platform.begin() as connection:
            connection.execute(text(f"DELETE FROM {above.table} WHERE id::text = :id"), {"id": above.row_id})
        await deck.press("r")
        assert deck.table.current is not None
        assert deck.table.current.ref == ref
        assert deck.pane.feed.window.place(above) is None
