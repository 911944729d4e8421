"""What an import of files tells, meanwhile and at its end, and which times it covers.

Names tell when files were delivered, not that none is missing: what they tell is kept in a scope of its own,
which counts as covered nowhere. What signed digests prove is covered as if it came from the bucket. Of a
folder that grows, only the time since the files that were known before is covered anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from crypto_core.trail.columns import seconds
from crypto_core.trail.seen_file import FileName
from crypto_core.trail.sources.files.copied_digests import LOG_NAME, CopyValidation
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store.pulls import BY_FILE_NAMES, KMS_EVENTS, PullBook, PullScope, TimeWindow
from crypto_core.values.clean_text import CleanText
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import AccountRegion

_SOURCE = "import"
_LATE = int(LATE.total_seconds())


@dataclass(slots=True)
class NamedFiles:
    """The trail's files that an import came across, by their names."""

    _new: dict[AccountRegion, TimeWindow] = field(default_factory=dict)
    _known: dict[AccountRegion, list[int]] = field(default_factory=dict)
    _failed: set[AccountRegion] = field(default_factory=set)

    def note(self, path: FileName, *, known: bool = False) -> None:
        """Note a file that was read; `known` if an earlier import did."""
        if (named := _named(path)) is None:
            return
        place, at = named
        if known:
            self._known.setdefault(place, []).append(at)
            return
        span = self._new.get(place, TimeWindow(at, at))
        self._new[place] = TimeWindow(min(span.since, at), max(span.until, at))

    def fail(self, path: FileName) -> None:
        """Note a file that could not be read: nothing is said of its account's Region."""
        if (named := _named(path)) is not None:
            self._failed.add(named[0])

    def knew(self, place: AccountRegion) -> bool:
        return place in self._known

    def windows(self) -> dict[AccountRegion, TimeWindow]:
        """Return the times that the new files are of, those that came right before them included."""
        found = {}
        for place, span in sorted(self._new.items()):
            before = max((at for at in self._known.get(place, ()) if at <= span.since), default=None)
            since = span.since if before is None else before - _LATE
            if place not in self._failed and since < span.until - _LATE:
                found[place] = TimeWindow(since, span.until - _LATE)
        return found


def cover_by_names(book: PullBook, named: NamedFiles, at: datetime) -> None:
    """Note what was imported by the names of files. Raises EventStoreError."""
    for place, window in named.windows().items():
        book.cover(PullScope(_SOURCE, place.region, BY_FILE_NAMES, "", place.account), window, seconds(at))


def cover_proved(
    book: PullBook, validation: CopyValidation, named: NamedFiles, at: datetime
) -> tuple[tuple[AccountRegion, TimeWindow], ...]:
    """Note and return what digests prove of the time of imported files. Raises EventStoreError."""
    brought = named.windows()
    found = []
    for place, proved in validation.windows:
        if place not in brought:
            continue
        since = max(proved.since, brought[place].since) if named.knew(place) else proved.since
        window = TimeWindow(since, proved.until)
        if window.since <= window.until:
            book.cover(PullScope(_SOURCE, place.region, KMS_EVENTS, "", place.account), window, seconds(at))
            found.append((place, window))
    return tuple(found)


def as_json(windows: Iterable[tuple[AccountRegion, TimeWindow]]) -> list[dict[str, str]]:
    return [
        {
            "account": place.account,
            "region": place.region,
            "since": datetime.fromtimestamp(window.since, UTC).isoformat(),
            "until": datetime.fromtimestamp(window.until, UTC).isoformat(),
        }
        for place, window in windows
    ]


def _named(path: FileName) -> tuple[AccountRegion, int] | None:
    found = LOG_NAME.fullmatch(os.path.basename(path).decode("utf-8", "replace"))  # noqa: PTH119
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found["stamp"])
    except ValueError:
        return None
    return AccountRegion(found["account"], found["region"]), seconds(at)


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands. `of` is how many files there were to begin with."""

    files: int
    of: int
    records: int
    new: int


@dataclass(frozen=True, slots=True)
class FailedFile(JsonRecord):
    file: CleanText
    reason: CleanText


@dataclass(frozen=True, slots=True)
class ImportReport(JsonRecord):
    """What an import brought.

    `files` are CloudTrail's files that were found, those that failed and those that are unchanged included;
    `records` the events in them, `kms` those of KMS. `duplicates` were in the store already, or came twice.
    """

    files: int = 0
    records: int = 0
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    failed: tuple[FailedFile, ...] = ()
    unchanged: int = 0
    digests: int = 0
    insights: int = 0
    others: int = 0
    """Files in folders that were left out: hidden ones, and those with another suffix."""
    interrupted: bool = False
    named: NamedFiles = field(default_factory=NamedFiles, compare=False, repr=False)

    json_shape = shape(
        "files records new duplicates kms failed by_file_names",
        by_file_names=lambda report: as_json(report.named.windows().items()),
    )
