"""What controls come to: never met by what is missing, excepted only while an exception holds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import assess, judge, parts_of
from crypto_core.compliance.control import Exemption
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.snapshot import (
    Lack,
    MissingPart,
    Snapshot,
    SnapshotPart,
    read_snapshot,
    snapshot_json,
)
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.snapshots import NOW, SNAPSHOT, WELL, key
from tests.crypto_core.compliance.test_control_tests import CASES, tokens

CONTROLS = ControlLibrary().read()
BY_ID = {control.id: control for control in CONTROLS.controls}
PLAINTEXT = tokens(v1=2_060, plaintext=40)
SNAPSHOTS = [SNAPSHOT, *(snapshot for cases in CASES.values() for snapshot, _ in cases)]


def test_where_all_is_well_every_control_that_has_a_test_is_met() -> None:
    for one in assess(CONTROLS, SNAPSHOT).judgements:
        if one.control.tests:
            assert one.status is ControlStatus.MET, one.control.id
            assert one.words == f"met as far as it is about {one.control.as_far_as}"
        else:
            assert one.status is ControlStatus.NOT_ASSESSED
            assert one.words == f"not assessed, not Keydeck's to say: {one.control.outside}"


MISSING = MissingPart(Lack.FAILED, clean("KMS is silent"))


def without(snapshot: Snapshot, part: SnapshotPart, *, told: bool) -> Snapshot:
    kept = {name: facts for name, facts in snapshot.parts.items() if name is not part}
    return Snapshot(snapshot.taken_at, kept | ({part: MISSING} if told else {}))


@pytest.mark.parametrize("told", [True, False])
def test_a_test_that_lacks_any_part_is_not_assessed_whatever_the_others_say(told: bool) -> None:
    for name, cases in CASES.items():
        for snapshot in (SNAPSHOT, *(snapshot for snapshot, _ in cases)):
            for part in ALL_TESTS[name].parts:
                found = ALL_TESTS[name].answer(without(snapshot, part, told=told))
                assert found.status is ControlStatus.NOT_ASSESSED, (name, part)
                assert found.reason


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("part", SnapshotPart)
def test_removing_any_part_never_makes_a_control_better(part: SnapshotPart, told: bool) -> None:
    for snapshot in (SNAPSHOT, PLAINTEXT, key(spec=clean("RSA_2048")), Snapshot(NOW)):
        before = {one.control.id: one.status for one in assess(CONTROLS, snapshot).judgements}
        lacking = without(snapshot, part, told=told)
        assert lacking.failed is told
        for one in assess(CONTROLS, lacking).judgements:
            was = before[one.control.id]
            if part in parts_of([one.control]):
                assert one.status in (ControlStatus.NOT_MET, ControlStatus.NOT_ASSESSED)
                assert one.status is not ControlStatus.NOT_MET or was is ControlStatus.NOT_MET
            else:
                assert one.status is was


def test_a_kept_snapshot_is_judged_as_it_was() -> None:
    for snapshot in SNAPSHOTS:
        assert read_snapshot(snapshot_json(snapshot)) == snapshot
    kept = read_snapshot(json.loads(json.dumps(snapshot_json(PLAINTEXT))))
    judged = [one.as_json() for one in assess(CONTROLS, PLAINTEXT).judgements]
    assert [one.as_json() for one in assess(CONTROLS, kept).judgements] == judged
    lacking = without(SNAPSHOT, SnapshotPart.KEYS, told=True)
    assert read_snapshot(snapshot_json(lacking)) == lacking


@pytest.mark.parametrize(
    "stored",
    [
        None,
        7,
        "tokens",
        [],
        {},
        {"tokens": "many"},
        {"missing": "mood"},
        {"tokens": True, "protected": 1, "by_format": {}},
    ],
)
def test_a_part_that_was_changed_is_missing(stored: object) -> None:
    document = snapshot_json(SNAPSHOT)
    document["parts"]["tokens"] = stored
    document["parts"]["mood"] = {}
    found = read_snapshot(document)
    assert found.part(SnapshotPart.TOKENS) == MissingPart(
        Lack.FAILED, clean("what was kept of tokens can't be read")
    )
    assert found.part(SnapshotPart.KEYS) == WELL[SnapshotPart.KEYS]
    with pytest.raises((ValueError, TypeError)):
        read_snapshot(document | {"taken_at": "2026-11-25T12:00:00"})


def test_what_was_kept_is_cleaned_when_it_is_read() -> None:
    document = snapshot_json(SNAPSHOT)
    document["parts"]["keys"]["keys"][0]["name"] = "[/red]\x1b]0;\x07\u202e" + "k" * 10_000_000
    (found,) = read_snapshot(document).part(SnapshotPart.KEYS).keys  # type: ignore[union-attr]
    assert found.name.startswith("[/red]]0;kkk")
    assert len(found.name) == 600


def test_an_exception_holds_up_to_its_last_day_and_is_told() -> None:
    control = BY_ID["pci-3.5.1"]
    granted = Exemption(control.id, clean("Moves in March."), clean("CISO"), NOW.date())
    held = judge(control, PLAINTEXT, granted)
    assert (held.fails, held.words) == (False, "not met, excepted until 2026-11-25: Moves in March.")
    told = {"reason": "Moves in March.", "by": "CISO", "since": None, "until": "2026-11-25"}
    assert held.as_json()["exception"] == told
    assert judge(control, PLAINTEXT, replace(granted, since=date(2026, 11, 26))).fails
    over = judge(control, PLAINTEXT, replace(granted, until=date(2026, 11, 24)))
    assert (over.fails, over.words) == (True, "not met; its exception ended on 2026-11-24")
    assert over.as_json()["exception"] is None
    assert judge(control, SNAPSHOT, granted).words.startswith("met as far as")
    assert not assess(replace(CONTROLS, exemptions={control.id: granted}), PLAINTEXT, "house").fails


def test_the_worst_come_first_in_each_framework_and_numbers_as_they_are_counted() -> None:
    found = assess(CONTROLS, PLAINTEXT)
    frameworks = [one.control.framework.id for one in found.judgements]
    assert list(dict.fromkeys(frameworks)) == list(CONTROLS.frameworks)
    for framework in CONTROLS.frameworks:
        theirs = [one for one in found.judgements if one.control.framework.id == framework]
        ranks = [one.status.rank for one in theirs]
        assert ranks == sorted(ranks)
        assert ranks[0] == 0
    numbers = [one.control.number for one in assess(CONTROLS, SNAPSHOT, "pci").judgements]
    met = [n for n in numbers if BY_ID[f"pci-{n}"].tests]
    assert (
        met.index("3.5.1")
        < met.index("3.7.5")
        < met.index("10.2.1")
        < met.index("10.4.1")
        < met.index("12.3.3")
    )


def test_a_framework_needs_the_parts_that_its_controls_read() -> None:
    storage = [one for one in CONTROLS.controls if one.id == "owasp-storage-algorithms"]
    assert parts_of(storage) == (SnapshotPart.TOKENS, SnapshotPart.KEYS)
    # What only a period is told by.
    history = {SnapshotPart.CHANGES}
    assert set(parts_of(CONTROLS.controls)) == set(SnapshotPart) - history
