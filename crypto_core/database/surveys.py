"""How many tokens there are of each value in each column, remembered while one list is paged through.

Nobody but that list sees it, and not for long: what is counted again at every beginning can't hide a row that
was there when the operator began to look. A row that changes meanwhile may be missed or met twice, as in any
list that is read page by page.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Any, ClassVar

from sqlalchemy import Connection, func, literal_column, select

from crypto_core.database.inventory_expressions import Place
from crypto_core.database.orders import Order, Value

LASTS_SECONDS = 60.0
"""After so long a survey is taken anew."""
LISTS = 16
"""Lists that are remembered at a time."""


class Survey:
    """The counts of one list. Ids are kept of values that few tokens have: at most `IDS` of them."""

    SPARSE: ClassVar[int] = 4_000
    """Tokens of one value in one column whose ids are remembered."""
    VALUES: ClassVar[int] = 200
    """Values of a column up to which an order is walked value by value."""
    IDS: ClassVar[int] = 20_000

    def __init__(self) -> None:
        self.counts: dict[tuple[Value, int], int] = {}
        self.known = False
        self.too_many = False
        self.begun = monotonic()
        self._ids: OrderedDict[tuple[Value, int], list[str | int]] = OrderedDict()

    def take(
        self,
        connection: Connection,
        place: Place,
        order: Order,
        known: Mapping[Value, Any] | None,
        tokens: Any,
        passing: Any,
    ) -> None:
        """Count the tokens of one column by value; `known` are those that there may be, with conditions."""
        if known is not None:
            # Yes or no, so that PostgreSQL expects few groups and counts in parallel.
            asked = [value for value in known if value != order.otherwise]
            told = [known[value].label(f"is_{n}") for n, value in enumerate(asked)]
            statement = select(*told, func.count()).select_from(tokens).where(passing)
            statement = statement.group_by(*(literal_column(t.name) for t in told))
            counts: dict[tuple[Value, int], int] = {}
            for *holds, number in connection.execute(statement):
                value = next((v for v, yes in zip(asked, holds, strict=True) if yes), order.otherwise)
                if value is not None:
                    counts[value, place.number] = counts.get((value, place.number), 0) + number
            self.counts |= counts
            return
        sorted_by = order.value(place).label("sorted_by")
        counted = select(sorted_by, func.count()).select_from(tokens).where(passing)
        counted = counted.group_by(literal_column(sorted_by.name)).limit(self.VALUES + 1)
        rows = connection.execute(counted).all()
        self.too_many = self.too_many or len(rows) > self.VALUES
        self.counts |= {(row[0], place.number): row[1] for row in rows}

    def is_sparse(self, value: Value, number: int) -> bool:
        """True if so few tokens have the value that their ids are remembered."""
        return self.known and self.counts.get((value, number), 0) <= self.SPARSE

    def ids(self, value: Value, number: int) -> list[str | int] | None:
        """The remembered ids, in the database's order; None if they are not."""
        return self._ids.get((value, number))

    def remember(self, value: Value, number: int, ids: list[str | int]) -> None:
        """Remember ids; others are forgotten where they would be too many."""
        self._ids[value, number] = ids
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > self.IDS:
            self._ids.popitem(last=False)


class Surveys:
    """The surveys of the lists that are paged through now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._surveys: OrderedDict[int, Survey] = OrderedDict()

    def begin(self) -> tuple[int, Survey]:
        """Return a new list's number and its survey, of which nothing is known yet."""
        with self._lock:
            number = next(self._numbers)
            self._surveys[number] = Survey()
            while len(self._surveys) > LISTS:
                self._surveys.popitem(last=False)
            return number, self._surveys[number]

    def of(self, number: int) -> Survey:
        """Return a list's survey; a new one where it is too old or forgotten."""
        with self._lock:
            survey = self._surveys.get(number)
            if survey is None or monotonic() - survey.begun > LASTS_SECONDS:
                survey = self._surveys[number] = Survey()
            self._surveys.move_to_end(number)
            return survey
