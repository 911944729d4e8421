"""The metrics of `keydeck watch`: who watches, how each duty fares, what was found and what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric

from crypto_core.findings.finding import Severity

STATES = ("leading", "standing by", "alone", "no database", "relieving")
"""Alone is a process that can't make sure that no other host does the same; relieving, one that does what the
holder of the duties doesn't.
"""


class WatchMetrics:
    """What is counted. Thread-safe. No label names a token, row, person, organisation or key."""

    def __init__(self, registry: CollectorRegistry, duties: Mapping[str, float]) -> None:
        """`duties` are the seconds between two runs, by name."""
        self._lock = Lock()
        self._state, self._words = STATES[1], ""
        self._duties: dict[str, dict[str, Any]] = {
            name: {"failing": False, "last_success": None} for name in duties
        }
        self._watching = _gauge("watch_state", "1 for what this process is in the watch.", "state")
        self._every = _gauge("duty_interval_seconds", "Between two runs of a duty.", "duty")
        self._runs = _counter("duty_runs", "Runs of a duty that ended, by outcome.", "duty", "outcome")
        self._failing = _gauge("duty_failing", "1 while the last run of a duty failed.", "duty")
        self._succeeded = _gauge(
            "duty_success_timestamp_seconds", "When a duty was last done, in Unix time; 0 for never.", "duty"
        )
        self._took = _gauge("duty_seconds", "How long the last run of a duty took.", "duty")
        self._findings = _gauge("findings", "Findings by severity, by the last examination.", "severity")
        self._examined = _gauge(
            "findings_complete", "1 if the last examination missed nothing that can be high or worse."
        )
        self._events = _counter("events_new", "Events of CloudTrail's that came.")
        self._notices = _gauge("notices", "Notices by receiver and state.", "receiver", "state")
        for name, seconds in duties.items():
            self._every.labels(name).set(seconds)
            self._failing.labels(name).set(0)
            self._succeeded.labels(name).set(0)
            for outcome in ("done", "failed"):
                self._runs.labels(name, outcome)
        self.state(self._state)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its samples: what prometheus_client asks of a collector."""
        for metric in vars(self).values():
            if isinstance(metric, Counter | Gauge):
                for family in metric.collect():
                    # When a series began; the text format would show each as one more gauge.
                    family.samples = [s for s in family.samples if not s.name.endswith("_created")]
                    yield family

    def describe(self) -> Iterator[Metric]:
        """Yield what `collect` yields, for the registry to know the names."""
        return self.collect()

    def state(self, state: str, words: str = "") -> None:
        with self._lock:
            self._state, self._words = state, words
        for one in STATES:
            self._watching.labels(one).set(one == state)

    def done(self, duty: str, now: float, took: float) -> None:
        """Count a run that succeeded, in Unix time; `took` is in seconds."""
        self._runs.labels(duty, "done").inc()
        self._failing.labels(duty).set(0)
        self._succeeded.labels(duty).set(now)
        self._took.labels(duty).set(took)
        with self._lock:
            self._duties[duty] = {"failing": False, "last_success": now}

    def failed(self, duty: str, took: float) -> None:
        self._runs.labels(duty, "failed").inc()
        self._failing.labels(duty).set(1)
        self._took.labels(duty).set(took)
        with self._lock:
            self._duties[duty] |= {"failing": True}

    def findings(self, by_severity: Mapping[Severity, int], *, complete: bool) -> None:
        for severity in Severity:
            if severity is not Severity.NONE:
                self._findings.labels(severity.value).set(by_severity.get(severity, 0))
        self._examined.set(complete)

    def events(self, new: int) -> None:
        self._events.inc(new)

    def notices(self, counts: Mapping[tuple[str, str], int]) -> None:
        for (receiver, state), number in counts.items():
            self._notices.labels(receiver, state).set(number)

    def health(self) -> dict[str, Any]:
        with self._lock:
            return {
                "state": self._state,
                "why": self._words,
                "duties": {name: dict(one) for name, one in self._duties.items()},
            }

    @property
    def ready(self) -> bool:
        """True unless a duty fails, there is no database, or whoever holds the duties does none."""
        with self._lock:
            return self._state not in STATES[3:] and not any(one["failing"] for one in self._duties.values())


def _gauge(name: str, says: str, *labels: str) -> Gauge:
    return Gauge(f"keydeck_{name}", says, labels, registry=None)


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(f"keydeck_{name}", says, labels, registry=None)
