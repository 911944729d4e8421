"""Services in memory: the same rows every time, and calls that fail or hang on demand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from threading import Event
from typing import Any

from crypto_core.consent import Consent, Danger, require
from crypto_core.coverage import Coverage, Evidence
from crypto_core.data_keys import KeyAnswer
from crypto_core.database.inspection import Inspection
from crypto_core.database.inventory import InventoryRow, SortKey
from crypto_core.database.inventory_expressions import FIELDS
from crypto_core.envelope import Format
from crypto_core.errors import InterruptedRunError, KmsError, ReadOnlyError, RefusedError, RowVanishedError
from crypto_core.filters import Value
from crypto_core.keys.changes.change import ChangeKind, KeyChange, check
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.posture.finding import Finding, Gap
from crypto_core.keys.replacement.guide import Guide
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import ColumnShare, KeyShare, Problem, Status
from crypto_core.listing import MemorySource
from crypto_core.paging import Cursor, Page, Query
from crypto_core.reencryption.materials import KeyMaterials
from crypto_core.reencryption.plan import (
    Plan,
    RunProgress,
    RunResult,
    Selection,
    Unwritten,
    Verb,
    Verification,
)
from crypto_core.references import TokenRef
from crypto_core.severity import Severity
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.rules.service import WINDOW, Examined, TrailRules
from crypto_core.trail.store.suppressions import Suppression, sift
from screens.services import Contexts, Services, Surroundings
from tests.screens.samples import (
    ACCOUNT,
    CURRENT,
    FINDINGS,
    GRANTS,
    GUIDE,
    KEYS,
    MATERIALS,
    NOW,
    OLD,
    POLICY,
    make_rows,
)
from tests.screens.stage_events import StageEvents
from tests.screens.stage_incidents import StageApprovals, StageIncidents
from tests.screens.stage_jobs import StageJobs, StageProcesses, StageUndoing
from tests.screens.stage_pulls import StagePuller
from tests.screens.stage_use import StageMonitor, StageUse

FREE = ("reference", "org", "provider")


def _read(row: InventoryRow, field: str) -> Value:
    """A row's field, as SQL reads it."""
    match field:
        case "reference":
            return str(row.ref)
        case "table":
            return row.ref.table
        case "column":
            return row.ref.column
        case "id":
            return row.ref.row_id
        case "org":
            return row.organisation
        case "format":
            return row.format.value
        case "severity":
            return row.severity.value
        case "leaked":
            return row.plaintext_provider
        case "key":
            if row.format.protected and row.key_arn is None:
                return "unknown"
            return ((row.key_arn or "").rsplit("/", 1)[-1], row.key_arn or "")
        case "material":
            return row.key_material_id
        case "created":
            return row.created_at
    value: str = getattr(row, field)
    return value


_ORDER: dict[str, Callable[[InventoryRow], str | int | None]] = {
    SortKey.STATE: lambda r: r.severity.rank,
    SortKey.REFERENCE: lambda r: str(r.ref),
    SortKey.ORGANISATION: lambda r: r.organisation,
    SortKey.PROVIDER: lambda r: r.provider,
    SortKey.FORMAT: lambda r: r.format.value,
    SortKey.KEY: lambda r: r.key_arn or "",
    SortKey.EVIDENCE: lambda r: r.evidence.value,
    SortKey.CHARACTERS: lambda r: r.characters,
    SortKey.CREATED: lambda r: int(r.created_at.timestamp()) if r.created_at else 0,
}


