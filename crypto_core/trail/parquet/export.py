"""Writes events of the store as a copy in Parquet: each partition as a whole, or as it was before.

It lies in its folder as account=…/region=…/day=…/events.parquet, as in Hive. What stands in a folder's name
is not in the files. A copy says in _keydeck.json what it is of; readers of Hive's tables pass over names that
begin so. The events come in the order of time, so that no more than one day's lie in files for the time
being. DuckDB (extra `lake`) makes Parquet of them; nothing of an event becomes SQL, and nothing is fetched
from elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import orjson

from crypto_core.lists.paging import Query, pages_of
from crypto_core.trail.columns import marks, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.record_reader import load_foreign
from crypto_core.trail.store import EventStore
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError, TrailError
from crypto_core.values.json_records import JsonRecord, shape

if TYPE_CHECKING:
    import duckdb

_BEFORE = 17
FORMAT = len(EVENT_FIELDS) - _BEFORE
"""One more with each field of events; the first has 18. A copy of an older one lacks the younger fields."""
MARK = "_keydeck.json"
FILES = "account=*/region=*/day=*/events.parquet"
NAME = "events.parquet"
PARTITIONS = ("account", "region", "day")
NOTHING = "__HIVE_DEFAULT_PARTITION__"
_LARGEST_MARK = 1024 * 1024

TEXTS = tuple(name for name in EVENT_FIELDS if name not in PARTITIONS)
"""The fields of events that are columns of text, "" for nothing."""
COLUMNS = {
    "event_id": "VARCHAR",
    "epoch": "BIGINT",
    "marks": "INTEGER",
    **dict.fromkeys(TEXTS, "VARCHAR"),
    "raw": "VARCHAR",
}
"""A file's columns with their types: `epoch` is in seconds since 1970, `marks` are of EventProperty, `raw` is
the record as the store has it. Beside them stands `time`, which is `epoch` as a timestamp in UTC."""


class NoCopyError(TrailError, remedy="Make one with: keydeck events export --parquet DIR"):
    """A folder is no copy of events, or another one than is meant."""


@dataclass(frozen=True, slots=True)
class CopyMark:
    """What a copy is of: the filter that its events pass, and when it was written last."""

    filter: str
    written: str
    format: int = FORMAT

    @property
    def lacks(self) -> frozenset[str]:
        return frozenset(name for name, one in EVENT_FIELDS.items() if one.kind > self.format + _BEFORE)

    @property
    def told(self) -> str:
        of = f" of the filter {clean(self.filter, 200)}" if self.filter else ""
        when = clean(self.written, 40)
        return f"A copy in Parquet{of}, written {when}: what the store got later is not in it."


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The events of one day in one account's Region; "" is none."""

    day: str
    account: str
    region: str

    @property
    def path(self) -> str:
        account, region = (quote(text, safe="") if text else NOTHING for text in (self.account, self.region))
        return f"account={account}/region={region}/day={self.day}"


def partition_of(event: TrailEvent) -> Partition:
    """Return where an event belongs. One that tells no time is of the first day that there is."""
    return Partition(f"{event.time.astimezone(UTC):%Y-%m-%d}".rjust(10, "0"), event.account, event.region)


def row_of(event: TrailEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "epoch": seconds(event.time),
        "marks": int(marks(event)),
        **{name: EVENT_FIELDS[name].text(event) for name in TEXTS},
        "raw": event.raw.decode("utf-8", "replace"),
    }


def read_mark(folder: Path) -> CopyMark:
    """Return what a copy is of. Raises NoCopyError."""
    try:
        with (folder / MARK).open("rb") as file:
            found = load_foreign(file.read(_LARGEST_MARK))
        mark = CopyMark(str(found["filter"]), str(found["written"]), int(found["format"]))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise NoCopyError(f"{clean(str(folder), 300)} is no copy of events in Parquet.") from error
    if not 0 < mark.format <= FORMAT:
        raise NoCopyError(f"{clean(str(folder), 300)} was written by another version of Keydeck.")
    return mark


def write_mark(folder: Path, filter_: str, at: datetime) -> None:
    """Write what a copy is of. Raises OSError."""
    mark: Mapping[str, Any] = asdict(CopyMark(filter_, at.astimezone(UTC).isoformat(timespec="seconds")))
    new = folder / f"{MARK}.new"
    new.write_text(json.dumps(mark), encoding="utf-8")
    os.replace(new, folder / MARK)  # noqa: PTH105  # atomic, as elsewhere


