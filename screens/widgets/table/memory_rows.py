"""Rows that are in memory whole: each field that can be filtered by is declared once, with what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from crypto_core.lists.filter_language import Field, Value
from crypto_core.lists.in_memory import MemorySource, Scalar
from crypto_core.lists.paging import PagedSource
from screens.facts import Facts

Row = TypeVar("Row")


class MemoryRows(Generic[Row]):
    """Called with the facts, it gives the source of the rows as they are whenever they are asked for.

    `identity`, `sorts` and `free` are MemorySource's; fields and orders may look at the facts too.
    """

    def __init__(
        self,
        rows: Callable[[Facts], Sequence[Row]],
        fields: Mapping[Field, Callable[[Row, Facts], Value]],
        *,
        identity: Callable[[Row], Scalar],
        sorts: Mapping[str, Callable[[Row, Facts], Scalar | None]],
        free: Iterable[str],
    ) -> None:
        self.fields = {field.name: field for field in fields}
        self._rows = rows
        self._reads = {field.name: read for field, read in fields.items()}
        self._identity = identity
        self._sorts = sorts
        self._free = tuple(free)

    def __call__(self, facts: Facts) -> PagedSource[Row]:
        """Return the source for these facts."""
        return MemorySource(
            lambda: self._rows(facts),
            fields=self.fields,
            read=lambda row, name: self._reads[name](row, facts),
            identity=self._identity,
            free=self._free,
            sorts={
                name: lambda row, order=order: order(row, facts)  # type: ignore[misc]
                for name, order in self._sorts.items()
            },
        )
