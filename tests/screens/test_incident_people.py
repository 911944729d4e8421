"""Who does what in an incident, and after it: the page that tells it, and takes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta, timezone

from textual.widgets import Input

from crypto_core.incidents.model import IncidentState
from crypto_core.incidents.people import FollowUp, People
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseUnreachableError
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.incident_scene import staged
from tests.screens.samples import NOW
from tests.screens.stage_incidents import ANA, BEN, key_compromise


async def test_roles_are_taken_and_given_and_follow_ups_are_kept_and_ended() -> None:
    stage = staged()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "l")
        assert "Now at step 6 of" in d.text()
        await d.press("enter")
        await d.type("On call.")
        await d.press("enter")
        assert stage.incidents.done()[-1] == ("assign", ("lead", None, "On call."))
        await d.press("down", "w")
        await d.type("ben")
        await d.press("enter")
        assert stage.incidents.done()[-1] == ("assign", ("operations", "ben", ""))
        assert "Enter: take it. w: give it to somebody." in d.text()
        await d.press("n")
        await d.type("Alarm on Decrypt")
        await d.press("tab")
        await d.type("dana")
        await d.press("tab")
        await d.type("soon")
        await d.press("enter")
        assert "Write the day as 2026-12-31" in d.says()
        d.app.screen.query_one("#due", Input).value = "2026-12-31"
        stage.faults["incident.follow-up"] = DatabaseUnreachableError("The database is gone.")
        await d.press("enter")
        assert "The database is gone." in d.says()
        stage.faults.clear()
        await d.press("enter")
        assert stage.incidents.done()[-1] == ("follow-up", ("Alarm on Decrypt", "dana", date(2026, 12, 31)))
        assert "2026-12-31 dana" in " ".join(d.text().split())
        await d.press("end", "enter")
        await d.type("It rings.")
        await d.press("enter")
        assert stage.incidents.done()[-1] == ("follow-up done", (1, "It rings."))
        await d.press("escape")
        await d.tick(2)
        assert "lead ana" in d.text()


async def test_a_closed_incident_gives_no_role_and_its_follow_ups_go_on() -> None:
    view = key_compromise()
    late = FollowUp(1, clean("Tell the owners"), clean(BEN), NOW.date() - timedelta(days=3), NOW, clean(ANA))
    incident = replace(view.incident, state=IncidentState.CLOSED, closed_at=NOW, closed_by=clean(ANA))
    stage = staged(replace(view, incident=incident, people=People(follow_ups=(late,))))
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("enter", "l", "enter", "w")
        assert stage.incidents.done() == []
        assert "✖ 1" in d.text()
        await d.press("end", "f")
        await d.type("Told.")
        await d.press("enter")
        assert stage.incidents.done() == [("follow-up done", (1, "Told."))]
        assert "✔ 1" in d.text()


async def test_a_follow_up_is_overdue_by_the_day_in_utc_as_in_the_command_and_the_report() -> None:
    due = FollowUp(1, clean("Tell the owners"), clean(BEN), NOW.date(), NOW, clean(ANA))
    stage = staged(replace(key_compromise(), people=People(follow_ups=(due,))))
    async with deck(stage, start="incidents", size=SMALL) as d:
        d.clock.now = (NOW + timedelta(days=1)).astimezone(timezone(-timedelta(hours=18)))
        assert d.clock.now.date() == NOW.date()
        await d.press("enter", "l")
        assert "✖ 1" in d.text()
