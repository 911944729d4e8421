"""Uses of a key as a watch tells them, and what it knows at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from crypto_core.key_uses import USES
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store.tallies import moment_json


class UseKind(StrEnum):
    """What an event is to the key that it is about."""

    USE = "use"
    FAILED = "failed"
    """A permitted call that failed: its caller still needs the key."""
    DENIED = "denied"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use. `own` is Keydeck's, by whoever watches; `late` is dated before one of an earlier look.

    `own` goes by user agent and identity: who has the operator's credentials can pass for Keydeck.
    """

    event: TrailEvent
    kind: UseKind
    own: bool = False
    late: bool = False

    @property
    def breaks_quiet(self) -> bool:
        return not self.own and self.kind in (UseKind.USE, UseKind.FAILED)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "own": self.own, "late": self.late, **self.event.as_json()}


@dataclass(frozen=True, slots=True)
class WatchStatus:
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

    def as_json(self) -> dict[str, Any]:
        """The look as a JSON document, without its uses."""
        return {
            "at": self.at.isoformat(),
            "since": self.since.isoformat(),
            "counts": {**self.counts, "own": self.own},
            "last_use": moment_json(self.last_use),
            "quiet_since": self.quiet_since.isoformat(),
            "quiet_seconds": int(self.quiet_for.total_seconds()),
            "covered_until": moment_json(self.covered_until),
            "regions": list(self.regions),
            "coverage": {"complete": not self.gaps, "reasons": list(self.gaps)},
        }


def kind_of(event: TrailEvent) -> UseKind:
    """Return what an event is to its key."""
    if event.denied:
        return UseKind.DENIED
    if event.failed:
        return UseKind.FAILED
    return UseKind.USE if event.name in USES else UseKind.CHANGE
