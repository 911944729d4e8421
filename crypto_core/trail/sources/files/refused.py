"""What stands in place of records where a shape is known to hold none, or not all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """What a document is, and what to import instead. Both are clean."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"It is {self.what}. {self.remedy}"
