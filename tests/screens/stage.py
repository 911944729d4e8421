"""Services in memory: the same rows every time, and calls that fail or hang on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

from console.capabilities import not_installed
from console.manual.book import Book
from crypto_core.database.tokens.census import CensusProgress
from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.database.tokens.lost_tokens import AcceptedUnderKey
from crypto_core.findings.finding import Finding, Gap
from crypto_core.incidents.keys.rotation.guide import Guide
from crypto_core.keys.changes.blocks import Block
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.grants import Grant
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.values.errors import InterruptedRunError, RowVanishedError
from crypto_core.values.references import TokenRef
from screens.own_column import OwnColumn
from screens.services import Contexts, Services, Surroundings, UserCommands
from tests.screens.samples import ACCOUNT, FINDINGS, GRANTS, GUIDE, KEYS, NOW, POLICY, make_rows
from tests.screens.stage_approvals import StageApprovals
from tests.screens.stage_events import StageEvents
from tests.screens.stage_findings import StagePosture, StageRules
from tests.screens.stage_incidents import StageIncidents
from tests.screens.stage_jobs import StageJobs, StageProcesses, StageUndoing
from tests.screens.stage_keys import (
    StageCopies,
    StageKeys,
    StageKeyWork,
    StageMaterials,
    StagePolicies,
    StageReplacement,
)
from tests.screens.stage_pulls import StagePuller
from tests.screens.stage_rows import StageInspector, StageInventory, StageStatus
from tests.screens.stage_use import StageUse
from tests.screens.stage_work import StageWork


@dataclass
class Stage:
    """One deployment. `faults` are raised by the calls they are named after; `gates` hold such calls up."""

    rows: list[InventoryRow] = field(default_factory=make_rows)
    keys: tuple[KeyState, ...] = KEYS
    read_only: bool = False
    accepted: tuple[AcceptedUnderKey, ...] = ()
    """What Status says was accepted as lost."""
    write_key: str | None = "alias/tokens"
    faults: dict[str, Exception] = field(default_factory=dict)
    gates: dict[str, Event] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    counting: CensusProgress | None = None
    """How far the count of tokens says that it is, before it ends."""
    problems: tuple[Finding, ...] | None = None
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
    copies: NeedingCopies = field(default_factory=NeedingCopies)
    """Registered copies that need every key."""
    findings: tuple[Finding, ...] = FINDINGS
    gaps: tuple[Gap, ...] = ()
    trail_findings: tuple[Finding, ...] = ()
    trail_gaps: tuple[Gap, ...] = ()
    guide: Guide | None = GUIDE
    looked: list[tuple[str, str | None]] = field(default_factory=list)
    """The old and new keys that the guide was asked about."""
    blocks: tuple[Block, ...] = ()
    block_gaps: tuple[str, ...] = ()
    changes: list[KeyChange] = field(default_factory=list)
    """The changes of keys that were planned."""
    change_more: dict[str, object] = field(default_factory=dict)
    result_more: dict[str, object] = field(default_factory=dict)
    plan_more: dict[str, object] = field(default_factory=dict)
    contexts: Contexts | None = None
    user_commands: UserCommands | None = None
    own_columns: tuple[OwnColumn, ...] = ()
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
        return StageEvents(self.enter, lambda: NOW)

    @cached_property
    def event_use(self) -> StageUse:
        return StageUse(self.enter, self.events.store, StageInventory(self), StageStatus(self))

    @cached_property
    def jobs(self) -> StageJobs:
        return StageJobs(self.enter, lambda: self.read_only)

    @cached_property
    def job_processes(self) -> StageProcesses:
        return StageProcesses(self.enter, lambda: self.read_only)

    @cached_property
    def undoing(self) -> StageUndoing:
        return StageUndoing(self.jobs)

    @cached_property
    def incidents(self) -> StageIncidents:
        return StageIncidents(self.enter, lambda: self.read_only)

    @cached_property
    def approvals(self) -> StageApprovals:
        return StageApprovals(self.enter)

    @cached_property
    def added(self) -> dict[str, Any]:
        """The services of the capabilities that are here, each from `stage.py` beside its tests."""
        folders = sorted(found.parent.name for found in Path(__file__).parent.glob("*/stage.py"))
        tables = (import_module(f"tests.screens.{folder}.stage").SERVICES for folder in folders)
        return {name: service(self) for table in tables for name, service in table.items()}

    @cached_property
    def puller(self) -> StagePuller:
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
            trail_rules=StageRules(self),
            manual=Book(),
            read_only=self.read_only,
            write_key=self.write_key,
            contexts=self.contexts,
            event_puller=self.puller,
            jobs=self.jobs,
            job_processes=self.job_processes,
            undoing=self.undoing,
            incidents=self.incidents,
            events_kept=lambda: True,
            approvals=self.approvals,
            copy_register=StageCopies(self),  # type: ignore[arg-type]
            added=self.added,
            not_installed=not_installed,
            user_commands=self.user_commands,
            own_columns=self.own_columns,
        )

    def surroundings(self) -> Surroundings:
        self.enter("surroundings")
        return replace(self.place, read_only=self.read_only)

    def index(self, ref: TokenRef) -> int:
        for i, row in enumerate(self.rows):
            if row.ref == ref:
                return i
        raise RowVanishedError(f"{ref} is no longer there.")
