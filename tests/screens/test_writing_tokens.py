"""Rewrap, re-encrypt, encrypt in place, verify: chosen, previewed, confirmed, run, shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Button

from crypto_core.reencryption.plan import Unwritten, Verb
from crypto_core.values.errors import KmsThrottledError, ReadOnlyError, RefusedError
from screens.connections.run import RunDialog
from screens.connections.screen import ConnectionsScreen
from screens.plan_words import SHOWN, unwritten_lines
from screens.reencryption import ChooseKey, Preview
from screens.styled_text import plain
from screens.widgets.line_list import LineList
from tests.screens.deck import LARGE, deck
from tests.screens.samples import CURRENT, OLD
from tests.screens.stage import Stage

KEYS = {Verb.REWRAP: "w", Verb.REENCRYPT: "e", Verb.ENCRYPT: "x"}


@pytest.mark.deep
async def test_a_token_is_encrypted_in_place_and_its_row_shows_that_with_the_cursor_kept() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:slack")
        await d.press("down", "x")
        assert isinstance(d.app.screen, ChooseKey)
        await d.press("enter")
        assert isinstance(d.app.screen, Preview)
        assert "1 token would be written under alias/tokens …9f2c" in d.text()
        await d.press("right", "enter")
        assert isinstance(d.app.screen, RunDialog)
        assert "● 1 of 1 token written" in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "slack_connection.bot_token:10 " in d.cursor_line()
        assert "v1" in d.cursor_line()
        assert "verified" in d.cursor_line()
        assert "1 problem" not in d.text()


@pytest.mark.deep
async def test_the_marked_tokens_are_written_and_the_marks_are_gone_after_that() -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:jira")
        await d.press("space", "space", "space", "e", "enter", "3", "enter")
        assert "3 of 3 tokens written" in d.text()
        await d.press("enter")
        assert "marked" not in d.lines()[1]
        assert d.stage.calls.count("row") == 3


@pytest.mark.quick(1)
@pytest.mark.parametrize("verb", list(Verb))
async def test_enter_alone_never_writes(verb: Verb) -> None:
    async with deck(start="connections") as d:
        await d.filter("format:dev" if verb is Verb.ENCRYPT else "provider:jira")
        await d.press(KEYS[verb], "enter")
        assert isinstance(d.app.screen, Preview)
        focused = d.app.focused
        assert isinstance(focused, Button)
        assert focused.id == "cancel"
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "run" not in d.stage.calls


@pytest.mark.deep
async def test_several_tokens_are_written_only_once_their_number_has_been_typed() -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:jira")
        await d.press("space", "space", "e", "enter")
        assert isinstance(d.app.screen, Preview)
        assert d.app.screen.query_one("#confirm", Button).disabled
        await d.press("enter", "3", "enter")
        assert isinstance(d.app.screen, Preview)
        assert "run" not in d.stage.calls
        await d.press("backspace", "2", "enter")
        assert "2 of 2 tokens written" in d.text()


@pytest.mark.deep
async def test_escape_leaves_every_step_without_writing() -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:jira")
        await d.press("w", "escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
        await d.press("w", "enter", "escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "run" not in d.stage.calls


@pytest.mark.deep
async def test_rewrap_says_twice_that_it_is_no_recovery_from_a_compromise() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:jira")
        await d.press("w")
        assert "It is no recovery from a compromise" in d.says()
        await d.press("enter")
        assert "Rewrap is no recovery from a compromise" in d.says()


@pytest.mark.deep
async def test_the_write_key_is_under_the_cursor_and_another_can_be_chosen() -> None:
    stage = Stage()
    stage.keys = tuple(replace(key, state="Enabled") if key.key_arn == OLD else key for key in stage.keys)
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.filter("provider:jira")
        await d.press("w")
        line = d.app.screen.query_one(LineList).current
        assert line is not None
        assert getattr(line.target, "key_arn", "") == CURRENT
        assert "write key" in d.line_with("alias/tokens …9f2c")
        await d.press("down", "enter")
        assert isinstance(d.app.screen, Preview)
        assert "…77ab" in d.text()


async def test_what_makes_no_sense_for_a_token_is_refused_with_a_reason() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("w", "enter")
        assert "Nothing to write." in d.text()
        assert "1 token would be left as it is:" in d.text()
        assert "It is no envelope: encrypt it." in d.text()
        assert [b.id for b in d.app.screen.query(Button)] == ["cancel"]


@pytest.mark.deep
async def test_the_preview_counts_calls_and_shows_warnings() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:jira")
        await d.press("space", "space", "w", "enter")
        assert "4 calls of KMS" in d.text()
        assert "▲ role/platform may not use kms:Decrypt under this key." in d.text()
        assert "2  jira_connection.access_token" in d.text()


@pytest.mark.deep
async def test_a_plan_that_is_refused_says_why_and_offers_nothing() -> None:
    async with deck(start="connections") as d:
        d.stage.faults["plan"] = RefusedError("The key is disabled.", remedy="Enable it.")
        await d.press("e", "enter")
        assert "The key is disabled. Enable it." in d.text()
        assert [b.id for b in d.app.screen.query(Button)] == ["cancel"]


async def test_without_a_key_to_write_under_the_missing_permission_is_named() -> None:
    async with deck(Stage(keys=()), start="connections", size=LARGE) as d:
        await d.press("x")
        assert "kms:ListKeys" in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)


@pytest.mark.deep
async def test_a_run_that_fails_shows_the_error_and_the_rows_as_they_are() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:slack")
        d.stage.faults["run"] = KmsThrottledError("KMS is throttling.")
        await d.press("x", "enter", "right", "enter")
        assert "KMS is throttling. Wait, or lower the rate" in d.text()
        await d.press("enter")
        assert "plaintext" in d.cursor_line()


async def test_read_only_leaves_the_writing_keys_out_of_the_footer_and_they_do_nothing() -> None:
    async with deck(Stage(read_only=True), start="connections") as d:
        assert "[RO]" in d.lines()[0]
        assert "v verify" in d.text()
        screen = d.app.screen
        for verb, key in KEYS.items():
            assert f"{key} {verb.words}" not in d.text()
            await d.press(key)
            assert d.app.screen is screen
            assert "Read-only: " in d.toasts()[-1]
        assert len(d.toasts()) == len(KEYS)


@pytest.mark.deep
async def test_a_refusal_because_of_read_only_is_shown() -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:slack")
        d.stage.faults["run"] = ReadOnlyError("Nothing is written.")
        await d.press("x", "enter", "right", "enter")
        assert "Start Keydeck without --read-only" in d.text()


@pytest.mark.deep
async def test_a_run_shows_progress_and_can_be_stopped_and_then_left() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:slack")
        gate = d.stage.hold("run")
        await d.press("space", "space", "x", "enter", "2", "enter")
        assert "0 of 2" in d.text()
        await d.press("escape")
        assert "Stopping…" in d.text()
        gate.set()
        await d.settle()
        assert "0 of 2 tokens written" in d.text()
        assert "2 tokens not reached." in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)


@pytest.mark.deep
async def test_a_run_that_does_not_stop_can_be_left() -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:slack")
        d.stage.hold("run")
        await d.press("x", "enter", "right", "enter", "escape", "escape")
        assert isinstance(d.app.screen, ConnectionsScreen)


@pytest.mark.deep
async def test_verify_says_which_tokens_opened_and_changes_nothing() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.command("sort state desc")
        await d.press("space", "end", "space", "v")
        assert "● 1 token opened" in d.text()
        assert "✖ 1 token did not open:" in d.text()
        assert "It is stored as plaintext." in d.text()
        await d.press("enter")
        assert "run" not in d.stage.calls


@pytest.mark.deep
async def test_a_token_that_vanished_meanwhile_leaves_the_list_and_the_cursor_stays_near() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:slack")
        await d.press("down", "v")
        d.stage.rows = [r for r in d.stage.rows if str(r.ref) != "slack_connection.bot_token:10"]
        await d.press("enter")
        refs = [str(row.ref) for row in d.pane.feed.window.rows]
        assert "slack_connection.bot_token:10" not in refs
        assert "slack_connection.bot_token:100 " in d.cursor_line()


async def test_without_a_key_to_write_under_it_says_what_to_do() -> None:
    stage = Stage()
    stage.keys = [replace(key, state="Disabled") for key in stage.keys]
    async with deck(stage, start="connections") as d:
        await d.filter("provider:jira")
        await d.press("e")
        assert isinstance(d.app.screen, ChooseKey)
        assert "No KMS key can be written under" in d.says()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)


async def test_keys_that_cant_be_listed_are_told_and_nothing_is_written() -> None:
    stage = Stage(faults={"targets": KmsThrottledError("KMS throttles.", operation="ListKeys")})
    async with deck(stage, start="connections") as d:
        await d.filter("provider:jira")
        await d.press("e")
        assert "KMS throttles." in d.says()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "run" not in stage.calls


def test_of_many_tokens_that_are_left_some_are_named_and_all_are_counted() -> None:
    lines = [
        plain(line) for line in unwritten_lines([Unwritten(f"t:{n}", "[/red]\x1b") for n in range(SHOWN + 7)])
    ]
    assert len(lines) == SHOWN + 2
    assert lines[-1].strip() == "and 7 more"
    assert "\x1b" not in "".join(lines)
