"""Lapses of a period: one for each cause, with start, end and what ended it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.facts import FactKind, GuardingKeyFacts
from crypto_core.compliance.period.period import AuditPeriod, Lapse, LapseSource
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.period.year import (
    COLUMN,
    FIRST,
    HOUR,
    at,
    change,
    changes,
    event,
    excepted,
    findings,
    period,
    plaintext,
    record,
    rotation_off,
)
from tests.crypto_core.compliance.snapshots import KEY, finding

MISSING = (70, 71, 200, 300)
OFF, ON = at(40, 15), at(49, 11)
OPENED, CLOSED = at(250, 13), at(250, 15)
CHANGES = changes(
    change("DisableKeyRotation", OFF, who="user/eve"),
    change("keys enable-rotation", ON + timedelta(seconds=2), source="journal", subject=KEY.name, who="ann"),
    change("EnableKeyRotation", ON, who="user/ann"),
    change(
        "encrypt",
        at(123, 2),
        kind=FactKind.REENCRYPTION,
        source="journal",
        subject=f"{COLUMN} format:plaintext",
        who="ann",
    ),
    change("PutKeyPolicy", OPENED, kind=FactKind.POLICY, who="user/eve", opens="anybody may Decrypt"),
    change("PutKeyPolicy", CLOSED, kind=FactKind.POLICY, who="user/ann", closes=True),
)


@cache
def a_year() -> AuditPeriod:
    planted = {
        **{day: rotation_off() for day in range(41, 50)},
        41: {**rotation_off(), **event(41, "event-rotation-off", OFF, Severity.HIGH)},
        **{120 + day: plaintext(number) for day, number in enumerate((40, 40, 38))},
        251: event(251, "event-key-policy", OPENED),
    }
    return period([record(day, planted.get(day)) for day in range(365) if day not in MISSING], CHANGES)


def test_a_year_has_the_planted_lapses_and_no_other() -> None:
    rotation, tokens, policy = a_year().lapses
    assert (rotation.first_at, rotation.last_at, rotation.over) == (OFF, ON, True)
    assert rotation.cause == f"kms-rotation-off {KEY.arn}"
    assert "DisableKeyRotation by user/eve" in rotation.began_by
    assert "EnableKeyRotation by user/ann" in rotation.ended_by
    assert set(rotation.tests) >= {"keys-rotate", "key-changes-watched"}
    assert rotation.records == tuple(range(42, 51))
    assert (tokens.after, tokens.first_at) == (at(119), at(120))
    assert (tokens.last_at, tokens.before) == (at(122), at(123))
    assert tokens.what.startswith("40 tokens in format plaintext")
    assert "inferred: encrypt by ann" in tokens.ended_by
    assert (policy.source, policy.first_at, policy.before) == (LapseSource.EVENTS, OPENED, CLOSED)
    assert "anybody may Decrypt" in policy.what
    assert "PutKeyPolicy by user/ann" in policy.ended_by
    assert not a_year().explained
    assert all(lapse.controls and not lapse.excepted for lapse in a_year().lapses)
    assert a_year().gaps == tuple(FIRST + timedelta(days=day) for day in MISSING)


@pytest.mark.parametrize("framework", ["soc2", "pci", "iso", "asvs", "nist", "owasp"])
def test_every_framework_tells_the_lapses_in_its_own_words(framework: str) -> None:
    records = [record(day, rotation_off() if 3 <= day < 6 else None) for day in range(10)]
    told = period(records, framework=framework).lapses
    assert [lapse.cause for lapse in told] == [f"kms-rotation-off {KEY.arn}"]
    for lapse in a_year().lapses:
        theirs = {one.framework.id for one in lapse.controls}
        assert framework in theirs, lapse.cause
    assert all(one.framework.id == framework for lapse in told for one in lapse.controls)


def _only(found: AuditPeriod) -> Lapse:
    (lapse,) = found.lapses
    return lapse


def test_a_policy_that_events_alone_tell_of_counts_on_its_day() -> None:
    (cc61,) = (one for one in a_year().controls if one.control.id == "soc2-cc6.1")
    (day,) = (one for one in cc61.days if one.by_events)
    assert (day.day, day.status) == (OPENED.date(), ControlStatus.NOT_MET)


def test_days_that_nothing_is_known_of_end_no_lapse_and_are_told() -> None:
    blind = {SnapshotPart.POSTURE: MissingPart(Lack.PERMISSION, clean("no kms:GetKeyRotationStatus"))}
    planted = {3: rotation_off(), 5: blind, 6: rotation_off(), 7: blind}
    lapse = _only(period([record(day, planted.get(day)) for day in (1, 2, 3, 5, 6, 7, 8)]))
    assert (lapse.first_at, lapse.last_at) == (at(3), at(6))
    assert (lapse.after, lapse.before) == (at(2), at(8))
    assert any("Nothing is known of 2 days" in remark for remark in lapse.remarks)


def test_what_a_part_can_no_longer_look_at_is_not_over() -> None:
    hidden = findings(gaps=(clean(f"{KEY.arn}: rotation: AccessDenied"),))
    planted = {3: rotation_off(), 4: hidden, 5: hidden}
    lapse = _only(period([record(day, planted.get(day)) for day in range(6)]))
    assert not lapse.over
    always = {
        day: findings(*([rotation_finding] if 2 < day < 5 else []), gaps=(clean("7 grants unread"),))
        for day in range(6)
    }
    assert _only(period([record(day, always[day]) for day in range(6)])).before == at(5)


rotation_finding = replace(finding("kms-rotation-off"), first_at=None)


def test_a_suppressed_finding_is_no_end() -> None:
    hidden = findings(replace(rotation_finding, suppressed=clean("until 2027 by X: later")))
    planted = {3: rotation_off(), 4: hidden, 5: hidden}
    lapse = _only(period([record(day, planted.get(day)) for day in range(6)]))
    assert (lapse.over, lapse.last_at) == (False, at(3))
    assert any("suppressed" in remark for remark in lapse.remarks)


def test_what_stands_in_the_last_record_is_not_over_and_what_stood_in_the_first_has_no_beginning() -> None:
    lapse = _only(period([record(day, rotation_off()) for day in range(3)]))
    assert (lapse.after, lapse.before, lapse.over) == (None, None, False)
    lapse = _only(period([record(0, rotation_off())], before=record(-1, number=7)))
    assert lapse.after == at(-1)


def test_two_causes_at_a_time_are_two_lapses_and_one_that_several_tests_tell_of_is_one() -> None:
    public = replace(finding("kms-key-public", Severity.CRITICAL), first_at=None)
    full = replace(finding("kms-key-full-control", Severity.HIGH), first_at=None)
    both = findings(public, full, rotation_finding)
    found = period([record(day, both if 2 <= day < 4 else None) for day in range(6)])
    access, rotation = sorted(found.lapses, key=lambda one: one.cause)
    assert set(access.tests) == {"key-access-narrow", "posture-well"}
    assert rotation.tests == ("keys-rotate",)
    apart = {2: findings(public), 3: findings(public, full), 4: findings(full)}
    assert len(period([record(day, apart.get(day)) for day in range(6)]).lapses) == 2


def test_columns_that_come_and_go_together_are_one_lapse_and_others_two() -> None:
    slack = "slack_connection.bot_token"
    one = period([record(d, plaintext(20, COLUMN, slack) if d == 2 else None) for d in range(4)])
    assert slack in _only(one).what
    assert COLUMN in _only(one).what
    planted = {2: plaintext(20, COLUMN), 3: plaintext(20, COLUMN, slack)}
    assert len(period([record(d, planted.get(d)) for d in range(5)]).lapses) == 2


def test_a_policy_opened_beside_another_one_that_is_wide_all_year_is_a_lapse_of_its_own() -> None:
    full = findings(replace(finding("kms-key-full-control"), first_at=None))
    opened = change("PutKeyPolicy", at(4, 13), opens="anybody may Decrypt")
    closed = change("PutKeyPolicy", at(4, 15), closes=True)
    found = period([record(day, full) for day in range(8)], changes(opened, closed))
    wide, short = found.lapses
    assert (wide.source, short.source) == (LapseSource.RECORDS, LapseSource.EVENTS)
    assert (short.first_at, short.before) == (at(4, 13), at(4, 15))


def test_an_opening_that_a_record_sees_is_that_records_lapse_with_the_times_of_its_changes() -> None:
    public = findings(replace(finding("kms-key-public", Severity.CRITICAL), first_at=None))
    opened = change("PutKeyPolicy", at(4, 13), opens="anybody may Decrypt")
    closed = change("PutKeyPolicy", at(5, 9), closes=True)
    planted = {5: public, 6: event(6, "event-key-policy", at(4, 13))}
    found = period([record(day, planted.get(day)) for day in range(8)], changes(opened, closed))
    lapse = _only(found)
    assert (lapse.source, lapse.first_at, lapse.before) == (LapseSource.RECORDS, at(4, 13), at(5, 9))


def test_an_opening_that_nothing_closes_stands_until_a_record_shows_that_it_is_gone() -> None:
    opened = changes(change("PutKeyPolicy", at(4, 13), opens="anybody may Decrypt"))
    blind = {SnapshotPart.POSTURE: MissingPart(Lack.FAILED, clean("KMS is silent"))}
    records = [record(day, blind if day > 4 else None) for day in range(7)]
    assert not _only(period(records, opened)).over
    lapse = _only(period([*records, record(7)], opened))
    assert (lapse.last_at, lapse.before, lapse.ended_by) == (at(4, 13), at(7), "")


def test_rotation_turned_off_and_on_between_two_records_is_a_lapse_of_keys_that_guard_tokens_alone() -> None:
    pair = (change("DisableKeyRotation", at(4, 13)), change("EnableKeyRotation", at(4, 15)))
    records = [record(day) for day in range(7)]
    assert _only(period(records, changes(*pair))).source is LapseSource.EVENTS
    other = [replace(one, subject=clean(KEY.arn.replace("key/1", "key/2"))) for one in pair]
    assert not period(records, changes(*other)).lapses
    failed = [replace(one, outcome=clean("AccessDenied")) for one in pair]
    assert not period(records, changes(*failed)).lapses


@pytest.mark.parametrize(
    ("rule", "call"), [("kms-key-public", "PutKeyPolicy"), ("trail-undelivered", "UpdateTrail")]
)
def test_a_change_of_which_nothing_certain_is_known_is_an_inference_and_moves_no_moment(
    rule: str, call: str
) -> None:
    wrong = findings(replace(finding(rule, Severity.CRITICAL), first_at=None))
    several = [change(call, at(3, hour), who=f"user/{hour}") for hour in (10, 12)]
    found = period([record(d, wrong if d == 3 else None) for d in range(6)], changes(*several))
    assert (lapse := _only(found)).before == at(4)
    assert f"inferred: {call} by user/12" in lapse.ended_by
    assert "the last of 2 such changes" in lapse.ended_by


def test_an_event_of_a_change_that_an_operation_on_record_explains_is_no_lapse() -> None:
    moment = at(4, 13)
    planted = {5: event(5, "event-key-grant", moment, Severity.HIGH)}
    records = [record(day, planted.get(day)) for day in range(8)]
    grant = change("CreateGrant", moment)
    assert _only(period(records, changes(grant))).cause.startswith("event-key-grant")
    operation = change("keys put-policy", moment + timedelta(seconds=1), source="journal", subject=KEY.name)
    found = period(records, changes(grant, operation))
    assert (found.lapses, [one.cause.split()[0] for one in found.explained]) == ((), ["event-key-grant"])
    widened = period(records, changes(replace(grant, opens=clean("another account")), operation))
    assert len(widened.lapses) == 1


def test_an_exception_covers_a_lapse_only_for_all_of_its_days_and_all_of_its_controls() -> None:
    records = [record(day, rotation_off() if 2 <= day < 5 else None) for day in range(7)]
    (control,) = {one.id for one in _only(period(records, framework="soc2")).controls}
    whole = excepted(control, at(9).date())
    assert _only(period(records, framework="soc2", controls=whole)).excepted
    assert not _only(period(records, controls=whole)).excepted
    later = excepted(control, at(9).date(), since=at(3).date())
    lapse = _only(period(records, framework="soc2", controls=later))
    assert (lapse.excepted, len(lapse.exemptions)) == (False, 1)


def test_a_key_is_one_subject_by_its_alias_and_in_every_region() -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/mrk-1"
    key = replace(KEY, arn=clean(arn))
    keys = {SnapshotPart.KEYS: GuardingKeyFacts((key,), 365, 730)}
    off = replace(rotation_finding, subject=clean(arn))
    records = [record(day, keys | (findings(off) if 2 <= day < 5 else {})) for day in range(7)]
    again = change("EnableKeyRotation", at(4, 9), subject=arn.replace("eu-west-1", "us-east-1"))
    by_alias = change("DisableKeyRotation", at(1, 9), subject=KEY.name)
    lapse = _only(period(records, changes(by_alias, again)))
    assert (lapse.first_at, lapse.before) == (at(1, 9), at(4, 9))
    assert lapse.last_at - lapse.first_at == 3 * 24 * HOUR


def test_a_grant_that_lets_others_in_is_not_closed_by_the_policy_that_is_set_later() -> None:
    granted = change("CreateGrant", at(2, 13), kind=FactKind.POLICY, opens="another account may Decrypt")
    policy = change("PutKeyPolicy", at(3, 1), kind=FactKind.POLICY, closes=True)
    revoked = change("RevokeGrant", at(3, 4), kind=FactKind.POLICY, who="user/ann")
    wide = findings(replace(finding("kms-key-cross-account", Severity.HIGH), first_at=None))
    lapse = _only(period([record(d) for d in range(5)], changes(granted, policy, revoked)))
    assert (lapse.first_at, lapse.before, lapse.source) == (at(2, 13), at(3), LapseSource.EVENTS)
    seen = period([record(d, wide if d == 3 else None) for d in range(6)], changes(granted, policy, revoked))
    lapse = _only(seen)
    assert (lapse.first_at, lapse.before, lapse.source) == (at(2, 13), at(4), LapseSource.RECORDS)


def test_tokens_that_a_long_job_wrote_anew_are_ended_by_it_as_far_as_can_be_inferred() -> None:
    job = change("encrypt", at(2, 1), source="jobs", subject="every token", who="ann", id_="7")
    planted = {1: plaintext(40), 2: plaintext(40), 3: plaintext(9)}
    lapse = _only(period([record(day, planted.get(day)) for day in range(6)], changes(job)))
    assert "inferred: encrypt by ann" in lapse.ended_by
    assert lapse.before == at(4)
