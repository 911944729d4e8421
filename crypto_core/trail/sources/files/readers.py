"""Processes that read small files for an import, each on a core of its own, while this one stores.

A process that dies is replaced, and what it was asked for is asked again file by file, so that one file that
brings it down is told by name and costs nobody else's events. Where none can be started, the import reads.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import IO, Any, Self, cast

from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.reader_process import LEFT, READY, Part, send
from crypto_core.trail.sources.python_process import start_python
from crypto_core.values.cancellation import stop_if

MOST_PROCESSES = 8
"""One that stores is kept busy by fewer."""
_LOOK_SECONDS = 0.1
_END_SECONDS = 1.0
_BROKE_OFF = "The process that read it broke off, twice."

Answer = list[Part]


class GoneError(Exception):
    """A process is gone, or doesn't answer as it should."""


def processes() -> int:
    """Return how many processes read on this machine; 0 where that would bring nothing."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES) if cores > 1 and sys.executable else 0


class Readers:
    """So many processes; used as a context, whose end is theirs."""

    def __init__(self, number: int, largest: int) -> None:
        self.number = number
        self._largest = largest
        self._asked: SimpleQueue[tuple[Sequence[FileName], Future[Answer]] | None] = SimpleQueue()
        self._lock = Lock()
        self._over = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = [
            Thread(target=self._serve, daemon=True, name="keydeck-import") for _ in range(number)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            with suppress(RuntimeError):  # without room for one more, the others read, or who asks
                thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        with self._lock:
            self._over = True
            running = list(self._processes)
        for _ in range(self.number):
            self._asked.put(None)
        for process in running:
            process.kill()
        for thread in self._serving:
            thread.join(_END_SECONDS)

    @property
    def _serving(self) -> list[Thread]:
        return [thread for thread in self._threads if thread.is_alive()]

    def ask(self, paths: Sequence[FileName]) -> Future[Answer]:
        """Have files read as soon as a process is free; `answered` gives what came of it."""
        future: Future[Answer] = Future()
        if self._serving:
            self._asked.put((paths, future))
        return future

    def answered(self, future: Future[Answer], cancelled: Event | None) -> Answer | None:
        """Return an answer, or None if nobody has begun it; then nobody will. Raises InterruptedRunError."""
        if future.cancel():
            return None
        while True:
            stop_if(cancelled)
            with suppress(TimeoutError):
                return future.result(_LOOK_SECONDS)

    def _serve(self) -> None:
        process: _Process | None = None
        try:
            process = self._started()
            while (asked := self._asked.get()) is not None:
                paths, future = asked
                if not future.set_running_or_notify_cancel():
                    continue
                found: Answer = []
                try:
                    process = self._read(process, paths, found)
                finally:
                    unread = len(paths) - sum(map(_is_end, found))
                    future.set_result([*found, *([LEFT] * unread)])
        except GoneError:
            pass  # what is still to be read, the others read, or who asks
        finally:
            if process is not None:
                self._ended(process)

    def _read(self, process: _Process, paths: Sequence[FileName], found: Answer) -> _Process:
        """Have files read; returns the process, or the one that replaced it. Raises GoneError."""
        try:
            found += process.read_files(paths, self._largest)
        except GoneError:
            process = self._replaced(process)
        else:
            return process
        for path in paths:
            try:
                found += process.read_files([path], self._largest)
            except GoneError:
                found.append(_BROKE_OFF)
                process = self._replaced(process)
        return process

    def _started(self) -> _Process:
        with self._lock:
            if self._over:
                raise GoneError
            process = _Process()
            self._processes.append(process.popen)
        try:
            process.await_ready()
        except BaseException:  # raised again
            self._ended(process)
            raise
        return process

    def _replaced(self, process: _Process) -> _Process:
        self._ended(process)
        return self._started()

    def _ended(self, process: _Process) -> None:
        with self._lock, suppress(ValueError):
            self._processes.remove(process.popen)
        process.end()


class _Process:
    def __init__(self) -> None:
        """Raises GoneError if it can't be started."""
        try:
            self.popen = start_python("crypto_core.trail.sources.files.reader_process")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise GoneError from error
        self._questions = cast(IO[bytes], self.popen.stdin)
        self._answers = cast(IO[bytes], self.popen.stdout)

    def await_ready(self) -> None:
        """Return once it can read. Raises GoneError."""
        if self._next() != READY:
            raise GoneError

    def read_files(self, paths: Sequence[FileName], largest: int) -> Answer:
        """Return the answer on some files. Raises GoneError."""
        try:
            send(self._questions, (paths, largest))
        except (OSError, ValueError) as error:
            raise GoneError from error
        found = self._next()
        parts = isinstance(found, list) and all(
            isinstance(p, Prepared | SeenFile | str | None) for p in found
        )
        if not parts or sum(map(_is_end, found)) != len(paths):
            raise GoneError
        return cast(Answer, found)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for pipe in (self._questions, self._answers):
            with suppress(OSError):
                pipe.close()

    def _next(self) -> Any:
        try:
            return pickle.load(self._answers)  # noqa: S301  # of a process that this one started
        except Exception as error:  # whatever it sent, it is no answer
            raise GoneError from error


def _is_end(part: Part) -> bool:
    return not isinstance(part, Prepared)
