"""Runs commands of the team's own: a program with its arguments, no shell, no terminal, bounded in time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import IO, Any

from crypto_core.log.redaction import redacted
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ReadOnlyError, RefusedError
from screens.user_command import CommandOutcome, UserCommand

MOST_OUTPUT = 256 * 1024
"""Bytes of what a command says that are read, the last ones."""
MOST_LINES = 2_000
LINE_LIMIT = 2_000
LOOK_SECONDS = 0.05
END_SECONDS = 2.0


class HostCommands:
    """The commands of the settings. Thread-safe; `run` blocks until the program has ended."""

    def __init__(self, commands: Sequence[UserCommand], *, read_only: bool) -> None:
        self._commands = tuple(commands)
        self._read_only = read_only

    def offered(self, where: str) -> tuple[UserCommand, ...]:
        return tuple(command for command in self._commands if where in command.lists)

    def run(self, command: UserCommand, fields: Mapping[str, Any], cancelled: Event) -> CommandOutcome:
        """Run a command for a row, whose `fields` are as it is exported, and return what came of it.

        It inherits the environment, and finds KEYDECK_READ_ONLY set where nothing may be changed. Raises
        RefusedError as `UserCommand.filled` does, and where the program can't be started; ReadOnlyError.
        """
        if self._read_only and not command.looks:
            raise ReadOnlyError(f"Read-only: {command.title} is refused.")
        arguments = command.filled(fields)
        environment = dict(os.environ)
        if self._read_only:
            environment["KEYDECK_READ_ONLY"] = "true"
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                raise RefusedError(
                    f"{command.title}: {clean(arguments[0], 200)} can't be started: {clean(why, 200)}.",
                    remedy="Check the program of this command in user_commands.",
                ) from error
            trouble = _wait(process, command.seconds, cancelled)
            return CommandOutcome(None if trouble else process.returncode, _said(output), clean(trouble))


def _wait(process: subprocess.Popen[bytes], seconds: float, cancelled: Event) -> str:
    """Wait for the end; return why it was ended by force, "" if it wasn't."""
    until = monotonic() + seconds
    while process.poll() is None:
        if cancelled.is_set() or monotonic() > until:
            _end(process)
            return "Stopped." if cancelled.is_set() else f"Ended after {seconds:g} s, as its limit is."
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with suppress(ProcessLookupError):  # what it has started may be there still
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(output: IO[bytes]) -> tuple[Any, ...]:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - MOST_OUTPUT, 0))
    text = redacted(output.read(MOST_OUTPUT).decode(errors="replace"))
    lines = [clean(line, LINE_LIMIT) for line in text.splitlines()]
    more = len(lines) - MOST_LINES
    cut = [clean(f"({more:,} lines before this one are left out)")] if more > 0 else []
    if size > MOST_OUTPUT:
        cut = [clean(f"(of {size:,} bytes the last {MOST_OUTPUT:,})")]
    return (*cut, *lines[-MOST_LINES:])
