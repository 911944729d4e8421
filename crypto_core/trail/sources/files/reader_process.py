"""A process that reads small files for an import: paths in, prepared events out.

    python -P -m crypto_core.trail.sources.files.reader_process

It ends when its standard input does, so also with whoever started it, and never by Ctrl-C: that is the
import's to decide. It needs neither the store nor SQLAlchemy, which take long to load.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import Prepared, prepare
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.one_file import FileReader, OversizeError

READY = "ready"

LEFT = None
"""Stands for a file that is better read where its events can be stored meanwhile: it holds too much."""

EVENTS, BYTES = 2_000, 16 * 1024 * 1024
_MOST_BYTES = 8 * 1024 * 1024
_MOST_EVENTS = 50_000

Part = Prepared | SeenFile | str | None
"""Of an answer: events; or what became of the next file, whose events all came before: the file if all of it
was read, why it was not, or LEFT."""


def answer(paths: Sequence[FileName], largest: int) -> Iterator[Part]:
    """Read files (documents of `largest` unpacked bytes at most); yield each one's events, then its end."""
    events: list[TrailEvent] = []
    read: list[SeenFile | str] = []
    size = total = 0
    for path in paths:
        one = None if total > _MOST_EVENTS else _read(path, largest)
        if one is not None:
            of_file, became = one
            events += of_file
            read.append(became)
            total += len(of_file)
            size += sum(len(event.raw) for event in of_file)
        if one is None or len(events) >= EVENTS or size >= BYTES:
            yield from _batches(events)
            yield from read
            events, read, size = [], [], 0
        if one is None:
            yield LEFT
    yield from _batches(events)
    yield from read


def _read(path: FileName, largest: int) -> tuple[list[TrailEvent], SeenFile | str] | None:
    events: list[TrailEvent] = []

    def count() -> None:
        if len(events) > _MOST_EVENTS:
            raise OversizeError

    try:
        became = FileReader(events.append, largest, _MOST_BYTES, tell=count).read_file(path)
    except Exception:  # noqa: BLE001  # whatever it is, it happens again where it can be told
        return None
    return events, became


def _batches(events: Sequence[TrailEvent]) -> Iterator[Prepared]:
    some: list[TrailEvent] = []
    size = 0
    for event in events:
        some.append(event)
        size += len(event.raw)
        if len(some) >= EVENTS or size >= BYTES:
            yield prepare(some)
            some, size = [], 0
    if some:
        yield prepare(some)


def send(pipe: IO[bytes], content: object) -> None:
    """Send an object to the process at the other end, which reads it with pickle.load. Raises OSError."""
    pipe.write(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))
    pipe.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    # What a library prints must not come between answers.
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    gc.freeze()
    gc.disable()
    with suppress(OSError, EOFError):
        send(answers, READY)
        while True:
            send(answers, list(answer(*pickle.load(questions))))  # noqa: S301  # of who started this one
            gc.collect()


if __name__ == "__main__":
    main()
