"""What forensics adds to the list of connections."""

from __future__ import annotations

from screens.actions.action import Action

ACTIONS = {
    "connections.timeline": (
        Action(
            "connections.abilities",
            "abilities",
            "Ask the provider what the token can do: scopes, repositories, sites, admin, expiry",
            "a",
            calls="abilities.ask",
            runs="screens.forensics.abilities:ask_about",
        ),
    ),
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
TOKEN_PARTS = {"abilities": "screens.forensics.abilities:PART"}
"""What the detail of a token tells besides, each a TokenPart."""
