"""The event data store that Keydeck may read: does it take KMS's events, and how long does it keep them?

CloudTrail API reference, GetEventDataStore; User Guide, "AWS CloudTrail Lake". The one that
KEYDECK_LAKE_STORE names is looked at, others are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import KmsError
from crypto_core.findings.controls import AT_REST, AUDIT_PROTECTION, AUDIT_RECORDS, HUB_STORE_ENCRYPTION
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.trails import Recorded, recorded
from crypto_core.text.cleaning import CleanText, clean

LEAST_DAYS = 90
"""So long CloudTrail keeps its own event history."""


@dataclass(frozen=True, slots=True)
class EventDataStore:
    """A store as CloudTrail describes it. `key` is the KMS key that its events are under, "" for none."""

    arn: str
    name: CleanText
    status: CleanText
    days: int
    protected: bool
    multi_region: bool
    key: CleanText
    recorded: Recorded


def read_data_store(kms: KmsApi, arn: str) -> tuple[EventDataStore | None, tuple[Gap, ...]]:
    """Return the store, None where none is named or it can't be read, and a gap for the latter."""
    if not arn:
        return None, ()
    region = (arn.split(":") + [""] * 4)[3] or kms.regions[0]
    try:
        answer = kms.read("cloudtrail", "GetEventDataStore", region=region, EventDataStore=arn)
    except KmsError as error:
        return None, (Gap(f"{clean(arn, 300)}: event data store: {error.why}", Severity.MEDIUM),)
    return _store(arn, answer), ()


def _store(arn: str, answer: Mapping[str, Any]) -> EventDataStore:
    days = answer.get("RetentionPeriod")
    return EventDataStore(
        clean(arn, 300),
        clean(answer.get("Name") or arn.rsplit("/", 1)[-1], 128),
        clean(answer.get("Status"), 40),
        days if isinstance(days, int) else 0,
        answer.get("TerminationProtectionEnabled") is True,
        answer.get("MultiRegionEnabled") is True,
        clean(answer.get("KmsKeyId"), 300),
        recorded(answer),
    )


@rule(
    "trail-store-incomplete",
    "Event data store without all of KMS's events",
    Severity.MEDIUM,
    Facts.DATA_STORE,
    about="it takes none any more, leaves KMS's out, or is of one Region",
    controls=(AUDIT_RECORDS,),
)
def incomplete(store: EventDataStore) -> Said:
    """Yield a store in which events of KMS are missing: a query of it finds less than there was."""
    missing = [*_missing(store)]
    if missing:
        yield Finding(
            "",
            Severity.MEDIUM,
            store.arn,
            f"Event data store {store.name} does not have all of KMS's events",
            f"GetEventDataStore: {'; '.join(missing)}",
            f"aws cloudtrail update-event-data-store --event-data-store {store.arn} --multi-region-enabled "
            "--advanced-event-selectors …; start-event-data-store-ingestion where it is stopped.",
        )


def _missing(store: EventDataStore) -> Iterator[str]:
    if store.status != "ENABLED":
        yield f"Status {store.status or 'unknown'}"
    if not store.recorded.whole:
        yield store.recorded.limits
    if not store.multi_region:
        yield "MultiRegionEnabled false"


@rule(
    "trail-store-fleeting",
    "Event data store whose events are soon gone",
    Severity.MEDIUM,
    Facts.DATA_STORE,
    about=f"kept for less than {LEAST_DAYS} days; low where it may only be deleted",
    controls=(AUDIT_PROTECTION,),
)
def fleeting(store: EventDataStore) -> Said:
    short = store.days < LEAST_DAYS
    said = [f"RetentionPeriod {store.days} days"] if short else []
    if not store.protected:
        said.append("TerminationProtectionEnabled false")
    if said:
        yield Finding(
            "",
            Severity.MEDIUM if short else Severity.LOW,
            store.arn,
            f"Event data store {store.name} "
            + (f"keeps events for {store.days} days" if short else "may be deleted by one call"),
            f"GetEventDataStore: {'; '.join(said)}",
            f"aws cloudtrail update-event-data-store --event-data-store {store.arn} "
            "--termination-protection-enabled --retention-period 2557",
        )


@rule(
    "trail-store-unencrypted",
    "Event data store under no KMS key",
    Severity.LOW,
    Facts.DATA_STORE,
    about="CloudTrail encrypts it with a key of its own: IAM alone decides who reads it",
    controls=(HUB_STORE_ENCRYPTION, AT_REST),
)
def unencrypted(store: EventDataStore) -> Said:
    """Yield a store without a KMS key of the account's. Once set, a key can't be taken away."""
    if not store.key:
        yield Finding(
            "",
            Severity.LOW,
            store.arn,
            f"The events of event data store {store.name} are under no KMS key of yours",
            "GetEventDataStore: no KmsKeyId",
            "Give it a key of its own, none that guards tokens: aws cloudtrail update-event-data-store "
            f"--event-data-store {store.arn} --kms-key-id KEY.",
        )
