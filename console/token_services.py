"""The services that open tokens, ask providers about them and write them anew: at once, by jobs, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.capabilities import not_installed
from console.lazy_services import deferred_property
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from console.base_services import BaseServices
    from console.event_services import EventServices
    from console.host.host_processes import HostProcesses
    from console.key_services import KeyServices
    from crypto_core.database.column_guards.service import ColumnGuardService
    from crypto_core.database.tokens.fingerprints import KeptIndex, OutsideRows
    from crypto_core.database.tokens.value_opener import ValueOpener
    from crypto_core.providers.service import ProviderService
    from crypto_core.providers.token_dispatch import TokenAsking
    from crypto_core.reencryption.backup_restore import BackupRestoring
    from crypto_core.reencryption.jobs.parts import JobParts
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.jobs.undo import Undoing
    from crypto_core.reencryption.materials import MaterialService
    from crypto_core.reencryption.planner import Planner
    from crypto_core.reencryption.replacing_token.service import TokenEntering
    from crypto_core.reencryption.service import TokenWorkService
    from crypto_core.reencryption.verification import Verifier
    from crypto_core.values.references import TokenRef


@dataclass
class TokenServices:
    """`container.tokens`; each is loaded when it is first used."""

    base: BaseServices
    key_management: KeyServices
    trail: EventServices

    @deferred_property
    def opener(self) -> ValueOpener:
        from crypto_core.database.tokens.value_opener import ValueOpener

        return ValueOpener(self.base.keyring, dev_key=self.base.settings.dev_key, observer=self.base.observer)

    @deferred_property
    def verifier(self) -> Verifier:
        from crypto_core.reencryption.verification import Verifier

        base = self.base
        return Verifier(
            base.keyring,
            base.store,
            base.catalogue,
            base.answers,
            observer=base.observer,
            inventory=base.inventory,
        )

    def outside(self, refs: Sequence[TokenRef], cancelled: Event | None) -> OutsideRows:
        """The other rows that hold the tokens of some, as the index says, or says that it can't."""
        if sentence := not_installed("index of tokens", "The"):
            raise RefusedError(sentence)
        index: KeptIndex = self.base.added("token_index")
        return index.outside(refs, cancelled)

    @deferred_property
    def providers(self) -> ProviderService:
        from crypto_core.providers.service import ProviderService

        return ProviderService(self.asking, self.base.journal, **self.base.guarding)

    @deferred_property
    def asking(self) -> TokenAsking:
        from crypto_core.providers.registry import provider_named
        from crypto_core.providers.token_dispatch import TokenAsking

        base = self.base
        if unknown := [name for name in base.settings.provider_urls if provider_named(name) is None]:
            raise SettingsError(f"Setting provider_urls: no provider {clean(unknown[0], 60)!r} is known.")
        return TokenAsking(base.inventory, base.store, base.catalogue, self.opener, base.settings.endpoints)

    @deferred_property
    def entering(self) -> TokenEntering:
        from crypto_core.reencryption.replacing_token.service import TokenEntering

        base = self.base
        return TokenEntering(
            base.engine,
            base.catalogue,
            base.store,
            base.inventory,
            base.answers,
            base.keyring,
            base.keys,
            self.opener,
            self.providers,
            base.journal,
            same_database=base.same_database,
            write_format=base.settings.written_format,
            observer=base.observer,
            noted=index.note_token if (index := base.token_index) is not None else None,
            **base.guarding,
        )

    @deferred_property
    def work(self) -> TokenWorkService:
        from crypto_core.reencryption.bulk.engine import open_engine
        from crypto_core.reencryption.runner import Runner
        from crypto_core.reencryption.service import TokenWorkService

        base, planner = self.base, self._planner()
        runner = Runner(
            planner,
            base.attributor,
            base.journal,
            open_engine(observer=base.observer),
            same_database=base.same_database,
            dev_key=base.settings.dev_key,
            observer=base.observer,
        )
        return TokenWorkService(base.engine, planner, runner, self.verifier, base.journal, **base.guarding)

    @deferred_property
    def column_guards(self) -> ColumnGuardService:
        from crypto_core.database.column_guards.service import ColumnGuardService

        base = self.base
        return ColumnGuardService(
            base.engine,
            base.catalogue,
            base.journal,
            write_format=base.settings.written_format,
            **base.guarding,
        )

    @deferred_property
    def materials(self) -> MaterialService:
        from crypto_core.reencryption.materials import MaterialService

        return MaterialService(self.base.keys, self.base.status, self.base.inventory, self.verifier)

    @deferred_property
    def jobs(self) -> JobService:
        from crypto_core.reencryption.bulk.engine import open_engine
        from crypto_core.reencryption.jobs.final_census import Closer
        from crypto_core.reencryption.jobs.job_plan import JobPlanner
        from crypto_core.reencryption.jobs.runner import JobRunner
        from crypto_core.reencryption.jobs.service import JobService
        from crypto_core.reencryption.jobs.writers import Writers

        base = self.base
        planner, parts = self._planner(), self._job_parts()
        closer = Closer(parts, planner, base.status, Writers(base.keys, self.trail.witness()))
        opening = open_engine(observer=base.observer, for_job=True)
        return JobService(
            parts,
            JobPlanner(
                planner,
                base.store,
                self.key_management.access.compare_access,
                lambda: (one.key_arn for one in base.status.take_census().keys if one.key_arn and one.tokens),
            ),
            lambda: JobRunner(parts, closer, opening, dev_key=base.settings.dev_key),
            base.status,
            **base.guarding,
        )

    @deferred_property
    def undoing(self) -> Undoing:
        from crypto_core.reencryption.jobs.undo import Undoing

        return Undoing(self._job_parts(), self.base.keys, **self.base.guarding)

    @deferred_property
    def backup_restoring(self) -> BackupRestoring:
        from crypto_core.reencryption.backup_restore import BackupRestoring
        from crypto_core.reencryption.bulk.engine import open_engine

        opening = open_engine(observer=self.base.observer)
        return BackupRestoring(self._job_parts(), self.base.catalogue, opening, **self.base.guarding)

    @deferred_property
    def processes(self) -> HostProcesses:
        from console.host.host_processes import HostProcesses

        return HostProcesses(self.base.settings, self.base.trusted_keys)

    def _planner(self) -> Planner:
        from crypto_core.keyring.preflight import Preflight
        from crypto_core.reencryption.planner import Planner

        base = self.base
        return Planner(
            base.catalogue,
            base.inventory,
            base.answers,
            base.store,
            base.attributor,
            base.keys,
            base.status.unseen,
            base.keyring.trusted,
            preflight=Preflight(base.kms),
            prover=base.status.prover,
            write_format=base.settings.written_format,
        )

    def _job_parts(self) -> JobParts:
        from crypto_core.database.state.jobs import JobStore
        from crypto_core.database.tokens.chunks import ChunkStore
        from crypto_core.database.tokens.job_tokens import UnwritableStore
        from crypto_core.reencryption.jobs.parts import JobParts

        base = self.base
        return JobParts(
            base.engine,
            JobStore(base.engine),
            ChunkStore(base.engine, base.store),
            UnwritableStore(base.engine),
            base.store,
            base.answers,
            base.attributor,
            base.journal,
            base.same_database,
        )
