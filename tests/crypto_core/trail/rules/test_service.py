"""The rules together: windows, gaps, suppressions, bounds; a real attack; the sandbox's traffic."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from console.sandbox.sandbox import Sandbox
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.guard import Guard
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.history import History
from crypto_core.trail.store.suppressions import Suppressions, sift
from crypto_core.values import errors
from tests.crypto_core.paper_journal import Paper
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, read, record, user
from tests.crypto_core.trail.rules.watching import DAY, HOUR, Watch, change, of

CORPUS = Path(__file__).parents[4].parent / "shared" / "corpus" / "cloudtrail-invictus"


def test_an_empty_store_is_a_gap_that_says_how_to_fill_it(watch: Watch) -> None:
    examined = watch([])
    assert examined.findings == ()
    (gap,) = examined.gaps
    assert gap.hides is Severity.LOW
    assert "keydeck events pull" in gap.reason


def test_an_old_store_is_a_gap_too(watch: Watch) -> None:
    (gap,) = watch([record(ago=9 * DAY)]).gaps
    assert "none since 2026-11-24" in gap.reason


def test_the_window_is_what_is_examined(watch: Watch) -> None:
    mine = change("DisableKey", ago=2 * DAY)
    assert of(watch([mine, record(ago=60)]), "event-key-disabled") == []
    since = NOW - timedelta(days=3)
    assert len(of(watch([], since=since), "event-key-disabled")) == 1
    assert of(watch([], since=since, until=NOW - timedelta(days=2, hours=1)), "event-key-disabled") == []


def test_an_event_on_the_windows_first_second_is_in_it_and_on_its_last_is_not(watch: Watch) -> None:
    watch([change("DisableKey", ago=HOUR)])
    begin = NOW - timedelta(hours=1)
    second = timedelta(seconds=1)
    assert of(watch([], since=begin, until=begin + second), "event-key-disabled")
    assert not of(watch([], since=begin - second, until=begin), "event-key-disabled")


def test_a_window_that_ends_before_it_begins_is_refused(watch: Watch) -> None:
    with pytest.raises(errors.RefusedError):
        watch([], since=NOW, until=NOW)


def test_the_worst_is_first_and_findings_are_bounded(watch: Watch) -> None:
    many = [change("DisableKey", ago=60, who=user(f"u{n}")) for n in range(60)]
    examined = watch([*many, change("ScheduleKeyDeletion", {"pendingWindowInDays": 7}, ago=30)])
    ranks = [finding.severity.rank for finding in examined.findings]
    assert ranks == sorted(ranks)
    assert len(of(examined, "event-key-disabled")) == 50
    assert any("10 more findings of event-key-disabled are not listed" in g.reason for g in examined.gaps)


def test_a_key_that_nobody_can_name_is_a_gap_and_its_alias_still_counts(tmp_path: Path) -> None:
    def refuse(_name: str) -> str:
        raise errors.KmsAccessDeniedError("Not allowed.", action="kms:DescribeKey")

    store = EventStore(tmp_path / "e.sqlite", clock=lambda: NOW)
    store.add([read(record(ago=60))])
    rules = TrailRules(store, Configured("alias/gone"), describe=refuse, clock=lambda: NOW)
    assert any("which key alias/gone is" in gap.reason for gap in rules.examine_events().gaps)


def test_an_examination_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    from threading import Event

    store = EventStore(tmp_path / "e.sqlite", clock=lambda: NOW)
    store.add([read(record(ago=60))])
    cancelled = Event()
    cancelled.set()
    with pytest.raises(errors.InterruptedRunError):
        TrailRules(store, clock=lambda: NOW).examine_events(cancelled=cancelled)


# Suppressions


def test_what_is_suppressed_is_counted_and_comes_back_when_it_ends(tmp_path: Path) -> None:
    now = [NOW]
    store = EventStore(tmp_path / "e.sqlite", clock=lambda: now[0])
    store.add([read(change("DisableKey", ago=60)), read(change("DisableKey", ago=60, key=OTHER_KEY))])
    rules = TrailRules(store, Configured(KEY), clock=lambda: now[0], guard=guard())
    with pytest.raises(errors.RefusedError, match="No rule"):
        rules.suppress("event-key-disabeld", KEY, "planned", 2, "ana")
    made = rules.suppress("event-key-disabled", KEY, "planned", 2, "ana")
    examined = rules.examine_events(NOW - timedelta(days=1))
    assert [f.subject for f in of(examined, "event-key-disabled")] == [OTHER_KEY]
    (hidden,) = examined.suppressed
    assert (hidden.finding.subject, hidden.by.reason, hidden.by.by) == (KEY, "planned", "ana")
    now[0] = made.until - timedelta(seconds=1)
    assert len(rules.examine_events(NOW - timedelta(days=1)).suppressed) == 1
    now[0] = made.until
    examined = rules.examine_events(NOW - timedelta(days=1))
    assert examined.suppressed == ()
    assert len(of(examined, "event-key-disabled")) == 2
    assert rules.suppressions() == ()
    assert rules.suppressions(expired=True) == (made,)


def test_a_suppression_is_taken_back_by_its_number(tmp_path: Path) -> None:
    rules = TrailRules(EventStore(tmp_path / "e.sqlite"), clock=lambda: NOW, guard=guard())
    made = rules.suppress("event-key-disabled", "*", "why", 1, "ana")
    rules.unsuppress(made.number)
    assert rules.suppressions() == ()
    with pytest.raises(errors.RefusedError):
        rules.unsuppress(made.number)


@pytest.mark.parametrize(
    ("rule", "reason", "days"),
    [("", "why", 1), ("r", "", 1), ("r", " \x1b", 1), ("r", "why", 0), ("r", "why", 367)],
)
def test_a_suppression_needs_a_rule_a_reason_and_an_end(
    tmp_path: Path, rule: str, reason: str, days: int
) -> None:
    rules = TrailRules(EventStore(tmp_path / "e.sqlite"), clock=lambda: NOW, guard=guard())
    with pytest.raises(errors.RefusedError):
        rules.suppress(rule, "*", reason, days, "ana")
    assert rules.suppressions(expired=True) == ()


def test_what_changes_suppressions_is_journaled_or_not_done(tmp_path: Path) -> None:
    paper = Paper()
    rules = TrailRules(EventStore(tmp_path / "e.sqlite"), clock=lambda: NOW, guard=guard(paper))
    made = rules.suppress("event-key-disabled", KEY, "planned", 2, "ana")
    paper.torn = errors.DatabaseUnreachableError("Gone.")
    with pytest.raises(errors.DatabaseUnreachableError):
        rules.suppress("event-key-disabled", "*", "why", 2, "ana")
    with pytest.raises(errors.DatabaseUnreachableError):
        rules.unsuppress(made.number)
    assert rules.suppressions() == (made,)
    paper.torn = None
    with pytest.raises(errors.RefusedError):
        rules.suppress("no-rule", "*", "why", 2, "ana")
    rules.unsuppress(made.number)
    assert [(action, subject, outcome.value) for action, subject, outcome, _ in paper.entries] == [
        ("findings suppress", f"event-key-disabled about {KEY}", "done"),
        ("findings suppress", "no-rule about *", "refused"),
        ("findings unsuppress", f"event-key-disabled about {KEY}", "done"),
    ]
    assert paper.entries[0][3]["until"] == made.until.isoformat()


@pytest.mark.parametrize("read_only", [True, None])
def test_read_only_or_without_a_guard_nothing_is_suppressed(tmp_path: Path, read_only: bool | None) -> None:
    stands = None if read_only is None else guard(read_only=read_only)
    rules = TrailRules(EventStore(tmp_path / "e.sqlite"), clock=lambda: NOW, guard=stands)
    for suppressing in (
        lambda: rules.suppress("event-key-disabled", "*", "why", 1, "a"),
        lambda: rules.unsuppress(1),
    ):
        with pytest.raises(errors.ReadOnlyError):
            suppressing()
    assert rules.suppressions(expired=True) == ()


def guard(paper: Paper | None = None, *, read_only: bool = False) -> Guard:
    return Guard(paper or Paper(), read_only=read_only, ready=lambda: None)


def test_subjects_are_patterns_and_rules_are_not(tmp_path: Path) -> None:
    made = Suppressions(EventStore(tmp_path / "e.sqlite").file, lambda: NOW)
    some = made.add("a", "arn:aws:iam::*:user/batch-*", "why", 1, "ana")
    exact = made.add("b", "user/[x]*y", "why", 1, "ana")

    def about(rule: str, subject: str) -> Finding:
        return Finding(rule, Severity.LOW, subject, "t", "e", "r")

    assert some.covers(about("a", "arn:aws:iam::1:user/batch-7"))
    assert not some.covers(about("a", "arn:aws:iam::1:user/ana"))
    assert not some.covers(about("aa", "arn:aws:iam::1:user/batch-7"))
    assert exact.covers(about("b", "user/[x]*y"))
    assert not exact.covers(about("b", "user/xy"))
    told, hidden = sift([about("a", "x"), about("a", "arn:aws:iam::1:user/batch-1")], [some, exact])
    assert (len(told), len(hidden)) == (1, 1)


def test_hostile_reasons_are_clean(tmp_path: Path) -> None:
    made = Suppressions(EventStore(tmp_path / "e.sqlite").file, lambda: NOW)
    one = made.add("r\x1b", "\u202es", "\x1b[2J[/red]" + "x" * 10_000_000, 1, "a\x07")
    (stored,) = made.list()
    assert stored == one
    assert all(text.isprintable() for text in (stored.rule, stored.subject, stored.reason, stored.by))
    assert len(stored.reason) == 500


def test_a_store_made_before_there_were_suppressions_gets_them(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "e.sqlite", clock=lambda: NOW)
    store.add([read(record(ago=60))])
    store.close()
    connection = sqlite3.connect(tmp_path / "e.sqlite")
    connection.execute("DROP TABLE IF EXISTS suppression")
    connection.commit()
    connection.close()
    assert TrailRules(store, clock=lambda: NOW).suppressions() == ()


# Real events


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_a_real_attack_is_examined_and_its_steps_against_the_trail_are_told(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "e.sqlite")
    events = [
        event
        for path in sorted(CORPUS.glob("*.json"))
        for one in records_of(load(path.read_bytes()))
        if (event := read_record(one)) is not None
    ]
    assert store.add(events).kms == 240
    first, last = min(e.time for e in events), max(e.time for e in events)
    examined = TrailRules(store).examine_events(first, last + timedelta(seconds=1))
    assert Counter((f.rule, f.severity.value) for f in examined.findings) == {
        ("event-trail-bucket-deleted", "critical"): 2,
        ("event-trail-bucket-deleted", "medium"): 2,
        ("event-trail-bucket-expiry", "high"): 1,  # after one day; taken back as it cleaned up
        ("event-trail-bucket-policy", "low"): 2,
        ("event-trail-deleted", "critical"): 2,
        ("event-trail-deleted", "medium"): 1,
        ("event-trail-hides-kms", "high"): 1,  # it let the trail take all again, days later
        ("event-trail-made", "low"): 2,
        ("event-trail-stopped", "medium"): 1,
    }
    assert all("user/bert-jan" in f.title for f in examined.findings)


def test_the_intruder_of_the_sandbox_is_found_and_the_platform_is_left_alone(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.control.deliver()
    world, s3 = sandbox.world, sandbox.client("s3")
    store = EventStore(tmp_path / "e.sqlite")
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith(".json.gz") or "Digest" in entry["Key"]:
                    continue
                body = s3.get_object(Bucket=bucket["Name"], Key=entry["Key"])["Body"].read()
                found = (read_record(one) for one in records_of(json.loads(gzip.decompress(body))))
                store.add([event for event in found if event is not None])
    rules = TrailRules(
        store,
        Configured(world.current_key.arn, (world.old_key.arn,)),
        aliases=lambda: {world.current_key.arn: ("alias/tokens",)},
    )
    # What the sandbox's start and the tests do is after the generated traffic; events have whole seconds.
    until = world.now.replace(microsecond=0)
    examined = rules.examine_events(until - timedelta(days=3), until)
    intruder = {f.rule: f.severity for f in examined.findings if f.subject.endswith("user/intruder")}
    assert intruder["event-decrypt-new-principal"] is Severity.HIGH
    assert intruder["event-failed-burst"] is Severity.MEDIUM
    assert intruder["event-decrypt-human"] is Severity.MEDIUM
    for finding in examined.findings:
        assert "keydeck-platform" not in finding.subject
        assert "role/platform" not in finding.subject
    others = [f for f in examined.findings if not f.subject.endswith("user/intruder")]
    assert all(f.subject.endswith("user/keydeck-analyst") for f in others)


def test_counts_by_principal_are_exact_at_both_ends_of_a_window(tmp_path: Path) -> None:
    from crypto_core.trail.store.history import Span

    store = EventStore(tmp_path / "e.sqlite", clock=lambda: NOW)
    store.add([read(record(ago=n * 600)) for n in range(60)])
    history = History(store.file)
    for first, last in ((0, 60), (1, 50), (3, 4), (7, 43), (5, 5)):
        span = Span(NOW - timedelta(seconds=(last - 1) * 600), NOW - timedelta(seconds=first * 600 - 1))
        assert sum(g.events for g in history.groups(("principal",), (), span)) == max(last - first, 0)
    before = Span(None, NOW - timedelta(seconds=30 * 600))
    after = Span(NOW - timedelta(seconds=30 * 600), None)
    counts = [sum(g.events for g in history.groups(("principal",), (), span)) for span in (before, after)]
    assert counts == [29, 31]
