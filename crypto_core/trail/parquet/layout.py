"""How a copy of events in Parquet lies in its folder: account=…/region=…/day=…/events.parquet, as in Hive.

What stands in a folder's name is not in the files. A copy says in _keydeck.json what it is of; readers of
Hive's tables pass over names that begin so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crypto_core.errors import TrailError
from crypto_core.text.clean_text import clean
from crypto_core.trail.columns import marks, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.record_reader import load_foreign

if TYPE_CHECKING:
    import duckdb

FORMAT = 1
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
    if mark.format != FORMAT:
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
