"""Services that the first rows don't need: each function loads what it makes, and is called on first use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from crypto_core.key_names import is_key_arn, region_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from console.host_processes import HostProcesses
    from console.settings import Settings
    from crypto_core.aws.kms import KmsApi
    from crypto_core.database.state.approval_book import ApprovalBook
    from crypto_core.database.state.journal import Journal
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.database.tokens.attribution import Attributor
    from crypto_core.database.tokens.attribution_cache import AttributionCache
    from crypto_core.database.tokens.catalogue import LiveCatalogue
    from crypto_core.database.tokens.inspection import Inspector
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.database.tokens.opening import ValueOpener
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.guard.signature import Signer
    from crypto_core.keyring.kms_keyring import KmsKeyring
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.reading import KeyPolicies
    from crypto_core.keys.service import StatusService
    from crypto_core.log.observation import Observer
    from crypto_core.providers.answers import ProviderWork
    from crypto_core.reencryption.jobs.parts import JobParts
    from crypto_core.reencryption.jobs.undo import Undoing
    from crypto_core.reencryption.planner import Planner
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.sources.puller import EventPuller
    from crypto_core.trail.store import EventStore
    from screens.services import (
        JobWork,
        KeyWork,
        MaterialSource,
        MonitorSource,
        PostureSource,
        ReplacementSource,
        TokenWork,
        TrailRuleSource,
        UseSource,
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """What services are made from. `trusted_keys` are those of the settings and of this command alone."""

    settings: Settings
    trusted_keys: tuple[str, ...]
    engine: Engine
    state_engine: Engine
    same_database: bool
    kms: KmsApi
    keyring: KmsKeyring
    catalogue: LiveCatalogue
    answers: AttributionCache
    store: TokenStore
    attributor: Attributor
    keys: KeyInventory
    policies: KeyPolicies
    status: StatusService
    inventory: Inventory
    inspector: Inspector
    journal: Journal
    events: EventStore
    observer: Observer


def policies(kms: KmsApi, keys: KeyInventory) -> KeyPolicies:
    """Return what reads key policies."""
    from crypto_core.keys.policy.reading import KeyPolicies

    return KeyPolicies(kms, keys)


def signer(ground: Ground) -> Signer | None:
    """Return what signs with the configured KMS key; None where none is configured."""
    if not ground.settings.signing_key:
        return None
    from crypto_core.aws.kms_signer import KmsSigner

    return KmsSigner(ground.kms.call, ground.settings.signing_key)


def checkpoints(ground: Ground) -> JournalCheckpoints:
    """Return what signs the journal's end, and checks the journal by that."""
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints

    return JournalCheckpoints(ground.journal, signer(ground), read_only=ground.settings.read_only)


def approvals(ground: Ground) -> ApprovalBook:
    """Return what is asked before something is done that needs a second identity. It asks nobody yet."""
    from crypto_core.database.state.approval_book import ApprovalBook

    settings = ground.settings
    return ApprovalBook(
        ground.state_engine,
        ground.journal,
        lambda: ground.kms.identity().arn,
        settings.approvals,
        minutes=settings.approval_minutes,
        read_only=settings.read_only,
    )


def posture(ground: Ground) -> PostureSource:
    """Return the rules about keys, access and trails."""
    from crypto_core.keys.posture.examination import PostureService

    return PostureService(
        ground.kms,
        ground.keys,
        ground.policies,
        ground.status,
        write_key=ground.settings.write_key,
        trusted=lambda: ground.keyring.trusted,
        limits=ground.settings.limits,
    )


def _planner(ground: Ground) -> Planner:
    from crypto_core.envelope import Format
    from crypto_core.keyring.preflight import Preflight
    from crypto_core.reencryption.planner import Planner

    return Planner(
        ground.engine,
        ground.catalogue,
        ground.answers,
        ground.store,
        ground.attributor,
        ground.keys,
        ground.keyring.trusted,
        preflight=Preflight(ground.kms),
        write_format=Format(ground.settings.write_format),
    )


