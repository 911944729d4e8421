"""What has happened before the demo opens: seven days of events, an intruder, receipts, an incident, a job.

Events are fetched and the incident is declared before the console opens; it is worked through, and the job
is done, in a thread meanwhile. All of it is real work in the sandbox, told in the demo's log.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from console.container import Container
from console.demonstration.closed_incident import ClosedIncident
from console.demonstration.finished_job import FinishedJob
from console.demonstration.past import past_calls
from console.demonstration.past_receipts import past_receipts
from console.game_day.platform_part import PlatformPart
from console.sandbox import access_keys
from console.sandbox.traffic import DAYS, OFFICE_ADDRESS
from console.settings import load
from crypto_core.errors import InterruptedRunError, KeydeckError
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox

_log = logging.getLogger(__name__)
_LEAVE_SECONDS = 20.0


class Story:
    """Use it as a context manager around what shows the sandbox; it stops when that is left."""

    def __init__(self, sandbox: Sandbox, platform: PlatformPart) -> None:
        self._sandbox = sandbox
        self._platform = platform
        self._container = Container(load({"read_only": False}).settings)
        self._stopped = Event()
        self._thread = Thread(target=self._tell, name="demo-story", daemon=True)

    def begin(self) -> Self:
        """Fetch the events and go on in the background. Raises KeydeckError."""
        # That the sandbox was set up a moment ago is no part of it: keys and trail have been there for years.
        self._sandbox.control.forget(self._sandbox.world.now)
        self._sandbox.control.set_address(access_keys.ON_CALL, OFFICE_ADDRESS)
        self._sandbox.control.history(past_calls(self._sandbox.world))
        self._fetch()
        self._thread.start()
        return self

    def wait(self) -> Self:
        """Return once all of it has happened."""
        self._thread.join()
        return self

    def stop(self) -> None:
        """End it where it is; safe to call twice."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_SECONDS)
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tell(self) -> None:
        try:
            self._tell_all()
        except InterruptedRunError:
            return
        except KeydeckError as error:
            _log.warning("The demo's story is not complete: %s", error.message)

    def _tell_all(self) -> None:
        store = self._container.events
        store.add_receipts(list(past_receipts(store, self._sandbox.world)))
        incident = ClosedIncident(self._container, self._sandbox.world, self._platform)
        number = incident.declare()
        job = FinishedJob(self._container, self._sandbox.world)
        made = job.start(self._stopped)
        job.work(made, self._stopped)
        _log.info("Job %d is done.", made)
        incident.work(number, self._stopped)
        _log.info("Incident %d is closed; its report: keydeck incident report %d", number, number)
        self._fetch()

    def _fetch(self) -> None:
        """Deliver the trail's files, and fetch them as `keydeck events pull --from s3` does."""
        self._sandbox.control.deliver()
        since = self._sandbox.world.now - timedelta(days=DAYS)
        report = self._container.event_puller.pull_events("s3", since=since, cancelled=self._stopped)
        _log.info("%s fetched from the trail's bucket.", counted(report.new, "event"))
