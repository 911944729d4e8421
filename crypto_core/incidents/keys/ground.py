"""What actions, checks and captures about keys are made from: services, by what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.guard.consent import Consent
    from crypto_core.incidents.event_fetching import Monitor
    from crypto_core.keys.changes.change import KeyChange
    from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.reading import KeyPolicies
    from crypto_core.keys.posture.examination import Posture
    from crypto_core.keys.replacement.guide import Guide
    from crypto_core.keys.replacement.witness import UseWitness
    from crypto_core.keys.service import StatusService
    from crypto_core.keys.status import Status
    from crypto_core.reencryption.jobs.model import JobOptions, JobPlan, JobView
    from crypto_core.reencryption.plan import Selection, Unwritten, Verb
    from crypto_core.trail.rules.service import Examined
    from crypto_core.trail.store.tallies import Tallies
    from crypto_core.trail.use.keys import KeyUseSummary


class Changes(Protocol):
    """Changes keys: see KeyChangeService."""

    def plan(self, change: KeyChange, *, cancelled: Event | None = None) -> ChangePlan:
        """Return what would happen; journaled as a dry run."""
        ...

    def run(
        self, plan: ChangePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ChangeResult:
        """Do what the plan says, and read back what came of it."""
        ...


class Jobs(Protocol):
    """Writes many tokens anew: see JobService."""

    def plan(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        cancelled: Event | None = None,
    ) -> JobPlan:
        """Return what would happen; journaled as a dry run."""
        ...

    def start(self, plan: JobPlan, consent: Consent | None) -> int:
        """Make the job of a plan and return its number."""
        ...

    def jobs(self, limit: int = 200) -> tuple[JobView, ...]:
        """Return jobs, the newest first."""
        ...

    def show(self, job: int) -> JobView:
        """Return where a job stands. Raises UnknownJobError."""
        ...

    def unwritten(self, job: int, kind: str = "", *, limit: int = 200) -> tuple[Unwritten, ...]:
        """Return tokens that a job can't write."""
        ...

    def resume(self, job: int) -> JobView:
        """Let a paused or failed job go on."""
        ...

    def retry(self, job: int) -> int:
        """Try the tokens anew that could not be written."""
        ...


class Rotation(Protocol):
    """Tells how far the platform's way from one key to another is: see ManualRotation."""

    def look(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        """Return the guide as things are now."""
        ...


class Uses(Protocol):
    """Tells the use of keys by the events that are kept: see EventUse."""

    def key_use(
        self, key: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> KeyUseSummary:
        """Return the use of a key, all its replicas together and apart."""
        ...


class Events(Protocol):
    """Counts the events that are kept: see EventStore."""

    def tally(
        self, fields: Sequence[str], expression: str = "", *, limit: int, cancelled: Event | None = None
    ) -> Tallies:
        """Return the events by fields."""
        ...


class Postures(Protocol):
    """The rules about keys and trails: see PostureService."""

    def examine(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        """Return the posture now."""
        ...


class Rules(Protocol):
    """The rules about events: see TrailRules."""

    def examine(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """Return what the rules say of a window."""
        ...


WorkOn = Callable[[int, tuple[str, ...]], Any]
"""Lets processes work on a job, trusting these keys for it, if none here does. Returns at once.

Raises JobError, ReadOnlyError.
"""


@dataclass(frozen=True, slots=True)
class KeyGround:
    """What everything here is made from.

    `identity` is the ARN of who works with Keydeck (raises KmsError), `backups` how many replaced envelopes
    are kept under a key (raises DatabaseError), `at_work` whether processes of this console are at a job,
    even if none has entered itself yet. Two censuses that prove a key empty lie `settle_seconds` apart.
    """

    keys: KeyInventory
    policies: KeyPolicies
    status: StatusService
    inventory: Inventory
    changes: Changes
    jobs: Jobs
    replacement: Rotation
    monitor: Monitor
    use: Uses
    events: Events
    posture: Postures
    trail_rules: Rules
    identity: Callable[[], str]
    backups: Callable[[str], int]
    work_on: WorkOn
    witness: UseWitness | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    settle_seconds: float = 10.0
    at_work: Callable[[int], bool] = lambda job: False
