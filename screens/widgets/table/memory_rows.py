"""Rows that are in memory whole, filtered and sorted by the fields of their sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from crypto_core.lists.filter_language import Field
from crypto_core.lists.paging import PagedSource
from crypto_core.lists.sheet import MemorySource, Scalar, Sheet
from screens.facts import ScreenFacts
from screens.widgets.table.table_list import Listing

Row = TypeVar("Row")


def memory_listing(
    name: str,
    sheet: Sheet[Row, ScreenFacts],
    rows: Callable[[ScreenFacts], Sequence[Row]],
    *,
    identity: Callable[[Row], Scalar],
    **others: Any,
) -> Listing[Row]:
    """Return the listing of the rows as they are whenever they are asked for. `others` are Listing's."""
    found = {field.name: field for field in sheet.declared if field.find or field.free}
    free = [name for name, field in found.items() if field.free]

    def source(facts: ScreenFacts) -> PagedSource[Row]:
        return MemorySource(
            lambda: rows(facts),
            fields=fields,
            read=lambda row, name: found[name].found(row, facts),
            identity=identity,
            free=free,
            sorts={
                field.name: lambda row, field=field: field.sorted_by(row, facts)  # type: ignore[misc]
                for field in sheet.declared
                if field.order
            },
        )

    fields = {name: Field(name, field.kind, field.values) for name, field in found.items()}
    fields |= {field.also: fields[name] for name, field in found.items() if field.also}
    return Listing(name, sheet, source, fields, identity=identity, **others)
