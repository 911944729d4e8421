"""What the actions, checks and captures of steps are made from: services, by what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

from crypto_core.trail.use.reach import Covered
from crypto_core.values.references import TokenRef

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crypto_core.database.tokens.catalogue import LiveCatalogue
    from crypto_core.database.tokens.fingerprints import OutsideRows
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.database.tokens.value_opener import ValueOpener
    from crypto_core.incidents.revocation_order import RevocationOrdering
    from crypto_core.incidents.suspects import SuspectSearch
    from crypto_core.keyring.kms_keyring import KmsKeyring
    from crypto_core.keyring.preflight import Preflight
    from crypto_core.keys.changes.service import KeyChangeService
    from crypto_core.keys.dependent_copies import KnownCopies
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.policy_reader import KeyPolicies
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.replacement import AccessComparison, UseWitness
    from crypto_core.keys.service import StatusService
    from crypto_core.providers.service import ProviderService
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.replacing_token.service import TokenEntering
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.trail.key_watch import KeyMonitor
    from crypto_core.trail.rules.service import TrailRules
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse

MOST_TOKENS = 25_000
"""Tokens of one incident that are acted on one by one."""


@dataclass(eq=False)
class RotationReader:
    """What looks read with, and the platform's keys as configured: see the settings of the same names."""

    engine: Engine
    journal_engine: Engine
    keys: KeyInventory
    access: AccessComparison
    preflight: Preflight
    inventory: Inventory
    status: StatusService
    regions: Callable[[], Sequence[str]]
    witness: UseWitness
    list_key: Callable[[], str]
    """Tells the key that the list of tripwires is sealed under, "" where there is none."""
    write_key: str | None
    write_alias: str = ""
    trusted_keys: tuple[str, ...] = ()
    rotation_days: int = 365


@dataclass(frozen=True, slots=True)
class ToolServices:
    """What everything here is made from, as `console/incident_services.py` makes it."""

    status: StatusService
    inventory: Inventory
    catalogue: LiveCatalogue
    store: TokenStore
    keyring: KmsKeyring
    opener: ValueOpener
    verifier: Verifier
    keys: KeyInventory
    policies: KeyPolicies
    changes: KeyChangeService
    rotation: RotationReader
    posture: PostureService
    jobs: JobService
    events: EventStore
    monitor: KeyMonitor
    use: EventUse
    trail_rules: TrailRules
    suspects: SuspectSearch
    covered: Covered
    providers: ProviderService
    entering: TokenEntering
    ordering: RevocationOrdering
    regions: Callable[[], Sequence[str]]
    identity: Callable[[], str]
    """The ARN of who works with Keydeck. Raises KmsError."""
    evidence: Callable[[int, str], Sequence[str]]
    """The contents of an incident's evidence of one kind, the oldest first, hashes compared.

    Raises EvidenceError, DatabaseError.
    """
    backups: Callable[[str], int]
    """How many replaced envelopes are kept under a key. Raises DatabaseError."""
    copies: KnownCopies
    outside: Callable[[Sequence[TokenRef], Event | None], OutsideRows]
    """Which other rows hold tokens in scope, as far as it is known without opening any.

    Raises DatabaseError, InterruptedRunError, and RefusedError where the capability is left out.
    """
    work_on: Callable[[int, tuple[str, ...]], Any]
    """Lets processes work on a job, trusting these keys for it, if none here does. Returns at once.

    Raises JobError, ReadOnlyError.
    """
    at_work: Callable[[int], bool]
    """Whether processes of this console are at a job, even if none has entered itself yet."""
    trust: Callable[[str], str]
    """Has this process trust a key that its operator chose; returns the line that has others do so."""
    actors: Callable[[], Sequence[str]]
    """All whom the journal's text names, which decides nothing. Raises DatabaseError."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    settle_seconds: float = 10.0
    """Two censuses that prove a key empty lie so far apart."""
    most: int = MOST_TOKENS
    marks: dict[tuple[bytes, bytes], tuple[str, str]] = field(default_factory=dict)
    """What is known of opened envelopes, by incident and digest: none is opened for two tools."""
