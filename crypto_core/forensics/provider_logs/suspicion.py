"""Which uses look like a thief's: from an address and client that nobody used before, or after a suspect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event

from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.store import LogSummary, ProviderLog, UseGroup
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.token_timeline import short_name
from crypto_core.trail.use.tokens import OPENED
from crypto_core.values.clean_text import cleans
from crypto_core.values.moments import in_utc

BEFORE_USE = timedelta(minutes=60)
"""So long after an opening a use counts as one that may have come of it."""
NEW = timedelta(days=3)
LEARNED = timedelta(days=1)
"""Of the first day of a log nothing is new: what came before isn't there."""
MOST = 5_000


@dataclass(frozen=True, slots=True)
@cleans(principal=300, address=100)
class Opener:
    """Who opened tokens, from where, and when. `suspect` where an incident says so, else it was new."""

    principal: str
    address: str
    first: datetime
    last: datetime
    calls: int
    suspect: bool

    @property
    def words(self) -> str:
        return f"{short_name(self.principal)} from {self.address or 'an unknown address'}"


class UseJudge:
    """Judges uses by what both stores hold. Blocks; raises EventStoreError, InterruptedRunError."""

    def __init__(
        self,
        log: ProviderLog,
        events: EventStore,
        *,
        suspects: Iterable[str] = (),
        cancelled: Event | None = None,
    ) -> None:
        self._log = log
        self._events = events
        self._suspects = frozenset(suspects)
        self._cancelled = cancelled

    @cached_property
    def _summaries(self) -> Sequence[LogSummary]:
        return self._log.summaries(cancelled=self._cancelled)

    @cached_property
    def begins(self) -> datetime | None:
        """When the providers' events begin; None where there are none."""
        return min((one.first for one in self._summaries), default=None)

    def places(self, provider: str, named: Iterable[str]) -> tuple[str, ...]:
        """Return the places that are named, as the provider's events write them: case doesn't count."""
        wanted = {name.lower() for name in named}
        return tuple(
            one.place for one in self._summaries if one.provider == provider and one.place.lower() in wanted
        )

    @cached_property
    def openers(self) -> tuple[Opener, ...]:
        found = self._events.tally(("principal", "ip"), OPENED, limit=MOST, cancelled=self._cancelled)
        return tuple(
            Opener(who, address, row.first, row.last, row.events, suspect=who in self._suspects)
            for row in found.rows
            for who, address in [row.texts]
            if who
        )

    @cached_property
    def _first_opening(self) -> Mapping[str, datetime]:
        first: dict[str, datetime] = {}
        for one in self.openers:
            first[one.principal] = min(one.first, first.get(one.principal, one.first))
        return first

    @cached_property
    def _addresses(self) -> Mapping[str, datetime]:
        return self._log.first_uses("address", cancelled=self._cancelled)

    @cached_property
    def _agents(self) -> Mapping[str, datetime]:
        return self._log.first_uses("agent", cancelled=self._cancelled)

    def is_new(self, opener: Opener, since: datetime) -> bool:
        """Whether a principal is suspected, or opened nothing before `since`, as far as events go back."""
        return opener.suspect or _new(
            self._first_opening[opener.principal], since, min(self._first_opening.values())
        )

    def stranger(self, use: ProviderEvent | UseGroup, since: datetime) -> bool:
        known = self._agents.get(use.agent) if use.agent else None
        return self._from_new_address(use, since) and (not use.agent or _new(known, since, self.begins))

    def opener_before(self, use: ProviderEvent | UseGroup, since: datetime) -> Opener | None:
        """Return the suspect, or else the last new principal, who opened tokens just before a new address."""
        if not self._from_new_address(use, since):
            return None
        at = self._addresses[use.address]
        before = [
            one
            for one in self.openers
            if one.first <= at <= one.last + BEFORE_USE and self.is_new(one, since) and self._opened(one, at)
        ]
        return max(before, key=lambda one: (one.suspect, one.last), default=None)

    def _opened(self, opener: Opener, at: datetime) -> bool:
        begin, end = ((at - ago).replace(microsecond=0).isoformat() for ago in (BEFORE_USE, timedelta()))
        where = term("ip", opener.address) if opener.address else ""
        asked = f"{OPENED} {term('principal', opener.principal)} {where} since:{begin} until:{end}"
        return bool(self._events.tally((), asked, limit=1, cancelled=self._cancelled).events)

    def verdict(self, use: ProviderEvent) -> str:
        """Return why a single use looks like a thief's, in words; "" where it doesn't."""
        since = use.at - NEW
        opener = self.opener_before(use, since)
        if opener is not None:
            word = "a suspect" if opener.suspect else "who was new"
            since_then = in_utc(opener.first)
            return f"from a new address, after {opener.words} ({word}) opened tokens from {since_then} on"
        return "nobody used this address or this client before" if self.stranger(use, since) else ""

    def _from_new_address(self, use: ProviderEvent | UseGroup, since: datetime) -> bool:
        first = self._addresses.get(use.address) if use.address else None
        return bool(use.access) and _new(first, since, self.begins)


def _new(first: datetime | None, since: datetime, begins: datetime | None) -> bool:
    return first is not None and begins is not None and first >= since and first > begins + LEARNED
