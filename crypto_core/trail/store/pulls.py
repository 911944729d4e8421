"""What was fetched, kept beside the events: covered windows, pulls to go on with, and files that were read.

Times are in seconds since 1970, UTC. What an interrupted pull needs to go on is written after every page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from crypto_core.trail.bucket_calls import bucket_arn
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.schema import chunks, numbers, table_by_key, texts
from crypto_core.values.key_names import AccountRegion

KMS_EVENTS, ALL_EVENTS = "kms", ""
"""The scopes that hold all that KMS recorded; any other is a filter's expression."""
_OF_BUCKET = "bucket of a trail"
_FOLLOWED = 0
"""The second that a bucket counts as covered for, so that it is known before anything of it was fetched."""
BY_FILE_NAMES = "import: by file names"
"""The scope of files that were imported and whose names alone tell the time that they are of."""

_AT_ONCE = 500

_RUN = ("source", "place", "account", "region", "scope")
"""The columns that name one run."""

pulled = table_by_key("pulled", *texts(*_RUN, key=True), *numbers("since", key=True), *numbers("until", "at"))
"""Windows that were fetched as a whole, no two of one run overlapping."""

unfinished = table_by_key(
    "unfinished_pull",
    *texts(*_RUN, key=True),
    *numbers("since", "until"),
    *texts("token"),
    *numbers("reached", "at"),  # when its newest page was asked for
)
"""Where an interrupted pull is to go on: its frozen window, and the token of the next page."""

read_object = table_by_key("read_object", sa.Column("name", sa.LargeBinary, primary_key=True), *numbers("at"))
"""The objects of buckets that were read, by the hash of scope, bucket, key and ETag; `at` is when written."""


@dataclass(frozen=True, slots=True)
class PullScope:
    """Events of one scope in an account's Region ("": unknown account); `place` is a bucket or a table."""

    source: str
    region: str
    scope: str = KMS_EVENTS
    place: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Seconds from `since` up to `until`, both included."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An interrupted pull: pages go back in time to `reached` from the newest, asked for when it `began`."""

    window: TimeWindow
    token: str
    reached: int
    began: int


@dataclass(frozen=True, slots=True)
class DeliveryBucket:
    """A bucket that a trail delivers to or did; unless `located`, its Region is only the trail's."""

    name: str
    region: str
    account: str
    located: bool = True

    @property
    def names(self) -> tuple[str, str]:
        return self.name, bucket_arn(self.name, self.region)

    def scope(self, name: str, of: str = KMS_EVENTS) -> str:
        return f"{_OF_BUCKET} {name} {of}"