@dataclass
class Stage:
    """One deployment. `faults` are raised by the calls they are named after; `gates` hold such calls up."""

    rows: list[InventoryRow] = field(default_factory=make_rows)
    keys: tuple[KeyState, ...] = KEYS
    read_only: bool = False
    write_key: str | None = "alias/tokens"
    faults: dict[str, Exception] = field(default_factory=dict)
    gates: dict[str, Event] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    problems: tuple[Problem, ...] | None = None
    coverage: Coverage = field(default_factory=Coverage)
    place: Surroundings = field(
        default_factory=lambda: Surroundings(
            account=ACCOUNT,
            identity=f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana",
            region="eu-west-1",
            database="tokens@pg-1",
            database_role="keydeck",
            write_key="alias/tokens",
            write_format="v1",
            read_only=False,
            environment="prod",
        )
    )
    policy: Mapping[str, Any] = field(default_factory=lambda: POLICY)
    grants: tuple[Grant, ...] = GRANTS
    policy_missing: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = FINDINGS
    gaps: tuple[Gap, ...] = ()
    trail_findings: tuple[Finding, ...] = ()
    trail_gaps: tuple[Gap, ...] = ()
    guide: Guide | None = GUIDE
    looked: list[tuple[str, str | None]] = field(default_factory=list)
    """The old and new keys that the guide was asked about."""
    changes: list[KeyChange] = field(default_factory=list)
    """The changes of keys that were planned."""
    change_more: dict[str, object] = field(default_factory=dict)
    result_more: dict[str, object] = field(default_factory=dict)
    plan_more: dict[str, object] = field(default_factory=dict)
    contexts: Contexts | None = None
    held: list[tuple[Event, Event | None]] = field(default_factory=list)
    """The gates at which calls hang, each with what cancels the call."""

    @property
    def waiting(self) -> int:
        """How many calls hang; one that was let go a moment ago does not."""
        return sum(
            not gate.is_set() and not (cancelled is not None and cancelled.is_set())
            for gate, cancelled in list(self.held)
        )

    @cached_property
    def events(self) -> StageEvents:
        """The events that are there."""
        return StageEvents(self.enter, lambda: NOW)

    @cached_property
    def event_use(self) -> StageUse:
        """What is told of the events' use."""
        return StageUse(self.enter, self.events.store, StageInventory(self), StageStatus(self))

    @cached_property
    def key_monitor(self) -> StageMonitor:
        """Watches over the events."""
        return StageMonitor(self.enter, self.events.store, lambda: NOW)

    @cached_property
    def jobs(self) -> StageJobs:
        """The jobs that are there."""
        return StageJobs(self.enter, lambda: self.read_only)

    @cached_property
    def job_processes(self) -> StageProcesses:
        """What works on jobs for the console."""
        return StageProcesses(self.enter, lambda: self.read_only)

    @cached_property
    def undoing(self) -> StageUndoing:
        """What undoes jobs."""
        return StageUndoing(self.jobs)

    @cached_property
    def incidents(self) -> StageIncidents:
        """The incidents that are there: none at first."""
        return StageIncidents(self.enter, lambda: self.read_only)

    @cached_property
    def approvals(self) -> StageApprovals:
        """What waits for a second identity: nothing at first."""
        return StageApprovals(self.enter)

    @cached_property
    def puller(self) -> StagePuller:
        """Where new events come from."""
        return StagePuller(self.enter, self.events, lambda: NOW)

    def hold(self, *names: str) -> Event:
        """Make the calls of these names hang until the returned event is set."""
        gate = Event()
        self.gates.update(dict.fromkeys(names, gate))
        return gate

    def enter(self, name: str, cancelled: Event | None = None) -> None:
        """What each call begins with. A call that is cancelled stops hanging."""
        self.calls.append(name)
        gate = self.gates.get(name)
        if gate is not None and not gate.is_set():
            self.held.append((gate, cancelled))
            while not gate.wait(0.01):
                if cancelled is not None and cancelled.is_set():
                    break
            self.held.remove((gate, cancelled))
            if cancelled is not None and cancelled.is_set():
                raise InterruptedRunError("Cancelled.")
        fault = self.faults.get(name)
        if fault is not None:
            raise fault

    def services(self) -> Services:
        """The bundle that the app is given."""
        return Services(
            surroundings=self.surroundings,
            status=StageStatus(self),
            inventory=StageInventory(self),
            inspector=StageInspector(self),
            keys=StageKeys(self),
            policies=StagePolicies(self),
            posture=StagePosture(self),
            work=StageWork(self),
            key_changes=StageKeyWork(self),
            replacement=StageReplacement(self),
            materials=StageMaterials(self),
            events=self.events,
            event_coverage=CoverageRecord(self.events.store, lambda: ("eu-west-1",), clock=lambda: NOW),
            event_use=self.event_use,
            key_monitor=self.key_monitor,
            trail_rules=StageRules(self),
            read_only=self.read_only,
            write_key=self.write_key,
            contexts=self.contexts,
            event_puller=self.puller,
            jobs=self.jobs,
            job_processes=self.job_processes,
            undoing=self.undoing,
            incidents=self.incidents,
            approvals=self.approvals,
        )

    def surroundings(self) -> Surroundings:
        """The place."""
        self.enter("surroundings")
        return replace(self.place, read_only=self.read_only)

    def index(self, ref: TokenRef) -> int:
        """Where a row stands."""
        for i, row in enumerate(self.rows):
            if row.ref == ref:
                return i
        raise RowVanishedError(f"{ref} is no longer there.")


