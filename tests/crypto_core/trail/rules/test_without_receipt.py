"""decrypt-without-receipt: every call that nothing explains is told once it can be judged, and no other."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from crypto_core.aws.receipts.receipt import LostReceipts, ReceiptProcess
from crypto_core.findings.finding import Severity
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import ReceiptPolicy
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from tests.benchmarks.receipts_join import scenario, take_in
from tests.crypto_core.trail.records import NOW, OTHER_KEY, S3_CONTEXT, user
from tests.crypto_core.trail.rules.watching import ALIASES, CONFIGURED, HOUR, of
from tests.crypto_core.trail.test_receipts import PROCESS, called, receipt

RULE = "decrypt-without-receipt"
SINCE = NOW - timedelta(hours=12)
THIEF = user()


class Judge:
    """Rules over a store in which all writes receipts since 12 hours ago."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.now = NOW
        self.rules = TrailRules(
            *(store, CONFIGURED, lambda: ALIASES),
            clock=lambda: self.now,
            receipts=ReceiptPolicy(SINCE),
        )
        history = [called(ago=13 * HOUR + n) for n in range(5)]
        self.store.add(history)
        self.store.add_receipts(list(map(receipt, history)))

    def take(self, events: list[TrailEvent], told: list[TrailEvent], **more: str) -> None:
        """Take in events, and the receipts of some."""
        self.store.add(events)
        self.store.add_receipts([receipt(one) for one in told], **more)
        self.pulled()

    def pulled(self, at: datetime | None = None) -> None:
        self.store.note_receipts_reached("table", "x", at or self.now)

    def titles(self) -> dict[str, str]:
        """What the rule says, by title, with its evidence."""
        found = of(self.rules.examine_events(), RULE)
        return {one.title: one.evidence for one in found}

    def gaps(self) -> list[str]:
        return [gap.reason for gap in self.rules.examine_events().gaps if gap.reason.startswith("Receipts")]


@pytest.fixture
def judge(store: EventStore) -> Judge:
    return Judge(store)


def test_calls_that_nothing_explains_are_critical_a_rewrap_too(judge: Judge) -> None:
    fine = [called(ago=3 * HOUR + n) for n in range(50)]
    stolen = [called(ago=3 * HOUR + n, who=THIEF) for n in range(7)]
    away = called(ago=4 * HOUR, who=THIEF, name="ReEncrypt", key=OTHER_KEY)
    judge.take([*fine, *stolen, away], fine)
    (found,) = of(judge.rules.examine_events(), RULE)
    assert (found.severity, found.subject) == (Severity.CRITICAL, stolen[0].principal.arn)
    assert "8 calls of " in found.evidence
    assert "ReEncrypt" in found.evidence
    assert {*found.events} == {one.event_id for one in (*stolen, away)}
    assert "T1528" in found.techniques


def test_nothing_is_told_before_the_moment_nor_without_the_setting(judge: Judge) -> None:
    judge.take([called(ago=12 * HOUR + 5, who=THIEF)], [])
    assert judge.titles() == {}
    judge.take([called(ago=3 * HOUR, who=THIEF)], [])
    assert len(judge.titles()) == 1
    assert of(replace(judge.rules, receipts=None).examine_events(), RULE) == []


def test_a_late_receipt_has_its_time_and_one_that_was_not_taken_in_is_a_gap(judge: Judge) -> None:
    young, old = called(ago=3_000), called(ago=2 * HOUR)
    judge.store.add([young, old])
    judge.pulled(NOW - timedelta(hours=4))
    assert judge.titles() == {}
    (gap,) = judge.gaps()
    assert "1 call since then" in gap
    judge.store.add_receipts([receipt(old)])
    judge.pulled()
    assert (judge.titles(), judge.gaps()) == ({}, [])
    judge.store.add_receipts([receipt(young, after=1)])
    judge.now += timedelta(hours=1)
    judge.pulled()
    assert judge.titles() == {}


def test_other_uses_than_opening_a_token_need_no_receipt(judge: Judge) -> None:
    others = [
        called(ago=3 * HOUR, name="GenerateDataKey"),
        called(ago=3 * HOUR, errorCode="AccessDenied"),
        called(ago=3 * HOUR, context=S3_CONTEXT, sourceIPAddress="s3.amazonaws.com"),
        called(
            ago=3 * HOUR, key="arn:aws:kms:eu-west-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab"
        ),
    ]
    judge.take(others, [])
    assert judge.titles() == {}


