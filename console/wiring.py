"""Builds the services, once, from settings. Nothing is connected or asked before it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from sqlalchemy import Engine

from console.memory_file import data_folder
from console.settings import Settings
from console.surroundings import Surveyor
from crypto_core.database.answers import AnswerBook
from crypto_core.database.attribution import Attributor
from crypto_core.database.backups import backups_under, replaced
from crypto_core.database.catalogue import LiveCatalogue
from crypto_core.database.engine import open_engine
from crypto_core.database.inspection import Inspector
from crypto_core.database.inventory import Inventory
from crypto_core.database.journal import Journal
from crypto_core.database.tokens import TokenStore
from crypto_core.envelope import Format
from crypto_core.key_names import is_key_arn, region_of
from crypto_core.keyring import KmsKeyring
from crypto_core.keys.changes.reading import KeyReader
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.reading import KeyPolicies
from crypto_core.keys.posture.examination import PostureService
from crypto_core.keys.replacement.seen import Configuration, Sight
from crypto_core.keys.replacement.service import ManualRotation
from crypto_core.keys.service import StatusService
from crypto_core.kms import KmsApi
from crypto_core.observation import SILENT, Observer
from crypto_core.preflight import Preflight
from crypto_core.reencryption.materials import MaterialService
from crypto_core.reencryption.planner import Planner
from crypto_core.reencryption.runner import Runner
from crypto_core.reencryption.service import TokenWorkService
from crypto_core.reencryption.verification import Verifier
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.monitor import KeyMonitor
from crypto_core.trail.query import Aliases
from crypto_core.trail.rules.configured import Configured
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.sources.athena import AthenaSettings
from crypto_core.trail.sources.engines import EngineSettings
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.service import EventUse
from crypto_core.trail.use.witness import StoreWitness
from screens.services import Services


@dataclass(frozen=True, slots=True)
class Wired:
    """The services and what commands need besides."""

    settings: Settings
    engine: Engine
    state_engine: Engine
    kms: KmsApi
    keyring: KmsKeyring
    catalogue: LiveCatalogue
    store: TokenStore
    journal: Journal
    events: EventStore
    event_puller: EventPuller
    event_coverage: CoverageRecord
    services: Services

    def close(self) -> None:
        """Close the database connections."""
        self.engine.dispose()
        self.state_engine.dispose()
        self.events.close()


def wire(settings: Settings, *, trust: Iterable[str] = (), observer: Observer = SILENT) -> Wired:
    """Return the services. `trust` are keys trusted for this command alone. Raises SettingsError.

    `observer` is told of every call of KMS and every operation on a token.
    """
    engine = open_engine(settings.required_database_url(), read_only=settings.read_only)
    same_database = settings.state_url in (None, settings.database_url)
    state_engine = (
        engine
        if same_database
        else open_engine(str(settings.state_url), read_only=settings.read_only, setting="KEYDECK_STATE_URL")
    )
    kms = KmsApi(settings.regions, profile=settings.profile, read_only=settings.read_only, observer=observer)
    keyring = KmsKeyring(
        kms,
        write_key=settings.write_key,
        trusted=[*settings.trusted_keys, *trust],
        observer=observer,
    )
    catalogue = LiveCatalogue(engine, settings.all_tables)
    answers = AnswerBook(engine, read_only=settings.read_only)
    store = TokenStore(engine, catalogue, answers)
    attributor = Attributor(store, keyring, answers)
    keys = KeyInventory(kms, guarding=lambda: (*keyring.trusted, *attributor.met))
    surveyor = Surveyor(settings, engine, kms, keys.aliases)
    journal = Journal(state_engine, surveyor.actor)
    preflight = Preflight(kms)
    planner = Planner(
        engine,
        catalogue,
        answers,
        store,
        attributor,
        keys,
        keyring.trusted,
        preflight=preflight,
        write_format=Format(settings.write_format),
    )
    runner = Runner(
        kms,
        keyring,
        planner,
        store,
        answers,
        attributor,
        journal,
        same_database=same_database,
        dev_key=settings.dev_key,
        observer=observer,
    )
    inventory = Inventory(engine, catalogue, answers, aliases=keys.known_aliases)
    policies = KeyPolicies(kms, keys)
    status = StatusService(engine, catalogue, answers, attributor, keys, keyring)
    posture = PostureService(
        kms,
        keys,
        policies,
        status,
        write_key=settings.write_key,
        trusted=lambda: keyring.trusted,
        limits=settings.limits,
    )
    verifier = Verifier(keyring, store, catalogue, answers, observer=observer, inventory=inventory)
    configured = Configuration(
        settings.write_key, settings.write_alias, settings.trusted_keys, settings.rotation_days
    )
    events = open_events(settings, keys.known_aliases)
    watched = partial(_regions, kms, keyring.trusted, settings)
    event_puller = EventPuller(
        kms,
        events,
        regions=watched,
        aliases=keys.known_aliases,
        engines=EngineSettings(
            AthenaSettings(settings.athena_table, settings.athena_output, settings.athena_workgroup),
            settings.lake_store,
        ),
    )
    event_coverage = CoverageRecord(events, watched)
    sight = Sight(
        engine,
        state_engine,
        keys,
        policies,
        preflight,
        inventory,
        status,
        lambda: kms.regions,
        configured,
        StoreWitness(events, event_coverage.reached),
    )
    inspector = Inspector(inventory, store, attributor)
    services = Services(
        surroundings=surveyor.now,
        status=status,
        inventory=inventory,
        inspector=inspector,
        keys=keys,
        policies=policies,
        work=TokenWorkService(
            engine,
            planner,
            runner,
            verifier,
            journal,
            read_only=settings.read_only,
        ),
        key_changes=KeyChangeService(
            KeyReader(kms, keys, status, partial(backups_under, engine), write_key=settings.write_key),
            journal,
            read_only=settings.read_only,
        ),
        replacement=ManualRotation(sight),
        materials=MaterialService(keys, status, inventory, verifier),
        read_only=settings.read_only,
        write_key=settings.write_key,
        posture=posture,
        events=events,
        event_puller=event_puller,
        event_coverage=event_coverage,
        event_use=EventUse(
            events,
            row=inventory.row,
            asked=lambda ref: inspector.inspect(ref).row,
            replaced=partial(replaced, engine),
            census=status,
            inventory=inventory,
            backups=partial(backups_under, engine),
            aliases=keys.known_aliases,
            coverage=event_coverage.between,
        ),
        key_monitor=KeyMonitor(
            events,
            aliases=keys.known_aliases,
            puller=event_puller,
            reaches=event_coverage.reached,
            replicas=keys.replicas,
            identity=lambda: kms.identity().arn,
        ),
        trail_rules=TrailRules(
            events,
            Configured(
                settings.write_key,
                (*settings.trusted_keys, *trust),
                settings.retired_keys,
                settings.write_alias,
                frozenset(settings.trusted_accounts),
            ),
            aliases=keys.known_aliases,
            describe=lambda name: keys.describe(name).key_arn,
        ),
    )
    return Wired(
        settings,
        engine,
        state_engine,
        kms,
        keyring,
        catalogue,
        store,
        journal,
        events,
        event_puller,
        event_coverage,
        services,
    )


def _regions(kms: KmsApi, trusted: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The Regions in which keys are used that matter: the configured ones, and those of trusted keys."""
    arns = [key for key in (*trusted, *settings.retired_keys) if is_key_arn(key)]
    return tuple(dict.fromkeys([*kms.regions, *(region for arn in arns if (region := region_of(arn)))]))


def coverage_of(settings: Settings, events: EventStore) -> CoverageRecord:
    """Return what tells which periods a store covers, of the settings' Regions. It asks nobody."""
    kms = KmsApi(settings.regions, profile=settings.profile)
    named = [key for key in (settings.write_key, *settings.trusted_keys) if key]
    return CoverageRecord(events, partial(_regions, kms, named, settings))


def open_events(settings: Settings, aliases: Aliases = dict) -> EventStore:
    """Return the store of events alone: neither database nor AWS is needed."""
    return EventStore(events_file(settings), aliases=aliases)


def aliases_of(settings: Settings) -> Aliases:
    """Return what reads the aliases of keys from KMS, once it is asked: nothing is connected before."""

    @cache
    def read() -> Mapping[str, Sequence[str]]:
        kms = KmsApi(settings.regions, profile=settings.profile, read_only=True)
        return KeyInventory(kms).known_aliases()

    return read


def events_file(settings: Settings) -> Path:
    """Return where the store of events is."""
    return Path(settings.events_file) if settings.events_file else data_folder() / "events.sqlite"
