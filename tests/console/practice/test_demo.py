"""keydeck demo: the drill without a terminal, the console on one, and nothing left behind."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from pathlib import Path

import psutil
import pytest

from console.container import Container
from console.manual.book import source
from console.practice.drill import PASSED, Drill
from console.sandbox.endpoint.control import Denial
from console.sandbox.sandbox import Sandbox
from console.settings import load

DEMO = [sys.executable, "-m", "console", "demo", "--tokens", "60"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An environment with an empty home, and a temporary folder of its own to look for leftovers in."""
    # Reachable by the service user that PostgreSQL runs as when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": folder,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }


def left_behind(home: dict[str, str]) -> list[str]:
    """Sandbox folders in the temporary folder, and processes whose command line names it."""
    folder = home["TMPDIR"]
    processes = [
        " ".join(p.info["cmdline"])
        for p in psutil.process_iter(["cmdline"])
        if any(folder in part for part in p.info["cmdline"] or ())
    ]
    return [str(p) for p in Path(folder).glob("keydeck-sandbox-*")] + processes


@pytest.mark.deep
def test_without_a_terminal_the_drill_is_played_to_its_proof(home: dict[str, str]) -> None:
    ran = subprocess.run(
        DEMO, env=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == PASSED
    for told in (
        "from the trail's bucket",
        "user/intruder decrypted (a person's identity, not a service role)",
        "Dry run",
        "Encrypt in place",
        "corrupt, left untouched",
        "is disabled",
        "the chain is whole",
    ):
        assert told in ran.stdout
    assert left_behind(home) == []


@pytest.mark.deep
def test_every_change_of_the_drill_goes_through_the_guard(own_sandbox: Sandbox) -> None:
    with redirect_stdout(io.StringIO()):
        assert Drill(own_sandbox).play() == 0
    with closing(Container(load().settings)) as services:
        entries = [(e.action, e.outcome) for e in services.journal.entries() if e.action.startswith("keys ")]
    assert entries == [
        (f"keys {kind}", outcome)
        for kind in ("create", "disable")
        for outcome in ("dry run", "started", "done")
    ]


@pytest.mark.deep
def test_a_drill_that_fails_says_what_and_exits_1(own_sandbox: Sandbox) -> None:
    own_sandbox.control.add_denial(Denial("*", "kms:DisableKey"))
    told = io.StringIO()
    with redirect_stdout(told):
        assert Drill(own_sandbox).play() == 1
    last = told.getvalue().splitlines()[-1]
    assert last.startswith("drill failed: Access denied: kms:DisableKey")


@pytest.mark.deep
def test_a_drill_without_the_trail_or_the_intruder_says_what_is_missing(
    own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = io.StringIO()
    own_sandbox.control.add_denial(Denial("*", "s3:GetObject"))
    with redirect_stdout(told):
        assert Drill(own_sandbox).play() == 1
    last = told.getvalue().splitlines()[-1]
    assert last.startswith("drill failed: Not fetched:")
    assert "s3:GetObject" in last
    own_sandbox.control.clear()
    monkeypatch.setattr("console.practice.drill.INTRUDER", "user/nobody")
    with redirect_stdout(told):
        assert Drill(own_sandbox).play() == 1
    assert told.getvalue().splitlines()[-1] == "drill failed: The rules did not find the intruder."


@pytest.mark.deep
def test_its_environment_is_printed_and_kept_until_input_ends(home: dict[str, str]) -> None:
    with subprocess.Popen(
        [*DEMO, "--env"],
        env=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert any("Ctrl-C ends" in line for line in iter(process.stderr.readline, ""))
        assert process.poll() is None
        process.stdin.close()
        printed = process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert "export DATABASE_URL='postgresql://operator:" in printed
    assert left_behind(home) == []


@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_leaves_nothing(home: dict[str, str], number: signal.Signals) -> None:
    with subprocess.Popen(
        DEMO, env=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Re-encrypt every token" in line:
                break
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=60) != 0
    assert left_behind(home) == []


@pytest.mark.deep
def test_on_a_terminal_the_console_opens_on_last_nights_intruder_and_q_leaves_nothing(
    home: dict[str, str],
) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        DEMO, env=home | {"COLUMNS": "120", "LINES": "40"}, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    assert b"Welcome to Keydeck" in read_until(master, b"Welcome to Keydeck")
    os.write(master, b"7")
    assert b"opened far more than ever" in read_until(master, b"opened far more than ever")
    os.write(master, b"q")
    read_until(master, None)
    assert process.wait(timeout=60) == 0
    os.close(master)
    assert left_behind(home) == []


def read_until(master: int, wanted: bytes | None, limit: float = 60.0) -> bytes:
    """Read from a terminal until it shows something, or, for None, until its other side has closed."""
    seen = b""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and (wanted is None or wanted not in seen):
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


def test_the_tour_begins_with_readmes_command() -> None:
    root = Path(__file__).resolve().parents[3]
    [command] = re.findall(
        r"^python3 -m venv .*keydeck demo$", (root / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert command in source("tour")
