"""Calls of a source: AWS's answers page by page, and work in several threads that end with the process.

Memory is bounded, and whoever cancels never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import KeydeckError, KmsAccessDeniedError


def pages_of(
    ask: Callable[..., dict[str, Any]], cancelled: Event | None, **parameters: Any
) -> Iterator[dict[str, Any]]:
    """Yield the pages of an answer, each of which tells where the next begins. Raises what `ask` raises."""
    token: dict[str, str] = {}
    while True:
        stop_if(cancelled)
        answer = ask(**parameters, **token)
        yield answer
        if not isinstance(answer.get("NextToken"), str):
            return
        token = {"NextToken": answer["NextToken"]}


def why(error: KeydeckError) -> str:
    """Return why something is missing: the permission, or AWS's message."""
    if isinstance(error, KmsAccessDeniedError):
        return f"{error.action} is not allowed."
    return error.message


Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_SECONDS = 0.1


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, cancelled: Event | None = None
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with what `work` made of it, in the order in which they are done.

    At most twice as many items as threads are under way or wait to be consumed. Raises what `work` raises,
    and InterruptedRunError within moments of `cancelled`; the other threads then end after what they do.
    """
    todo: Queue[Item | None] = Queue()
    done: Queue[tuple[Item, Future[Result]]] = Queue()
    over = Event()

    def run() -> None:
        while not over.is_set():
            item = todo.get()
            if item is None or over.is_set():
                return
            future: Future[Result] = Future()
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001  # raised again where the results are consumed
                future.set_exception(error)
            done.put((item, future))

    source = iter(items)
    running: list[Thread] = []
    pending, more = 0, True
    try:
        while True:
            while more and pending < 2 * threads:
                stop_if(cancelled)
                item = next(source, None)
                if item is None:
                    more = False
                    break
                todo.put(item)
                pending += 1
                if len(running) < min(threads, pending):
                    running.append(Thread(target=run, daemon=True, name="keydeck-pull"))
                    running[-1].start()
            if not pending:
                return
            stop_if(cancelled)
            try:
                item, future = done.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            pending -= 1
            yield item, future.result()
    finally:
        over.set()
        for _ in running:
            todo.put(None)
