"""Use and watches on the stage: the real services over its store and its rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.key_watch.watch import KeyMonitor
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.reach import Reached
from crypto_core.trail.use.service import EventUse
from tests.crypto_core.trail.records import ACCOUNT
from tests.screens.samples import KEYS
from tests.screens.stage_gate import Enter, Gated

OPERATOR = f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana"
"""Whose uses by Keydeck a watch tells as its own."""


def aliases() -> dict[str, tuple[str, ...]]:
    return {key.key_arn: key.aliases for key in KEYS}


_CALLS = {
    "token_timeline": "use.token",
    "key_use": "use.key",
    "tokens_opened": "use.opened",
    "blast_radius": "use.principal",
}


class StageUse(Gated):
    def __init__(self, enter: Enter, store: EventStore, inventory: Any, census: Any) -> None:
        self.covered = Coverage()
        use = EventUse(
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
        super().__init__(use, enter, _CALLS)


class StageMonitor(Gated):
    """A KeyMonitor that fetches nothing: it asks only what of the time is covered ("monitor.look")."""

    def __init__(self, enter: Enter, store: EventStore, clock: Callable[[], datetime]) -> None:
        self.covered = Coverage()
        monitor = KeyMonitor(
            store,
            aliases=aliases,
            reaches=lambda _since, _regions: Reached(clock(), self._look().reasons),
            clock=clock,
            identity=lambda: OPERATOR,
        )
        super().__init__(monitor, enter, {"begin_watch": "monitor.begin"})

    def _look(self) -> Coverage:
        self._enter("monitor.look", None)
        return self.covered
