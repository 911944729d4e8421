"""A cryptography bill of materials (CycloneDX 1.6): algorithms, keys, certificates, and what they protect.

It takes cyclonedx-python-lib, which the extra `cbom` brings and nothing else loads.
"""

from __future__ import annotations

from datetime import UTC, datetime, time

from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import Snapshot

PATH = "cbom.cdx.json"
MODULE, EXTRA = "cyclonedx", "cbom"


def cryptography_bom(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the bill of a period: what its last record shows."""
    if not period.records:
        return snapshot_bom(Snapshot(datetime.combine(period.until, time(), UTC)), context)
    last = period.records[-1]
    return snapshot_bom(last.snapshot, context, last.number)


def snapshot_bom(snapshot: Snapshot, context: PackContext, record: int = 0) -> bytes:
    """Return the bill of one snapshot: the same bytes for the same snapshot and context.

    `record` is the number of the record that has it, 0 where it was taken just now.
    """
    from crypto_core.compliance.pack.bom.document import bill_document

    return bill_document(snapshot, context, record)
