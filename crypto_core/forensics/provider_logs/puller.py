"""Fetches a window of a provider's audit log by its API: frozen, resumable, within the provider's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import delete, select

from crypto_core.forensics.provider_logs.apis import LOG_APIS, LogApi, LogPage, require_name, trouble_of
from crypto_core.forensics.provider_logs.content import Malformed, record_of
from crypto_core.forensics.provider_logs.event import ProviderEvent, milliseconds_of, moment_of
from crypto_core.forensics.provider_logs.mappings import MalformedEventError, read_event
from crypto_core.forensics.provider_logs.store import (
    PULLED,
    CoverBook,
    ProviderLog,
    add_events,
    bring_up_to_date,
    is_there,
    pull,
)
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.messages import NoAnswer, sendable
from crypto_core.providers.transport import Clock, Transport
from crypto_core.trail.store.dialect import upsert
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import InterruptedRunError, RefusedError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.secret import Secret

LATE = timedelta(minutes=10)
"""So late events may still come: the last minutes of a window are not counted as covered."""
MOST_BYTES = 16 * 1024 * 1024
MOST_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class LogPull(JsonRecord):
    """What a pull brought. `finished` is False where it stopped before the last page, for `reason`."""

    provider: str
    name: str
    since: datetime
    until: datetime
    pages: int
    events: int
    new: int
    damaged: int
    finished: bool
    resumed: bool
    reason: str = ""
    interrupted: bool = False

    json_shape = shape(
        "provider organisation=name? ... duplicates damaged finished resumed reason? -interrupted",
        duplicates=lambda record: record.events - record.new,
    )


class LogPuller:
    """Pulls. Blocks on the provider; the token is the caller's, and kept nowhere."""

    def __init__(self, log: ProviderLog, endpoints: Endpoints, *, clock: Clock | None = None) -> None:
        self._log = log
        self._endpoints = endpoints
        self._clock = clock or Clock()
        self._cover = CoverBook(log.file)

    def pull(
        self,
        provider: str,
        name: str,
        token: Secret,
        *,
        since: datetime,
        until: datetime | None = None,
        anew: bool = False,
        progress: Callable[[int], None] | None = None,
        cancelled: Event | None = None,
    ) -> LogPull:
        """Fetch a window, or go on with the one that was not finished unless `anew`.

        What came before a failure is kept, with the position. Raises SettingsError for a name that is none,
        RefusedError for a token that can't be sent or a window that ends before it begins, ProviderError
        where nothing can be sent, EventStoreError.
        """
        api = LOG_APIS[provider]
        require_name(api, name)
        if not sendable(token.reveal()):
            raise RefusedError("The audit log's token holds characters that no token has.")
        begun = None if anew else self._unfinished(provider, name)
        asked = (_whole(since), _whole(until or self._clock.now()))
        window = asked if begun is None else begun[:2]
        if window[0] >= window[1]:
            raise RefusedError("The window ends before it begins.", remedy="Choose an earlier --since.")
        so_far = LogPull(provider, name, *window, 0, 0, 0, 0, finished=False, resumed=begun is not None)
        position = begun[2] if begun is not None else ""
        with Transport(self._clock, most_bytes=MOST_BYTES) as transport:
            try:
                while so_far.pages < MOST_PAGES:
                    self._keep_pace(api, so_far.pages, cancelled)
                    page = self._page(transport, api, so_far, position, token, cancelled)
                    if isinstance(page, str):
                        return replace(so_far, reason=page)
                    if page.following and page.following == position:
                        return replace(so_far, reason="the provider named the same page twice")
                    so_far = self._keep(so_far, page)
                    if progress is not None:
                        progress(so_far.events)
                    if not page.following:
                        return self._finished(so_far)
                    position = page.following
            except InterruptedRunError:
                return replace(so_far, reason="interrupted", interrupted=True)
        return replace(so_far, reason=f"more than {MOST_PAGES:,} pages")

    def _keep_pace(self, api: LogApi, pages: int, cancelled: Event | None) -> None:
        stop_if(cancelled)
        if pages >= api.burst:
            self._clock.wait(api.every, cancelled)
            stop_if(cancelled)

    def _page(
        self,
        transport: Transport,
        api: LogApi,
        so_far: LogPull,
        position: str,
        token: Secret,
        cancelled: Event | None,
    ) -> LogPage | str:
        window = (so_far.since, so_far.until)
        asked = api.request(self._endpoints, so_far.name, window, position, token.reveal())
        reply = transport.send(asked, cancelled)
        if isinstance(reply, NoAnswer):
            return reply.reason
        return api.page(reply) or trouble_of(api, reply)

    def _keep(self, so_far: LogPull, page: LogPage) -> LogPull:
        events, damaged = _events_of(page)
        values = {
            "since": milliseconds_of(so_far.since),
            "until": milliseconds_of(so_far.until),
            "position": page.following,
        }
        with self._log.file.writing() as connection:
            bring_up_to_date(connection)
            new = add_events(connection, events)
            if page.following:
                kept = upsert(pull).values(provider=so_far.provider, place=so_far.name, **values)
                connection.execute(kept.on_conflict_do_update(["provider", "place"], set_=values))
        return replace(
            so_far,
            pages=so_far.pages + 1,
            events=so_far.events + len(events),
            new=so_far.new + new,
            damaged=so_far.damaged + damaged,
        )

    def _finished(self, so_far: LogPull) -> LogPull:
        """Note what is covered now, unless a record could not be read, and forget the position."""
        until = min(so_far.until, _whole(self._clock.now()) - LATE)
        if not so_far.damaged and until > so_far.since:
            self._cover.note(so_far.provider, so_far.name, so_far.since, until, PULLED)
        with self._log.file.writing() as connection:
            ours = (pull.c.provider == so_far.provider, pull.c.place == so_far.name)
            connection.execute(delete(pull).where(*ours))
        return replace(so_far, finished=True)

    def _unfinished(self, provider: str, name: str) -> tuple[datetime, datetime, str] | None:
        asked = select(pull.c.since, pull.c.until, pull.c.position)
        asked = asked.where(pull.c.provider == provider, pull.c.place == name)
        with self._log.file.reading() as connection:
            row = connection.execute(asked).one_or_none() if is_there(connection) else None
        return None if row is None else (moment_of(row[0]), moment_of(row[1]), row[2])


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _events_of(page: LogPage) -> tuple[list[ProviderEvent], int]:
    events: list[ProviderEvent] = []
    for number, document in enumerate(page.records, 1):
        record = record_of(number, document)
        if isinstance(record, Malformed):
            continue
        try:
            events.append(read_event(record.document, record.raw))
        except MalformedEventError:
            continue
    return events, len(page.records) - len(events)
