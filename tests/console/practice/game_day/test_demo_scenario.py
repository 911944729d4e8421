"""keydeck demo --scenario: what there is to play, and a game on a terminal and without one."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from console.__main__ import run
from console.practice.demo import GAMES
from console.practice.game_day.scenario import SCENARIOS, Act
from console.sandbox.provider_tokens import MARKER
from crypto_core.findings.registry import rules_about

DEMO = [sys.executable, "-m", "console", "demo", "--tokens", "20", "--scenario"]


def ran(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["demo", *arguments])
    return code, out.getvalue(), err.getvalue()


def test_list_tells_the_scenarios_and_starts_nothing() -> None:
    code, out, err = ran("--scenario", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(GAMES)
    assert not err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scenario", "[/red]\x1b[2J"), "is not one of"),
        (("--pace", "3"), "name one with --scenario"),
        (("--json",), "name one with --scenario"),
        (("--scenario", "insider", "--pace", "0"), "is not in the range"),
    ],
)
def test_wrong_usage_is_told_before_anything_starts(arguments: tuple[str, ...], said: str) -> None:
    code, out, err = ran(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "\x1b" not in err


def test_every_scenario_is_whole() -> None:
    assert tuple(SCENARIOS) == GAMES
    keys = [persona.access_key for scenario in SCENARIOS.values() for persona in scenario.personas]
    assert len(keys) == len(set(keys))
    for scenario in SCENARIOS.values():
        names = {persona.name for persona in scenario.personas}
        assert {move.by for move in scenario.moves} <= names
        assert {move.to for move in scenario.moves if move.act is Act.GRANT} <= names
        assert {past.by for past in scenario.past} <= {*names, ""}
        assert set(scenario.findings) <= {rule.id for rule in rules_about()}
        assert [move.at for move in scenario.moves] == sorted(move.at for move in scenario.moves)
        assert 2 <= len(scenario.briefing) <= 3


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with an empty home, and a temporary folder of its own to look for leftovers in."""
    with tempfile.TemporaryDirectory(prefix="game-", dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": folder,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        assert list(Path(folder).glob("keydeck-sandbox-*")) == []


@pytest.mark.deep
def test_without_a_terminal_the_response_is_told_and_the_score_is_one_document(home: dict[str, str]) -> None:
    game = subprocess.run(
        [*DEMO, "ransom-disable", "--pace", "5000", "--json"],
        env=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert game.returncode == 0, game.stdout + game.stderr
    score = json.loads(game.stdout)
    assert score["reached"] is True
    assert score["scenario"] == "ransom-disable"
    assert "Game day: The key is held to ransom" in game.stderr
    assert "disabled and scheduled for deletion" in game.stderr or "✖ critical" in game.stderr
    assert MARKER not in game.stdout + game.stderr


@pytest.mark.deep
def test_on_a_terminal_the_briefing_comes_first_and_the_score_once_the_console_is_left(
    home: dict[str, str],
) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, "ransom-disable", "--pace", "5000"],
        env=home | {"COLUMNS": "120", "LINES": "40"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        seen = read_until(master, lambda seen: b"Press Enter" in seen)
        assert b"The key is held to ransom" in seen
        assert b"Score of" not in seen
        os.write(master, b"\r")
        assert b"problems" in read_until(master, lambda seen: b"problems" in seen)
        os.write(master, b"q")
        seen = read_until(master, None)
        assert b"Score of ransom-disable: " in seen
        assert b"the intruder still gets in" in seen or b"could not be tried" in seen
        assert b"no incident was declared" in seen
        assert process.wait(timeout=60) == 1
    finally:
        process.terminate()
        process.wait(60)
        os.close(master)


def read_until(master: int, wanted: Callable[[bytes], bool] | None, limit: float = 120.0) -> bytes:
    """Read from a terminal until it shows something, or, for None, until its other side has closed."""
    seen = b""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and (wanted is None or not wanted(seen)):
        if not select.select([master], [], [], 0.5)[0]:
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    return seen
