"""Providers' events in the event store's file: in, each once; out, by filter, token and place.

Their tables are made with the first of them, and versioned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    delete,
    func,
    inspect,
    or_,
    select,
)

from crypto_core.forensics.provider_logs.event import ProviderEvent, milliseconds_of, moment_of
from crypto_core.trail.record_compression import DictionaryPacker
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import where
from crypto_core.trail.store.pulls import add_window
from crypto_core.trail.store.schema import insert, numbers, texts
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.errors import EventStoreError, EventVanishedError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import in_utc

VERSION = 1
"""Kept in provider_layout; tables of a higher one are not touched."""

metadata = MetaData()

TEXTS = ("action", "actor", "address", "agent", "target", "place", "access")


layout = Table("provider_layout", metadata, Column("version", Integer, primary_key=True))

event = Table(
    "provider_event",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("provider"),
    Column("identity", LargeBinary, nullable=False),
    *texts("event_id"),
    *numbers("at"),
    *texts(*TEXTS),
    Column("token_hash", LargeBinary),
    Column("body", LargeBinary, nullable=False),
)
"""`at` is in milliseconds since 1970, UTC; `identity` 16 bytes of the event's id; `body` is packed."""

cover = Table(
    "provider_cover",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("provider", "place", "origin"),
    *numbers("since", "until"),
)
"""Periods of which all events are there, in milliseconds; `origin` says by what that is known."""

pull = Table(
    "provider_pull",
    metadata,
    *texts("provider", "place", key=True),
    *numbers("since", "until"),
    *texts("position"),
)
"""Pulls that did not come to their end: where they go on."""

token_hash = Table(
    "provider_token_hash",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("token_hash", LargeBinary, primary_key=True),
    *texts("origin"),
    *numbers("noted_at"),
    Column("replaced_at", Integer),
)
"""The SHA-256 of tokens that an operator opened to compare them: a later one of a reference replaces it."""

Index("ix_provider_event", event.c.provider, event.c.identity, unique=True)
Index("ix_provider_event_at", event.c.at, event.c.id)
Index("ix_provider_event_hash", event.c.token_hash, event.c.at, **where("token_hash IS NOT NULL"))
Index("ix_provider_event_place", event.c.provider, event.c.place, event.c.at)
Index("ix_provider_event_from", event.c.provider, event.c.address, event.c.at)


def is_there(connection: Connection) -> bool:
    """Whether the file holds these tables. Raises EventStoreError for those of a newer Keydeck."""
    if not inspect(connection).has_table(layout.name):
        return False
    version = connection.exec_driver_sql("SELECT max(version) FROM provider_layout").scalar() or 0
    if version > VERSION:
        raise EventStoreError(
            "The providers' events in the store were written by a newer Keydeck.",
            remedy="Upgrade Keydeck, or name another file with KEYDECK_EVENTS_FILE.",
        )
    return bool(version == VERSION)


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables that are missing, in the caller's transaction. Raises EventStoreError as above."""
    if is_there(connection):
        return
    metadata.create_all(connection)
    connection.exec_driver_sql("INSERT OR REPLACE INTO provider_layout (version) VALUES (?)", (VERSION,))


_COLUMNS = ("provider", "identity", "event_id", "at", *TEXTS, "token_hash", "body")
_TOLD = tuple(event.c[name] for name in ("provider", "event_id", "at", *TEXTS, "token_hash", "body"))
MOST = 10_000
_COMMON = (
    b'{"id":"","type":"events","attributes":{"time":"2026-","action":"","actor":{"id":"","name":"","email":"",'
    b'"auth":{"authType":"api-token","tokenId":"","tokenLabel":""},"links":{"self":"https://api.atlassian.com'
    b'/admin/"}},"context":[{"id":"","type":"","attributes":{"name":""}}],"container":[{"id":"","type":"sites",'
    b'"attributes":{"siteHostName":".atlassian.net"}}],"location":{"ip":"","geo":"","countryName":""}}}'
    b'{"id":"","date_create":17,"action":"file_downloaded","actor":{"type":"user","user":{"id":"U","name":"",'
    b'"email":"","team":"T"}},"entity":{"type":"channel","channel":{"id":"C","name":"","privacy":"public"}},'
    b'"context":{"location":{"type":"workspace","id":"T","name":"","domain":""},"ua":"Mozilla/5.0",'
    b'"session_id":,"ip_address":"","app":{"id":"A","name":""}}}'
    b'{"@timestamp":17,"_document_id":"","action":"git.clone","actor":"","actor_id":,"actor_ip":"",'
    b'"actor_location":{"country_code":""},"business":"","created_at":17,"external_identity_nameid":"",'
    b'"hashed_token":"","operation_type":"access","org":"","org_id":,"programmatic_access_type":"OAuth'
    b' access token","request_id":"","token_id":,"token_scopes":"repo,read:org","public_repo":false,"repo":'
    b'"","repository":"","repository_public":false,"transport_protocol":1,"transport_protocol_name":"http",'
    b'"user":"","user_agent":"git/2."}'
)
_PACKER = DictionaryPacker(_COMMON)


