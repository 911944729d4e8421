"""Where trails deliver: buckets and prefixes, and in them a folder for each account, Region and day.

CloudTrail User Guide, "Finding your CloudTrail log files":
PREFIX/AWSLogs/[o-ORGANISATION/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/. The day is that of delivery.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.posture.trails import Trail, describe_trails, read_trail
from crypto_core.trail.sources.bucket.objects import Bucket, Listed
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.sources.report import PullRun
from crypto_core.trail.sources.source_calls import why
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import AccountRegion

LOGS = "AWSLogs/"
FILES, DIGESTS = "CloudTrail", "CloudTrail-Digest"

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?", re.DOTALL)
_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANISATION = re.compile(r"o-[a-z0-9]{4,32}")
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z]+)+-[0-9]{1,2}")
_BEGINS = "was switched on at {:%Y-%m-%d %H:%M} UTC: it may have nothing from before."
_LATE_DAYS = 1
"""Files of an event lie in the day of its delivery, and may be copied there later."""


@dataclass(frozen=True, slots=True)
class TrailBucket:
    """A bucket and the prefix in front of AWSLogs/, which is empty or ends in a slash.

    `regions` are those that a trail is known to record there; empty where that isn't known. `trail` is the
    trail's name, "" if a bucket was named without one. `account` is the trail's, "" if that isn't known;
    `organisation` is True where it records all accounts of its organisation. `whole` is False where not all
    events of KMS come to it, or that isn't known; `whole_of_buckets` is True where a trail is known to record
    changes of buckets there. `begins` is from when on they do, None where that was always so.
    """

    bucket: str
    prefix: str
    region: str
    regions: frozenset[str] = frozenset()
    trail: str = ""
    account: str = ""
    organisation: bool = False
    whole: bool = True
    whole_of_buckets: bool = False
    begins: datetime | None = None

    def __str__(self) -> str:
        return clean(f"s3://{self.bucket}/{self.prefix}", 300)


@dataclass(frozen=True, slots=True)
class Folder:
    """What one account's trail delivers of one Region. `path` is that of its years, with a slash."""

    account: str
    region: str
    path: str

    @property
    def of(self) -> AccountRegion:
        return AccountRegion(self.account, self.region)


def is_address(text: str) -> bool:
    """True for s3://bucket/prefix."""
    return text.startswith("s3://")


def place_at(address: str, region: str) -> TrailBucket:
    """Return the place that s3://bucket/prefix names. Raises SettingsError."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise SettingsError(
            f"{clean(address, 100)!r} is not an S3 address.", remedy="Write it as s3://bucket/prefix."
        )
    written = (found["prefix"] or "").rstrip("/")
    names = takewhile(lambda name: f"{name}/" != LOGS, written.split("/") if written else ())
    return TrailBucket(found["bucket"], "".join(f"{name}/" for name in names), region)


def places_of_trails(kms: KmsApi, regions: Iterable[str], pull: PullRun) -> list[TrailBucket]:
    """Return where the trails of these Regions deliver; gaps say what they lack. May raise KmsError."""
    tally, cancelled = pull.tally, pull.cancelled
    described = describe_trails(kms, regions, cancelled=cancelled)
    for region, error in described.failures.items():
        tally.gap(f"{region}: trails: {why(error)}")
        if not described.asked:
            raise error
    places, told = [], []
    for arn, (raw, covered) in described.trails.items():
        if not raw.get("S3BucketName"):
            continue
        stop_if(cancelled)
        trail = read_trail(kms, arn, raw, covered)
        left_out, off = _limits(trail)
        missing = [*left_out, *off]
        late = trail.started if trail.started and trail.started > pull.asked.since else None
        sentences = [*missing, *([_BEGINS.format(late.astimezone(UTC))] if late else [])]
        told.append((covered, [f"{clean(arn, 200)} {sentence}" for sentence in sentences]))
        prefix = str(raw.get("S3KeyPrefix") or "")
        places.append(
            TrailBucket(
                str(raw["S3BucketName"]),
                f"{prefix}/" if prefix and not prefix.endswith("/") else prefix,
                trail.home,
                covered,
                trail.name,
                account=found[0] if (found := _ACCOUNT.findall(arn)) else "",
                organisation=raw.get("IsOrganizationTrail") is True,
                whole=not missing,
                whole_of_buckets=trail.records_buckets and not off,
                begins=late,
            )
        )
    elsewhere = {r for place in places if place.whole and not place.begins for r in place.regions}
    for covered_by, sentences in told:
        for sentence in sentences:
            (tally.note if covered_by <= elsewhere else tally.gap)(sentence)
    return places


def _limits(trail: Trail) -> tuple[list[str], list[str]]:
    """Return which events of KMS a trail leaves out, and why it may deliver none, in sentences."""
    taken, off = [], []
    if trail.recorded is None:
        taken.append(f"may leave out events of KMS: {trail.missing['event selectors'].rstrip('.')}.")
    elif not trail.recorded.whole:
        limits = f" ({trail.recorded.limits})" if trail.recorded.limits else ""
        taken.append(f"leaves out events of KMS{limits}.")
    if trail.logging is None:
        off.append(f"may be switched off: {trail.missing['status'].rstrip('.')}.")
    elif not trail.logging:
        off.append("is switched off: it records nothing.")
    if trail.delivery_error:
        off.append(f"can't deliver to its bucket ({trail.delivery_error}).")
    return taken, off


def folders(
    bucket: Bucket, place: TrailBucket, kind: str, cancelled: Event | None = None
) -> Iterator[Folder]:
    """Yield the accounts' Regions below a place. `kind` is FILES or DIGESTS. Raises KmsError."""
    for root in (place.prefix + LOGS, *_organisations(bucket, place, cancelled)):
        for account in bucket.folders(root, cancelled):
            if not _ACCOUNT.fullmatch(account):
                continue
            path = f"{root}{account}/{kind}/"
            for region in bucket.folders(path, cancelled):
                if _REGION.fullmatch(region):
                    yield Folder(account, region, f"{path}{region}/")


def _organisations(bucket: Bucket, place: TrailBucket, cancelled: Event | None) -> Iterator[str]:
    for name in bucket.folders(place.prefix + LOGS, cancelled):
        if _ORGANISATION.fullmatch(name):
            yield f"{place.prefix}{LOGS}{name}/"


def delivered(
    bucket: Bucket, path: str, asked: PullQuery, *, before: int = 0, cancelled: Event | None = None
) -> Iterator[Listed]:
    """Yield the objects of a window's days, late ones too, and so many days `before`. May raise KmsError."""
    first, last = asked.since.date() - timedelta(days=before), asked.until.date() + timedelta(days=_LATE_DAYS)
    for one in bucket.objects(path, cancelled, after=f"{path}{first:%Y/%m/%d}"):
        if one.key[len(path) :][:10] > f"{last:%Y/%m/%d}":
            return
        yield one
