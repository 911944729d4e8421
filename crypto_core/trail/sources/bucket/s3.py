"""Events from the trail's bucket: all that it delivered, of all Regions and accounts.

Only the days that are asked for are listed, and two before: a file that was read is remembered by its key and
its content's ETag, so that one which arrives late is read when it comes. Nothing is skipped by the order of
names. A file that can't be read, or not all of it, is tried again by every pull of its days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock

from crypto_core.aws.kms import KmsApi
from crypto_core.trail.columns import seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import OversizeDocumentError, load_foreign, read_records
from crypto_core.trail.sources.bucket.objects import BrokenObjectError, Bucket, Listed, unpacked
from crypto_core.trail.sources.bucket.places import FILES, Folder, TrailBucket, delivered, folders
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.trail.sources.pull_query import ReadRecords, kept_of, settled
from crypto_core.trail.sources.report import PullRun
from crypto_core.trail.sources.source_calls import side_by_side, why
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow, object_name
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import AccountRegion

THREADS = 8
_READING = Lock()
_AT_ONCE = 2_000
"""Events that are collected before they are stored: small files share a transaction."""
_FILES_AT_ONCE = 500
_LATE_DAYS = 2
"""Days before the window in whose folders files are looked for that came late."""
_CLOCKS = timedelta(hours=1)


_Wanted = tuple[Listed, bytes]


@dataclass(frozen=True, slots=True)
class BucketSource:
    """The files of trails. Thread-safe."""

    kms: KmsApi
    store: EventStore
    book: PullBook
    clock: Callable[[], datetime]

    def covered_until(self, region: str, scope: str, place: str | None) -> int | None:
        """Return up to when a Region's events are whole, of all accounts, in one place or, None, in all."""
        whichever = ("account",) if place else ("account", "place")
        return self.book.covered_until(PullScope("s3", region, scope, place or ""), whichever=whichever)

    def pull_events(
        self, pull: PullRun, place: TrailBucket, regions: Iterable[str]
    ) -> tuple[AccountRegion, ...]:
        """Read new files of a window in `regions` (none: all); return the Regions found. Raises KmsError."""
        only, began = frozenset(regions), self.clock()
        bucket = Bucket(self.kms, place.region, place.bucket)
        found = [f for f in folders(bucket, place, FILES, pull.cancelled) if not only or f.region in only]
        trouble: set[AccountRegion] = set()
        if not found and not place.regions:
            pull.tally.gap(f"{place}: there are no folders of CloudTrail's below AWSLogs/.")
        for folder in found:
            if not self._folder(bucket, place, folder, pull):
                trouble.add(folder.of)
        records = {AccountRegion(place.account, region) for region in place.regions & (only or place.regions)}
        there = {folder.of for folder in found} | records
        # Where a trail is known, so is what it records; a folder besides may be another trail's.
        if place.trail:
            records |= {one for one in there if place.organisation and one.region in place.regions}
        whole = (records if place.trail else there) if place.whole else set()
        window = settled(pull.asked.window, began)
        if place.begins:
            window = TimeWindow(max(window.since, seconds(place.begins)), window.until)
        for one in sorted(whole - trouble):
            scope = PullScope("s3", one.region, pull.asked.scope, str(place), one.account)
            self.book.cover(scope, window, seconds(self.clock()))
            if place.whole_of_buckets:
                self._cover_buckets(pull, scope, window)
        return tuple(sorted(there))

    def _cover_buckets(self, pull: PullRun, run: PullScope, window: TimeWindow) -> None:
        """Changes of a bucket are in the files of its own account's Region."""
        for bucket in pull.asked.buckets:
            if bucket.located and (bucket.account, bucket.region) == (run.account, run.region):
                for name in bucket.names:
                    scope = bucket.scope(name, run.scope)
                    self.book.cover(replace(run, scope=scope), window, seconds(self.clock()))

    def _folder(self, bucket: Bucket, place: TrailBucket, folder: Folder, pull: PullRun) -> bool:
        tally, cancelled = pull.tally, pull.cancelled
        where, complete, unanswered = f"{folder.account} {folder.region}", True, 0
        kept: list[TrailEvent] = []
        read: list[tuple[bytes, int]] = []

        def write() -> None:
            added = self.store.add(kept)
            self.book.remember(read)
            tally.count(where, added=added, reached=max((e.time for e in kept if e.dated), default=None))
            kept.clear()
            read.clear()

        try:
            wanted = self._wanted(bucket, folder, pull)
            for (listed, known_as), result in side_by_side(
                lambda one: self._read(bucket, one, pull), wanted, threads=THREADS, cancelled=cancelled
            ):
                name = f"s3://{bucket.name}/{clean(listed.key, 300)}"
                if isinstance(result, errors.KeydeckError):
                    complete = False
                    unanswered = unanswered + 1 if isinstance(result, errors.KmsUnreachableError) else 0
                    if unanswered > THREADS:
                        raise result
                    tally.gap(f"{name}: {why(result)}")
                    tally.count(where, pages=1)
                    continue
                unanswered = 0
                kept.extend(result.kept)
                if result.unreadable:
                    complete = False
                    tally.gap(f"{name}: {result.unreadable:,} records can't be read.")
                else:
                    read.append((known_as, seconds(listed.written)))
                tally.count(where, pages=1, records=result.records)
                if len(kept) >= _AT_ONCE or len(read) >= _FILES_AT_ONCE:
                    write()
            write()
        except (errors.CredentialsError, errors.InterruptedRunError):
            write()
            raise
        except errors.KmsError as error:
            write()
            tally.gap(f"{place}: {where}: {why(error)}")
            return False
        return complete

    def _wanted(self, bucket: Bucket, folder: Folder, pull: PullRun) -> Iterator[_Wanted]:
        oldest = pull.asked.since - _CLOCKS
        found = delivered(bucket, folder.path, pull.asked, before=_LATE_DAYS, cancelled=pull.cancelled)
        # What was written before the window began can't hold its events.
        listed = (one for one in found if one.written >= oldest and not one.key.endswith("/"))
        while some := list(islice(listed, 1_000)):
            names = [object_name(pull.asked.scope_of_files, one.bucket, one.key, one.etag) for one in some]
            there = self.book.known(names)
            yield from (wanted for wanted in zip(some, names, strict=True) if wanted[1] not in there)

    def _read(
        self, bucket: Bucket, wanted: _Wanted, pull: PullRun
    ) -> ReadRecords | errors.KmsError | BrokenObjectError:
        try:
            content = bucket.read_object(wanted[0].key, pull.cancelled)
            # One at a time: unpacked, and as objects of Python, a file takes many times its size.
            with _READING:
                return kept_of(
                    read_records(records_of(load_foreign(unpacked(content.body)))), pull.asked.wants
                )
        except errors.CredentialsError:
            raise
        except (BrokenObjectError, errors.KmsError) as error:
            return error
        except OversizeDocumentError as error:
            return BrokenObjectError(f"{error}.")
        except ValueError as error:
            return BrokenObjectError(f"it is not JSON ({clean(error, 100)}).")
