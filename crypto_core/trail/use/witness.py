"""The store as a witness of a key's use, for those who stand below it: see keys/replacement.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

from crypto_core.keys.key_uses import SEALS, USES
from crypto_core.keys.replacement import UseSeen
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import EventTally
from crypto_core.trail.use.filter_builder import asked_as, term
from crypto_core.trail.use.reach import Reaches
from crypto_core.trail.use.tokens import joined
from crypto_core.values.key_names import homes_of

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class StoreWitness:
    """A UseWitness. Fetches nothing: it goes by what the store holds."""

    store: EventStore
    reaches: Reaches
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def uses(self, key_arns: Sequence[str], since: datetime, *, cancelled: Event | None = None) -> UseSeen:
        """Return the successful uses of a key. Raises EventStoreError, InterruptedRunError."""
        ids = dict.fromkeys(map(asked_as, key_arns))
        begin = since.replace(microsecond=0)
        asked = f"{term('key', *ids)} {term('name', *USES)} -failed since:{begin.isoformat()}"
        found = self.store.tally(("principal", "name", "key"), asked, limit=_MOST, cancelled=cancelled)
        by: dict[str, EventTally] = {}
        seals: EventTally | None = None
        for row in found.rows:
            principal, name, keys = row.texts
            by[principal] = joined(by.get(principal), row)
            # Of a ReEncrypt, the destination alone has something new.
            if name in SEALS and (name != "ReEncrypt" or any(keys.endswith(one) for one in ids)):
                seals = joined(seals, row)
        reached = self.reaches(begin, homes_of(key_arns))
        late = self.clock() - LATE
        ordered = sorted(by.items(), key=lambda item: (-item[1].events, item[0]))
        return UseSeen(
            begin,
            uses=found.events,
            seals=seals.events if seals else 0,
            last_at=max((t.last for t in by.values()), default=None),
            last_seal_at=seals.last if seals else None,
            by=tuple(principal for principal, _ in ordered),
            covered_until=None if reached.until is None else min(reached.until, late),
            gaps=reached.gaps,
        )