def work(ground: Ground) -> TokenWork:
    """Return what writes tokens anew."""
    from crypto_core.reencryption.runner import Runner
    from crypto_core.reencryption.service import TokenWorkService

    planner = _planner(ground)
    runner = Runner(
        ground.kms,
        ground.keyring,
        planner,
        ground.store,
        ground.answers,
        ground.attributor,
        ground.journal,
        same_database=ground.same_database,
        dev_key=ground.settings.dev_key,
        observer=ground.observer,
    )
    return TokenWorkService(
        ground.engine,
        planner,
        runner,
        verifier(ground),
        ground.journal,
        read_only=ground.settings.read_only,
        approvals=approvals(ground),
    )


def _job_parts(ground: Ground) -> JobParts:
    from crypto_core.database.state.jobs import JobStore
    from crypto_core.database.tokens.chunks import ChunkStore
    from crypto_core.database.tokens.job_tokens import UnwritableStore
    from crypto_core.reencryption.jobs.parts import JobParts

    engine, store = ground.engine, ground.store
    return JobParts(
        engine,
        JobStore(engine),
        ChunkStore(engine, store),
        UnwritableStore(engine),
        store,
        ground.answers,
        ground.attributor,
        ground.journal,
        ground.same_database,
    )


def undoing(ground: Ground) -> Undoing:
    """Return what undoes jobs and forgets replaced envelopes."""
    from crypto_core.reencryption.jobs.undo import Undoing

    return Undoing(
        _job_parts(ground),
        ground.keys,
        read_only=ground.settings.read_only,
        approvals=approvals(ground),
    )


def jobs(ground: Ground, coverage: CoverageRecord) -> JobWork:
    """Return what writes many tokens anew as jobs."""
    from crypto_core.reencryption.jobs.access import AccessComparison
    from crypto_core.reencryption.jobs.chunk_pipeline import piped
    from crypto_core.reencryption.jobs.final_census import Closer
    from crypto_core.reencryption.jobs.job_plan import JobPlanner
    from crypto_core.reencryption.jobs.restore_chunks import restoring
    from crypto_core.reencryption.jobs.runner import JobRunner
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.jobs.writers import Writers
    from crypto_core.trail.use.witness import StoreWitness

    engine, store, settings = ground.engine, ground.store, ground.settings
    planner = _planner(ground)
    witness = StoreWitness(ground.events, coverage.reached)
    access = AccessComparison(
        ground.keys, ground.policies, witness, identity=lambda: ground.kms.identity().arn
    )
    parts = _job_parts(ground)
    closer = Closer(parts, planner, ground.status, Writers(ground.keys, witness))
    writing = piped(ground.kms, dev_key=settings.dev_key, observer=ground.observer)
    putting_back = restoring(engine, ground.keyring)
    return JobService(
        parts,
        JobPlanner(
            planner,
            store,
            access.compare,
            lambda: (share.key_arn for share in ground.status.take().keys if share.key_arn and share.tokens),
        ),
        lambda: JobRunner(parts, closer, writing, putting_back),
        ground.status,
        read_only=settings.read_only,
        approvals=approvals(ground),
    )


def job_processes(ground: Ground) -> HostProcesses:
    """Return what starts processes that work on jobs."""
    from console.host_processes import HostProcesses

    return HostProcesses(ground.settings, ground.trusted_keys)


def verifier(ground: Ground) -> Verifier:
    """Return what opens tokens and says only whether they opened."""
    from crypto_core.reencryption.verification import Verifier

    return Verifier(
        ground.keyring,
        ground.store,
        ground.catalogue,
        ground.answers,
        observer=ground.observer,
        inventory=ground.inventory,
    )


def materials(ground: Ground) -> MaterialSource:
    """Return what counts tokens by key material."""
    from crypto_core.reencryption.materials import MaterialService

    return MaterialService(ground.keys, ground.status, ground.inventory, verifier(ground))


def key_changes(ground: Ground) -> KeyWork:
    """Return what changes keys."""
    from crypto_core.database.tokens.backups import backups_under
    from crypto_core.keys.changes.reading import KeyReader
    from crypto_core.keys.changes.service import KeyChangeService

    settings = ground.settings
    reader = KeyReader(
        ground.kms,
        ground.keys,
        ground.status,
        partial(backups_under, ground.engine),
        write_key=settings.write_key,
    )
    return KeyChangeService(reader, ground.journal, read_only=settings.read_only, approvals=approvals(ground))


