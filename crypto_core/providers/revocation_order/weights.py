"""What an ability and an exposure weigh: one table each, and nothing is weighed elsewhere.

Damage is at most 100, exposure at least 1. What isn't known weighs as much as the worst that it may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Certainty(StrEnum):
    """What kind of statement a reason is."""

    FACT = "fact"
    INFERENCE = "inference"
    POSSIBILITY = "possibility"
    UNKNOWN = "not known"
    """Counted as the worst that it may be."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Points, and the sentence for them; its placeholders are filled in from what is known of a token."""

    points: int
    sentence: str


DAMAGE = {
    "admin": Weight(40, "It administers what it reaches."),
    "admin unknown": Weight(
        40, "Whether it administers anything is not known ({why}): counted as if it did."
    ),
    "writes": Weight(25, "It can change things."),
    "writes unknown": Weight(
        25, "Whether it can change things is not known ({why}): counted as if it could."
    ),
    "private": Weight(6, "It reads what is not public."),
    "private repositories": Weight(8, "It reads {number} private repositories."),
    "many private repositories": Weight(12, "It reads {number} private repositories."),
    "very many private repositories": Weight(15, "It reads {number} private repositories."),
    "private in part": Weight(
        15, "It reads at least {number} private repositories; how many is not known: counted as very many."
    ),
    "private unknown": Weight(
        15, "Whether it reads what is not public is not known ({why}): counted as if it did."
    ),
    "one place": Weight(3, "It reaches {places}."),
    "several places": Weight(6, "It reaches {number} places, such as {places}."),
    "many places": Weight(10, "It reaches {number} places, such as {places}."),
    "places unknown": Weight(10, "What else it reaches is not known ({why}): counted as many places."),
    "lasts": Weight(7, "It lasts until {until}."),
    "lasts for ever": Weight(10, "It never expires."),
    "ends soon": Weight(2, "It ends within a day: {until}."),
    "end unknown": Weight(10, "When it expires is not known ({why}): counted as never."),
    "never asked": Weight(100, "What it can do is not known ({why}): counted as everything."),
}
"""What it can do, if it is used."""

EXPOSURE = {
    "stored": Weight(1, "It is among the tokens in question."),
    "opened": Weight(9, "{who} opened it: CloudTrail names the row."),
    "opened by receipt": Weight(
        9, "{who} opened it: a receipt of the call names it, as far as the caller is truthful."
    ),
    "could have been opened": Weight(4, "{who} could have opened it: CloudTrail does not say which tokens."),
    "opening unknown": Weight(
        4, "Whether it was opened is not known ({why}): counted as if it could have been."
    ),
    "unsealed": Weight(6, "It is stored in {format}: whoever has the database has it."),
    "copied": Weight(2, "The same token is stored in {number} rows."),
}
"""How likely it is that somebody else has it."""

MANY = 10
VERY_MANY = 100
SOON_HOURS = 24
