"""The registry of actions: what is in it can be done by key and by command."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from console.capabilities import manifests
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckResult, CheckState, StepState
from crypto_core.incidents.people import FollowUp, People
from crypto_core.keys.changes.blocks import Block
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.clean_text import NO_TEXT, clean
from crypto_core.values.errors import NotConfirmedError, ReadOnlyError
from screens.actions.action import Action
from screens.actions.performer import Actor, bindings, within_reach
from screens.actions.registry import ACTIONS, BY_ID, BY_SCOPE
from screens.help import Help
from screens.services import Services
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.sample_events import a_day
from tests.screens.samples import CURRENT, NOW
from tests.screens.stage import Stage
from tests.screens.stage_incidents import approval, key_compromise, with_steps
from tests.screens.stage_jobs import job_view
from tests.screens.test_context import StageContexts

CHANGING = [action for action in ACTIONS if action.changes]
ANYWHERE = ("everywhere", "list")
REACH = {
    "status": ("status", *ANYWHERE),
    "connections": ("connections", "table", *ANYWHERE),
    "keys": ("key", "table", *ANYWHERE),
    "key": ("key", *ANYWHERE),
    "rotation": ("rotation", *ANYWHERE),
    "incidents": ("incidents", "table", *ANYWHERE),
    "incident": ("incident", "blocking", *ANYWHERE),
    "evidence": ("evidence", *ANYWHERE),
    "people": ("people", *ANYWHERE),
    "estates": ("estates", *ANYWHERE),
    "approvals": ("approvals", *ANYWHERE),
    "jobs": ("job", "table", *ANYWHERE),
    "job": ("job", *ANYWHERE),
    "findings": ("findings", "blocking", "table", *ANYWHERE),
    "compliance": ("compliance", *ANYWHERE),
    "log": ("log", "table", *ANYWHERE),
    "principal": ("principal", "blocking", *ANYWHERE),
    "events": ("events", "blocking", "table", *ANYWHERE),
    "event": ("event", "blocking", *ANYWHERE),
    "pivots": ("pivots", *ANYWHERE),
    "manual": ("manual", *ANYWHERE),
}


def reach(screen: str) -> list[Action]:
    return [action for scope in REACH[screen] for action in BY_SCOPE[scope]]


def actor_of(d: Deck, action: Action) -> Actor:
    return next(actor for actor, found in within_reach(d.app.screen) if found is action)


async def make_everything_possible(d: Deck) -> None:
    if d.app.current_mode == "connections":
        await d.filter("provider:jira")
        await d.press("space")
        d.stage.hold("page")
        await d.press("r")


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.contexts = StageContexts(stage)
    return stage


def recorder(done: list[tuple[str, tuple[str, ...]]], action: Action) -> Any:
    return lambda _actor, *arguments: done.append((action.id, arguments))


def test_ids_are_unique() -> None:
    assert [i for i, n in Counter(action.id for action in ACTIONS).items() if n > 1] == []


def test_every_action_has_a_key_and_a_command_and_says_what_it_does() -> None:
    for action in ACTIONS:
        assert action.keys
        assert action.commands[0] == action.name
        assert action.explanation.strip()
    ids = [binding.id for scope in BY_SCOPE for binding in bindings(scope)]
    assert ids == [action.id for scope in BY_SCOPE for action in BY_SCOPE[scope]]


@pytest.mark.parametrize("screen", REACH)
def test_no_two_actions_in_reach_of_one_another_share_a_key_or_a_command(screen: str) -> None:
    keys = Counter(key for action in reach(screen) for key in action.keys.split(","))
    commands = Counter(command for action in reach(screen) for command in action.commands)
    assert [key for key, number in keys.items() if number > 1] == []
    assert [command for command, number in commands.items() if number > 1] == []


@cache
def _service_classes(module: str = "screens.services") -> dict[str, Any]:
    """What a module imports for types alone, as each service is loaded with its first use."""
    named: dict[str, Any] = {}
    for node in ast.walk(ast.parse(Path(str(import_module(module).__file__)).read_text())):
        ours = ("console", "crypto_core", "screens")
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(ours):
            named |= {n.name: getattr(import_module(str(node.module)), n.name) for n in node.names}
    return named


@pytest.mark.parametrize("action", [action for action in ACTIONS if action.calls], ids=lambda a: a.id)
def test_the_call_that_an_action_names_is_there(action: Action) -> None:
    service, _, method = action.calls.partition(".")
    added = {name: path for one in manifests() for name, path in one.services.items()}
    if service in added:
        owner = resolve_name(added[service])
        classes = _service_classes(owner.__module__)
        kind = get_type_hints(vars(owner)[service].func, localns=classes)["return"]
        assert callable(getattr(kind, method))
        assert callable(getattr(Stage().added[service], method))
        return
    hint = get_type_hints(Services, localns=_service_classes())[service]
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    for kind in kinds:  # a method, or another service's that it hands on
        assert callable(getattr(kind, method, None)) or method in kind.__init__.__code__.co_names
    assert callable(getattr(getattr(Stage().services(), service), method))


@pytest.mark.parametrize("action", CHANGING, ids=lambda a: a.id)
def test_what_changes_anything_is_dangerous_and_names_the_call_that_does_it(action: Action) -> None:
    assert action.danger in (Danger.TYPED, Danger.CONFIRM)
    assert action.calls


def test_nothing_else_is_dangerous() -> None:
    assert CHANGING
    assert [action.id for action in ACTIONS if action.danger is not Danger.NONE] == [a.id for a in CHANGING]


def test_who_carries_out_a_change_refuses_without_consent_and_when_read_only() -> None:
    stage = Stage()
    work = stage.services().work
    refs = tuple(row.ref for row in stage.rows if row.format.value == "plaintext")[:2]
    plan = work.plan_reencryption(Verb.ENCRYPT, Selection(references=refs), CURRENT)
    for consent in (None, Consent.pressed(plan), Consent.typed(plan, "3")):
        with pytest.raises(NotConfirmedError):
            work.run_plan(plan, consent)
    stage.read_only = True
    with pytest.raises(ReadOnlyError):
        work.run_plan(plan, Consent.typed(plan, "2"))
    assert "run" not in stage.calls


async def test_what_calls_a_service_that_is_not_there_is_not_offered(stage: Stage) -> None:
    without = replace(stage.services(), approvals=None)
    stage.services = lambda: without  # type: ignore[method-assign]
    async with deck(stage, start="incidents", size=LARGE) as d:
        offered = {action.id for _, action in within_reach(d.app.screen)}
        assert "incidents.approvals" not in offered
        assert "incidents.new-incident" in offered


IN_REACH: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "connections": ("connections", (), REACH["connections"]),
    "log": ("log", (), REACH["log"]),
    "keys": ("keys", (), ("key",)),
    "key": ("keys", ("enter",), ("key",)),
    "events": ("events", (), ("events",)),
    "event": ("events", ("enter",), ("event",)),
}
"""Of some screens and pages: the keys that lead there, and the scopes whose actions are done there."""


@pytest.mark.quick(2)
@pytest.mark.parametrize("place", IN_REACH)
async def test_every_action_is_done_by_each_of_its_keys_and_commands(
    place: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, keys, scopes = IN_REACH[place]
    stage.events.add(a_day())
    async with deck(stage, start=start, size=LARGE) as d:
        await d.press(*keys)
        await make_everything_possible(d)
        for action in (action for scope in scopes for action in BY_SCOPE[scope]):
            actor = actor_of(d, action)
            if not actor.possible(action):
                assert place == "log", f"{action.id} is not possible"
                continue
            argument = ("x",) if action.argument else ()
            ways = {key: (d.pilot.press(key), ("",) * len(argument)) for key in action.keys.split(",")}
            for command in action.commands:
                ways[f":{command}"] = d.app.run_command(" ".join((command, *argument))), argument
            for way, (doing, given) in ways.items():
                done: list[Any] = []
                with monkeypatch.context() as patch:
                    patch.setattr(type(actor), action.method, recorder(done, action))
                    await doing
                    await d.pilot.pause()
                assert done == [(action.id, given)], way


async def test_a_command_that_is_typed_is_done_with_its_argument() -> None:
    async with deck(start="connections") as d:
        await d.command("filter provider:jira")
        assert "provider:jira" in d.lines()[1]


STARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "key": ("keys", ()),
    "job": ("jobs", ()),
    "blocking": ("events", ()),
    "principal": ("events", ("T",)),
    "event": ("events", ("enter",)),
    "incident": ("incidents", ("enter",)),
    "people": ("incidents", ("enter", "l")),
    "approvals": ("incidents", ("H",)),
}
"""Where the actions of a scope are done, if not on the screen of its name: the screen, and keys there."""


def world_of(action: Action) -> str:
    if action.name in ("answer", "reopen", "accept-lost"):
        return action.name
    return {"job.resume-job": "paused", "job.restore-job": "done"}.get(action.id, "")


def make(stage: Stage, world: str) -> None:
    """Events, an approval, a job and an incident, in the state that some actions need."""
    stage.events.add(a_day())
    stage.blocks = (Block(CURRENT, "arn:aws:iam::123456789012:role/platform", ("*",)),)
    stage.approvals.add(approval())
    view = key_compromise()
    if world == "answer":
        view = with_steps(view, reencrypt=StepState.DONE)
    elif world == "accept-lost":
        check = CheckResult(CheckState.FAILED, lost=2)
        view = replace(view, steps=tuple(replace(step, check=check) for step in view.steps))
    elif world == "reopen":
        view = with_steps(view, **{step.step.id: StepState.DONE for step in view.steps})
    elif world:
        stage.jobs.views[31] = job_view(state=JobState.PAUSED if world == "paused" else JobState.DONE)
    follow_up = FollowUp(1, clean("Tell the owners"), NO_TEXT, None, NOW, NO_TEXT)
    stage.incidents.add(replace(view, people=People(follow_ups=(follow_up,))))


def placed() -> dict[tuple[str, tuple[str, ...], str], list[Action]]:
    """The changing actions by where they are done and what must be there."""
    places: dict[tuple[str, tuple[str, ...], str], list[Action]] = {}
    for action in CHANGING:
        start, ways = STARTS.get(action.scope, (action.scope, ()))
        on = ("down",) * 3 if action.id == "people.follow-up-done" else ()
        places.setdefault((start, (*ways, *on), world_of(action)), []).append(action)
    return places


PLACED = placed()


@pytest.mark.quick(4)
@pytest.mark.parametrize("place", PLACED, ids=lambda place: "-".join((place[0], *place[1], place[2])))
async def test_read_only_refuses_whatever_changes_anything_by_key_and_by_command(
    place: tuple[str, tuple[str, ...], str],
) -> None:
    start, ways, world = place
    stage = Stage(read_only=True)
    make(stage, world)
    async with deck(stage, start=start) as d:
        for key in ways:
            await d.press(key)
            await d.tick(1)  # what a page asks for by itself it has asked for now
        await d.tick(1)
        screen, before = d.app.screen, list(d.stage.calls)
        for action in PLACED[place]:
            for way in (d.press(action.keys.split(",")[0]), d.app.run_command(action.name)):
                d.app.clear_notifications()
                await way
                await d.settle()
                assert d.app.screen is screen
                assert d.toasts() == [f"Read-only: {action.title} is refused."]
                assert set(d.stage.calls) == set(before)


def test_every_changing_action_is_among_those_that_read_only_refuses() -> None:
    assert Counter(a.id for actions in PLACED.values() for a in actions) == Counter(a.id for a in CHANGING)


async def test_read_only_is_also_what_the_database_says_of_itself() -> None:
    stage = Stage()
    async with deck(stage, start="connections") as d:
        stage.read_only = True
        await d.press("r", "x")
        assert d.toasts() == ["Read-only: encrypt in place is refused."]


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "screen",
    ["status", "connections", "keys", "events", "incidents", "jobs", "findings", "compliance", "log"],
)
async def test_help_lists_all_that_is_in_reach_with_its_command(screen: str) -> None:
    async with deck(start=screen, size=(160, 60)) as d:
        await d.press("question_mark")
        assert isinstance(d.app.screen, Help)
        told = d.says()
    for action in reach(screen):
        assert f":{action.name} " in told
        assert action.explanation in " ".join(told.split())
    here = {action.name for action in reach(screen)}
    for action in (action for action in ACTIONS if action.name not in here):
        assert f":{action.name} " not in told


def test_an_action_is_found_by_its_id() -> None:
    assert BY_ID["connections.verify"].method == "do_verify"
    assert BY_ID["list.page-down"].method == "do_page_down"
