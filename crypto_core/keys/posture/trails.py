"""Trails: does CloudTrail deliver what happens with the keys, or are KMS's events left out?

AWS CloudTrail User Guide, "Logging management events" and "Filtering management events with advanced event
selectors"; API reference, DescribeTrails, GetTrailStatus, GetEventSelectors, EventSelector,
AdvancedFieldSelector, GetBucketPolicyStatus, GetPublicAccessBlock. Every KMS call, Decrypt and
GenerateDataKey included, is a management event; both of these are reads. A Region is covered if one trail
that is logging takes KMS's reads and writes there. CloudTrail's event history and event data stores are not
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import AUDIT_RECORDS, CIS_TRAIL, HUB_TRAIL
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import KmsError, NotConfiguredError

POLICY, BLOCK, ACL, LOGGING = "policy status", "public access block", "access list", "access logging"
ACCOUNT_BLOCK = "public access block of the account"

CONTROLS = (CIS_TRAIL, HUB_TRAIL, AUDIT_RECORDS)
KMS, S3 = "kms.amazonaws.com", "s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as S3 describes it. What is None is not known; `missing` maps each part to the reason."""

    name: CleanText
    policy_public: bool | None = None
    policy_restricted: bool | None = None
    """True if the bucket's block, or its account's, restricts a public policy to the account."""
    acl_public: bool | None = None
    """True if its access list has everybody; False too where a block ignores it."""
    logged_to: CleanText | None = None
    """The bucket that its accesses are logged in; "" for none."""
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def public_by(self) -> tuple[str, ...]:
        by_policy = self.policy_public and not self.policy_restricted
        return (
            *(("GetBucketPolicyStatus: IsPublic true",) if by_policy else ()),
            *(("GetBucketAcl: a grant to everybody",) if self.acl_public else ()),
        )


_TESTS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("Equals", lambda value, wanted: value == wanted),
    ("StartsWith", lambda value, wanted: value.startswith(wanted)),
    ("EndsWith", lambda value, wanted: value.endswith(wanted)),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Which of KMS's events selectors take. `limits` says what narrows them, cleaned text, "" for nothing."""

    reads: bool
    writes: bool
    limits: str = ""

    @property
    def whole(self) -> bool:
        return self.reads and self.writes


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as CloudTrail describes it. `logging` and `recorded` are None where they are not known.

    `missing` maps either to the reason.
    """

    arn: str
    name: CleanText
    home: CleanText
    regions: frozenset[str]
    """The Regions that were asked and that it covers."""
    logging: bool | None = None
    recorded: Recorded | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    multi_region: bool = False
    validated: bool | None = None
    """True if its files get digests; None where CloudTrail doesn't say."""
    key: CleanText = NO_TEXT
    delivery_error: CleanText = NO_TEXT
    digest_error: CleanText = NO_TEXT
    """What S3 answered to the latest file and to the latest digest, "" for no error."""
    delivered_at: datetime | None = None
    bucket: BucketState | None = None
    started: datetime | None = None
    """When it was switched on last."""
    records_buckets: bool = False
    """True if it is known to take changes of buckets."""

    @property
    def covers(self) -> bool | None:
        """True if it delivers all of KMS's events, False if not, None where that is not known."""
        if self.logging is False or (self.recorded is not None and not self.recorded.whole):
            return False
        return True if self.logging and self.recorded is not None else None

    def finding(self, severity: Severity, title: str, evidence: str, remedy: str) -> Finding:
        return Finding("", severity, self.arn, title, evidence, remedy)


def recorded(answer: Mapping[str, Any], source: str = KMS) -> Recorded:
    """Return what an answer of GetEventSelectors means for a service's management events, by default KMS's.

    No selectors at all are CloudTrail's default: all management events.
    """
    advanced = answer.get("AdvancedEventSelectors") or ()
    if advanced:
        return _by_advanced([s.get("FieldSelectors") or () for s in advanced], source)
    selectors = answer.get("EventSelectors") or ()
    if not selectors:
        return Recorded(True, True)
    return _by_classic(selectors, source)


