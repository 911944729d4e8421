"""The store of CloudTrail's events: can it be used, what is in it, up to when was all of it fetched."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from crypto_core.diagnosis.check import Check, Clock, Topic, system_clock
from crypto_core.lists.paging import Query
from crypto_core.trail.columns import moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, TimeWindow, joined
from crypto_core.values.counts import counted
from crypto_core.values.errors import EventStoreError, KmsError, SettingsError
from crypto_core.values.key_names import AccountRegion

STALE = timedelta(days=1)
"""So far behind the present the rules about CloudTrail's events, which look at the last day, are blind."""

_FILL = "Fill it: keydeck events pull, or keydeck events import PATH."


def look_at_event_store(
    path: Path, area: str, regions_of: Callable[[], Sequence[str]], stop: Event, clock: Clock = system_clock
) -> Iterator[Check]:
    """Yield the checks of the store. Neither makes nor changes it.

    `regions_of` gives the Regions that keys are used in; it may raise SettingsError.
    """
    file = Topic(area, "file")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        yield file.skipped(f"{path}: not there yet.", _FILL)
        return
    except OSError:
        mode = 0  # opening it says why
    store = EventStore(path, read_only=True, clock=clock)
    try:
        events = store.summary("", cancelled=stop).events
        newest = [
            row.event for row in store.page(Query(sort="time", descending=True), limit=1, cancelled=stop).rows
        ]
        covered = PullBook(store.file).covered()
    except EventStoreError as error:
        yield file.failed_by(error)
        return
    finally:
        store.close()
    yield _file(file, path, mode, store.file.bytes)
    yield _events(Topic(area, "events"), events, newest)
    try:
        regions = tuple(regions_of())
    except (KmsError, SettingsError) as error:
        yield Topic(area, "Regions").unknown_by(error)
        regions = ()
    fetched = {one.region for one in covered}
    for one in (*(AccountRegion("", r) for r in dict.fromkeys(regions) if r not in fetched), *covered):
        topic = Topic(area, f"fetched from {one}")
        yield _fetched(topic, one.region, covered.get(one, []), clock())


def _file(file: Topic, path: Path, mode: int, size: int) -> Check:
    said = f"{path}, {size / 1_000_000:,.1f} MB."
    if not mode & stat.S_IWUSR:
        said += " You may not write it: nothing new is kept."
        return file.warning(said, f"chmod u+w {path}")
    if stat.S_IMODE(mode) & 0o077:
        said += " Others on this machine may open it."
        return file.warning(said, f"chmod 600 {path}")
    return file.ok(said)


def _events(topic: Topic, events: int, newest: Sequence[TrailEvent]) -> Check:
    if not newest:
        return topic.warning("None.", _FILL)
    when = f"{newest[0].time:%Y-%m-%d %H:%M} UTC" if newest[0].dated else "without a date"
    return topic.ok(f"{counted(events, 'event')}, the newest {when}.")


def _fetched(topic: Topic, region: str, windows: Sequence[TimeWindow], now: datetime) -> Check:
    pull = f"keydeck events pull --region {region}"
    if not windows:
        said = "No events fetched yet; only imported files are known."
        return topic.warning(said, pull)
    whole = joined(windows)
    said = f"From {_at(whole[0].since)} to {_at(whole[-1].until)} UTC"
    if len(whole) > 1:
        first, second = whole[-2], whole[-1]
        gap = f"{_at(first.until)} to {_at(second.since)} UTC"
        since, until = (moment(second).isoformat() for second in (first.until, second.since))
        said += f", but not all: the last of {counted(len(whole) - 1, 'gap')} is from {gap}."
        return topic.warning(said, f"{pull} --since {since} --until {until}")
    behind = now - moment(whole[-1].until)
    if behind > STALE:
        return topic.warning(f"{said}, {behind.days:,} days behind.", pull)
    return topic.ok(f"{said}, without a gap.")


def _at(second: int) -> str:
    return f"{moment(second):%Y-%m-%d %H:%M}"
