"""How fast the console is: from the command to the first rows, a key press, memory, idle; run on demand.

    python -m tests.benchmarks.console [--connections N] [--switches N] [--environment FILE] [--json]

A sandbox with about N connections is filled (`many_connections`), or FILE names a running one's environment
(a JSON object). The console runs in a pseudo-terminal of 120x40 as an operator's does, with folders of its
own; no events have been fetched. Times are those of this machine; the ratios to a bare Textual app, to one
with a DataTable of the same size, and to an empty interpreter, measured in the same run, are what compares.
At rest is a console that nobody touches after its screen has loaded: one for each screen, all at the same
time, for longer than lists wait between two refreshes, so that a refresh is measured with it. Switches
between screens are pressed one after the other. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks.many_connections import many_connections
from tests.benchmarks.measuring import Target, options, report
from tests.pseudo_terminal import PseudoTerminal

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("painted _connection.")
Bare().run()
"""
IMPORTS = """
import botocore.session, psycopg2, pydantic_settings, sqlalchemy.dialects.postgresql, textual.widgets
import console.application.console_session, console.container, screens.connections.screen
"""
"""What is loaded before the first rows: the libraries, and the rooms that show connections."""
LIBRARIES = """
import botocore.session, psutil, psycopg2, pydantic_settings, sqlalchemy.dialects.postgresql, textual.widgets
import cryptography.hazmat.primitives.ciphers.aead
from crypto_core.aws.service_models import ServiceModels
session = botocore.session.get_session()
session.get_component("data_loader").file_loader = ServiceModels()
for service in ("kms", "sts", "cloudtrail"):
    session.create_client(service, "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
print(psutil.Process().memory_info().rss / 1e6)
"""
"""Prints the MB that are resident where the libraries have been loaded, and AWS's clients made."""
TABLE = """
from textual.app import App
from textual.coordinate import Coordinate
from textual.widgets import DataTable
class Bare(App):
    BINDINGS = [("space", "mark", "mark")]
    def compose(self):
        yield DataTable(cursor_type="row")
    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns(*map(str, range(9)))
        for number in range(1000):
            table.add_row(" ", f"painted _connection.{number}", *["some words"] * 7)
    def action_mark(self):
        table = self.query_one(DataTable)
        table.update_cell_at(Coordinate(table.cursor_row, 0), "*")
        table.action_cursor_down()
Bare().run()
"""
ROW = b"_connection."
"""What the first painted row has in it."""
SCREENS = {
    b"1": "Status",
    b"2": "Connections",
    b"3": "Keys",
    b"4": "Events",
    b"5": "Incidents",
    b"6": "Jobs",
    b"7": "Findings",
    b"8": "Compliance",
}
"""The main screens by their keys."""
IDLE_SECONDS = 32.0
"""Longer than the thirty seconds that most screens wait between two refreshes."""
LOADING_SECONDS = 30.0
"""How long a screen may take to load before it is taken to be at rest all the same."""
LITTLE_SECONDS = 0.05
"""What a screen that has loaded takes of the processor in a second, at most, whatever the machine."""
PRESSES = 30
DOWN, UP, PAGE_DOWN, PAGE_UP = b"\x1b[B", b"\x1b[A", b"\x1b[6~", b"\x1b[5~"
END = b"\x1b[4~"


class Terminal(PseudoTerminal):
    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.began = time.perf_counter()
        super().__init__(command, environment)
        self.used = psutil.Process(self.process.pid)

    def wait_for(self, words: bytes) -> float:
        """Return the seconds from the start until the words were written."""
        self.read_until(words)
        return time.perf_counter() - self.began

    def rest(self, quiet: float = 0.5, limit: float = 30.0) -> None:
        end = time.perf_counter() + limit
        last = time.perf_counter()
        while time.perf_counter() - last < quiet and time.perf_counter() < end:
            if self.read(0.05):
                last = time.perf_counter()

    def cpu(self) -> float:
        times = self.used.cpu_times()
        return float(times.user + times.system)

    def megabytes(self) -> float:
        return float(self.used.memory_info().rss) / 1e6


def drain(terminals: list[Terminal], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for terminal in terminals:
            terminal.rest(quiet=0.02, limit=0.05)


def wait_until_loaded(terminals: list[Terminal]) -> None:
    """Wait until what was to be loaded is there: for two seconds hardly any processor time is used."""
    end, quiet = time.perf_counter() + LOADING_SECONDS, 0
    while quiet < 2 and time.perf_counter() < end:
        used = [terminal.cpu() for terminal in terminals]
        drain(terminals, 1.0)
        little = all(t.cpu() - u < LITTLE_SECONDS for t, u in zip(terminals, used, strict=True))
        quiet = quiet + 1 if little else 0


def console(environment: dict[str, str], screen: str = "connections") -> Terminal:
    return Terminal(["-m", "console", "--screen", screen], environment)


def first_rows(environment: dict[str, str], rounds: int) -> tuple[float, float, float]:
    """Return the median seconds to the console's first rows, and to a bare app's first paint.

    The last is of a bare app that has loaded the same before.
    """
    ours, bare, loaded = [], [], []
    apps = (
        (ours, None),
        (bare, ["-c", BARE]),
        (loaded, ["-c", IMPORTS + BARE]),
    )
    for _ in range(rounds):
        for times, command in apps:
            terminal = console(environment) if command is None else Terminal(command, environment)
            times.append(terminal.wait_for(ROW))
            terminal.close()
    return median(ours), median(bare), median(loaded)


def libraries_megabytes(environment: dict[str, str]) -> float:
    """Return the resident memory of a process that has loaded the console's libraries alone."""
    command = [sys.executable, "-c", LIBRARIES]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def help_seconds(environment: dict[str, str], rounds: int) -> tuple[float, float]:
    """Return the median seconds of `keydeck --help`, and of an interpreter that does nothing."""
    ours, bare = [], []
    for _ in range(rounds):
        for times, command in ((ours, ["-m", "console", "--help"]), (bare, ["-c", "pass"])):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - began)
    return median(ours), median(bare)


