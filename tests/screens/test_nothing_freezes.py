"""Whatever hangs, everything else works, and the operator can leave at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from textual.app import App

from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import DatabaseUnreachableError
from screens.blocking_calls import DaemonThreads, Failure
from screens.help import Help
from screens.keys.screen import KeysScreen
from screens.widgets.question import Leaving
from screens.worker_calls import PendingCall, ask
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.stage import Stage

CALLS = ("status", "keys", "page")
FURTHER = ("surroundings", "count", "inspect", "show", "rows")


async def visit_everything(d: Deck) -> None:
    """Go everywhere, move, ask anew, open and close what can be opened."""
    for key in ("1", "2", "3", "9"):
        await d.press(key, "down", "up", "r", "question_mark", "escape", "colon", "escape")


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", [*CALLS, *(pytest.param(name, marks=pytest.mark.deep) for name in FURTHER)])
async def test_one_call_that_hangs_leaves_the_rest_usable_and_q_quits_at_once(name: str) -> None:
    stage = Stage()
    stage.hold(name)
    async with deck(stage) as d:
        await visit_everything(d)
        assert d.app.is_running
        await d.press("3")
        if name != "keys":
            assert "alias/tokens …9f2c" in d.text()
        await d.press("1")
        if name != "status":
            assert "1,200 tokens" in d.text()
        await d.press("2")
        if name != "page":
            assert "slack" in d.text() or "confluence" in d.text()
        await d.pilot.press("q")
        await d.pilot.pause()
        assert d.app._exit
    assert d.app.return_code == 0


@pytest.mark.deep
async def test_a_call_that_began_before_a_screen_was_left_ends_without_harm() -> None:
    async with deck(start="keys", size=LARGE) as d:
        gate = d.stage.hold("show", "page", "inspect")
        await d.press("enter", "enter", "escape", "escape", "1", "2", "1")
        gate.set()
        await d.settle()
        assert "✖ 5 problems" in d.text()


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("keys", "name"),
    [(("c",), "offered"), (("x",), "targets"), (("x", "enter"), "plan"), (("v",), "verify")],
)
async def test_a_dialog_that_waits_is_left_with_escape_and_its_late_answer_is_lost(
    keys: tuple[str, ...], name: str
) -> None:
    from tests.screens.test_context import places

    stage = places()
    async with deck(stage, start="connections", size=LARGE) as d:
        gate = stage.hold(name)
        await d.press(*keys)
        assert len(d.app.screen_stack) == 2
        await d.press("escape")
        if name == "verify":
            await d.press("escape")
        assert len(d.app.screen_stack) == 1
        gate.set()
        await d.settle()
        assert len(d.app.screen_stack) == 1
        await d.press("down")
        assert "1,200 tokens" in d.lines()[1]


@pytest.mark.deep
async def test_a_database_that_died_shows_in_the_header_and_panels_keep_their_data_with_its_age() -> None:
    async with deck(size=LARGE) as d:
        await d.press("2", "1")
        d.stage.place = replace(d.stage.place, database_trouble="no answer for 12 s")
        dead = DatabaseUnreachableError("No connection to pg-1:5432.")
        d.stage.faults.update(dict.fromkeys(("status", "page", "count", "inspect"), dead))
        await d.tick(300)
        await d.press("r")
        assert "✖ database: no answer for 12 s" in d.lines()[1]
        assert "5 min ago" in d.lines()[0]
        assert "✖ 5 problems" in d.text()
        assert "No connection to pg-1:5432." in d.text()
        await d.press("2")
        assert "✖ database: no answer for 12 s" in d.lines()[1]
        assert "confluence_connection" in d.cursor_line()
        assert "5 min ago" in d.lines()[0]
        await d.press("3")
        assert "alias/tokens …9f2c" in d.text()
        d.stage.faults.clear()
        d.stage.place = replace(d.stage.place, database_trouble="")
        await d.press("1", "r")
        assert "database:" not in d.text()
        assert "now" in d.lines()[0]


async def test_where_it_works_is_asked_again_by_itself() -> None:
    async with deck() as d:
        before = d.stage.calls.count("surroundings")
        d.facts.ask_surroundings()
        d.facts.ask_surroundings()
        await d.settle()
        assert d.stage.calls.count("surroundings") == before + 1


class Asking(App[None]):
    def on_mount(self) -> None:
        asyncio.get_running_loop().set_default_executor(DaemonThreads())


async def test_a_call_that_gives_no_answer_in_time_ends_in_trouble_and_is_told_to_stop() -> None:
    answers: list[object] = []
    told: list[Cancellation] = []

    def call(cancelled: Cancellation) -> str:
        told.append(cancelled)
        cancelled.wait(60)
        return "late"

    app = Asking()
    async with app.run_test() as pilot:
        ask(app, call, answers.append, limit=0.05)
        while not answers or not all(worker.is_finished for worker in app.workers):
            await pilot.pause()
        await pilot.pause()
    assert answers == [Failure("No answer within 0 s.", "Try again.")]
    assert told[0].is_set()


async def test_an_answer_comes_once_and_never_after_it_was_dropped() -> None:
    answers: list[object] = []
    asked: PendingCall[int] = PendingCall(answers.append)
    asked.answer(1)
    asked.answer(2)
    asked.cancel(Failure("x"))
    assert answers == [1]
    dropped: PendingCall[int] = PendingCall(answers.append)
    dropped.drop()
    dropped.answer(3)
    dropped.cancel(Failure("x"))
    assert answers == [1]
    assert dropped.cancellation.is_set()


async def test_an_answer_for_a_widget_that_is_gone_is_lost() -> None:
    from threading import Event

    from textual.widgets import Static

    answers: list[object] = []
    gate = Event()
    app = Asking()
    async with app.run_test() as pilot:
        widget = Static()
        await app.mount(widget)
        ask(widget, lambda _: gate.wait(60), answers.append)
        await widget.remove()
        gate.set()
        while not all(worker.is_finished for worker in app.workers):
            await pilot.pause()
        await pilot.pause()
    assert answers == []


async def test_a_timer_whose_time_has_passed_before_it_is_waited_for_calls_at_once() -> None:
    called: list[str] = []
    async with deck() as d:
        for seconds in (1e-9, -1):
            d.app.set_timer(seconds, lambda: called.append("app"))
            await d.settle()
            d.app.screen.set_timer(seconds, lambda: called.append("screen"))
            await d.settle()
            assert called[-2:] == ["app", "screen"]


async def test_a_worker_that_ends_while_another_context_is_entered_leaves_the_keys_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaving, gone = asyncio.Event(), asyncio.Event()

    async def leave(_: KeysScreen) -> None:
        leaving.set()
        await gone.wait()

    async with deck(start="keys") as d:
        await d.press("1")
        monkeypatch.setattr(KeysScreen, "on_unmount", leave, raising=False)
        d.app.call_later(d.app.navigation.start_over)
        await leaving.wait()
        worker = d.app.run_worker(d.app.push_screen_wait(Leaving((), {})), exit_on_error=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        worker.cancel()
        gone.set()
        await d.settle()
        await d.press("escape", "question_mark")
        assert isinstance(d.app.screen, Help)
