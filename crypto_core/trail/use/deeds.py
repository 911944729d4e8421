"""What was done with one token, in one list with who opened it: what a capability that knows tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crypto_core.lists.coverage import Coverage
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import cleans
from crypto_core.text.json_records import JsonRecord, shape

BY_TIME = (
    "That a use came of an opening is inferred from times, addresses and clients: no record joins the two."
)


def short_name(who: str) -> str:
    """Return a principal as a line has room for it: user/ana of its ARN; a name as it is."""
    return who.rsplit(":", 1)[-1] if who.startswith("arn:") else who


class UseCertainty(StrEnum):
    FACT = "fact"
    POSSIBILITY = "possibility"
    """A record fits, and it may be about another token."""


class Doing(StrEnum):
    OPENED = "opened"
    USED = "used"


@dataclass(frozen=True, slots=True)
@cleans(
    who=300, address=100, agent=300, what=300, place=120, event_id=200, provider=40, reason=600, theft=600
)
class TokenDeed(JsonRecord):
    """One entry. `theft` says why it looks like a thief's, `reason` why it is here; `old`: since replaced."""

    at: datetime
    doing: Doing
    certainty: UseCertainty
    who: str
    address: str
    agent: str
    what: str
    place: str
    provider: str
    event_id: str
    reason: str
    theft: str = ""
    old: bool = False

    json_shape = shape(
        "time=at doing certainty who? address? user_agent=agent? what place? provider? event_id reason "
        "looks_like_theft=theft? old_token=old"
    )

    @property
    def words(self) -> str:
        """What happened, in one line without the time."""
        may = "" if self.certainty is UseCertainty.FACT else "may have been "
        by = f"by {short_name(self.who) or 'somebody'} from {self.address or 'an unknown address'}"
        return f"{may}{self.doing.value} {by}: {self.what}" + (f", {self.place}" if self.place else "")


@dataclass(frozen=True, slots=True)
@cleans(provider=40, statements=600)
class TokenUse(JsonRecord):
    """Openings and uses of a token in the order of time. `left_out` are older ones that are not listed."""

    ref: TokenRef
    provider: str
    deeds: tuple[TokenDeed, ...]
    left_out: int
    statements: tuple[str, ...]
    coverage: Coverage

    json_shape = shape(
        "provider? used may_have_been_used=may_have_used look_like_theft timeline=deeds ... -ref",
        look_like_theft=lambda record: len(record.thefts),
    )

    @property
    def used(self) -> int:
        return self._number(UseCertainty.FACT)

    @property
    def may_have_used(self) -> int:
        return self._number(UseCertainty.POSSIBILITY)

    @property
    def thefts(self) -> tuple[TokenDeed, ...]:
        return tuple(one for one in self.deeds if one.theft or one.old)

    def _number(self, certainty: UseCertainty) -> int:
        return sum(one.doing is Doing.USED and one.certainty is certainty for one in self.deeds)
