"""The one place where services are built from settings. Nothing is connected or asked before it is needed.

What the first rows need is made at once; everything else is a deferred property, which loads its module when
it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pkgutil import resolve_name
from threading import Event
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from console.capabilities import added_services, event_engines, manifests, not_installed
from console.event_file import events_file, open_events
from console.event_services import coverage_record, regions_of, rules_about_events
from console.lazy_services import deferred, deferred_property, if_made
from console.manual.book import Book
from console.own_folders import data_folder, state_folder
from console.settings import Settings
from crypto_core.algorithms.fips import require_fips
from crypto_core.aws import clock as aws_clock
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.receipt_table import TableSink
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.tripwire_list import TripwireList
from crypto_core.envelope import Format
from crypto_core.errors import KeydeckError, RefusedError, SettingsError
from crypto_core.key_names import same_key
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.receipts.destination import FILE, TABLE, recorder_for
from crypto_core.text.clean_text import clean
from screens.services import Services, Surroundings, UserCommands

if TYPE_CHECKING:
    from console.environment_probe import EnvironmentProbe
    from console.host.host_processes import HostProcesses
    from crypto_core.aws.approval_calls import KmsApprovalCalls
    from crypto_core.database.column_guards.service import ColumnGuardService
    from crypto_core.database.state.approval_book import ApprovalBook
    from crypto_core.database.state.incidents import IncidentStore
    from crypto_core.database.state.journal import Journal
    from crypto_core.database.state.journal_breaks import JournalBreaks
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.database.tokens.attribution import Attributor
    from crypto_core.database.tokens.fingerprints import Carrier, KeptIndex, OutsideRows
    from crypto_core.database.tokens.inspection import Inspector
    from crypto_core.database.tokens.left_tokens import LeftTokens
    from crypto_core.database.tokens.lost_tokens import AcceptedLosses
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.database.tokens.sweep.full_read import ReadingProgress
    from crypto_core.database.tokens.sweep.service import SweepService
    from crypto_core.database.tokens.value_opener import ValueOpener
    from crypto_core.guard.guard import Guard
    from crypto_core.guard.signature import Signer
    from crypto_core.incidents.key_callers import KeyCallers
    from crypto_core.incidents.keys.accepted_losses import LossAcceptance
    from crypto_core.incidents.keys.rotation.guide import ManualRotation
    from crypto_core.incidents.model import IncidentView
    from crypto_core.incidents.service import IncidentService
    from crypto_core.incidents.steps.parts import IncidentParts
    from crypto_core.incidents.steps.step_contracts import Toolbox
    from crypto_core.incidents.suspects import Suspects, SuspectSearch
    from crypto_core.incidents.tokens.restored_tokens import RestoredTokens
    from crypto_core.incidents.tool_services import ToolServices
    from crypto_core.keys.changes.service import KeyChangeService
    from crypto_core.keys.dependent_copies import KnownCopies
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.policy_reader import KeyPolicies
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.replacement import AccessComparison
    from crypto_core.keys.service import StatusService
    from crypto_core.providers.revocation_order import RevocationOrdering
    from crypto_core.providers.service import ProviderService
    from crypto_core.providers.token_dispatch import TokenAsking
    from crypto_core.receipts.recorder import ReceiptRecorder
    from crypto_core.reencryption.backup_restore import BackupRestoring
    from crypto_core.reencryption.jobs.parts import JobParts
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.jobs.undo import Undoing
    from crypto_core.reencryption.materials import MaterialService
    from crypto_core.reencryption.planner import Planner
    from crypto_core.reencryption.replacing_token.service import TokenEntering
    from crypto_core.reencryption.scale.forecast import Forecaster
    from crypto_core.reencryption.service import TokenWorkService
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.references import TokenRef
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.key_watch import KeyMonitor
    from crypto_core.trail.rules.service import TrailRules
    from crypto_core.trail.sources.puller import EventPuller
    from crypto_core.trail.sources.report import ReceiptReport
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse
    from crypto_core.trail.use.witness import StoreWitness


Kept = TypeVar("Kept")
_INCIDENTS = 100
"""The newest incidents are asked whether a key is theirs."""


class _Guard(TypedDict):
    """What every service takes that changes something."""

    read_only: bool
    approvals: ApprovalBook


class Container:
    """All services over one database and one set of credentials. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        *,
        trust: Iterable[str] = (),
        observer: Observer = SILENT,
        ask_code: AskCode = nobody_to_ask,
    ) -> None:
        """`trust` are keys trusted for this command alone; `observer` is told of every call of KMS and every
        operation on a token; `ask_code` is asked for the codes of MFA devices. Raises SettingsError.
        """
        if settings.fips:
            require_fips()
        read_only = settings.read_only
        self.settings = settings
        self._kept: dict[object, object] = {}
        self.ending = ExitStack()  # what capabilities end before the connections are closed
        self.ask_code = ask_code
        self.show_reading: Callable[[ReadingProgress], None] = lambda _: None
        self.observer = observer
        self.trusted_keys = (*settings.trusted_keys, *trust)
        self.kms = KmsApi(
            settings.regions,
            profile=settings.profile,
            read_only=read_only,
            observer=observer,
            ask_code=ask_code,
        )
        open_here = partial(open_engine, read_only=read_only, token_source=self.kms.database_token)
        self.engine = open_here(settings.required_database_url())
        self.same_database = settings.state_url in (None, settings.database_url)
        self.state_engine = (
            self.engine
            if self.same_database
            else open_here(str(settings.state_url), setting="KEYDECK_STATE_URL")
        )
        self.kms.receipts = self._receipts()
        self.keyring = KmsKeyring(
            self.kms,
            write_key=settings.write_key,
            trusted=self.trusted_keys,
            binding=settings.binding,
            observer=observer,
        )
        self.tripwire_list = TripwireList(self.state_engine, self.keyring)
        self.catalogue = LiveCatalogue(
            self.engine,
            settings.all_tables,
            decoys=self.tripwire_list.decoys,
            agreed=settings.agreed_code.__contains__,
        )
        self.answers = AttributionCache(self.engine, read_only=read_only)
        self.inventory = Inventory(self.engine, self.catalogue, self.answers, aliases=self._known_aliases)

    def close(self) -> None:
        """Close the database connections, once what is to be written there is written."""
        if self.kms.receipts is not None:
            self.kms.receipts.close()
        self.ending.close()
        self.engine.dispose()
        self.state_engine.dispose()
        events = if_made(self.events)
        if events is not None:
            events.close()

    def of(self, kind: Callable[[Container], Kept]) -> Kept:
        """Return a capability's services over this container, made once."""
        return cast("Kept", self._kept.setdefault(kind, kind(self)))

    def _receipts(self) -> ReceiptRecorder | None:
        """What records Keydeck's own KMS calls. Read-only, nothing is written to the database: to a file."""
        setting = self.settings.receipts
        if self.settings.read_only and setting == TABLE:
            setting = f"{FILE}{data_folder() / 'receipts.jsonl'}"
        return recorder_for(setting, partial(TableSink, self.state_engine))

    @cached_property
    def services(self) -> Services:
        return Services(
            surroundings=self._surroundings,
            status=self.status,
            inventory=self.inventory,
            inspector=self.inspector,
            keys=self.keys,
            policies=self.policies,
            posture=self.posture,
            work=self.work,
            key_changes=self.key_changes,
            replacement=self.replacement,
            materials=self.materials,
            events=self.events,
            event_puller=self.event_puller,
            event_coverage=self.event_coverage,
            event_use=self.event_use,
            trail_rules=self.trail_rules,
            manual=Book(),
            read_only=self.settings.read_only,
            write_key=self.settings.write_key,
            jobs=self.jobs,
            job_processes=self.job_processes,
            undoing=self.undoing,
            incidents=self.incidents,
            events_kept=lambda: events_file(self.settings).exists(),
            approvals=self.approvals if self.settings.approvals else None,
            copy_register=self.copy_register,
            added={name: deferred(partial(make, self)) for name, make in added_services().items()},
            not_installed=not_installed,
            user_commands=self._user_commands(),
            own_columns=tuple(one.column() for one in self.settings.columns),
        )

    def _user_commands(self) -> UserCommands | None:
        if not self.settings.user_commands:
            return None
        from console.host.user_commands import HostCommands

        commands = [one.command() for one in self.settings.user_commands]
        return HostCommands(commands, read_only=self.settings.read_only)

    # What is read besides the first rows.

    @deferred_property
    def store(self) -> TokenStore:
        from crypto_core.database.tokens.store import TokenStore

        return TokenStore(self.engine, self.catalogue, self.answers, carrier=self._carrier)

    @deferred_property
    def attributor(self) -> Attributor:
        from crypto_core.database.tokens.attribution import Attributor

        return Attributor(self.store, self.keyring, self.answers)

    @deferred_property
    def keys(self) -> KeyInventory:
        from crypto_core.keys.inventory import KeyInventory

        return KeyInventory(self.kms, guarding=lambda: (*self.keyring.trusted, *self.attributor.met))

    @deferred_property
    def probe(self) -> EnvironmentProbe:
        from console.environment_probe import EnvironmentProbe

        return EnvironmentProbe(self.settings, self.engine, self.kms, self.keys.aliases)

    def _known_aliases(self) -> Mapping[str, Sequence[str]]:
        return self.keys.known_aliases()

    def _surroundings(self) -> Surroundings:
        return self.probe.now()

    @deferred_property
    def sweeps(self) -> SweepService:
        from crypto_core.database.tokens.sweep.service import SweepService

        return SweepService(
            self.engine,
            self.catalogue,
            read_only=self.settings.read_only,
            folder=state_folder(),
            show=lambda progress: self.show_reading(progress),  # noqa: PLW0108  # it may be set later
        )

    @deferred_property
    def status(self) -> StatusService:
        from crypto_core.database.tokens.fresh_proof import FreshProver
        from crypto_core.keys.service import StatusService

        fresh = FreshProver(
            self.store,
            self.catalogue,
            self.attributor,
            self.keyring,
            self.sweeps,
            accepted=self._accepted_losses,
        )
        return StatusService(
            self.engine,
            self.catalogue,
            self.answers,
            self.attributor,
            self.keys,
            self.keyring,
            self.sweeps,
            fresh,
            least_format=Format(self.settings.least_format),
            incident_of=self._incident_of,
        )

    @deferred_property
    def inspector(self) -> Inspector:
        from crypto_core.database.tokens.inspection import Inspector

        return Inspector(self.inventory, self.store, self.attributor, sharing=self._sharing)

    # The state of Keydeck itself.

    @deferred_property
    def journal(self) -> Journal:
        from crypto_core.database.state.journal import Journal

        browser = f"browser of {self.settings.browser_user}" if self.settings.browser_user else ""
        return Journal(self.state_engine, self.probe.actor, through=browser)

    @deferred_property
    def approvals(self) -> ApprovalBook:
        from crypto_core.database.state.approval_book import ApprovalBook

        return ApprovalBook(
            self.state_engine,
            self.journal,
            self._identity,
            self.settings.approvals,
            tokens=self.engine,
            calls=self._approval_calls(),
            minutes=self.settings.approval_minutes,
            read_only=self.settings.read_only,
        )

    def _approval_calls(self) -> KmsApprovalCalls | None:
        if not self.settings.approvals_key:
            return None
        from crypto_core.aws.approval_calls import KmsApprovalCalls

        return KmsApprovalCalls(self.kms, self.settings.approvals_key)

    @property
    def guarding(self) -> _Guard:
        return {"read_only": self.settings.read_only, "approvals": self.approvals}

    @property
    def noting(self) -> Guard:
        """The guard of changes that Keydeck's own tables alone note."""
        from crypto_core.database.state.installation import require_schemas
        from crypto_core.guard.guard import Guard

        ready = require_schemas(self.state_engine)
        return Guard(self.journal, read_only=self.settings.read_only, ready=ready)

    @deferred_property
    def checkpoints(self) -> JournalCheckpoints:
        from console.anchors import anchoring_of
        from crypto_core.database.state.journal_checkpoints import JournalCheckpoints

        return JournalCheckpoints(
            self.journal,
            self.signer(),
            read_only=self.settings.read_only,
            anchoring=anchoring_of(self.settings, self.kms),
        )

    @deferred_property
    def journal_breaks(self) -> JournalBreaks:
        from crypto_core.database.state.journal_breaks import JournalBreaks

        return JournalBreaks(self.checkpoints, **self.guarding)

    def signer(self) -> Signer | None:
        if not self.settings.signing_key:
            return None
        from crypto_core.aws.kms_signer import KmsSigner

        return KmsSigner(self.kms.call, self.settings.signing_key, self.settings.former_signing_keys)

    def _identity(self) -> str:
        return self.kms.identity().arn

    # Keys.

    @deferred_property
    def policies(self) -> KeyPolicies:
        from crypto_core.keys.policy.policy_reader import KeyPolicies

        return KeyPolicies(self.kms, self.keys)

    @deferred_property
    def posture(self) -> PostureService:
        from crypto_core.keys.posture.examination import PostureService

        return PostureService(
            self.kms,
            self.keys,
            self.policies,
            self.status,
            write_key=self.settings.write_key,
            trusted=lambda: self.keyring.trusted,
            limits=self.settings.limits,
        )

    @deferred_property
    def key_changes(self) -> KeyChangeService:
        from crypto_core.keys.changes.key_reader import KeyReader
        from crypto_core.keys.changes.service import KeyChangeService

        reader = KeyReader(
            self.kms,
            self.keys,
            self.status,
            self._backups_under,
            write_key=self.settings.write_key,
            needing_copies=self.copy_register.needing,
        )
        return KeyChangeService(reader, self.journal, **self.guarding)

    @deferred_property
    def copy_register(self) -> KnownCopies:
        from crypto_core.keys.dependent_copies import NoRegister

        make = added_services().get("copy_register")
        return make(self) if make else NoRegister(not_installed("register of copies", "The"))

    @deferred_property
    def replacement(self) -> ManualRotation:
        from crypto_core.incidents.keys.rotation.guide import ManualRotation
        from crypto_core.incidents.tool_services import RotationReader
        from crypto_core.keyring.preflight import Preflight

        settings = self.settings
        reader = RotationReader(
            self.engine,
            self.state_engine,
            self.keys,
            self._access,
            Preflight(self.kms),
            self.inventory,
            self.status,
            lambda: self.kms.regions,
            self._witness(),
            settings.write_key,
            settings.write_alias,
            settings.trusted_keys,
            settings.rotation_days,
        )
        return ManualRotation(reader)

    @cached_property
    def _access(self) -> AccessComparison:
        from crypto_core.keys.replacement import AccessComparison

        return AccessComparison(self.keys, self.policies, self._witness(), identity=self._identity)

    def _backups_under(self, key: str) -> int:
        from crypto_core.database.tokens.backups import backups_under

        return backups_under(self.engine, key)

    # Writing tokens anew.

    def _planner(self) -> Planner:
        from crypto_core.keyring.preflight import Preflight
        from crypto_core.reencryption.planner import Planner

        return Planner(
            self.catalogue,
            self.inventory,
            self.answers,
            self.store,
            self.attributor,
            self.keys,
            self.keyring.trusted,
            preflight=Preflight(self.kms),
            prover=self.status.prover,
            write_format=self.settings.written_format,
        )

    @deferred_property
    def verifier(self) -> Verifier:
        from crypto_core.reencryption.verification import Verifier

        return Verifier(
            self.keyring,
            self.store,
            self.catalogue,
            self.answers,
            observer=self.observer,
            inventory=self.inventory,
        )

    @deferred_property
    def opener(self) -> ValueOpener:
        from crypto_core.database.tokens.value_opener import ValueOpener

        return ValueOpener(self.keyring, dev_key=self.settings.dev_key, observer=self.observer)

    @property
    def _index(self) -> KeptIndex | None:
        """The index of tokens; None where the settings have none."""
        return added_services()["token_index"](self) if self.settings.token_index else None

    def _sharing(self, ref: TokenRef) -> tuple[TokenRef, ...] | None:
        return index.sharing(ref) if (index := self._index) is not None else None

    def _carrier(self) -> Carrier | None:
        return index.carrier() if (index := self._index) is not None else None

    def _outside(self, refs: Sequence[TokenRef], cancelled: Event | None) -> OutsideRows:
        """The other rows that hold the tokens of some, as the index says, or says that it can't."""
        if sentence := not_installed("index of tokens", "The"):
            raise RefusedError(sentence)
        index: KeptIndex = added_services()["token_index"](self)
        return index.outside(refs, cancelled)

    @deferred_property
    def work(self) -> TokenWorkService:
        from crypto_core.reencryption.bulk.engine import open_engine
        from crypto_core.reencryption.runner import Runner
        from crypto_core.reencryption.service import TokenWorkService

        planner = self._planner()
        runner = Runner(
            planner,
            self.attributor,
            self.journal,
            open_engine(observer=self.observer),
            same_database=self.same_database,
            dev_key=self.settings.dev_key,
            observer=self.observer,
        )
        return TokenWorkService(self.engine, planner, runner, self.verifier, self.journal, **self.guarding)

    @deferred_property
    def column_guards(self) -> ColumnGuardService:
        from crypto_core.database.column_guards.service import ColumnGuardService

        return ColumnGuardService(
            self.engine,
            self.catalogue,
            self.journal,
            write_format=self.settings.written_format,
            **self.guarding,
        )

    @deferred_property
    def materials(self) -> MaterialService:
        from crypto_core.reencryption.materials import MaterialService

        return MaterialService(self.keys, self.status, self.inventory, self.verifier)

    def _job_parts(self) -> JobParts:
        from crypto_core.database.state.jobs import JobStore
        from crypto_core.database.tokens.chunks import ChunkStore
        from crypto_core.database.tokens.job_tokens import UnwritableStore
        from crypto_core.reencryption.jobs.parts import JobParts

        return JobParts(
            self.engine,
            JobStore(self.engine),
            ChunkStore(self.engine, self.store),
            UnwritableStore(self.engine),
            self.store,
            self.answers,
            self.attributor,
            self.journal,
            self.same_database,
        )

    @deferred_property
    def jobs(self) -> JobService:
        from crypto_core.reencryption.bulk.engine import open_engine
        from crypto_core.reencryption.jobs.final_census import Closer
        from crypto_core.reencryption.jobs.job_plan import JobPlanner
        from crypto_core.reencryption.jobs.runner import JobRunner
        from crypto_core.reencryption.jobs.service import JobService
        from crypto_core.reencryption.jobs.writers import Writers

        planner, parts = self._planner(), self._job_parts()
        closer = Closer(parts, planner, self.status, Writers(self.keys, self._witness()))
        opening = open_engine(observer=self.observer, for_job=True)
        return JobService(
            parts,
            JobPlanner(
                planner,
                self.store,
                self._access.compare_access,
                lambda: (one.key_arn for one in self.status.take_census().keys if one.key_arn and one.tokens),
            ),
            lambda: JobRunner(parts, closer, opening, dev_key=self.settings.dev_key),
            self.status,
            **self.guarding,
        )

    @deferred_property
    def forecaster(self) -> Forecaster:
        from crypto_core.reencryption.scale.forecast import Forecaster

        return Forecaster(self.catalogue)

    @deferred_property
    def undoing(self) -> Undoing:
        from crypto_core.reencryption.jobs.undo import Undoing

        return Undoing(self._job_parts(), self.keys, **self.guarding)

    @deferred_property
    def backup_restoring(self) -> BackupRestoring:
        from crypto_core.reencryption.backup_restore import BackupRestoring
        from crypto_core.reencryption.bulk.engine import open_engine

        opening = open_engine(observer=self.observer)
        return BackupRestoring(self._job_parts(), self.catalogue, opening, **self.guarding)

    @deferred_property
    def job_processes(self) -> HostProcesses:
        from console.host.host_processes import HostProcesses

        return HostProcesses(self.settings, self.trusted_keys)

    # CloudTrail.

    @deferred_property
    def events(self) -> EventStore:
        return open_events(self.settings, self.keys.known_aliases)

    @deferred_property
    def event_puller(self) -> EventPuller:
        from crypto_core.trail.sources.puller import EventPuller

        settings = self.settings
        return EventPuller(
            self.kms,
            self.events,
            regions=partial(regions_of, self.kms, self.keyring.trusted, settings),
            aliases=self.keys.known_aliases,
            engines={name: resolve_name(at).source(settings) for name, at in event_engines().items()},
            receipts=self._take_receipts,
        )

    def _take_receipts(self, cancelled: Event | None) -> ReceiptReport:
        """Take new receipts into the store: from the table, and from the file of Keydeck's own calls."""
        from crypto_core.trail.sources.receipts import ReceiptTable, take_files

        report = ReceiptTable(self.state_engine, self.events).take(cancelled)
        own = data_folder() / "receipts.jsonl"
        return report + take_files(self.events, [own], cancelled, source="") if own.exists() else report

    @deferred_property
    def event_coverage(self) -> CoverageRecord:
        return coverage_record(self.events, self.kms, self.keyring.trusted, self.settings)

    def _witness(self) -> StoreWitness:
        from crypto_core.trail.use.witness import StoreWitness

        return StoreWitness(self.events, self.event_coverage.reached)

    @deferred_property
    def event_use(self) -> EventUse:
        from crypto_core.database.tokens.backups import replaced
        from crypto_core.database.tokens.value_hashes import ValueHashes
        from crypto_core.trail.use.service import EventUse

        return EventUse(
            self.events,
            row=self.inventory.row,
            asked=lambda ref: self.inspector.inspect_token(ref).row,
            replaced=partial(replaced, self.engine),
            census=self.status,
            inventory=self.inventory,
            backups=self._backups_under,
            aliases=self.keys.known_aliases,
            coverage=self.event_coverage.between,
            values=ValueHashes(self.engine, self.catalogue),
        )

    @deferred_property
    def key_monitor(self) -> KeyMonitor:
        from crypto_core.trail.key_watch import KeyMonitor

        return KeyMonitor(
            self.events,
            aliases=self.keys.known_aliases,
            puller=self.event_puller,
            reaches=self.event_coverage.reached,
            replicas=self.keys.replicas,
            identity=self._identity,
            skew=lambda: aws_clock.CLOCK.skew,
        )

    @deferred_property
    def trail_rules(self) -> TrailRules:
        decoys = self.tripwire_list.decoys
        rules = rules_about_events(self.settings, self.events, self.keys, self.trusted_keys, decoys)
        return replace(rules, guard=self.noting)

    # Providers and incidents.

    @deferred_property
    def providers(self) -> ProviderService:
        from crypto_core.providers.service import ProviderService

        return ProviderService(self.token_asking, self.journal, **self.guarding)

    @deferred_property
    def token_asking(self) -> TokenAsking:
        from crypto_core.providers.token_dispatch import TokenAsking

        return TokenAsking(self.inventory, self.store, self.catalogue, self.opener, self.settings.endpoints)

    @deferred_property
    def revocation_ordering(self) -> RevocationOrdering:
        from crypto_core.providers.revocation_order import ExposureSearch, NoAbilities, RevocationOrdering

        make = added_services().get("abilities")
        known = make(self) if make else NoAbilities(not_installed("abilities"))
        return RevocationOrdering(known, ExposureSearch(self.event_use, self.inventory))

    @deferred_property
    def entering(self) -> TokenEntering:
        from crypto_core.reencryption.replacing_token.service import TokenEntering

        return TokenEntering(
            self.engine,
            self.catalogue,
            self.store,
            self.inventory,
            self.answers,
            self.keyring,
            self.keys,
            self.opener,
            self.providers,
            self.journal,
            same_database=self.same_database,
            write_format=self.settings.written_format,
            observer=self.observer,
            noted=index.note_token if (index := self._index) is not None else None,
            **self.guarding,
        )

    @deferred_property
    def incident_store(self) -> IncidentStore:
        from crypto_core.database.state.incidents import IncidentStore

        return IncidentStore(self.state_engine, self.journal)

    @deferred_property
    def incidents(self) -> IncidentService:
        from crypto_core.incidents.report.service import ReportService
        from crypto_core.incidents.runbooks.library import RunbookLibrary
        from crypto_core.incidents.service import IncidentService
        from crypto_core.incidents.tokens.scope_providers import ScopeProviders

        signer = self.signer()
        return IncidentService(
            self.state_engine,
            self.journal,
            RunbookLibrary(self.settings.runbooks),
            self.tools,
            read_only=self.settings.read_only,
            drill_days=self.settings.drill_days,
            on_close=self._anchor if signer is not None else None,
            reports=ReportService(
                self.incident_store.content, self.journal, signer, verified=self.checkpoints.verify
            ),
            suspects=self.suspects.suspects_of,
            providers=ScopeProviders(self.inventory, self.catalogue),
            losses=self._loss_acceptance,
            callers=self._callers_of,
            aliases=self._aliases_of,
            waiting=self._waiting_requests,
        )

    def _waiting_requests(self) -> tuple[str, ...]:
        pending = self.approvals.requests(pending=True) if self.settings.approvals else ()
        return tuple(f"{one.action}: {one.summary}, asked by {one.requested_by}" for one in pending)

    def _callers_of(
        self, view: IncidentView, suspects: Suspects, cancelled: Event | None
    ) -> KeyCallers | None:
        from crypto_core.incidents.key_callers import KeyCallerSearch

        coverage = self.event_coverage
        search = KeyCallerSearch(self.events, coverage.reached, self.journal, coverage.regions)
        return search.callers_of(view, suspects, cancelled)

    def _loss_acceptance(self, parts: IncidentParts) -> LossAcceptance:
        from crypto_core.database.tokens.backups import with_backup
        from crypto_core.incidents.keys.accepted_losses import LossAcceptance

        def find_left(key_arn: str, cancelled: Event | None) -> LeftTokens:
            proof = self.status.prove(everywhere=False, cancelled=cancelled)
            return self.status.left_under(proof, key_arn, cancelled=cancelled)

        return LossAcceptance(parts, find_left, partial(with_backup, self.engine), self.approvals)

    def _accepted_losses(self) -> AcceptedLosses:
        """What was accepted as lost in incidents, as Keydeck's tables and the journal have it."""
        from crypto_core.incidents.keys.accepted_losses import read_acceptances

        return read_acceptances(self.incident_store)

    def _aliases_of(self, key_arn: str) -> Sequence[str]:
        """The aliases of a key, that of the settings first. Raises KmsError."""
        return sorted(self.keys.describe(key_arn).aliases, key=lambda name: name != self.settings.write_key)

    def _trust(self, key_arn: str) -> str:
        """Trust a key that the operator has made or chosen here; return the settings line for others."""
        from crypto_core.keys.service import trusted_keys_line

        self.keyring.trust(key_arn)
        return trusted_keys_line(self.keyring, key_arn)

    def _incident_of(self, key_arn: str) -> str:
        """The incident that calls a key its new one, as Keydeck's tables have it; "" for none."""

        try:
            listed = self.incident_store.list(closed=True, limit=_INCIDENTS)
        except KeydeckError:
            return ""  # The warning is the same without it: the key is not trusted.
        return next(
            (f"INC-{row.id}" for row, _ in listed if same_key(row.known.get("new_key", ""), key_arn)), ""
        )

    @deferred_property
    def suspects(self) -> SuspectSearch:
        from crypto_core.incidents.suspects import SuspectSearch

        return SuspectSearch(self.events, self.trail_rules, self._identity)

    @cached_property
    def tools(self) -> Toolbox:
        from crypto_core.incidents.keys.toolbox import key_tools
        from crypto_core.incidents.steps.step_contracts import joined
        from crypto_core.incidents.tokens.toolbox import token_tools

        made = self.tool_services()
        added = (resolve_name(one.tools)(self, made) for one in manifests() if one.tools)
        own = joined(key_tools(made), token_tools(made, self._restored), *added)
        return replace(own, not_installed=not_installed)

    def tool_services(self) -> ToolServices:
        from crypto_core.incidents.tool_services import ToolServices

        return ToolServices(
            status=self.status,
            inventory=self.inventory,
            catalogue=self.catalogue,
            store=self.store,
            keyring=self.keyring,
            opener=self.opener,
            verifier=self.verifier,
            keys=self.keys,
            policies=self.policies,
            changes=self.key_changes,
            rotation=self.replacement.reader,
            posture=self.posture,
            jobs=self.jobs,
            events=self.events,
            monitor=self.key_monitor,
            use=self.event_use,
            trail_rules=self.trail_rules,
            suspects=self.suspects,
            covered=self.event_coverage.between,
            providers=self.providers,
            entering=self.entering,
            ordering=self.revocation_ordering,
            regions=lambda: self.kms.regions,
            identity=self._identity,
            evidence=self._evidence,
            backups=self._backups_under,
            copies=self.copy_register,
            outside=self._outside,
            work_on=self._work_on,
            at_work=lambda job: self.job_processes.at_work().get(job, 0) > 0,
            trust=self._trust,
            actors=self.journal.actors,
        )

    def _anchor(self) -> None:
        self.checkpoints.checkpoint()

    def _work_on(self, job: int, trust: tuple[str, ...]) -> None:
        """Start processes for a job, as many as it is worth, unless some of this host are at it."""
        if self.job_processes.at_work().get(job):
            return
        view = self.jobs.show_job(job)
        fitting = self.job_processes.fitting(view.calls_per_second, view.job.planned)
        self.job_processes.work_on(job, fitting, trust=trust)

    def _evidence(self, incident: int, kind: str) -> Sequence[str]:
        """The contents of an incident's evidence of one kind, the oldest first."""

        store = self.incident_store
        pieces = [piece for piece in store.whole(incident).evidence if piece.kind == kind]
        return [store.content(incident, piece.id) for piece in sorted(pieces, key=lambda piece: piece.id)]

    @contextmanager
    def _restored(self, name: str) -> Iterator[RestoredTokens]:
        from crypto_core.incidents.tokens.restored_tokens import restored_at

        known = self.settings.databases
        if name not in known:
            raise SettingsError(
                f"The settings have no database {clean(name, 100)!r}.",
                remedy=f"Name one of [databases]: {', '.join(sorted(known)) or 'there is none yet'}.",
            )
        with restored_at(
            known[name].url,
            self.keyring,
            self.settings.all_tables,
            in_use=self.engine,
            token_source=self.kms.database_token,
            decoys=self.tripwire_list.decoys,
        ) as database:
            yield database
