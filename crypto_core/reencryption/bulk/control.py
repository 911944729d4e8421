"""Controls of a run: gate, stop, patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from threading import Event

from crypto_core.errors import (
    KeyUnavailableError,
    KmsDependencyTimeoutError,
    KmsError,
    KmsInternalError,
    KmsThrottledError,
)

IN_FLIGHT = 128
"""Tokens that KMS is asked about at a time, a connection each: at 10 ms a call, enough for 6,000 a second."""

PATIENCE_SECONDS = 30.0
"""How long nothing may get through before a run ends with KMS's error."""

GRACE_SECONDS = 0.5
"""How long what is under way may go on once a run is held back or stopped."""


_PASSING = (KmsThrottledError, KmsInternalError, KmsDependencyTimeoutError, KeyUnavailableError)


def is_passing(error: KmsError) -> bool:
    """Return whether a failure is worth waiting out while somebody waits for the end."""
    return isinstance(error, _PASSING)


def _open() -> Event:
    event = Event()
    event.set()
    return event


@dataclass(slots=True)
class Control:
    """Set from any thread. The run looks ten times a second."""

    gate: Event = field(default_factory=_open)
    """Cleared, the run is held back: no KMS call is made, and what is sealed is written."""
    stop: Event = field(default_factory=Event)
    """Set, the run ends: what is sealed is written, what is not is left."""
    in_flight: int = IN_FLIGHT
    patience_seconds: float = PATIENCE_SECONDS
    passing: Callable[[KmsError], bool] = attrgetter("transient")
    """Which failures of KMS are waited out."""
    outlasted: tuple[type[KmsError], ...] = ()
    """Of those, what is waited out for as long as it takes: the pace has all but stopped by then."""
