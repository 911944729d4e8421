"""Whether a local copy of a trail's files is as CloudTrail delivered them: the digests beside it tell.

A copy has no signatures, which S3 keeps with the objects: the signature of a digest stands in the one after
it. So the newest digest of a chain has none, and what it names is only as it says. Files are known by their
names, in whatever folders they lie, packed or unpacked. What no digest names is proved by nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from crypto_core.trail.columns import seconds
from crypto_core.trail.sources.digest_files import DIGEST_NAME, Digest, DigestTally, broken, digest_of, wrong
from crypto_core.trail.sources.files.find_files import Walk, why
from crypto_core.trail.sources.files.packed_logs import LARGEST, UnreadableError, unpacked
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store.pulls import TimeWindow, joined
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.json_records import shape
from crypto_core.values.key_names import AccountRegion

PublicKeys = Callable[[str, datetime, datetime], dict[str, RSAPublicKey] | str]
"""CloudTrail's public keys of a Region and a time by fingerprint, or why they can't be had."""

_DIGEST = re.compile(r"(?P<account>[0-9]{12})_CloudTrail-Digest_(?P<region>[a-z]{2,8}(?:-[a-z0-9]+)+?)_.+")
LOG_NAME = re.compile(
    r"(?P<account>[0-9]{12})_CloudTrail_(?P<region>[a-z]{2,8}(?:-[a-z0-9]+)+)"
    r"_(?P<stamp>[0-9]{8}T[0-9]{4}Z)_[A-Za-z0-9]+\.json(?:\.gz)?"
)
"""The names of a trail's files; `stamp` is when one was delivered."""
_HOUR = timedelta(hours=1)
_PIECE = 1024 * 1024
_OF_FILES = ("proved", "altered", "missing", "unsigned", "not_covered")


@dataclass(frozen=True, slots=True)
class CopyValidation(DigestTally):
    """What became of a copy's log files, in numbers, and of its digests.

    `proved` are as signed digests say; `unsigned` as a digest says that nothing vouches for; `not_covered`
    are named by no digest. `windows` are the times of which all that was delivered is here and proved.
    """

    proved: int = 0
    altered: int = 0
    missing: int = 0
    unsigned: int = 0
    not_covered: int = 0
    digests: int = 0
    digests_invalid: int = 0
    digests_missing: int = 0
    windows: tuple[tuple[AccountRegion, TimeWindow], ...] = ()

    json_shape = shape(
        "well files digests problems notes",
        files=lambda record: {name: getattr(record, name) for name in _OF_FILES},
        digests=lambda record: {
            "valid": record.digests,
            "invalid": record.digests_invalid,
            "missing": record.digests_missing,
        },
    )

    @property
    def well(self) -> bool:
        """True if files were proved, and nothing is altered or missing."""
        return bool(self.proved) and not self.problems

    @property
    def summary(self) -> str:
        return (
            f"Validation: {counted(self.proved, 'log file')} proved, {self.altered:,} altered, "
            f"{self.missing:,} missing, {self.unsigned:,} as an unsigned digest says, "
            f"{self.not_covered:,} not covered; "
            f"{counted(self.digests, 'digest file')} valid, {self.digests_invalid:,} invalid, "
            f"{self.digests_missing:,} missing."
        )


def validate_copies(
    paths: Iterable[str | os.PathLike[str]], keys: PublicKeys, cancelled: Event | None = None
) -> CopyValidation:
    """Return what digests below some folders say of the log files there. Raises InterruptedRunError."""
    return _Copies(keys, cancelled).validate([os.fspath(path) for path in paths])


