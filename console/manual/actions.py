"""Every key and command of the console, from its actions."""

from __future__ import annotations

from textual.keys import format_key

from console.manual.commands import escaped_cell
from screens.actions.action import Action
from screens.actions.registry import BY_SCOPE

_PLACES = {
    "list": "In a list or a page",
    "table": "In a table",
    "groups": "Connections in groups",
    "key": "A KMS key, in the list and on its page",
    "rotation": "A manual rotation",
    "event": "An event",
    "pivots": "Counts of events",
    "principal": "A principal",
    "blocking": "Where a principal is named: principals, events, findings, incidents",
    "incident": "An incident",
    "evidence": "Evidence of an incident, or behind a day of a control",
    "people": "Who does what in an incident",
    "job": "Jobs, in the list and on a job's page",
    "manual": "A page of the manual",
}
"""What is called otherwise than its scope."""


def markdown() -> str:
    lines: list[str] = []
    for scope, actions in BY_SCOPE.items():
        lines += [f"## {_PLACES.get(scope, scope.capitalize())}", "", "| key | command | |", "|---|---|---|"]
        lines += [*map(_row, actions), ""]
    return "\n".join(lines)


def _row(action: Action) -> str:
    keys = " ".join(f"`{key}`" for key in _keys(action))
    command = f":{action.name} {action.argument}".rstrip().replace("|", "\\|")
    return f"| {keys} | `{command}` | {escaped_cell(action.explanation)} |"


def _keys(action: Action) -> list[str]:
    first, *more = (format_key(key) for key in action.keys.split(","))
    return [action.display or ("Enter" if first == "⏎" else first), *more]
