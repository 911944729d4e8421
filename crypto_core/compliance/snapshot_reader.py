"""Takes snapshots: each part by the services that other commands ask, so that numbers agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.compliance import facts, measurement
from crypto_core.compliance.change_reader import LATE, OVERLAP
from crypto_core.compliance.control_tests.records import QUARTER, YEAR
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.diagnosis.check import Area, examine
from crypto_core.findings.registry import Facts as RuleFacts
from crypto_core.guard.approvals import ACTIONS
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.evidence_text import NOTHING_SHA256
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.trail.store.suppressions import sift
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean

if TYPE_CHECKING:
    from crypto_core.compliance.change_reader import ChangeReader
    from crypto_core.compliance.cryptography_reader import CryptographyReader
    from crypto_core.database.state.approval_book import ApprovalBook
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.incidents.model import IncidentView
    from crypto_core.incidents.service import IncidentService
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.policy_reader import KeyPolicies, KeyPolicy
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.posture.limits import Limits
    from crypto_core.keys.service import StatusService
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.rules.service import TrailRules

_OF_EVENTS = (RuleFacts.EVENTS, RuleFacts.PROVIDERS)
"""What the rules about recorded events read: CloudTrail's first."""
_NO_PERMISSION = (errors.KmsAccessDeniedError, errors.MissingGrantError, errors.MissingPermissionError)


@dataclass(frozen=True, slots=True)
class ComplianceSettings:
    """What the settings say, as far as controls are about it."""

    settings: facts.SettingFacts
    limits: Limits
    events_days: int
    drill_days: int
    approval_minutes: float
    signs: bool


@dataclass(eq=False)
class SnapshotReader:
    """Reads the parts of a snapshot. Blocks on SQL and AWS: call it from a worker.

    `areas` are those of the diagnosis that tests are about.
    """

    status: StatusService
    keys: KeyInventory
    policies: KeyPolicies
    posture: PostureService
    trail_rules: TrailRules
    event_coverage: CoverageRecord
    approvals: ApprovalBook
    checkpoints: JournalCheckpoints
    incidents: IncidentService
    incident_store: IncidentStore
    configured: ComplianceSettings
    cryptography: CryptographyReader
    change_reader: ChangeReader
    before: Callable[[], Snapshot | None]
    """Returns what the last record holds, None where there is none. It raises DatabaseError."""
    areas: Callable[[], Sequence[Area]] = tuple
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def take(
        self,
        parts: Iterable[SnapshotPart] = SnapshotPart,
        cancelled: Event | None = None,
        *,
        since_record: bool = False,
    ) -> Snapshot:
        """Return a snapshot with these parts; one that can't be read is missing, with the reason.

        Events are examined of the last day; with `since_record` of all the time since the last record's, if
        that is longer. Raises InterruptedRunError.
        """
        reading = _Reading(self, self.clock(), cancelled, since_record=since_record)
        return Snapshot(reading.now, {part: reading.read(part) for part in dict.fromkeys(parts)})


