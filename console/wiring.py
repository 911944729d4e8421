"""Builds the services, once, from settings. Nothing is connected or asked before it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from console import later
from console.environment_probe import EnvironmentProbe
from console.event_file import open_events
from console.incident_wiring import IncidentGround, incidents
from console.lazy_services import deferred, if_made
from console.settings import Settings
from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inspection import Inspector
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import TokenStore
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.service import StatusService
from crypto_core.log.observation import SILENT, Observer
from screens.services import Services

if TYPE_CHECKING:
    from console.host_processes import HostProcesses
    from crypto_core.database.state.approval_book import ApprovalBook
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.reencryption.jobs.undo import Undoing
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.query import Aliases
    from crypto_core.trail.sources.puller import EventPuller
    from crypto_core.trail.store import EventStore


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
    undoing: Undoing
    job_processes: HostProcesses
    approvals: ApprovalBook
    checkpoints: JournalCheckpoints
    services: Services

    def close(self) -> None:
        """Close the database connections."""
        self.engine.dispose()
        self.state_engine.dispose()
        events = if_made(self.events)
        if events is not None:
            events.close()


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
    trusted_keys = (*settings.trusted_keys, *trust)
    kms = KmsApi(settings.regions, profile=settings.profile, read_only=settings.read_only, observer=observer)
    keyring = KmsKeyring(kms, write_key=settings.write_key, trusted=trusted_keys, observer=observer)
    catalogue = LiveCatalogue(engine, settings.all_tables)
    answers = AttributionCache(engine, read_only=settings.read_only)
    store = TokenStore(engine, catalogue, answers)
    attributor = Attributor(store, keyring, answers)
    keys = KeyInventory(kms, guarding=lambda: (*keyring.trusted, *attributor.met))
    surveyor = EnvironmentProbe(settings, engine, kms, keys.aliases)
    inventory = Inventory(engine, catalogue, answers, aliases=keys.known_aliases)
    ground = later.Ground(
        settings,
        trusted_keys,
        engine,
        state_engine,
        same_database,
        kms,
        keyring,
        catalogue,
        answers,
        store,
        attributor,
        keys,
        deferred(partial(later.policies, kms, keys)),
        StatusService(engine, catalogue, answers, attributor, keys, keyring),
        inventory,
        Inspector(inventory, store, attributor),
        Journal(state_engine, surveyor.actor),
        deferred(partial(open_events, settings, keys.known_aliases)),
        observer,
    )
    undoing = deferred(partial(later.undoing, ground))
    job_processes = deferred(partial(later.job_processes, ground))
    approvals = deferred(partial(later.approvals, ground))
    event_puller = deferred(partial(later.event_puller, ground))
    event_coverage = deferred(partial(later.event_coverage, ground.events, kms, keyring.trusted, settings))
    checkpoints = deferred(partial(later.checkpoints, ground))
    jobs = deferred(partial(later.jobs, ground, event_coverage))
    key_changes = deferred(partial(later.key_changes, ground))
    replacement = deferred(partial(later.replacement, ground, event_coverage))
    posture = deferred(partial(later.posture, ground))
    trail_rules = deferred(partial(later.trail_rules, ground))
    event_use = deferred(partial(later.event_use, ground, event_coverage))
    key_monitor = deferred(partial(later.key_monitor, ground, event_puller, event_coverage))
    incident_ground = IncidentGround(
        ground,
        event_coverage,
        jobs,
        key_changes,
        replacement,
        posture,
        trail_rules,
        key_monitor,
        event_use,
        deferred(partial(later.providers, ground)),
        approvals,
        checkpoints,
        job_processes,
    )
    services = Services(
        surroundings=surveyor.now,
        status=ground.status,
        inventory=inventory,
        inspector=ground.inspector,
        keys=keys,
        policies=ground.policies,
        posture=posture,
        work=deferred(partial(later.work, ground)),
        key_changes=key_changes,
        replacement=replacement,
        materials=deferred(partial(later.materials, ground)),
        events=ground.events,
        event_puller=event_puller,
        event_coverage=event_coverage,
        event_use=event_use,
        key_monitor=key_monitor,
        trail_rules=trail_rules,
        read_only=settings.read_only,
        write_key=settings.write_key,
        jobs=jobs,
        job_processes=job_processes,
        undoing=undoing,
        incidents=deferred(partial(incidents, incident_ground)),
        approvals=approvals if settings.approvals else None,
    )
    return Wired(
        settings,
        engine,
        state_engine,
        kms,
        keyring,
        catalogue,
        store,
        ground.journal,
        ground.events,
        event_puller,
        event_coverage,
        undoing,
        job_processes,
        approvals,
        checkpoints,
        services,
    )


def coverage_of(settings: Settings, events: EventStore) -> CoverageRecord:
    """Return what tells which periods a store covers, of the settings' Regions. It asks nobody."""
    kms = KmsApi(settings.regions, profile=settings.profile)
    named = [key for key in (settings.write_key, *settings.trusted_keys) if key]
    return later.event_coverage(events, kms, named, settings)


def aliases_of(settings: Settings) -> Aliases:
    """Return what reads the aliases of keys from KMS, once it is asked: nothing is connected before."""

    @cache
    def read() -> Mapping[str, Sequence[str]]:
        kms = KmsApi(settings.regions, profile=settings.profile, read_only=True)
        return KeyInventory(kms).known_aliases()

    return read
