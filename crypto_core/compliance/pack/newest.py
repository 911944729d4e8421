"""The newest of what a period's records hold, part by part."""

from __future__ import annotations

from crypto_core.compliance.facts import PartFacts
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.text.cleaning import clean


def newest_part(period: AuditPeriod, part: SnapshotPart) -> PartFacts | MissingPart:
    """Return a part by the last record, or why it is missing there. An older record stands in for nothing."""
    if not period.records:
        return MissingPart(Lack.NOTHING, clean("there is no record in the period"))
    return period.records[-1].snapshot.part(part)
