"""What a diagnosis says of one thing: how it is, in words, and what to do where it isn't well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.log.redaction import redacted
from crypto_core.text.cleaning import clean


class CheckOutcome(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should, or not everywhere."""
    FAILED = "failed"
    """What it says does not work."""
    UNKNOWN = "unknown"
    """It could not be found out; the text says why."""
    SKIPPED = "skipped"
    """It was not asked, because it doesn't apply or something before it failed."""


def heading(text: str) -> str:
    """Return an area's title as it is shown, at most 60 characters."""
    return clean(redacted(text), 60)


@dataclass(frozen=True, slots=True)
class Check:
    """One result. All text is cleaned and redacted here, wherever it comes from.

    `area` is the heading that it stands under, `name` what was looked at, `said` what was found, `remedy`
    what to do ("" where there is nothing to do).
    """

    area: str
    name: str
    outcome: CheckOutcome
    said: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", heading(self.area))
        for field, limit in (("name", 200), ("said", 600), ("remedy", 600)):
            object.__setattr__(self, field, clean(redacted(getattr(self, field)), limit))

    def as_json(self) -> dict[str, str]:
        """Return the check as a JSON object."""
        return {
            "area": self.area,
            "name": self.name,
            "outcome": self.outcome.value,
            "said": self.said,
            "remedy": self.remedy,
        }