@dataclass(frozen=True, slots=True)
class EventChoice:
    """Which events are asked for; what is empty chooses none out."""

    provider: str = ""
    since: datetime | None = None
    until: datetime | None = None
    hashes: tuple[bytes, ...] = ()
    places: tuple[str, ...] = ()
    words: str = ""
    """Stands in the action, the actor, the address, the agent, the target or the place."""
    address: str = ""
    agent: str = ""
    with_token: bool = False
    """Only what was done with a token or by an app, not by a person."""

    @property
    def where(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.provider:
            found.append(event.c.provider == self.provider)
        if self.since is not None:
            found.append(event.c.at >= milliseconds_of(self.since))
        if self.until is not None:
            found.append(event.c.at <= milliseconds_of(self.until))
        if self.hashes:
            found.append(event.c.token_hash.in_(self.hashes))
        if self.address:
            found.append(event.c.address == self.address)
        if self.agent:
            found.append(event.c.agent == self.agent)
        if self.with_token:
            found.append(event.c.access != "")
        if self.places:
            found.append(event.c.place.in_(self.places))
        if self.words:
            found.append(or_(*(event.c[name].icontains(self.words, autoescape=True) for name in TEXTS)))
        return found


@dataclass(frozen=True, slots=True)
class LogSummary(JsonRecord):
    provider: str
    place: str
    events: int
    first: datetime
    last: datetime

    json_shape = shape("provider place? ...")


@dataclass(frozen=True, slots=True)
@cleans(provider=40, address=100, agent=300, access=120)
class UseGroup:
    provider: str
    address: str
    agent: str
    access: str
    events: int
    first: datetime
    last: datetime


class ProviderLog:
    """Thread-safe; every call may block. Raises EventStoreError, InterruptedRunError once cancelled."""

    def __init__(self, file: StoreFile) -> None:
        self.file = file

    def add(self, events: Sequence[ProviderEvent]) -> int:
        if not events:
            return 0
        with self.file.writing() as connection:
            bring_up_to_date(connection)
            return add_events(connection, events)

    def events(
        self,
        choice: EventChoice,
        *,
        limit: int = MOST,
        newest_first: bool = False,
        cancelled: Event | None = None,
    ) -> tuple[ProviderEvent, ...]:
        order = (event.c.at.desc(), event.c.id.desc()) if newest_first else (event.c.at, event.c.id)
        asked = select(*_TOLD).where(*choice.where).order_by(*order).limit(limit)
        return tuple(map(_event_of, self._rows(asked, cancelled)))

    def count(self, choice: EventChoice, *, cancelled: Event | None = None) -> int:
        rows = self._rows(select(func.count()).select_from(event).where(*choice.where), cancelled)
        return int(rows[0][0]) if rows else 0

    def event(self, provider: str, event_id: str) -> ProviderEvent:
        asked = select(*_TOLD).where(event.c.provider == provider, event.c.identity == identity_of(event_id))
        rows = self._rows(asked, None)
        if not rows:
            raise EventVanishedError(f"There is no event {clean(event_id, 80)!r} of {provider} in the store.")
        return _event_of(rows[0])

    def summaries(self, *, cancelled: Event | None = None) -> tuple[LogSummary, ...]:
        group = (event.c.provider, event.c.place)
        asked = select(*group, func.count(), func.min(event.c.at), func.max(event.c.at)).group_by(*group)
        rows = self._rows(asked.order_by(*group).limit(MOST), cancelled)
        return tuple(LogSummary(r[0], r[1], r[2], moment_of(r[3]), moment_of(r[4])) for r in rows)

    def first_uses(self, column: str, *, cancelled: Event | None = None) -> Mapping[str, datetime]:
        """Return when each address or agent (`column`) was first there, at any provider."""
        asked = select(event.c[column], func.min(event.c.at)).group_by(event.c[column]).limit(10 * MOST)
        return {row[0]: moment_of(row[1]) for row in self._rows(asked, cancelled)}

    def uses(self, choice: EventChoice, *, cancelled: Event | None = None) -> tuple[UseGroup, ...]:
        group = (event.c.provider, event.c.address, event.c.agent)
        asked = select(
            *group, func.max(event.c.access), func.count(), func.min(event.c.at), func.max(event.c.at)
        ).where(event.c.access != "", *choice.where)
        rows = self._rows(asked.group_by(*group).order_by(func.count().desc()).limit(MOST), cancelled)
        return tuple(
            UseGroup(row[0], row[1], row[2], row[3], row[4], moment_of(row[5]), moment_of(row[6]))
            for row in rows
        )

    def count_before(self, moment: datetime) -> int:
        return self.count(EventChoice(until=moment))

    def forget_before(self, moment: datetime) -> int:
        """Forget what is older, and that its time was covered; return how many events."""
        limit = milliseconds_of(moment)
        with self.file.writing() as connection:
            if not is_there(connection):
                return 0
            gone = connection.execute(delete(event).where(event.c.at < limit)).rowcount
            connection.execute(delete(cover).where(cover.c.until < limit))
            connection.execute(cover.update().where(cover.c.since < limit).values(since=limit))
            connection.execute(delete(pull).where(pull.c.until < limit))
        return int(gone)

    def _rows(self, asked: Select[Any], cancelled: Event | None) -> Sequence[Any]:
        with self.file.reading(cancelled) as connection:
            return connection.execute(asked).all() if is_there(connection) else ()


def identity_of(event_id: str) -> bytes:
    """Return by what an event is known again."""
    # Python's own code computes it, in FIPS mode too: no security rests on it.
    told = event_id.encode("utf-8", "replace")
    return hashlib.blake2b(told, digest_size=16, usedforsecurity=False).digest()


def add_events(connection: Connection, events: Sequence[ProviderEvent]) -> int:
    """Store events in the caller's transaction; the first of an id stays. Returns how many were new."""
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    insert(connection, event.name, _COLUMNS, list(map(_row_of, events)), "ON CONFLICT DO NOTHING")
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one() - before)


