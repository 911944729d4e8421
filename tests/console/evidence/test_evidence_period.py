"""keydeck evidence status --from: controls over days, as text and as documents."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.container import Container
from console.evidence.printed_period import period_code, period_listing
from console.evidence.services import EvidenceServices
from console.printed.forms import Form
from console.printed.lists import print_listing
from crypto_core.compliance.change_reader import ChangeReader
from crypto_core.compliance.period.period import LapseSource
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.incidents.service import IncidentService
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseUnreachableError
from screens.compliance.day_lines import bounds
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.crypto_core.compliance.period.test_lapses import a_year
from tests.crypto_core.compliance.period.year import at, excepted, period, record, rotation_off

NOON, DAY = datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(days=1)


def test_a_year_fits_a_narrow_terminal_and_tells_lapses_with_their_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_listing(period_listing(a_year()), Form.TABLE)
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0] == "2026-01-01 to 2026-12-31, by 361 records; 4 days without one"
    assert "Lapses: 3" in lines
    assert "  ✖ 2026-02-10 15:00 – 2026-02-19 11:00 (8 d), UTC" in lines
    assert "began: DisableKeyRotation by user/eve at 2026-02-10 15:00 UTC" in " ".join(told.split())
    assert "ended: inferred: encrypt by ann" in " ".join(told.split())
    assert "      soc2: CC6.1, CC7.1, CC7.3" in lines
    assert "not so on 2026-04-30 06:00; over by 2026-05-04 06:00" in told
    assert period_code(a_year()) == 1


def test_the_document_of_a_period_has_its_shape_and_everything_that_the_text_tells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_listing(period_listing(a_year()), Form.JSON)
    document = json.loads(capsys.readouterr().out)
    for control in document["controls"]:
        assert_shape("control-period", control)
    assert [one["before"] for one in document["lapses"]] == [
        "2026-02-19T11:00:00+00:00",
        "2026-05-04T06:00:00+00:00",
        "2026-09-08T15:00:00+00:00",
    ]
    assert document["gaps"] == ["2026-03-12", "2026-03-13", "2026-07-20", "2026-10-28"]
    (cc71,) = (one for one in document["controls"] if one["control"] == "soc2-cc7.1")
    assert cc71["worst"] == "not met"
    assert cc71["last"] == "met"
    assert len(document["records"]) == 361
    assert document["population"]["policy"] == 2
    points = {one["what"]: one["command"] for one in document["open_points"]}
    gaps = (
        "4 days without a record: 2026-03-12, 2026-03-13, 2026-07-20, 2026-10-28. Nothing is known of them."
    )
    assert points[gaps] == "keydeck evidence schedule"
    print_listing(period_listing(a_year()), Form.TABLE)
    told = capsys.readouterr().out
    assert f"Open for the next audit: {len(points)}" in told
    assert gaps in " ".join(told.split())


@pytest.mark.parametrize(
    ("after", "before", "source", "told"),
    [
        (None, None, LapseSource.RECORDS, "so from the beginning of the records on; not over yet"),
        (None, NOON, LapseSource.EVENTS, ""),
        (NOON, NOON, LapseSource.EVENTS, ""),
        (NOON - DAY, NOON + DAY, LapseSource.RECORDS, "not so on 2026-03-01 12:00; over by 2026-03-03 12:00"),
    ],
)
def test_a_lapse_may_have_reached_beyond_only_what_is_not_known(
    after: datetime | None, before: datetime | None, source: LapseSource, told: str
) -> None:
    lapse = a_year().lapses[0]
    assert (
        bounds(replace(lapse, first_at=NOON, last_at=NOON, after=after, before=before, source=source)) == told
    )


def test_the_exit_code_tells_lapses_wrong_records_and_gaps_apart() -> None:
    well = period([record(0), record(1)])
    assert period_code(well) == 0
    assert period_code(period([record(0), record(2)])) == 3
    off = [record(day, rotation_off()) for day in range(2)]
    lapse = period(off, framework="soc2")
    assert period_code(lapse) == 1
    (control,) = lapse.lapses[0].controls
    granted = excepted(control.id, at(9).date())
    assert period_code(period(off, framework="soc2", controls=granted)) == 0


def test_a_period_of_the_sandbox_is_told_by_its_records(keydeck: Keydeck, services: Container) -> None:
    today = services.of(EvidenceServices).periods.clock().date()
    yesterday = today - timedelta(days=1)
    none = keydeck("evidence", "status", "--from", str(yesterday), "--framework", "pci")
    assert none.exit_code == 3
    assert "There is no record of these days" in none.stdout
    assert keydeck("evidence", "record", "--yes").exit_code in (0, 3)
    ran = keydeck("evidence", "status", "--from", str(yesterday), "--to", str(today), "--json")
    assert (ran.exit_code, ran.json["gaps"], ran.json["problems"]) == (1, [str(yesterday)], [])
    assert [one["number"] for one in ran.json["records"]] == [1]
    assert any(one["cause"].startswith("tokens-plaintext ") for one in ran.json["lapses"])
    for wrong, words in (
        (("--to", str(today)), "--to needs --from"),
        (("--from", str(today), "--to", str(yesterday)), "Name the earlier day first"),
        (("--from", "1900-01-01"), "A period has 3,660 days at most"),
        (("--from", str(today), "--framework", "soc"), "Did you mean soc2?"),
    ):
        refused = keydeck("evidence", "status", *wrong)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert words in refused.stderr
    assert clean(none.stdout, 100_000).count("\x1b") == 0


def test_incidents_drills_and_reviews_that_cannot_be_read_are_gaps_of_the_period(
    services: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnreachableError("No answer.")

    monkeypatch.setattr(IncidentService, "incidents", refuse)
    monkeypatch.setattr(IncidentStore, "last_evidence", refuse)
    monkeypatch.setattr(ChangeReader, "reviews", refuse)
    today = services.of(EvidenceServices).periods.clock().date()
    unknown = " ".join(services.of(EvidenceServices).periods.of(today, today).unknown)
    for part in ("Incidents", "Drills", "Reviews of access"):
        assert f"{part} by the stores at hand: could not be read: No answer." in unknown
