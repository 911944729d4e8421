"""Every table over an enum has every member: one that is missing would end a screen with a KeyError."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Any

import pytest

import console
import crypto_core
import screens
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.envelope.formats import MARKS
from tests.left_out import GONE, is_left_out

ROOTS = (console, screens, crypto_core)
NOT_IMPORTED = ("__main__", "crypto_core.database.state.migrations.env")
"""What runs when it is imported."""

PARTS: Mapping[type[Enum], tuple[frozenset[Enum], ...]] = {
    Format: (frozenset(ENVELOPE_FORMATS), frozenset(Format) - set(ENVELOPE_FORMATS), frozenset(MARKS)),
}
"""Named parts of an enum: a table of all of a part is total, too."""

_JOINED = "its members are joined with those of the other toolboxes, which a test of the container counts"
INTENDED: Mapping[str, str] = {
    "console.commands.key_changes:_TAKES": "the commands of the others take a key and its argument",
    "console.practice.game_day.runbook_work:ROLES": "whom the game's keys are for: a value, no table",
    "console.practice.game_day.score:_WORDS": "closing an incident has no time that counts",
    "crypto_core.compliance.control_tests.tokens:_ALGORITHMS": "an empty value holds no token",
    "crypto_core.incidents.keys.captures:by_kind": _JOINED,
    "crypto_core.incidents.keys.lifecycle:lifecycle_actions": _JOINED,
    "crypto_core.incidents.keys.rotation.guide:CHECKS": "a guide's; a test compares it with the steps",
    "crypto_core.incidents.keys.toolbox:key_tools": _JOINED,
    "crypto_core.incidents.steps.own_checks:own_checks": _JOINED,
    "crypto_core.incidents.tokens.toolbox:token_tools": _JOINED,
    "crypto_core.forensics.abilities.incident_tools:ability_tools": _JOINED,
    "crypto_core.forensics.provider_logs.incident_tools:tools": _JOINED,
    "crypto_core.forensics.tripwires.incident_tools:tools": _JOINED,
    "crypto_core.keys.changes.change:ARGUMENTS": "the others take a key alone, and create has a form",
    "crypto_core.trail.sources.engines.event_columns:_marks": "the others are known once an event is read",
    "screens.jobs.new_job:_VERB_PURPOSES": "the choices of a dialog: what is encrypted is chosen elsewhere",
}
"""Partial tables, by module and name, and why nothing is missing. None more without a reason."""


@cache
def modules() -> tuple[ModuleType, ...]:
    names = [
        found.name
        for root in ROOTS
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}.")
        if not found.name.endswith(NOT_IMPORTED)
    ]
    return tuple(map(importlib.import_module, names))


def enum_of(keys: list[Any]) -> type[Enum] | None:
    kinds = {type(key) for key in keys}
    kind = kinds.pop() if len(kinds) == 1 else None
    ours = isinstance(kind, type) and issubclass(kind, Enum)
    return kind if ours and kind.__module__.startswith(tuple(root.__name__ for root in ROOTS)) else None


def tables_in(name: str, value: object) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    if isinstance(value, Mapping):
        if enum_of(list(value)):
            yield name, value
        for inner in value.values():
            yield from tables_in(name, inner)


def standing_tables(module: ModuleType) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Tables of a module and of its classes; not those that it imports."""
    own = {target.id for target in _targets(module)}
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and not issubclass(value, Enum):
            for attribute, inner in vars(value).items():
                yield from tables_in(f"{name}.{attribute}", inner)
        elif name in own:
            yield from tables_in(name, value)


def _targets(module: ModuleType) -> Iterator[ast.Name]:
    for node in tree_of(module).body:
        found = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (one for one in found if isinstance(one, ast.Name))


@cache
def tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def written_tables(module: ModuleType) -> Iterator[tuple[str, list[Enum]]]:
    """The keys of the tables that functions write down, by the function's name; none that takes in others."""
    for function in ast.walk(tree_of(module)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Dict):
                    keys = [_member(module, key) for key in node.keys]
                    if enum_of(keys):
                        yield function.name, keys


def _member(module: ModuleType, node: ast.expr | None) -> Any:
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=member):
            return getattr(getattr(module, name, None), member, None)
        case _:
            return None


def found_tables() -> Iterator[tuple[str, list[Enum], Mapping[Any, Any] | None]]:
    for module in modules():
        for name, table in standing_tables(module):
            yield f"{module.__name__}:{name}", list(table), table
        for name, keys in written_tables(module):
            yield f"{module.__name__}:{name}", keys, None


def is_total(keys: list[Enum]) -> bool:
    kind = type(keys[0])
    return set(keys) == set(kind) or frozenset(keys) in PARTS.get(kind, ())


@pytest.fixture(scope="module")
def partial() -> dict[str, str]:
    """The tables that lack members, and which; those whose entries all stand in a total table don't count."""
    found = list(found_tables())
    whole = [table for _, keys, table in found if table is not None and is_total(keys)]
    assert len(found) > (60 if GONE else 80), "the tables were not found"
    return {
        name: ", ".join(sorted(one.name for one in set(type(keys[0])) - set(keys)))
        for name, keys, table in found
        if not is_total(keys)
        and not (table and any(all(other.get(k) is v for k, v in table.items()) for other in whole))
    }


def test_every_table_over_an_enum_is_total_or_says_why_not(partial: dict[str, str]) -> None:
    assert {name: missing for name, missing in partial.items() if name not in INTENDED} == {}


def test_no_table_is_excused_that_is_total(partial: dict[str, str]) -> None:
    wanted = {name for name in INTENDED if not is_left_out(name.replace(".", "/"))}
    assert sorted(wanted - set(partial)) == []


def test_a_missing_member_is_found_at_any_depth() -> None:
    class Owner:
        TABLE = {"by format": {Format.V1: 1, Format.DEV: 2}}  # noqa: RUF012

    [(_, table)] = tables_in("TABLE", Owner.TABLE)
    assert not is_total(list(table))
    assert is_total(list(dict.fromkeys(Format)))
