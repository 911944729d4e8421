"""A principal is blocked from wherever it is named; the block is shown there, and undone by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Button

from crypto_core.findings.finding import Finding, Severity
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.suspects import Suspect, Suspects
from crypto_core.keys.changes.blocks import Block
from crypto_core.keys.changes.change import ChangeKind
from crypto_core.values.errors import EventStoreError
from screens.actions.performer import within_reach
from screens.help import Help
from screens.key_changes.block_actor import NOBODY, ChooseBlock
from screens.key_changes.change_dialog import ChangeDialog
from screens.widgets.line_list import LineList
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, harmless_after
from tests.screens.incident_scene import pane
from tests.screens.sample_events import event
from tests.screens.samples import CURRENT, NOW, OLD
from tests.screens.stage import Stage
from tests.screens.stage_incidents import incident_view
from tests.screens.test_hostile_events import hostile

INTRUDER = records.user()["arn"]
BOT = INTRUDER.replace("intruder", "build-bot")
BLOCKED = "⊘ blocked on alias/tokens …9f2c since 12:00:00 by ana (journal)"


def there(*, keys: tuple[str | None, ...] = (CURRENT,)) -> Stage:
    """An intruder's calls, under each key one."""
    stage = Stage()
    stage.events.add([event(n, key=key, who=records.user(), ago=n) for n, key in enumerate(keys, 1)])
    return stage


def about(subject: str, *numbers: int) -> Finding:
    """A finding about a key or a principal, by events of those numbers."""
    ids = tuple(event(n).event_id for n in numbers)
    return Finding(
        rule="trail-new-principal",
        severity=Severity.HIGH,
        subject=subject,
        title="decrypted for the first time",
        evidence="",
        remedy="",
        events=ids,
    )


@asynccontextmanager
async def page(name: str, stage: Stage, **more: Any) -> AsyncIterator[Deck]:
    """A page that names the intruder under the current key."""
    if name == "finding":
        stage.findings, stage.trail_findings = (), (about(INTRUDER, 1),)
    if name == "suspect":
        stage.incidents.add(incident_view(scope=IncidentScope(key=CURRENT)))
        stage.incidents.about = Suspects((Suspect(INTRUDER, ("it decrypted",), (), 1, NOW, NOW),))
    start = {"finding": "findings", "suspect": "incidents"}.get(name, "events")
    async with deck(stage, start=start, size=LARGE, **more) as d:
        ways = {"principal": ("T",), "event page": ("enter",), "suspect": ("enter",)}
        await d.press(*ways.get(name, ()))
        await d.tick(1)
        yield d


PAGES = pytest.mark.parametrize("name", ["principal", "event page", "event", "finding", "suspect"])


def told(d: Deck) -> str:
    return " ".join(f"{d.says()} {d.text()}".split())


@pytest.mark.deep
@PAGES
async def test_whoever_is_named_is_blocked_seen_as_blocked_and_let_in_again_by_name(name: str) -> None:
    async with page(name, there()) as d:
        screen = d.app.screen
        assert "O block" in d.text()
        assert "U unblock" in d.text()
        assert BLOCKED not in told(d)
        await d.press("U")
        assert d.app.screen is screen
        await d.press("O")
        assert isinstance(d.app.screen, ChangeDialog)
        assert isinstance(d.app.focused, Button)
        assert d.app.focused.id == "cancel"
        (change,) = d.stage.changes
        assert (change.kind, change.key, change.principal) == (ChangeKind.BLOCK, CURRENT, INTRUDER)
        await d.press("enter")
        assert d.app.screen is screen
        assert d.stage.blocks == ()
        await d.press("O", "right", "enter", "enter")
        assert d.app.screen is screen
        text = told(d)
        assert "blocked on alias/tokens …9f2c since 12:00:00 by ana (journal)" in text or BLOCKED in text
        await d.press("O")
        assert "user/intruder blocked on alias/tokens …9f2c since 12:00:00 by ana (journal)" in d.says()
        await d.press("enter", "U")
        assert isinstance(d.app.screen, ChangeDialog)
        change = d.stage.changes[-1]
        assert (change.kind, change.key, change.principal) == (ChangeKind.UNBLOCK, CURRENT, INTRUDER)
        await d.type("alias/tokens")
        await d.press("enter", "enter")
        assert d.app.screen is screen
        assert "⊘" not in told(d)


async def test_the_page_of_an_incident_says_it_below_the_suspect() -> None:
    stage = there()
    stage.blocks = (Block(CURRENT, INTRUDER, (INTRUDER,), NOW, "arn:aws:sts::1:assumed-role/oncall/ben"),)
    async with page("suspect", stage) as d:
        await d.tick(1)  # the suspects are known by now
        assert (
            "▲ user/intruder 1 call, last 2 s ago"
            " ⊘ blocked on alias/tokens …9f2c since 12:00:00 by ben (journal)" in pane(d)
        )


async def test_of_several_keys_one_is_chosen_and_enter_alone_blocks_nobody() -> None:
    async with page("principal", there(keys=(OLD, CURRENT, OLD))) as d:
        screen = d.app.screen
        await d.press("O")
        assert isinstance(d.app.screen, ChooseBlock)
        choices = d.app.screen.query_one("#choices", LineList)
        assert choices.has_focus
        assert choices.current is not None
        assert choices.current.target == NOBODY
        lines = [line for line in d.lines() if "user/intruder" in line and " on " in line]
        assert ["77ab" in line for line in lines] == [True, False]  # the one that it used most
        await d.press("enter")
        assert d.app.screen is screen
        assert d.stage.changes == []
        await d.press("O", "down", "down", "enter")
        (change,) = d.stage.changes
        assert (change.key, change.principal) == (CURRENT, INTRUDER)


