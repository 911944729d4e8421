"""One way to ask for what blocks: in a worker, with a time limit, cancellable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from textual.dom import DOMNode
from textual.timer import Timer

from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure, attempt

T = TypeVar("T")

LIMIT_SECONDS = 90.0
"""Longer than every time limit of the services, which say better what did not answer."""


class PendingCall(Generic[T]):
    """A call under way. Its answer comes once, or never after `drop`."""

    def __init__(self, then: Callable[[T | Failure], None]) -> None:
        self.cancellation = Cancellation()
        self._then = then
        self._timer: Timer | None = None
        self.waiting = True

    def drop(self) -> None:
        """The answer is no longer needed: cancel the call as far as possible."""
        self.waiting = False
        self._stop_timer()
        self.cancellation.set()

    def cancel(self, trouble: Failure) -> None:
        """Answer with this trouble now, and end the call."""
        if self.waiting:
            self.answer(trouble)
            self.cancellation.set()

    def answer(self, answer: T | Failure) -> None:
        if self.waiting:
            self.waiting = False
            self._stop_timer()
            self._then(answer)

    def limit(self, node: DOMNode, seconds: float) -> None:
        """Answer with trouble if nothing came by then."""
        trouble = Failure(f"No answer within {seconds:.0f} s.", "Try again.")
        self._timer = cast(Any, node).set_timer(seconds, lambda: self.cancel(trouble))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()


class PolledCall(Generic[T]):
    """Makes a call again and again, one at a time; one that takes long is made less often.

    `every` is in seconds; after a call that took long, in trouble too, it rests `factor` times as long.
    `changed` is called with each new answer.
    """

    def __init__(
        self,
        node: DOMNode,
        clock: Callable[[], datetime],
        every: float,
        call: Callable[[Cancellation], T],
        changed: Callable[[], None],
        *,
        group: str,
        factor: float = 10.0,
    ) -> None:
        self._node, self._clock, self._every, self._call = node, clock, every, call
        self._changed, self._group, self._factor = changed, group, factor
        self._asked: PendingCall[T] | None = None
        self._at: datetime | None = None
        self._rest = every
        self.known: T | Failure | None = None
        """The last answer, None before the first."""
        self.good: T | None = None
        """The last answer that was no trouble."""

    def ask_if_due(self) -> None:
        now = self._clock()
        if self._asked is not None and self._asked.waiting:
            return
        if self._at is not None and (now - self._at).total_seconds() < self._rest:
            return
        self._at = now
        self._asked = ask(self._node, self._call, self._keep, group=self._group)

    def drop(self) -> None:
        """Cancel the call that is under way as far as possible."""
        if self._asked is not None:
            self._asked.drop()

    def _keep(self, answer: T | Failure) -> None:
        now = self._clock()
        took = (now - self._at).total_seconds() if self._at is not None else 0.0
        self._at, self._rest = now, max(self._every, took * self._factor)
        if not isinstance(answer, Failure):
            self.good = answer
        if answer != self.known:
            self.known = answer
            self._changed()


def ask(
    node: DOMNode,
    call: Callable[[Cancellation], T],
    then: Callable[[T | Failure], None],
    *,
    group: str = "ask",
    limit: float = LIMIT_SECONDS,
) -> PendingCall[T]:
    """Make a call that blocks and hand its answer, or the trouble that it ended in, to `then`.

    Called from the app's thread, and so is `then`. `limit` is in seconds. An answer that comes after the app
    has ended, after the node was removed, or after the call was dropped, is lost.
    """

    def tell(answer: T | Failure) -> None:
        if _is_there(node):
            then(answer)

    asked: PendingCall[T] = PendingCall(tell)
    app = node.app

    def work() -> None:
        answer = attempt(lambda: call(asked.cancellation), wanted=lambda: asked.waiting and app.is_running)
        if app.is_running:
            app.call_later(asked.answer, answer)

    asked.limit(app, limit)
    app.run_worker(work, thread=True, exit_on_error=False, group=group)
    return asked


def _is_there(node: DOMNode) -> bool:
    """False once a node, or what it is in, has been removed or is being removed."""
    return node.is_attached and not any(getattr(n, "_pruning", False) for n in node.ancestors_with_self)