@rule(
    "trail-none",
    "Region without a trail",
    Severity.HIGH,
    Facts.TRAILS,
    about="no trail records KMS's events",
    controls=CONTROLS,
)
def no_trail(trails: Sequence[Trail], regions: Sequence[str]) -> Said:
    for region in regions:
        if not any(region in t.regions for t in trails):
            yield Finding(
                "",
                Severity.HIGH,
                region,
                f"No trail records what is done with keys in {region}",
                f"DescribeTrails in {region}: none; CloudTrail's own event history ends after 90 days",
                "Create a multi-Region trail that takes all management events, with log file validation.",
            )


@rule(
    "trail-stopped",
    "Trail that is not logging",
    Severity.HIGH,
    Facts.TRAILS,
    about="low where another trail records KMS's events",
    controls=CONTROLS,
)
def stopped(trails: Sequence[Trail], regions: Sequence[str]) -> Said:
    for trail, severity, alone in _lacking(trails, regions, covers=False):
        if trail.logging is False:
            yield trail.finding(
                severity,
                f"Trail {trail.name} is not logging",
                f"GetTrailStatus: IsLogging false; {alone}",
                f"Start it: aws cloudtrail start-logging --name {trail.arn} --region {trail.home}.",
            )


@rule(
    "trail-excludes-kms",
    "Trail that leaves KMS events out",
    Severity.HIGH,
    Facts.TRAILS,
    about="low where another trail records KMS's events",
    controls=CONTROLS,
)
def excludes_kms(trails: Sequence[Trail], regions: Sequence[str]) -> Said:
    for trail, severity, alone in _lacking(trails, regions, covers=False):
        if trail.logging is not False:
            yield trail.finding(
                severity,
                f"Trail {trail.name} leaves out KMS events",
                f"GetEventSelectors: {trail.recorded.limits if trail.recorded else ''}; {alone}",
                "Let it take all management events, reads and writes: aws cloudtrail put-event-selectors "
                f"--trail-name {trail.arn} --region {trail.home} …",
            )
    for trail, severity, _ in _lacking(trails, regions, covers=None):
        reasons = "; ".join(f"{part}: {why}" for part, why in trail.missing.items())
        yield Gap(f"{trail.arn}: {reasons}", severity)


def _lacking(
    trails: Sequence[Trail], regions: Sequence[str], *, covers: bool | None
) -> Iterator[tuple[Trail, Severity, str]]:
    """Yield the trails that don't cover KMS, or perhaps don't: how bad that is where it is worst, and why.

    Low where another trail covers the Region; medium where one that isn't known may cover it.
    """
    for trail in trails:
        if trail.covers is not covers:
            continue
        worst, alone = Severity.NONE, ""
        for region in (r for r in regions if r in trail.regions):
            here = [t for t in trails if region in t.regions]
            severity = Severity.HIGH
            if any(t.covers for t in here):
                severity = Severity.LOW
            elif covers is False and any(t.covers is None for t in here):
                severity = Severity.MEDIUM
            if severity.rank < worst.rank:
                worst = severity
                other = f"no other trail is known to in {region}"
                alone = "another trail records them" if severity is Severity.LOW else other
        if alone:
            yield trail, worst, alone


def _by_classic(selectors: Iterable[Mapping[str, Any]], source: str) -> Recorded:
    reads = writes = False
    limits: list[str] = []
    for selector in selectors:
        if selector.get("IncludeManagementEvents") is False:
            limits.append("IncludeManagementEvents false")
            continue
        if source in (selector.get("ExcludeManagementEventSources") or ()):
            limits.append(f"ExcludeManagementEventSources {source}")
            continue
        kind = selector.get("ReadWriteType") or "All"
        reads |= kind in ("All", "ReadOnly")
        writes |= kind in ("All", "WriteOnly")
        if kind != "All":
            limits.append(f"ReadWriteType {clean(kind, 20)}")
    return Recorded(reads, writes, "" if reads and writes else ", ".join(dict.fromkeys(limits)))


