"""The filter language over events: SQL and memory let the same events through, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.lists.filter_language import Clause, Either, Term, Value, ValueKind, passes
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import FREE
from crypto_core.trail.query import FIELDS, enclosed, parse, values
from crypto_core.trail.record_reader import load
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import InvalidFilterError
from tests.crypto_core.trail.conftest import ALIASES
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, event, read, role, user
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
    for n, name in enumerate(("CreateGrant", "createGrant")):
        parameters = {
            "granteePrincipal": f"arn:aws:iam::99990000111{n}:role/other",
            "operations": ["Decrypt", "DescribeKey"],
            "constraints": {"encryptionContextSubset": {"keydeck:table": "gh_connection"}},
            "numberOfBytes": 32,
            "enabled": n == 0,
            "hostile": "\x1b[31m[/red]" + "a" * 2_000,
            "gr\u00fcn": None,
        }
        who = role(invokedBy="lambda.amazonaws.com") if n else user()
        found.append(event(name, who=who, requestParameters=parameters, tlsDetails={"tlsVersion": "TLSv1.2"}))
    signed = role("admin", "ana")
    signed["sessionContext"]["attributes"]["mfaAuthenticated"] = "true"
    found.append(
        event("PutKeyPolicy", who=signed, tlsDetails={"tlsVersion": "TLSv1.3"}, vpcEndpointId="vpce-1")
    )
    moved = {
        "sourceEncryptionContext": {"Tenant": "a:b"},
        "destinationEncryptionContext": {"aws:s3:arn": "arn:x"},
    }
    found.append(event("ReEncrypt", requestParameters=moved, tlsDetails={"tlsVersion": 3}))
    found.append(event("CreateAlias", key=None, requestParameters={"aliasName": "alias/tokens-old"}))
    found.append(event(eventTime="1969-12-31T23:10:00Z"))
    found.append(event(eventTime="never"))
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


def expected(expression: str) -> set[str]:
    """The ids of the events that pass, decided one by one in memory."""
    clauses = parse(expression, NOW)
    return {one.event_id for one in SAMPLE if all(_lets_through(clause, one) for clause in clauses)}


def _lets_through(clause: Clause, one: TrailEvent) -> bool:
    if isinstance(clause, Either):
        return clause.negated is not any(all(_lets_through(c, one) for c in b) for b in clause.branches)
    if clause.field is None:
        texts = [value for field in FREE for value in _as_texts(values(one, field, {}))]
        found = any(a.matches(text, anywhere=True) for a in clause.alternatives for text in texts)
        return clause.negated is not (found or _has_id(clause, one))
    if clause.field == "id":
        return clause.negated is not _has_id(clause, one)
    return passes([clause], lambda field: values(one, field, ALIASES))


def _has_id(term: Term, one: TrailEvent) -> bool:
    """An id is looked up whole, never searched: there are as many as events."""
    return any(
        a.matches(one.event_id)
        for a in term.alternatives
        if a.is_anything or (a.is_text and len(a.parts) == 1)
    )


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
    "name:Decrypt OR error:*",
    "since:2h OR (failed AND NOT principal:intruder)",
    "NOT (service OR failed) -(name:Decrypt since:2h)",
    "(intruder OR ip:10.20.0.0/22) (since:4h OR until:6h)",
    "id:nothing OR reviewed OR token:gh-4",
    "name:/^(de|en)crypt$/",
    r"-principal:/^role\/platform$/",
    r"agent:/i?stanbul|^aws/ -key:/alias\/tok/",
    "/not authorized/ OR /^10\\.20\\.[01]\\./",
    "hour:22..06",
    "-hour:9..17 weekday:wed,sat",
    "weekday:tue..wed hour:11,12 since:3d",
    "eventName:Decrypt errorCode:* sourceIPAddress:10.20.0.0/16 awsRegion:eu-west-1",
    "mfa:yes",
    "-mfa:yes -mfa:no",
    "tls:1.2 OR tls:TLSv1.3",
    "-tls:*",
    "invoked_by:lambda OR userIdentity.invokedBy:backup.amazonaws.com",
    "vpce:vpce-1",
    "param.grantee:*:99990000111*",
    "-param.granteePrincipal:/^arn:aws:iam::999900001110:/ param.operations:decrypt",
    "param.constraints.encryptionContextSubset.keydeck:gh",
    'param.constraints.encryptionContextSubset."keydeck:table":gh_connection',
    "requestParameters.numberOfBytes:32 param.enabled:true",
    "param.*:*99990000111* OR param.hostile:/\\[\\/red\\]/",
    "context.keydeck:id:gh-1,gh-2 -failed",
    "context.keydeck:table:* NOT context.keydeck:id:/^gh-1/",
    "encryptionContext.tenant:a:b OR context.aws:s3:arn:arn:x",
    "context.*:gh_connection since:2h",
    "param.nothing:* OR context.nothing:*",
    "userIdentity.arn:*intruder* OR userAgent:*istanbul* OR vpce:*",
]


@pytest.mark.parametrize("expression", EXAMPLES)
def test_the_store_lets_through_what_the_language_means(filled: EventStore, expression: str) -> None:
    rows = filled.page(Query(expression), limit=500).rows
    assert {one.event.event_id for one in rows} == expected(expression)
    assert filled.count(Query(expression)) == len(rows)


_FLAGS = ("service", "failed", "denied", "human", "root", "console")
_WORDS = st.sampled_from(
    [
        *("Decrypt", "*crypt", "intruder", "*:iam:*", "AccessDenied", "10.20.*", "gh-1", "kms"),
        *("*", "**", "%", "_", "\\", '"\'"', "alias/tokens", "api-1", "ẞ", "i̇", "[bold]", "x" * 3_000),
        *("eu-west-1", "*a*b*", '"a b"', "/^d/", "/crypt$|^gh-\\d$/", r"/[^a-z]\s?1/", "/./", r"/^role\//"),
    ]
)
_TEXT_FIELDS = st.sampled_from(
    sorted(name for name, field in FIELDS.items() if field.kind is ValueKind.TEXT and not field.values)
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
    st.sampled_from(["ip:10.20.0.0/22", "ip:10.20.1.17,2001:db8::/64", "ip:/^10/"]),
    st.tuples(st.integers(0, 23), st.integers(0, 23)).map(lambda p: f"hour:{p[0]}..{p[1]}"),
    st.tuples(
        st.sampled_from(["param.*", "param.grantee", "param.operations", "context.keydeck:id", "context.*"]),
        _WORDS,
    ).map(":".join),
    st.sampled_from(["weekday:wed", "weekday:sun..tue", "weekday:thu,mon"]),
)
_SIGNED = st.tuples(st.sampled_from(["", "-", "NOT "]), _TERMS).map("".join)
_FILTERS = st.recursive(
    _SIGNED,
    lambda inner: st.tuples(
        st.sampled_from(["({})", "NOT ({})", "-({})", "{}"]),
        st.sampled_from([" ", " OR ", " AND "]),
        st.lists(inner, min_size=1, max_size=3),
    ).map(lambda p: p[0].format(p[1].join(p[2]))),
    max_leaves=5,
)


@given(st.just("") | _FILTERS)
@settings(max_examples=examples(400))
def test_any_filter_means_the_same_in_the_store_and_in_memory(filled: EventStore, expression: str) -> None:
    rows = filled.page(Query(expression), limit=500).rows
    assert {one.event.event_id for one in rows} == expected(expression)
    assert filled.count(Query(expression)) == len(rows)
    narrowed = enclosed(expression)
    assert sum(v.events for v in filled.pivot("region", expression).values) == len(rows)
    assert filled.count(Query(f"{narrowed} failed")) + filled.count(Query(f"-failed {narrowed}")) == len(rows)
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
        ("since:2h eventnam:x", 9, "no field 'eventnam'"),
        ("name:Decrypt | name:Encrypt", 13, "'|' is not known"),
        ("ip:10.0.0.0/33", 3, "is not a network"),
        ("name:Decrypt 10.0.0.0/8", 13, "Write ip:10.0.0.0/8"),
        ("2001:db8::/32", 0, "Write ip:2001:db8::/32"),
        ("last 24h", 5, "Write since:24h"),
        ("failed 2026-11-25..", 7, "Write time:2026-11-25.."),
        ("root mfa", 5, "value for mfa is missing"),
        ("hour:25", 5, "hour is never '25'"),
        ("principal:*assumed-role/platform/api-1", 0, "not one session"),
        ("a OR userIdentity.arn:arn:aws:sts::111122223333:assumed-role/a/b", 5, "not one session"),
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
    assert isinstance(term, Term)
    assert term.field == "time"
    assert term.alternatives[0].at_least == NOW - timedelta(minutes=90)


@pytest.mark.deep
def test_as_many_values_as_a_filter_may_have_are_asked(filled: EventStore) -> None:
    many = ",".join(f"x{n}" for n in range(1_900))
    assert filled.count(Query(f"principal:{many},intruder")) == len(expected("principal:intruder"))
    words = " OR ".join(f"x{n}" for n in range(299))
    assert filled.count(Query(f"{words} OR intruder")) == len(expected("intruder"))
    assert filled.count(Query(" ".join(f"-principal:x{n}" for n in range(300)))) == len(SAMPLE)


def test_who_names_a_session_is_told_how(filled: EventStore) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        parse("userIdentity.arn:arn:aws:sts::111122223333:assumed-role/Platform/api-2", NOW)
    assert caught.value.remedy == "Write principal:role/Platform session:api-2."
    assert filled.count(Query("principal:role/Platform session:api-2")) > 0


def test_what_is_asked_of_records_is_found(filled: EventStore) -> None:
    """The two sides agree; here they agree on what is meant."""
    for expression, number in {
        "param.grantee:*:99990000111*": 2,
        "param.operations:decrypt": 2,
        "param.constraints:gh_connection": 2,
        'param.constraints.encryptionContextSubset."keydeck:table":gh_connection': 2,
        "param.enabled:true": 1,
        "param.numberOfBytes:32": 2,
        "context.keydeck:id:gh-1": 1,
        "encryptionContext.tenant:a:b": 1,
        "context.aws:s3:arn:arn:x": 1,
        r"param.hostile:/^\[31m\[\/red\]a+$/": 2,
        "mfa:yes": 1,
        "tls:1.3": 1,
        "tls:1.2": 2,
        "invoked_by:lambda": 1,
        "hour:23 weekday:wed time:..1970-01-01": 1,
        "hour:0 time:..1900-01-01": 0,
    }.items():
        assert filled.count(Query(expression)) == number, expression


def test_a_page_reads_the_records_of_what_passes_the_rest(
    filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost is bounded by the other terms: SQLite asks for a record last."""
    from crypto_core.trail.store import event_places

    asked: list[bytes] = []
    whole = event_places.record_values
    monkeypatch.setattr(event_places, "record_values", lambda r, f: asked.append(r) or whole(r, f))
    for narrowed in ("name:CreateGrant,CreateAlias", "since:1m -service error:*", "mfa:yes"):
        asked.clear()
        filled.page(Query(f"param.nothing:* {narrowed}"), limit=500)
        assert len(asked) == filled.count(Query(narrowed)) < len(SAMPLE) / 4
