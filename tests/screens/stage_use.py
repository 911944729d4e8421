"""Use and watches on the stage: the real services over its store and its rows."""

from __future__ import annotations

from typing import Any

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.service import EventUse
from tests.screens.samples import KEYS
from tests.screens.stage_gate import Enter, Gated


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
