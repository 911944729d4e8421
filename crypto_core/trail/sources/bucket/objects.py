"""A bucket's objects, listed by prefix and read with a limit: S3 API reference, ListObjectsV2, GetObject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

from crypto_core.aws.failures import error_from_exception
from crypto_core.aws.kms import KmsApi
from crypto_core.trail.sources.files import packed_logs
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import KmsRequestError, TrailError

MOST_BYTES = 16 * 1024 * 1024
"""Of an object as it is stored. CloudTrail's own have a few MB; several are held at a time."""
MOST_PLAIN_BYTES = packed_logs.LARGEST
"""Of its content once it is unpacked: what a small file can blow up to is bounded."""
_CHUNK = 1024 * 1024


class BrokenObjectError(TrailError, remedy="The rest was read. Look at the object in the bucket."):
    """An object that can't be read for what it is; the message says why, not which."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing tells of it. `key` is as it came: clean it before it is shown."""

    bucket: str
    key: str
    size: int
    etag: str
    written: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """What is in an object. `metadata` are the owner's, their names in lower case."""

    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """One bucket, asked in one Region. Thread-safe."""

    def __init__(self, kms: KmsApi, region: str, name: str) -> None:
        self._kms = kms
        self._region = region
        self.name = name

    def folders(self, prefix: str, cancelled: Event | None = None) -> Iterator[str]:
        """Yield the last names of the folders right below a prefix. Raises KmsError."""
        for answer in self._pages(prefix, cancelled, Delimiter="/"):
            for one in _list(answer, "CommonPrefixes"):
                whole = one.get("Prefix")
                if isinstance(whole, str) and whole.startswith(prefix):
                    yield whole[len(prefix) :].rstrip("/")

    def objects(self, prefix: str, cancelled: Event | None = None, *, after: str = "") -> Iterator[Listed]:
        """Yield the objects below a prefix by name, those behind the name `after`. Raises KmsError."""
        more = {"StartAfter": after} if after else {}
        for answer in self._pages(prefix, cancelled, **more):
            for one in _list(answer, "Contents"):
                key, written = one.get("Key"), one.get("LastModified")
                if isinstance(key, str) and isinstance(written, datetime):
                    written = written if written.tzinfo else written.replace(tzinfo=UTC)
                    etag = str(one.get("ETag") or "")
                    yield Listed(self.name, key, int(one.get("Size") or 0), etag, written)

    def read_object(self, key: str, cancelled: Event | None = None) -> Content:
        """Return an object. Raises KmsError, and BrokenObjectError for one that is larger than allowed."""
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        answer = self._kms.read("s3", "GetObject", region=self._region, Bucket=self.name, Key=key)
        stream, parts, size = answer["Body"], [], 0
        try:
            while chunk := stream.read(_CHUNK):
                stop_if(cancelled)
                size += len(chunk)
                if size > MOST_BYTES:
                    raise BrokenObjectError(f"it has more than {MOST_BYTES // 1024 // 1024} MB.")
                parts.append(chunk)
        except BotoCoreError as error:
            found = error_from_exception(error, "GetObject", ())
            raise found from error
        except (HTTPError, OSError) as error:
            raise KmsRequestError(f"S3 broke off GetObject ({type(error).__name__}).") from error
        finally:
            stream.close()
        metadata = answer.get("Metadata")
        named = metadata.items() if isinstance(metadata, Mapping) else ()
        return Content(b"".join(parts), {str(k).lower(): str(v) for k, v in named})

    def _pages(self, prefix: str, cancelled: Event | None, **more: Any) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            stop_if(cancelled)
            answer = self._kms.read(
                "s3", "ListObjectsV2", region=self._region, Bucket=self.name, Prefix=prefix, **more, **token
            )
            yield answer
            following = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated") or not isinstance(following, str):
                return
            token = {"ContinuationToken": following}


def unpacked(body: bytes, most: int = MOST_PLAIN_BYTES) -> bytes:
    """Return a file's content, gunzipped if it is gzip, of at most `most` bytes. Raises BrokenObjectError."""
    parts, size = [], 0
    try:
        for part in packed_logs.unpacked((body,)):
            size += len(part)
            if size > most:
                raise BrokenObjectError(f"it unpacks to more than {most // 1024 // 1024} MB.")
            parts.append(part)
    except packed_logs.FileBombError as error:
        raise BrokenObjectError(error.message) from error
    except packed_logs.UnreadableError as error:
        raise BrokenObjectError("truncated gzip." if error.cut_short else "damaged gzip.") from error
    return b"".join(parts)


def _list(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = answer.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
