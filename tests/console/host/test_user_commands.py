"""Commands of the team's own: no shell, no option from a row, no secret or control byte in what they say."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from console.application.keymap import check_commands
from console.host.user_commands import MOST_LINES, HostCommands
from console.settings import load
from crypto_core.values.errors import KeydeckError, ReadOnlyError, RefusedError, SettingsError
from screens.user_command import CommandOutcome, UserCommand
from tests.console.application.test_keymap import DATABASE, settings_file
from tests.crypto_core.canary import CANARY

__all__ = ["settings_file"]

ROW: dict[str, Any] = {
    "reference": "gh_connection.access_token:gh-1",
    "org": "acme",
    "characters": 388,
    "key": None,
    "shown": {"email": "a@b", "org": "other"},
}
PYTHON = sys.executable


def command(*arguments: str, **more: Any) -> UserCommand:
    return UserCommand("x", "Do it", arguments, ("connections",), **more)  # type: ignore[arg-type]


def ran(one: UserCommand, row: dict[str, Any] = ROW, *, read_only: bool = False) -> CommandOutcome:
    return HostCommands([one], read_only=read_only).run(one, row, Event())


def test_fields_are_arguments_and_never_words_of_a_shell() -> None:
    told = "import sys; print(sys.argv[1:], end='')"
    for value in ("a b; rm -rf /", "$(id)", "`id`", "'\"", "*", "{org}", "\N{SNOWMAN}"):
        outcome = ran(
            command(PYTHON, "-c", told, "{org}", "--of={org}", "{{x}}", "{characters}", "{email}"),
            ROW | {"org": value},
        )
        assert (outcome.exit_code, outcome.lines) == (
            0,
            (str([value, f"--of={value}", "{x}", "388", "a@b"]),),
        )


def test_what_a_row_does_not_have_and_what_would_be_an_option_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    made = tmp_path / "made"
    touch = "import sys, pathlib; pathlib.Path(sys.argv[1]).touch()"
    for template, row, said in (
        ("{key}", ROW, "has no key. It has: email, org, reference, characters"),
        ("{nothing}", ROW, "has no nothing"),
        ("{org}", ROW | {"org": "--config=/tmp/x"}, "is '--config=/tmp/x' here: an option"),
        ("{org}", ROW | {"org": "x" * 5_000}, "more than 4,096 characters"),
        ("{org}", ROW | {"org": ["a"]}, "has no org"),
    ):
        with pytest.raises(RefusedError, match=said):
            ran(command(PYTHON, "-c", touch, str(made), template), row)
    assert not made.exists()
    with pytest.raises(RefusedError, match="can't be started: No such file"):
        ran(command("/nowhere/\x1b[31m"))


def test_what_it_says_is_shown_without_secrets_and_control_bytes_and_not_without_end() -> None:
    says = f"print('[/red]\\x1b[2J\\u202eevil {CANARY}\\x00')"
    noisy = f"import sys; {says}; sys.stderr.write('bad\\n'); sys.exit(3)"
    outcome = ran(command(PYTHON, "-c", noisy))
    assert outcome.exit_code == 3
    assert CANARY not in "".join(outcome.lines)
    assert not {"\x1b", "\u202e", "\x00"} & set("".join(outcome.lines))
    assert "bad" in "".join(outcome.lines)
    long = ran(command(PYTHON, "-c", "print('x' * 99 + '\\n' + ('y' * 9 + '\\n') * 400_000)"))
    assert len(long.lines) <= MOST_LINES + 1
    assert long.lines[0].startswith("(of 4,")


def test_it_is_ended_with_all_that_it_started_once_its_time_is_up_or_nobody_waits(tmp_path: Path) -> None:
    held = tmp_path / "held"
    child = (
        f"import fcntl, time; f = open({str(held)!r}, 'w'); fcntl.flock(f, 2); print('begun'); time.sleep(60)"
    )
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-u', '-c', {child!r}])\n"
        "time.sleep(60)"
    )
    late = ran(command(PYTHON, "-c", program, seconds=1.5))
    assert (late.exit_code, late.lines, late.trouble) == (
        None,
        ("begun",),
        "Ended after 1.5 s, as its limit is.",
    )
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # whoever held it is gone
    cancelled = Event()
    Timer(0.3, cancelled.set).start()
    stopped = HostCommands([], read_only=False).run(
        command(PYTHON, "-c", "import time; time.sleep(60)"), ROW, cancelled
    )
    assert stopped.trouble == "Stopped."


def test_read_only_only_what_looks_is_run_and_is_told() -> None:
    told = "import os; print(os.environ['KEYDECK_READ_ONLY'])"
    with pytest.raises(ReadOnlyError):
        ran(command(PYTHON, "-c", told), read_only=True)
    assert ran(command(PYTHON, "-c", told, looks=True), read_only=True).lines == ("true",)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['run = ["{org}"]'], "the program is no field of a row"),
        (['run = ["x", "{org.name}"]'], "write a field as {name}"),
        (['run = ["x", "{org!r}"]'], "write a field as {name}"),
        (['run = ["x", "{org"]'], "expected '}'"),
        (["run = []"], "at least 1 item"),
        (['run = ["x"]', 'shell = "bash"'], "Extra inputs are not permitted"),
        (['run = ["x"]', 'key = "v"'], "'v' is the key of connections.verify"),
        (['run = ["x"]', 'key = "1"'], "'1' is the key of everywhere.status"),
        (['run = ["x"]', 'key = "banana"'], "'banana' is not a key"),
    ],
)
def test_a_command_that_is_none_is_refused_by_name(settings_file: Path, lines: list[str], said: str) -> None:
    table = [
        "[[user_commands]]",
        'name = "ticket"',
        'title = "Open a ticket"',
        'on = ["connections"]',
        *lines,
    ]
    settings_file.write_text("\n".join([DATABASE, *table]))
    with pytest.raises((SettingsError, KeydeckError), match=said.replace("{", r"\{").replace("}", r"\}")):
        check_commands([one.command() for one in load().settings.user_commands], {})


def test_two_of_a_name_or_key_on_one_list_are_refused() -> None:
    one = command("x", key="f6")
    check_commands([one, UserCommand("y", "Y", ("x",), ("keys",), "f6")], {})  # type: ignore[arg-type]
    for other in (one, UserCommand("y", "Y", ("x",), ("connections",), "f6")):  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="user_commands"):
            check_commands([one, other], {})


def test_what_is_set_is_told_by_name(settings_file: Path) -> None:
    lines = [
        "[[user_commands]]",
        'name = "ticket"',
        'title = "T"',
        'on = ["keys", "jobs"]',
        'run = ["x", "{key}"]',
    ]
    settings_file.write_text("\n".join([DATABASE, *lines]))
    assert ("user_commands", "ticket on keys/jobs", str(settings_file)) in load().shown()
