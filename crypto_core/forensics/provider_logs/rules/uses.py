"""Old tokens and tokens of decoys that are still used, and uses that look like a thief's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from threading import Event

from crypto_core.database.tokens.decoys import NO_DECOYS, Decoys, ReadDecoys, no_decoys
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule, rules_about
from crypto_core.findings.standards import STEAL_TOKEN
from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.store import EventChoice, ProviderLog, UseGroup
from crypto_core.forensics.provider_logs.suspicion import BEFORE_USE, LEARNED, Opener, UseJudge
from crypto_core.forensics.provider_logs.token_hashes import KnownHash, TokenHashBook
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.schema import chunks
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.moments import in_utc

MOST_EVENTS = 20
"""So many events are named as a finding's evidence; its text says how many there are."""
_AT_ONCE, _MOST_USES = 500, 5_000
_INFERRED = "This is inferred from times, addresses and clients: no record joins a use with an opening."


@dataclass
class ProviderUses:
    """A window of providers' events, and what judges them. Its questions block on the store."""

    log: ProviderLog
    judge: UseJudge
    since: datetime
    until: datetime
    cancelled: Event | None = None
    decoys: Decoys = NO_DECOYS

    @cached_property
    def groups(self) -> Sequence[UseGroup]:
        return self.log.uses(EventChoice("", self.since, self.until), cancelled=self.cancelled)

    def of_hashes(self, hashes: Iterable[bytes]) -> Iterator[ProviderEvent]:
        for some in chunks(tuple(hashes), _AT_ONCE):
            choice = EventChoice("", self.since, self.until, hashes=tuple(some))
            yield from self.log.events(choice, limit=_MOST_USES, cancelled=self.cancelled)

    def events_of(self, groups: Iterable[UseGroup]) -> tuple[ProviderEvent, ...]:
        found: list[ProviderEvent] = []
        for one in groups:
            choice = EventChoice(one.provider, self.since, self.until, with_token=True)
            choice = replace(choice, address=one.address, agent=one.agent)
            found += self.log.events(choice, limit=MOST_EVENTS, cancelled=self.cancelled)
        return tuple(sorted(found, key=lambda event: event.at))


@rule(
    "event-provider-old-token",
    "Use of a token after it was replaced",
    Severity.CRITICAL,
    Facts.PROVIDERS,
    about="a use at GitHub by the hash of a token that its row no longer holds",
    techniques=(STEAL_TOKEN,),
)
def old_token(uses: ProviderUses) -> Said:
    ended = {one.token_hash: one for one in TokenHashBook(uses.log.file).known() if one.replaced_at}
    by: dict[bytes, list[ProviderEvent]] = {}
    for event in uses.of_hashes(ended):
        end = ended[event.token_hash or b""].replaced_at
        if end is not None and event.at > end:
            by.setdefault(event.token_hash or b"", []).append(event)
    for digest, events in by.items():
        yield _old_token(ended[digest], events)


def _old_token(known: KnownHash, events: list[ProviderEvent]) -> Finding:
    number = counted(len(events), "use")
    return provider_finding(
        Severity.CRITICAL,
        str(known.ref),
        f"The old token of {known.ref} was used at GitHub after it was replaced",
        f"{number} {where_of(events)}; GitHub's record has the token's SHA-256: a fact. The row held another "
        f"token by {in_utc(known.replaced_at)}",
        "Whoever used it has the old token, and its provider still takes it. Revoke it: keydeck incident "
        f"start token-compromise --tokens '{known.ref}', or by hand.",
        events,
    )


@rule(
    "event-provider-after-opening",
    "Use of tokens soon after a new or suspected principal opened some",
    Severity.CRITICAL,
    Facts.PROVIDERS,
    about=f"within {BEFORE_USE.seconds // 60} minutes, from an address that nobody used before",
    techniques=(STEAL_TOKEN,),
)
def after_opening(uses: ProviderUses) -> Said:
    by: dict[tuple[str, str], tuple[Opener, list[UseGroup]]] = {}
    for group in uses.groups:
        opener = uses.judge.opener_before(group, uses.since)
        if opener is not None:
            by.setdefault((opener.principal, opener.address), (opener, []))[1].append(group)
    for opener, groups in by.values():
        events = uses.events_of(groups)
        first = min(one.first for one in groups)
        yield provider_finding(
            Severity.CRITICAL,
            opener.principal,
            f"{opener.words} opened tokens at {in_utc(opener.first)}; from {in_utc(first)} on tokens were "
            f"used from {_listed(one.address for one in groups)}",
            f"{counted(sum(one.events for one in groups), 'use')} {where_of(events)}. {_INFERRED}",
            "Find out who this is: keydeck events principal. If nobody knows, the tokens that it opened are "
            "stolen and in use: block it, and declare a token compromise.",
            events,
        )