def _by_advanced(selectors: Iterable[Sequence[Mapping[str, Any]]], source: str) -> Recorded:
    taken = {"true": False, "false": False}
    limits: list[str] = []
    for fields in selectors:
        for read_only in taken:
            known = {"eventCategory": "Management", "eventSource": source, "readOnly": read_only}
            failed = [f for f in fields if not _passes(f, known)]
            taken[read_only] |= not failed
            limits += [_in_words(f) for f in failed]
    whole = all(taken.values())
    return Recorded(taken["true"], taken["false"], "" if whole else ", ".join(dict.fromkeys(limits)))


def _passes(selector: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    """Whether a test lets all of KMS's events pass; one on another field lets some through at most."""
    value = known.get(str(selector.get("Field")))
    if value is None:
        return False
    for name, test in _TESTS:
        wanted, unwanted = selector.get(name) or (), selector.get(f"Not{name}") or ()
        if wanted and not any(test(value, str(w)) for w in wanted):
            return False
        if any(test(value, str(u)) for u in unwanted):
            return False
    return True


def _in_words(selector: Mapping[str, Any]) -> str:
    tests = [
        f"{negation}{name} {' or '.join(clean(v, 80) for v in selector[negation + name])}"
        for name, _ in _TESTS
        for negation in ("", "Not")
        if selector.get(negation + name)
    ]
    return f"{clean(selector.get('Field'), 60)} {' and '.join(tests)}"


_EVERYBODY = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)


def read_bucket(kms: KmsApi, name: str, region: str, cancelled: Event | None = None) -> BucketState:
    """Return a bucket with what may be read of it. Raises InterruptedRunError."""
    missing: dict[str, str] = {}

    def read(part: str, operation: str) -> Mapping[str, Any] | None:
        """The answer, nothing in it where nothing is set, None where it may not be read."""
        stop_if(cancelled)
        try:
            return kms.read("s3", operation, region=region, Bucket=name)
        except NotConfiguredError:
            return {}
        except KmsError as error:
            missing[part] = error.why
            return None

    policy = read(POLICY, "GetBucketPolicyStatus")
    block = read(BLOCK, "GetPublicAccessBlock")
    blocks = (block or {}).get("PublicAccessBlockConfiguration") or {}
    ignored = blocks.get("IgnorePublicAcls") is True
    acl = {} if ignored else read(ACL, "GetBucketAcl")
    logging = read(LOGGING, "GetBucketLogging")
    found = BucketState(
        clean(name, 63),
        None if policy is None else (policy.get("PolicyStatus") or {}).get("IsPublic") is True,
        None if block is None else blocks.get("RestrictPublicBuckets") is True,
        None if acl is None else _is_public(acl),
        None if logging is None else clean((logging.get("LoggingEnabled") or {}).get("TargetBucket"), 63),
        missing,
    )
    return _behind_account(kms, name, region, found) if found.public_by else found


def _behind_account(kms: KmsApi, name: str, region: str, found: BucketState) -> BucketState:
    """What the block of the caller's account leaves of a public bucket, if the bucket is its own."""
    try:
        account = kms.identity().account
        kms.read("s3", "GetBucketLocation", region=region, Bucket=name, ExpectedBucketOwner=account)
        answer = kms.read("s3control", "GetPublicAccessBlock", region=region, AccountId=account)
    except NotConfiguredError:
        return found
    except KmsError as error:
        return replace(found, missing={**found.missing, ACCOUNT_BLOCK: error.why})
    blocks = answer.get("PublicAccessBlockConfiguration") or {}
    return replace(
        found,
        policy_restricted=found.policy_restricted or blocks.get("RestrictPublicBuckets") is True,
        acl_public=found.acl_public and blocks.get("IgnorePublicAcls") is not True,
    )


def _is_public(acl: Mapping[str, Any]) -> bool:
    return any((grant.get("Grantee") or {}).get("URI") in _EVERYBODY for grant in acl.get("Grants") or ())


@dataclass(frozen=True, slots=True)
class DescribedTrails:
    """Trails by ARN: what DescribeTrails says of each, and which of the Regions that were asked it covers.

    `asked` are the Regions that answered, `failures` why others did not.
    """

    trails: Mapping[str, tuple[Mapping[str, Any], frozenset[str]]]
    asked: tuple[str, ...]
    failures: Mapping[str, KmsError]


