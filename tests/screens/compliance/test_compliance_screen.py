"""Compliance: the heat map, the evidence behind a day, the open points, and a console without records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseUnreachableError, MissingSchemaError
from screens.compliance.control_status import ComplianceStanding
from screens.compliance.day_lines import day_evidence, day_lines
from screens.compliance.grid import Zoom
from screens.compliance.heat_map import HeatMap
from screens.compliance.pages import ControlDayScreen, OpenPointsScreen
from screens.compliance.screen import ComplianceScreen
from screens.findings.screen import FindingsScreen
from tests.screens.compliance.stage import OFF_UNTIL, TODAY, sample_period
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import harmless_after
from tests.screens.samples import HOSTILE
from tests.screens.stage import Stage

DAY = timedelta(days=1)


@cache
def period() -> AuditPeriod:
    return sample_period(TODAY - 89 * DAY, TODAY)


def heat_map(d: Deck) -> HeatMap:
    return d.app.screen.query_one(HeatMap)


def shown_day(d: Deck) -> object:
    column = heat_map(d).day_column
    return column.last if column is not None else None


async def test_the_first_lines_answer_and_the_cursor_is_on_the_newest_day_of_the_worst_control() -> None:
    async with deck(size=SMALL) as d:
        await d.press("8")
        assert isinstance(d.app.screen, ComplianceScreen)
        assert "● 43 met" in d.lines()[2]
        assert "2 lapses" in d.lines()[2]
        assert "4 of 90 days without a record" in d.lines()[2]
        assert "the chain is whole, every signature fits" in d.lines()[3]
        assert "A.8.24" in d.cursor_line()
        assert shown_day(d) == TODAY
        assert "Wed 1 Jul 2026" in d.line_with("met  record 97")
        assert "✖✖✖✖✖✖✖✖✖" in d.cursor_line()
        assert "·" in d.cursor_line()
        assert "▼" in d.lines()[5]  # above the newest day, beside the scroll bar


async def test_the_cursor_goes_by_days_by_screens_and_to_what_was_less_than_met() -> None:
    async with deck(start="compliance", size=SMALL) as d:
        await d.press("left", "h")
        assert shown_day(d) == TODAY - 2 * DAY
        await d.press("right", "l", "right")
        assert shown_day(d) == TODAY
        await d.press("N", "N")
        assert shown_day(d) == OFF_UNTIL
        assert "✖ not met" in d.text()
        assert "keys-rotate: " in d.text()
        assert "Automatic rotation is off" in d.text()
        await d.press("left_square_bracket")
        at = shown_day(d)
        assert at < OFF_UNTIL - 30 * DAY  # type: ignore[operator]
        await d.press("right_square_bracket")
        assert shown_day(d) == OFF_UNTIL
        await d.press("n", "n")
        assert d.toasts() == ["No later day in this period on which it was less than met."]


async def test_a_move_across_paints_the_cursors_line_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deck(start="compliance", size=SMALL) as d:
        painted: list[int] = []
        line = HeatMap.line
        monkeypatch.setattr(HeatMap, "line", lambda view, index: painted.append(index) or line(view, index))
        await d.press("left")
        assert set(painted) == {heat_map(d).cursor}


async def test_two_clicks_on_a_cell_open_its_day_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deck(start="compliance", size=LARGE) as d:
        there, opened = heat_map(d), Counter[str]()
        monkeypatch.setattr(HeatMap, "do_open", lambda _: opened.update(["day"]))
        at = (there._label_cells + 2 * there._column_cells, there.STICKY + there.cursor)
        await d.pilot.click(there, offset=at)
        await d.settle()
        assert (there.column, opened.total()) == (there.left + 2, 0)
        await d.pilot.click(there, offset=at, times=2)
        await d.settle()
        assert opened.total() == 1


async def test_a_column_can_be_a_week_or_a_month_and_the_cursor_keeps_its_day() -> None:
    async with deck(start="compliance", size=LARGE) as d:
        await d.press("N", "N", "Z")
        assert heat_map(d).zoom is Zoom.WEEK
        assert "not met at its worst" in d.text()
        assert "✖" in d.cursor_line()
        await d.press("left", "left", "left")
        assert "met on every day with a record" in d.text()
        assert "●·" in d.cursor_line()
        await d.press("Z", "Z")
        assert heat_map(d).zoom is Zoom.MONTH
        assert d.toasts() == ["A column is a month already."]
        await d.press("z", "z")
        assert heat_map(d).zoom is Zoom.DAY


async def test_frameworks_and_what_was_wrong_can_be_had_alone_and_the_cursor_stays() -> None:
    async with deck(start="compliance", size=LARGE) as d:
        await d.command("framework pci")
        assert "Compliance › pci · 90d" in d.lines()[1]
        assert "ISO/IEC" not in d.text()
        await d.press("w", "down")
        assert "pci · 90d · less than met" in d.lines()[1]
        assert "3.5.1" in d.cursor_line()
        assert len(heat_map(d).rows) == 18
        await d.press("w")
        assert "3.5.1" in d.cursor_line()
        await d.press("f")
        assert "soc2" in d.lines()[1]
        await d.press("f")
        assert "Compliance › 90d" in d.lines()[1]
        await d.command("framework [/red]")
        assert d.toasts() == ["There is no framework [/red]. Frameworks: all, iso, pci, soc2."]


async def test_a_period_is_read_again_by_itself_only_when_a_record_came() -> None:
    async with deck(start="compliance") as d:
        periods = d.stage.added["periods"]
        assert periods.asked == [(TODAY - 89 * DAY, TODAY)]
        await d.tick(301)
        await d.tick(301)
        assert len(periods.asked) == 1
        assert d.stage.calls.count("records") == 3
        periods.number += 1
        await d.tick(301)
        assert len(periods.asked) == 2
        await d.press("r")
        assert len(periods.asked) == 3
        await d.press("d")
        assert periods.asked[3] == (TODAY - 364 * DAY, TODAY)
        await d.command("period 2026-05-01 2026-05-31")
        assert "2026-05-01 to 2026-05-31" in d.lines()[1]
        await d.command("period yesterday")
        assert d.toasts()[-1].startswith("'yesterday' is not a valid date.")


async def test_enter_leads_to_the_evidence_behind_the_day_and_back_to_the_cell() -> None:
    async with deck(start="compliance", size=LARGE) as d:
        await d.command("framework pci")
        await d.press("N", "N", "enter")
        assert isinstance(d.app.screen, ControlDayScreen)
        assert "3.7.4 › 2026-06-08" in d.lines()[1]
        told = d.text()
        assert "✖ not met; its exception ended on 2026-06-02" in told
        assert "record       75, taken 2026-06-08 02:00:00 UTC by arn:aws:sts::" in told
        assert "ECDSA_SHA_256 by arn:aws:kms" in told
        assert "it names record 74 by its digest" in told
        assert "✖ keys-rotate: " in told
        assert "Lapses that this day is part of" in told
        await d.press("down", "y")
        assert d.app.clipboard == "PCI DSS 4.0.1"
        await d.press("escape")
        assert "3.7.4" in d.cursor_line()
        assert shown_day(d) == OFF_UNTIL
        await d.press("y")
        assert d.app.clipboard.startswith("PCI DSS\t3.7.4\t")
        assert d.app.clipboard.endswith("\tMon 8 Jun 2026\tnot met")


async def test_the_evidence_of_the_first_day_has_its_changes_and_its_exception() -> None:
    async with deck(start="compliance", size=LARGE) as d:
        await d.command("framework pci")
        await d.press("N", "N", *["left"] * 8, "enter")
        told = d.text()
        assert "◌ not met, excepted until 2026-06-02: The key store can't rotate" in told
        assert "(granted by CISO)" in told
        assert "01:12  DisableKeyRotation alias/tokens by ben, done (CloudTrail e-1)" in told
        await d.press("end", "up", "enter")
        assert "Event" in d.lines()[1]


def test_the_evidence_of_a_day_names_its_other_records() -> None:
    last = period().records[-1]
    both = {last.number: last, last.number + 1: replace(last, number=last.number + 1)}
    standing = ComplianceStanding(TODAY, TODAY, period().controls, period(), records=both)
    found = day_evidence(standing, period().controls[0].control.id, TODAY)
    assert found is not None
    lines = [line.content.plain for line in day_lines(found, standing, TODAY, 80)]
    assert any(line.endswith(f"records {last.number + 1} of this day") for line in lines)


async def test_a_day_without_a_record_says_so() -> None:
    async with deck(start="compliance", size=LARGE) as d:
        await d.press("N", "enter")
        told = d.text()
        assert "· no record" in told
        assert "none was made on this day: how the control stood is not known" in told


async def test_open_points_lead_to_their_screen_or_give_their_command() -> None:
    stage = Stage()
    rotation = next(one for one in period().lapses if one.cause.startswith("kms-rotation-off"))
    lapse = replace(rotation, before=None, ended_by=clean(""))
    stage.added["periods"].made = replace(period(), lapses=(lapse,))
    async with deck(stage, start="compliance", size=LARGE) as d:
        assert "1 lapse, 1 open" in d.lines()[2]
        assert "o: 5 open points." in d.text()
        await d.press("o")
        assert isinstance(d.app.screen, OpenPointsScreen)
        assert "▲ Not met since 2026-05-31: Automatic rotation is off for alias/tokens (" in d.text()
        assert "△ Nobody reviewed 1,204 calls of keys that guard tokens, by role/platform." in d.text()
        assert "? Changes: CloudTrail of eu-west-1 from 2026-05-01" in d.text()
        await d.press("end", *["up"] * 7)
        assert "keydeck incident start restore-drill" in d.cursor_line()
        await d.press("enter", "y")
        assert d.app.clipboard == "keydeck incident start restore-drill --database NAME"
        await d.press("home", "down", "down", "enter")
        assert isinstance(d.app.screen, FindingsScreen)


async def test_without_a_record_it_shows_what_is_measured_now_and_how_records_are_begun() -> None:
    stage = Stage()
    stage.added["periods"].number = 0
    async with deck(stage, start="compliance", size=LARGE) as d:
        assert "as measured now" in d.lines()[2]
        assert "No record yet: keydeck evidence record makes one" in d.lines()[3]
        assert "A.8.24" in d.text()
        assert "met as far as it is about " in d.cursor_line()
        await d.press("enter")
        assert "none yet: this is what is measured now" in d.text()
        await d.press("escape", "o")
        assert d.toasts() == []
        assert isinstance(d.app.screen, ComplianceScreen)


async def test_a_missing_schema_is_named_with_what_makes_it_beside_what_is_measured_now() -> None:
    stage = Stage(read_only=True)
    stage.faults["records"] = MissingSchemaError("Keydeck's own schema is not in this database.")
    async with deck(stage, start="compliance", size=LARGE) as d:
        assert "is not in this database. Create it with: keydeck init." in d.lines()[3]
        assert "as measured now" in d.lines()[2]


async def test_a_database_that_fails_keeps_what_is_shown_and_one_that_hangs_can_be_left() -> None:
    stage = Stage()
    async with deck(stage, start="compliance", size=LARGE) as d:
        stage.faults["records"] = DatabaseUnreachableError("The database does not answer.")
        await d.press("r")
        assert "✖ The database does not answer." in d.text()
        assert "A.8.24" in d.text()
        del stage.faults["records"]
        stage.hold("period")
        await d.press("d")
        assert stage.waiting == 1
        await d.press("d")
        await d.until(lambda: stage.waiting == 1)
        await d.press("1")
        assert d.app.current_mode == "status"


async def test_what_is_wrong_with_the_records_is_the_first_thing_that_is_said() -> None:
    stage = Stage()
    problems = (clean("Record 40 does not name record 39 as it is kept."), clean("Record 41 is not signed."))
    stage.added["periods"].made = replace(period(), problems=problems)
    async with deck(stage, start="compliance", size=LARGE) as d:
        assert "✖ Record 40 does not name record 39 as it is kept. (and 1 more: o)" in d.lines()[3]
    stage = Stage()
    stage.added["periods"].made = replace(period(), unchecked=clean("KMS does not answer."))
    async with deck(stage, start="compliance", size=LARGE) as d:
        assert "▲ Records 1–98: the chain is whole; signatures not checked: KMS does" in d.lines()[3]


def hostile_period(text: str) -> AuditPeriod:
    word = clean(text)
    controls = tuple(
        replace(
            one,
            control=replace(
                one.control,
                number=word,
                title=word,
                question=word,
                owner=word,
                limit=word,
                framework=replace(one.control.framework, title=word, edition=word),
            ),
        )
        for one in period().controls
    )
    lapses = tuple(
        replace(one, what=word, ended_by=word, controls=tuple(c.control for c in controls))
        for one in period().lapses
    )
    changes = tuple(
        replace(one, what=word, subject=word, who=word, outcome=word, approved_by=word, opens=word)
        for one in period().changes
    )
    return replace(
        period(), controls=controls, lapses=lapses, changes=changes, problems=(word,), unknown=(word,)
    )


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.deep)]
)
async def test_hostile_texts_in_controls_lapses_and_changes_are_text(size: tuple[int, int]) -> None:
    text = "".join(HOSTILE)
    stage = Stage()
    stage.added["periods"].made = hostile_period(text)
    async with deck(stage, start="compliance", size=size) as d:
        await harmless_after(d, size, "N N", "enter", "end", "escape o")
