"""What a command does where it runs: colours, pager, signs, a pipe that nobody reads, misspelt names."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from console.__main__ import keydeck as command
from console.exit_codes import EXIT_CODES
from console.printed.encodings import plain_signs
from tests import pseudo_terminal
from tests.console.command_types import Keydeck
from tests.console.test_output import every_command
from tests.pseudo_terminal import ROOT

RULES = ("findings", "rules")
"""A long list that needs neither database nor AWS."""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PAGER", "LESS")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "TERM": "xterm-256color", **more}


def on_terminal(*arguments: str, **more: str) -> tuple[int, str]:
    return pseudo_terminal.on_terminal(arguments, environment(**more))


@pytest.mark.deep
def test_a_long_list_goes_through_the_pager_which_may_be_quit() -> None:
    code, shown = on_terminal(*RULES, PAGER="head -3")
    assert (code, len(shown.splitlines())) == (0, 3)
    assert "\x1b[1m" in shown.splitlines()[0]
    assert "\x1b[31mcritical\x1b[0m" in shown.splitlines()[1]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("flags", "coloured"), [({}, True), ({"LESS": "-FR"}, True), ({"LESS": "-F"}, False)]
)
def test_less_gets_colours_only_where_it_shows_them(
    flags: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    less = tmp_path / "less"
    less.write_text('#!/bin/sh\nhead -1\necho "flags $LESS"\n')
    less.chmod(0o755)
    _, shown = on_terminal(*RULES, PATH=f"{tmp_path}:{os.environ['PATH']}", **flags)
    assert f"flags {flags.get('LESS', '-R')}" in shown
    assert ("\x1b[1m" in shown) is coloured


@pytest.mark.deep
def test_without_pager_and_colours_a_terminal_gets_all_of_it_and_no_line_is_too_wide() -> None:
    code, shown = on_terminal(*RULES, "--no-pager", NO_COLOR="1", PAGER="false")
    assert code == 0
    assert "\x1b" not in shown
    assert len(shown.splitlines()) > 24
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.deep
@pytest.mark.parametrize(
    ("arguments", "more"),
    [(("--no-pager", *RULES), {}), (RULES, {"TERM": "dumb"}), ((*RULES, "--output", "csv"), {})],
)
def test_no_pager_for_a_dumb_terminal_or_for_data(arguments: tuple[str, ...], more: dict[str, str]) -> None:
    code, shown = on_terminal(*arguments, PAGER="false", **more)
    assert code == 0
    assert len(shown.splitlines()) > 24
    assert ("\x1b" in shown) is (not more and "csv" not in arguments)


@pytest.mark.deep
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_pipe_that_nobody_reads_ends_the_command_without_a_word(form: str) -> None:
    line = f"set -o pipefail; {sys.executable} -m console findings rules --output {form} | true"
    ran = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    assert (ran.returncode, ran.stderr) == (141, "")


def test_an_encoding_without_signs_gets_a_plain_letter_for_each() -> None:
    codecs.register_error("tested", plain_signs)
    assert "✖ high → 1…\u202e é".encode("latin-1", "tested") == b"x high > 1.? \xe9"
    ran = subprocess.run(
        [sys.executable, "-m", "console", "help", "filters"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment(PYTHONIOENCODING="latin-1"),
    )
    assert b"eventname > name" in b" ".join(ran.stdout.lower().split())
    assert ran.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("conections",), "Did you mean connections?"),
        (("events", "lst"), "Did you mean list?"),
        (("connections", "--limt", "3"), "--limit"),
        (("connections", "--filter", "provder:slack"), "Did you mean provider?"),
        (("inspect", "gh_conection.access_token:gh-1"), "Did you mean gh_connection?"),
        (("keys", "show", "alias/tokns"), "Did you mean alias/tokens?"),
        (("\x1b[31mstatus",), "No such command '[31mstatus'."),
    ],
)
def test_a_misspelt_name_is_refused_with_what_may_be_meant(
    keydeck: Keydeck, arguments: tuple[str, ...], says: str
) -> None:
    ran = keydeck(*arguments)
    assert ran.exit_code == (3 if arguments[0] == "keys" else 2), ran
    assert says in ran.stderr
    assert "\x1b" not in ran.stderr


def test_a_misspelt_setting_too(keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("write_fromat = 'v2'\n")
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    assert "Did you mean write_format?" in keydeck("settings").stderr


def test_every_help_ends_with_the_exit_codes_that_the_manual_has() -> None:
    page = (ROOT / "console/manual/pages/commands.md").read_text(encoding="utf-8")
    told = re.search(r"^Exit codes: (.+?)\.", page, re.MULTILINE | re.DOTALL)
    assert told is not None
    assert all(re.search(rf"\b{code}\b", told[1]) for code in EXIT_CODES)
    for name, one in [("keydeck", command), *every_command(command, click.Context(command))]:
        epilog = one.epilog or ""
        assert all(f"{code} {words}" in epilog for code, words in EXIT_CODES.items()), name
