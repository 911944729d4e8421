"""The store of CloudTrail's events as keydeck doctor finds it: what is in it, what is missing, what to do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.event_store import look_at_event_store
from crypto_core.trail.columns import seconds
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow
from crypto_core.values.errors import EventStoreError, SettingsError
from tests.crypto_core.trail.records import NOW, event

NOBODY = 65_534
DAY = 86_400
AT = seconds(NOW)


def look(path: Path, *regions: str) -> dict[str, Check]:
    found = look_at_event_store(path, "events", lambda: regions, Event(), lambda: NOW)
    return {check.name: check for check in found}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[EventStore]:
    made = EventStore(path, clock=lambda: NOW)
    made.add([event(ago=60), event(ago=7_200)])
    yield made
    made.close()


def fetched(store: EventStore, region: str, *windows: tuple[int, int]) -> None:
    """Note what was fetched of a Region, in seconds before NOW."""
    for since, until in windows:
        PullBook(store.file).cover(PullScope("lookup", region), TimeWindow(AT - since, AT - until), AT)


def test_a_store_that_is_not_there_is_no_failure_and_is_not_made(path: Path) -> None:
    (check,) = look(path, "eu-west-1").values()
    assert check.outcome is CheckOutcome.SKIPPED
    assert str(path) in check.said
    assert "keydeck events pull" in check.remedy
    assert not path.exists()


def test_it_tells_the_file_the_events_and_what_was_fetched(store: EventStore, path: Path) -> None:
    fetched(store, "eu-west-1", (3 * DAY, 1_000), (1_000, 900))
    found = look(path, "eu-west-1")
    assert {check.outcome for check in found.values()} == {CheckOutcome.OK}
    assert str(path) in found["file"].said
    assert found["events"].said == "2 events, the newest 2026-11-25 11:59 UTC."
    assert found["fetched from eu-west-1"].said == (
        "From 2026-11-22 12:00 to 2026-11-25 11:45 UTC, without a gap."
    )


def test_looking_changes_nothing(store: EventStore, path: Path) -> None:
    fetched(store, "eu-west-1", (DAY, 900))
    store.close()
    path.chmod(0o644)
    before = path.read_bytes()
    found = look(path, "eu-west-1")
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert found["file"].outcome is CheckOutcome.WARNING
    assert found["file"].remedy == f"chmod 600 {path}"


def test_a_gap_is_told_with_the_pull_that_closes_it(store: EventStore, path: Path) -> None:
    fetched(store, "eu-west-1", (9 * DAY, 8 * DAY), (6 * DAY, 5 * DAY), (2 * DAY, 900))
    check = look(path, "eu-west-1")["fetched from eu-west-1"]
    assert check.outcome is CheckOutcome.WARNING
    assert "the last of 2 gaps is from 2026-11-20 12:00 to 2026-11-23 12:00 UTC" in check.said
    assert check.remedy == (
        "keydeck events pull --region eu-west-1 --since 2026-11-20T12:00:00+00:00"
        " --until 2026-11-23T12:00:00+00:00"
    )


def test_what_is_long_ago_and_what_was_never_fetched_are_warnings(store: EventStore, path: Path) -> None:
    fetched(store, "eu-west-1", (9 * DAY, 2 * DAY))
    fetched(store, "eu-north-1", (DAY, 900))
    found = look(path, "eu-west-1", "us-east-1")
    old, never = found["fetched from eu-west-1"], found["fetched from us-east-1"]
    assert old.outcome is never.outcome is CheckOutcome.WARNING
    assert "2 days behind" in old.said
    assert never.said.startswith("No events fetched yet")
    assert never.remedy == "keydeck events pull --region us-east-1"
    # What was fetched counts, whether a key is known there or not.
    assert found["fetched from eu-north-1"].outcome is CheckOutcome.OK


def test_an_empty_store_says_how_to_fill_it(store: EventStore, path: Path) -> None:
    store.close()
    path.unlink()
    EventStore(path).state()
    found = look(path)
    assert found["events"].outcome is CheckOutcome.WARNING
    assert "keydeck events import" in found["events"].remedy


@pytest.mark.parametrize("content", [b"my notes " * 500, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_file_is_told_with_what_to_do_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    (check,) = look(path).values()
    assert check.outcome is CheckOutcome.FAILED
    assert "damaged, or no event store" in check.said
    assert "Move it away" in check.remedy
    assert path.read_bytes() == content


def test_a_store_whose_pages_are_overwritten_is_damaged(store: EventStore, path: Path) -> None:
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4_096] + b"\xff" * (len(whole) - 4_096))
    (check,) = look(path).values()
    assert check.outcome is CheckOutcome.FAILED
    assert "damaged" in check.said


def test_a_file_that_was_never_filled_and_a_link_are_told(path: Path, tmp_path: Path) -> None:
    path.touch(0o600)
    assert "never filled" in look(path)["file"].said
    link = tmp_path / "link.sqlite"
    link.symlink_to(path)
    found = look(link)["file"]
    assert "not a plain file of yours" in found.said
    assert "KEYDECK_EVENTS_FILE" in found.remedy


def test_without_a_region_the_rest_is_told(store: EventStore, path: Path) -> None:
    fetched(store, "eu-west-1", (DAY, 900))

    def regions() -> tuple[str, ...]:
        raise SettingsError("No AWS Region is configured.", remedy="Set AWS_REGION.")

    looked = look_at_event_store(path, "events", regions, Event(), lambda: NOW)
    found = {check.name: check for check in looked}
    assert found["Regions"].outcome is CheckOutcome.UNKNOWN
    assert found["fetched from eu-west-1"].outcome is CheckOutcome.OK


@pytest.fixture
def mine() -> Iterator[Path]:
    """A folder of somebody who is not root; the test is that user's if it is run by root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="events-", dir="/tmp") as folder:
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o700)


@pytest.mark.parametrize(
    ("name", "mode", "says"),
    [
        ("events.sqlite", 0o000, "can't be opened"),
        ("events.sqlite", 0o200, "can't be opened"),
        ("", 0o000, "its folder"),
    ],
)
def test_a_file_that_may_not_be_read_is_told_with_what_to_do(
    mine: Path, name: str, mode: int, says: str
) -> None:
    path = mine / "events.sqlite"
    kept = EventStore(path)
    kept.add([event()])
    kept.close()
    (mine / name).chmod(mode)
    (check,) = look(path).values()
    assert check.outcome is CheckOutcome.FAILED
    assert says in check.said
    assert f"chmod u+rw {path}" in check.remedy


def test_a_file_that_may_only_be_read_is_told_with_what_to_do(mine: Path) -> None:
    path = mine / "events.sqlite"
    kept = EventStore(path)
    kept.add([event()])
    kept.close()
    path.chmod(0o400)
    found = look(path)
    assert found["file"].outcome is CheckOutcome.WARNING
    assert found["file"].remedy == f"chmod u+w {path}"
    assert found["events"].said.startswith("1 event,")
    with pytest.raises(EventStoreError, match="you may not read and write it"):
        EventStore(path).add([event()])
