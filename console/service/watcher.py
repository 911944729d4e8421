"""Does duties at their intervals: one process leads, over all hosts, and the others stand by.

Who leads holds a lease in PostgreSQL. Each duty has a thread, so that none delays another. What fails is
tried again, later each time; nothing that fails ends the process.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event, Thread

from sqlalchemy import Engine

from console.service.duties import Duty, DutyWork
from console.service.watch_metrics import STATES
from crypto_core.database.connection.lock_holders import LOCK_NOT_AVAILABLE, lock_holders
from crypto_core.database.state.leases import DutyHolder, DutyLease, on_duty
from crypto_core.log.redaction import redacted
from crypto_core.values import errors
from crypto_core.values.clean_text import clean

LEAD = "watch"
LOOK_SECONDS = 5.0
"""How often it is looked whether this process still leads, or may."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 300.0
ROUNDS_MISSED, LEAST_PATIENCE_SECONDS = 3, 60.0
"""After so many intervals of the most frequent duty without a round, others do the duties, too."""
SELDOM = 4
"""Intervals after which a process that stands by does a duty itself."""
_LEADING, _STANDING_BY, _ALONE, _NO_DATABASE, _RELIEVING = STATES
_CANNOT_LEAD = (
    errors.MissingGrantError,
    errors.MissingSchemaError,
    errors.DatabaseReadOnlyError,
    errors.NewerSchemaError,
)

_log = logging.getLogger(__name__)