def _row_of(one: ProviderEvent) -> tuple[Any, ...]:
    texts = [getattr(one, name) for name in TEXTS]
    known = (one.provider, identity_of(one.event_id), one.event_id, milliseconds_of(one.at))
    return (*known, *texts, one.token_hash, _PACKER.pack(one.raw))


def _event_of(row: Row[Any]) -> ProviderEvent:
    try:
        raw = _PACKER.unpack(row.body)
    except ValueError as error:
        raise EventStoreError(
            f"The store's record of {clean(row.provider, 40)} event {clean(row.event_id, 80)} is damaged.",
            remedy="Move the store away, then import or pull the events again.",
        ) from error
    texts = {name: clean(getattr(row, name), 300) for name in TEXTS}
    return ProviderEvent(
        clean(row.provider, 40),
        clean(row.event_id, 200),
        moment_of(row.at),
        token_hash=row.token_hash,
        raw=raw,
        **texts,
    )


def batches(events: Iterator[ProviderEvent], size: int) -> Iterator[list[ProviderEvent]]:
    some: list[ProviderEvent] = []
    for one in events:
        some.append(one)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


PULLED, STATED = "pulled", "stated by the operator"
"""By what it is known: the provider's API gave every page, or whoever exported the files says so."""


@dataclass(frozen=True, slots=True)
class CoveredPeriod(JsonRecord):
    provider: str
    place: str
    since: datetime
    until: datetime
    origin: str

    json_shape = shape("provider place? ...")


class CoverBook:
    """Keeps such periods beside the events. Thread-safe; blocks; raises EventStoreError."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def note(self, provider: str, place: str, since: datetime, until: datetime, origin: str) -> None:
        key = {"provider": provider, "place": place, "origin": origin}
        with self._file.writing() as connection:
            bring_up_to_date(connection)
            add_window(connection, cover, key, milliseconds_of(since), milliseconds_of(until))

    def periods(self, provider: str = "") -> tuple[CoveredPeriod, ...]:
        asked = select(cover.c.provider, cover.c.place, cover.c.since, cover.c.until, cover.c.origin)
        if provider:
            asked = asked.where(cover.c.provider == provider)
        asked = asked.order_by(*asked.selected_columns)
        with self._file.reading() as connection:
            rows = connection.execute(asked).all() if is_there(connection) else ()
        return tuple(CoveredPeriod(p, place, moment_of(a), moment_of(b), o) for p, place, a, b, o in rows)


def missing(
    periods: Iterable[CoveredPeriod], since: datetime, until: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    holes = []
    reached = since
    for one in sorted(periods, key=lambda period: period.since):
        if one.since > reached and reached < until:
            holes.append((reached, min(one.since, until)))
        reached = max(reached, one.until)
    if reached < until:
        holes.append((reached, until))
    return tuple(holes)


def uncovered(
    periods: Iterable[CoveredPeriod], provider: str, named: Iterable[str], since: datetime, until: datetime
) -> tuple[str, ...]:
    """Return what of a time a provider's events don't cover, in sentences.

    A place that is named has to be covered by itself, or by a pull of the whole organisation. Where none is
    named, one of the provider's places has to be.
    """
    ours = [one for one in periods if one.provider == provider]
    wholes = {one.place for one in ours if one.origin == PULLED}
    sentences = []
    wanted = tuple(dict.fromkeys(named))
    for place in wanted or tuple(dict.fromkeys(one.place for one in ours)) or ("",):
        among = {place.lower(), *(whole.lower() for whole in wholes if wanted)}
        holes = missing((one for one in ours if one.place.lower() in among), since, until)
        if (
            holes
            and not wanted
            and any(
                not missing((one for one in ours if one.place == other.place), since, until) for other in ours
            )
        ):
            continue
        name = f"{provider} {place}".rstrip()
        sentences += [
            f"{name}: events from {in_utc(begin)} to {in_utc(end)} are missing." for begin, end in holes
        ]
    return tuple(sentences)
