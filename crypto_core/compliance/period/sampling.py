"""The sample of changes that an auditor looks at. Pure; anybody can draw it again with SHA-256 alone.

1. The digest of a change is the SHA-256 of seed, NUL, source, NUL, id (UTF-8), in hex.
2. Of each kind that has changes, the change with the smallest digest is taken.
3. Then, of all changes left whatever their kind, those with the smallest digests, until there are as many as
   were asked for; a smaller population is taken whole.

Without a seed of the auditor's own it is the digest of the period's last record, which names the record and
the journal before it: whoever tries for a convenient sample leaves a record each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.text.cleaning import CleanText, clean

LEAST, MOST = 1, 1_000
"""Changes that a sample may have."""


def digest_of_change(change: ChangeFact, seed: str) -> str:
    """Return what a change's place in the sample is decided by."""
    return hashlib.sha256("\0".join((seed, change.source, change.id)).encode()).hexdigest()


def draw_sample(changes: Sequence[ChangeFact], seed: str, size: int) -> tuple[ChangeFact, ...]:
    """Return a sample in the order of time; of each kind there is one, where the size allows."""
    order = sorted(changes, key=lambda one: digest_of_change(one, seed))
    first = list({one.kind: one for one in reversed(order)}.values())
    first.sort(key=lambda one: digest_of_change(one, seed))
    chosen = [*first, *(one for one in order if one not in first)][:size]
    return tuple(one for one in changes if one in chosen)


def default_seed(records: Sequence[EvidenceRecord], since: date, until: date) -> CleanText:
    """Return the digest of the last record, in hex; without a record, the days."""
    return clean(records[-1].digest.hex() if records else f"{since} {until}")
