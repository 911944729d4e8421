"""Anchors in an S3 bucket with Object Lock: nobody deletes or overwrites one before its time, root included.

S3 User Guide, "Locking objects with Object Lock": compliance mode. A further version may be put above an
object, or a delete marker; the locked version stays, and so all versions are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.database.state.anchors.checkpoint_anchors import LARGEST_ANCHOR, anchor_of
from crypto_core.proof.forms import Anchor
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import AbsentAnchorsError, AnchorError, RefusedError

MOST_READ = 10_000
"""Of more objects the first and the last half of it are read, which is reported."""
MOST_LISTED = 1_000_000
_SKEW = timedelta(hours=1)

Call = Callable[..., Mapping[str, Any]]


class AnchorBucket:
    """Keeps an object for each anchor, below a prefix of its own."""

    def __init__(
        self,
        read: Call,
        write: Call,
        *,
        bucket: str,
        prefix: str,
        days: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`read` and `write` call an operation of S3 by its name. Objects are locked for so many `days`."""
        self._read, self._write = read, write
        self._bucket, self._days, self._clock = bucket, days, clock
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @property
    def where(self) -> CleanText:
        return clean(f"s3://{self._bucket}/{self._prefix}")

    def keep(self, anchor: Anchor) -> None:
        """Put an anchor, and see that S3 has locked it. Raises AnchorError where it has not, KmsError."""
        line = anchor.line()
        key = f"{self._prefix}{anchor.checkpoint.seq:019d}-{hashlib.sha256(line).hexdigest()[:32]}.json"
        until = self._clock() + timedelta(days=self._days)
        put = self._write(
            "PutObject",
            Bucket=self._bucket,
            Key=key,
            Body=line,
            ContentType="application/json",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
        )
        version = {"VersionId": put["VersionId"]} if isinstance(put.get("VersionId"), str) else {}
        held = self._read("HeadObject", Bucket=self._bucket, Key=key, **version)
        end = held.get("ObjectLockRetainUntilDate")
        if held.get("ObjectLockMode") != "COMPLIANCE" or not isinstance(end, datetime) or end < until - _SKEW:
            raise AnchorError(
                f"{self.where} holds the anchor, but S3 did not lock it.",
                remedy="Use a bucket that was made with Object Lock.",
            )

    def read(self) -> Iterator[Anchor | str]:
        """Yield what is in the bucket, whatever was put above it.

        Raises AbsentAnchorsError where there is nothing, KmsError.
        """
        listed = list(self._versions())
        if not listed:
            raise AbsentAnchorsError(f"{self.where} holds nothing.")
        if len(listed) > MOST_READ:
            half = MOST_READ // 2
            yield (
                f"{self.where} holds {len(listed):,} objects or more: the first and the last {half:,} by "
                "their names were read."
            )
            listed = [*listed[:half], *listed[-half:]]
        for key, version in listed:
            place = clean(f"s3://{self._bucket}/{key}")
            try:
                yield anchor_of(self._content(key, version), place)
            except RefusedError as error:
                yield error.message

    def _content(self, key: str, version: str) -> bytes:
        from urllib3.exceptions import HTTPError

        answer = self._read("GetObject", Bucket=self._bucket, Key=key, VersionId=version)
        stream = answer["Body"]
        try:
            return bytes(stream.read(LARGEST_ANCHOR + 1))
        except (HTTPError, OSError) as error:
            raise AnchorError(f"S3 broke off GetObject ({type(error).__name__}).") from error
        finally:
            stream.close()

    def _versions(self) -> Iterator[tuple[str, str]]:
        """The names and versions of all objects below the prefix, delete markers left out."""
        more: dict[str, str] = {}
        found = 0
        while found < MOST_LISTED:
            answer = self._read("ListObjectVersions", Bucket=self._bucket, Prefix=self._prefix, **more)
            for one in answer.get("Versions") or ():
                key, version = one.get("Key"), one.get("VersionId")
                if isinstance(key, str) and isinstance(version, str) and key.startswith(self._prefix):
                    found += 1
                    yield key, version
            marks = (answer.get("NextKeyMarker"), answer.get("NextVersionIdMarker"))
            if not answer.get("IsTruncated") or not isinstance(marks[0], str):
                return
            more = {"KeyMarker": marks[0]}
            if isinstance(marks[1], str):
                more["VersionIdMarker"] = marks[1]
