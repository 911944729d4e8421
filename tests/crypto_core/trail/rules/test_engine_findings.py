"""The rules over a copy in Parquet say word for word what they say of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Clause, Either
from crypto_core.trail.event_sql.questions import EngineHistory
from crypto_core.trail.parquet.event_copy import EventCopy
from crypto_core.trail.parquet.export import export_events
from crypto_core.trail.rules.examination import EngineRules
from crypto_core.trail.rules.rule_context import RuleContext
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.event_questions import Span, flag, has, like
from crypto_core.trail.store.history import History
from tests.crypto_core.trail.records import NOW, read
from tests.crypto_core.trail.rules.many_attacks import CONFIGURED, END, EVER, FOUND, HOSTILE, WINDOW, attacks
from tests.crypto_core.trail.rules.watching import ALIASES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    made = EventStore(
        tmp_path_factory.mktemp("events") / "e.sqlite", aliases=lambda: ALIASES, clock=lambda: NOW
    )
    made.add([read(one) for one in attacks()])
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(store: EventStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lake") / "copy"
    export_events(store, made, at=NOW)
    return made


@pytest.fixture(scope="module")
def copy(folder: Path) -> Iterator[EventCopy]:
    made = EventCopy(folder, aliases=lambda: ALIASES, clock=lambda: NOW)
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(copy: EventCopy) -> EngineRules:
    return EngineRules(EngineHistory(copy), CONFIGURED, lambda: ALIASES, clock=lambda: NOW)


def test_findings_are_the_same_word_for_word(store: EventStore, engine: EngineRules) -> None:
    rules = TrailRules(store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW)
    its, mine = (one.examine_events(None, END) for one in (rules, engine))
    assert mine.findings == its.findings
    assert mine.gaps == its.gaps
    assert {one.rule for one in mine.findings} >= FOUND
    for finding in mine.findings:
        assert tuple(event.event_id for event in engine.events_of(finding)) == finding.events


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


DEEP = ("everything", "one principal", "nothing", "what was opened")


@pytest.mark.parametrize(
    "terms",
    [pytest.param(one, id=name, marks=[pytest.mark.deep] * (name in DEEP)) for name, one in TERMS.items()],
)
def test_each_question_is_answered_as_the_store_answers(
    store: EventStore, copy: EventCopy, terms: tuple[Clause, ...]
) -> None:
    its, mine = History(store.file, lambda: ALIASES), EngineHistory(copy)
    for span in (WINDOW, Span()):
        for fields in (("principal", "key"), ("name", "error", "ip")):
            told = [(group.values, group.events) for group in mine.groups(fields, terms, span)]
            assert told == [(group.values, group.events) for group in its.groups(fields, terms, span)]
        assert mine.hourly(terms, span) == its.hourly(terms, span)
        for minutes, distinct in ((10, ""), (10, "token"), (24 * 60, "name")):
            bursts = [one.bursts(terms, span, minutes=minutes, distinct=distinct) for one in (mine, its)]
            assert bursts[0] == bursts[1]
        assert mine.split_by_token(terms, span) == its.split_by_token(terms, span)
        assert (mine.days(span), mine.any(span)) == (its.days(span), its.any(span))
        for newest_first in (True, False):
            events = [one.events(terms, span, limit=7, newest_first=newest_first) for one in (mine, its)]
            assert events[0] == events[1]
    assert mine.first() == its.first()


def test_what_stands_in_records_alone_is_looked_for_in_few_of_them(
    store: EventStore, copy: EventCopy
) -> None:
    its, mine = History(store.file), EngineHistory(copy)
    for terms in (
        (has("param.bucketname", "trail-bucket"),),
        (has("source", "s3.amazonaws.com"), has("param.bucketname", "trail-bucket", negated=True)),
        (has("context.keydeck:id", "gh-69"),),
    ):
        (found,) = mine.events(terms, EVER, limit=1)
        assert (found,) == its.events(terms, EVER, limit=1)


def test_what_cannot_be_asked_is_refused_by_name(copy: EventCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = EngineHistory(copy)
    for term in (has("param.bucketname", "trail-bucket"), has("reviewed", "yes")):
        with pytest.raises(InvalidFilterError, match=f"A copy in Parquet can't be asked for {term.field}"):
            asked.groups(("name",), (term,), EVER)
    unasked = property(lambda _self: (has("noted", "yes"),))
    monkeypatch.setattr(RuleContext, "openings", unasked)
    examined = EngineRules(asked, CONFIGURED, clock=lambda: NOW).examine_events(None, END)
    told = [gap for gap in examined.gaps if "was not examined: " in gap.reason]
    assert any("event-bulk-tokens" in gap.reason and "asked for noted" in gap.reason for gap in told)
    assert "event-failed-burst" in {one.rule for one in examined.findings}


def test_an_empty_window_is_a_gap(engine: EngineRules) -> None:
    examined = engine.examine_events(NOW - timedelta(days=90), NOW - timedelta(days=89))
    assert examined.findings == ()
    assert [gap.reason for gap in examined.gaps] == [
        "CloudTrail events: there are none from 2026-08-27 12:00 to 2026-08-28 12:00 UTC"
    ]
