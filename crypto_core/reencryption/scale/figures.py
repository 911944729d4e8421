"""The numbers that a forecast is made of, each with where it comes from.

What a benchmark measured was measured on two cores of a virtual machine, with v1 envelopes of 93-byte tokens;
another machine has others, so they are named as what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.reencryption.plan import Verb
from crypto_core.values.json_records import JsonRecord


class Basis(StrEnum):
    ESTATE = "measured on this estate"
    BENCHMARK = "measured by a benchmark"
    DOCUMENTED = "documented"
    ASSUMED = "assumed"
    SUPPOSED = "supposed"
    """Given by the operator, to see what if."""


@dataclass(frozen=True, slots=True)
class Figure(JsonRecord):
    """One number that a forecast starts from. `source` is the benchmark, the view or the document."""

    name: str
    value: float
    unit: str
    origin: Basis
    source: str = ""


BULK_JOBS, HOSTS, WAL = "tests.benchmarks.bulk_jobs", "tests.benchmarks.hosts", "tests.benchmarks.postgres"

CPU_US = 209.0
"""A runner's processor time for a token that is re-encrypted, in µs (BULK_JOBS); no verb takes more."""
DATABASE_CPU_US = 187.0
"""PostgreSQL's processor time for a token, in µs, with what three runners ask besides (HOSTS)."""
ENVELOPE_BYTES = 556.0
"""A v1 envelope of a 93-byte token (BULK_JOBS); the figures below are of such."""
BACKUP_EXTRA_BYTES = 360.0
"""What a replaced envelope takes in keydeck.envelope_backup besides itself, indexes included (WAL)."""
BATCH_TOKENS = 500
"""Tokens of a transaction, at most."""

WAL_BYTES = {Verb.REENCRYPT: 1_850.0, Verb.REWRAP: 1_360.0, Verb.ENCRYPT: 810.0}
"""WAL of a token without images of pages (WAL); of encryption it is re-encryption's without the backup."""
WAL_ENVELOPES = {Verb.REENCRYPT: 2, Verb.REWRAP: 1, Verb.ENCRYPT: 1}
"""How often an envelope stands in that: a rewrapped one changes in part, which alone is written."""
IMAGES = 2
"""How often each page is written to the WAL whole: as a job comes to it, and as its work is settled."""
HOT_SHARE = 0.82
"""The part of updates that stay in their page, where it was full and no index has a token column (WAL)."""
ROOMY = 90
"""From this fillfactor down, all do: a tenth of a page's rows is written at a time."""
DEAD_SHARE = 0.26
"""Dead rows that are left for vacuum, a token: others are taken away on the way (WAL)."""
