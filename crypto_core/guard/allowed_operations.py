"""Which operations may be performed: any, but within an action of a runbook only those that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from crypto_core.errors import RefusedError
from crypto_core.guard.operations import Operation
from crypto_core.text.clean_text import clean

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
