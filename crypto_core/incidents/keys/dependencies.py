"""What actions, checks and captures about keys are made from: services, by what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crypto_core.keys.needing_copies import NeedingCopies

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.incidents.keys.rotation.look import RotationReader
    from crypto_core.incidents.suspects import SuspectSearch
    from crypto_core.keys.changes.service import KeyChangeService
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.reading import KeyPolicies
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.service import StatusService
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.trail.key_watch import KeyMonitor
    from crypto_core.trail.rules.service import TrailRules
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse

WorkOn = Callable[[int, tuple[str, ...]], Any]
"""Lets processes work on a job, trusting these keys for it, if none here does. Returns at once.

Raises JobError, ReadOnlyError.
"""


@dataclass(frozen=True, slots=True)
class KeyDependencies:
    """What everything here is made from.

    `suspects` finds whom an incident is about, `identity` is the ARN of who works with Keydeck (raises
    KmsError), `backups` how many replaced envelopes are kept under a key (raises DatabaseError), `at_work`
    whether processes of this console are at a job, even if none has entered itself yet. `evidence` gives the
    contents of an incident's evidence of one kind, the oldest first (raises EvidenceError where one is not
    what was captured). Two censuses that prove a key empty lie `settle_seconds` apart. `trust` has this
    process trust a key that its operator made or chose, and returns the settings line that has others do so.
    `actors` are all whom the journal's text names, which decides nothing (raises DatabaseError).
    `needing_copies` tells which registered copies need a key.
    """

    keys: KeyInventory
    policies: KeyPolicies
    status: StatusService
    inventory: Inventory
    changes: KeyChangeService
    jobs: JobService
    rotation: RotationReader
    monitor: KeyMonitor
    use: EventUse
    events: EventStore
    posture: PostureService
    trail_rules: TrailRules
    suspects: SuspectSearch
    identity: Callable[[], str]
    backups: Callable[[str], int]
    work_on: WorkOn
    store: TokenStore
    verifier: Verifier
    evidence: Callable[[int, str], Sequence[str]]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    settle_seconds: float = 10.0
    trust: Callable[[str], str] = lambda key_arn: ""
    at_work: Callable[[int], bool] = lambda job: False
    actors: Callable[[], Sequence[str]] = tuple
    needing_copies: Callable[[str], NeedingCopies] = lambda key_arn: NeedingCopies()
