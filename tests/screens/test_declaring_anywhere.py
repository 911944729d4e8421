"""An incident is declared from wherever something is seen, with what is known there filled in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.findings.finding import Finding
from crypto_core.incidents.model import IncidentScope
from crypto_core.keys.state import KeyState
from screens.incidents.declare import DeclareDialog, SubjectChoice, key_choices
from screens.widgets.line_list import LineList
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, harmless_after
from tests.screens.sample_events import event
from tests.screens.samples import CURRENT, OLD
from tests.screens.stage import Stage
from tests.screens.test_blocks import INTRUDER, about, there
from tests.screens.test_hostile_events import hostile


def offered(d: Deck) -> list[str]:
    """The lines of the dialog's list."""
    assert isinstance(d.app.screen, DeclareDialog)
    return [line.content.plain for line in d.app.screen.query_one("#choices", LineList).written]


def declared(stage: Stage) -> IncidentScope:
    """What the only incident is about."""
    (view,) = stage.incidents.views.values()
    return view.incident.scope


async def test_from_a_principal_its_keys_are_proposed_with_most_calls_first() -> None:
    stage = there(keys=(CURRENT, OLD, OLD))
    async with deck(stage, start="events", size=LARGE) as d:
        await d.press("T")
        await d.press("I")
        titles = " ".join(offered(d))
        assert "KMS key compromise" in titles
        assert "token compromise" in titles.lower()
        assert "Restore drill" not in titles
        await d.press("enter")
        assert "Those that its events name come first." in d.says()
        assert [("77ab" in line, "9f2c" in line) for line in offered(d)[:2]] == [(True, False), (False, True)]
        await d.press("enter", "enter")
        scope = declared(stage)
        assert (scope.key, scope.principal) == (OLD, INTRUDER)
        assert scope.since == min(event(n, ago=n).time for n in (1, 2, 3))
        assert scope.origin == f"principal {INTRUDER}"


async def test_a_finding_about_a_principal_proposes_the_keys_of_its_events() -> None:
    stage = there(keys=(CURRENT, OLD, OLD, OLD))
    stage.findings = ()
    at = event(1, ago=1).time
    stage.trail_findings = (replace(about(INTRUDER, 1), first_at=at),)
    async with deck(stage, start="findings", size=LARGE) as d:
        await d.press("I", "enter")
        assert "Those that its events name come first." in d.says()
        assert "9f2c" in offered(d)[0]
        await d.press("enter", "enter")
        scope = declared(stage)
        assert (scope.key, scope.principal, scope.since) == (CURRENT, INTRUDER, at)


@pytest.mark.parametrize("name", ["DisableKey", "Decrypt"])
async def test_the_runbook_that_fits_best_comes_first(name: str) -> None:
    stage = Stage()
    stage.events.add([event(1, name, who=records.user())])
    async with deck(stage, start="events", size=LARGE) as d:
        first = stage.incidents.books[0]
        lost = replace(first, id="key-lost", title="KMS key lost")
        stage.incidents.books = (*stage.incidents.books, lost)
        await d.press("I")
        assert ("KMS key lost" in offered(d)[0]) is (name == "DisableKey")


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_principals_are_declared_without_harm(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    stage.events.add([hostile(1, text)])
    hostile_finding: Finding = replace(about(text, 1), title=text)
    stage.findings, stage.trail_findings = (), (hostile_finding,)
    for start, ways in (("events", ("T",)), ("findings", ())):
        async with deck(stage, start=start, size=size) as d:
            if start == "events":
                await d.filter("*")
            await d.press(*ways)
            await harmless_after(d, size, "I", "enter", "enter", "enter")


def test_a_multi_region_key_is_offered_once_by_its_primary_as_far_as_that_answers() -> None:
    primary, replica = (
        f"arn:aws:kms:{region}:111122223333:key/mrk-1" for region in ("eu-west-1", "eu-west-2")
    )
    down = [KeyState(replica, "eu-west-2", primary_arn=primary), KeyState(OLD, "eu-west-1")]
    listed = [*down, KeyState(primary, "eu-west-1", primary_arn=primary)]
    assert key_choices((), listed) == (SubjectChoice(primary, False), SubjectChoice(OLD, False))
    assert key_choices((replica,), listed) == (SubjectChoice(primary, True), SubjectChoice(OLD, False))
    assert key_choices((), down) == (SubjectChoice(replica, False), SubjectChoice(OLD, False))