def describe_trails(
    kms: KmsApi, regions: Iterable[str], *, cancelled: Event | None = None
) -> DescribedTrails:
    """Return the trails that cover these Regions, wherever their home is. Raises InterruptedRunError."""
    described: dict[str, Mapping[str, Any]] = {}
    covering: dict[str, set[str]] = {}
    asked: list[str] = []
    failures: dict[str, KmsError] = {}
    for region in regions:
        stop_if(cancelled)
        try:
            answer = kms.read("cloudtrail", "DescribeTrails", region=region, includeShadowTrails=True)
        except KmsError as error:
            failures[region] = error
            continue
        asked.append(region)
        for raw in answer.get("trailList") or ():
            arn = str(raw.get("TrailARN") or "")
            if arn and (raw.get("IsMultiRegionTrail") or (raw.get("HomeRegion") or region) == region):
                described.setdefault(arn, raw)
                covering.setdefault(arn, set()).add(region)
    trails = {arn: (raw, frozenset(covering[arn])) for arn, raw in described.items()}
    return DescribedTrails(trails, tuple(asked), failures)


def read_trails(
    kms: KmsApi, regions: Iterable[str], *, cancelled: Event | None = None
) -> tuple[tuple[Trail, ...], tuple[str, ...], tuple[Gap, ...]]:
    """Return the trails of these Regions, the Regions that could be asked, and a gap for each other one.

    Trails of other Regions that cover one of these are among them. Raises InterruptedRunError.
    """
    described = describe_trails(kms, regions, cancelled=cancelled)
    gaps = [
        Gap(f"{region}: trails: {error.why}", Severity.HIGH) for region, error in described.failures.items()
    ]
    found = []
    buckets: dict[str, BucketState] = {}
    for arn, (raw, regions_) in described.trails.items():
        stop_if(cancelled)
        trail = read_trail(kms, arn, raw, regions_)
        name = str(raw.get("S3BucketName") or "")
        if name and name not in buckets:
            buckets[name] = read_bucket(kms, name, trail.home, cancelled)
        found.append(replace(trail, bucket=buckets.get(name)))
    return tuple(found), described.asked, tuple(gaps)


def read_trail(kms: KmsApi, arn: str, raw: Mapping[str, Any], regions: frozenset[str]) -> Trail:
    """Return a trail that is described, with its status and its selectors, without its bucket."""
    validated = raw.get("LogFileValidationEnabled")
    trail = Trail(
        clean(arn, 300),
        clean(raw.get("Name"), 128),
        clean(raw.get("HomeRegion") or min(regions), 40),
        regions,
        multi_region=raw.get("IsMultiRegionTrail") is True,
        validated=validated if isinstance(validated, bool) else None,
        key=clean(raw.get("KmsKeyId"), 300),
    )
    return _with_selectors(kms, _with_status(kms, trail, arn), arn)


def _with_status(kms: KmsApi, trail: Trail, arn: str) -> Trail:
    try:
        answer = kms.read("cloudtrail", "GetTrailStatus", region=trail.home, Name=arn)
    except KmsError as error:
        return replace(trail, missing={**trail.missing, "status": error.why})
    logging = answer.get("IsLogging")
    if logging is None:
        return replace(trail, missing={**trail.missing, "status": "CloudTrail does not say"})
    delivered, started = answer.get("LatestDeliveryTime"), answer.get("StartLoggingTime")
    return replace(
        trail,
        logging=bool(logging),
        delivery_error=clean(answer.get("LatestDeliveryError"), 120),
        digest_error=clean(answer.get("LatestDigestDeliveryError"), 120),
        delivered_at=delivered if isinstance(delivered, datetime) else None,
        started=started if isinstance(started, datetime) else None,
    )


def _with_selectors(kms: KmsApi, trail: Trail, arn: str) -> Trail:
    try:
        answer = kms.read("cloudtrail", "GetEventSelectors", region=trail.home, TrailName=arn)
    except KmsError as error:
        return replace(trail, missing={**trail.missing, "event selectors": error.why})
    return replace(trail, recorded=recorded(answer), records_buckets=recorded(answer, S3).writes)
