"""Every action of the console."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_core.consent import Danger
from screens.actions.action import Action, Scope

ACTIONS: tuple[Action, ...] = (
    # Places
    Action("everywhere.status", "status", "Status: are we all right?", "1", shown=True),
    Action(
        "everywhere.connections", "connections", "Connections: which tokens, in what state?", "2", shown=True
    ),
    Action("everywhere.keys", "keys", "Keys: which KMS keys guard the tokens?", "3", shown=True),
    Action(
        "everywhere.findings",
        "findings",
        "Findings: what is wrong with keys, access and trails?",
        "7",
        calls="posture.examine",
        shown=True,
    ),
    Action("everywhere.log", "log", "Log: what happened to the console's calls?", "9"),
    Action(
        "everywhere.context",
        "context",
        "Another AWS profile, Region or database",
        "c",
        aliases=("ctx",),
        argument="profile|region|database NAME",
    ),
    Action("everywhere.back", "back", "Back to where you came from", "escape", display="Esc"),
    Action(
        "everywhere.previous",
        "last place",
        "Back and forth between the last two places",
        "minus",
        display="-",
    ),
    # The console itself
    Action(
        "everywhere.help", "help", "What can be done here and now", "question_mark", shown=True, display="?"
    ),
    Action("everywhere.command", "command", "Type a command", "colon", shown=True, display=":"),
    Action("everywhere.palette", "palette", "Find a command by any part of its words", "ctrl+p"),
    Action(
        "everywhere.refresh",
        "refresh",
        "Ask for what this screen shows anew",
        "r",
        calls="status.take",
    ),
    Action("everywhere.pause", "pause", "Pause refreshing by itself, or go on", "p"),
    Action(
        "everywhere.interval",
        "interval",
        "How often this screen refreshes by itself: 5, 10, 30, 60, 300 seconds or never",
        "R",
        argument="SECONDS",
    ),
    Action("everywhere.theme", "theme", "The next theme", "t", argument="NAME"),
    Action(
        "everywhere.quit",
        "quit",
        "Leave Keydeck at once; calls under way are dropped",
        "q",
        shown=True,
        aliases=("q", "exit"),
    ),
    # Moving
    Action("list.up", "up", "One line up", "up,k"),
    Action("list.down", "down", "One line down", "down,j"),
    Action("list.page-up", "page up", "One page up", "pageup"),
    Action("list.page-down", "page down", "One page down", "pagedown"),
    Action("list.first", "first", "To the first line", "home,g", aliases=("top",)),
    Action("list.last", "last", "To the last line", "end,G", aliases=("end",)),
    Action(
        "list.open",
        "open",
        "Go to what is behind the line under the cursor",
        "enter",
        shown=True,
        display="Enter",
    ),
    # Tables
    Action("table.left", "left", "To the column on the left", "left,h"),
    Action("table.right", "right", "To the column on the right", "right,l"),
    Action(
        "table.filter",
        "filter",
        "Show only what passes an expression",
        "slash",
        calls="inventory.page",
        argument="EXPRESSION",
        shown=True,
        display="/",
    ),
    Action("table.saved", "saved filters", "Apply, save or forget a filter", "F"),
    Action("table.save", "save filter", "Save the filter under a name", "B", argument="NAME"),
    Action(
        "table.sort",
        "sort",
        "Sort by the column under the cursor",
        "s",
        calls="inventory.page",
        argument="COLUMN",
        shown=True,
    ),
    Action("table.reverse", "reverse", "Reverse the order", "S", calls="inventory.page"),
    Action("table.columns", "columns", "Choose columns and their widths", "o"),
    Action("table.wider", "wider", "The column under the cursor wider", "greater_than_sign", display=">"),
    Action(
        "table.narrower", "narrower", "The column under the cursor narrower", "less_than_sign", display="<"
    ),
    Action("table.mark", "mark", "Mark or unmark the row, then the next one", "space", shown=True),
    Action("table.mark-down", "mark down", "Mark the row and the one below", "shift+down,J"),
    Action("table.mark-up", "mark up", "Mark the row and the one above", "shift+up,K"),
    Action("table.mark-all", "mark all", "Mark all that the filter lets through", "A"),
    Action("table.unmark", "unmark all", "Take all marks away", "u"),
    Action(
        "table.copy",
        "copy",
        "Send the cell under the cursor to the clipboard",
        "y",
        argument="cell|reference|row|marked",
    ),
    Action(
        "table.copy-rows",
        "copy rows",
        "Send the marked rows, or the one under the cursor, to the clipboard",
        "Y",
    ),
    Action(
        "table.export",
        "export",
        "Write what the filter lets through to a CSV or JSON lines file",
        "E",
        calls="inventory.page",
        argument="FILE",
    ),
    Action("table.cancel", "cancel", "Stop asking; what was shown before stays", "X"),
    # Connections
    Action(
        "connections.verify",
        "verify",
        "Open the tokens; say only whether they opened",
        "v",
        calls="work.verify",
        shown=True,
    ),
    Action(
        "connections.rewrap",
        "rewrap",
        "Same data keys under another KMS key; no recovery",
        "w",
        danger=Danger.TYPED,
        changes=True,
        calls="work.run",
        shown=True,
    ),
    Action(
        "connections.reencrypt",
        "re-encrypt",
        "New data keys and ciphertexts under a KMS key",
        "e",
        danger=Danger.TYPED,
        changes=True,
        calls="work.run",
        shown=True,
    ),
    Action(
        "connections.encrypt",
        "encrypt in place",
        "Seal tokens that are stored in plaintext or dev format",
        "x",
        danger=Danger.TYPED,
        changes=True,
        calls="work.run",
        shown=True,
    ),
    Action(
        "connections.ask-kms",
        "ask KMS",
        "Ask KMS which key wrapped this data key",
        "i",
        calls="inspector.inspect",
    ),
    # Keys
    Action("key.policy", "policy", "Who may do what with the key", "P", calls="policies.read", shown=True),
    # Log
    Action("log.follow", "follow", "Stay at the newest line, or stop", "f", shown=True),
)

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}


def of_scope(scope: Scope) -> tuple[Action, ...]:
    """Return the actions of one scope, in order."""
    return tuple(action for action in ACTIONS if action.scope is scope)
