"""Builds what incidents are worked on with: all that steps can do, over the services that there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from console.later import Ground, signer

if TYPE_CHECKING:
    from console.host_processes import HostProcesses
    from crypto_core.database.state.incidents import IncidentStore
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.service import IncidentService
    from crypto_core.incidents.step_contracts import Toolbox
    from crypto_core.incidents.tokens.parts import RestoredDatabase
    from crypto_core.providers.answers import ProviderWork
    from crypto_core.trail.coverage_record import CoverageRecord


@dataclass(frozen=True, slots=True)
class IncidentGround:
    """The services that steps act by. Those that load on first use may be handed over unloaded."""

    ground: Ground
    coverage: CoverageRecord
    jobs: Any
    key_changes: Any
    replacement: Any
    posture: Any
    trail_rules: Any
    monitor: Any
    use: Any
    providers: ProviderWork
    approvals: ApprovalGate
    checkpoints: JournalCheckpoints
    processes: HostProcesses


def incidents(parts: IncidentGround) -> IncidentService:
    """Return what keeps incidents and works on them."""
    from crypto_core.database.state.incidents import IncidentStore
    from crypto_core.incidents.library import RunbookLibrary
    from crypto_core.incidents.report.service import ReportService
    from crypto_core.incidents.service import IncidentService

    ground, settings = parts.ground, parts.ground.settings
    store = IncidentStore(ground.state_engine, ground.journal)
    signs = signer(ground)
    return IncidentService(
        ground.state_engine,
        ground.journal,
        RunbookLibrary(settings.runbooks),
        tools(parts, store),
        read_only=settings.read_only,
        drill_days=settings.drill_days,
        on_close=partial(_anchor, parts.checkpoints) if signs is not None else None,
        reports=ReportService(store.content, ground.journal, signs),
    )


def _anchor(checkpoints: JournalCheckpoints) -> None:
    checkpoints.checkpoint()


def tools(parts: IncidentGround, store: IncidentStore) -> Toolbox:
    """Return all that steps can do, check and capture."""
    from crypto_core.incidents.subjects import joined

    return joined(_key_tools(parts), _token_tools(parts, store))


def _key_tools(parts: IncidentGround) -> Toolbox:
    from crypto_core.database.tokens.backups import backups_under
    from crypto_core.incidents.keys.ground import KeyGround
    from crypto_core.incidents.keys.toolbox import key_tools
    from crypto_core.trail.use.witness import StoreWitness

    ground = parts.ground
    return key_tools(
        KeyGround(
            ground.keys,
            ground.policies,
            ground.status,
            ground.inventory,
            parts.key_changes,
            parts.jobs,
            parts.replacement,
            parts.monitor,
            parts.use,
            ground.events,
            parts.posture,
            parts.trail_rules,
            identity=lambda: ground.kms.identity().arn,
            backups=partial(backups_under, ground.engine),
            work_on=partial(_work_on, parts.processes, parts.jobs),
            witness=StoreWitness(ground.events, parts.coverage.reached),
            at_work=lambda job: parts.processes.at_work().get(job, 0) > 0,
        )
    )


def _work_on(processes: HostProcesses, jobs: Any, job: int, trust: tuple[str, ...]) -> None:
    """Start processes for a job, as many as it is worth, unless some of this host are at it."""
    if processes.at_work().get(job):
        return
    view = jobs.show(job)
    processes.work_on(job, processes.fitting(view.calls_per_second, view.job.planned), trust=trust)


def _token_tools(parts: IncidentGround, store: IncidentStore) -> Toolbox:
    from console.later import value_opener, verifier
    from crypto_core.envelope import Format
    from crypto_core.incidents.tokens.parts import TokenParts
    from crypto_core.incidents.tokens.toolbox import token_tools
    from crypto_core.reencryption.replacing_token.service import TokenEntering

    ground, settings = parts.ground, parts.ground.settings
    opener = value_opener(ground)
    entering = TokenEntering(
        ground.engine,
        ground.catalogue,
        ground.store,
        ground.inventory,
        ground.answers,
        ground.keyring,
        ground.keys,
        opener,
        parts.providers,
        ground.journal,
        same_database=ground.same_database,
        read_only=settings.read_only,
        write_format=Format(settings.write_format),
        observer=ground.observer,
        approvals=parts.approvals,
    )
    return token_tools(
        TokenParts(
            engine=ground.engine,
            catalogue=ground.catalogue,
            store=ground.store,
            answers=ground.answers,
            inventory=ground.inventory,
            keyring=ground.keyring,
            keys=ground.keys,
            status=ground.status,
            verifier=verifier(ground),
            opener=opener,
            entering=entering,
            providers=parts.providers,
            events=ground.events,
            use=parts.use,
            monitor=parts.monitor,
            evidence=partial(_contents, store),
            open_restored=partial(_restored, ground),
            regions=lambda: ground.kms.regions,
            covered=parts.coverage.between,
        )
    )


def _contents(store: IncidentStore, incident: int, kind: str) -> Sequence[str]:
    """The contents of an incident's evidence of one kind, the oldest first."""
    pieces = [piece for piece in store.whole(incident).evidence if piece.kind == kind]
    return [store.content(incident, piece.id) for piece in sorted(pieces, key=lambda piece: piece.id)]


@contextmanager
def _restored(ground: Ground, name: str) -> Iterator[RestoredDatabase]:
    from crypto_core.errors import SettingsError
    from crypto_core.incidents.tokens.verify_restored import restored_at
    from crypto_core.text.cleaning import clean

    known = ground.settings.databases
    if name not in known:
        raise SettingsError(
            f"The settings know no database {clean(name, 100)!r}.",
            remedy=f"Name one of [databases]: {', '.join(sorted(known)) or 'there is none yet'}.",
        )
    with restored_at(
        known[name].url, ground.keyring, ground.settings.all_tables, in_use=ground.engine
    ) as database:
        yield database
