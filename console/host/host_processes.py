"""Processes of this host that work on jobs while the console is open.

See JobProcesses in screens/services.py. A process of its own keeps the screen quick while a core is full. It
ends with the console, whichever way that ends: then it writes what it holds, and the job waits for whoever
joins it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock
from time import monotonic, sleep

from console.host.runners import MOST_PROCESSES, RunnerProcess, environment_of, fitting_processes
from console.settings import Settings
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import JobError, ReadOnlyError

_WELL = (0, 1, 130)
"""Exit codes that tell of a job; others tell of the process."""
_JOB_FAILED = 3


class HostProcesses:
    """The processes that one console has started in one place. Thread-safe."""

    def __init__(self, settings: Settings, trust: Sequence[str] = ()) -> None:
        """`settings` are what the processes find, and `trust` keys that they trust beside."""
        self._settings = settings
        self._trust = tuple(trust)
        self._lock = Lock()
        self._started: list[tuple[int, RunnerProcess]] = []
        self._trouble: dict[int, str] = {}
        self._left = False

    def fitting(self, calls_per_second: float, tokens: int) -> int:
        return fitting_processes(calls_per_second, tokens)

    def work_on(self, job: int, processes: int = 1, *, trust: Sequence[str] = ()) -> None:
        """Start processes that work on a job. Raises ReadOnlyError, JobError."""
        if self._settings.read_only:
            raise ReadOnlyError(f"Cannot work on job {job}: Keydeck is in read-only mode.")
        if not 1 <= processes <= MOST_PROCESSES:
            raise JobError(f"{processes:,} processes?", remedy=f"From 1 to {MOST_PROCESSES}.")
        environment = environment_of(self._settings, tuple(dict.fromkeys((*self._trust, *trust))))
        with self._lock:
            if self._left:
                raise JobError(f"The console is being left: nothing here works on job {job} any more.")
            self._trouble.pop(job, None)
            for _ in range(processes):
                try:
                    self._started.append((job, RunnerProcess(job, environment)))
                except OSError as error:
                    raise JobError(
                        f"No process could be started: {clean(error.strerror, 200) or 'refused'}.",
                        remedy=f"Work on it from a terminal: keydeck jobs join {job}.",
                    ) from error

    def at_work(self) -> Mapping[int, int]:
        with self._lock:
            self._sort_out()
            return Counter(job for job, _ in self._started)

    def trouble(self, job: int) -> str:
        with self._lock:
            self._sort_out()
            return self._trouble.get(job, "")

    def leave(self) -> tuple[int, ...]:
        """Ask all processes to end, which takes them a moment; return the jobs that they were at."""
        with self._lock:
            self._left = True
            self._sort_out()
            for _, one in self._started:
                one.ask_to_end()
            return tuple(sorted({job for job, _ in self._started}))

    def wait(self, seconds: float) -> None:
        """Wait until all processes have ended, but no longer than so many seconds."""
        end = monotonic() + seconds
        while self.at_work() and monotonic() < end:
            sleep(0.05)

    def _sort_out(self) -> None:
        """Keep those that run, and the last words of those that did not end well."""
        running = []
        for job, one in self._started:
            code = one.code
            if code is None:
                running.append((job, one))
                continue
            one.end()
            last = one.said.splitlines()[-1:]
            if code not in _WELL and (last or code != _JOB_FAILED):
                words = last[0] if last else f"exit code {code}"
                self._trouble[job] = clean(f"Process {one.pid} stopped: {words}", 500)
        self._started = running