async def test_of_several_suspects_one_is_chosen_and_who_is_blocked_is_not_offered_again() -> None:
    stage = there()
    stage.blocks = (Block(CURRENT, INTRUDER, (INTRUDER,)),)
    async with page("suspect", stage) as d:
        more = tuple(Suspect(arn, ("why",)) for arn in (INTRUDER, BOT, f"{BOT}-2"))
        d.stage.incidents.about = Suspects(more)
        await d.tick(60)
        await d.press("O")
        shown = d.text()
        assert "user/build-bot " in shown
        assert "user/build-bot-2" in shown
        assert not [x for x in d.lines() if "user/intruder" in x and " on alias" in x and "⊘" not in x]
        await d.press("down", "enter")
        assert d.stage.changes[-1].principal == BOT


async def test_a_finding_about_a_key_leads_to_who_did_it() -> None:
    stage = there(keys=(CURRENT, OLD))
    async with page("finding", stage) as d:
        d.stage.trail_findings = (about(OLD, 1, 2),)
        await d.press("r", "O")
        (change,) = d.stage.changes
        assert (change.key, change.principal) == (OLD, INTRUDER)


async def test_a_finding_about_neither_key_nor_principal_leads_to_who_did_it_or_to_nobody() -> None:
    trail = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"
    async with page("finding", there()) as d:
        d.stage.trail_findings = (about(trail, 1),)
        await d.press("r", "O")
        assert [(change.key, change.principal) for change in d.stage.changes] == [(CURRENT, INTRUDER)]
    async with page("finding", there()) as d:
        d.stage.trail_findings = (about("eu-west-1"),)
        await d.press("r", "O")
        assert not isinstance(d.app.screen, ChooseBlock | ChangeDialog)


async def test_without_a_key_in_the_record_the_listed_keys_are_proposed() -> None:
    stage = Stage()
    stage.events.add([event(1, "AssumeRole", key=None, who=records.user())])
    async with page("event page", stage) as d:
        await d.press("O")
        assert isinstance(d.app.screen, ChooseBlock)
        assert sum("user/intruder" in line and " on " in line for line in d.lines()) == len(stage.keys)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (
            {"type": "AWSService", "invokedBy": "rds.amazonaws.com"},
            "rds.amazonaws.com is an AWS service, not an IAM role or user: block whoever calls it.",
        ),
        (
            {"type": "Root", "arn": "arn:aws:iam::123456789012:root", "accountId": "123456789012"},
            "arn:aws:iam::123456789012:root is a whole account, not an IAM role or user: block these one by",
        ),
    ],
    ids=["service", "root"],
)
async def test_who_cannot_be_blocked_is_told_in_a_sentence(who: dict[str, Any], words: str) -> None:
    stage = Stage()
    stage.events.add([event(1, who=who)])
    async with deck(stage, start="events", size=LARGE) as d:
        await d.filter("*")
        await d.press("enter", "O")
        assert words in d.says()
        await d.press("enter")
        assert stage.changes == []


async def test_everyone_cannot_be_blocked_either() -> None:
    async with page("finding", there()) as d:
        d.stage.trail_findings = (about("*"),)
        await d.press("r", "O")
        assert "Everyone (*) can't be blocked: it is not an IAM role or user." in d.says()


async def test_where_nobody_is_named_the_keys_are_grey_and_the_help_says_the_rest() -> None:
    stage = Stage()
    stage.findings = ()
    async with deck(stage, start="findings", size=LARGE) as d:
        await d.press("O", "U")
        assert not isinstance(d.app.screen, ChooseBlock)
        possible = {a.id: actor.possible(a) for actor, a in within_reach(d.app.screen)}
        assert possible["blocking.block"] is possible["blocking.unblock"] is None
        await d.press("1")
        assert not [a.id for _, a in within_reach(d.app.screen) if a.id.startswith("blocking")]
        await d.press("question_mark")
        assert isinstance(d.app.screen, Help)
        assert ":block" not in d.says()


async def test_what_cannot_be_looked_up_is_told_and_nothing_is_done() -> None:
    stage = there()
    async with page("principal", stage) as d:
        stage.faults["events.tally"] = EventStoreError("The store is damaged.")
        await d.press("O")
        assert "The store is damaged." in d.says()
        await d.press("enter")
        assert stage.changes == []


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_names_are_harmless_wherever_somebody_is_blocked(
    text: str, size: tuple[int, int]
) -> None:
    stage = Stage()
    long = f"arn:aws:iam::123456789012:role/{'very-long/' * 40}{'x' * 64}"
    stage.events.add([hostile(1, text), event(2, who=records.user(), ago=5)])
    stage.blocks = (Block(CURRENT, text, (text, "*"), NOW, text), Block(OLD, long, (long, "*"), NOW, text))
    stage.block_gaps = (text,)
    stage.findings = (replace(about(text, 1, 2), title=text), replace(about(OLD, 1, 2), title=text))
    stage.incidents.add(incident_view(scope=IncidentScope(key=CURRENT)))
    suspects = (Suspect(text, (text,)), Suspect(long, (text,)), Suspect(INTRUDER, (text,)))
    stage.incidents.about = Suspects(suspects)
    for start, ways in (("events", ("enter", "T")), ("findings", ("down",)), ("incidents", ("enter",))):
        async with deck(stage, start=start, size=size) as d:
            for way in ("", *ways):
                if way:
                    await d.press(way)
                await d.tick(1)
                await harmless_after(d, size, "O", "down", "escape", "U", "down", "enter", "escape")
