"""The environment in which every keydeck command works on the sandbox, as a shell's or as lines for one."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from console.own_folders import FILE_VARIABLE
from console.settings import FIELDS

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox

_DISTURBING = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN", "DEV_ENCRYPTION_KEY")
"""What leads boto3 or Keydeck elsewhere, beside Keydeck's own settings."""


def demo_settings(sandbox: Sandbox, *, read_only: bool | None = None) -> dict[str, str]:
    """Return the variables of a demonstration: the sandbox's, and its folder for all that is kept.

    Neither the user's settings file is read nor what their consoles remember.
    """
    file = sandbox.folder / "settings.toml"
    file.touch(mode=0o600)
    settings = {
        **sandbox.settings(),
        FILE_VARIABLE: str(file),
        "KEYDECK_ENVIRONMENT": "demo",
        "KEYDECK_RECEIPTS": "table",
        "KEYDECK_LOG_FILE": str(sandbox.folder / "keydeck.log"),
        "XDG_STATE_HOME": str(sandbox.folder / "state"),
    }
    return settings | ({"KEYDECK_READ_ONLY": "true"} if read_only else {})


def export_lines(settings: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that give a POSIX shell this environment, every value quoted; others' are unset."""
    own = {str(field.validation_alias) for field in FIELDS.values()}
    for name in sorted({*own, *_DISTURBING} - set(settings)):
        yield f"unset {name}"
    for name, value in settings.items():
        yield f"export {name}={shlex.quote(value)}"
    if folder := commands_folder():
        yield f'export PATH={shlex.quote(folder)}:"$PATH"'


def commands_folder() -> str:
    """Return the folder of this very keydeck, "" where it isn't installed as a command."""
    folder = sysconfig.get_path("scripts")
    return folder if (Path(folder) / "keydeck").is_file() else ""


def run_shell(environment: Mapping[str, str]) -> int:
    """Run the user's shell, ended with this process, in an environment; returns its exit code."""
    path = environment.get("PATH", os.defpath)
    known = {"PATH": f"{commands_folder()}{os.pathsep}{path}"} if commands_folder() else {}
    # Ctrl-C is the shell's. A handler, unlike SIG_IGN, isn't handed down to it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        own = os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
        with subprocess.Popen([own], env={**environment, **known}) as shell:
            try:
                code = shell.wait()
            except BaseException:  # raised again: an interactive shell heeds no SIGTERM
                shell.send_signal(signal.SIGHUP)
                raise
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def wait_until_ended() -> None:
    """Return at Ctrl-C, or once standard input ends where somebody can end it."""
    try:
        if sys.stdin is not None and (sys.stdin.isatty() or stat.S_ISFIFO(os.fstat(0).st_mode)):
            while os.read(0, 4096):
                pass
        else:
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return
