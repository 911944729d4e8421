"""The services of evidence, over a container of the core's."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from socket import gethostname
from threading import Event
from typing import Any

from console.checks.diagnosis import connection_areas
from console.container import Container
from console.evidence.settings import EvidenceSettings
from console.lazy_services import deferred
from console.settings import LoadedSettings
from crypto_core.aws.public_keys import fetched_public_keys
from crypto_core.compliance.access_review import AccessReviewer
from crypto_core.compliance.assessment import ComplianceService
from crypto_core.compliance.change_reader import ChangeReader
from crypto_core.compliance.cryptography_reader import CryptographyReader
from crypto_core.compliance.facts import SettingFacts
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.cbom import BillService
from crypto_core.compliance.pack.writer import PackWriter
from crypto_core.compliance.period.service import PeriodService
from crypto_core.compliance.records.book import RecordBook
from crypto_core.compliance.records.daily_record import EvidenceRecorder
from crypto_core.compliance.records.record_table import EvidenceRecordTable
from crypto_core.compliance.snapshot import Lack, Snapshot
from crypto_core.compliance.snapshot_reader import ComplianceSettings, SnapshotReader
from crypto_core.diagnosis import Area
from crypto_core.envelope import Format
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import MissingGrantError, MissingSchemaError

_VERSION = version("keydeck")


class EvidenceServices:
    """One for a container: `container.of(EvidenceServices)`."""

    def __init__(self, core: Container) -> None:
        self._core = core

    @cached_property
    def compliance(self) -> ComplianceService:
        return ComplianceService(self.controls, self.snapshots)

    @cached_property
    def periods(self) -> PeriodService:
        return PeriodService(self.controls, self.record_book, self.snapshots)

    @cached_property
    def controls(self) -> ControlLibrary:
        return ControlLibrary(EvidenceSettings.of(self._core.settings).controls)

    @cached_property
    def evidence_records(self) -> EvidenceRecordTable:
        return EvidenceRecordTable(self._core.state_engine, self._core.journal)

    @cached_property
    def record_book(self) -> RecordBook:
        return RecordBook(self.evidence_records, self._core.signer(), self._core.journal.database_id)

    @cached_property
    def bills(self) -> BillService:
        return BillService(self.snapshots, self._core.journal.database_id, _VERSION)

    @cached_property
    def evidence_recorder(self) -> EvidenceRecorder:
        return EvidenceRecorder(
            self.snapshots,
            self.controls,
            self.evidence_records,
            self._core.journal,
            self._core.checkpoints,
            self._core.signer(),
            version=_VERSION,
            read_only=self._core.settings.read_only,
            keep_days=EvidenceSettings.of(self._core.settings).evidence_days,
        )

    @cached_property
    def access_reviewer(self) -> AccessReviewer:
        return AccessReviewer(
            self.snapshots, self._changes, self._core.journal, read_only=self._core.settings.read_only
        )

    @property
    def _changes(self) -> ChangeReader:
        return ChangeReader(
            self._core.journal,
            self._core.trail.rules,
            self._core.trail.coverage,
            EvidenceSettings.of(self._core.settings).review_days,
        )

    @cached_property
    def packs(self) -> PackWriter:
        settings = self._core.settings

        def public_keys(named: Collection[str]) -> dict[str, dict[str, Any]]:
            names = (*settings.signing_key, *settings.former_signing_keys, *named)
            return fetched_public_keys(self._core.kms.call, tuple(dict.fromkeys(names)))

        return PackWriter(
            self._core.checkpoints,
            self._core.signer(),
            self.record_book.before,
            lambda: self.controls.read().catalogues,
            public_keys,
            version=_VERSION,
            host=gethostname(),
            read_only=settings.read_only,
        )

    @cached_property
    def snapshots(self) -> SnapshotReader:
        settings = self._core.settings
        return SnapshotReader(
            self._core.status,
            self._core.keys,
            self._core.key_management.policies,
            self._core.key_management.posture,
            self._core.trail.rules,
            self._core.trail.coverage,
            self._core.approvals,
            self._core.checkpoints,
            deferred(lambda: self._core.incident_response.incidents),
            self._core.incident_store,
            ComplianceSettings(
                SettingFacts(
                    settings.written_format, Format(settings.least_format), clean(settings.receipts)
                ),
                settings.limits,
                events_days=settings.events_days,
                drill_days=settings.drill_days,
                approval_minutes=settings.approval_minutes,
                signs=bool(settings.signing_key),
            ),
            CryptographyReader(
                self._core.kms, settings.signing_key, settings.former_signing_keys, bool(settings.fips)
            ),
            self._changes,
            self._recorded_before,
            self._connection_areas,
        )

    def _recorded_before(self) -> Snapshot | None:
        last = self.record_book.last()
        return last.snapshot if last else None

    def _connection_areas(self) -> tuple[Area, ...]:
        loaded = LoadedSettings(settings=self._core.settings, origins={})
        return connection_areas(loaded, ask_code=self._core.ask_code)


def record_today(services: Container, stop: Event) -> str:
    """Record, unless this day has its record; whoever may not write records leaves it to others."""
    evidence = services.of(EvidenceServices)
    try:
        last = evidence.record_book.last()
        if services.settings.read_only or (last is not None and last.day >= datetime.now(UTC).date()):
            return ""
        made = evidence.evidence_recorder.record_day(stop)
    except (MissingGrantError, MissingSchemaError) as error:
        return f"not recorded: {error.message}"
    missing = ", ".join(part.value for part, one in made.missing.items() if one.lack is not Lack.NOTHING)
    unsigned = "" if made.record.signature else ", unsigned"
    return f"record {made.record.number:,}{unsigned}{f', without {missing}' if missing else ''}"
