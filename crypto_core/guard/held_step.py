"""The step of an incident that this thread works on: it writes nothing once another operator has the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class HeldStep(Protocol):
    def require(self) -> None: ...


_held: ContextVar[HeldStep | None] = ContextVar("held step", default=None)


@contextmanager
def holding(step: HeldStep) -> Iterator[None]:
    """Have changes within, in this thread, require the step."""
    before = _held.set(step)
    try:
        yield
    finally:
        _held.reset(before)


def held_step() -> HeldStep | None:
    """Return this thread's step, for other threads to require."""
    return _held.get()


def require_held(step: HeldStep | None = None) -> None:
    """Pass unless this thread, or what handed it `step`, works on a step that is another operator's by now.

    Called right before each write. Raises StepLostError, DatabaseError.
    """
    held = step or _held.get()
    if held is not None:
        held.require()
