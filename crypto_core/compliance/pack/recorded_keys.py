"""What the records of a period hold of keys and of who may use them, over all days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from crypto_core.compliance.facts import AccessFact, AccessFacts, GuardingKeyFacts, KeyFact
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.reports.foreign_text import masked


@dataclass(frozen=True, slots=True)
class SeenKey:
    """A key as the last record shows it that has it, and how long its materials may be in use, in days."""

    key: KeyFact
    record: EvidenceRecord
    material_days: int
    first: date


@dataclass(frozen=True, slots=True)
class SeenAccess:
    """Who may use a key, and on which days a record shows it: the first, the last, and how many."""

    access: AccessFact
    first: date
    last: date
    records: int


def seen_keys(period: AuditPeriod) -> tuple[SeenKey, ...]:
    """Return all keys that any record has, by their ARNs."""
    seen: dict[str, SeenKey] = {}
    for record in period.records:
        facts = record.snapshot.known(GuardingKeyFacts)
        for key in facts.keys if facts else ():
            first = seen[key.arn].first if key.arn in seen else record.day
            seen[key.arn] = SeenKey(masked(key), record, facts.material_days if facts else 0, first)
    return tuple(seen[arn] for arn in sorted(seen))


def seen_accesses(period: AuditPeriod) -> tuple[SeenAccess, ...]:
    """Return all that any record says of who may use a key, by key and principal."""
    seen: dict[AccessFact, SeenAccess] = {}
    for record in period.records:
        facts = record.snapshot.known(AccessFacts)
        for access in facts.accesses if facts else ():
            known = seen.get(access)
            first, number = (known.first, known.records) if known else (record.day, 0)
            seen[access] = SeenAccess(access, first, record.day, number + 1)
    ordered = sorted(seen.values(), key=lambda one: (one.access.key, one.access.who, one.access.by))
    return tuple(replace(one, access=masked(one.access)) for one in ordered)


def access_gaps(period: AuditPeriod) -> tuple[str, ...]:
    """Return what records could not read of who may use keys, each once."""
    told: dict[str, None] = {}
    for record in period.records:
        facts = record.snapshot.known(AccessFacts)
        told |= dict.fromkeys(facts.gaps if facts else ())
    return masked(tuple(told))