@dataclass(eq=False)
class _Reading:
    """One snapshot being taken: what several parts are read from is asked once."""

    by: SnapshotReader
    now: datetime
    cancelled: Event | None
    since_record: bool
    _policies: dict[str, KeyPolicy] = field(default_factory=dict)

    def read(self, part: SnapshotPart) -> facts.PartFacts | MissingPart:
        """Return a part's facts, by the method of its name, or why there are none.

        Raises InterruptedRunError.
        """
        stop_if(self.cancelled)
        try:
            found: facts.PartFacts | MissingPart = getattr(self, f"_{part}")()
            return found
        except errors.InterruptedRunError:
            raise
        except errors.KeydeckError as error:
            return MissingPart(_lack(error), clean(error, 600))

    @cached_property
    def _census(self) -> Status | errors.KeydeckError:
        """The census, or why there is none: a database that doesn't answer is asked once."""
        try:
            return self.by.status.take_census(cancelled=self.cancelled)
        except errors.InterruptedRunError:
            raise
        except errors.KeydeckError as error:
            return error

    @property
    def _counted(self) -> Status | None:
        """The census; None where there is none, which the part about tokens tells."""
        return self._census if isinstance(self._census, Status) else None

    @cached_property
    def _states(self) -> tuple[KeyState, ...]:
        # After the census the inventory knows the keys that tokens were found under.
        counted = self._counted
        return measurement.guarding_keys(
            self.by.keys.list(), counted, self.by.posture.write_key, self._write_arn()
        )

    def _write_arn(self) -> str:
        name = self.by.posture.write_key
        return self.by.keys.describe(name).key_arn if name else ""

    def _tokens(self) -> facts.TokenFacts:
        if isinstance(self._census, errors.KeydeckError):
            raise self._census
        return measurement.token_facts(self._census)

    def _posture(self) -> facts.FindingFacts:
        posture = self.by.posture.examine_keys(status=self._counted, cancelled=self.cancelled)
        try:
            suppressions = self.by.trail_rules.suppressions()
        except errors.TrailError:
            suppressions = ()  # The part about events tells; nothing is hidden then.
        told, hidden = sift(posture.findings, suppressions)
        asked = tuple(one for one in RuleFacts if one not in _OF_EVENTS)
        return measurement.finding_facts(asked, told, hidden, posture.gaps)

    def _events(self) -> facts.FindingFacts | MissingPart:
        since = self._unexamined_since() if self.since_record else None
        found = self.by.trail_rules.examine_events(since, cancelled=self.cancelled)
        if found.empty and not (found.findings or found.suppressed):
            return MissingPart(Lack.NOTHING, clean(found.gaps[0].reason, 600))
        asked = _OF_EVENTS[1:] if found.empty else _OF_EVENTS
        told = measurement.finding_facts(asked, found.findings, found.suppressed, found.gaps)
        return replace(told, since=found.since, until=found.until)

    def _unexamined_since(self) -> datetime | None:
        """Since when no record looked at events; None for the last day, which is looked at in any case."""
        if self._before is None:
            return None
        told = self._before.part(SnapshotPart.EVENTS)
        looked = told.until if isinstance(told, facts.FindingFacts) else None
        return min(self.now - OVERLAP, (looked or self._before.taken_at - OVERLAP) - LATE)

    def _keys(self) -> facts.GuardingKeyFacts:
        limits = self.by.configured.limits
        writes = self._write_arn()
        keys = tuple(
            measurement.key_facts(
                state,
                self._counted,
                writes,
                policy=self._policy_text(state),
                compromised_at=self._compromises(state),
            )
            for state in self._states
        )
        return facts.GuardingKeyFacts(keys, limits.rotation_days, limits.material_days)

    def _access(self) -> facts.AccessFacts:
        found = measurement.access_facts(self._states, self._policy)
        return found if self._counted else replace(found, gaps=(facts.NOT_COUNTED, *found.gaps))

    def _policy(self, state: KeyState) -> KeyPolicy:
        if state.key_arn not in self._policies:
            self._policies[state.key_arn] = self.by.policies.of(state)
        return self._policies[state.key_arn]

    def _policy_text(self, state: KeyState) -> str:
        try:
            return self._policy(state).text
        except errors.KmsError:
            return ""  # The part about access tells.

    def _compromises(self, state: KeyState) -> tuple[datetime, ...]:
        try:
            return measurement.compromises(self._views, state)
        except errors.KeydeckError:
            return ()  # The part about incidents tells.

    @cached_property
    def _views(self) -> tuple[IncidentView, ...]:
        return tuple(self.by.incidents.incidents(limit=None))

    def _trail(self) -> facts.TrailFacts:
        coverage = self.by.event_coverage
        return facts.TrailFacts(
            events=self.by.trail_rules.store.summary("").events,
            kept_days=self.by.configured.events_days,
            regions=tuple(map(clean, coverage.regions())),
            quarter_gaps=tuple(map(clean, coverage.coverage_of(self.now - QUARTER, self.now).reasons)),
            year_gaps=tuple(map(clean, coverage.coverage_of(self.now - YEAR, self.now).reasons)),
        )

    def _approvals(self) -> facts.ApprovalFacts:
        book = self.by.approvals
        needed = tuple(clean(name) for name in ACTIONS if book.needed(name))
        signed = bool(needed) and not book.advisory
        waiting = len(book.requests(pending=True)) if needed else 0
        return facts.ApprovalFacts(
            needed, tuple(map(clean, ACTIONS)), signed, self.by.configured.approval_minutes, waiting
        )

    def _journal(self) -> facts.JournalFacts:
        anchoring = self.by.checkpoints.anchoring
        places = len(anchoring.stores) + (anchoring.authority is not None) + len(anchoring.unusable)
        return measurement.journal_facts(
            self.by.checkpoints.verify(), signs=self.by.configured.signs, places=places
        )

    def _incidents(self) -> facts.IncidentFacts:
        service = self.by.incidents
        return measurement.incident_facts(
            self._views, service.runbooks(), service.runbook_troubles(), self.now
        )

    def _drills(self) -> facts.DrillFacts:
        kind = CaptureKind.VERIFICATION.value
        last = self.by.incident_store.last_evidence(kind, unlike=NOTHING_SHA256)
        return facts.DrillFacts(last, self.by.configured.drill_days)

    @cached_property
    def _before(self) -> Snapshot | None:
        return self.by.before()

    def _changes(self) -> facts.ChangeFacts:
        before = self._before.taken_at if self._before else None
        return self.by.change_reader.changes(before, self.now, self.cancelled)

    def _uses(self) -> facts.UseFacts:
        before = self._before
        told = before.known(facts.UseFacts) if before else None
        since = told.until if told else before.taken_at if before else None
        reader = self.by.change_reader
        return replace(reader.uses(since, self.now, self.cancelled), reviews=reader.reviews(self.now))

    def _settings(self) -> facts.SettingFacts:
        return self.by.configured.settings

    def _cryptography(self) -> facts.CryptographyFacts:
        counted = self._census
        tokens = counted if isinstance(counted, errors.KeydeckError) else measurement.token_facts(counted)
        keys: facts.GuardingKeyFacts | errors.KeydeckError
        try:
            keys = self._keys()
        except errors.InterruptedRunError:
            raise
        except errors.KeydeckError as error:
            keys = error
        return self.by.cryptography.read(tokens, keys, self.by.configured.settings, self.cancelled)

    def _checks(self) -> facts.CheckFacts:
        checks = examine(self.by.areas(), cancelled=self.cancelled, in_order=True)
        return facts.CheckFacts(
            tuple(
                facts.CheckFact(clean(one.area), clean(one.name), one.outcome, clean(one.said, 600))
                for one in checks
            )
        )


def _lack(error: errors.KeydeckError) -> Lack:
    if isinstance(error, errors.MissingSchemaError):
        return Lack.NOTHING
    return Lack.PERMISSION if isinstance(error, _NO_PERMISSION) else Lack.FAILED