@dataclass
class StageStatus:
    """The census of the stage's rows."""

    stage: Stage

    def take(self, *, cancelled: Event | None = None) -> Status:
        """Count the rows."""
        self.stage.enter("status")
        rows = self.stage.rows
        columns: dict[str, Counter[Format]] = {}
        for row in rows:
            columns.setdefault(f"{row.ref.table}.{row.ref.column}", Counter())[row.format] += 1
        under = Counter(
            (row.key_arn, row.key_material_id, row.evidence) for row in rows if row.format.protected
        )
        return Status(
            taken_at=NOW,
            tokens=len(rows),
            by_format=Counter(row.format for row in rows),
            by_column=tuple(ColumnShare(name, sum(c.values()), c) for name, c in columns.items()),
            keys=tuple(self._share(*which, count) for which, count in under.items()),
            problems=self._problems(columns) if self.stage.problems is None else self.stage.problems,
            coverage=self.stage.coverage,
        )

    def _share(self, arn: str | None, material: str | None, evidence: Evidence, count: int) -> KeyShare:
        key = next((k for k in self.stage.keys if k.key_arn == arn), None)
        return KeyShare(
            key_arn=arn,
            alias=key.aliases[0] if key and key.aliases else None,
            key_state=key.state if key else None,
            key_material_id=material,
            tokens=count,
            evidence=evidence,
            asked=count if evidence is Evidence.VERIFIED else 1,
            note={
                Evidence.CONFLICT: "2 groups disagree",
                Evidence.UNKNOWN: "KMS denies kms:Decrypt",
            }.get(evidence, ""),
        )

    def _problems(self, columns: dict[str, Counter[Format]]) -> tuple[Problem, ...]:
        problems = []
        for format_, severity, words, remedy in (
            (Format.PLAINTEXT, Severity.CRITICAL, "in plaintext", "Encrypt them in place: x on their rows."),
            (
                Format.DEV,
                Severity.CRITICAL,
                "in dev format",
                "Their key is public knowledge. Encrypt them in place.",
            ),
            (Format.UNRECOGNISED, Severity.HIGH, "plaintext or corrupt", "Look at them one by one."),
        ):
            where = {name: c[format_] for name, c in columns.items() if c[format_]}
            if where:
                count = sum(where.values())
                problems.append(
                    Problem(
                        severity,
                        words,
                        " · ".join(f"{n} {c}" for n, c in where.items()),
                        remedy,
                        count,
                        filter=f"format:{format_.value}",
                    )
                )
        if any(row.key_arn == OLD for row in self.stage.rows):
            problems.append(
                Problem(
                    Severity.HIGH,
                    "under alias/tokens-old …77ab, which is not enabled",
                    "Disabled",
                    "Enable the key, then re-encrypt them under another one.",
                    sum(row.key_arn == OLD for row in self.stage.rows),
                    key_arn=OLD,
                )
            )
        return tuple(problems)


class StageInventory:
    """Pages over the stage's rows."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._source = MemorySource(
            lambda: stage.rows,
            fields=FIELDS,
            read=_read,
            identity=lambda row: str(row.ref),
            sorts=_ORDER,
            free=FREE,
        )

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[InventoryRow]:
        """Some rows."""
        self.stage.enter("page", cancelled)
        return self._source.page(
            query, start, backwards=backwards, inclusive=inclusive, limit=limit, cancelled=cancelled
        )

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        """How many rows there are."""
        self.stage.enter("count", cancelled)
        return self._source.count(query)

    def row(self, ref: TokenRef) -> InventoryRow:
        """One row."""
        self.stage.enter("row")
        return self.stage.rows[self.stage.index(ref)]

    def rows(self, refs: Sequence[TokenRef]) -> tuple[InventoryRow, ...]:
        """Some rows, those that are there."""
        self.stage.enter("rows")
        there = {row.ref: row for row in self.stage.rows}
        return tuple(there[ref] for ref in refs if ref in there)

    def selected(self, selection: Selection) -> list[InventoryRow]:
        """The rows that a selection means."""
        if selection.filter is not None:
            page = self._source.page(Query(selection.filter, "reference"), limit=100_000)
            return [row for row in page.rows if row.ref not in selection.except_for]
        return [self.row(ref) for ref in selection.references if isinstance(ref, TokenRef)]


@dataclass
class StageInspector:
    """Envelopes as the rows suggest them."""

    stage: Stage

    def inspect(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        """One envelope."""
        self.stage.enter("inspect_kms" if ask_kms else "inspect")
        at = self.stage.index(ref)
        row = self.stage.rows[at]
        if not row.format.protected:
            return Inspection(row, (), None, row.evidence)
        fields = (
            ("encrypted data key", "184 bytes, KMS header 01 02 03 00 78"),
            ("nonce", "12 bytes"),
            ("ciphertext", "56 bytes"),
        )
        if ask_kms:
            row = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            self.stage.rows[at] = row
        answer = KeyAnswer(row.key_arn, row.key_material_id) if row.key_arn else None
        return Inspection(row, fields, answer, row.evidence)


@dataclass
class StageKeys:
    """The stage's keys."""

    stage: Stage

    def list(self) -> tuple[KeyState, ...]:
        """All keys."""
        self.stage.enter("keys")
        return self.stage.keys

    def show(self, name: str) -> KeyState:
        """One key."""
        self.stage.enter("show")
        return next(k for k in self.stage.keys if name in (k.key_arn, *k.aliases))

    def targets(self) -> tuple[KeyState, ...]:
        """Keys that can be written under."""
        self.stage.enter("targets")
        return tuple(k for k in self.stage.keys if k.usable)


