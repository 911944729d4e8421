"""The app: ways between screens, help, themes, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from console.application.app import CRASHED, KeydeckApp
from crypto_core.log.tracebacks import crash_lines
from crypto_core.values.errors import KeydeckError
from screens.connections.screen import ConnectionsScreen
from screens.help import Help
from screens.memory import Memory
from tests.screens.deck import LARGE, deck
from tests.screens.stage import Stage

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("start", ["status", "connections", "keys"])
async def test_it_opens_on_the_screen_that_was_asked_for(start: str) -> None:
    async with deck(start=start) as d:
        assert d.app.current_mode == start


async def test_help_lists_what_can_be_done_here_and_what_cannot_now() -> None:
    async with deck(Stage(read_only=True), start="connections", size=LARGE) as d:
        await d.press("question_mark")
        assert isinstance(d.app.screen, Help)
        told = " ".join(d.says().split())
        assert "Same data keys under another KMS key; no recovery (read-only)" in told
        assert "Open the tokens; say only whether they opened" in d.says()
        assert "Quit now" in d.says()
        await d.press("escape")
        assert isinstance(d.app.screen, ConnectionsScreen)


@pytest.mark.deep
async def test_t_goes_round_all_themes() -> None:
    async with deck() as d:
        seen = []
        for _ in range(6):
            await d.press("t")
            seen.append(d.app.theme)
        assert seen == [
            *("keydeck-light", "keydeck-contrast", "keydeck-colour-blind", "ansi-dark", "ansi-light"),
            "keydeck-dark",
        ]


@pytest.mark.deep
async def test_a_theme_can_be_named_and_one_that_there_is_not_is_refused() -> None:
    async with deck() as d:
        for name, whole in (("contrast", "keydeck-contrast"), ("ansi", "ansi-dark"), ("nord", "nord")):
            await d.command(f"theme {name}")
            assert d.app.theme == whole
            assert d.facts.memory.theme == whole
        await d.command("theme mauve")
        assert d.app.theme == "nord"
        assert "There is no theme mauve." in d.toasts()[-1]


@pytest.mark.parametrize(
    ("remembered", "set_", "shown"),
    [
        ("keydeck-light", "contrast", "keydeck-light"),
        ("", "contrast", "keydeck-contrast"),
        ("", "", "keydeck-dark"),
        ("gone", "also gone", "keydeck-dark"),
    ],
)
def test_the_theme_is_the_one_chosen_last_else_the_one_that_is_set(
    remembered: str, set_: str, shown: str
) -> None:
    memory = Memory({"looks": {"theme": remembered}})
    assert KeydeckApp(Stage().services(), memory=memory, theme=set_).theme == shown


def test_reduced_motion_stops_animations() -> None:
    assert KeydeckApp(Stage().services(), reduced_motion=True).animation_level == "none"


async def test_it_works_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with deck() as d:
        assert "✖ critical" in d.text()
        assert d.cursor_line()


async def test_a_theme_that_knows_nothing_of_ours_does_not_break_the_screens() -> None:
    async with deck(theme="nord") as d:
        assert "✖ 5 problems" in d.text()


@pytest.mark.quick(1)
@pytest.mark.parametrize("keys", [("q",), ("2", "q"), ("question_mark", "q"), ("2", "w", "q"), ("ctrl+q",)])
async def test_q_quits_from_everywhere_with_exit_code_0(keys: tuple[str, ...]) -> None:
    async with deck() as d:
        await d.press(*keys[:-1])
        await d.pilot.press(keys[-1])
        await d.pilot.pause()
        assert d.app._exit
    assert d.app.return_code == 0


async def test_calls_under_way_are_told_to_stop_when_the_operator_quits() -> None:
    stage = Stage()
    stage.hold("status")
    async with deck(stage) as d:
        await d.pilot.press("q")
        await d.pilot.pause()
        assert d.app.facts.leaving


QUIT_WHILE_EVERYTHING_HANGS = """
from console.application.app import CRASHED, KeydeckApp
from tests.screens.stage import Stage

stage = Stage()
stage.hold("surroundings", "status", "keys", "page", "count", "inspect")

async def leave(pilot):
    await pilot.pause()
    await pilot.press("2", "1", "3", "q")

app = KeydeckApp(stage.services())
app.run(headless=True, auto_pilot=leave)
print("left", app.return_code)
"""


@pytest.mark.deep
def test_a_process_whose_every_call_hangs_for_ever_still_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", QUIT_WHILE_EVERYTHING_HANGS],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.strip().endswith("left 0"), ended.stderr
    assert ended.returncode == 0


CRASH = """
import sys
from console.application.app import CRASHED, KeydeckApp
from tests.screens.stage import Stage

class Crashing(KeydeckApp):
    async def do_connections(self):
        canary = "xoxb-" + "canary" * 2
        raise ValueError("bad \\x1b[31mthing\\x07")

async def crash(pilot):
    await pilot.press("2")
    await pilot.pause()

app = Crashing(Stage().services())
try:
    app.run(headless=True, auto_pilot=crash)
finally:
    print("code", app.return_code)
"""


@pytest.mark.deep
def test_a_crash_prints_where_it_happened_and_no_variables_and_ends_with_3() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CRASH],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"code {CRASHED}" in ended.stdout
    printed = ended.stdout + ended.stderr
    assert "Keydeck stopped by an unexpected error: ValueError\n" in printed
    assert "thing" not in printed
    assert "in do_connections" in printed
    assert "canarycanary" not in printed
    assert "\x07" not in printed


def test_a_crash_report_names_the_errors_behind_an_error() -> None:
    def inner() -> None:
        token = "xoxb-canary"
        raise KeyError(token)

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise KeydeckError("what happened") from error

    with pytest.raises(KeydeckError) as caught:
        outer()
    report = "\n".join(crash_lines(caught.value))
    assert "KeydeckError: what happened" in report
    assert "caused by KeyError\n" in report
    assert "in inner" in report
    assert "xoxb" not in report
