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
            by="screens.forensics.abilities:ask_about",
        ),
    ),
}
"""By the action after which they stand."""
TOKEN_PARTS = {"abilities": "screens.forensics.abilities:PART"}
"""What the detail of a token tells besides, each a TokenPart."""
