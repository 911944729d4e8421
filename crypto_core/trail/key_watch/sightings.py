"""Uses of a key as a watch tells them, and what it knows at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from crypto_core.key_uses import USES
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.event import TrailEvent


class UseKind(StrEnum):
    USE = "use"
    FAILED = "failed"
    """A permitted call that failed: its caller still needs the key."""
    DENIED = "denied"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class KeyUse(JsonRecord):
    """One use. `own` is Keydeck's, by whoever watches; `late` is dated before one of an earlier look.

    `own` goes by user agent and identity: who has the operator's credentials can pass for Keydeck.
    """

    event: TrailEvent
    kind: UseKind
    own: bool = False
    late: bool = False

    json_shape = shape("... *event")

    @property
    def breaks_quiet(self) -> bool:
        return not self.own and self.kind in (UseKind.USE, UseKind.FAILED)


@dataclass(frozen=True, slots=True)
class WatchStatus(JsonRecord):
    """What a watch knows at one moment. `uses` are those not told before, the oldest first.

    `counts` are all so far by kind, but for Keydeck's `own`. `covered_until` is up to when all is known, the
    time that CloudTrail takes to deliver taken off; None where nothing is. `gaps` say what is not known.
    """

    at: datetime
    uses: tuple[KeyUse, ...]
    more: bool
    """True if further uses are there already: they come with the next look."""
    counts: Mapping[str, int]
    own: int
    since: datetime
    last_use: datetime | None
    covered_until: datetime | None
    regions: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    json_shape = shape(
        "at since counts last_use? quiet_since quiet_seconds covered_until? regions coverage",
        counts=lambda record: {**record.counts, "own": record.own},
        quiet_seconds=lambda record: int(record.quiet_for.total_seconds()),
        coverage=lambda record: {"complete": not record.gaps, "reasons": list(record.gaps)},
    )

    @property
    def used(self) -> bool:
        """True if another caller used the key, or was permitted and failed."""
        return self.last_use is not None

    @property
    def quiet_since(self) -> datetime:
        return self.since if self.last_use is None else max(self.since, self.last_use)

    @property
    def quiet_for(self) -> timedelta:
        """For how long there was provably no use; nothing where that is not covered."""
        if self.covered_until is None or self.gaps or self.more:
            return timedelta(0)
        return max(timedelta(0), self.covered_until - self.quiet_since)

    def is_quiet(self, period: timedelta) -> bool:
        """True if there was no use for so long, and that is known of all Regions of the key."""
        return self.covered_until is not None and not self.gaps and not self.more and self.quiet_for >= period


def kind_of(event: TrailEvent) -> UseKind:
    if event.denied:
        return UseKind.DENIED
    if event.failed:
        return UseKind.FAILED
    return UseKind.USE if event.name in USES else UseKind.CHANGE
