"""What filling or dropping the index of tokens comes to, and how the index stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.guard.consent import Danger
from crypto_core.lists.coverage import Coverage
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import cleans
from crypto_core.text.counting import counted

BUILD, DROP = "whose index build", "whose index drop"


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """Filling the index with at most so many envelopes, or dropping it. `key_arn` wraps the index's key."""

    operation: str
    envelopes: int
    key_arn: str = ""

    @property
    def summary(self) -> str:
        """What is to be done, on one line."""
        if self.operation == DROP:
            return f"Drop the index of tokens with {counted(self.envelopes, 'fingerprint')}"
        return f"Open {counted(self.envelopes, 'envelope')} and note fingerprints of their tokens"

    @property
    def danger(self) -> Danger:
        """How much asking it takes."""
        return Danger.CONFIRM if self.envelopes else Danger.NONE

    @property
    def confirmation(self) -> str:
        """What would have to be typed."""
        return str(self.envelopes)

    @property
    def digest(self) -> str:
        """Names exactly this."""
        told = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(f"keydeck index {told}".encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The plan as a JSON document's part, and as the journal keeps it."""
        return {"envelopes": self.envelopes, "key_arn": self.key_arn or None}


@dataclass(frozen=True, slots=True)
class IndexFilling:
    """What came of filling the index: entries made, envelopes that did not open, stale entries forgotten."""

    noted: int
    unopened: int
    forgotten: int
    interrupted: bool = False

    def as_json(self) -> dict[str, Any]:
        """The outcome as a JSON document's part."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
@cleans(why_off=500, key_arn=700)
class IndexStatus:
    """How the index stands. `why_off` says why it is not used; `covered` of `envelopes` are in it."""

    why_off: str
    key_arn: str
    made_at: datetime | None
    entries: int
    envelopes: int
    covered: int
    shared: int
    """Tokens that more than one row holds."""

    @property
    def coverage(self) -> Coverage:
        """Which envelopes it does not know."""
        missing = self.envelopes - self.covered
        unknown = f"{counted(missing, 'envelope')} are not in the index: a search opens them"
        return Coverage((unknown,) if missing else ())

    def as_json(self) -> dict[str, Any]:
        """The status as a JSON document."""
        return {
            "used": not self.why_off,
            "why_not": self.why_off or None,
            "key_arn": self.key_arn or None,
            "made_at": None if self.made_at is None else self.made_at.isoformat(),
            "entries": self.entries,
            "envelopes": self.envelopes,
            "covered": self.covered,
            "shared_tokens": self.shared,
            "coverage": self.coverage.as_json(),
        }


@dataclass(frozen=True, slots=True)
class SharedToken:
    """Rows that hold one token, as the index knows."""

    references: tuple[TokenRef, ...]

    def as_json(self) -> dict[str, Any]:
        """The rows as a JSON document's part."""
        return {"references": list(map(str, self.references))}


@dataclass(frozen=True, slots=True)
@cleans(unknown=500)
class OutsideRows:
    """Rows outside of some that hold one of their tokens, as far as the index knows; and what it doesn't."""

    references: tuple[TokenRef, ...]
    unknown: str = ""


def not_indexed(refs: Sequence[TokenRef], cancelled: Event | None = None) -> OutsideRows:
    """Return that nothing is known, where no index is kept."""
    return OutsideRows((), f"Not known: whether other rows hold the same tokens. {NO_INDEX}")


NO_INDEX = "No index of tokens is kept; with a leaked token keydeck whose finds all of its rows."
