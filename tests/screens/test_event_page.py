"""One event: its page, where its fields lead, and that it is copied, reviewed and noted."""

from __future__ import annotations

import json

import pytest

from crypto_core.trail.event_fields import EVENT_FIELDS
from screens.events.event_screen import EventScreen
from screens.events.screen import EventsScreen
from tests.crypto_core.trail.records import context, event, role
from tests.screens.deck import LARGE, deck
from tests.screens.events_scene import expression, stage
from tests.screens.samples import CURRENT, NOW


@pytest.mark.deep
async def test_an_event_has_a_page_with_every_field_and_its_record() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.filter("token:*gh-3 -failed principal:*intruder")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        text = d.text()
        for words in ("user/intruder", "198.51.100.7", "aws-cli/2.31.0", "keydeck:table", "gh_connection"):
            assert words in text
        await d.press("G")
        assert '"eventVersion"' in "\n".join(
            line.content.plain for line in d.app.screen.query_one("EventText")._lines
        )


async def test_a_page_has_every_field_that_an_event_can_have() -> None:
    who = role(invokedBy="lambda.amazonaws.com", accountId="444455556666")
    who["sessionContext"]["attributes"]["mfaAuthenticated"] = "true"
    tls, error = {"tlsVersion": "TLSv1.3"}, {"errorCode": "AccessDenied", "errorMessage": "Refused so"}
    one = event(who=who, context=context("gh-9"), tlsDetails=tls, vpcEndpointId="vpce-1", **error)
    async with deck(stage([one]), start="events", size=LARGE) as d:
        await d.filter("AccessDenied")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        shown = "\n".join(line.content.plain for line in d.app.screen.query_one("EventText")._lines)
        fields = shown.partition('"eventVersion"')[0]
        missing = {name for name, one_ in EVENT_FIELDS.items() if one_.text(one) not in fields}
        assert missing == set()


@pytest.mark.quick(1)
@pytest.mark.parametrize(("words", "crumb"), [("from   ", "ip:"), ("event   ", "name:")])
async def test_enter_on_a_field_leads_to_the_events_that_share_it(words: str, crumb: str) -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.filter("token:*gh-3 -failed principal:*intruder")
        await d.press("enter")
        while words not in d.cursor_line() + "   ":
            await d.press("down")
        await d.press("enter")
        assert isinstance(d.app.screen, EventsScreen)
        assert crumb in expression(d)
        assert len(d.pane.feed.window.rows) > 0
        await d.press("escape")
        assert isinstance(d.app.screen, EventScreen)


@pytest.mark.deep
async def test_enter_on_a_key_leads_to_it_and_from_there_to_its_use() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.press("enter")
        while "alias/tokens" not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert "Key › alias/tokens" in d.lines()[1]
        await d.press("T")
        assert "Use › alias/tokens" in d.lines()[1]
        while "events   " not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert expression(d) == f'key:"{CURRENT}"'
        assert "1 of 246 events" in d.lines()[1]


async def test_copying_an_event_sends_its_id_and_its_record() -> None:
    async with deck(stage(), start="events") as d:
        await d.press("enter", "y")
        assert d.app.clipboard == "00000000-0000-4000-8000-000000003200"
        await d.press("Y")
        assert json.loads(d.app.clipboard)["eventID"] == "00000000-0000-4000-8000-000000003200"


async def test_m_marks_as_reviewed_and_takes_it_back_also_read_only() -> None:
    there = stage()
    there.read_only = True
    async with deck(there, start="events") as d:
        await d.press("m")
        assert "✓" in d.cursor_line()[:4]
        assert there.events.event("00000000-0000-4000-8000-000000003200").reviewed_at == NOW
        await d.press("m")
        assert "✓" not in d.cursor_line()[:4]


@pytest.mark.deep
async def test_marked_events_are_reviewed_together_and_all_of_a_filter() -> None:
    there = stage()
    async with deck(there, start="events") as d:
        await d.press("space", "space", "space", "m")
        assert there.events.summary("reviewed").events == 3
        await d.press("u", "A", "space", "m")
        assert there.events.summary("reviewed").events >= 204
        assert any("Reviewed: " in said for said in d.toasts())


@pytest.mark.deep
async def test_a_note_is_asked_for_shown_and_taken_away() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        await d.press("n")
        await d.type("asked ana")
        await d.press("enter")
        assert there.events.event("00000000-0000-4000-8000-000000003200").note == "asked ana"
        assert "✎ asked ana" in d.says()
        await d.press("enter")
        assert "✎ asked ana" in d.text()
        await d.press("n")
        await d.pilot.press("ctrl+u")
        await d.press("enter")
        assert there.events.event("00000000-0000-4000-8000-000000003200").note == ""
