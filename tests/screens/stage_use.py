"""Use and watches on the stage: the real services over its store and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.lists.coverage import Coverage
from crypto_core.references import TokenRef
from crypto_core.trail.key_watch.watch import KeyMonitor, KeyWatch
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.blast_radius import BlastRadius
from crypto_core.trail.use.keys import KeyUseSummary
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.opened_tokens import OpenedTokens
from crypto_core.trail.use.reach import Reached
from crypto_core.trail.use.service import EventUse
from crypto_core.trail.use.token_timeline import TokenTimeline
from tests.crypto_core.trail.records import ACCOUNT
from tests.screens.samples import KEYS

OPERATOR = f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana"
"""Whose uses by Keydeck a watch tells as its own."""

Enter = Callable[[str, Event | None], None]


def aliases() -> dict[str, tuple[str, ...]]:
    """The aliases of the stage's keys."""
    return {key.key_arn: key.aliases for key in KEYS}


class StageUse:
    """An EventUse. `enter` is what each call begins with. `covered` is what the events cover."""

    def __init__(self, enter: Enter, store: EventStore, inventory: Any, census: Any) -> None:
        self._enter = enter
        self.covered = Coverage()
        self._use = EventUse(
            store,
            row=inventory.row,
            asked=inventory.row,
            replaced=lambda ref: (),
            census=census,
            inventory=inventory,
            backups=lambda arn: 0,
            aliases=aliases,
            coverage=lambda since, until: self.covered,
        )

    def token_timeline(self, ref: TokenRef, *, cancelled: Event | None = None) -> TokenTimeline:
        """Of one token."""
        self._enter("use.token", cancelled)
        return self._use.token_timeline(ref, cancelled=cancelled)

    def receipted_use(self, ref: TokenRef) -> NamedUse | None:
        """Of one token, by receipts."""
        return self._use.receipted_use(ref)

    def key_use(
        self, key: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> KeyUseSummary:
        """Of one key."""
        self._enter("use.key", cancelled)
        return self._use.key_use(key, since=since, cancelled=cancelled)

    def tokens_opened(
        self, principal: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> OpenedTokens:
        """By one principal."""
        self._enter("use.opened", cancelled)
        return self._use.tokens_opened(principal, since=since, cancelled=cancelled)

    def blast_radius(self, principal: str, *, cancelled: Event | None = None) -> BlastRadius:
        """Of one principal."""
        self._enter("use.principal", cancelled)
        return self._use.blast_radius(principal, cancelled=cancelled)


class StageMonitor:
    """A KeyMonitor that fetches nothing: it asks only what of the time is covered ("monitor.look")."""

    def __init__(self, enter: Enter, store: EventStore, clock: Callable[[], datetime]) -> None:
        self._enter = enter
        self.covered = Coverage()
        self._monitor = KeyMonitor(
            store,
            aliases=aliases,
            reaches=lambda _since, _regions: Reached(clock(), self._look().reasons),
            clock=clock,
            identity=lambda: OPERATOR,
        )

    def _look(self) -> Coverage:
        self._enter("monitor.look", None)
        return self.covered

    def begin_watch(self, keys: Sequence[str], since: datetime, **options: Any) -> KeyWatch:
        """Begin one."""
        self._enter("monitor.begin", options.get("cancelled"))
        return self._monitor.begin_watch(keys, since, **options)
