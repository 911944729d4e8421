"""A pull before it begins: what will be asked, what it costs, and how much asking that takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from crypto_core.guard.consent import Danger
from crypto_core.trail.sources.bucket.places import TrailBucket
from crypto_core.trail.sources.lookup import ATTRIBUTES, Attribute
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.values.clean_text import cleans


@dataclass(frozen=True, slots=True)
@cleans(remarks=500, gaps=500)
class PullPlan:
    """A Subject of consent. `source` is lookup, s3 or athena.

    `scanned` are the bytes that a query is expected to scan, None where that isn't known; `most` is the
    limit. `gaps` is what will be missing whatever comes.
    """

    source: str
    asked: PullQuery = field(repr=False)
    regions: tuple[str, ...]
    place: TrailBucket | None = None
    attributes: tuple[Attribute, ...] = ATTRIBUTES
    remarks: tuple[str, ...] = ()
    statement: str = ""
    scanned: int | None = None
    most: int | None = None
    costs: bool = False
    gaps: tuple[str, ...] = ()

    @property
    def danger(self) -> Danger:
        return Danger.CONFIRM if self.costs else Danger.NONE

    @property
    def digest(self) -> str:
        told = [
            self.source,
            self.asked.since.isoformat(),
            self.asked.until.isoformat(),
            self.asked.expression,
            list(self.regions),
            str(self.place or ""),
            self.statement,
            self.most,
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def confirmation(self) -> str:
        return self.source
