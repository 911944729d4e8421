"""What a period leaves open: every kind of point, with what settles it, and nothing where all is well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from crypto_core.compliance.period.open_points import SOON, OpenPoint, open_points
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.period.year import (
    DAY,
    FIRST,
    at,
    excepted,
    period,
    plaintext,
    record,
    rotation_off,
)
from tests.crypto_core.compliance.snapshots import INCIDENT, WELL
from tests.screens.samples import HOSTILE

SIGNED: dict[str, Any] = {"unsigned": (), "drills": (at(1),)}
"""What is well, and no record of the sample has."""


def points(*records: Any, **more: Any) -> tuple[OpenPoint, ...]:
    fields = {name: more.pop(name) for name in tuple(more) if name not in ("days", "controls", "made_at")}
    return open_points(replace(period(records, **more), **(SIGNED | fields)))


def the(found: tuple[OpenPoint, ...], words: str) -> OpenPoint:
    (one,) = (one for one in found if words in one.what)
    return one


def test_a_period_in_which_all_is_well_leaves_nothing_open() -> None:
    assert points(record(0), record(1), record(2)) == ()


def test_what_is_not_met_still_is_open_with_the_command_that_shows_it() -> None:
    found = points(record(0), record(1, plaintext(40)), record(2, plaintext(40)))
    one = the(found, "Not met since 2026-01-02")
    assert (one.severity, one.command) == (Severity.HIGH, "keydeck status")
    assert "pci-3.5.1" in one.controls
    assert "and" in one.what
    assert one.as_json()["controls"] == list(one.controls)


def test_what_was_so_in_the_first_record_may_have_begun_earlier_and_has_the_command_that_settles_it() -> None:
    assert the(points(record(0, plaintext(40)), record(1, plaintext(40))), "2026-01-01 or earlier: ")
    drills: Any = WELL[SnapshotPart.DRILLS]
    never = {SnapshotPart.DRILLS: replace(drills, last_at=None)}
    one = the(points(record(0, never)), "No restore drill is on record")
    assert one.command == "keydeck incident start restore-drill --database NAME"


def test_of_what_is_over_only_the_end_that_nothing_tells_is_open() -> None:
    found = points(record(0), record(1, rotation_off()), record(2))
    one = the(found, "nothing tells what ended it")
    assert (one.severity, one.command) == (Severity.LOW, "keydeck journal list")
    assert [point.what for point in found] == [one.what]


def test_days_without_a_record_and_records_that_can_not_be_relied_on_are_open() -> None:
    problem, why = clean("Record 2 was changed."), clean("KMS does not answer")
    found = points(record(0), record(3), problems=(problem,), unchecked=why, unsigned=(1, 4))
    assert found[0].severity is Severity.CRITICAL
    assert found[0].what == "The records can't be relied on: Record 2 was changed."
    gaps = the(found, "2 days without a record: 2026-01-02, 2026-01-03.")
    assert gaps.command == "keydeck evidence schedule"
    assert the(found, "2 records not signed: 1, 4.").severity is Severity.MEDIUM
    assert the(found, "No signature of a record was checked: KMS does not answer.")


def test_what_the_newest_record_could_not_measure_is_one_point_a_reason() -> None:
    none = MissingPart(Lack.PERMISSION, clean("kms:ListGrants is missing"))
    found = points(record(0, {SnapshotPart.POSTURE: none}), record(1, {SnapshotPart.POSTURE: none}))
    one = the(found, "no permission: kms:ListGrants is missing")
    assert "not assessed by the newest record" in one.what
    assert (one.severity, one.command) == (Severity.HIGH, "keydeck findings")
    assert len(one.controls) > 5
    assert points(record(0, {SnapshotPart.POSTURE: none}), record(1)) == ()


def test_an_exception_that_ends_soon_or_is_over_is_open() -> None:
    last = FIRST + 2 * DAY
    days = (record(0), record(1), record(2))
    assert the(points(*days, controls=excepted("pci-3.5.1", last + SOON)), "from pci 3.5.1 ends on")
    assert the(points(*days, controls=excepted("pci-3.5.1", FIRST)), "pci 3.5.1 ended on 2026-01-01: Moves")
    assert points(*days, controls=excepted("pci-3.5.1", last + SOON + DAY)) == ()


def test_incidents_restores_and_reviews_that_are_missing_are_open() -> None:
    still = replace(INCIDENT, declared_at=at(1), closed_at=None)
    late = replace(INCIDENT, name=clean("INC-2"), closed_at=at(1) + timedelta(hours=1), overdue=2)
    found = points(record(0), record(1), incidents=(still, late), drills=())
    assert the(found, "INC-1 (key-compromise) is open since 2026-01-02.").command == "keydeck incident list"
    assert the(found, "INC-2: 2 follow-ups overdue.")
    assert the(found, "No restore is on record in this period.").command.startswith("keydeck incident start")


def test_hostile_texts_are_cleaned_and_cut() -> None:
    text = clean("".join(HOSTILE) + "x" * 10_000_000, 600)
    for one in points(record(0), record(1), problems=(text,), unchecked=text):
        assert len(one.what) <= 600
        assert one.what.isprintable()
