"""The store answers rules by its hourly counts where these know; here its events are counted one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from crypto_core.lists.filter_language import Alternative, Clause, Either, Term, passes
from crypto_core.trail.columns import DAY as A_DAY
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.query import values
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.history import History, Span, flag, has, like
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, read, record, role, user
from tests.crypto_core.trail.rules.watching import ALIASES, DAY, FOREIGN, HOUR, change, normal, trail_call

HOSTILE = 'x\'; DROP TABLE "event"; -- \x1b[31m[/red]\u202e'
RETIRED = OTHER_KEY
END = NOW + timedelta(seconds=1)
WINDOW = Span(NOW - timedelta(days=1), NOW - timedelta(seconds=299, microseconds=1))


def refused(name: str, ago: float, who: Mapping[str, Any]) -> Mapping[str, Any]:
    return denied(name, who=who, eventTime=record(ago=ago)["eventTime"])


def attacks() -> Iterator[Mapping[str, Any]]:
    yield from normal(8, context=context("gh-1"))
    thief, prober = role("thief"), role("prober")
    yield from (
        record(ago=5_000 - 2 * n, context=context(f"gh-{n}"), who=thief, sourceIPAddress=f"203.0.113.{n % 9}")
        for n in range(70)
    )
    yield from (record(ago=3_500 - 3 * n, who=user(HOSTILE)) for n in range(230))
    operations = ("Decrypt", "DescribeKey", "ListKeys", "GetKeyPolicy", "ReEncrypt")
    yield from (refused(operations[n % 5], 20_000 - 7 * n, prober) for n in range(25))
    yield from (refused(name, 70_000 - n * HOUR * 3, user("slow")) for n, name in enumerate(operations))
    yield record(ago=60, sourceIPAddress="198.51.100.7", userAgent="curl/8", vpcEndpointId="vpce-1")
    yield record(ago=61, awsRegion="us-east-1", sessionCredentialFromConsole="true")
    yield record(ago=DAY * 3 + 5, errorCode="InvalidCiphertextException")
    yield record(ago=62, errorCode="InvalidCiphertextException")
    yield record("Decrypt", key=RETIRED, ago=63)
    yield record("GenerateDataKey", ago=DAY * 2)
    yield record("GenerateDataKey", key=KEY.replace("111122223333", FOREIGN), ago=64)
    yield record("ListKeys", who={"type": "Root", "arn": "arn:aws:iam::111122223333:root"}, ago=65)
    yield change("DisableKey", {"keyId": KEY}, key=KEY, ago=500)
    yield change("ScheduleKeyDeletion", {"keyId": KEY, "pendingWindowInDays": 7}, key=KEY, ago=400)
    yield trail_call("StopLogging", ago=300)
    yield trail_call("UpdateTrail", {"s3BucketName": "trail-bucket"}, ago=290)
    for n, bucket in enumerate(("trail-bucket", "another")):
        yield change(
            "DeleteBucket", {"bucketName": bucket}, key=None, eventSource="s3.amazonaws.com", ago=280 - n
        )
    yield record(ago=-8 * HOUR)


FOUND = {
    *("event-bulk-tokens", "event-bulk-decrypt", "event-failed-burst", "event-denied-slowly"),
    *("event-context-wrong", "event-context-missing", "event-decrypt-new-principal", "event-retired-key"),
    *("event-decrypt-new-network", "event-decrypt-new-endpoint", "event-decrypt-new-region"),
    *("event-decrypt-new-agent", "event-decrypt-human", "event-console-use", "event-root-use"),
    *("event-wrong-write-key", "event-key-ransom", "event-trail-bucket-deleted"),
}
"""The rules that find something, at least."""


@pytest.fixture(scope="module")
def events() -> Sequence[TrailEvent]:
    return sorted(map(read, attacks()), key=lambda event: (event.time, event.event_id))


@pytest.fixture(scope="module")
def store(events: Sequence[TrailEvent], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    path = tmp_path_factory.mktemp("events") / "e.sqlite"
    made = EventStore(path, aliases=lambda: ALIASES, clock=lambda: NOW)
    made.add(events)
    yield made
    made.close()


def test_rules_find_each_of_many_attacks(store: EventStore) -> None:
    rules = TrailRules(store, Configured(KEY, (), (RETIRED,)), aliases=lambda: ALIASES, clock=lambda: NOW)
    assert {one.rule for one in rules.examine_events(None, END).findings} >= FOUND


OPENED = (
    has("source", "kms.amazonaws.com"),
    has("name", "Decrypt", "ReEncrypt"),
    flag("service", negated=True),
)
TERMS: Mapping[str, tuple[Clause, ...]] = {
    "everything": (),
    "what was opened": OPENED,
    "one principal": (like("principal", "*thief"), *OPENED),
    "a hostile name": (has("principal", f"arn:aws:iam::111122223333:user/{HOSTILE}"),),
    "by a key's alias": (like("key", "alias/tokens"), flag("failed", negated=True)),
    "no token": (like("token", "*"), has("error", "AccessDenied", negated=True)),
    "one of two": (Either(((flag("denied"),), (has("region", "us-east-1"),)), negated=False, position=0),),
    "nothing": (has("name", "Nothing"),),
}


def text(event: TrailEvent, field: str) -> str:
    return EVENT_FIELDS[field].text(event)


def busiest(events: Sequence[TrailEvent], width: int, step: int, distinct: str = "") -> Mapping[str, Any]:
    """For each principal the stretch with most different values, then most events, then the earliest."""
    by_principal: dict[str, list[TrailEvent]] = defaultdict(list)
    for event in events:
        by_principal[text(event, "principal")].append(event)
    found = {}
    for principal, its in by_principal.items():
        begins = {seconds(one.time) // step * step - back for one in its for back in range(0, width, step)}
        ranked = []
        for begin in begins:
            within = [one for one in its if begin <= seconds(one.time) < begin + width]
            different = len({text(one, distinct) for one in within}) if distinct else len(within)
            ranked.append((-different, -len(within), begin))
        most, _, begin = min(ranked)
        found[principal] = -most, moment(begin)
    return found


def clauses(span: Span) -> tuple[Term, ...]:
    if span == Span():
        return ()
    value = Alternative(at_least=span.since, at_most=span.until, include_most=False)
    return (Term("time", (value,), negated=False, position=0),)


@pytest.mark.parametrize("span", [WINDOW, Span()], ids=["window", "always"])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_each_question_is_answered_as_by_counting_the_events(
    store: EventStore, events: Sequence[TrailEvent], terms: tuple[Clause, ...], span: Span
) -> None:
    def among(*wanted: Clause) -> list[TrailEvent]:
        return [one for one in events if passes(wanted, partial(values, one, aliases=ALIASES))]

    history = History(store.file, lambda: ALIASES)
    its, within = among(*terms, *clauses(span)), among(*clauses(span))
    for fields in (("principal", "key"), ("name", "error", "ip")):
        counted = Counter(tuple(text(one, field) for field in fields) for one in its)
        groups = history.groups(fields, terms, span)
        assert {group.values: group.events for group in groups} == counted
    hourly = history.hourly(terms, span)
    assert {who: (one.number, one.since) for who, one in hourly.items()} == busiest(its, HOUR, HOUR)
    for minutes, distinct in ((10, ""), (10, "token"), (24 * 60, "name")):
        bursts = history.bursts(terms, span, minutes=minutes, distinct=distinct)
        having = [one for one in its if not distinct or text(one, distinct)]
        expected = busiest(having, minutes * 60, minutes * 30, distinct)
        assert {who: (one.number, one.since) for who, one in bursts.items()} == expected
    named: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for one in its:
        named[text(one, "key"), text(one, "principal")][not one.token_ref] += 1
    split = history.split_by_token(terms, span)
    assert split == {pair: tuple(numbers) for pair, numbers in named.items()}
    assert history.days(span) == len({seconds(one.time) // A_DAY for one in within})
    assert history.any(span)
    assert history.events(terms, span, limit=7, newest_first=False) == tuple(its[:7])
    assert history.events(terms, span, limit=7) == tuple(its[::-1][:7])
    assert history.first() == events[0].time.replace(minute=0, second=0)
