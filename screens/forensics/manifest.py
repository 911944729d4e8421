"""The actions of forensics on the core's screens."""

from __future__ import annotations

from screens.actions.action import Action

ACTIONS = {
    "groups.next": (
        Action(
            "connections.whose",
            "whose token",
            "Which connections hold a token that somebody has, or one by GitHub's hashed_token",
            "O",
            calls="token_search.find_rows",
            runs="screens.forensics.whose_dialog:ask_whose",
        ),
    ),
}
"""By the action after which they stand."""
