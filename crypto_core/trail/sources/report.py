"""What a source says of its work: while it runs, and what it covered in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.key_names import AccountRegion
from crypto_core.lists.coverage import Coverage
from crypto_core.text.cleaning import cleans
from crypto_core.trail.sources.receipts.report import ReceiptReport


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Where a pull stands. `reached` is the time of the last event that came."""

    source: str
    where: str
    """The Region, or the bucket's folder, that is read now."""
    pages: int = 0
    records: int = 0
    new: int = 0
    throttled: int = 0
    reached: datetime | None = None
    seconds_left: float | None = None
    """The ETA at the present rate; None if unknown."""


Progress = Callable[[PullProgress], None]


@dataclass(frozen=True, slots=True)
@cleans(gaps=500, notes=500)
class PullReport:
    """What a pull brought, and what of the window it covers.

    `source` is lookup, s3, athena or lake. `places` are the accounts' Regions that were read; of a table it
    is not known whose events it holds. `gaps` name what is missing and why; there is none where it covers the
    whole window in every Region.
    """

    source: str
    places: tuple[AccountRegion, ...]
    since: datetime
    until: datetime
    pages: int = 0
    records: int = 0
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    throttled: int = 0
    """How often AWS asked to wait."""
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the operator should know besides: what was left out as asked, what a query cost."""
    receipts: ReceiptReport | None = None
    """What came of receipts; None where nobody was asked for them."""

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.region for place in self.places))

    @property
    def coverage(self) -> Coverage:
        return Coverage(self.gaps)

    def as_json(self) -> dict[str, Any]:
        counts = ("pages", "records", "new", "duplicates", "kms", "throttled")
        return {
            "source": self.source,
            "regions": list(self.regions),
            "accounts": sorted({place.account for place in self.places} - {""}),
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            **{name: getattr(self, name) for name in counts},
            "notes": list(self.notes),
            "receipts": self.receipts.as_json() if self.receipts else None,
            "coverage": self.coverage.as_json(),
        }
