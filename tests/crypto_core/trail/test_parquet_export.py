"""A copy of the store in Parquet: every event as it is, each partition whole or as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from crypto_core.trail.columns import marks, seconds
from crypto_core.trail.event import UNDATED, TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.parquet import export
from crypto_core.trail.parquet.export import FILES, MARK, NOTHING, NoCopyError, export_events, read_mark
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import TrailError
from tests.crypto_core.trail.records import NOW, OTHER_KEY, context, denied, read, record
from tests.crypto_core.trail.sources.hostile import hostile


def rows(folder: Path, wanted: str = "*") -> list[dict[str, Any]]:
    """What DuckDB reads of a copy."""
    types = "hive_types = {'account': VARCHAR, 'region': VARCHAR, 'day': VARCHAR}"
    found = duckdb.sql(
        f"SELECT {wanted} FROM read_parquet('{folder / FILES}', hive_partitioning = true, {types})"
    )
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


EVENTS = (
    *(read(record(ago=timedelta(hours=7 * n), context=context(f"gh-{n}"))) for n in range(8)),
    read(denied(key=OTHER_KEY)),
    read(record(awsRegion="us-east-1", recipientAccountId="999988887777")),
    read(record(eventTime=None)),
    read(record(awsRegion="../../x'y %2F=", recipientAccountId=None, who={})),
    *filter(None, map(read_record, hostile()[::9])),
)


def test_every_event_is_in_the_copy_with_all_its_fields(store: EventStore, tmp_path: Path) -> None:
    store.add(EVENTS)
    folder = tmp_path / "copy"
    report = export_events(store, folder, at=NOW)
    once: dict[str, TrailEvent] = {}
    for event in EVENTS:
        once.setdefault(event.event_id, event)
    assert report.events == len(once)
    found = {row["event_id"]: row for row in rows(folder)}
    assert set(found) == set(once)
    for event_id, event in once.items():
        row = found[event_id]
        # Older versions of DuckDB read Hive's word for no value.
        texts = {name: "" if row[name] in (None, NOTHING) else row[name] for name in EVENT_FIELDS}
        assert texts == {name: field.text(event) for name, field in EVENT_FIELDS.items()}
        assert (row["epoch"], row["marks"]) == (seconds(event.time), marks(event))
        assert row["raw"].encode() == event.raw
        assert row["time"] == (None if event.time == UNDATED else event.time.replace(tzinfo=None))
        assert row["day"] == f"{event.time:%Y-%m-%d}".rjust(10, "0")
    # Nothing lies outside, and nothing of the work is left.
    assert {path.name for path in tmp_path.iterdir()} >= {"copy"}
    assert {path.name.partition("=")[0] for path in folder.iterdir()} == {"account", MARK}
    assert not (tmp_path / "x'y %2F=").exists()


def test_a_copy_is_written_anew_and_of_its_filter_alone(store: EventStore, tmp_path: Path) -> None:
    store.add(EVENTS[:3])
    folder = tmp_path / "copy"
    assert export_events(store, folder, "name:Decrypt", at=NOW).events == 3
    store.add(EVENTS[3:9])
    assert export_events(store, folder, "name:Decrypt", at=NOW).events == 9
    assert read_mark(folder).filter == "name:Decrypt"
    assert len(rows(folder)) == 9
    with pytest.raises(NoCopyError, match="another filter"):
        export_events(store, folder, at=NOW)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(NoCopyError, match="other files"):
        export_events(store, tmp_path / "full", at=NOW)
    (folder / MARK).write_text(json.dumps({"filter": "", "written": "x", "format": 99}))
    with pytest.raises(NoCopyError, match="another version"):
        export_events(store, folder, at=NOW)


@pytest.mark.parametrize("early", ["cancelled", "full"])
def test_what_ends_early_leaves_each_partition_whole(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: str
) -> None:
    store.add(EVENTS[:8])
    folder = tmp_path / "copy"
    export_events(store, folder, at=NOW)
    before = files(folder)
    store.add([read(record(ago=timedelta(hours=7 * n + 1))) for n in range(8)])
    cancelled = Event()
    replace: Callable[..., None] = export.os.replace
    written = 0

    def ending(source: Path, target: Path) -> None:
        nonlocal written
        if target.name == MARK:
            return replace(source, target)
        if early == "full" and written == 1:
            raise OSError(28, "No space left on device")
        replace(source, target)
        written += 1
        if early == "cancelled":
            cancelled.set()
        return None

    monkeypatch.setattr(export.os, "replace", ending)
    monkeypatch.setattr(export, "_PAGE", 1)
    if early == "full":
        with pytest.raises(TrailError, match="No space left on device"):
            export_events(store, folder, at=NOW)
    else:
        assert export_events(store, folder, at=NOW, cancelled=cancelled).interrupted
    monkeypatch.undo()
    after = files(folder)
    assert sum(after[name] != before[name] for name in before) == 1
    assert len(rows(folder)) > 8
    assert not list(folder.glob("_keydeck-*"))
    assert export_events(store, folder, at=NOW).events == len(rows(folder)) == 16
