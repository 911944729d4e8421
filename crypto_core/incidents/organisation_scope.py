"""The tokens of one organisation, as the scope of an incident: a filter that lets them through."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from crypto_core.text.cleaning import clean
from crypto_core.trail.use.asking import term

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory

LONGEST_NAME = 300


def organisation_filter(inventory: Inventory, name: str, *, cancelled: Event | None = None) -> str:
    """Return the filter for an organisation's tokens.

    Upper and lower case don't count. Raises RefusedError where there is no token of it, DatabaseError,
    InterruptedRunError.
    """
    if len(name) > LONGEST_NAME:
        raise RefusedError(
            f"The organisation's name is longer than {LONGEST_NAME} characters.",
            remedy="Name its tokens by a filter, such as org:BEGINNING*.",
        )
    expression = term("org", name)
    if not name or not inventory.tokens(expression, cancelled=cancelled):
        raise RefusedError(
            f"No token is of organisation {clean(name, 100)!r}.",
            remedy="Name it as keydeck connections lists it.",
        )
    return expression
