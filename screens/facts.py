"""What all screens show and ask for together: where the console works, the status, the keys.

The last answer stays while a new one is asked for, and when there is none. Asking never blocks: the call runs
in a worker of the app, and who subscribed hears of every change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from textual.app import App
from textual.dom import DOMNode
from textual.signal import Signal

from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.key_words import KeyWords
from screens.memory import DayCount, Memory
from screens.moments import Clock, ago, span
from screens.services import Services, Surroundings
from screens.worker_calls import LIMIT_SECONDS, PendingCall, ask

if TYPE_CHECKING:
    from crypto_core.database.tokens.census import CensusProgress
    from crypto_core.keys.changes.blocks import Blocks
    from crypto_core.keys.posture.examination import Posture
    from crypto_core.keys.state import KeyState
    from crypto_core.keys.status import Status
    from crypto_core.log.logbook import LogBook
    from crypto_core.trail.rules.examination import Examined

T = TypeVar("T")

COUNTING_SECONDS = 900.0
"""How long tokens may be counted: each statement of it has a time limit of its own."""
AGES = timedelta(seconds=30)
"""How long what is painted may stand while nothing changes: it tells ages."""
MOMENT_SECONDS = 0.1
"""How old the time may be that ages in lists are counted from."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """One answer: its value, when it came, the last attempt's trouble, whether it's being asked for."""

    value: T | None = None
    at: datetime | None = None
    trouble: Failure | None = None
    asking: bool = False
    took: float = 0.0
    tried: datetime | None = None
    """When it last failed to load; None once it has loaded again."""


class ScreenFacts:
    """The shared answers. Everything here is called from the app's own thread."""

    def __init__(
        self,
        app: App[Any],
        services: Services,
        clock: Clock,
        *,
        memory: Memory | None = None,
        intervals: Mapping[str, float] | None = None,
        log: LogBook | None = None,
    ) -> None:
        """`intervals` are the seconds between refreshes by screen, as far as settings say."""
        self.services = services
        self.clock = clock
        self.memory = memory or Memory()
        self.intervals = intervals or {}
        self.log = log
        self.timer: Callable[[], float] = monotonic
        """Seconds on a clock that only goes forward: what an answer took is measured by it."""
        self.surroundings: Loaded[Surroundings] = Loaded()
        self.status: Loaded[Status] = Loaded()
        self.counting: CensusProgress | None = None
        """How far the tokens have been counted that are being counted, as far as that is known."""
        self.keys: Loaded[tuple[KeyState, ...]] = Loaded()
        self.posture: Loaded[Posture] = Loaded()
        self.trail: Loaded[Examined] = Loaded()
        """What CloudTrail's events show, and which findings are suppressed."""
        self.blocks: Loaded[Blocks] = Loaded()
        self.key_words = KeyWords()
        """Names for the keys that are known by now."""
        self.epoch = 0
        """Counts the changes of context: facts from an earlier one are about another place."""
        self._moment: tuple[float, datetime] | None = None
        self._told_at = self.clock()
        self._app = app
        self._changed: Signal[None] = Signal(app, "facts")
        self._asked: dict[str, PendingCall[Any]] = {}
        self._left = False

    @property
    def read_only(self) -> bool:
        place = self.surroundings.value
        return self.services.read_only or (place is not None and place.read_only)

    @property
    def moment(self) -> datetime:
        """The time for the ages in lists, at most a tenth of a second old: a list asks for every row."""
        read = monotonic()
        if self._moment is None or read - self._moment[0] > MOMENT_SECONDS:
            self._moment = read, self.clock()
        return self._moment[1]

    def age(self, at: datetime) -> str:
        return span(self.moment - at)

    def ago(self, at: datetime) -> str:
        """Return how long ago a moment was, or in how long it is to come."""
        return ago(at, self.moment)

    def key(self, key_arn: str, key_material_id: str | None) -> str:
        """Return the name of a key with the number of its material, as far as KMS listed it."""
        return self.key_words.short_with_generation(key_arn, key_material_id)

    def material(self, key_material_id: str) -> str:
        return key_material_id

    def subscribe(self, node: DOMNode, callback: Callable[[None], None]) -> None:
        """Call back, with None, after each change for as long as the node is there."""
        self._changed.subscribe(node, callback)

    def use(self, services: Services) -> None:
        """Switch to another context: forget all facts and load them anew there."""
        self._drop_all()
        self.services = services
        self.epoch += 1
        self.surroundings, self.status, self.keys, self.posture = Loaded(), Loaded(), Loaded(), Loaded()
        self.trail, self.blocks = Loaded(), Loaded()
        self.key_words = KeyWords()
        self._tell()
        self.ask_all()

    def ask_all(self) -> None:
        """Ask for what every screen shows, as far as it isn't being asked for."""
        self.ask_surroundings()
        self.ask_keys()
        self.ask_status()

    def ask_surroundings(self) -> None:
        self._ask("surroundings", lambda _: self.services.surroundings())

    def ask_status(self) -> None:
        """Ask for the census and the keys behind it, unless that is being asked already."""
        if not self.status.asking:
            self.counting = None
        take = self.services.status.take_census
        self._ask(
            "status",
            lambda cancelled: take(cancelled=cancelled, progress=self._keep_progress),
            limit=COUNTING_SECONDS,
        )

    def _keep_progress(self, progress: CensusProgress) -> None:
        """Called by the threads that count: who shows it looks now and then, so it can't flood the screen."""
        self.counting = progress

    def ask_keys(self) -> None:
        self._ask("keys", lambda _: self.services.keys.list())

    def ask_posture(self) -> None:
        self._ask("posture", lambda cancelled: self.services.posture.examine_keys(cancelled=cancelled))

    def ask_trail(self) -> None:
        self._ask("trail", lambda cancelled: self.services.trail_rules.examine_events(cancelled=cancelled))

    def ask_blocks(self) -> None:
        """Ask who is blocked on the listed keys, unless that is being asked already or none is listed yet."""
        keys = self.known_keys
        if keys:
            read = self.services.key_changes.read_blocks
            self._ask("blocks", lambda cancelled: read(keys, cancelled=cancelled))

    @property
    def known_keys(self) -> tuple[str, ...]:
        """The ARNs of the listed keys that are not AWS's own; none while they are not known."""
        return tuple(key.key_arn for key in self.keys.value or () if key.manager != "AWS")

    @property
    def leaving(self) -> bool:
        return self._left

    def leave(self) -> None:
        """Cancel the calls in flight; their answers are no longer needed."""
        self._left = True
        self._drop_all()

    def _drop_all(self) -> None:
        for asked in self._asked.values():
            asked.drop()
        self._asked.clear()

    def _ask(
        self, name: str, call: Callable[[Cancellation], object], *, limit: float = LIMIT_SECONDS
    ) -> None:
        fact: Loaded[Any] = getattr(self, name)
        if fact.asking or self._left:
            return
        self._set(name, replace(fact, asking=True))
        began = self.timer()
        self._asked[name] = ask(
            self._app,
            call,
            lambda answer: self._learn(name, answer, self.timer() - began),
            group=f"facts-{name}",
            limit=limit,
        )

    def _learn(self, name: str, answer: object, took: float) -> None:
        fact: Loaded[Any] = getattr(self, name)
        if isinstance(answer, Failure):
            self._set(name, replace(fact, trouble=answer, asking=False, tried=self.clock()))
        else:
            self._set(name, Loaded(value=answer, at=self.clock(), took=took))
            if name in ("status", "surroundings"):
                self._keep_count()

    def _keep_count(self) -> None:
        """Remember how many tokens are protected today; it takes a count and the name of its database."""
        status, at = self.status.value, self.status.at
        if status is not None and at is not None and status.tokens and self.counted_place:
            count = DayCount(at.date(), status.tokens, status.protected)
            self.memory.remember_day_count(self.counted_place, count)

    @property
    def counted_place(self) -> str:
        """The name under which the counts of this database are remembered, "" while it isn't known."""
        place = self.surroundings.value
        return place.database if place is not None else ""

    def _set(self, name: str, fact: Loaded[Any]) -> None:
        before: Loaded[Any] = getattr(self, name)
        same = name == "surroundings" and (fact.value, fact.trouble) == (before.value, before.trouble)
        setattr(self, name, fact)
        if name == "keys":
            self.key_words = KeyWords(self.keys.value or ())
        # Where the console works is asked all the time, and when it was asked is nowhere shown.
        if not same or not timedelta(0) <= self.clock() - self._told_at < AGES:
            self._tell()

    def _tell(self) -> None:
        self._told_at = self.clock()
        self._changed.publish(None)
