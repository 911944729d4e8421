"""The filter language over events: SQL and memory let the same events through, whatever is asked."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Term, Value, passes
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import FREE
from crypto_core.trail.query import FIELDS, parse, values
from crypto_core.trail.record_reader import load
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.conftest import ALIASES
from tests.crypto_core.trail.records import (
    KEY,
    NOW,
    OTHER_KEY,
    context,
    denied,
    event,
    read,
    role,
    user,
)
from tests.lanes import examples


def _sample() -> list[TrailEvent]:
    people: tuple[dict[str, Any], ...] = (
        role(),
        role("Platform", "api-2"),
        user("ana"),
        user("intruder"),
        user("100%_sure\\"),
        {"type": "Root", "arn": "arn:aws:iam::111122223333:root"},
        {"type": "AWSService", "invokedBy": "backup.amazonaws.com"},
    )
    found: list[TrailEvent] = []
    for n, who in enumerate(people * 3):
        ago = timedelta(minutes=31 * n, seconds=n)
        found.append(event(("Decrypt", "GenerateDataKey", "ReEncrypt")[n % 3], who=who, ago=ago))
        found.append(
            event(who=who, ago=ago, context=context(f"gh-{n}"), sourceIPAddress=f"10.20.{n % 3}.{n}")
        )
        found.append(read(denied(who=who, ago=ago, key=(KEY, OTHER_KEY)[n % 2])))
        found.append(event(who=who, ago=ago, userAgent="İstanbul ẞ [bold]", sourceIPAddress="2001:db8::7"))
    found.append(event("StopLogging", key=None, eventSource="cloudtrail.amazonaws.com"))
    found.append(event("CreateAlias", key=None, requestParameters={"aliasName": "alias/tokens-old"}))
    found.append(event(eventTime="9999-12-31T23:59:59Z"))
    # Ids that are the same in every process: they name the tests.
    return [replace(one, event_id=f"{n:08d}-aaaa-bbbb-cccc-0123456789ab") for n, one in enumerate(found)]


SAMPLE = [read(load(one.raw) | {"eventID": one.event_id}) for one in _sample()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("events") / "events.sqlite"
    store = EventStore(path, aliases=lambda: ALIASES, clock=lambda: NOW)
    store.add(SAMPLE)
    yield store
    store.close()


def _inside(text: str, one: TrailEvent) -> bool:
    try:
        return ipaddress.ip_address(one.source_ip) in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def expected(expression: str) -> set[str]:
    """The ids of the events that pass, decided one by one in memory."""
    return {one.event_id for one in SAMPLE if _lets_through(parse(expression, NOW), one)}


def _lets_through(terms: tuple[Term, ...], one: TrailEvent) -> bool:
    def read_field(field: str) -> Value:
        return values(one, field, ALIASES)

    def free(term: Term) -> bool:
        texts = [value for field in FREE for value in _as_texts(values(one, field, {}))]
        found = any(a.matches(text, anywhere=True) for a in term.alternatives for text in texts)
        return found or has_id(term)

    def has_id(term: Term) -> bool:
        # An id is looked up whole: there are as many as events.
        return any(
            a.matches(one.event_id) for a in term.alternatives if len(a.parts) == 1 or not any(a.parts)
        )

    for term in terms:
        if term.field is None:
            if free(term) is term.negated:
                return False
        elif term.field == "id":
            if has_id(term) is term.negated:
                return False
        elif term.field == "ip" and any("/" in a.text for a in term.alternatives):
            networks = any(_inside(a.text, one) for a in term.alternatives)
            if (networks or passes([_positive(term)], read_field)) is term.negated:
                return False
        elif not passes([term], read_field):
            return False
    return True


def _positive(term: Term) -> Term:
    return Term(term.field, term.alternatives, negated=False, position=term.position)


def _as_texts(value: Value) -> list[str]:
    return (
        [value]
        if isinstance(value, str)
        else [str(v) for v in value]
        if isinstance(value, tuple | list)
        else []
    )


EXAMPLES = [
    "",
    "name:Decrypt",
    "name:decrypt,GenerateDataKey",
    "-name:Decrypt",
    "error:*",
    "-error:*",
    "principal:*intruder*",
    "principal:intruder",
    "principal:user/intruder",
    "principal:role/platform",
    'principal:"arn:aws:iam::111122223333:role/platform"',
    "principal:*%*",
    "principal:*_*",
    "principal:*\\*",
    "key:alias/tokens",
    "key:alias/tokens-old",
    f"key:{OTHER_KEY}",
    f"key:{KEY.rsplit('/', 1)[-1]}",
    "key:*tokens*",
    "-key:*",
    "since:2h",
    "since:2h until:30m",
    "-since:2h",
    "time:2026-11-25",
    "time:2026-11-25T08:00..2026-11-25T10:00",
    "-time:2026-11-25",
    "time:>2026-11-25T10:00,<2026-11-25T04:00",
    "until:2026-11-25",
    "-service",
    "service",
    "denied -human",
    "root",
    "failed ip:10.20.1.17",
    "ip:10.20.0.0/16",
    "-ip:10.20.1.0/24",
    "ip:2001:db8::/32",
    "ip:10.20.*,2001:*",
    "token:*",
    "token:gh_connection.access_token:gh-4",
    "token:gh-4",
    "token:*gh-1*",
    "source:kms",
    "source:cloudtrail",
    "source:kms.amazonaws.com",
    "session:api-2",
    "access_key:akia*",
    "message:*not*authorized*",
    "region:eu-west-1 account:111122223333",
    "material:*068",
    "agent:*istanbul*",
    "agent:*ẞ*",
    "intruder",
    "-intruder",
    "tokens",
    '"not authorized"',
    "10.20.1.17",
    "*",
    "access*denied",
    f"id:{SAMPLE[3].event_id}",
    f"id:{SAMPLE[3].event_id.upper()}",
    SAMPLE[5].event_id,
    "-id:nothing",
    "id:*",
    "reviewed",
    "-reviewed -noted",
]


@pytest.mark.parametrize("expression", EXAMPLES)
def test_the_store_lets_through_what_the_language_means(filled: EventStore, expression: str) -> None:
    rows = filled.page(Query(expression), limit=500).rows
    assert {one.event.event_id for one in rows} == expected(expression)
    assert filled.count(Query(expression)) == len(rows)


_FLAGS = ("service", "failed", "denied", "human", "root", "console")
_WORDS = st.sampled_from(
    [
        *(
            "Decrypt",
            "*crypt",
            "intruder",
            "*:iam:*",
            "AccessDenied",
            "10.20.*",
            "10.20.0.0/22",
            "gh-1",
            "kms",
        ),
        *("*", "**", "%", "_", "\\", "'", "alias/tokens", "api-1", "ẞ", "i̇", "[bold]", "x" * 3_000),
        *("eu-west-1", "*a*b*", '"a b"'),
    ]
)
_TEXT_FIELDS = st.sampled_from(
    [name for name in FIELDS if name not in ("time", "since", "until", "reviewed", "noted", *_FLAGS)]
)
_TERMS = st.one_of(
    _WORDS,
    st.tuples(_TEXT_FIELDS, st.lists(_WORDS, min_size=1, max_size=3)).map(
        lambda p: f"{p[0]}:{','.join(p[1])}"
    ),
    st.sampled_from(_FLAGS),
    st.tuples(st.sampled_from(["since", "until"]), st.integers(0, 2_000), st.sampled_from("smhd")).map(
        lambda p: f"{p[0]}:{p[1]}{p[2]}"
    ),
    st.sampled_from(["time:2026-11-25", "time:2026-11-24..2026-11-25T03:00", "time:>2026-11-25T11:59:30"]),
)


@given(st.lists(st.tuples(st.sampled_from(["", "-"]), _TERMS).map("".join), max_size=4).map(" ".join))
@settings(max_examples=examples(300))
def test_any_filter_means_the_same_in_the_store_and_in_memory(filled: EventStore, expression: str) -> None:
    rows = filled.page(Query(expression), limit=500).rows
    assert {one.event.event_id for one in rows} == expected(expression)
    assert filled.count(Query(expression)) == len(rows)
    assert sum(v.events for v in filled.pivot("region", expression).values) == len(rows)
    histogram = filled.histogram(expression, bars=30)
    assert (histogram.total if histogram else 0) == len(rows)


@given(st.text(max_size=60))
@settings(max_examples=examples(300))
def test_any_text_is_a_filter_or_an_error_that_points_at_a_character(filled: EventStore, text: str) -> None:
    position = 0
    try:
        filled.count(Query(text))
    except InvalidFilterError as error:
        position = error.position
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    ("expression", "position", "said"),
    [
        ("name:Decrypt nme:x", 13, "no field 'nme'"),
        ("since:yesterday", 6, "'yesterday' is not a date"),
        ("since:2h -service:yes", 17, "service takes no value"),
        ('name:"Decrypt', 5, "quote is not closed"),
        ("time:..", 5, "beginning or an end"),
        ("since:999999w", 6, "too long ago"),
        ("name:", 5, "value is missing"),
    ],
)
def test_errors_point_at_the_character(filled: EventStore, expression: str, position: int, said: str) -> None:
    with pytest.raises(InvalidFilterError, match=said) as caught:
        filled.count(Query(expression))
    assert caught.value.position == position


def test_words_that_begin_like_a_flag_are_text(filled: EventStore) -> None:
    assert filled.count(Query("services")) == filled.count(Query('"services"'))
    assert filled.count(Query('"service"')) == len(expected('"service"')) != filled.count(Query("service"))
    assert filled.count(Query("SERVICE")) == filled.count(Query("service"))


def test_how_long_ago_is_counted_from_now() -> None:
    (term,) = parse("since:90m", NOW)
    assert term.field == "time"
    assert term.alternatives[0].at_least == NOW - timedelta(minutes=90)