@dataclass
class StagePolicies:
    """One policy for every key of the stage."""

    stage: Stage

    def read(self, name: str) -> KeyPolicy:
        """The policy and grants of one key."""
        self.stage.enter("policy")
        key = next(k for k in self.stage.keys if name in (k.key_arn, *k.aliases))
        text = json.dumps(self.stage.policy)
        return KeyPolicy(key, text, parse_policy(text), self.stage.grants, self.stage.policy_missing)


@dataclass
class StagePosture:
    """What the stage's findings are."""

    stage: Stage

    def examine(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        """The findings."""
        self.stage.enter("posture", cancelled)
        return Posture(NOW, self.stage.findings, self.stage.gaps)


@dataclass
class StageRules:
    """The stage's findings about events; what is suppressed is in its own store."""

    stage: Stage

    @property
    def _rules(self) -> TrailRules:
        return TrailRules(self.stage.events.store, clock=lambda: NOW)

    def examine(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """The findings of the stage."""
        self.stage.enter("rules", cancelled)
        active = self._rules.suppressions()
        told, hidden = sift(self.stage.trail_findings, active)
        return Examined(NOW - WINDOW, NOW, told, self.stage.trail_gaps, hidden, active)

    def suppress(self, rule: str, subject: str, reason: str, days: int, by: str) -> Suppression:
        """Suppress."""
        self.stage.enter("suppress")
        return self._rules.suppress(rule, subject, reason, days, by)

    def unsuppress(self, number: int) -> None:
        """Take one back."""
        self.stage.enter("unsuppress")
        self._rules.unsuppress(number)

    def suppressions(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Those that hold."""
        self.stage.enter("suppressions")
        return self._rules.suppressions(expired=expired)


@dataclass
class StageWork:
    """Writes the stage's rows anew."""

    stage: Stage

    def plan(self, verb: Verb, selection: Selection, target: str, *, allow_downgrade: bool = False) -> Plan:
        """What would happen."""
        self.stage.enter("plan")
        rows = StageInventory(self.stage).selected(selection)
        fitting = {True: Format.V1, False: Format.PLAINTEXT}[verb is not Verb.ENCRYPT]
        good = [r for r in rows if r.format is fitting or (r.format is Format.DEV and verb is Verb.ENCRYPT)]
        refused = tuple(
            Unwritten(
                str(r.ref),
                "It is an envelope already." if r.format.protected else "It is no envelope: encrypt it.",
            )
            for r in rows
            if r not in good
        )
        plan = Plan(
            verb=verb,
            selection=Selection(references=tuple(r.ref for r in good)),
            target_key_arn=target,
            target_name="alias/tokens",
            tokens=len(good),
            by_column=Counter(f"{r.ref.table}.{r.ref.column}" for r in good),
            refused=refused,
            warnings=("role/platform may not use kms:Decrypt under this key.",),
            coverage=Coverage(),
        )
        return replace(plan, **self.stage.plan_more)  # type: ignore[arg-type]

    def run(
        self,
        plan: Plan,
        consent: Consent | None,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do it."""
        if self.stage.read_only:
            raise ReadOnlyError("Read-only: nothing is written.")
        require(consent, plan)
        refs = [ref for ref in plan.selection.references if isinstance(ref, TokenRef)]
        if progress:
            progress(RunProgress(len(refs), 0, 0, 0, 0.5))
        self.stage.enter("run")
        done = 0
        for ref in refs:
            if cancelled is not None and cancelled.is_set():
                break
            at = self.stage.index(ref)
            self.stage.rows[at] = replace(
                self.stage.rows[at],
                format=Format.V1,
                plaintext_provider=None,
                key_arn=plan.target_key_arn,
                key_material_id=MATERIALS[2],
                evidence=Evidence.VERIFIED,
            )
            done += 1
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=len(refs),
            done=done,
            conflicts_retried=0,
            poisoned=(),
            changed_meanwhile=0,
            remaining=len(refs) - done,
            seconds=0.5,
            kms_calls=done * plan.verb.calls_per_token,
            interrupted=done < len(refs),
        )

    def verify(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Open the tokens."""
        self.stage.enter("verify")
        answers = []
        for row in StageInventory(self.stage).selected(selection):
            ref = row.ref
            at = self.stage.index(ref)
            opened = row.format.protected
            if opened:
                self.stage.rows[at] = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            answers.append(
                Verification(
                    ref,
                    opened,
                    row.key_arn,
                    row.key_material_id,
                    "" if opened else f"It is stored as {row.format.value}.",
                )
            )
        return tuple(answers)


TYPED = (ChangeKind.ROTATE, ChangeKind.DISABLE, ChangeKind.SCHEDULE_DELETION, ChangeKind.PUT_POLICY)
_BECOMES = {
    ChangeKind.DISABLE: "Disabled",
    ChangeKind.ENABLE: "Enabled",
    ChangeKind.SCHEDULE_DELETION: "PendingDeletion",
    ChangeKind.CANCEL_DELETION: "Disabled",
}


@dataclass
class StageKeyWork:
    """Changes the state of the stage's keys; everything else is only said to be done."""

    stage: Stage

    def plan(self, change: KeyChange, *, cancelled: Event | None = None) -> ChangePlan:
        """What would happen."""
        self.stage.enter("key change", cancelled)
        check(change)
        self.stage.changes.append(change)
        key = next((k for k in self.stage.keys if change.key in (k.key_arn, *k.aliases)), None)
        state = (key.state or "?") if key else "-"
        plan = ChangePlan(
            change=change,
            title=change.kind.value.capitalize().replace("-", " "),
            key_arn=key.key_arn if key else "",
            key_name=key.name if key else "a new key",
            region="eu-west-1",
            seen={"state": state},
            expected={"state": _BECOMES.get(change.kind, state)},
            operations=("SomeOperation",),
            danger=Danger.TYPED if change.kind in TYPED else Danger.CONFIRM,
            confirmation=key.name if key else "",
            does=("It does this.",),
            does_not=("It does not do that.",),
            warnings=("Beware.",),
        )
        return replace(plan, **self.stage.change_more)  # type: ignore[arg-type]

    def run(
        self, plan: ChangePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ChangeResult:
        """Do it."""
        if self.stage.read_only:
            raise ReadOnlyError("Read-only: nothing is changed.")
        require(consent, plan)
        self.stage.enter("key run", cancelled)
        state = plan.expected["state"]
        self.stage.keys = tuple(
            replace(k, state=state) if k.key_arn == plan.key_arn else k for k in self.stage.keys
        )
        result = ChangeResult(plan, plan.key_arn, verified=True, facts=plan.facts, done=plan.operations)
        return replace(result, **self.stage.result_more)  # type: ignore[arg-type]


@dataclass
class StageReplacement:
    """The stage's guide, whichever keys it is asked about."""

    stage: Stage

    def look(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        """Where it stands."""
        self.stage.enter("replacement", cancelled)
        self.stage.looked.append((old, new))
        if self.stage.guide is None:
            raise RefusedError(f"{old} can't be replaced here.")
        return self.stage.guide

    def watch(
        self,
        old: str,
        new: str | None = None,
        *,
        every: float,
        cancelled: Event,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        missed: Callable[[KmsError], None] | None = None,
    ) -> Iterator[Guide]:
        """Look once."""
        yield self.look(old, new, since=since, accepted=accepted)


@dataclass
class StageMaterials:
    """The stage's tokens are not told by material."""

    stage: Stage

    def examine(
        self,
        key: str,
        *,
        verify: int = 0,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> KeyMaterials:
        """Refuse."""
        self.stage.enter("materials", cancelled)
        raise RefusedError(f"The materials of {key} are not told here.")
