"""The services of incidents, and what their steps are made from."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from console import capabilities
from console.capabilities import not_installed
from console.lazy_services import deferred_property
from crypto_core.database.tokens.backups import with_backup
from crypto_core.database.tokens.left_tokens import LeftTokens
from crypto_core.incidents.key_callers import KeyCallers, KeyCallerSearch
from crypto_core.incidents.keys.accepted_losses import LossAcceptance
from crypto_core.incidents.keys.toolbox import key_tools
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.service import ReportService
from crypto_core.incidents.revocation_order import ExposureSearch, NoAbilities, RevocationOrdering
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.parts import IncidentParts
from crypto_core.incidents.steps.step_contracts import Toolbox, joined
from crypto_core.incidents.suspects import Suspects, SuspectSearch
from crypto_core.incidents.tokens.restored_tokens import RestoredTokens, restored_at
from crypto_core.incidents.tokens.scope_providers import ScopeProviders
from crypto_core.incidents.tokens.toolbox import token_tools
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.service import trusted_keys_line
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from console.base_services import BaseServices
    from console.event_services import EventServices
    from console.key_services import KeyServices
    from console.token_services import TokenServices


@dataclass
class IncidentServices:
    """`container.incident_response`."""

    base: BaseServices
    tokens: TokenServices
    key_management: KeyServices
    trail: EventServices

    @deferred_property
    def incidents(self) -> IncidentService:
        base = self.base
        signer = base.signer()
        return IncidentService(
            base.state_engine,
            base.journal,
            RunbookLibrary(base.settings.runbooks),
            self.tools,
            read_only=base.settings.read_only,
            drill_days=base.settings.drill_days,
            on_close=self._anchor if signer is not None else None,
            reports=ReportService(
                base.incident_store.content, base.journal, signer, verified=base.checkpoints.verify
            ),
            suspects=self.suspects.suspects_of,
            providers=ScopeProviders(base.inventory, base.catalogue),
            losses=self._loss_acceptance,
            callers=self._callers_of,
            aliases=self._aliases_of,
            waiting=self._waiting_requests,
        )

    @deferred_property
    def suspects(self) -> SuspectSearch:
        return SuspectSearch(self.trail.events, self.trail.rules, self.base.identity)

    @deferred_property
    def ordering(self) -> RevocationOrdering:
        known = self.base.added("abilities") or NoAbilities(not_installed("abilities"))
        return RevocationOrdering(known, ExposureSearch(self.trail.use, self.base.inventory))

    @cached_property
    def tools(self) -> Toolbox:
        made = self.tool_services()
        added = (resolve_name(one.tools)(self.base, made) for one in capabilities.manifests() if one.tools)
        own = joined(key_tools(made), token_tools(made, self._restored), *added)
        return replace(own, not_installed=not_installed)

    def tool_services(self) -> ToolServices:
        base = self.base
        return ToolServices(
            status=base.status,
            inventory=base.inventory,
            catalogue=base.catalogue,
            store=base.store,
            keyring=base.keyring,
            opener=self.tokens.opener,
            verifier=self.tokens.verifier,
            keys=base.keys,
            policies=self.key_management.policies,
            changes=self.key_management.changes,
            rotation=self.key_management.replacement.reader,
            posture=self.key_management.posture,
            jobs=self.tokens.jobs,
            events=self.trail.events,
            monitor=self.trail.monitor,
            use=self.trail.use,
            trail_rules=self.trail.rules,
            suspects=self.suspects,
            covered=self.trail.coverage.between,
            providers=self.tokens.providers,
            entering=self.tokens.entering,
            ordering=self.ordering,
            regions=lambda: base.kms.regions,
            identity=base.identity,
            evidence=self._evidence,
            backups=base.backups_under,
            copies=self.key_management.copy_register,
            outside=self.tokens.outside,
            work_on=self._work_on,
            at_work=lambda job: self.tokens.processes.at_work().get(job, 0) > 0,
            trust=self._trust,
            actors=base.journal.actors,
        )

    def _waiting_requests(self) -> tuple[str, ...]:
        pending = self.base.approvals.requests(pending=True) if self.base.settings.approvals else ()
        return tuple(f"{one.action}: {one.summary}, asked by {one.requested_by}" for one in pending)

    def _callers_of(
        self, view: IncidentView, suspects: Suspects, cancelled: Event | None
    ) -> KeyCallers | None:
        coverage = self.trail.coverage
        search = KeyCallerSearch(self.trail.events, coverage.reached, self.base.journal, coverage.regions)
        return search.callers_of(view, suspects, cancelled)

    def _loss_acceptance(self, parts: IncidentParts) -> LossAcceptance:
        base = self.base

        def find_left(key_arn: str, cancelled: Event | None) -> LeftTokens:
            proof = base.status.prove(everywhere=False, cancelled=cancelled)
            return base.status.left_under(proof, key_arn, cancelled=cancelled)

        return LossAcceptance(parts, find_left, partial(with_backup, base.engine), base.approvals)

    def _aliases_of(self, key_arn: str) -> Sequence[str]:
        """The aliases of a key, that of the settings first. Raises KmsError."""
        base = self.base
        return sorted(base.keys.describe(key_arn).aliases, key=lambda name: name != base.settings.write_key)

    def _trust(self, key_arn: str) -> str:
        """Trust a key that the operator has made or chosen here; return the settings line for others."""
        self.base.keyring.trust(key_arn)
        return trusted_keys_line(self.base.keyring, key_arn)

    def _anchor(self) -> None:
        self.base.checkpoints.checkpoint()

    def _work_on(self, job: int, trust: tuple[str, ...]) -> None:
        """Start processes for a job, as many as it is worth, unless some of this host are at it."""
        if self.tokens.processes.at_work().get(job):
            return
        view = self.tokens.jobs.show_job(job)
        fitting = self.tokens.processes.fitting(view.calls_per_second, view.job.planned)
        self.tokens.processes.work_on(job, fitting, trust=trust)

    def _evidence(self, incident: int, kind: str) -> Sequence[str]:
        """The contents of an incident's evidence of one kind, the oldest first."""
        store = self.base.incident_store
        pieces = [piece for piece in store.whole(incident).evidence if piece.kind == kind]
        return [store.content(incident, piece.id) for piece in sorted(pieces, key=lambda piece: piece.id)]

    @contextmanager
    def _restored(self, name: str) -> Iterator[RestoredTokens]:
        base = self.base
        known = base.settings.databases
        if name not in known:
            raise SettingsError(
                f"The settings have no database {clean(name, 100)!r}.",
                remedy=f"Name one of [databases]: {', '.join(sorted(known)) or 'there is none yet'}.",
            )
        with restored_at(
            known[name].url,
            base.keyring,
            base.settings.all_tables,
            in_use=base.engine,
            token_source=base.kms.database_token,
            decoys=base.tripwire_list.decoys,
        ) as database:
            yield database
