"""Commands ask for an MFA code on the terminal, off their output; without one they say what to do."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.host.runners import environment_of
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.errors import CodeNotEnteredError
from crypto_core.secret import Secret
from tests.mfa_profile import DEVICE, forget_roles, write_profiles

ROOT = Path(__file__).parents[2]
CODE = "492817"


@dataclass
class Terminal:
    """A child that runs in a pseudo-terminal, and all that it wrote."""

    child: int
    end: int
    written: bytes = b""

    def read_until(self, wanted: bytes) -> None:
        while wanted not in self.written:
            assert self.read(), f"{wanted!r} never came: {self.written[-3000:]!r}"

    def read(self) -> bool:
        """Take what was written; returns False at the end."""
        assert select.select([self.end], [], [], 60)[0], "it is silent"
        try:
            data = os.read(self.end, 65_536)
        except OSError:  # Linux's word for a terminal whose other side is closed
            return False
        self.written += data
        return bool(data)


@pytest.fixture
def profile(
    environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    write_profiles(sandbox, tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "mfa")
    yield
    forget_roles()


@pytest.fixture
def run_on_terminal(profile: None, tmp_path: Path) -> Iterator[Callable[..., tuple[Terminal, Path]]]:
    """Run the command on a pseudo-terminal, its stdout in a file."""
    running: list[Terminal] = []

    def start(*arguments: str) -> tuple[Terminal, Path]:
        out = tmp_path / "out"
        child, end = pty.fork()
        if child == 0:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
            environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}
            os.execve(sys.executable, [sys.executable, "-m", "console", *arguments], environment)
        running.append(Terminal(child, end))
        return running[-1], out

    yield start
    for terminal in running:
        os.close(terminal.end)


def ended(terminal: Terminal) -> int:
    while terminal.read():
        pass
    return os.waitstatus_to_exitcode(os.waitpid(terminal.child, 0)[1])


def test_the_code_is_typed_unseen_and_asked_again_with_awss_words(
    run_on_terminal: Callable[..., tuple[Terminal, Path]], sandbox: Sandbox
) -> None:
    wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code."
    sandbox.control.add_fault(Fault("AssumeRole", "AccessDenied", count=1, message=f"{wrong}\u202e"))
    terminal, out = run_on_terminal("keys", "list", "--json")
    asked = f"MFA code for profile mfa ({DEVICE}):".encode()
    terminal.read_until(asked)
    os.write(terminal.end, b"111111\n")
    terminal.read_until(f"{wrong}\r\n".encode() + asked)
    os.write(terminal.end, f"{CODE}\n".encode())
    assert ended(terminal) == 0, terminal.written
    assert CODE.encode() not in terminal.written
    assert "\u202e".encode() not in terminal.written
    assert json.loads(out.read_text())["keys"]


@pytest.mark.parametrize(("command", "code"), [("keys show alias/tokens", 3), ("check", 1)])
def test_enter_alone_gives_up_and_till_then_nothing_is_drawn_over_the_prompt(
    run_on_terminal: Callable[..., tuple[Terminal, Path]], command: str, code: int
) -> None:
    terminal, _ = run_on_terminal(*command.split())
    terminal.read_until(f"MFA code for profile mfa ({DEVICE}):".encode())
    assert not select.select([terminal.end], [], [], 0.5)[0] or terminal.read()
    assert terminal.written.rstrip().endswith(b":")
    os.write(terminal.end, b"\n")
    assert ended(terminal) == code
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