class Watcher:
    def __init__(
        self, duties: Mapping[Duty, float], work: DutyWork, engine: Engine, say: Callable[[str], None]
    ) -> None:
        """`duties` are with the seconds between two runs; `engine` is that of leases; `say` is for a line."""
        self._duties = duties
        self._work = self._given = work
        self._engine = engine
        self._say = say
        self._stop = work.stop
        self._may_run = Event()
        self._did = Event()
        self._patience = max(ROUNDS_MISSED * min(duties.values(), default=0.0), LEAST_PATIENCE_SECONDS)
        self._state = ""
        self._said: dict[str, str] = {}

    def run(self) -> None:
        threads = [Thread(target=self._lead, name="keydeck-lead", daemon=True)]
        threads += [
            Thread(target=self._keep_doing, args=one, name=f"keydeck-{one[0].name}", daemon=True)
            for one in self._duties.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def run_once(self) -> bool:
        """Do each duty once, one after another; return True if none failed. Raises DatabaseError."""
        try:
            with on_duty(self._engine, LEAD) as lease:
                if isinstance(lease, DutyLease):
                    done = self._all_done()
                    lease.finish()
                    return done
                self._say(f"Another process watches: {lease}.")
                return True if lease.idle < self._patience else self._all_done()
        except _CANNOT_LEAD as error:
            self._go_alone(error)
            return self._all_done()

    def _all_done(self) -> bool:
        done = [self._do(duty) for duty in self._duties if self._possible(duty)]
        return all(done)

    def _lead(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                with on_duty(self._engine, LEAD) as lease:
                    failures = 0
                    self._work = self._given
                    if isinstance(lease, DutyLease):
                        self._show(_LEADING, "Watching.", run=True)
                        self._hold(lease)
                    else:
                        self._stand_by(lease)
            except _CANNOT_LEAD as error:
                self._go_alone(error)
                self._stop.wait(LONGEST_WAIT_SECONDS)
            except errors.DutyLostError as error:
                self._show(_STANDING_BY, error.message, run=False)
            except errors.DatabaseError as error:
                locked = error.sqlstate == LOCK_NOT_AVAILABLE
                held = lock_holders(self._engine, "keydeck.duty", "RowExclusiveLock") if locked else ""
                state = _RELIEVING if locked else _NO_DATABASE
                self._show(state, f"{error} {held}".rstrip(), run=locked)
                failures += 1
                self._stop.wait(waiting_seconds(failures))

    def _stand_by(self, holder: DutyHolder) -> None:
        """Stand by while the holder does its duties; else do them, too."""
        if holder.idle < self._patience:
            self._show(_STANDING_BY, f"Standing by: {holder}.", run=False)
        else:
            self._show(
                _RELIEVING, f"No round for {holder.idle:,.0f} s, so this process watches: {holder}.", run=True
            )
        self._stop.wait(LOOK_SECONDS)

    def _hold(self, lease: DutyLease) -> None:
        """Keep the lead until another host has it; a database that comes back finds it still held."""
        failures = 0
        while not self._stop.wait(waiting_seconds(failures) if failures else LOOK_SECONDS):
            try:
                if self._did.is_set():
                    self._did.clear()
                    lease.finish()
                else:
                    with lease.writing():
                        pass
            except errors.DatabaseError as error:
                failures += 1
                self._show(_NO_DATABASE, str(error), run=False)
            else:
                failures = 0
                self._show(_LEADING, "Watching.", run=True)

    def _go_alone(self, error: errors.KeydeckError) -> None:
        self._work = replace(self._work, telling=False)
        self._show(
            _ALONE,
            f"{error} So no notifications are sent, and another host may do the same as this one.",
            run=True,
        )

    def _show(self, state: str, words: str, *, run: bool) -> None:
        if run:
            self._may_run.set()
        else:
            self._may_run.clear()
        self._work.metrics.state(state, redacted(clean(words, 300)))
        if state != self._state:
            self._state = state
            self._tell(words)

    def _possible(self, duty: Duty) -> bool:
        return self._work.telling or not duty.tells

    def _keep_doing(self, duty: Duty, every: float) -> None:
        failures, seldom = 0, time.monotonic() + SELDOM * every
        while not self._stop.is_set():
            # A holder could say that it did rounds: who stands by looks now and then, too.
            looks = duty.standing_by and self._state == _STANDING_BY and time.monotonic() >= seldom
            if not (looks or self._may_run.is_set()) or not self._possible(duty):
                self._stop.wait(0.2)
                continue
            seldom = time.monotonic() + SELDOM * every
            begun = time.monotonic()
            failures = 0 if self._do(duty) else failures + 1
            rest = every - (time.monotonic() - begun)
            self._stop.wait(max(min(rest, waiting_seconds(failures)) if failures else rest, 0.0))

    def _do(self, duty: Duty) -> bool:
        """Do a duty once; True if it did not fail."""
        begun = time.monotonic()
        try:
            words = duty.run(self._work)
        except errors.InterruptedRunError:
            return True
        except errors.KeydeckError as error:
            words = f"failed: {error}"
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on; its text may hold values
            _log.exception("Duty %s failed.", duty.name)
            words = f"failed: {type(error).__name__}"
        else:
            self._work.metrics.done(duty.name, time.time(), time.monotonic() - begun)
            self._did.set()
            self._once(duty.name, words)
            return True
        self._work.metrics.failed(duty.name, time.monotonic() - begun)
        self._once(duty.name, words)
        return False

    def _once(self, duty: str, words: str) -> None:
        """Say what came of a duty, unless the last time it was the same."""
        if words and words != self._said.get(duty):
            self._tell(f"{duty}: {words}")
        self._said[duty] = words

    def _tell(self, words: str) -> None:
        line = redacted(clean(words, 1_000))
        _log.info("%s", line)
        if not self._stop.is_set():
            self._say(line)


def waiting_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row, in seconds, not the same for every process."""
    longest: float = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_WAIT_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, no secret


def chosen_duties(duties: Sequence[Duty], every: Mapping[str, float]) -> dict[Duty, float]:
    """Return the duties with their intervals, in seconds; 0 leaves one out."""
    chosen = {duty: every.get(duty.name, duty.seconds) for duty in duties}
    return {duty: seconds for duty, seconds in chosen.items() if seconds > 0}
