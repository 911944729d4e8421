"""When the platform wrote its tokens, and under which key at the time.

Three years: first under alias/tokens-old; from `TOKENS_CREATED` on under alias/tokens, whose key material
was rotated once. The platform grew, so most tokens are recent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

OLD_TOKENS_CREATED = timedelta(days=1160)
TOKENS_CREATED = timedelta(days=900)
TOKENS_ROTATED = timedelta(days=315)
"""Ages, counted back from now."""


_LATELY = timedelta(hours=23)
"""The rules look at the last day by default; a night longer ago than this would stand half outside."""


def last_night(now: datetime, hour: int, minute: int, lasted: timedelta) -> datetime:
    """Return when something of last night began that is over by `now`: at that time (UTC), within a day.

    It stays within one hour of the clock, as the rules count them.
    """
    begun = now.replace(hour=hour, minute=minute, second=7, microsecond=0)
    if begun + lasted >= now:
        begun -= timedelta(days=1)
    return begun if now - begun < _LATELY else (now - _LATELY).replace(minute=minute, second=7, microsecond=0)


@dataclass(frozen=True, slots=True)
class Era:
    """A span of time in which new tokens were sealed under one key material.

    `generation` counts from 0. `share` is the part of all sealed tokens that were written in it.
    """

    old_key: bool
    generation: int
    begins: timedelta
    ends: timedelta
    share: float

    def moment(self, now: datetime, part: float) -> datetime:
        age = self.begins + (self.ends - self.begins) * part
        return (now - age).replace(microsecond=0)


ERAS = (
    Era(True, 0, timedelta(days=1095), TOKENS_CREATED, 0.165),
    Era(False, 0, TOKENS_CREATED, TOKENS_ROTATED, 0.280),
    Era(False, 1, TOKENS_ROTATED, timedelta(minutes=10), 0.555),
)


def at(quantile: float) -> tuple[Era, float]:
    """Return the era of the token at `quantile` (0 oldest, below 1) of all tokens, and how far into it."""
    begins = 0.0
    for era in ERAS[:-1]:
        if quantile < begins + era.share:
            return era, (quantile - begins) / era.share
        begins += era.share
    return ERAS[-1], (quantile - begins) / ERAS[-1].share
