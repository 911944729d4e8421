"""The step of an incident that this thread works on, and its limits.

Within an action of a runbook only the operations that it names may be performed, and nothing is written once
another operator has the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError

if TYPE_CHECKING:
    from crypto_core.guard.operations import Operation

_named: ContextVar[frozenset[str] | None] = ContextVar("named operations", default=None)


@contextmanager
def performing(operations: Iterable[Operation]) -> Iterator[None]:
    """Let only these operations pass the guard within, in this thread."""
    before = _named.set(frozenset(operation.journaled_as for operation in operations))
    try:
        yield
    finally:
        _named.reset(before)


def require_named(action: str) -> None:
    """Pass if an operation, as the journal calls it, may be performed here. Raises RefusedError."""
    named = _named.get()
    if named is not None and action not in named:
        raise RefusedError(
            f"This action does not perform {clean(action, 100)}: it performs "
            f"{', '.join(sorted(named)) or 'nothing'}."
        )


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
