"""A control as a catalogue has it, who answers for it, and an exception from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from crypto_core.values.clean_text import NO_TEXT, CleanText
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class Framework:
    """A published standard, or a team's own, in one edition. Several standards may share an `id`."""

    id: CleanText
    """What --framework names, such as soc2."""
    title: CleanText
    edition: CleanText


@dataclass(frozen=True, slots=True)
class FrameworkControl:
    """One control. `title` and `question` are in words of the catalogue's, never the standard's.

    `tests` are the names of those that answer it; without any, `outside` says why Keydeck can't. `as_far_as`
    is the part of the standard's subject that the tests see, `limit` what they don't.
    """

    id: CleanText
    framework: Framework
    number: CleanText
    title: CleanText
    question: CleanText
    tests: tuple[CleanText, ...] = ()
    as_far_as: CleanText = NO_TEXT
    limit: CleanText = NO_TEXT
    outside: CleanText = NO_TEXT
    owner: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
class Exemption(JsonRecord):
    """An exception from a control that somebody granted, from a day to a day (UTC), both included.

    `since` is None where the catalogue names no first day: then it holds for all days before its last.
    """

    control: CleanText
    reason: CleanText
    by: CleanText
    until: date
    since: date | None = None

    json_shape = shape("reason by since until")

    def holds(self, now: datetime) -> bool:
        return self.holds_on(now.date())

    def holds_on(self, day: date) -> bool:
        return day <= self.until and (self.since is None or self.since <= day)

    @property
    def words(self) -> str:
        return f"excepted until {self.until:%Y-%m-%d}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ControlCatalogue(JsonRecord):
    """What one file holds: controls, and owners of and exceptions from those of any file."""

    id: CleanText
    version: int
    source: CleanText
    digest: str
    controls: tuple[FrameworkControl, ...] = ()
    owners: Mapping[str, CleanText] = field(default_factory=dict)
    exemptions: tuple[Exemption, ...] = ()

    json_shape = shape(
        "id version source sha256=digest controls", controls=lambda record: len(record.controls)
    )
