"""What the first screen will ask for, asked while the screens are still being loaded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from crypto_core.database.tokens.inventory import InventoryRow, SortKey
from crypto_core.keys.status import Status
from crypto_core.lists.paging import Cursor, Page, Query
from crypto_core.values.cancellation import stop_if
from screens.blocking_calls import DaemonThreads
from screens.memory import Memory
from screens.services import Services

if TYPE_CHECKING:
    from crypto_core.database.tokens.census import CensusProgress
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.keys.service import StatusService

T = TypeVar("T")


def foreseen(services: Services, screen: str, memory: Memory) -> Services:
    """Return the services, the first answer that `screen` needs being asked for already.

    It's given out once, for the very question that was foreseen; every other question is asked as ever.
    """
    if screen == "connections":
        order = memory.order(screen)
        query = Query(sort=order.sort or SortKey.STATE.value, descending=order.descending)
        return replace(services, inventory=cast("Inventory", _Inventory(services.inventory, query)))
    if screen == "status":
        return replace(services, status=cast("StatusService", _Status(services.status)))
    return services


class _Ahead(Generic[T]):
    """The answer to one call, made in a thread that nobody waits for at exit."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._future = DaemonThreads().submit(call)
        self.fresh = True
        """True until the answer was given out."""

    def take_census(self, cancelled: Event | None) -> T:
        """Return the answer when it's there. Raises what the call raised, or InterruptedRunError."""
        self.fresh = False
        while not wait([self._future], 0.05).done:
            stop_if(cancelled)
        return self._future.result()


class _Inventory:
    """An inventory whose first page is on its way."""

    def __init__(self, source: Inventory, query: Query) -> None:
        self._source = source
        self._query = query
        self._ahead = _Ahead(lambda: source.page(query))

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[InventoryRow]:
        foreseen_one = query == self._query and start is None and not backwards and limit == 200
        if foreseen_one and self._ahead.fresh:
            return self._ahead.take_census(cancelled)
        return self._source.page(
            query, start, backwards=backwards, inclusive=inclusive, limit=limit, cancelled=cancelled
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class _Status:
    def __init__(self, source: StatusService) -> None:
        self._source = source
        self._seen: CensusProgress | None = None
        self._told: Callable[[CensusProgress], None] | None = None
        self._ahead = _Ahead(lambda: source.take_census(progress=self._tell))

    def take_census(
        self, *, cancelled: Event | None = None, progress: Callable[[CensusProgress], None] | None = None
    ) -> Status:
        if not self._ahead.fresh:
            return self._source.take_census(cancelled=cancelled, progress=progress)
        if progress is not None and self._seen is not None:
            progress(self._seen)
        self._told = progress
        return self._ahead.take_census(cancelled)

    def _tell(self, progress: CensusProgress) -> None:
        self._seen = progress
        if self._told is not None:
            self._told(progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
