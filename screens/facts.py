"""What all screens show and ask for together: where the console works, the status, the keys.

The last answer stays while a new one is asked for, and when there is none. Asking never blocks: the call runs
in a worker of the app, and who subscribed hears of every change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any, Generic, TypeVar

from textual.app import App
from textual.dom import DOMNode
from textual.signal import Signal

from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from screens.ages import Clock
from screens.blocking import Trouble, attempt
from screens.key_words import KeyWords
from screens.services import Services, Surroundings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """One answer: its value, when it came, the last attempt's trouble, whether it's being asked for."""

    value: T | None = None
    at: datetime | None = None
    trouble: Trouble | None = None
    asking: bool = False


class Facts:
    """The shared answers. Everything here is called from the app's own thread."""

    def __init__(self, app: App[Any], services: Services, clock: Clock) -> None:
        self.services = services
        self.clock = clock
        self.surroundings: Fact[Surroundings] = Fact()
        self.status: Fact[Status] = Fact()
        self.keys: Fact[tuple[KeyState, ...]] = Fact()
        self._app = app
        self._changed: Signal[None] = Signal(app, "facts")
        self._leaving = Event()

    @property
    def key_words(self) -> KeyWords:
        """Names for the keys that are known by now."""
        return KeyWords(self.keys.value or ())

    def subscribe(self, node: DOMNode, callback: Callable[[None], None]) -> None:
        """Call back, with None, after each change for as long as the node is there."""
        self._changed.subscribe(node, callback)

    def ask_surroundings(self) -> None:
        """Ask where the console works, unless that is being asked already."""
        self._ask("surroundings", self.services.surroundings)

    def ask_status(self) -> None:
        """Ask for the census and the keys behind it, unless that is being asked already."""
        self._ask("status", partial(self.services.status.take, cancelled=self._leaving))

    def ask_keys(self) -> None:
        """Ask for the list of keys, unless that is being asked already."""
        self._ask("keys", self.services.keys.list)

    @property
    def leaving(self) -> bool:
        """True once the operator has left."""
        return self._leaving.is_set()

    def leave(self) -> None:
        """Tell the calls that are under way that nobody waits for them any more."""
        self._leaving.set()

    def _ask(self, name: str, call: Callable[[], object]) -> None:
        fact: Fact[Any] = getattr(self, name)
        if fact.asking:
            return
        self._set(name, replace(fact, asking=True))

        def work() -> None:
            answer = attempt(call)
            self._app.call_later(self._learn, name, answer)

        self._app.run_worker(work, thread=True, exclusive=True, exit_on_error=False, group=f"facts-{name}")

    def _learn(self, name: str, answer: object) -> None:
        fact: Fact[Any] = getattr(self, name)
        if isinstance(answer, Trouble):
            self._set(name, replace(fact, trouble=answer, asking=False))
        else:
            self._set(name, Fact(value=answer, at=self.clock()))

    def _set(self, name: str, fact: Fact[Any]) -> None:
        setattr(self, name, fact)
        self._changed.publish(None)
