"""Calls that block, kept away from the screen: daemon threads to make them in, and trouble as text.

Python waits for the threads of its default executor, at the end of the event loop and again at exit. A call
that hangs would hold the process of an operator who has left, so these threads are daemons: nobody waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from crypto_core.log.tracebacks import chain, stack_lines, type_name
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import KeydeckError

T = TypeVar("T")
P = ParamSpec("P")

_log = logging.getLogger(__name__)


class DaemonThreads(ThreadPoolExecutor):
    """An executor with a daemon thread for each call, so a hung one blocks neither others nor the exit."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return the future of `fn(*args, **kwargs)`, already running in a thread of its own."""
        future: Future[T] = Future()
        Thread(target=_run, args=(future, fn, args, kwargs), name="keydeck-call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Return at once: calls under way are left to themselves."""
        super().shutdown(wait=False)


def _run(future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits for it
        future.set_exception(error)
    else:
        future.set_result(result)


@dataclass(frozen=True, slots=True)
@cleans(message=2_000, remedy=2_000, field=60)
class Failure:
    """Why a call failed, in the operator's words: what happened, and what to do."""

    message: str
    remedy: str = ""
    position: int | None = None
    """Where in a filter expression the offending character stands, counted from 0."""
    field: str = ""
    """The name of the field of a form that it is about, "" for none."""

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


def attempt(call: Callable[[], T], *, wanted: Callable[[], bool] = lambda: True) -> T | Failure:
    """Return what `call` returns, or the trouble that it ended in. Meant for a worker's thread.

    An error that isn't Keydeck's own is told by its type, and logged with its stack: nobody vouches for its
    text, which may quote a row. What fails while nobody waits for it any more (not `wanted`), as calls do
    while the console ends, isn't logged.
    """
    try:
        return call()
    except KeydeckError as error:
        if wanted():
            _log.info("A call was refused or failed: %s", error)
        return Failure(
            error.message, error.remedy, getattr(error, "position", None), getattr(error, "field", "")
        )
    except Exception as error:  # noqa: BLE001 - told on screen and in the log, whatever it is
        if not wanted():
            return Failure(f"Unexpected: {type_name(error)}.")
        stacks = [line for e in chain(error) for line in (type_name(e), *stack_lines(e))]
        _log.error("A call failed unexpectedly: %s", "\n".join(stacks))
        return Failure(f"Unexpected: {type_name(error)}.", "The log has its stack.")
