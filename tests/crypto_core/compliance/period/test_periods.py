"""Days, spans, populations and samples of a period; and what records from outside may hold."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.facts import (
    ChangeFacts,
    DrillFacts,
    FactKind,
    IncidentFacts,
    ReviewFact,
    UseFact,
    UseFacts,
)
from crypto_core.compliance.period import judgment
from crypto_core.compliance.period.period import ControlDay, spans_of
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart, read_snapshot, snapshot_json
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.period.year import (
    CONTROLS,
    DAY,
    FIRST,
    at,
    change,
    changes,
    excepted,
    period,
    plaintext,
    record,
    rotation_off,
)
from tests.crypto_core.compliance.snapshots import INCIDENT, KEY

HOSTILE = "[/red]\x1b]0;\x07\u202e" + "k" * 2_000_000
STATUSES = st.lists(st.sampled_from([None, *ControlStatus]), max_size=60)
DAYS = st.lists(st.sampled_from(["well", "off", "blind", "none"]), min_size=1, max_size=25)


@given(STATUSES)
def test_spans_hold_each_day_once_and_neighbours_differ(statuses: list[ControlStatus | None]) -> None:
    days = [ControlDay(FIRST + n * DAY, status) for n, status in enumerate(statuses)]
    spans = spans_of(days)
    told = [
        ControlDay(span.first + n * DAY, span.status)
        for span in spans
        for n in range((span.last - span.first).days + 1)
    ]
    assert told == days
    assert all(one.status is not other.status for one, other in pairwise(spans))


@settings(max_examples=25, deadline=None)
@given(DAYS)
def test_a_lapse_ends_and_begins_at_records_that_show_it_is_not_there(days: list[str]) -> None:
    blind = {SnapshotPart.POSTURE: MissingPart(Lack.FAILED, clean("KMS is silent"))}
    parts = {"well": None, "off": rotation_off(), "blind": blind}
    records = [record(n, parts[kind]) for n, kind in enumerate(days) if kind != "none"]
    if not records:
        return
    found = period(records)
    well = [at(n) for n, kind in enumerate(days) if kind == "well"]
    off = [at(n) for n, kind in enumerate(days) if kind == "off"]
    covered = [moment for moment in off for one in found.lapses if one.first_at <= moment <= one.last_at]
    assert covered == off
    for one in found.lapses:
        assert not [moment for moment in well if one.first_at <= moment <= one.last_at]
        assert one.after == max((m for m in well if m < one.first_at), default=None)
        assert one.before == min((m for m in well if m > one.last_at), default=None)
    again = period(sorted(records, key=lambda one: one.digest))
    assert (again.lapses, again.controls) == (found.lapses, found.controls)


def test_a_day_is_the_worst_of_its_records_and_one_without_is_a_gap_that_is_never_met() -> None:
    records = [record(0), record(1, plaintext(3), number=2, hour=5), record(1, number=3), record(3, number=4)]
    found = period(records, days=6, made_at=at(4, 3))
    (control,) = (one for one in found.controls if one.control.id == "pci-3.5.1")
    told = [(one.status, one.record) for one in control.days]
    assert told == [
        (ControlStatus.MET, 1),
        (ControlStatus.NOT_MET, 2),
        (None, 0),
        (ControlStatus.MET, 4),
    ]
    assert found.gaps == (FIRST + 2 * DAY,)
    assert control.worst is ControlStatus.NOT_MET
    assert control.count(None) == 1


def test_today_counts_once_it_has_a_record_and_days_to_come_never() -> None:
    late = period([record(0), record(1)], days=9, made_at=at(1, 9))
    assert late.days == (FIRST, FIRST + DAY)
    early = period([record(0)], days=9, made_at=at(1, 3))
    assert (early.days, early.gaps) == ((FIRST,), ())
    ahead = period([record(0)], days=9, made_at=at(-3))
    assert (ahead.days, ahead.gaps) == ((), ())


def test_a_period_without_records_says_so_and_claims_nothing() -> None:
    question = judgment.PeriodQuestion(FIRST, FIRST + 2 * DAY)
    found = judgment.audit_period(question, judgment.CheckedRecords(()), CONTROLS, judgment.AtHand(), at(9))
    assert found.gaps == (FIRST, FIRST + DAY, FIRST + 2 * DAY)
    assert "There is no record" in found.unknown[0]
    assert {one.worst for one in found.controls} == {None}
    assert found.seed == "2026-01-01 2026-01-03"


def test_a_control_that_no_test_answers_is_not_assessed_on_every_day() -> None:
    found = period([record(0), record(1)])
    for one in found.controls:
        if not one.control.tests:
            assert {day.status for day in one.days} == {ControlStatus.NOT_ASSESSED}


def test_exceptions_that_held_on_a_day_are_told_on_that_day() -> None:
    controls = excepted("pci-3.5.1", at(1).date(), since=at(1).date())
    found = period([record(day, plaintext(1)) for day in range(3)], controls=controls)
    (control,) = (one for one in found.controls if one.control.id == "pci-3.5.1")
    assert [one.excepted for one in control.days] == [False, True, False]
    assert len(found.exemptions) == 1
    assert not period([record(day) for day in range(1)], controls=controls, days=1).exemptions


def test_an_exception_that_no_record_knew_is_told_as_perhaps_granted_later() -> None:
    controls = excepted("pci-3.5.1", at(9).date())
    (house,) = (one for one in controls.catalogues if one.id == "house")
    knew = replace(record(2), catalogues={"house": clean(house.digest)})
    another = replace(record(1), catalogues={"house": clean("1" * 64)})
    told = " ".join(period([record(0), another, knew], controls=controls).unknown)
    assert "Exceptions of catalogue house: on 2 days (2026-01-01 to 2026-01-02) it was another text" in told
    told = " ".join(period([knew], controls=controls).unknown)
    assert "catalogue house" not in told
    without = " ".join(period([record(0)], framework="soc2", controls=controls).unknown)
    assert "catalogue house" not in without


CHANGES = tuple(
    change(f"{kind}", at(1, n / 10), kind=kind, id_=f"{kind}-{n}")
    for kind, number in ((FactKind.KEY, 90), (FactKind.POLICY, 1), (FactKind.REENCRYPTION, 60))
    for n in range(number)
)


def test_a_sample_can_be_drawn_again_with_hashes_alone_and_has_every_kind() -> None:
    found = period([record(0), record(1)], changes(*CHANGES), seed="house", sample=25)
    assert len(found.sample) == 25
    assert {one.kind for one in found.sample} == {FactKind.KEY, FactKind.POLICY, FactKind.REENCRYPTION}
    assert found.population[FactKind.KEY] == 90

    def digest(id_: str) -> str:
        return hashlib.sha256(f"house\0CloudTrail\0{id_}".encode()).hexdigest()

    ids = sorted((one.id for one in CHANGES), key=digest)
    first = {kind: next(one for one in ids if one.startswith(f"{kind}-")) for kind in ("key", "policy")}
    first |= {"re-encryption": next(one for one in ids if one.startswith("re-enc"))}
    rest = [one for one in ids if one not in first.values()]
    assert {one.id for one in found.sample} == {*first.values(), *rest[:22]}
    assert list(found.sample) == [one for one in found.changes if one in found.sample]


def test_a_sample_is_the_same_for_the_same_seed_and_the_default_seed_is_the_last_records_digest() -> None:
    records = [record(0), record(1)]
    found = period(records, changes(*CHANGES))
    assert found.seed == records[-1].digest.hex()
    assert len(found.sample) == 40
    assert found.sample == judgment.draw_sample(found.changes, found.seed, 40)
    assert found.sample != period(records, changes(*CHANGES), seed="other").sample
    assert len(period(records, changes(*CHANGES[:3])).sample) == 3


def test_a_population_has_each_change_once_and_only_those_of_its_days() -> None:
    inside, before, after = change("A", at(0, 0)), change("B", at(-1, 23)), change("C", at(2, 0))
    told = {
        SnapshotPart.CHANGES: ChangeFacts(at(-1), at(1), (inside, before), (clean("eu-west-2: no events"),))
    }
    found = period([record(0), record(1, told)], changes(inside, after, change("D", at(1))))
    assert [one.what for one in found.changes] == ["A", "D"]
    assert "Changes: eu-west-2: no events" in found.unknown
    assert not found.problems


def test_a_change_that_the_stores_hold_otherwise_than_a_record_is_a_problem_and_the_records_counts() -> None:
    kept = change("PutKeyPolicy", at(0), who="user/eve", id_="e1")
    told = {SnapshotPart.CHANGES: ChangeFacts(at(-1), at(1), (kept,))}
    found = period([record(0), record(1, told)], changes(replace(kept, who=clean("role/Deploy"))))
    assert [one.who for one in found.changes] == ["user/eve"]
    (problem,) = found.problems
    assert problem == "Change CloudTrail e1 differs between record 2 and the stores now, in who."


def _use(day: int, calls: int, key: str = KEY.name) -> UseFact:
    return UseFact(clean(key), clean("role/platform"), clean("Decrypt"), calls, 1, at(day - 1), at(day, 5))


def _uses(day: int, *uses: UseFact, reviews: tuple[ReviewFact, ...] = ()) -> dict[SnapshotPart, UseFacts]:
    return {SnapshotPart.USES: UseFacts(at(day - 1), at(day), uses, reviews)}


def test_uses_are_summed_and_those_after_the_last_review_of_their_key_are_told() -> None:
    review = ReviewFact(clean("17"), at(1, 12), clean("ann"), clean("Quarterly."), clean("0" * 64))
    early, late = _use(1, 5, "alias/old"), _use(2, 7)
    records = [
        record(0, _uses(0)),
        record(1, _uses(1, _use(1, 10), early)),
        record(2, _uses(2, late, reviews=(review,))),
    ]
    found = period(records)
    (platform,) = (one for one in found.uses if one.key == KEY.name)
    assert (platform.calls, platform.denied, platform.first_at, platform.last_at) == (17, 2, at(0), at(2, 5))
    assert found.reviews == (review,)
    assert found.unreviewed == (platform,)


def test_what_cannot_be_read_is_named_and_counts_for_nothing() -> None:
    unread = ReviewFact(clean("17"), at(2, 12), clean("ann"), clean(""), clean(""))
    incident = replace(INCIDENT, name=clean("INC-2"), declared_at=at(1), unread=clean("Its runbook is gone."))
    told = {SnapshotPart.INCIDENTS: IncidentFacts((incident,), ())}
    again = replace(unread, id=clean("18"), accesses=clean("0" * 64))
    records = (
        record(0, _uses(0, _use(0, 1))),
        record(1, told | _uses(1, reviews=(replace(unread, id=clean("18")),))),
    )
    before = replace(unread, id=clean("5"), at=at(-40))
    hand = judgment.AtHand(
        reviews=(unread, again, before), gaps=("Drills by the stores at hand: no permission",)
    )
    question = judgment.PeriodQuestion(FIRST, FIRST + 2 * DAY)
    found = judgment.audit_period(question, judgment.CheckedRecords(records), CONTROLS, hand, at(9))
    assert (found.reviews, len(found.unreviewed)) == ((again,), 0)
    assert "5:" not in " ".join(found.unknown)
    assert {
        "Review of access in the journal's entry 17: its detail can't be read",
        "INC-2 can't be read: Its runbook is gone.",
        "Drills by the stores at hand: no permission",
    } <= set(found.unknown)


def test_incidents_and_drills_are_those_of_the_period_as_they_are_known_last() -> None:
    open_ = replace(INCIDENT, name=clean("INC-2"), declared_at=at(1), closed_at=None)
    old = replace(INCIDENT, name=clean("INC-0"), declared_at=at(-90), closed_at=at(-80))
    told = {
        SnapshotPart.INCIDENTS: IncidentFacts((open_, old), ()),
        SnapshotPart.DRILLS: DrillFacts(at(1), 90),
    }
    question = judgment.PeriodQuestion(FIRST, FIRST + 2 * DAY)
    hand = judgment.AtHand(incidents=(replace(open_, closed_at=at(2)),))
    records = tuple(record(day, told) for day in range(3))
    found = judgment.audit_period(question, judgment.CheckedRecords(records), CONTROLS, hand, at(9))
    assert [(one.name, one.closed_at) for one in found.incidents] == [("INC-2", at(2))]
    assert found.drills == (at(1),)


def test_what_records_hold_from_outside_is_clean_wherever_a_period_tells_it() -> None:
    off = rotation_off()
    snapshot = snapshot_json(record(1, off).snapshot)
    posture = snapshot["parts"]["posture"]
    posture["findings"][0] |= {"title": HOSTILE, "subject": HOSTILE}
    posture["gaps"] = [HOSTILE]
    hostile = replace(record(1), snapshot=read_snapshot(snapshot))
    eve = change("DisableKeyRotation", at(0, 9), who=HOSTILE, subject=HOSTILE, id_=HOSTILE)
    found = period([record(0), hostile, record(2)], changes(eve), seed=HOSTILE)
    (lapse,) = found.lapses
    told = " ".join((lapse.cause, lapse.what, lapse.began_by, lapse.ended_by, *lapse.remarks, *found.unknown))
    told += " ".join((found.seed, *found.problems, found.changes[0].who))
    assert not {"\x1b", "\x07", "\u202e"} & set(told)
    assert len(told) < 12_000


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_small_sample_takes_kinds_before_numbers(size: int) -> None:
    assert len(judgment.draw_sample(CHANGES, "s", size)) == size
    assert len({one.kind for one in judgment.draw_sample(CHANGES, "s", size)}) == size
