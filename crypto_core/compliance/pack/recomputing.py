"""Makes the documents of a pack again, from its records and what else its report says it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crypto_core.compliance.facts import ChangeFacts
from crypto_core.compliance.library import Controls
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.documents import DOCUMENTS, README, PackDocument, hidden_tokens, readme
from crypto_core.compliance.pack.report_json import PeriodInputs, parsed, read_document
from crypto_core.compliance.period.judging import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.period.population import moments_of
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.proof.pack import Manifest, PackedFolder
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import listed

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The files that came out the same, those that didn't, and what was not made again, a sentence each."""

    same: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recomputer:
    """Judges the records of a pack again. `version` is this Keydeck's."""

    controls: Callable[[], Controls]
    version: str
    documents: Sequence[PackDocument] = DOCUMENTS

    def recompute(
        self, folder: PackedFolder, manifest: Manifest, records: Sequence[EvidenceRecord]
    ) -> Recomputed:
        """Return which documents are what the records give. Raises UnreadablePackError."""
        if manifest.version != self.version:
            return _not(f"Keydeck {manifest.version} made the pack, this is {clean(self.version, 50)}")
        controls = self.controls()
        try:
            document = parsed(folder.content(REPORT))
            inputs, context = read_document(document)
        except ValueError as error:
            return Recomputed(other=(f"{REPORT} ({clean(error, 200)})",))
        if wrong := _contradiction(inputs, context, manifest):
            return Recomputed(other=(f"{REPORT} ({wrong})",))
        if missing := _other_catalogues(document, controls):
            return _not(f"it was judged by catalogues that are others here: {listed(missing, 8)}")
        period = hidden_tokens(period_again(records, inputs, controls))
        return self._compared(folder, manifest, period, replace(context, catalogues=controls.catalogues))

    def _compared(
        self, folder: PackedFolder, manifest: Manifest, period: AuditPeriod, context: PackContext
    ) -> Recomputed:
        there = {one.path for one in manifest.files}
        same: list[str] = []
        other: list[str] = []
        makers = [(one.path, one.make) for one in self.documents if not one.module]
        for path, make in (*makers, (README, readme)):
            if path in there:
                (same if make(period, context) == folder.content(path) else other).append(path)
        left = sorted(one.path for one in self.documents if one.module and one.path in there)
        told = f"Not made again, for libraries write them: {', '.join(left)}." if left else ""
        return Recomputed(tuple(same), tuple(other), (told,) if told else ())


def period_again(records: Sequence[EvidenceRecord], inputs: PeriodInputs, controls: Controls) -> AuditPeriod:
    """Return the period that records and inputs give. What was wrong or unknown then is as it was told."""
    begin, end = moments_of(inputs.since, inputs.until)
    within = tuple(one for one in records if inputs.since <= one.day <= inputs.until)
    before = next((one for one in reversed(records) if one.day < inputs.since), None)
    at_hand = AtHand(
        ChangeFacts(begin, end, inputs.changes),
        inputs.reviews,
        inputs.incidents,
        max(inputs.drills, default=None),
    )
    asked = PeriodQuestion(inputs.since, inputs.until, inputs.framework, inputs.seed, inputs.sample)
    period = audit_period(asked, CheckedRecords(within, before), controls, at_hand, inputs.made_at)
    return replace(period, problems=inputs.problems, unknown=inputs.unknown, unchecked=inputs.unchecked)


def _not(why: str) -> Recomputed:
    return Recomputed(remarks=(f"Documents were not recomputed: {why}.",))


def _contradiction(inputs: PeriodInputs, context: PackContext, manifest: Manifest) -> str:
    pairs = {
        "since": (inputs.since, manifest.since),
        "until": (inputs.until, manifest.until),
        "framework": (inputs.framework, manifest.framework),
        "seed": (inputs.seed, manifest.seed),
        "database": (context.database_id, manifest.database_id),
        "time": (context.made_at, manifest.made_at),
        "version": (context.version, manifest.version),
    }
    return ", ".join(name for name, (one, other) in pairs.items() if one != other)


def _other_catalogues(document: Mapping[str, Any], controls: Controls) -> list[CleanText]:
    here: dict[str, object] = {str(one.id): one.digest for one in controls.catalogues}
    told = {str(one.get("id")): one.get("sha256") for one in document.get("catalogues") or ()}
    return [clean(name, 60) for name in sorted(here.keys() | told.keys()) if here.get(name) != told.get(name)]
