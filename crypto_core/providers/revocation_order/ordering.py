"""Puts tokens in the order of revocation, by the answers that are kept and what the trail tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.providers.revocation_order.exposure import ExposureSearch, Suspicion
from crypto_core.providers.revocation_order.order import RankedToken, ranked
from crypto_core.references import TokenRef

if TYPE_CHECKING:
    from crypto_core.providers.ability_service import AbilityService


@dataclass(frozen=True, slots=True)
class RevocationOrdering:
    """Asks no provider, and opens nothing. Blocks on SQL, the answers' file and the store of events."""

    abilities: AbilityService
    exposure: ExposureSearch

    def order_of(
        self,
        refs: Sequence[TokenRef],
        suspicion: Suspicion,
        *,
        now: datetime | None = None,
        cancelled: Event | None = None,
    ) -> tuple[RankedToken, ...]:
        """Return tokens in the order in which to revoke them, the worst first.

        Raises DatabaseError, AbilityBookError, InterruptedRunError.
        """
        rows = dict(self.abilities.alike(refs))
        exposures = self.exposure.exposure_of(refs, suspicion, rows, cancelled)
        return ranked(refs, self.abilities.kept(refs), exposures, now or datetime.now(UTC))