class _Copies:
    def __init__(self, keys: PublicKeys, cancelled: Event | None) -> None:
        self._keys = keys
        self._cancelled = cancelled
        self._logs: dict[str, list[str]] = {}
        """Where log files of a name lie, the ending .gz left out."""
        self._named: set[str] = set()

    def validate(self, paths: Sequence[str]) -> CopyValidation:
        chains: dict[str, dict[str, str]] = {}
        result = CopyValidation()
        for file in Walk(paths, (".json", ".gz"), digests=True):
            stop_if(self._cancelled)
            path = os.fsdecode(file.path)
            name = os.path.basename(path)  # noqa: PTH119  # of a million files
            if LOG_NAME.fullmatch(name):
                self._logs.setdefault(_plain(name), []).append(path)
            elif _DIGEST.fullmatch(name) and (found := DIGEST_NAME.fullmatch(f"{_plain(name)}.gz")):
                order = f"{found['backfill'] or ''}{found['stamp']}"
                chains.setdefault(found["chain"], {})[order] = path
            elif file.trouble:
                result = result.but(f"{path}: {file.trouble}")
        for name, digests in sorted(chains.items()):
            result += self._chain(name, [digests[order] for order in sorted(digests, reverse=True)])
        if not chains:
            result = result.but("There are no digest files below these folders: nothing can be proved.")
        left = sum(len(paths) for name, paths in self._logs.items() if name not in self._named)
        return result + CopyValidation(not_covered=left)

    def _chain(self, name: str, paths: Sequence[str]) -> CopyValidation:
        found = _DIGEST.fullmatch(f"{name}_")
        place = AccountRegion(found["account"], found["region"]) if found else AccountRegion("", "")
        result = CopyValidation()
        later: Digest | None = None
        keys: dict[str, RSAPublicKey] | str | None = None
        windows: list[TimeWindow] = []
        for path in paths:
            stop_if(self._cancelled)
            digest = _read_digest(path)
            if isinstance(digest, str):
                result, later = result.but(f"{path}: {digest}", digests_invalid=1), None
                continue
            if keys is None:
                keys = self._keys(place.region, *_span(paths))
                if isinstance(keys, str):
                    result = result.noting(f"{place}: no public keys, so nothing is proved: {keys}")
            backfill = "_backfill" in os.path.basename(path)  # noqa: PTH119
            digest, signed, flaw = _vouched(digest, None if backfill else later, keys)
            if flaw is not None:
                result = result + flaw
            of_files, whole = self._files(digest, signed=signed)
            result += of_files + CopyValidation(digests=int(signed))
            if signed and whole and (window := _window(digest)) is not None:
                windows.append(window)
            if not signed and flaw is None and isinstance(keys, dict):
                result = result.noting(f"{path}: no later digest vouches for it: its files are not proved.")
            if not backfill:
                later = digest
        proved = tuple((place, _settled(window)) for window in joined(windows))
        return result + CopyValidation(windows=proved)

    def _files(self, digest: Digest, *, signed: bool) -> tuple[CopyValidation, bool]:
        """Hold each log file against its hash; also whether all are here and as they were delivered."""
        files = digest.files()
        if files is None:
            return CopyValidation().but(f"{digest.key}: it names too many files."), False
        result = CopyValidation()
        for entry in files:
            stop_if(self._cancelled)
            result += self._file(entry, signed=signed)
        return result, not result.problems

    def _file(self, entry: Mapping[str, Any], *, signed: bool) -> CopyValidation:
        key = entry.get("s3Object")
        name = _plain(key.rsplit("/", 1)[-1]) if isinstance(key, str) else ""
        self._named.add(name)
        paths = self._logs.get(name, ())
        if not paths:
            return CopyValidation().but(f"{key}: it is not here.", missing=1)
        result = CopyValidation()
        for path in paths:
            hashed = _hashed(path)
            if hashed == str(entry.get("hashValue")).lower():
                result += CopyValidation(proved=int(signed), unsigned=int(not signed))
            else:
                result = result.but(f"{path}: its content was changed after delivery.", altered=1)
        return result


def _vouched(
    digest: Digest, later: Digest | None, keys: Mapping[str, RSAPublicKey] | str
) -> tuple[Digest, bool, CopyValidation | None]:
    """A digest with the signature that the one after it has of it; whether it holds; and what is wrong."""
    if later is None:
        return digest, False, None
    digest = replace(digest, signature=later.text("previousDigestSignature"))
    bucket = digest.text("digestS3Bucket")
    gap = broken(later, digest, bucket)
    if gap:
        lacks = later.text("previousDigestS3Object") != digest.key
        told = CopyValidation().but(f"{later.key}: {gap}", digests_missing=int(lacks))
        return digest, False, told
    if isinstance(keys, str):
        return digest, False, None
    flaw = wrong(digest, bucket, keys)
    told = CopyValidation().but(f"{digest.key}: {flaw}", digests_invalid=1)
    return digest, not flaw, told if flaw else None


def _plain(name: str) -> str:
    return name.removesuffix(".gz")


def _pieces(path: str) -> Iterator[bytes]:
    """A plain file's bytes, unpacked. Raises OSError and UnreadableError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableError("It is not a plain file.")
        yield from unpacked(iter(lambda: file.read(_PIECE), b""))


def _hashed(path: str) -> str:
    hashing = hashlib.sha256()
    try:
        for piece in _pieces(path):
            hashing.update(piece)
    except (OSError, UnreadableError):
        return ""
    return hashing.hexdigest()


def _read_digest(path: str) -> Digest | str:
    parts, size = [], 0
    try:
        for piece in _pieces(path):
            size += len(piece)
            if size > LARGEST:
                return "it is too large for a digest."
            parts.append(piece)
    except OSError as error:
        return why(error)
    except UnreadableError as error:
        return error.message
    digest = digest_of("", b"".join(parts), "")
    if isinstance(digest, str):
        return digest
    key = digest.text("digestS3Object")
    if _plain(key.rsplit("/", 1)[-1]) != _plain(os.path.basename(path)):  # noqa: PTH119
        return "it is another digest than its name says."
    return replace(digest, key=key)


def _span(paths: Sequence[str]) -> tuple[datetime, datetime]:
    stamps = [found["stamp"] for path in paths if (found := DIGEST_NAME.search(f"{_plain(path)}.gz"))]
    times = [datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for stamp in stamps]
    return min(times) - _HOUR, max(times) + _HOUR


def _window(digest: Digest) -> TimeWindow | None:
    try:
        first, last = (
            datetime.fromisoformat(digest.text(name)) for name in ("digestStartTime", "digestEndTime")
        )
        return TimeWindow(seconds(first), seconds(last))
    except (ValueError, TypeError):
        return None


def _settled(window: TimeWindow) -> TimeWindow:
    """The window up to when nothing of it is delivered any more."""
    return TimeWindow(window.since, window.until - int(LATE.total_seconds()))
