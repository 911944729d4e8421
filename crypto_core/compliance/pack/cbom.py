"""A cryptography bill of materials (CycloneDX 1.6): algorithms, keys, certificates, and what they protect.

It takes cyclonedx-python-lib, which the extra `cbom` brings and nothing else loads.
"""

from __future__ import annotations

from datetime import UTC, datetime, time

from crypto_core.compliance.facts import GuardingKeyFacts
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import seen_keys
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart


def cryptography_bom(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the bill of a period: what its last record shows, and keys that only earlier ones have."""
    from crypto_core.compliance.pack.bom.document import bill_document

    if not period.records:
        return snapshot_bom(Snapshot(datetime.combine(period.until, time(), UTC)), context)
    last = period.records[-1]
    readable = isinstance(last.snapshot.part(SnapshotPart.KEYS), GuardingKeyFacts)
    earlier = seen_keys(period) if readable else ()
    former = tuple(one for one in earlier if one.record.number != last.number)
    return bill_document(last.snapshot, context, last.number, former)


def snapshot_bom(snapshot: Snapshot, context: PackContext) -> bytes:
    """Return the bill of one snapshot: the same bytes for the same snapshot and context."""
    from crypto_core.compliance.pack.bom.document import bill_document

    return bill_document(snapshot, context)
