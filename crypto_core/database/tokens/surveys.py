"""How many tokens there are of each value in each column, remembered while one list is paged through.

Nobody but that list sees it, and not for long: what is counted again at every beginning can't hide a row that
was there when the operator began to look. A row that changes meanwhile may be missed or met twice, as in any
list that is read page by page.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock
from time import monotonic
from typing import ClassVar

from crypto_core.cancelling import stop_if
from crypto_core.database.tokens.orders import Value
from crypto_core.lists.paging import Query

LASTS_SECONDS = 60.0
"""After so long a survey is taken anew."""
LISTS = 4
"""Lists that are remembered at a time."""

Segment = tuple[Value, int]
"""A value and the number of a column: the tokens of that column which have that value."""


class Survey:
    """The counts of one list. Ids are kept of segments with few tokens: at most `IDS` of them."""

    SPARSE: ClassVar[int] = 10_000
    """Tokens of one segment whose ids are remembered."""
    VALUES: ClassVar[int] = 200
    """Values of a column up to which an order is walked value by value."""
    IDS: ClassVar[int] = 40_000

    def __init__(self) -> None:
        self.counts: Mapping[Segment, int] = {}
        self.known = False
        self.too_many = False
        self.begun = monotonic()
        self._lock = Lock()
        self._found: dict[Segment, list[str | int]] = {}
        self._ids: OrderedDict[Segment, list[str | int]] = OrderedDict()

    @contextmanager
    def taking(self, cancelled: Event | None) -> Iterator[bool]:
        """Give whether the survey has still to be taken. Waits while another thread is taking it.

        Raises InterruptedRunError.
        """
        while not self._lock.acquire(timeout=0.05):
            stop_if(cancelled)
        try:
            yield not self.known
        finally:
            self._lock.release()

    def learn(
        self, counts: Mapping[Segment, int], found: Mapping[Segment, list[str | int]], *, too_many: bool
    ) -> None:
        """Keep what was counted, and the ids of segments that were `found` to have few, in any order."""
        self.counts, self.too_many = counts, too_many
        room = self.IDS
        for segment, ids in sorted(found.items(), key=lambda item: len(item[1])):
            room -= len(ids)
            if room >= 0:
                self._found[segment] = ids
        self.known = True

    def is_sparse(self, segment: Segment) -> bool:
        """True if a segment has so few tokens that their ids are remembered."""
        return self.known and self.counts.get(segment, 0) <= self.SPARSE

    def found(self, segment: Segment) -> list[str | int] | None:
        """The ids that the survey came upon, in no order; None if it didn't look, or they're in order now."""
        return self._found.get(segment)

    def ids(self, segment: Segment) -> list[str | int] | None:
        """The remembered ids, in the database's order; None if they are not."""
        return self._ids.get(segment)

    def remember(self, segment: Segment, ids: list[str | int]) -> None:
        """Remember ids in their order; others are forgotten where they would be too many."""
        self._found.pop(segment, None)
        self._ids[segment] = ids
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > self.IDS:
            self._ids.popitem(last=False)


class Surveys:
    """The surveys of the lists that are paged through now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._surveys: OrderedDict[int, Survey] = OrderedDict()
        self._uncounted: tuple[Query, Survey] | None = None

    def begin(self, query: Query) -> tuple[int, Survey]:
        """Return a new list's number and its survey, of which nothing is known yet."""
        with self._lock:
            number, survey = next(self._numbers), Survey()
            self._surveys[number] = survey
            self._uncounted = (query, survey)
            while len(self._surveys) > LISTS:
                self._surveys.popitem(last=False)
            return number, survey

    def of(self, number: int) -> Survey:
        """Return a list's survey; a new one where it is too old or forgotten."""
        with self._lock:
            survey = self._surveys.get(number)
            if survey is None or monotonic() - survey.begun > LASTS_SECONDS:
                survey = self._surveys[number] = Survey()
            self._surveys.move_to_end(number)
            return survey

    def uncounted(self, query: Query) -> Survey | None:
        """Return the survey of the list that was begun last, once, if that is a list of this query."""
        with self._lock:
            if self._uncounted is None or self._uncounted[0] != query:
                return None
            survey, self._uncounted = self._uncounted[1], None
            return survey if monotonic() - survey.begun <= LASTS_SECONDS else None
