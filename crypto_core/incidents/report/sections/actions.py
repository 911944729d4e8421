"""What operators did while an incident was open, from the journal; and what its jobs did at other times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from crypto_core.database.state.journal import JournalEntry
from crypto_core.database.state.journal_entry import told_in
from crypto_core.incidents.model import Incident
from crypto_core.incidents.report.section import ReportSection, Signed, Sources, taken_from
from crypto_core.incidents.report.sections.people import Names
from crypto_core.reports.cells import ShownSection, code, table, word
from crypto_core.reports.foreign_text import shown
from crypto_core.values.counts import counted

SHOWN_LIMIT = 1000
"""Entries in a report; those that name the incident go first. What is left out is counted."""

_JOB_VALUES = ("job", "encrypt_job")
_KEY_VALUES = ("new_key", "replica")
_DETAIL_NAMES = 12
_REFERENCES = 200
"""Tokens that are looked for within a detail; as a subject each is found."""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An entry of the journal. `related` if it names the incident, its keys, tokens or jobs."""

    seq: int
    at: datetime
    who: str
    host: str
    action: str
    subject: str
    outcome: str
    detail: str
    related: bool


@dataclass(frozen=True, slots=True)
class ActionsSection(ReportSection):
    PLACE: ClassVar = 120
    WIDTHS: ClassVar = "#actions th:nth-child(3), #actions th:nth-child(4) { width: 25%; }\n"
    actions: tuple[ActionRow, ...]
    actions_left_out: int

    @classmethod
    def read(cls, sources: Sources) -> Self:
        incident, journal = sources.view.incident, sources.journal
        until = incident.closed_at or sources.now
        jobs = job_numbers(sources)
        details = [told_in(entry.detail) for entry in journal]
        runs = {detail["run"] for detail in details if detail.get("job") in jobs and _word(detail.get("run"))}
        names, references = _names(incident), frozenset(incident.scope.references)
        found = []
        for entry, detail in zip(journal, details, strict=True):
            of_its_jobs = detail.get("job") in jobs or (_word(detail.get("run")) and detail["run"] in runs)
            if of_its_jobs or incident.declared_at <= entry.at <= until:
                related = of_its_jobs or entry.subject in references or _related(entry, incident.name, names)
                found.append((not related, entry.seq, entry, detail))
        kept = sorted(found, key=lambda one: one[:2])[:SHOWN_LIMIT]
        rows = (
            taken_from(ActionRow, entry, who=entry.who, detail=_in_words(detail), related=not unrelated)
            for unrelated, _, entry, detail in kept
        )
        return cls(tuple(sorted(rows, key=lambda row: row.seq)), len(found) - len(kept))

    def show(self, signed: Signed) -> ShownSection:
        names = Names.of(signed.report)
        lead = (
            "From the journal: changes, refusals and attempts while the incident was open, and by its jobs."
        )
        if self.actions_left_out:
            lead += f" {self.actions_left_out:,} entries that do not name the incident are left out."
        rows = (
            (
                row.seq,
                row.at,
                (row.action, row.detail),
                code(row.subject, "" if row.related else "does not name this incident"),
                word(row.outcome),
                (names.short(row.who), row.host),
            )
            for row in self.actions
        )
        return ShownSection(
            "actions",
            "Actions",
            lead=lead,
            tables=(
                table(
                    "Journal", "Entry|Time (UTC)|Action|On what|Outcome|Who", rows, "The journal has none."
                ),
            ),
        )


def job_numbers(sources: Sources) -> frozenset[int]:
    """Return the jobs that the incident's steps have begun, also those that others have replaced since."""
    values = (sources.view.incident.values.get(name, "") for name in _JOB_VALUES)
    remembered = {int(value) for value in values if value.isascii() and value.isdigit()}
    return frozenset(remembered.union(one.job.id for one in sources.exhibits if one.job is not None))


def _names(incident: Incident) -> tuple[str, ...]:
    keys = [incident.scope.key, *(incident.values.get(name, "") for name in _KEY_VALUES)]
    return tuple(
        name for name in (*keys, *incident.scope.references[:_REFERENCES], incident.scope.database) if name
    )


def _related(entry: JournalEntry, incident: str, names: Iterable[str]) -> bool:
    told = f"{entry.subject} {entry.detail}"
    # INC-1 is not INC-12.
    return re.search(rf"\b{re.escape(incident)}\b", told) is not None or any(name in told for name in names)


def _in_words(detail: Mapping[str, Any]) -> str:
    """Single values only, the rest by its number: a journal's detail is for programs.

    They are masked here already: cut, or with another word for its name, a secret could no longer be told.
    """
    told = []
    for name, value in detail.items():
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, str | int | float):
            text = shown(value, 160)
        elif isinstance(value, list):
            text = counted(len(value), "entry").replace("entrys", "entries")
        else:
            continue
        if text:
            told.append(f"{shown(name, 40).replace('_', ' ')}: {text}")
    more = len(told) - _DETAIL_NAMES
    return " · ".join(told[:_DETAIL_NAMES]) + (f" · {more} more" if more > 0 else "")


def _word(value: object) -> bool:
    return isinstance(value, str) and bool(value)