def replacement(ground: Ground, coverage: CoverageRecord) -> ReplacementSource:
    """Return the guide through a manual rotation."""
    from crypto_core.keyring.preflight import Preflight
    from crypto_core.keys.replacement.seen import Configuration, RotationReader
    from crypto_core.keys.replacement.service import ManualRotation
    from crypto_core.trail.use.witness import StoreWitness

    settings = ground.settings
    sight = RotationReader(
        ground.engine,
        ground.state_engine,
        ground.keys,
        ground.policies,
        Preflight(ground.kms),
        ground.inventory,
        ground.status,
        lambda: ground.kms.regions,
        Configuration(
            settings.write_key, settings.write_alias, settings.trusted_keys, settings.rotation_days
        ),
        StoreWitness(ground.events, coverage.reached),
    )
    return ManualRotation(sight)


def event_puller(ground: Ground) -> EventPuller:
    """Return what fetches CloudTrail's events."""
    from crypto_core.trail.sources.athena import AthenaSettings
    from crypto_core.trail.sources.engines import EngineSettings
    from crypto_core.trail.sources.puller import EventPuller

    settings = ground.settings
    athena = AthenaSettings(settings.athena_table, settings.athena_output, settings.athena_workgroup)
    return EventPuller(
        ground.kms,
        ground.events,
        regions=partial(regions_of, ground.kms, ground.keyring.trusted, settings),
        aliases=ground.keys.known_aliases,
        engines=EngineSettings(athena, settings.lake_store),
    )


def event_coverage(
    events: EventStore, kms: KmsApi, trusted: Iterable[str], settings: Settings
) -> CoverageRecord:
    """Return what tells which periods the store covers, of the Regions that matter."""
    from crypto_core.trail.coverage_record import CoverageRecord

    return CoverageRecord(events, partial(regions_of, kms, trusted, settings))


def regions_of(kms: KmsApi, trusted: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """Return the Regions in which keys are used that matter: those configured, and those of such keys."""
    arns = [key for key in (*trusted, *settings.retired_keys) if is_key_arn(key)]
    return tuple(dict.fromkeys([*kms.regions, *(region for arn in arns if (region := region_of(arn)))]))


def event_use(ground: Ground, coverage: CoverageRecord) -> UseSource:
    """Return what tells the use of tokens and keys."""
    from crypto_core.database.tokens.backups import backups_under, replaced
    from crypto_core.trail.use.service import EventUse

    return EventUse(
        ground.events,
        row=ground.inventory.row,
        asked=lambda ref: ground.inspector.inspect(ref).row,
        replaced=partial(replaced, ground.engine),
        census=ground.status,
        inventory=ground.inventory,
        backups=partial(backups_under, ground.engine),
        aliases=ground.keys.known_aliases,
        coverage=coverage.between,
    )


def key_monitor(ground: Ground, puller: EventPuller, coverage: CoverageRecord) -> MonitorSource:
    """Return what watches keys that nobody should use any more."""
    from crypto_core.trail.key_watch.monitor import KeyMonitor

    return KeyMonitor(
        ground.events,
        aliases=ground.keys.known_aliases,
        puller=puller,
        reaches=coverage.reached,
        replicas=ground.keys.replicas,
        identity=lambda: ground.kms.identity().arn,
    )


def trail_rules(ground: Ground) -> TrailRuleSource:
    """Return the rules about CloudTrail's events."""
    from crypto_core.trail.rules.configured import Configured
    from crypto_core.trail.rules.service import TrailRules

    settings = ground.settings
    return TrailRules(
        ground.events,
        Configured(
            settings.write_key,
            ground.trusted_keys,
            settings.retired_keys,
            settings.write_alias,
            frozenset(settings.trusted_accounts),
        ),
        aliases=ground.keys.known_aliases,
        describe=lambda name: ground.keys.describe(name).key_arn,
    )


def value_opener(ground: Ground) -> ValueOpener:
    """Return what opens stored values of any format."""
    from crypto_core.database.tokens.opening import ValueOpener

    return ValueOpener(ground.keyring, dev_key=ground.settings.dev_key, observer=ground.observer)


def providers(ground: Ground) -> ProviderWork:
    """Return what asks providers about tokens and revokes them."""
    from crypto_core.providers.service import ProviderService

    settings = ground.settings
    return ProviderService(
        ground.inventory,
        ground.store,
        ground.catalogue,
        value_opener(ground),
        ground.journal,
        settings.endpoints,
        read_only=settings.read_only,
        approvals=approvals(ground),
    )
