"""Commands ask for an MFA code on the terminal, off their output; without one they say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.host.runners import environment_of
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.values.errors import CodeNotEnteredError
from crypto_core.values.secret import Secret
from tests.mfa_profile import DEVICE, forget_roles, write_profiles
from tests.pseudo_terminal import ROOT, PseudoTerminal

CODE = "492817"


@pytest.fixture
def profile(
    environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    write_profiles(sandbox, tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "mfa")
    yield
    forget_roles()


@pytest.fixture
def run_on_terminal(profile: None, tmp_path: Path) -> Iterator[Callable[..., tuple[PseudoTerminal, Path]]]:
    """Run the command on a pseudo-terminal, its stdout in a file."""
    running: list[PseudoTerminal] = []

    def start(*arguments: str) -> tuple[PseudoTerminal, Path]:
        out, place = tmp_path / "out", os.environ | {"TERM": "xterm", "COLUMNS": "200"}
        with out.open("wb") as file:
            command = ["-m", "console", *arguments]
            running.append(PseudoTerminal(command, place, stdout=file, controlling=True))
        return running[-1], out

    yield start
    for terminal in running:
        terminal.close()


def test_the_code_is_typed_unseen_and_asked_again_with_awss_words(
    run_on_terminal: Callable[..., tuple[PseudoTerminal, Path]], sandbox: Sandbox
) -> None:
    wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code."
    sandbox.control.add_fault(Fault("AssumeRole", "AccessDenied", count=1, message=f"{wrong}\u202e"))
    terminal, out = run_on_terminal("keys", "list", "--json")
    asked = f"MFA code for profile mfa ({DEVICE}):".encode()
    terminal.read_until(asked)
    terminal.press(b"111111\n")
    terminal.read_until(f"{wrong}\r\n".encode() + asked)
    terminal.press(f"{CODE}\n".encode())
    assert terminal.ended() == 0, terminal.written
    assert CODE.encode() not in terminal.written
    assert "\u202e".encode() not in terminal.written
    assert json.loads(out.read_text())["keys"]


@pytest.mark.deep
@pytest.mark.parametrize(("command", "code"), [("keys show alias/tokens", 3), ("check", 1)])
def test_enter_alone_gives_up_and_till_then_nothing_is_drawn_over_the_prompt(
    run_on_terminal: Callable[..., tuple[PseudoTerminal, Path]], command: str, code: int
) -> None:
    terminal, _ = run_on_terminal(*command.split())
    terminal.read_until(f"MFA code for profile mfa ({DEVICE}):".encode())
    terminal.read(0.5)
    assert terminal.written.rstrip().endswith(b":")
    terminal.press(b"\n")
    assert terminal.ended() == code
    assert b"its MFA code was not entered" in terminal.written


@pytest.mark.parametrize("command", [("keys", "list"), ("keys", "show", "alias/tokens")])
def test_without_a_terminal_it_says_what_to_do_with_exit_code_3(
    profile: None, keydeck: Callable[..., Any], command: tuple[str, ...]
) -> None:
    ran = keydeck(*command)
    assert ran.exit_code == 3
    assert "No credentials for profile mfa: it needs an MFA code, and there is no terminal" in ran.stderr
    assert "AWS_SESSION_TOKEN" in ran.stderr


def test_the_doctor_names_it_and_goes_on(profile: None, keydeck: Callable[..., Any]) -> None:
    ran = keydeck("doctor", "--json")
    (found,) = [c for c in ran.json["checks"] if c["area"] == "AWS" and c["name"] == "credentials"]
    assert found["outcome"] == "failed"
    assert "needs an MFA code" in found["said"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_further_process_has_the_role_that_the_code_was_entered_for(
    profile: None, sandbox: Sandbox, *, asked: bool
) -> None:
    settings = load().settings
    if asked:
        KmsApi(profile=settings.profile, ask_code=lambda _: Secret.of(CODE)).identity()
    environment = environment_of(settings)
    script = "from crypto_core.aws.kms import KmsApi; print(KmsApi(profile='mfa').identity().arn)"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("assumed-role/operators" in ran.stdout) is asked
    assert ("CodeNotEnteredError" in ran.stderr) is not asked


@pytest.mark.parametrize("lent", ["", "x", "[]", "{}", '{"profile": "other", "roles": {}}'])
def test_what_is_nothing_lent_is_none(profile: None, monkeypatch: pytest.MonkeyPatch, lent: str) -> None:
    monkeypatch.setenv("KEYDECK_LENT_ROLES", lent)
    with pytest.raises(CodeNotEnteredError):
        KmsApi(profile="mfa").identity()
