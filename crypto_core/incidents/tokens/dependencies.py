"""What the actions, checks and captures about tokens are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.incidents.model import Incident
from crypto_core.incidents.suspects import Suspects
from crypto_core.reencryption.token_search.index_plan import OutsideRows, not_indexed
from crypto_core.references import TokenRef
from crypto_core.trail.use.reach import Covered, not_recorded

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crypto_core.copies.register import RegisteredCopy
    from crypto_core.database.tokens.attribution_cache import AttributionCache
    from crypto_core.database.tokens.catalogue import LiveCatalogue
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.database.tokens.opening import ValueOpener
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.incidents.tokens.restored_tokens import RestoredTokens
    from crypto_core.keyring.kms_keyring import KmsKeyring
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.service import StatusService
    from crypto_core.provider_logs.token_use import TokenUses
    from crypto_core.providers.ability_service import AbilityService
    from crypto_core.providers.revocation_order import RevocationOrdering
    from crypto_core.providers.service import ProviderService
    from crypto_core.reencryption.replacing_token.service import TokenEntering
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.trail.key_watch import KeyMonitor
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse

MOST_TOKENS = 25_000
"""Tokens of one incident that are acted on one by one."""

EvidenceReader = Callable[[int, str], Sequence[str]]
"""Gives the contents of an incident's evidence of one kind, JSON texts, the oldest first, hashes compared.

May raise EvidenceError, DatabaseError.
"""

SuspectsOf = Callable[[Incident, Event | None], Suspects]
"""Whom an incident is about."""


def nobody_suspected(_incident: Incident, _cancelled: Event | None) -> Suspects:
    """Return nobody: for tools that are made without the rules about events."""
    return Suspects(gaps=("who is suspected was not examined",))


OpenRestored = Callable[[str], AbstractContextManager["RestoredTokens"]]
"""Opens the restored database that the settings know by a name. Raises SettingsError for another name."""


@dataclass(frozen=True, slots=True)
class TokenDependencies:
    """Existing services, as `console/container.py` makes them, and what is an incident's own."""

    engine: Engine
    catalogue: LiveCatalogue
    store: TokenStore
    answers: AttributionCache
    inventory: Inventory
    keyring: KmsKeyring
    keys: KeyInventory
    status: StatusService
    verifier: Verifier
    opener: ValueOpener
    entering: TokenEntering
    providers: ProviderService
    events: EventStore
    use: EventUse
    monitor: KeyMonitor
    evidence: EvidenceReader
    open_restored: OpenRestored
    registered_copy: Callable[[str], RegisteredCopy | None]
    """The registered copy of a name, its keys as they stand now; None for none."""
    regions: Callable[[], Sequence[str]]
    """The configured Regions."""
    abilities: AbilityService
    ordering: RevocationOrdering
    uses: TokenUses | None = None
    """None where providers' events are not kept."""
    suspects: SuspectsOf = nobody_suspected
    covered: Covered = field(default=not_recorded)
    outside: Callable[[Sequence[TokenRef], Event | None], OutsideRows] = field(default=not_indexed)
    """Which other rows hold tokens in scope, as far as it is known without opening any."""
    most: int = MOST_TOKENS
