"""Runs the areas of a diagnosis side by side and gives each check as it comes, in bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic

from crypto_core.diagnosis.check import Check, Topic, heading
from crypto_core.errors import KeydeckError
from crypto_core.log.tracebacks import type_name

LIMIT_SECONDS = 15.0
"""How long a whole diagnosis takes when everything hangs."""

_GLANCE = 0.1
"""Seconds between two looks at the clock and at `cancelled`."""


@dataclass(frozen=True, slots=True)
class Area:
    """One heading and what finds its checks. `find` is told to stop by the event that it is given."""

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
    areas: Sequence[Area],
    queue: SimpleQueue[tuple[Area, Check | None]],
    deadline: float,
    cancelled: Event,
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
