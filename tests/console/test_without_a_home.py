"""A user without HOME and without an entry in the list of users: every command works, with a word."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console import own_folders
from console.own_folders import NO_HOME, data_folder, home, settings_folder, state_folder
from console.sandbox.sandbox import Sandbox
from crypto_core.values.typed_names import expanded
from screens.identities import user_name

ROOT = Path(__file__).parents[2]
UID = 3_123_456
COMMANDS = {
    "status": (0,),
    "check": (1,),
    "findings": (1,),
    "findings suppress kms-single-region --reason expected --days 3": (0,),
    "connections --limit 2": (0,),
    "verify gh_connection.access_token:gh-1": (0, 1),
    "reencrypt --from OLD --yes": (0,),
    "encrypt --plaintext --yes --job": (0,),
    "jobs list": (0,),
    "keys list": (0,),
    "events list": (0,),
    "events review none": (2,),
    "incident start key-compromise --key OLD": (0,),
    "journal verify": (0,),
    "settings": (0,),
    "doctor": (0,),
    "grants operator": (0,),
    "metrics": (0,),
    "init": (0,),
}


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOGNAME", "USER", "LNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("USERNAME", raising=False)

    def nobody(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    own_folders._passing_folder.cache_clear()
    yield
    own_folders._passing_folder().cleanup()
    own_folders._passing_folder.cache_clear()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_there_is_a_passing_folder_for_events_alone() -> None:
    assert (home(), state_folder(), settings_folder()) == (None, None, None)
    assert user_name() == f"uid {os.getuid()}"
    folder = data_folder()
    assert folder == data_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert str(expanded("~/file")) == "~/file"


@pytest.mark.usefixtures("homeless")
def test_a_folder_that_is_named_is_kept_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "keydeck"


@pytest.fixture
def nobody(environment: dict[str, str]) -> list[str]:
    """What runs Python as a user of no name with nothing in the environment but the settings."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("Only root can run something as a user of no name.")
    kept = {name: value for name, value in environment.items() if name != "KEYDECK_EVENTS_FILE"}
    kept |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    settings = [f"{name}={value}" for name, value in kept.items()]
    ids = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    command = ["env", "-i", "-C", "/", *settings, "setpriv", *ids, sys.executable]
    probe = subprocess.run([*command, "-c", "import console.container"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("This Python, or the tree, is for its owner alone.")
    return command


@pytest.mark.deep
@pytest.mark.usefixtures("services")
def test_every_command_works_and_says_what_is_not_kept(nobody: list[str], sandbox: Sandbox) -> None:
    for line, codes in COMMANDS.items():
        arguments = line.replace("OLD", sandbox.world.old_key.arn).split()
        ran = subprocess.run(
            [*nobody, "-m", "console", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert ran.returncode in codes, (line, ran.stderr[-1000:])
        assert ran.stderr.splitlines()[0] == NO_HOME, line
        assert "Traceback" not in ran.stdout + ran.stderr, line