def test_a_forged_receipt_explains_nothing_and_is_told(judge: Judge) -> None:
    own = [called(ago=3 * HOUR + n) for n in range(3)]
    judge.take(own, own)
    theirs = called(ago=3 * HOUR, who=THIEF)
    judge.store.add([theirs])
    judge.store.add_receipts([receipt(theirs, process=ReceiptProcess(clean("h"), 1, clean("api")))])
    assert list(judge.titles()) == ["user/intruder has receipts before which it had none"]
    other = called(ago=3 * HOUR)
    judge.store.add([other])
    judge.store.add_receipts([receipt(other)], writer="reporting")
    told = judge.titles()["role/platform has receipts by another writer than before"]
    assert "database role reporting" in told
    moved, renamed = called(ago=3 * HOUR, who=THIEF), called(ago=3 * HOUR, who=THIEF)
    judge.store.add([moved, renamed])
    evil = ReceiptProcess(clean("[/red]\x1b[2J"), 1, clean("evil\u202e"))
    judge.store.add_receipts(
        [
            receipt(moved, after=400, process=evil),
            receipt(renamed, operation=clean("ReEncrypt"), process=evil),
        ]
    )
    titles = judge.titles()
    assert "user/intruder opened something without a receipt" in titles
    (contradicted,) = [title for title in titles if title.endswith("contradict CloudTrail")]
    assert "2 receipts" in titles[contradicted]
    assert not {"\x1b", "\u202e"} & set(contradicted)


def test_what_a_process_says_it_lost_excuses_so_many_of_its_own_calls_and_is_a_gap(judge: Judge) -> None:
    own = [called(ago=3 * HOUR + n, requestID=f"3f{n}e0d0c-0b0a-4908-8706-050403020100") for n in range(10)]
    judge.take(own, own[:5])
    assert "5 calls" in next(iter(judge.titles().values()))
    lost = LostReceipts(3, own[-1].time, own[0].time, PROCESS)
    judge.store.add_receipts([lost])
    assert "2 calls" in next(iter(judge.titles().values()))
    assert any("3 calls have none" in gap for gap in judge.gaps())
    judge.store.add_receipts([receipt(own[0], unanswered=2, token=clean("t"))])
    assert judge.titles() == {}
    assert any("2 calls may be attempts" in gap for gap in judge.gaps())
    stolen = called(ago=3 * HOUR, who=THIEF)
    judge.take([stolen], [])
    assert len(judge.titles()) == 1


def test_calls_that_could_not_be_judged_when_they_came_are_judged_later(judge: Judge) -> None:
    midnight = NOW.replace(hour=0)
    judge.now = midnight + timedelta(minutes=5)
    judge.rules.receipts = ReceiptPolicy(midnight - timedelta(hours=6))
    first = judge.rules.examine_arrivals()
    judge.rules.note_told(first)
    stolen = called(ago=(NOW - midnight).total_seconds() + 300, who=THIEF)
    judge.take([stolen], [])
    soon = judge.rules.examine_arrivals()
    assert of(soon.examined, RULE) == []
    judge.rules.note_told(soon)
    judge.now += timedelta(hours=3)
    judge.pulled()
    later = judge.rules.examine_arrivals()
    assert len(of(later.examined, RULE)) == 1
    judge.rules.note_told(later)
    assert of(judge.rules.examine_arrivals().examined, RULE) == []


def test_without_keys_or_receipts_of_before_that_is_a_gap(store: EventStore) -> None:
    store.add([called(ago=3 * HOUR)])
    rules = TrailRules(store, clock=lambda: NOW, receipts=ReceiptPolicy(SINCE))
    assert any("guard tokens" in gap.reason for gap in rules.examine_events().gaps)
    known = TrailRules(store, CONFIGURED, clock=lambda: NOW, receipts=ReceiptPolicy(SINCE))
    told = [gap.reason for gap in known.examine_events().gaps]
    assert any("never taken in: 1 call" in gap for gap in told)
    new = called(ago=3 * HOUR)
    store.add([new])
    store.add_receipts([receipt(new)])
    store.note_receipts_reached("table", "x", NOW)
    told = [gap.reason for gap in known.examine_events().gaps]
    assert any("who wrote them then is not known" in gap for gap in told)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_of_many_calls_with_late_double_and_lost_records_all_stolen_ones_are_told(
    store: EventStore, seed: int
) -> None:
    made = scenario(random.Random(seed), NOW, calls=1_500, stolen=25)
    told = take_in(store, made)
    assert told.stolen_told == 25
    assert told.told_falsely == 0
    assert told.calls == 1_500


def test_an_unknown_moment_is_refused_by_the_settings(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.settings import load

    monkeypatch.setenv("KEYDECK_RECEIPTS_COMPLETE_SINCE", "2026-11-29T12:00:00+01:00")
    loaded = load()
    assert ("receipts_complete_since", "2026-11-29T11:00:00Z") in {row[:2] for row in loaded.shown()}
    monkeypatch.setenv("KEYDECK_RECEIPTS_COMPLETE_SINCE", "2026-11-29T12:00:00")
    with pytest.raises(KeydeckError, match="KEYDECK_RECEIPTS_COMPLETE_SINCE"):
        load()
