"""Whether the files of a trail are as CloudTrail delivered them: its signed digest files tell.

CloudTrail User Guide, "Custom implementations of CloudTrail log file integrity validation" and "CloudTrail
digest file structure". A digest names the files of an hour with their hashes, is signed by a key of its
Region (SHA-256 with RSA), and holds hash and signature of the digest before it: what was changed, deleted or
left out breaks the chain. A file that nobody signed is not looked for: digests tell of what was delivered.
One comes every hour, whether anything happened or not: where the last ones are missing, they were deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.trail.columns import iso
from crypto_core.trail.sources import digest_files
from crypto_core.trail.sources.bucket.objects import BrokenObjectError, Bucket, unpacked
from crypto_core.trail.sources.bucket.places import DIGESTS, FILES, Folder, TrailBucket, delivered, folders
from crypto_core.trail.sources.bucket.s3 import THREADS
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.sources.source_calls import side_by_side, why
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsAccessDeniedError, KmsError, TrailError
from crypto_core.values.json_records import shape

_AFTER = timedelta(hours=3)
_DAY = timedelta(days=1)
"""Whole days of digests are read, and one more for late delivery."""
_BACKFILL = "_backfill.json.gz"


@dataclass(frozen=True, slots=True)
class Validation(digest_files.DigestTally):
    """What validating found. Counts of digest files and log files; `breaks` are ends of the chain."""

    digests: int = 0
    digests_invalid: int = 0
    digests_missing: int = 0
    files: int = 0
    files_invalid: int = 0
    files_missing: int = 0
    breaks: int = 0

    json_shape = shape(
        "well digests files breaks problems",
        digests=lambda record: {
            "valid": record.digests,
            "invalid": record.digests_invalid,
            "missing": record.digests_missing,
        },
        files=lambda record: {
            "valid": record.files,
            "invalid": record.files_invalid,
            "missing": record.files_missing,
        },
    )

    @property
    def well(self) -> bool:
        """True if there are digests, and nothing is wrong."""
        return bool(self.digests) and not self.problems

    @property
    def summary(self) -> str:
        return (
            f"Validation: {self.digests:,} digest files valid, {self.digests_invalid:,} invalid, "
            f"{self.digests_missing:,} missing; {self.files:,} log files valid, {self.files_invalid:,} "
            f"invalid, {self.files_missing:,} missing; {self.breaks:,} breaks in the chain."
        )


@dataclass(frozen=True, slots=True)
class DigestValidator:
    """Validates what trails delivered to a place in a window; `only` are the Regions, with none all."""

    kms: KmsApi
    asked: PullQuery
    place: TrailBucket
    only: frozenset[str]
    now: datetime
    cancelled: Event | None = None

    @property
    def _bucket(self) -> Bucket:
        return Bucket(self.kms, self.place.region, self.place.bucket)

    def validate(self) -> Validation:
        """Return what the digests say. Raises KmsError where they can't be listed."""
        result, told = Validation(), set()
        for folder in self._folders(DIGESTS):
            for chain in self._chains(folder):
                result += self._chain(chain, folder)
                told.add((folder.account, folder.region))
        for missing in self._without(told):
            result = result.but(
                f"{self.place}: {missing}: there are no digest files for this window: validation isn't "
                "switched on for the trail, or they were deleted."
            )
        return result

    def _folders(self, kind: str) -> Iterator[Folder]:
        for folder in folders(self._bucket, self.place, kind, self.cancelled):
            if not self.only or folder.region in self.only:
                yield folder

    def _chain(self, listed: Sequence[str], folder: Folder) -> Validation:
        bucket, asked, now = self._bucket, self.asked, self.now
        until = min(asked.until + _DAY, now)
        keys = digest_files.public_keys(self.kms, folder.region, asked.since - _DAY, until, self.cancelled)
        if isinstance(keys, str):
            return Validation().but(f"{folder.region}: public keys: {keys}")
        result, later = Validation(), None
        newest = next((key for key in listed if not key.endswith(_BACKFILL)), "")
        if newest[-len("20261125T120000Z.json.gz") :] < f"{min(asked.until, now) - _AFTER:%Y%m%dT%H%M%SZ}":
            result = result.but(
                f"s3://{bucket.name}/{newest or folder.path}: no later digest found: deleted, or logging or "
                "validation was switched off.",
                breaks=1,
            )
        for key in listed:
            digest = self._read(key)
            if isinstance(digest, str):
                result = result.but(f"s3://{bucket.name}/{key}: {digest}", digests_invalid=1, breaks=1)
                later = None
                continue
            flaw = digest_files.wrong(digest, bucket.name, keys)
            if flaw:
                result = result.but(f"s3://{bucket.name}/{key}: {flaw}", digests_invalid=1)
            elif digest.text("digestEndTime") >= iso(asked.since):
                result += Validation(digests=1) + self._files(digest)
            if key.endswith(_BACKFILL):
                continue
            if later is not None:
                gap = digest_files.broken(later, digest, bucket.name)
                if gap:
                    missing = int(later.text("previousDigestS3Object") not in listed)
                    result = result.but(
                        f"s3://{bucket.name}/{later.key}: {gap}", breaks=1, digests_missing=missing
                    )
            later = digest
        return result + self._before(later)

    def _before(self, oldest: digest_files.Digest | None) -> Validation:
        """Whether the digest before the oldest is there, if it still is of the window."""
        start = oldest.text("digestStartTime") if oldest else ""
        if oldest is None or start <= iso(self.asked.since):
            return Validation()
        key = oldest.text("previousDigestS3Object")
        if not key:
            return Validation().but(
                f"s3://{self._bucket.name}/{oldest.key}: the chain begins here, at {start}: earlier "
                "deliveries can't be verified."
            )
        digest = self._read(key)
        if isinstance(digest, str):
            return Validation().but(f"s3://{self._bucket.name}/{key}: {digest}", digests_missing=1, breaks=1)
        gap = digest_files.broken(oldest, digest, self._bucket.name)
        if not gap:
            return Validation()
        return Validation().but(f"s3://{self._bucket.name}/{oldest.key}: {gap}", breaks=1)

    def _read(self, key: str) -> digest_files.Digest | str:
        try:
            content = self._bucket.read_object(key, self.cancelled)
            return digest_files.digest_of(key, unpacked(content.body), content.metadata.get("signature", ""))
        except (KmsError, TrailError) as error:
            return why(error)

    def _files(self, digest: digest_files.Digest) -> Validation:
        files = digest.files()
        if files is None:
            return Validation().but(f"s3://{self._bucket.name}/{digest.key}: it names too many files.")
        result = Validation()
        for _, outcome in side_by_side(self._file, files, threads=THREADS, cancelled=self.cancelled):
            result += outcome
        return result

    def _without(self, told: Collection[tuple[str, str]]) -> Iterator[str]:
        """Name what has no digest at all: Regions that the trail records, and folders of log files."""
        regions = self.place.regions
        recorded = sorted((regions & self.only if self.only else regions) - {region for _, region in told})
        yield from recorded
        unsigned = [
            f"{folder.account} {folder.region}"
            for folder in self._folders(FILES)
            if folder.region not in recorded
            and (folder.account, folder.region) not in told
            and any(delivered(self._bucket, folder.path, self.asked, cancelled=self.cancelled))
        ]
        yield from unsigned
        if not told and not recorded and not unsigned:
            yield "All Regions"

    def _chains(self, folder: Folder) -> list[list[str]]:
        found: dict[str, dict[str, str]] = {}
        place = self.place
        for one in delivered(self._bucket, folder.path, self.asked, cancelled=self.cancelled):
            named = digest_files.DIGEST_NAME.fullmatch(one.key.rsplit("/", 1)[-1])
            of_trail = f"{folder.account}_{DIGESTS}_{folder.region}_{place.trail}_{place.region}"
            if named and (not place.trail or named["chain"] == of_trail):
                order = f"{named['backfill'] or ''}{named['stamp']}"
                found.setdefault(named["chain"], {})[order] = one.key
        return [[keys[order] for order in sorted(keys, reverse=True)] for keys in found.values()]

    def _file(self, entry: Mapping[str, Any]) -> Validation:
        key = entry.get("s3Object")
        if not isinstance(key, str) or entry.get("s3Bucket") != self._bucket.name:
            return Validation().but(
                "A digest names a file that is no object of this bucket.", files_invalid=1
            )
        where = f"s3://{self._bucket.name}/{clean(key, 400)}"
        try:
            body = unpacked(self._bucket.read_object(key, self.cancelled).body)
        except BrokenObjectError as error:
            return Validation().but(f"{where}: {error.message}", files_invalid=1)
        except KmsAccessDeniedError as error:
            return Validation().but(f"{where}: {why(error)}")
        except KmsError as error:
            return Validation().but(f"{where}: {why(error)}", files_missing=1)
        if hashlib.sha256(body).hexdigest() != str(entry.get("hashValue")).lower():
            return Validation().but(f"{where}: its content was changed after delivery.", files_invalid=1)
        return Validation(files=1)
