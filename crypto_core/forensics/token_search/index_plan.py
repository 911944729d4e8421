"""What filling or dropping the index of tokens comes to, and how the index stands."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from crypto_core.database.tokens.fingerprints import OutsideRows
from crypto_core.guard.consent import Danger
from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef

BUILD, DROP = "whose index build", "whose index drop"


@dataclass(frozen=True, slots=True)
class IndexPlan(JsonRecord):
    """Filling the index with at most so many envelopes, or dropping it. `key_arn` wraps the index's key."""

    operation: str
    envelopes: int
    key_arn: str = ""
    warnings: tuple[str, ...] = ()

    json_shape = shape("envelopes key_arn?")

    @property
    def summary(self) -> str:
        if self.operation == DROP:
            return f"Drop the index of tokens with {counted(self.envelopes, 'fingerprint')}"
        return f"Open {counted(self.envelopes, 'envelope')} and note fingerprints of their tokens"

    @property
    def danger(self) -> Danger:
        return Danger.CONFIRM if self.envelopes else Danger.NONE

    @property
    def confirmation(self) -> str:
        return str(self.envelopes)

    @property
    def digest(self) -> str:
        terms = {name: value for name, value in asdict(self).items() if name != "warnings"}
        told = json.dumps(terms, sort_keys=True)
        return hashlib.sha256(f"keydeck index {told}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class IndexFilling(JsonRecord):
    """What came of filling the index: entries made, envelopes that did not open, stale entries forgotten."""

    noted: int
    unopened: int
    forgotten: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
@cleans(why_off=500, key_arn=700)
class IndexStatus(JsonRecord):
    """How the index stands. `why_off` says why it is not used; `covered` of `envelopes` are in it."""

    why_off: str
    key_arn: str
    made_at: datetime | None
    entries: int
    envelopes: int
    covered: int
    shared: int
    """Tokens that more than one row holds."""

    json_shape = shape(
        "used why_not=why_off? key_arn? made_at entries envelopes covered shared_tokens=shared coverage",
        used=lambda record: not record.why_off,
    )

    @property
    def coverage(self) -> Coverage:
        missing = self.envelopes - self.covered
        unknown = f"{counted(missing, 'envelope')} are not in the index: a search opens them"
        return Coverage((unknown,) if missing else ())


@dataclass(frozen=True, slots=True)
class SharedToken(JsonRecord):
    references: tuple[TokenRef, ...]

    json_shape = shape("references")


NO_INDEX = "No index of tokens is kept; with a leaked token keydeck whose finds all of its rows."
NOT_INDEXED = OutsideRows((), f"Not known: whether other rows hold the same tokens. {NO_INDEX}")
"""What is known where no index is kept."""
