"""Sections of other packages: functions that say what stands in one; they write no page themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.section import Named, ReportSection, Signed, Sources
from crypto_core.reports.cells import Cell, ShownSection, facts, table
from crypto_core.values.clean_text import clean

_log = logging.getLogger(__name__)

MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class OwnTable:
    """Rows of texts under headers."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class OwnSection:
    """What a package adds to a report: named values and tables. Texts of any kind: they are masked."""

    title: str
    facts: tuple[Named, ...] = ()
    tables: tuple[OwnTable, ...] = ()


MakesSection = Callable[[IncidentView], OwnSection | None]
"""Returns the section of an incident, None for one that it has nothing to say of."""

_used: dict[str, MakesSection] = {}


def use_sections(makers: Mapping[str, MakesSection]) -> None:
    """Have these packages' sections in every report, by the packages' names, and no others."""
    _used.clear()
    _used.update(makers)


def are_used() -> bool:
    return bool(_used)


@dataclass(frozen=True, slots=True)
class OwnSections(ReportSection):
    """The sections of other packages, in the order of their names; one that failed says so."""

    PLACE: ClassVar = 160
    own_sections: tuple[OwnSection, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        made = (_made(name, _used[name], sources.view) for name in sorted(_used))
        return cls(tuple(section for section in made if section is not None))

    def show(self, signed: Signed) -> ShownSection:
        named = ((f"{one.title}: {fact.name}", fact.value) for one in self.own_sections for fact in one.facts)
        tables = (
            table(f"{one.title}: {each.caption}", "|".join(_whole(each.headers)), map(_cells, each.rows))
            for one in self.own_sections
            for each in one.tables
        )
        return ShownSection("own", "Of your own", facts=facts(*named), tables=tuple(tables))


def _cells(row: tuple[str, ...]) -> tuple[Cell | str, ...]:
    return tuple(map(Cell, row))


def _whole(headers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(header.replace("|", "/") for header in headers)


def _made(name: str, make: MakesSection, view: IncidentView) -> OwnSection | None:
    try:
        made = make(view)
        return None if made is None else _checked(made)
    except Exception as error:  # noqa: BLE001  # whatever a foreign function raises, there is a report
        _log.exception("The report section of package %s failed.", name)
        missing = f"it failed: {type(error).__name__}"
        return OwnSection(clean(f"Section of {name}"), (Named("Missing", missing),))


def _checked(made: OwnSection) -> OwnSection:
    """Return it as texts alone, with whole rows. Raises ValueError, TypeError."""
    if not isinstance(made, OwnSection):
        raise TypeError(f"it made a {type(made).__name__}")
    return OwnSection(
        str(made.title),
        tuple(Named(str(fact.name), str(fact.value), str(fact.note)) for fact in made.facts),
        tuple(map(_checked_table, made.tables)),
    )


def _checked_table(made: OwnTable) -> OwnTable:
    headers = tuple(map(str, made.headers))
    rows = tuple(tuple(map(str, row)) for row in made.rows[:MOST_ROWS])
    if not headers or any(len(row) != len(headers) for row in rows):
        raise ValueError(f"table {made.caption!r} has rows of another length than its headers")
    return OwnTable(str(made.caption), headers, rows)
