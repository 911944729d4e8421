"""Every action of the console."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from crypto_core.guard.operations import BY_NAME, ChangeKind
from screens.actions.action import Action
from screens.main_screens import MAIN_SCREENS, MainPlace


@cache
def added(what: str) -> tuple[Mapping[str, Any], ...]:
    """Return a table of each manifest of screens, such as `ACTIONS`, by the one after which they stand."""
    folders = sorted(found.parent.name for found in Path(__file__).parents[1].glob("*/manifest.py"))
    manifests = (import_module(f"screens.{folder}.manifest") for folder in folders)
    return tuple(getattr(manifest, what, {}) for manifest in manifests)


def with_added(actions: Iterable[Action]) -> Iterator[Action]:
    """Yield the actions, each followed by those that stand after it."""
    for action in actions:
        yield action
        for table in added("ACTIONS"):
            yield from table.get(action.id, ())


def _action(id_: str, explanation: str, keys: str, *, title: str = "", **more: Any) -> Action:
    """An action that performs no operation."""
    return Action(id_, title or id_.partition(".")[2].replace("-", " "), explanation, keys, **more)


def _lead_to(place: MainPlace) -> Action:
    explanation = f"{place.name.capitalize()}: {place.question}"
    return _action(f"everywhere.{place.name}", explanation, place.key, calls=place.calls, shown=place.shown)


def _does(
    operation: str, id_: str, keys: str, *, title: str = "", explanation: str = "", **more: Any
) -> Action:
    """An action that performs an operation: what it does not say itself, the operation says."""
    done = BY_NAME[operation]
    return Action(id_, title or done.words, explanation or done.effect, keys, operation=done, **more)


def _of_a_key(change: ChangeKind) -> Action:
    calls, shown = "key_changes.make_change", change in (ChangeKind.ROTATE, ChangeKind.BLOCK)
    done = change.operation
    return _does(done.name, f"key.{change}", done.key, calls=calls, argument=done.takes, shown=shown)


def _of_a_principal(change: ChangeKind, explanation: str) -> Action:
    return replace(
        _of_a_key(change), id=f"blocking.{change}", explanation=explanation, argument="", shown=True
    )


def _of_a_job(word: str, keys: str, *, calls: str = "", **more: Any) -> Action:
    return _does(f"jobs {word}", f"job.{word}-job", keys, calls=calls or f"jobs.{word}_job", **more)


def _start_job(operation: str, id_: str, keys: str, explanation: str, **more: Any) -> Action:
    calls = "jobs.start_job"
    return _does(operation, id_, keys, explanation=explanation, calls=calls, shown=True, **more)


def _of_a_step(word: str, keys: str, **more: Any) -> Action:
    return _does(f"incident {word}", f"incident.{word}", keys, calls=f"incidents.{word}", **more)


def _start_incident(scope: str, explanation: str) -> Action:
    calls = "incidents.declare"
    return _does("incident declare", f"{scope}.incident", "I", explanation=explanation, calls=calls)


_OWN: tuple[Action, ...] = (
    # Places
    *map(_lead_to, MAIN_SCREENS),
    _action(
        "everywhere.context",
        "Another AWS profile or database",
        "c",
        aliases=("ctx",),
        argument="profile|database|estate NAME",
    ),
    _action("everywhere.estates", "Estates: how do all databases and accounts stand?", "0"),
    _action("everywhere.back", "Back to where you came from", "escape", display="Esc"),
    # The console itself
    _action("everywhere.help", "What can be done here and now", "question_mark", shown=True, display="?"),
    _action(
        "everywhere.manual",
        "The manual: every page, found by any word of it",
        "f2",
        calls="manual.pages",
        argument="WORDS",
    ),
    _action("everywhere.command", "Type a command", "colon", shown=True, display=":"),
    _action("everywhere.refresh", "Reload this screen", "r", calls="status.take_census"),
    _action("everywhere.pause", "Pause or resume automatic refresh", "p"),
    _action(
        "everywhere.layout",
        "List and detail: below one another, side by side on a wide terminal, or the list alone",
        "W",
        argument="below|beside|alone",
    ),
    _action("everywhere.theme", "The next theme", "t", argument="NAME"),
    _action(
        "everywhere.quit", "Quit now; calls in flight are dropped", "q", shown=True, aliases=("q", "exit")
    ),
    # Estates
    _action("estates.work-there", "Go on working in the estate under the cursor", "a", shown=True),
    # Moving
    _action("list.up", "One line up", "up,k"),
    _action("list.down", "One line down", "down,j"),
    _action("list.page-up", "One page up", "pageup"),
    _action("list.page-down", "One page down", "pagedown"),
    _action("list.first", "To the first line", "home,g", aliases=("top",)),
    _action("list.last", "To the last line", "end,G", aliases=("end",)),
    _action("list.open", "Open the line under the cursor", "enter", shown=True, display="Enter"),
    # Tables
    _action("table.left", "To the column on the left", "left,h"),
    _action("table.right", "To the column on the right", "right,l"),
    _action(
        "table.filter",
        "Show only the rows that match a filter",
        "slash",
        calls="inventory.page",
        argument="EXPRESSION",
        shown=True,
        display="/",
    ),
    _action("table.saved", "Apply, save or forget a filter", "F", title="saved filters"),
    _action(
        "table.sort",
        "Sort by the column under the cursor",
        "s",
        calls="inventory.page",
        argument="COLUMN",
        shown=True,
    ),
    _action("table.reverse", "Reverse the order", "S", calls="inventory.page"),
    _action("table.columns", "Choose columns and their order", "o"),
    _action("table.mark", "Mark or unmark the row, then the next one", "space", shown=True),
    _action("table.mark-down", "Mark the row and the one below", "shift+down,J"),
    _action("table.mark-up", "Mark the row and the one above", "shift+up,K"),
    _action("table.mark-all", "Mark all rows that match the filter", "A"),
    _action("table.unmark", "Clear all marks", "u", title="unmark all"),
    _action("table.copy", "Copy the cell under the cursor", "y"),
    _action("table.copy-rows", "Copy the marked rows, or the one under the cursor", "Y"),
    _action(
        "table.export",
        "Export the rows that match the filter to a CSV or JSON Lines file",
        "E",
        calls="inventory.page",
        argument="FILE",
    ),
    _action(
        "table.own",
        "Commands of your own for the row under the cursor, as the settings have them",
        "exclamation_mark",
        title="your commands",
        argument="NAME",
        display="!",
    ),
    _action("table.cancel", "Stop loading; what is shown stays", "X"),
    # Connections
    _does("verify", "connections.verify", "v", calls="work.verify_tokens", shown=True),
    _does("rewrap", "connections.rewrap", "w", calls="work.run_plan", shown=True),
    _does("reencrypt", "connections.reencrypt", "e", calls="work.run_plan", shown=True),
    _does("encrypt", "connections.encrypt", "x", calls="work.run_plan", shown=True),
    _action(
        "connections.ask-kms",
        "Ask KMS which key wrapped this data key",
        "i",
        title="ask KMS",
        calls="inspector.inspect_token",
    ),
    _action(
        "connections.timeline",
        "Who opened this token: exact for v2, and by receipts; else who could have",
        "T",
        calls="event_use.token_timeline",
    ),
    _action(
        "connections.group",
        "Count the tokens of the filter by organisation, provider, key or format; Enter leads to a group's",
        "b",
        title="group by",
        calls="inventory.groups",
        argument="org|provider|key|format",
        shown=True,
    ),
    _action(
        "groups.next",
        "Count the same tokens by the next of organisation, provider, key and format",
        "b",
        title="next grouping",
        calls="inventory.groups",
        shown=True,
    ),
    _start_incident("connections", "Start an incident about the marked tokens, or the one under the cursor"),
    # Keys
    _action("key.policy", "Who may do what with the key", "P", calls="policies.read", shown=True),
    _action(
        "key.use",
        "Use of the key by operation, principal, material, Region and day",
        "T",
        title="use over time",
        calls="event_use.key_use",
    ),
    *map(_of_a_key, ChangeKind),
    _action(
        "key.replace",
        "Replace the key step by step; the old one stays for reading",
        "m",
        title="manual rotation",
        calls="replacement.read_guide",
        argument="KEY",
    ),
    _start_job(
        "reencrypt",
        "key.move-tokens",
        "b",
        "Re-encrypt or rewrap every token under the key, as a job",
        title="move tokens",
    ),
    _start_incident("key", "Start an incident about the key"),
    _start_incident("principal", "Start an incident about a key or tokens that the principal used"),
    # Whoever is named here
    _of_a_principal(ChangeKind.BLOCK, "Refuse a principal that is named here the use of a key, at once"),
    _of_a_principal(ChangeKind.UNBLOCK, "Let a principal that is named here and blocked use the key again"),
    # Status
    _start_job(
        "reencrypt",
        "status.move-tokens",
        "b",
        "Re-encrypt or rewrap every token under the key under the cursor, or others, as a job",
        title="move tokens",
    ),
    _start_job(
        "encrypt",
        "status.encrypt",
        "x",
        "Encrypt in place the unprotected tokens of the line under the cursor, as a job",
    ),
    _does(
        "verify",
        "status.verify",
        "v",
        explanation="Open every token of the problem under the cursor: KMS says which key each is under",
        calls="work.verify_tokens",
        shown=True,
    ),
    _start_incident("status", "Start an incident about the problem or finding under the cursor"),
    # Jobs
    _start_job(
        "reencrypt",
        "job.new-job",
        "n",
        "Re-encrypt or rewrap every token under a key, or encrypt in place what is unprotected",
        title="new job",
    ),
    _of_a_job("pause", "z", shown=True),
    _of_a_job("resume", "a", shown=True),
    _of_a_job("retry", "v", shown=True),
    _of_a_job("cancel", "x", shown=True),
    _does("jobs join", "job.work-here", "w", calls="job_processes.work_on", argument="PROCESSES"),
    _of_a_job("restore", "U", calls="undoing.start_restore"),
    # Incidents
    _does(
        "incident declare",
        "incidents.new-incident",
        "n",
        title="new incident",
        explanation="Choose a runbook and what it is about, and open an incident",
        calls="incidents.declare",
        aliases=("incident",),
        shown=True,
    ),
    _action(
        "incidents.approvals",
        "Pending approvals: approve or deny them",
        "H",
        calls="approvals.requests",
        shown=True,
    ),
    # One incident
    _does(
        "incident run",
        "incident.act",
        "a",
        explanation="Run the step under the cursor: enter its inputs, see the plan, then run it",
        calls="incidents.run_action",
        shown=True,
    ),
    _of_a_step("finish", "f"),
    _of_a_step("answer", "d", explanation="Answer the question of the step under the cursor"),
    _action("incident.check", "Run the step's check now", "v", calls="incidents.look_at_check", shown=True),
    _of_a_step("capture", "C"),
    _of_a_step("skip", "s", argument="REASON", shown=True),
    _of_a_step("reopen", "o", argument="REASON"),
    _does(
        "incident accept-lost", "incident.accept-lost", "L", calls="incidents.accept_lost", argument="REASON"
    ),
    _of_a_step("note", "n", argument="TEXT", shown=True),
    _action(
        "incident.stop",
        "Stop the step's running action; what is already done stays done",
        "X",
        calls="incidents.run_action",
    ),
    _action(
        "incident.evidence",
        "All evidence, with its hashes; Enter reads a piece",
        "e",
        calls="incidents.evidence",
        shown=True,
    ),
    _action("incident.timeline", "Who did what, and when", "T", calls="incidents.show"),
    _action(
        "incident.people",
        "Roles, follow-ups, and what whoever takes over has to know",
        "l",
        calls="incidents.handover",
        shown=True,
    ),
    _action("incident.approvals", "Pending approvals: approve or deny them", "H", calls="approvals.requests"),
    _action(
        "incident.report",
        "Write the report to a file: HTML, Markdown or JSON, or all three of one signed document",
        "E",
        calls="incidents.report",
        argument="FILE",
        shown=True,
    ),
    _of_a_step("close", "x", argument="OUTCOME", shown=True),
    _action("incident.check-lines", "All that the step's check saw, line by line", "V"),
    _action(
        "incident.copy-command",
        "Copy the step's command or settings line, whole, as a shell takes it",
        "y",
        aliases=("copy",),
    ),
    # Who does what in an incident, and after it
    _does(
        "incident assign",
        "people.take",
        "a",
        title="take",
        explanation="Take the role under the cursor; the timeline keeps how the incident stood",
        calls="incidents.assign",
        shown=True,
    ),
    _does(
        "incident assign",
        "people.assign",
        "w",
        title="give",
        explanation="Give the role under the cursor to somebody, or to nobody",
        calls="incidents.assign",
        argument="WHO",
        shown=True,
    ),
    _does("incident follow-up add", "people.follow-up", "n", calls="incidents.follow_up", shown=True),
    _does(
        "incident follow-up done",
        "people.follow-up-done",
        "f",
        calls="incidents.end_follow_up",
        argument="OUTCOME",
        shown=True,
    ),
    # Evidence
    _action(
        "evidence.copy-hash",
        "Copy the evidence's SHA-256, or the value under the cursor",
        "y",
        title="copy",
        shown=True,
    ),
    # What waits for a second identity
    _does(
        "approvals approve",
        "approvals.decide",
        "a",
        title="decide",
        explanation="Read the plan under the cursor, then approve or deny it",
        calls="approvals.decide",
        shown=True,
    ),
    # Findings
    _does(
        "findings suppress",
        "findings.suppress",
        "x",
        explanation="Suppress this rule's findings about this subject for some days; they are still counted",
        calls="trail_rules.suppress",
        argument="REASON",
        shown=True,
    ),
    _does(
        "findings unsuppress", "findings.unsuppress", "Z", calls="trail_rules.unsuppress", argument="NUMBER"
    ),
    _start_incident("findings", "Start an incident about what the finding under the cursor is about"),
    # Manual rotation
    _action("rotation.copy-line", "Copy the command or line under the cursor", "y", title="copy", shown=True),
    # Log
    _action("log.follow", "Stay at the newest line, or stop", "f", shown=True),
    # Events
    _action(
        "events.pivots",
        "Count the events by principal, address, key, token, error, …; Enter leads to the events",
        "v",
        calls="events.pivot",
        shown=True,
    ),
    _action(
        "events.principal",
        "What the principal of the event under the cursor opened, and what it could have opened",
        "T",
        calls="event_use.blast_radius",
    ),
    _action(
        "events.detections",
        "What the rules found in CloudTrail's events of the last day",
        "d",
        title="findings",
        calls="trail_rules.examine_events",
    ),
    _action(
        "events.follow",
        "Stay at the newest event and fetch new ones by LookupEvents every minute, or stop",
        "f",
        calls="events.state",
        shown=True,
    ),
    _action("events.only", "Only events with the value of the cell under the cursor", "i", title="only this"),
    _action(
        "events.exclude", "No events with the value of the cell under the cursor", "x", title="without this"
    ),
    _action(
        "events.noise",
        "Show the calls that AWS services and Keydeck itself made, or hide them",
        "a",
        title="hidden events",
        calls="events.summary",
    ),
    _action(
        "events.zoom-in",
        "Zoom in to a third of the time, around the event under the cursor",
        "z",
        calls="events.histogram",
    ),
    _action("events.zoom-out", "Zoom out to the time before, or to three times as much", "Z"),
    _action("events.earlier", "Move half a window earlier", "left_square_bracket", display="["),
    _action("events.later", "Move half a window later", "right_square_bracket", display="]"),
    _action(
        "events.reviewed",
        "Mark the marked events, or the one under the cursor, as reviewed, or undo that; it is "
        "your note in the local store, so read-only mode allows it",
        "m",
        calls="events.review",
        shown=True,
    ),
    _action(
        "events.note",
        "Write a note on the event; it stays in the local store, so read-only mode allows it",
        "n",
        calls="events.annotate",
        argument="TEXT",
    ),
    _action(
        "events.pull",
        "Fetch new events by LookupEvents into the local store; the second time, stop",
        "P",
        argument="SINCE",
    ),
    _start_incident("events", "Start an incident about the key or the token of the event under the cursor"),
    # One event
    _action(
        "event.reviewed",
        "Mark the event as reviewed, or undo that; it is your note in the local store, so "
        "read-only mode allows it",
        "m",
        calls="events.review",
        shown=True,
    ),
    _action(
        "event.note",
        "Write a note on the event; it stays in the local store, so read-only mode allows it",
        "n",
        calls="events.annotate",
        argument="TEXT",
        shown=True,
    ),
    _action("event.copy-id", "Copy the event's id", "y", shown=True),
    _action(
        "event.principal",
        "What the event's principal opened, and what it could have opened",
        "T",
        calls="event_use.blast_radius",
    ),
    _action("event.copy-raw", "Copy the raw record", "Y", shown=True),
    _start_incident("event", "Start an incident about the event's key or token"),
    # The values of events
    _action(
        "pivots.principal",
        "What the principal under the cursor opened, and what it could have opened",
        "T",
        calls="event_use.blast_radius",
        shown=True,
    ),
    # A page of the manual
    _action("manual.find", "Look for words on this page", "slash", shown=True, argument="WORDS", display="/"),
    _action("manual.next", "To the next line that has them", "n", shown=True),
)

ACTIONS: tuple[Action, ...] = tuple(with_added(_OWN))

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}

BY_SCOPE: Mapping[str, tuple[Action, ...]] = {
    scope: tuple(action for action in ACTIONS if action.scope == scope)
    for scope in dict.fromkeys(action.scope for action in ACTIONS)
}
"""A scope is known by its actions."""
