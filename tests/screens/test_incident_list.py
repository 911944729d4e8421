"""Incidents: which are open, what waits, and how one is started from wherever something was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from crypto_core.findings.finding import Finding, Severity
from crypto_core.incidents.model import IncidentScope, IncidentState
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.trail.store import StoredEvent
from crypto_core.values.errors import DatabaseUnreachableError, ReadOnlyError, RefusedError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import TokenRef
from screens.incidents.about import about_event, about_finding
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.screen import IncidentsScreen
from tests.crypto_core.trail.records import read, record
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT, as_built, assert_harmless, harmless_after
from tests.screens.sample_events import a_day
from tests.screens.sample_runbooks import TOKEN_COMPROMISE
from tests.screens.samples import CURRENT, HOSTILE, NOW, OLD
from tests.screens.stage import Stage
from tests.screens.stage_incidents import approval, incident_view, key_compromise


def two() -> Stage:
    stage = Stage()
    closed = incident_view(
        8,
        TOKEN_COMPROMISE,
        IncidentScope(filter="provider:slack"),
        title="Slack token in a log",
        state=IncidentState.CLOSED,
        closed_at=NOW,
        closed_by="ana",
        outcome="revoked",
    )
    stage.incidents.add(key_compromise(), closed)
    return stage


@pytest.mark.deep
async def test_5_lists_incidents_the_open_one_on_top_with_its_step_budget_and_people() -> None:
    async with deck(two(), size=LARGE) as d:
        await d.press("5")
        assert isinstance(d.app.screen, IncidentsScreen)
        line = d.cursor_line()
        assert "INC-7" in line
        assert "6 of 11 Re-encrypt" in line
        assert "● 2 min of 30" in line
        assert "ana + ben" in line
        below = d.lines()[d.lines().index(line) + 1]
        assert "INC-8" in below
        assert "revoked" in below
        await d.filter("state:closed")
        assert d.pane.feed.count == 1
        await d.press("escape", "enter")
        assert isinstance(d.app.screen, IncidentScreen)


async def test_above_the_list_stands_what_waits_for_somebody() -> None:
    stage = two()
    stage.incidents.due = "The last restore drill was 120 days ago; one is due every 90 days."
    stage.approvals.add(approval())
    async with deck(stage, start="incidents") as d:
        assert "1 request for approval: keys disable." in d.text()
        assert "The last restore drill was 120 days ago" in d.text()
        stage.faults["incident.drill_due"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.tick(60)
        assert "Pending approvals are not known: No connection" in d.text()
        assert "INC-7" in d.text()


async def test_the_empty_list_says_what_an_incident_is_and_how_one_is_started() -> None:
    async with deck(start="incidents") as d:
        assert "An incident is one run of a runbook" in d.text()
        assert "n starts one; so does I on a connection, a key, an event or a finding." in d.text()


async def test_status_has_the_open_incident_among_its_first_lines() -> None:
    async with deck(two()) as d:
        line = d.line_with("INC-7")
        assert "KMS key compromise" in line
        assert d.lines().index(line) <= 4
        assert "INC-8" not in d.text()
        await d.press("home")
        assert "INC-7" in d.cursor_line()
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)


@pytest.mark.deep
async def test_a_key_compromise_is_begun_in_four_presses_from_the_list() -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        await d.press("n", "enter")
        assert "Which key is it about?" in d.text()
        # The key with most tokens is the one under the cursor.
        await d.press("enter")
        assert "declare an incident" in d.text()
        assert stage.incidents.done() == []
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)
    [(_, (runbook, scope, title))] = stage.incidents.done("declare")
    assert (runbook, scope, title) == ("key-compromise", IncidentScope(key=CURRENT), "")


@pytest.mark.deep
async def test_what_is_typed_as_tokens_is_references_or_a_filter() -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        for subject in ("gh_connection.access_token:gh-2, slack_connection.bot_token:3", "provider:slack"):
            await d.press("n", "down", "enter")
            await d.press("enter")
            assert isinstance(d.app.screen, DeclareDialog)
            await d.type(subject)
            await d.press("enter", "escape")
    (_, (_, first, _)), (_, (_, second, _)) = stage.incidents.done("declare")
    assert first.references == ("gh_connection.access_token:gh-2", "slack_connection.bot_token:3")
    assert second.filter == "provider:slack"


@pytest.mark.deep
async def test_a_title_and_a_time_are_kept_and_a_time_that_is_none_is_refused() -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        await d.press("n", "enter", "enter")
        await d.type("Key in a public repository")
        await d.press("tab")
        await d.type("soon")
        await d.press("enter")
        assert "'soon' is not a valid time." in d.says()
        await d.press("ctrl+u")
        await d.type("2h")
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)
    [(_, (_, scope, title))] = stage.incidents.done("declare")
    assert title == "Key in a public repository"
    assert scope.since == NOW - timedelta(hours=2)


@pytest.mark.quick(1)
@pytest.mark.parametrize("leave", ["escape", "cancel"])
async def test_leaving_the_dialog_at_any_point_opens_nothing(leave: str) -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        for keys in ((), ("enter",), ("enter", "enter")):
            await d.press("n", *keys)
            if leave == "escape":
                await d.press("escape")
            else:
                d.app.screen.query_one("#cancel").focus()
                await d.press("enter")
            assert isinstance(d.app.screen, IncidentsScreen)
        assert stage.incidents.done() == []


@pytest.mark.deep
async def test_errors_while_declaring_are_said_in_the_dialog() -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        stage.faults["incident.runbooks"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.press("n")
        assert "No connection to pg-1:5432." in d.says()
        stage.faults.clear()
        stage.faults["incident.declare"] = RefusedError("INC-7 is about this key already.")
        await d.press("escape", "n", "enter", "enter", "enter")
        assert "INC-7 is about this key already." in d.says()
        stage.faults["incident.declare"] = ReadOnlyError("Nothing is changed.")
        await d.press("enter")
        assert "Nothing is changed." in d.says()


async def test_a_runbook_that_cannot_be_read_is_told_where_one_is_chosen() -> None:
    stage = Stage()
    stage.incidents.unread = (f"team.toml is not TOML: {HOSTILE[0]}",)
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("n")
        assert "▲ team.toml is not TOML" in d.text()
        assert_harmless(d, SMALL)
        assert "KMS key compromise" in d.text()
        await d.press("enter")
        assert "team.toml" not in d.text()


async def test_enter_before_the_runbooks_are_known_does_not_leave() -> None:
    stage = Stage()
    async with deck(stage, start="incidents") as d:
        await d.pilot.press("n", "enter", "enter")
        await d.settle()
        assert isinstance(d.app.screen, DeclareDialog)


@pytest.mark.parametrize("size", [SMALL, (60, 20)])
async def test_what_is_refused_leaves_the_buttons_in_sight(size: tuple[int, int]) -> None:
    stage = Stage()
    stage.faults["incident.declare"] = RefusedError("No. " * 20)
    async with deck(stage, start="incidents", size=size) as d:
        await d.press("n", "enter", "enter", "enter")
        assert "No. No." in d.text()
        assert "Open the incident" in d.text()
        assert "╰" in d.text()


async def started(d: Deck, *keys: str) -> IncidentScope:
    """Start an incident where the deck is, with what is offered first; returns its scope."""
    await d.press(*keys)
    assert isinstance(d.app.screen, IncidentScreen), d.text()
    scope: IncidentScope = d.stage.incidents.done("declare")[-1][1][1]
    return scope


@pytest.mark.deep
async def test_from_connections_it_is_about_what_is_marked() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:jira")
        first = d.table.current
        await d.press("space", "space")
        assert isinstance(first.ref, TokenRef)
        await d.press("I")
        assert "connections: 2 tokens" in d.says()
        assert "KMS key compromise" not in str(d.app.screen.query_one("#choices").written)  # type: ignore[attr-defined]
        scope = await started(d, "enter", "enter")
        assert len(scope.references) == 2
        assert str(first.ref) in scope.references
        assert scope.origin == "connections: 2 tokens"
        await d.press("escape", "u", "A")
        scope = await started(d, "I", "enter", "enter")
        assert (scope.references, scope.filter) == ((), "provider:jira")


@pytest.mark.deep
async def test_all_but_some_and_all_without_a_filter_are_filters_that_the_list_takes() -> None:
    async with deck(start="connections", size=LARGE) as d:
        rows = d.pane.feed.count
        left_out = d.table.current.ref
        await d.press("A", "space")
        scope = await started(d, "I", "enter", "enter")
        await d.press("escape")
        await d.filter(scope.filter)
        assert str(left_out) in scope.filter
        assert d.pane.feed.count == rows - 1
        await d.press("escape", "u", "A")
        scope = await started(d, "I", "enter", "enter")
        await d.press("escape")
        await d.filter(scope.filter)
        assert d.pane.feed.count == rows


@pytest.mark.parametrize("page", [False, True], ids=["list", "page"])
async def test_from_a_key_it_is_about_the_key(page: bool) -> None:
    async with deck(start="keys", size=LARGE) as d:
        scope = await started(d, *(["enter"] if page else []), "I", "enter", "enter")
        assert scope.key == CURRENT
        assert scope.origin.startswith("key alias/tokens")


@pytest.mark.quick(1)
@pytest.mark.parametrize("page", [False, True], ids=["list", "page"])
async def test_from_an_event_it_is_about_its_key_since_it_happened(page: bool) -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with deck(stage, start="events", size=LARGE) as d:
        await d.filter("principal:*intruder*")
        event = d.table.current.event
        scope = await started(d, *(["enter"] if page else []), "I", "enter", "enter")
        assert scope.key in event.key_arns
        assert scope.since == event.time
        assert scope.origin == f"event {event.event_id}: {event.name} by {event.principal.name}"


@pytest.mark.deep
async def test_from_an_event_that_names_a_token_either_can_be_chosen() -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with deck(stage, start="events", size=LARGE) as d:
        await d.filter("token:*")
        event = d.table.current.event
        assert event.token_ref is not None
        scope = await started(d, "I", "down", "enter", "enter")
        assert scope.references == (str(event.token_ref),)


@pytest.mark.deep
async def test_from_a_finding_it_is_about_its_key_and_asks_where_it_names_none() -> None:
    async with deck(start="findings", size=LARGE) as d:
        await d.filter("kms-public")
        finding = d.table.current
        scope = await started(d, "I", "enter", "enter")
        assert scope.key == finding.subject
        assert finding.rule in scope.origin
        await d.press("escape")
        await d.filter("trail")
        assert not is_key_arn(d.table.current.subject)
        scope = await started(d, "I", "enter", "down", "enter", "enter")
        assert scope.key in (OLD, CURRENT) or is_key_arn(scope.key)
        assert "finding" in scope.origin


@EACH_TEXT
async def test_hostile_text_in_incidents_and_runbooks_is_harmless(text: str) -> None:
    stage = Stage()
    book = as_built(replace(TOKEN_COMPROMISE, title=text, summary=text, source=text, id=text))
    stage.incidents.books = (book,)
    scope = IncidentScope(references=(text,), origin=text)
    stage.incidents.add(as_built(incident_view(1, book, scope, title=text, declared_by=text)))
    stage.incidents.due = text
    stage.approvals.add(as_built(approval(action=text, summary=text)))
    async with deck(stage) as d:
        await harmless_after(d, SMALL, "5", "n", "enter")


def test_whom_an_event_or_a_finding_names_is_kept_as_a_suspect() -> None:
    bot = "arn:aws:iam::123456789012:user/build-bot"
    finding = Finding("event-decrypt-human", Severity.LOW, bot, "build-bot decrypted", "once", "Ask.")
    scope = about_finding(finding).scope(SubjectKind.KEY)
    assert (scope.principal, scope.origin) == (bot, "finding event-decrypt-human: build-bot decrypted")
    assert about_finding(replace(finding, subject=CURRENT)).principal == ""
    event = read(record(who={"type": "IAMUser", "arn": bot}))
    assert about_event(StoredEvent(event, 1)).scope(SubjectKind.KEY).principal == bot
    by_aws = read(record(who={"type": "AWSService", "invokedBy": "backup.amazonaws.com"}))
    assert about_event(StoredEvent(by_aws, 2)).principal == ""
