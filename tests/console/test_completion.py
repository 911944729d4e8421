"""keydeck completion: what bash puts in the place of a word, and that nothing else happens while it asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console.completion import WAITING
from console.sandbox.world import World
from tests.console.command_types import Keydeck

ROOT = Path(__file__).parents[2]
IN_BASH = """
eval "$(keydeck completion bash)"
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
for COMP_LINE in "$@"; do
    COMP_POINT=${#COMP_LINE}
    _keydeck_completion keydeck
    echo "${COMPREPLY[*]}"
done
"""


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    command = tmp_path / "keydeck"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m console "$@"\n')
    command.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), WAITING: "60"}


def completed(shell: dict[str, str], *lines: str) -> list[list[str]]:
    ran = subprocess.run(
        ["bash", "--norc", "-c", IN_BASH, "bash", *lines],
        capture_output=True,
        text=True,
        check=True,
        env=shell,
    )
    assert ran.stderr == ""
    return [line.split() for line in ran.stdout.splitlines()]


@pytest.mark.deep
def test_bash_completes_forms_keys_runbooks_and_references(shell: dict[str, str], world: World) -> None:
    reference = str(world.sealed_under(world.current_key)[0])
    place, _, row_id = reference.partition(":")
    found = completed(
        shell,
        "keydeck connections --output j",
        "keydeck keys show alias/",
        "keydeck incident start key-",
        f"keydeck inspect {place[:-2]}",
        f"keydeck inspect {reference[:-1]}",
    )
    assert found[0] == ["json", "jsonl"]
    assert world.current_key.alias in found[1]
    assert "key-compromise" in found[2]
    assert f"{place}:" in found[3]
    assert row_id in found[4]  # what stands before a colon is there already


@pytest.mark.deep
def test_nothing_hangs_or_is_said_where_nobody_answers(shell: dict[str, str]) -> None:
    silent = "postgresql://nobody@203.0.113.1:5432/nothing"  # no such host is anywhere: TEST-NET-3
    lost = {**shell, WAITING: "5", "DATABASE_URL": silent, "AWS_ENDPOINT_URL": "http://203.0.113.1"}
    found = completed(lost, "keydeck jobs show ", "keydeck inspect gh", "keydeck keys show ")
    assert found[:2] == [[], []]
    assert found[2] == [lost["TOKEN_ENCRYPTION_KEY_ID"], *lost["KEYDECK_TRUSTED_KEYS"].split(",")]
    broken = {**shell, "KEYDECK_WRITE_FORMAT": "v9"}
    assert completed(broken, "keydeck keys show ", "keydeck jobs s") == [[], ["show"]]


def test_a_name_that_a_shell_would_act_on_is_not_offered() -> None:
    from console.completion import offers

    names = ["alias/good", "alias/$(reboot)", "alias/a b", "alias/`x`", "alias/\x1b[31m", "alias/;x", "other"]
    offer = offers._offer(lambda _typed: iter(names))
    assert offer(None, None, "alias/") == ["alias/good"]  # type: ignore[arg-type]


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_other_shells_get_scripts_and_answers(keydeck: Keydeck, shell: dict[str, str], name: str) -> None:
    script = keydeck("completion", name).stdout
    assert f"_KEYDECK_COMPLETE={name}_complete" in script
    if executable := shutil.which(name):
        subprocess.run([executable, "-n", "-c", script], check=True)
    words = {"COMP_WORDS": "keydeck jobs ", "COMP_CWORD": "2" if name == "zsh" else ""}
    ran = subprocess.run(
        ["keydeck"],
        capture_output=True,
        text=True,
        check=True,
        env={**shell, **words, "_KEYDECK_COMPLETE": f"{name}_complete"},
    )
    assert "watch" in ran.stdout
    assert ran.stderr == ""
