"""How an estate stands, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import NO_TEXT, CleanText, cleans
from crypto_core.values.json_records import JsonRecord


@dataclass(frozen=True, slots=True)
@cleans(600)
class EstateStanding:
    """One estate at a moment. Where it could not be asked, `trouble` says why and nothing else is known.

    `protected` are tokens, `keys` the ARNs under which there are some, `incidents` the open ones, None where
    none can be kept; `gaps` are what the count does not cover.
    """

    name: CleanText
    environment: CleanText
    at: datetime
    tokens: int = 0
    protected: int = 0
    problems: int = 0
    worst: Severity = Severity.NONE
    incidents: int | None = None
    keys: tuple[str, ...] = ()
    well: bool = False
    gaps: tuple[str, ...] = ()
    trouble: CleanText = NO_TEXT

    @property
    def share(self) -> float | None:
        """The part of its tokens that is protected, None where there is none or it is not known."""
        return self.protected / self.tokens if self.tokens and not self.trouble else None

    def as_json(self) -> dict[str, Any]:
        known = not self.trouble
        return {
            "estate": self.name,
            "environment": self.environment or None,
            "at": self.at.isoformat(),
            "tokens": self.tokens if known else None,
            "protected": {"count": self.protected, "share": self.share} if known else None,
            "problems": self.problems if known else None,
            "worst": self.worst.value if known else None,
            "incidents": self.incidents,
            "keys": list(self.keys),
            "well": self.well if known else None,
            "coverage": {"complete": known and not self.gaps, "reasons": list(self.gaps)},
            "trouble": self.trouble or None,
        }


@dataclass(frozen=True, slots=True)
@cleans(300)
class SharedKey(JsonRecord):
    """A KMS key under which estates of different environments have tokens."""

    key_arn: CleanText
    estates: tuple[str, ...]

    @property
    def words(self) -> str:
        of = " and ".join(self.estates)
        return f"{self.key_arn} guards tokens of {of}: give each environment its own key."
