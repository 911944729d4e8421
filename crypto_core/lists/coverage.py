"""What a list or count covers. Nothing is cut short silently: a gap has a reason that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crypto_core.text.cleaning import cleans


@dataclass(frozen=True, slots=True)
@cleans(reasons=2_000)
class Coverage:
    """Whether an answer is whole, and if not, why: one sentence for the operator each."""

    reasons: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if nothing is missing."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """The coverage as a JSON document's part."""
        return {"complete": self.complete, "reasons": list(self.reasons)}


class Evidence(StrEnum):
    """How it is known which key sealed a token."""

    VERIFIED = "verified"
    """KMS was asked about this very token (every token counted)."""
    INFERRED = "inferred"
    """KMS was asked about another token of the same key material."""
    CONFLICT = "conflict"
    """KMS's answers about tokens of one group disagree."""
    UNKNOWN = "unknown"
    """Not known: no answer from KMS, or the envelope is damaged."""