@rule(
    "event-provider-stranger",
    "Use of tokens from an address and by a client that nobody used before",
    Severity.HIGH,
    Facts.PROVIDERS,
    about="neither the platform nor an owner did, as far as the logs go back",
    techniques=(STEAL_TOKEN,),
)
def stranger(uses: ProviderUses) -> Said:
    for group in uses.groups:
        if uses.judge.stranger(group, uses.since):
            events = uses.events_of([group])
            yield provider_finding(
                Severity.HIGH,
                group.address,
                f"Tokens were used at {group.provider} from {group.address} by {group.agent or 'no client'}",
                f"{counted(group.events, 'use')} {where_of(events)}; before {in_utc(uses.since)} nobody used "
                f"this address or this client. {_INFERRED}",
                "Ask the platform's owners and the token's owner whether it is theirs. If it is nobody's, "
                "declare a token compromise.",
                events,
            )


def provider_finding(
    severity: Severity, subject: str, title: str, evidence: str, remedy: str, events: Sequence[ProviderEvent]
) -> Finding:
    """Return a finding about some events, the first ones of which it names."""
    named = tuple(f"{one.provider}:{one.event_id}" for one in events[:MOST_EVENTS])
    first, last = (min(one.at for one in events), max(one.at for one in events)) if events else (None, None)
    return Finding("", severity, subject, title, evidence, remedy, events=named, first_at=first, last_at=last)


def where_of(events: Sequence[ProviderEvent]) -> str:
    actions, places = _listed(one.action for one in events), _listed(one.place for one in events)
    clients = _listed(one.agent for one in events)
    return f"({actions}) at {places} from {_listed(one.address for one in events)} by {clients}"


def _listed(texts: Iterable[str]) -> str:
    every = [one for one in dict.fromkeys(texts) if one]
    more = f" and {len(every) - 3:,} more" if len(every) > 3 else ""
    return ", ".join(every[:3]) + more if every else "-"


@rule(
    "event-provider-tripwire",
    "The token of a decoy was used at its provider",
    Severity.CRITICAL,
    Facts.PROVIDERS,
    about="by its hash, where the provider's log names tokens by one, as GitHub's does",
    techniques=(STEAL_TOKEN,),
)
def tripwire_used(uses: ProviderUses) -> Said:
    tripwires = {token.token: decoy.tripwire for decoy in uses.decoys.rows for token in decoy.tokens}
    by: dict[int, list[ProviderEvent]] = {}
    for event in uses.of_hashes(tripwires):
        by.setdefault(tripwires[event.token_hash or b""], []).append(event)
    for number, events in sorted(by.items()):
        yield provider_finding(
            Severity.CRITICAL,
            f"tripwire {number}",
            f"A token of a decoy of tripwire {number} was used",
            f"{counted(len(events), 'use')} {where_of(events)}; the record has the token's SHA-256: a fact",
            "Nobody legitimate has it: whoever used it opened a copy of the table. Find out who opened the "
            "decoy (keydeck findings), and declare a key compromise.",
            events[:MOST_EVENTS],
        )


Suspects = Callable[[], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ProviderRules:
    events: EventStore
    decoys: ReadDecoys = no_decoys
    suspects: Suspects = tuple

    def __call__(self, since: datetime, until: datetime, cancelled: Event | None) -> Iterator[Finding | Gap]:
        """Yield what the rules say of a window. Raises EventStoreError, InterruptedRunError."""
        log = ProviderLog(self.events.file)
        if not log.count(EventChoice("", since, until, with_token=True), cancelled=cancelled):
            return
        judge = UseJudge(log, self.events, suspects=self.suspects(), cancelled=cancelled)
        if judge.begins is not None and judge.begins + LEARNED > since:
            yield Gap(
                f"Providers' events: they begin at {in_utc(judge.begins)}: which addresses and clients are "
                f"usual isn't known yet of {in_utc(since)}",
                Severity.HIGH,
            )
        uses = ProviderUses(log, judge, since, until, cancelled, self.decoys())
        for judged in rules_about(Facts.PROVIDERS):
            stop_if(cancelled)
            yield from judged(uses)