def connected(scratch: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a new database in memory; what doesn't fit there goes to `scratch`, with None nowhere.

    It loads no extension, reads no settings and asks no network.
    """
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "temp_directory": str(scratch) if scratch is not None else "",
            "preserve_insertion_order": "false",
        },
    )


_PAGE = 1_000
_HELD = 1024 * 1024
"""Bytes of a partition's rows that are held before they are written."""
_MOST_ROW = 64 * 1024 * 1024
"""Bytes of one row at most."""
_WRITE = (
    "COPY (SELECT *, CASE WHEN epoch >= -62135510400 THEN make_timestamp(epoch * 1000000) END AS time "
    "FROM read_json($rows, format = 'newline_delimited', columns = $columns, maximum_object_size = $most) "
    "ORDER BY epoch, event_id) TO '{}' (FORMAT parquet, COMPRESSION zstd)"
)
"""The first day that there is stands for no time. The place is a folder of ours, with a name of ours."""


@dataclass(frozen=True, slots=True)
class ExportReport(JsonRecord):
    """What an export wrote. `interrupted` is True where it ended early: later days are as they were."""

    events: int
    partitions: int
    days: int
    interrupted: bool = False

    json_shape = shape("events partitions days complete", complete=lambda record: not record.interrupted)


def export_events(
    store: EventStore,
    folder: Path,
    expression: str = "",
    *,
    at: datetime,
    progress: Callable[[int], None] | None = None,
    cancelled: Event | None = None,
) -> ExportReport:
    """Write the events that pass a filter below a folder; `at` is the time it is.

    A folder that has a copy of the same filter gets its days anew. Raises NoCopyError for one that holds
    anything else, EventStoreError, TrailError where files can't be written, and InvalidFilterError.
    """
    counts: Counter[Partition] = Counter()
    interrupted = False
    try:
        _prepare(folder, expression)
        with _Days(folder) as days:
            try:
                for event in _events(store, expression, cancelled):
                    counts[days.put(event)] += 1
                    if progress is not None and not counts.total() % _PAGE:
                        progress(counts.total())
                days.finish()
            except InterruptedRunError:
                interrupted = True
        write_mark(folder, expression, at)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TrailError(f"The copy can't be written below {clean(str(folder), 300)}: {reason}") from error
    written = {one: number for one, number in counts.items() if one in days.written}
    return ExportReport(
        sum(written.values()), len(written), len({one.day for one in written}), interrupted=interrupted
    )


def _events(store: EventStore, expression: str, cancelled: Event | None) -> Iterator[TrailEvent]:
    query = Query(expression, "time", descending=False)
    for page in pages_of(store, query, size=_PAGE, cancelled=cancelled):
        stop_if(cancelled)
        for stored in page:
            yield stored.event


def _prepare(folder: Path, expression: str) -> None:
    """Make a folder, or see that it is a copy of the same filter. Raises NoCopyError and OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MARK).exists():
        mark = read_mark(folder)
        if mark.filter != expression or mark.lacks:
            of = "by an older version of Keydeck" if mark.lacks else "of another filter"
            raise NoCopyError(f"{clean(str(folder), 300)} is a copy {of}.", remedy="Name another folder.")
    elif any(folder.iterdir()):
        raise NoCopyError(
            f"{clean(str(folder), 300)} holds other files.", remedy="Name an empty folder, or a new one."
        )
    write_mark(folder, expression, datetime.fromtimestamp(0, UTC))


class _Days:
    """Rows of the day that is being read, a file a partition; used as a context. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.written: set[Partition] = set()
        self._folder = folder
        self._held: dict[Partition, bytearray] = {}
        self._files: dict[Partition, Path] = {}
        self._day = ""

    def __enter__(self) -> Self:
        self._scratch = Path(tempfile.mkdtemp(prefix="_keydeck-", dir=self._folder))
        self._duck: duckdb.DuckDBPyConnection = connected(self._scratch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._duck.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def put(self, event: TrailEvent) -> Partition:
        """Take an event, none of which is of an earlier day than the one before; return where it belongs."""
        partition = partition_of(event)
        if partition.day != self._day:
            self.finish()
            self._day = partition.day
        held = self._held.setdefault(partition, bytearray())
        held += orjson.dumps(row_of(event), option=orjson.OPT_APPEND_NEWLINE)
        if len(held) > _HELD:
            self._write(partition)
        return partition

    def finish(self) -> None:
        for partition in list(self._held):
            self._write(partition)
            rows = self._files.pop(partition)
            made = self._scratch / NAME
            place = self._folder / partition.path
            self._convert(rows, made)
            place.mkdir(parents=True, exist_ok=True)
            os.replace(made, place / NAME)  # noqa: PTH105  # at once: whoever reads sees the old one or the new
            rows.unlink()
            del self._held[partition]
            self.written.add(partition)

    def _write(self, partition: Partition) -> None:
        path = self._files.setdefault(partition, self._scratch / f"{len(self._files)}.jsonl")
        held = self._held[partition]
        with path.open("ab") as file:
            file.write(held)
        held.clear()

    def _convert(self, rows: Path, made: Path) -> None:
        import duckdb

        wanted = {"rows": str(rows), "columns": COLUMNS, "most": _MOST_ROW}
        try:
            self._duck.execute(_WRITE.format(str(made).replace("'", "''")), wanted)
        except duckdb.Error as error:
            raise TrailError(f"DuckDB could not write a partition: {clean(str(error), 300)}") from error
