"""Reports over a real journal: what was done while the incident was open, and whether the chain is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.container import Container
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.report.sections.actions import ActionsSection
from crypto_core.incidents.report.sections.open_points import OpenPointsSection
from crypto_core.incidents.report.sections.overview import VouchingSection
from crypto_core.incidents.report.service import ReportService
from crypto_core.values.errors import DatabaseError, RefusedError
from tests.crypto_core.incidents.report.making import KeptJournal, service_of
from tests.crypto_core.incidents.sample import journal_entry, sample


def test_a_form_that_there_is_not_is_refused_and_the_others_are_named() -> None:
    with pytest.raises(RefusedError, match=r"'\[/red\]'.*markdown, html, json"):
        service_of(sample()).report(sample().view, "\x1b[/red]")


def test_a_journal_that_can_not_be_read_or_is_broken_costs_only_its_part() -> None:
    class Unreadable(KeptJournal):
        def entries(self, *, limit: int = 1000) -> tuple[()]:
            raise DatabaseError("No connection to the journal.")

    made = sample()
    unreadable = json.loads(service_of(made, journal=Unreadable(())).report(made.view, "json"))["report"]
    assert unreadable["journal_state"] == "not read"
    assert unreadable["actions"] == []
    assert any("No connection to the journal." in point["text"] for point in unreadable["open_points"])
    broken = KeptJournal(made.journal[3:], "Entry 102 was changed.")
    report = json.loads(service_of(made, journal=broken).report(made.view, "json"))["report"]
    points = [point["text"] for point in report["open_points"]]
    assert "The journal is broken: Entry 102 was changed." in points
    assert "Only the newest 5 entries of the journal were read." in points


def test_an_empty_journal_is_told() -> None:
    assert (
        service_of(sample(), journal=KeptJournal(()))
        .signed(sample().view)
        .report.section(VouchingSection)
        .journal_state
        == "empty"
    )


def test_what_the_journal_of_the_database_holds_is_reported(
    services: Container, forge: Callable[..., None]
) -> None:
    made = sample()
    now = datetime.now(UTC)
    incident = replace(
        made.view.incident, declared_at=now - timedelta(minutes=5), closed_at=now + timedelta(hours=1)
    )
    view = replace(made.view, incident=incident)
    journal = services.journal
    journal.record("incident declare", "INC-7", Outcome.DONE, {"title": "<b>"})
    journal.record("keys disable", "alias/billing", Outcome.REFUSED, {"reason": "[/red]"})
    service = ReportService(lambda incident, piece: made.evidence(piece), journal)
    report = service.signed(view).report
    assert [(row.action, row.related) for row in report.section(ActionsSection).actions[-2:]] == [
        ("incident declare", True),
        ("keys disable", False),
    ]
    assert report.section(VouchingSection).journal_state.startswith("the chain is whole; last entry")
    assert journal.entries()[-1].digest.hex() in report.section(VouchingSection).journal_state
    forge("UPDATE keydeck.journal SET subject = 'INC-8' WHERE subject = 'INC-7'")
    broken = service.signed(view).report
    assert broken.section(VouchingSection).journal_state == "the chain is broken"
    assert any("was changed" in point.text for point in broken.section(OpenPointsSection).open_points)


def test_entries_of_before_the_incident_are_not_missed() -> None:
    made = sample()
    early = KeptJournal((journal_entry(7, -900, "init", "schema", "done"), *made.journal))
    assert not any(
        "newest" in point.text
        for point in service_of(made, journal=early)
        .signed(made.view)
        .report.section(OpenPointsSection)
        .open_points
    )
