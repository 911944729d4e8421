"""Checks of a diagnosis, and the areas that they are found in: side by side, in bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic

from crypto_core.log.redaction import redacted
from crypto_core.log.tracebacks import type_name
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from crypto_core.values.json_records import JsonRecord

Clock = Callable[[], datetime]
CLOCK_REMEDY = (
    "Set this machine's clock by NTP (timedatectl set-ntp true), or the other's if that one is wrong."
)


class CheckOutcome(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should, or not everywhere."""
    FAILED = "failed"
    """What it says does not work."""
    UNKNOWN = "unknown"
    """It could not be found out; the text says why."""
    SKIPPED = "skipped"
    """It was not asked, because it doesn't apply or something before it failed."""


def heading(text: str) -> str:
    """Return an area's title as it is shown, at most 60 characters."""
    return clean(redacted(text), 60)


@dataclass(frozen=True, slots=True)
class Check(JsonRecord):
    """One result. All text is cleaned and redacted here, wherever it comes from.

    `area` is the heading that it stands under, `name` what was looked at, `said` what was found, `remedy`
    what to do ("" where there is nothing to do).
    """

    area: str
    name: str
    outcome: CheckOutcome
    said: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", heading(self.area))
        for field, limit in (("name", 200), ("said", 600), ("remedy", 600)):
            object.__setattr__(self, field, clean(redacted(getattr(self, field)), limit))


@dataclass(frozen=True, slots=True)
class Topic:
    """What checks are about: one thing under one heading. Makes its checks."""

    area: str
    name: str

    def ok(self, said: str, remedy: str = "") -> Check:
        return Check(self.area, self.name, CheckOutcome.OK, said, remedy)

    def warning(self, said: str, remedy: str = "") -> Check:
        return Check(self.area, self.name, CheckOutcome.WARNING, said, remedy)

    def failed(self, said: str, remedy: str = "") -> Check:
        return Check(self.area, self.name, CheckOutcome.FAILED, said, remedy)

    def failed_by(self, error: KeydeckError) -> Check:
        return self.failed(error.message, error.remedy)

    def unknown(self, said: str, remedy: str = "") -> Check:
        return Check(self.area, self.name, CheckOutcome.UNKNOWN, said, remedy)

    def unknown_by(self, error: KeydeckError) -> Check:
        return self.unknown(f"Not known: {error.message}", error.remedy)

    def skipped(self, said: str, remedy: str = "") -> Check:
        return Check(self.area, self.name, CheckOutcome.SKIPPED, said, remedy)

    def by(self, find: Callable[[Topic], Check]) -> Check:
        """Return what `find` finds. An error means that it is not known, and the check says why."""
        try:
            return find(self)
        except KeydeckError as error:
            return self.unknown_by(error)
        except Exception as error:  # noqa: BLE001  # a check that breaks is a result too
            return self.unknown(f"Not known: the check failed ({type_name(error)}).")


def system_clock() -> datetime:
    """Return the time of this machine, aware."""
    return datetime.now(UTC)


def clock_check(
    topic: Topic, whose: str, off_by: float, limits: tuple[float, float], *, consequence: str = ""
) -> Check:
    """Return how far `whose` clock is ahead of ours, `off_by` in seconds; `limits`: warning, failure."""
    distance = abs(off_by)
    direction = "ahead of" if off_by > 0 else "behind"
    if distance < 1.5:
        said = f"This machine and {whose} agree within {distance:.1f} s."
    else:
        said = f"The clock of {whose} is {_span(distance)} {direction} this machine's."
    warning, failure = limits
    if distance <= warning:
        return topic.ok(said)
    told = topic.failed if distance > failure else topic.warning
    return told(f"{said} {consequence}".rstrip(), CLOCK_REMEDY)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    minutes = seconds / 60
    return f"{minutes:,.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"


LIMIT_SECONDS = 15.0
"""How long a whole diagnosis takes when everything hangs."""

_GLANCE = 0.1
"""Seconds between two looks at the clock and at `cancelled`."""


@dataclass(frozen=True, slots=True)
class Area:
    """One heading and what finds its checks. `find` stops once its event is set."""

    title: str
    find: Callable[[Event], Iterable[Check]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", heading(self.title))


def examine(
    areas: Sequence[Area],
    *,
    limit: float = LIMIT_SECONDS,
    cancelled: Event | None = None,
    in_order: bool = False,
) -> Iterator[Check]:
    """Yield the checks of all areas as they are found; those of one area in their order. Never raises.

    With `in_order` an area's checks are held back until the areas before it are through. An area that isn't
    through after `limit` seconds is given up and ends in a check that says so. When `cancelled` is set, or
    the caller stops iterating, nothing more is begun; a call under way ends by its own time limit.
    """
    stop = Event()
    cancelled = cancelled or Event()
    deadline = monotonic() + limit
    shared: SimpleQueue[tuple[Area, Check | None]] = SimpleQueue()
    running = []
    for area in areas:
        queue = SimpleQueue[tuple[Area, Check | None]]() if in_order else shared
        # Daemons: a call that hangs must not keep the process from ending.
        name = f"diagnosis of {area.title}"
        threading.Thread(target=_work, args=(area, stop, queue), name=name, daemon=True).start()
        running.append((area, queue))
    try:
        if in_order:
            for area, queue in running:
                yield from _taken([area], queue, deadline, cancelled)
        else:
            yield from _taken(areas, shared, deadline, cancelled)
    finally:
        stop.set()


def _taken(
    areas: Sequence[Area], queue: SimpleQueue[tuple[Area, Check | None]], deadline: float, cancelled: Event
) -> Iterator[Check]:
    """Yield what comes until all `areas` are through, the time is up or `cancelled` is set."""
    missing = list(areas)
    while missing and not cancelled.is_set():
        try:
            area, check = queue.get(timeout=min(_GLANCE, max(deadline - monotonic(), 0.001)))
        except Empty:
            if monotonic() < deadline:
                continue
            said = "Not everything could be checked in time: something does not answer."
            for late in missing:
                yield Topic(late.title, "time").failed(said, "Look at the last check above this one.")
            return
        if check is None:
            missing.remove(area)
        else:
            yield check


def _work(area: Area, stop: Event, queue: SimpleQueue[tuple[Area, Check | None]]) -> None:
    try:
        for check in area.find(stop):
            queue.put((area, check))
            if stop.is_set():
                break
    except KeydeckError as error:
        queue.put((area, Topic(area.title, "check").failed_by(error)))
    except Exception as error:  # noqa: BLE001  # a diagnosis that breaks is a result too
        said = f"This could not be checked: {type_name(error)}."
        queue.put((area, Topic(area.title, "check").unknown(said)))
    finally:
        queue.put((area, None))
