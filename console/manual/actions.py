"""Every key and command of the console, from its actions."""

from __future__ import annotations

from textual.keys import format_key

from console.manual.commands import escaped_cell
from screens.actions.action import Action, ActionScope
from screens.actions.registry import of_scope

_PLACES: dict[ActionScope, str] = {
    ActionScope.EVERYWHERE: "Everywhere",
    ActionScope.LIST: "In a list or a page",
    ActionScope.TABLE: "In a table",
    ActionScope.STATUS: "Status",
    ActionScope.CONNECTIONS: "Connections",
    ActionScope.GROUPS: "Connections in groups",
    ActionScope.KEYS: "Keys",
    ActionScope.KEY: "A KMS key, in the list and on its page",
    ActionScope.POLICY: "A key's policy",
    ActionScope.ROTATION: "A manual rotation",
    ActionScope.EVENTS: "Events",
    ActionScope.EVENT: "An event",
    ActionScope.PIVOTS: "Counts of events",
    ActionScope.PRINCIPAL: "A principal",
    ActionScope.BLOCKING: "Where a principal is named: principals, events, findings, incidents",
    ActionScope.FINDINGS: "Findings",
    ActionScope.COMPLIANCE: "Compliance",
    ActionScope.INCIDENTS: "Incidents",
    ActionScope.INCIDENT: "An incident",
    ActionScope.EVIDENCE: "Evidence of an incident, or behind a day of a control",
    ActionScope.PEOPLE: "Who does what in an incident",
    ActionScope.ESTATES: "Estates",
    ActionScope.APPROVALS: "Approvals",
    ActionScope.JOB: "Jobs, in the list and on a job's page",
    ActionScope.LOG: "Log",
    ActionScope.MANUAL: "A page of the manual",
}


def markdown() -> str:
    lines: list[str] = []
    for scope, place in _PLACES.items():
        if actions := of_scope(scope):
            lines += [f"## {place}", "", "| key | command | |", "|---|---|---|"]
            lines += [*map(_row, actions), ""]
    return "\n".join(lines)


def _row(action: Action) -> str:
    keys = " ".join(f"`{key}`" for key in _keys(action))
    command = f":{action.name} {action.argument}".rstrip().replace("|", "\\|")
    return f"| {keys} | `{command}` | {escaped_cell(action.explanation)} |"


def _keys(action: Action) -> list[str]:
    first, *more = (format_key(key) for key in action.keys.split(","))
    return [action.display or ("Enter" if first == "⏎" else first), *more]
