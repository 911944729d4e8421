"""What was done with one token, in one list with who opened it: facts, inferences and possibilities apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from urllib.parse import urlsplit

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import TOKENS_OF
from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.mappings import PROVIDERS
from crypto_core.forensics.provider_logs.store import CoverBook, EventChoice, ProviderLog, uncovered
from crypto_core.forensics.provider_logs.suspicion import BEFORE_USE, NEW, Opener, UseJudge
from crypto_core.forensics.provider_logs.token_hashes import KnownHash, TokenHashBook
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.paging import Query
from crypto_core.providers.registry import provider_of_row
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.token_timeline import (
    BY_TIME,
    Doing,
    TokenDeed,
    TokenTimeline,
    TokenUse,
    UseCertainty,
)
from crypto_core.trail.use.tokens import OPENED
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.moments import in_utc


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """The audit log in which uses of a token stand. `named` are its workspaces or sites, as rows tell."""

    provider: str
    named: tuple[str, ...] = ()


def place_of(row: InventoryRow) -> TokenPlace | None:
    """Return where a row's token is used; None for a provider whose audit log isn't read."""
    shown = dict(row.shown)
    provider = provider_of_row(shown.get("provider") or row.provider)
    log = TOKENS_OF.get(provider.name) if provider is not None else None
    if provider is None or log not in PROVIDERS:
        return None
    told = [shown[name] for name in provider.places if shown.get(name) and name not in row.altered]
    return TokenPlace(log, tuple(name for name in map(_name, told) if name))


def _name(text: str) -> str:
    """A workspace's id as it is; of a site's address the host."""
    if "://" not in text:
        return clean(text, 120)
    try:
        return clean(urlsplit(text).hostname or "", 120)
    except ValueError:
        return ""


FRESH = timedelta(hours=1)
"""So far behind the present the logs may be: events come late."""
MOST = 500
BY_HASH = "GitHub's record has the SHA-256 of this token: a fact."
BY_PLACE = {
    "slack": "Slack names no token: an app did this in the token's workspace, with this token or another.",
    "atlassian": "Atlassian names no token: a token did this on the token's site, this one or another.",
}
NAMED_OPENING = "CloudTrail's record names the row: a fact."
RECEIPTED_OPENING = "The caller's receipt of this call names the token: a fact, as far as it wrote the truth."
UNNAMED_OPENING = "CloudTrail's record names no token (v1): this token, or another."
NO_HASH = (
    "The hash of this token isn't known here, so its uses at GitHub can't be found: "
    "keydeck events provider hash {ref} opens it and notes it."
)
NO_LOG = "Audit logs of this token's provider are not read."
NO_PLACE = "Its row doesn't tell its workspace or site, so possible uses can't be found."


@dataclass(frozen=True, slots=True)
class TokenUses:
    """Joins them. Blocks on both stores; asks nobody."""

    log: ProviderLog
    events: EventStore
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def judge(self, suspects: Iterable[str] = (), cancelled: Event | None = None) -> UseJudge:
        """Return what judges uses; for several tokens it asks the stores once."""
        return UseJudge(self.log, self.events, suspects=suspects, cancelled=cancelled)

    def use_of(
        self, timeline: TokenTimeline, judge: UseJudge | None = None, *, cancelled: Event | None = None
    ) -> TokenUse:
        """Return the uses of a token by its timeline. Raises EventStoreError, InterruptedRunError."""
        judge = judge or self.judge(cancelled=cancelled)
        place = place_of(timeline.stored) if timeline.stored is not None else None
        known = TokenHashBook(self.log.file).known([timeline.ref])
        used = [*self._by_hash(known, judge, cancelled), *self._by_place(place, judge, cancelled)]
        opened = [
            *self._named(timeline, cancelled),
            *self._could(timeline, judge, [one for one in used if one.theft], cancelled),
        ]
        every = sorted([*opened, *used], key=lambda deed: (deed.at, deed.doing))
        reasons = tuple(self._gaps(timeline, place, known))
        statements = tuple(_statements(every, known))
        name = place.provider if place is not None else ("github" if known else "")
        left_out = max(len(every) - MOST, 0)
        return TokenUse(timeline.ref, name, tuple(every[left_out:]), left_out, statements, Coverage(reasons))

    def _by_hash(
        self, known: tuple[KnownHash, ...], judge: UseJudge, cancelled: Event | None
    ) -> Iterator[TokenDeed]:
        if not known:
            return
        ends = {one.token_hash: one.replaced_at for one in known}
        choice = EventChoice(hashes=tuple(ends))
        for one in self.log.events(choice, limit=MOST, newest_first=True, cancelled=cancelled):
            end = ends[one.token_hash or b""]
            yield _used(
                one, UseCertainty.FACT, BY_HASH, judge.verdict(one), old=end is not None and one.at > end
            )

    def _by_place(
        self, place: TokenPlace | None, judge: UseJudge, cancelled: Event | None
    ) -> Iterator[TokenDeed]:
        if place is None or place.provider not in BY_PLACE or not place.named:
            return
        places = judge.places(place.provider, place.named)
        if not places:
            return
        choice = EventChoice(place.provider, places=places, with_token=True)
        for one in self.log.events(choice, limit=MOST, newest_first=True, cancelled=cancelled):
            yield _used(one, UseCertainty.POSSIBILITY, BY_PLACE[place.provider], judge.verdict(one))

    def _named(self, timeline: TokenTimeline, cancelled: Event | None) -> Iterator[TokenDeed]:
        if timeline.named.opened or timeline.named.rewrapped:
            for event in self._openings(timeline.named.filter, cancelled):
                if str(event.token_ref) == str(timeline.ref):  # filters don't tell upper from lower case
                    yield _opened(event, UseCertainty.FACT, NAMED_OPENING)
        if timeline.receipted is not None and timeline.receipted.use.events:
            for event in self._openings(timeline.receipted.use.filter, cancelled):
                yield _opened(event, UseCertainty.FACT, RECEIPTED_OPENING)

    def _openings(self, expression: str, cancelled: Event | None) -> Iterator[TrailEvent]:
        asked = Query(f"{expression} {OPENED}", "time", descending=True)
        yield from (one.event for one in self.events.page(asked, limit=MOST, cancelled=cancelled).rows)

    def _could(
        self, timeline: TokenTimeline, judge: UseJudge, thefts: list[TokenDeed], cancelled: Event | None
    ) -> Iterator[TokenDeed]:
        """Of a v1 token: the openings by suspects, and by who was new, and the last one before each theft."""
        could = {str(one.texts[0]): use.filter for use in timeline.could for one in use.by}
        done: set[str] = set()
        for opener in judge.openers:
            if opener.principal not in could:
                continue
            before = [one for one in thefts if opener.first <= one.at <= opener.last + BEFORE_USE]
            if not (opener.suspect or any(judge.is_new(opener, one.at - NEW) for one in before)):
                continue
            for moment in [opener.first, *(one.at for one in before)]:
                found = self._last_before(could[opener.principal], opener, moment, cancelled)
                if found is not None and found.event_id not in done:
                    done.add(found.event_id)
                    yield _opened(found, UseCertainty.POSSIBILITY, UNNAMED_OPENING)

    def _last_before(
        self, filter_: str, opener: Opener, moment: datetime, cancelled: Event | None
    ) -> TrailEvent | None:
        who = term("principal", opener.principal)
        where = f" {term('ip', opener.address)}" if opener.address else ""
        asked = f"{filter_} {who}{where} until:{moment.replace(microsecond=0).isoformat()}"
        page = self.events.page(Query(asked, "time", descending=True), limit=1, cancelled=cancelled)
        return page.rows[0].event if page.rows else None

    def _gaps(
        self, timeline: TokenTimeline, place: TokenPlace | None, known: tuple[KnownHash, ...]
    ) -> Iterator[str]:
        if timeline.stored is not None and place is None:
            yield NO_LOG
        if place is None:
            return
        if place.provider == "github" and not known:
            yield NO_HASH.format(ref=timeline.ref)
        if place.provider in BY_PLACE and not place.named:
            yield NO_PLACE
        now = self.clock()
        begin = timeline.stored.created_at if timeline.stored is not None else None
        periods = CoverBook(self.log.file).periods(place.provider)
        if not periods:
            yield f"{place.provider}: no time is covered: what is not in the store may have happened."
        else:
            since = max(begin or periods[0].since, periods[0].since)
            yield from uncovered(periods, place.provider, place.named, since, now - FRESH)


def _used(
    one: ProviderEvent, certainty: UseCertainty, reason: str, theft: str, *, old: bool = False
) -> TokenDeed:
    what = f"{one.action} of {one.target}" if one.target else one.action
    return TokenDeed(
        *(one.at, Doing.USED, certainty, one.actor, one.address, one.agent, what),
        place=one.place,
        provider=one.provider,
        event_id=one.event_id,
        reason=reason,
        theft=theft,
        old=old,
    )


def _opened(event: TrailEvent, certainty: UseCertainty, reason: str) -> TokenDeed:
    who = event.principal.arn
    return TokenDeed(
        *(event.time, Doing.OPENED, certainty, who, event.source_ip, event.user_agent, event.name),
        place="",
        provider="",
        event_id=event.event_id,
        reason=reason,
    )


def _statements(deeds: list[TokenDeed], known: tuple[KnownHash, ...]) -> Iterator[str]:
    thefts = [one for one in deeds if one.theft]
    old = [one for one in deeds if one.old]
    if old:
        end = max(one.replaced_at for one in known if one.replaced_at is not None)
        yield (
            f"The old token was used {counted(len(old), 'time')} after it had been replaced "
            f"(by {in_utc(end)}): a fact. Ask its provider whether it is dead."
        )
    by: dict[tuple[str, str, str], list[TokenDeed]] = {}
    for one in thefts:
        by.setdefault((one.address, one.agent, one.theft), []).append(one)
    for (address, agent, theft), some in by.items():
        where = f"from {address} by {agent or 'no client'}, the first at {in_utc(some[0].at)}"
        yield f"{counted(len(some), 'use')} {where}: like a thief's, {theft}."
    if thefts:
        yield BY_TIME