def key_milliseconds(terminal: Terminal, key: bytes) -> float:
    """Return the processor milliseconds that one press costs, what runs by itself meanwhile taken off."""
    terminal.rest(quiet=1.0, limit=1.0)
    began, used = time.perf_counter(), terminal.cpu()
    terminal.rest(quiet=1.0, limit=1.0)
    idle = (terminal.cpu() - used) / (time.perf_counter() - began)
    began, used = time.perf_counter(), terminal.cpu()
    for _ in range(PRESSES):
        terminal.press(key)
        terminal.rest(quiet=0.03, limit=0.2)
    taken = terminal.cpu() - used - idle * (time.perf_counter() - began)
    return 1000 * taken / PRESSES


@contextmanager
def place(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as state:
        own = {
            "XDG_STATE_HOME": state,
            "XDG_DATA_HOME": state,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        # An installed package has its modules compiled.
        own["PYTHONDONTWRITEBYTECODE"] = ""
        if arguments.environment:
            yield {**os.environ, **json.loads(Path(arguments.environment).read_text()), **own}
            return
        with many_connections(arguments.connections) as sandbox:
            yield {**sandbox.environment(), **own}


def measured(environment: dict[str, str], rounds: int, switches: int) -> Iterator[Target]:
    ours, bare = help_seconds(environment, rounds)
    yield Target(f"keydeck --help ({ours / bare:.1f} times an empty interpreter)", ours, 0.15, "s")
    ours, bare, loaded = first_rows(environment, rounds)
    promise = f"first painted rows ({ours / bare:.1f} times a bare Textual app)"
    yield Target(promise, ours, 0.5, "s", loaded, "a bare Textual app, the same modules loaded")
    terminal = console(environment)
    terminal.wait_for(ROW)
    wait_until_loaded([terminal])
    alone = libraries_megabytes(environment)
    yield Target("resident at the first row", terminal.megabytes(), 110, "MB", alone, "the libraries alone")
    bare_table = Terminal(["-c", TABLE], environment)
    bare_table.wait_for(ROW)
    both = (terminal, bare_table)
    yield from presses(both, "first", (("down", DOWN, 4), ("page down", PAGE_DOWN, 6), ("mark", b" ", 4)))
    terminal.press(b"G")
    bare_table.press(END)
    wait_until_loaded([terminal])
    yield from presses(both, "last", (("up", UP, 4), ("page up", PAGE_UP, 6)))
    bare_table.close()
    for _ in range(240 - 2 * PRESSES):
        terminal.press(PAGE_UP)
        terminal.rest(quiet=0.03, limit=0.5)
    yield Target("resident after 240 pages", terminal.megabytes(), 125, "MB")
    yield Target(
        f"more resident after {switches} switches of screens", grown_megabytes(terminal, switches), 5, "MB"
    )
    terminal.close()
    yield from at_rest(environment)


def presses(
    terminals: tuple[Terminal, Terminal], where: str, keys: tuple[tuple[str, bytes, float], ...]
) -> Iterator[Target]:
    """Measure what each key costs at the first or the last rows, in milliseconds, here and in a DataTable."""
    for name, key, limit in keys:
        ours, bare = (key_milliseconds(terminal, key) for terminal in terminals)
        yield Target(
            f"{name}, at the {where} rows ({ours / max(bare, 0.01):.1f} times a bare DataTable)",
            ours,
            limit,
            "ms of processor time",
        )


def at_rest(environment: dict[str, str]) -> Iterator[Target]:
    """Measure what each screen takes of a processor while nobody touches it, refreshes included."""
    terminals = [console(environment, name.lower()) for name in SCREENS.values()]
    for terminal in terminals:
        terminal.wait_for(b"keydeck")
    wait_until_loaded(terminals)
    used = [terminal.cpu() for terminal in terminals]
    began = time.perf_counter()
    drain(terminals, IDLE_SECONDS)
    passed = time.perf_counter() - began
    for name, terminal, before in zip(SCREENS.values(), terminals, used, strict=True):
        taken = 100 * (terminal.cpu() - before) / passed
        yield Target(f"idle on {name}", taken, 0.5, "% of a processor")
        terminal.close()


def grown_megabytes(terminal: Terminal, switches: int) -> float:
    """Return by how much memory grows while screens are switched, all of them having been seen before."""
    keys = list(SCREENS)
    before = 0.0
    for switch in range(80 + switches):
        if switch == 80:
            wait_until_loaded([terminal])
            before = terminal.megabytes()
        terminal.press(keys[switch % len(keys)])
        terminal.rest(quiet=0.02, limit=0.3)
    wait_until_loaded([terminal])
    return terminal.megabytes() - before


def main() -> int:
    parser = options("How fast the console is.", rounds=7)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--switches", type=int, default=280, help="of screens (%(default)s)")
    parser.add_argument("--environment", help="a JSON file with a running sandbox's environment")
    chosen = parser.parse_args()
    with place(chosen) as environment:
        targets = []
        for target in measured(environment, chosen.rounds, chosen.switches):
            targets.append(target)
            print(target, file=sys.stderr, flush=True)
    return report(targets, (), (), as_json=chosen.json, connections=chosen.connections)


if __name__ == "__main__":
    sys.exit(main())
