"""Whatever changes something names its operation: actions on screen, commands, actions of runbooks."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import click
import pytest

from console.__main__ import keydeck
from console.capabilities import not_installed
from console.commands.operation_command import OperationCommand
from console.container import Container
from crypto_core.guard.operations import OPERATIONS
from crypto_core.incidents.runbooks.catalogue import ActionKind
from screens.actions.action import Action
from screens.actions.registry import ACTIONS

GATES = {"may_change", "agreed", "_may_write", "ReadOnlyError"}
"""What is called before anything is changed, or refuses it."""
LOOKING = {
    *(
        "approvals list",
        "approvals show",
        "check",
        "completion",
        "connections",
        "discover",
        "copies list",
        "copies show",
        "scan",
        "doctor",
        "grants",
        "help",
        "inspect",
        "status",
    ),
    *("events list", "events pivot", "events principal", "events show"),
    *("events stats", "events token"),
    *("events provider cover", "events provider list", "events provider show"),
    *(
        "events watch",
        "findings",
        "findings rules",
        "findings suppressions",
        "incident check",
        "incident evidence",
    ),
    *("incident list", "incident report", "incident runbooks", "incident show", "incident verify-report"),
    *(
        "jobs list",
        "jobs show",
        "jobs watch",
        "journal export",
        "journal list",
        "journal verify",
        "keys grants",
        "keys list",
    ),
    *("estates", "incident follow-up list", "incident handover"),
    *("evidence cbom", "evidence pack", "evidence schedule", "evidence status", "evidence verify"),
    "evidence verifier",
    *("notify list", "notify test", "whose index duplicates", "whose index status"),
    "tripwire list",
    *("keys materials", "keys policy", "keys replace", "keys show", "metrics", "settings", "verify"),
}
"""The commands that change nothing."""
OWN_MACHINE = {
    *("abilities", "demo", "serve", "events export", "events import", "events pull"),
    *("events receipts", "events review", "events vacuum"),
    *("events provider hash", "events provider import", "events provider pull"),
}
"""Those that change nothing but what this host keeps for itself: events, answers, a sandbox."""
DECLARING = {"whose"}
"""Those that change nothing, but declare an incident about what they found where that was asked for."""
TELLING = {"notify send", "watch"}
"""Those that change nothing but what Keydeck remembers of what it has told."""


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{before} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
            if command.invoke_without_command:
                yield words, command
        else:
            yield words, command


def left_out(words: Sequence[str]) -> bool:
    """Whether a command, or the group that it is in, is one of a capability that is not here."""
    return any(not_installed(" ".join(words[:number])) for number in (1, 2))


def test_every_command_names_its_operation_or_only_looks() -> None:
    found = dict(commands(keydeck))
    performing = {words for words, command in found.items() if isinstance(command, OperationCommand)}
    named = LOOKING | OWN_MACHINE | TELLING | DECLARING
    assert set(found) - performing == {words for words in named if not left_out(words.split())}
    for words in performing:
        command = found[words]
        assert isinstance(command, OperationCommand)
        assert command.operation.changes, words
        options = {option.name for option in command.params}
        assert {"yes", "dry_run"} <= options or not command.operation.planned, words


def test_every_operation_that_changes_anything_can_be_performed() -> None:
    performed = {action.operation.name for action in ACTIONS if action.operation is not None}
    performed |= {c.operation.name for _, c in commands(keydeck) if isinstance(c, OperationCommand)}
    performed |= {operation.name for kind in ActionKind for operation in kind.does.operations}
    here = (one for one in OPERATIONS if not left_out(one.name.split()))
    assert {operation.name for operation in here if operation.changes} <= performed


def gated(called: Any, seen: set[tuple[type, str]]) -> bool:
    """Whether a service's method passes a gate: itself, or by what it calls of its own parts."""
    owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    module = str(type(owner).__module__)
    # KMS is asked read only, too: what of that is refused is refused before anything is sent.
    ours = module.startswith(("crypto_core", "console")) and not module.startswith("crypto_core.aws")
    if not ours or (type(owner), name) in seen:
        return False
    seen.add((type(owner), name))
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(called)))))
    if any(getattr(n, "attr", None) in GATES or getattr(n, "id", None) in GATES for n in nodes):
        return True
    ways = [way_of(node) for node in nodes]
    return any(gated(at_end_of(owner, way[1:]), seen) for way in ways if way[:1] == ["self"])


def at_end_of(owner: object, names: list[str]) -> object:
    return reduce(lambda at, name: getattr(at, name, None), names, owner)


def way_of(node: ast.AST) -> list[str]:
    """The names of what is called: self._decisions.skip(…) is self, _decisions, skip."""
    if not isinstance(node, ast.Call):
        return []
    names: list[str] = []
    at: ast.expr = node.func
    while isinstance(at, ast.Attribute):
        names.insert(0, at.attr)
        at = at.value
    return [at.id, *names] if isinstance(at, ast.Name) and names else []


@pytest.mark.parametrize("calls", sorted({action.calls for action in ACTIONS if action.calls}))
def test_an_action_that_calls_what_can_be_refused_read_only_names_an_operation(
    calls: str, services: Container
) -> None:
    service, _, method = calls.partition(".")
    target = services.approvals if service == "approvals" else services.services.named(service)
    changing = {changes(action) for action in ACTIONS if action.calls == calls and not stops(action)}
    assert changing == {gated(getattr(target, method), set())}


def changes(action: Action) -> bool:
    return action.operation is not None and bool(action.operation.changes)


def stops(action: Action) -> bool:
    """Whether it only ends what its call has begun."""
    return action.id == "incident.stop"
