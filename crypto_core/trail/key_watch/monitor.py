"""Watches retired keys: every use since a time, and how long there has been none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.errors import KmsError
from crypto_core.key_names import is_multi_region
from crypto_core.text.cleaning import clean
from crypto_core.trail.key_watch.watch import KeyWatch
from crypto_core.trail.query import Aliases
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.asking import NamedKeys, named_keys
from crypto_core.trail.use.keys import known_keys
from crypto_core.trail.use.reach import Reaches, reached_nothing

if TYPE_CHECKING:
    from crypto_core.trail.sources.puller import EventPuller

SHORTEST_SECONDS = 5.0
"""Between two looks: LookupEvents answers twice a second, for the whole account."""

Replicas = Callable[[str], Sequence[str]]
"""The ARNs of all replicas of a multi-Region key, its own among them. Raises KmsError."""


@dataclass(frozen=True, slots=True)
class KeyMonitor:
    """Watches keys over the store, and fetches what is new before each look where there is a puller.

    `identity` gives the ARN of who works with Keydeck; it may raise KmsError. `reaches` says how far the
    store is covered; it counts where nothing is pulled. `skew` is how many seconds AWS's clock is ahead of
    `clock`, None where that is not known.
    """

    store: EventStore
    aliases: Aliases = dict
    puller: EventPuller | None = None
    replicas: Replicas | None = None
    identity: Callable[[], str] | None = None
    reaches: Reaches = reached_nothing
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    skew: Callable[[], float | None] = lambda: None

    def aws_now(self) -> datetime:
        """Return the time by AWS's clock, by `clock` where the difference is not known."""
        return self.clock() + timedelta(seconds=self.skew() or 0.0)

    def begin_watch(
        self,
        keys: Sequence[str],
        since: datetime,
        *,
        source: str = "lookup",
        pull: bool = True,
        cancelled: Event | None = None,
    ) -> KeyWatch:
        """Return a watch over keys by ARN, id or alias, all their replicas, that has not looked yet.

        Raises SettingsError, KeyNotFoundError, EventStoreError, InterruptedRunError.
        """
        known = known_keys(self.store, cancelled=cancelled)
        arns: dict[str, None] = {}
        gaps = []
        named = named_keys(keys, self.aliases, known)
        for arn in named.arns:
            arns[arn] = None
            if not is_multi_region(arn):
                continue
            try:
                if self.replicas is None:
                    gaps.append(f"The Regions of {arn} are not known: AWS is not asked")
                else:
                    arns |= dict.fromkeys(self.replicas(arn))
            except KmsError as error:
                gaps.append(f"The Regions of {arn} are not known: {error}")
        if not arns:
            gaps.append(f"The Region of {named.name} is not known: name it by its ARN")
        whole = NamedKeys(named.name, named.ids, tuple(arns), named.aliases)
        caller, note = "", ""
        try:
            caller = self.identity() if self.identity is not None else ""
        except KmsError as error:
            note = clean(f"Which uses are Keydeck's own is not known: {error.message}", 300)
        return KeyWatch(
            whole,
            since.replace(microsecond=0),  # as events have it: none of the first second is left out
            store=self.store,
            puller=self.puller if pull else None,
            source=source,
            reaches=self.reaches,
            clock=self.clock,
            skew=self.skew,
            gaps=gaps,
            caller=caller,
            note=note,
        )
