"""Delivery of the trail to S3: gzip files of `{"Records": […]}` where CloudTrail would put them.

A trail with log file validation gets a signed digest file with each delivery.

A destination is a trail that moto knows and that is logging. While no trail was ever created, records wait,
so a trail that is created later begins with them: the sandbox fills a bucket with a past that it made up.
Once there is a trail, what happens while it isn't logging is lost to it, as in AWS.
"""

import gzip
import json
import logging
import random
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.clock import EndpointClock
from console.sandbox.endpoint.digests import DeliveredFile, DigestWriter
from console.sandbox.endpoint.moto_server import MotoServer
from console.sandbox.endpoint.principals import ACCOUNT
from console.sandbox.endpoint.records import Record
from console.sandbox.endpoint.trail import SandboxTrail

if TYPE_CHECKING:
    from moto.cloudtrail.models import Trail as MotoTrail

log = logging.getLogger(__name__)

RECORDS_PER_FILE = 10_000
_FILE_SECONDS = 300

Accepts = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Destination:
    """A bucket, a key prefix (may be empty), and which records it gets."""

    bucket: str
    prefix: str
    accepts: Accepts
    trail: str
    """The name of a trail whose files are to be validated; "" for none."""
    home: str
    begins: Callable[[float], None]
    """Told since when the trail has records."""


class Delivery:
    def __init__(self, trail: SandboxTrail, moto: MotoServer, clock: EndpointClock) -> None:
        self._clock = clock
        self._trail = trail
        self._moto = moto
        self.digests = DigestWriter()

    async def deliver(self) -> int:
        """Deliver what waits; returns the number of files written. A bucket that is gone is skipped."""
        if not self._trail.undelivered or not self._moto.is_ready:
            return 0
        destinations = await self._moto.run_in_thread(self._destinations)
        if destinations is None:
            return 0
        records = self._trail.take_undelivered()
        return await self._moto.run_in_thread(lambda: self._write(destinations, records))

    def _destinations(self) -> list[Destination] | None:
        """Return where records go now (perhaps nowhere), or None while there is no trail."""
        trails = [trail for backend in self._moto.trails() for trail in list(backend.trails.values())]
        if not trails:
            return None
        return [
            Destination(
                one.bucket_name,
                one.s3_key_prefix or "",
                _accepted_by(one),
                one.trail_name if one.log_validation else "",
                one.region_name,
                partial(_begin, one),
            )
            for one in trails
            if one.status.is_logging
        ]

    def _write(self, destinations: list[Destination], records: list[Record]) -> int:
        from moto.s3.exceptions import MissingBucket

        written = 0
        for destination in destinations:
            accepted = [record for record in records if destination.accepts(record)]
            if accepted:
                destination.begins(min(record.time for record in accepted))
            delivered: dict[str, list[DeliveredFile]] = {}
            for batch in _files_of(accepted):
                document = {"Records": [record.as_cloudtrail() for record in batch]}
                plain = json.dumps(document, separators=(",", ":")).encode()
                name = _file_name(destination.prefix, batch)
                try:
                    self._moto.put_object(destination.bucket, name, gzip.compress(plain, compresslevel=3))
                except MissingBucket:
                    log.warning("%d records are lost: bucket %s is gone", len(batch), destination.bucket)
                    continue
                times = [record.time for record in batch]
                file = DeliveredFile(name, plain, min(times), max(times))
                delivered.setdefault(batch[0].region, []).append(file)
                written += 1
            if destination.trail:
                self._write_digests(destination, delivered)
        return written

    def _write_digests(self, to: Destination, delivered: dict[str, list[DeliveredFile]]) -> None:
        for region, files in delivered.items():
            made = self.digests.digest(
                to.bucket, to.prefix, to.trail, to.home, region, files, self._clock.now()
            )
            metadata = {
                "x-amz-meta-signature": made.signature,
                "x-amz-meta-signature-algorithm": "SHA256withRSA",
            }
            self._moto.put_object(to.bucket, made.key, made.body, metadata)


def _begin(trail: "MotoTrail", moment: float) -> None:
    """Let a trail that gets a past have been logging since then."""
    past = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)  # as moto has it
    if trail.status.started is not None:
        trail.status.started = min(trail.status.started, past)


def _files_of(records: Iterable[Record]) -> list[list[Record]]:
    """Group records by Region and day, at most `RECORDS_PER_FILE` together."""
    days: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        days.setdefault((record.region, int(record.time // 86_400)), []).append(record)
    return [
        group[start : start + RECORDS_PER_FILE]
        for group in days.values()
        for start in range(0, len(group), RECORDS_PER_FILE)
    ]


def _file_name(prefix: str, records: list[Record]) -> str:
    # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
    newest = max(record.time for record in records)
    stamp = datetime.fromtimestamp(newest - newest % _FILE_SECONDS, UTC)
    region = records[0].region
    unique = "".join(random.choices(string.ascii_letters + string.digits, k=16))  # noqa: S311 (a name)
    folder = f"{prefix}/" if prefix else ""
    return (
        f"{folder}AWSLogs/{ACCOUNT}/CloudTrail/{region}/{stamp:%Y/%m/%d}/"
        f"{ACCOUNT}_CloudTrail_{region}_{stamp:%Y%m%dT%H%MZ}_{unique}.json.gz"
    )


def _accepted_by(trail: "MotoTrail") -> Accepts:
    """Return the trail's Region and event selectors as one predicate.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-management-events-with-cloudtrail.html
    """
    checks: list[Accepts] = []
    if not trail.is_multi_region:
        home = trail.region_name
        checks.append(lambda record: record.region == home)
    if trail.event_selectors:
        selectors = list(trail.event_selectors)
        checks.append(lambda record: any(_selected(record, one) for one in selectors))
    return lambda record: all(check(record) for check in checks)


def _selected(record: Record, selector: dict[str, Any]) -> bool:
    if not selector.get("IncludeManagementEvents", True):
        return False
    if record.source in selector.get("ExcludeManagementEventSources", ()):
        return False
    wanted = selector.get("ReadWriteType", "All")
    return bool(wanted == "All" or (wanted == "ReadOnly") == record.read_only)