class PullBook:
    """What was fetched so far. Thread-safe; every call may block. Raises EventStoreError."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def cover(self, run: PullScope, window: TimeWindow, at: int, *, going_on: bool = False) -> None:
        """Note that a window was fetched as a whole; unless `going_on`, no interrupted pull stays."""
        with self._file.writing() as connection:
            if not going_on:
                connection.execute(sa.delete(unfinished).where(_of(unfinished, run)))
            if window.since <= window.until:
                add_window(connection, pulled, asdict(run), window.since, window.until, at=at)

    def covered(
        self, scopes: Iterable[str] = (KMS_EVENTS, ALL_EVENTS)
    ) -> dict[AccountRegion, list[TimeWindow]]:
        """Return the windows that were fetched as a whole, the earliest first, by whose they are."""
        found: dict[AccountRegion, list[TimeWindow]] = {}
        columns = (pulled.c.account, pulled.c.region, pulled.c.since, pulled.c.until)
        wanted = sa.select(*columns).where(pulled.c.scope.in_(list(scopes)))
        with self._file.reading() as connection:
            for account, region, since, until in connection.execute(wanted.order_by(pulled.c.since)):
                found.setdefault(AccountRegion(account, region), []).append(TimeWindow(since, until))
        return found

    def follow(self, buckets: Iterable[DeliveryBucket], at: int) -> None:
        """Note buckets of trails: their changes are followed from now on, whatever becomes of the trails."""
        for bucket in buckets:
            run = PullScope("lookup", bucket.region, bucket.scope(bucket.name), account=bucket.account)
            self.cover(run, TimeWindow(_FOLLOWED, _FOLLOWED), at, going_on=True)

    def followed(self) -> dict[DeliveryBucket, dict[str, list[TimeWindow]]]:
        """Return the buckets that are followed, and the windows of their changes by each of their names."""
        found: dict[DeliveryBucket, dict[str, list[TimeWindow]]] = {}
        columns = (pulled.c.scope, pulled.c.account, pulled.c.region, pulled.c.since, pulled.c.until)
        of_buckets = pulled.c.scope.startswith(f"{_OF_BUCKET} ", autoescape=True)
        with self._file.reading() as connection:
            for scope, account, region, since, until in connection.execute(
                sa.select(*columns).where(of_buckets).order_by(pulled.c.since)
            ):
                name, _, of = scope.removeprefix(f"{_OF_BUCKET} ").partition(" ")
                if of == KMS_EVENTS:
                    bucket = DeliveryBucket(name.rsplit(":", 1)[-1], region, account)
                    windows = found.setdefault(bucket, {one: [] for one in bucket.names})
                    if until > _FOLLOWED and name in windows:
                        windows[name].append(TimeWindow(since, until))
        return found

    def covered_until(self, run: PullScope, *, whichever: Sequence[str] = ()) -> int | None:
        """Return until when a run is whole: of those alike but for `whichever` fields, the last behind."""
        named = {name: value for name, value in asdict(run).items() if name not in whichever}
        wanted = sa.select(sa.func.max(pulled.c.until)).where(*(pulled.c[k] == v for k, v in named.items()))
        with self._file.reading() as connection:
            ends = connection.scalars(wanted.group_by(*(pulled.c[name] for name in whichever))).all()
        return min((end for end in ends if end is not None), default=None)

    def unfinished(self, run: PullScope) -> Unfinished | None:
        """Return where an interrupted pull is to go on, None where there is none."""
        with self._file.reading() as connection:
            row = connection.execute(sa.select(unfinished).where(_of(unfinished, run))).one_or_none()
        if row is None:
            return None
        return Unfinished(TimeWindow(row.since, row.until), row.token, row.reached, row.at)

    def save(self, run: PullScope, state: Unfinished) -> None:
        """Note where a pull is to go on if it is interrupted now."""
        values = {**asdict(state.window), "token": state.token, "reached": state.reached, "at": state.began}
        with self._file.writing() as connection:
            statement = upsert(unfinished).values(**asdict(run), **values)
            key = list(unfinished.primary_key.columns)
            connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))

    def known(self, names: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        with self._file.reading() as connection:
            for some in chunks(names, _AT_ONCE):
                found |= set(
                    connection.scalars(sa.select(read_object.c.name).where(read_object.c.name.in_(some)))
                )
        return found

    def remember(self, names: Iterable[tuple[bytes, int]]) -> None:
        """Note objects that were read, each with the second when it was written."""
        rows = [{"name": name, "at": at} for name, at in names]
        if rows:
            with self._file.writing() as connection:
                connection.execute(upsert(read_object).on_conflict_do_nothing(), rows)


def object_name(scope: str, bucket: str, key: str, etag: str) -> bytes:
    """Return how the store knows an object: another content or another scope is another object."""
    parts = (part.encode("utf-8", "surrogatepass") for part in (scope, bucket, key, etag))
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def add_window(
    connection: sa.Connection, table: sa.Table, key: Mapping[str, str], since: int, until: int, **more: int
) -> None:
    """Add a window to those of a key, as one with all that it touches."""
    c = table.c
    touching = (
        *(c[name] == value for name, value in key.items()),
        c.since <= until + 1,
        c.until >= since - 1,
    )
    rows = connection.execute(sa.select(c.since, c.until).where(*touching)).all()
    connection.execute(sa.delete(table).where(*touching))
    since, until = min([since, *(row.since for row in rows)]), max([until, *(row.until for row in rows)])
    connection.execute(sa.insert(table).values(**key, since=since, until=until, **more))


def forget_pulls_before(connection: sa.Connection, at: int) -> None:
    """Forget what was fetched before a second: its events are forgotten, so it has to be fetched again."""
    connection.execute(sa.delete(pulled).where(pulled.c.until < at))
    connection.execute(sa.update(pulled).where(pulled.c.since < at).values(since=at))
    connection.execute(sa.delete(read_object).where(read_object.c.at < at))


def joined(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return windows without what lies in another one or begins where it ends, the earliest first."""
    found: list[TimeWindow] = []
    for window in sorted(windows, key=lambda w: w.since):
        if found and window.since <= found[-1].until + 1:
            found[-1] = TimeWindow(found[-1].since, max(found[-1].until, window.until))
        else:
            found.append(window)
    return found


def lacking(windows: Sequence[TimeWindow], since: int, until: int, fresh: int) -> list[TimeWindow]:
    """Return what of a span no window holds; after one that ends at `fresh`, the rest is still to come."""
    newest = max((window.until for window in windows), default=0)
    return unfetched(windows, since, min(until, newest) if newest >= fresh else until)


def unfetched(windows: Sequence[TimeWindow], since: int, until: int) -> list[TimeWindow]:
    """Return what of a span no window holds, in order."""
    gaps: list[TimeWindow] = []
    at = since
    for window in sorted(windows, key=lambda w: w.since):
        gaps.append(TimeWindow(at, min(window.since - 1, until)))
        at = max(at, window.until + 1)
    gaps.append(TimeWindow(at, until))
    return [gap for gap in gaps if gap.since <= gap.until]


def _of(table: sa.Table, run: PullScope) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in asdict(run).items()))
