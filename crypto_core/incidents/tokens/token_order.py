"""The tokens of an incident in the order in which to revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.incidents.event_fetching import begin_of
from crypto_core.incidents.model import Incident
from crypto_core.incidents.tokens.dependencies import SuspectsOf, nobody_suspected
from crypto_core.providers.revocation_order import RankedToken, Suspicion
from crypto_core.references import TokenRef

if TYPE_CHECKING:
    from crypto_core.incidents.tokens.scoped import ScopedTokens
    from crypto_core.providers.revocation_order import RevocationOrdering


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """Puts them in order by what its suspects opened, and could have. Blocks as RevocationOrdering does."""

    scoped: ScopedTokens
    ordering: RevocationOrdering
    suspects: SuspectsOf = nobody_suspected

    def order_of(
        self, incident: Incident, refs: Sequence[TokenRef], cancelled: Event | None = None
    ) -> tuple[RankedToken, ...]:
        """Return some of its tokens, the worst first. Raises as RevocationOrdering.order_of."""
        found = self.suspects(incident, cancelled)
        suspicion = Suspicion(found.arns, begin_of(incident), found.gaps)
        return self.ordering.order_of(refs, suspicion, cancelled=cancelled)
