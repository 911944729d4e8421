"""Whose owners connect again in the demo: those of damaged tokens, once the platform has another key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.game_day.platform_part import PlatformPart
    from console.sandbox.world import World
    from crypto_core.references import TokenRef


@dataclass(frozen=True, slots=True)
class DamagedConnections:
    """Connections of which no runbook could prove that their tokens open."""

    world: World
    platform: PlatformPart

    def cut_off(self, new_key: str) -> Sequence[TokenRef]:
        """Return those whose owners have not connected again; none before there is a new key."""
        if not new_key:
            return ()
        return [ref for ref in sorted(self.world.corrupt) if ref not in self.platform.reconnected]
