"""Rows that are in memory whole, filtered and sorted by the fields of their sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from crypto_core.lists.filter_language import Field
from crypto_core.lists.in_memory import MemorySource, Scalar
from crypto_core.lists.paging import PagedSource
from crypto_core.lists.sheet import Sheet
from screens.facts import Facts

Row = TypeVar("Row")


class MemoryRows(Generic[Row]):
    """Called with the facts, it gives the source of the rows as they are whenever they are asked for.

    `identity` tells a row from every other, as MemorySource has it.
    """

    def __init__(
        self,
        sheet: Sheet[Row, Facts],
        rows: Callable[[Facts], Sequence[Row]],
        identity: Callable[[Row], Scalar],
    ) -> None:
        self._rows = rows
        self._identity = identity
        self._found = {field.name: field for field in sheet.declared if field.find or field.free}
        self._sorted = [field for field in sheet.declared if field.order]
        self.fields = {name: Field(name, one.kind, one.values) for name, one in self._found.items()}

    def __call__(self, facts: Facts) -> PagedSource[Row]:
        """Return the source for these facts."""
        return MemorySource(
            lambda: self._rows(facts),
            fields=self.fields,
            read=lambda row, name: self._found[name].found(row, facts),
            identity=self._identity,
            free=[name for name, field in self._found.items() if field.free],
            sorts={
                field.name: lambda row, field=field: field.sorted_by(row, facts)  # type: ignore[misc]
                for field in self._sorted
            },
        )
