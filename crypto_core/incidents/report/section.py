"""What a report is made of: sections, each a frozen record that is read once and shown by every form.

The fields of a section are members of the report's JSON form, cleaned and masked: whoever renders only
escapes. Another section is written in a module of sections/, where it is found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from crypto_core.database.state.journal import JournalEntry
from crypto_core.guard.signature import Signature
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.exhibits import Exhibit
from crypto_core.incidents.times import Times, times_of
from crypto_core.reports.cells import Named, ShownSection

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Named", "Report", "ReportSection", "Signed", "Sources", "taken_from"]

Kind = TypeVar("Kind", bound="ReportSection")
Part = TypeVar("Part", bound="DataclassInstance")


class ReportSection(ABC):
    """One section. Its fields are its data; no two sections have a field of the same name."""

    PLACE: ClassVar[int]
    """The smallest comes first."""
    WIDTHS: ClassVar[str] = ""
    """The widths of its tables' columns as CSS, where they don't follow from what is in them."""

    @classmethod
    @abstractmethod
    def read(cls, sources: Sources) -> Self:
        """Return the section of an incident."""

    @abstractmethod
    def show(self, signed: Signed) -> ShownSection:
        """Return what the forms for people put on their page, as part of a report that is whole."""


@dataclass(frozen=True)
class Sources:
    """What sections are read from. `version` is Keydeck's; `remarks` are what could not be seen."""

    view: IncidentView
    exhibits: tuple[Exhibit, ...]
    journal: Sequence[JournalEntry]
    """Entries, oldest first."""
    journal_state: str
    """A sentence on whether the chain is whole."""
    database_id: str
    """The id of the journal's database, "" if it could not be read."""
    now: datetime
    host: str
    version: str
    remarks: Sequence[str] = ()
    _sections: dict[type[ReportSection], Any] = field(default_factory=dict, repr=False)

    def section(self, kind: type[Kind]) -> Kind:
        """Return a section, read once however many others go by it."""
        if kind not in self._sections:
            self._sections[kind] = kind.read(self)
        return cast(Kind, self._sections[kind])

    @property
    def times(self) -> Times:
        return times_of(self.view, self.now)

    def title_of(self, step_id: str) -> str:
        """Return a step's title as reports have it, its id where the runbook has none of that id."""
        titles = (step.step.title for step in self.view.steps if step.step.id == step_id)
        return next(titles, step_id)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole document, its sections in the order in which they are shown."""

    sections: tuple[ReportSection, ...]

    def section(self, kind: type[Kind]) -> Kind:
        """Return one of its sections. Raises KeyError for one that it has not."""
        return next(section for section in self.sections if isinstance(section, kind))


@dataclass(frozen=True, slots=True)
class Signed:
    """A report and its signature. `sha256`, in hex, is the signed digest; see signature.py."""

    report: Report
    sha256: str
    signature: Signature | None
    unsigned_because: str = ""

    def shown_sections(self) -> tuple[ShownSection, ...]:
        return tuple(section.show(self) for section in self.report.sections)


def taken_from(kind: type[Part], source: object, /, **others: Any) -> Part:
    """Return a record with the fields of `source` that have the names of its own, and `others`."""
    same = (one.name for one in fields(kind) if one.name not in others)
    return kind(**{name: getattr(source, name) for name in same}, **others)
