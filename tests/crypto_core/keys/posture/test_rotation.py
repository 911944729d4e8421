"""Rotation is asked only of keys that can rotate; rotation by hand is recognised, and only while it lasts."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.keys.posture.rotation import comes_after, marked_earlier, rotation_off, rotation_period
from tests.crypto_core.keys.posture.samples import OTHER, arn, ask, facts, finding, gap


def test_a_key_that_could_rotate_and_does_not_is_a_finding() -> None:
    found = finding(rotation_off, facts(rotation_enabled=False, aliases=("alias/tokens",), tokens=3))
    assert (found.rule, found.severity, found.subject) == ("kms-rotation-off", Severity.MEDIUM, arn())
    assert "alias/tokens does not rotate" in found.title
    assert "3 tokens under it" in found.evidence
    assert f"keydeck keys enable-rotation {found.subject} --period 365" in found.remedy
    assert "AWS Security Hub KMS.4" in found.controls


def test_a_key_that_rotates_is_none() -> None:
    assert ask(rotation_off, facts()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"manager": "AWS"},
        {"spec": "RSA_2048", "usage": "SIGN_VERIFY"},
        {"spec": "ECC_NIST_P256", "usage": "KEY_AGREEMENT"},
        {"spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC"},
        {"origin": "EXTERNAL"},
        {"origin": "AWS_CLOUDHSM"},
        {"origin": "EXTERNAL_KEY_STORE"},
        {"state": "Disabled"},
        {"state": "PendingDeletion"},
        {"key_arn": arn(multi=True), "multi_region": True, "primary_arn": arn(1, "us-east-1", multi=True)},
    ],
)
def test_keys_that_cannot_rotate_raise_no_alarm(fields: dict[str, Any]) -> None:
    assert ask(rotation_off, facts(rotation_enabled=False, **fields)) == []
    assert ask(rotation_period, facts(rotation_period_days=2560, **fields)) == []
    assert ask(rotation_off, facts(**(fields | {"rotation_enabled": None}))) == []


def test_the_primary_of_a_multi_region_key_is_asked() -> None:
    primary = arn(multi=True)
    fields: dict[str, Any] = {"key_arn": primary, "multi_region": True, "rotation_enabled": False}
    assert finding(rotation_off, facts(primary_arn=primary, **fields)).subject == primary
    found = gap(rotation_off, facts(**fields))
    assert "primary or a replica" in found.reason
    assert found.hides is Severity.MEDIUM


def test_rotation_that_may_not_be_read_is_a_gap_by_its_action() -> None:
    about = facts(7, rotation_enabled=None)
    assert gap(rotation_off, about).reason == f"{arn(7)}: rotation: KMS does not tell"
    assert gap(rotation_off, about).hides is Severity.MEDIUM
    about.key.missing["rotation"] = "kms:GetKeyRotationStatus is not allowed"
    assert gap(rotation_off, about).reason == f"{arn(7)}: rotation: kms:GetKeyRotationStatus is not allowed"


@pytest.mark.parametrize(
    ("period", "limit", "told"), [(365, 365, 0), (366, 365, 1), (90, 365, 0), (365, 90, 1), (2560, 2560, 0)]
)
def test_the_period_is_held_against_the_limit(period: int, limit: int, told: int) -> None:
    found = ask(rotation_period, facts(rotation_period_days=period), rotation_days=limit)
    assert len(found) == told


def test_a_long_period_says_how_to_shorten_it() -> None:
    found = finding(rotation_period, facts(rotation_period_days=730), rotation_days=180)
    assert (found.rule, found.severity) == ("kms-rotation-period", Severity.LOW)
    assert "every 730 days, the limit is 180" in found.title
    assert f"keydeck keys enable-rotation {found.subject} --period 180" in found.remedy


def test_a_key_that_does_not_rotate_has_no_period_and_one_without_a_period_is_a_gap() -> None:
    assert ask(rotation_period, facts(rotation_enabled=False, rotation_period_days=900)) == []
    found = gap(rotation_period, facts(rotation_period_days=None))
    assert "rotation period" in found.reason
    assert found.hides is Severity.LOW


OLD = {"rotation_enabled": False, "age": 800, "aliases": ("alias/tokens-old",)}
NEW = {"rotation_enabled": False, "age": 100, "aliases": ("alias/tokens",)}


def test_rotation_by_hand_is_recognised_by_the_alias() -> None:
    new, old = facts(1, **NEW), facts(2, **OLD)
    assert ask(rotation_off, new, old) == []
    assert ask(rotation_off, old, new) == []


def test_rotation_by_hand_is_recognised_by_tokens_under_an_older_key() -> None:
    new, old = facts(1, **NEW, writes=True), facts(2, **(OLD | {"aliases": ()}), tokens=4)
    assert ask(rotation_off, new, old) == []
    assert ask(rotation_off, old, new) == []


def test_rotation_by_hand_counts_only_as_long_as_the_limit() -> None:
    new, old = facts(1, **(NEW | {"age": 365})), facts(2, **OLD)
    found = finding(rotation_off, new, old)
    assert "rotated by hand the last time 365 days ago, the limit is 365" in found.evidence
    assert arn(2) in found.evidence
    assert ask(rotation_off, facts(1, **(NEW | {"age": 364})), old) == []
    assert len(ask(rotation_off, new, old, rotation_days=366)) == 0


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (NEW, OLD | {"aliases": ("alias/other-old",)}),
        (NEW, OLD | {"aliases": ("alias/tokensold",)}),
        (NEW, OLD | {"aliases": ("alias/folder-old",)}),
        (NEW, OLD | {"age": 50}),
        (NEW, OLD | {"key_arn": arn(2, account=OTHER)}),
        (NEW, OLD | {"spec": "RSA_2048"}),
        (NEW, OLD | {"key_arn": arn(2, "us-east-1")}),
    ],
)
def test_other_keys_beside_it_are_no_rotation_by_hand(new: dict[str, Any], old: dict[str, Any]) -> None:
    assert finding(rotation_off, facts(1, **new), facts(2, **old)).rule == "kms-rotation-off"


def test_a_key_without_an_alias_was_not_put_behind_one() -> None:
    new = facts(1, **(NEW | {"aliases": ()}), writes=True)
    assert finding(rotation_off, new, facts(2, **OLD, tokens=1)).rule == "kms-rotation-off"


def test_without_the_aliases_it_is_not_said_that_nobody_rotates() -> None:
    about = facts(1, rotation_enabled=False)
    about.key.missing["aliases"] = "kms:ListAliases is not allowed"
    found = gap(rotation_off, about)
    assert "kms:ListAliases is not allowed" in found.reason
    assert found.hides is Severity.MEDIUM


def test_what_became_of_an_older_key_is_not_guessed_from_one_that_is_not_known() -> None:
    unknown = facts(1, **(NEW | {"created_at": None, "state": None, "spec": None}))
    found = gap(rotation_off, facts(2, **OLD), unknown)
    assert arn(1) in found.reason
    assert found.hides is Severity.MEDIUM
    another = facts(1, **(NEW | {"created_at": None, "aliases": ("alias/another",)}))
    assert finding(rotation_off, facts(2, **OLD), another).rule == "kms-rotation-off"


def test_an_alias_with_a_mark_does_not_make_a_younger_key_the_older_one() -> None:
    young = facts(2, **(OLD | {"age": 50}))
    assert finding(rotation_off, young, facts(1, **NEW)).rule == "kms-rotation-off"
    twin = facts(2, **(OLD | {"age": 100}))
    assert finding(rotation_off, twin, facts(1, **NEW)).rule == "kms-rotation-off"


def test_a_replica_is_no_earlier_generation_of_its_key() -> None:
    primary = arn(1, multi=True)
    whole: dict[str, Any] = {"multi_region": True, "primary_arn": primary, "tokens": 1, "writes": True}
    there = facts(1, **(NEW | whole), key_arn=primary)
    replica = facts(2, **(OLD | whole | {"aliases": ()}), key_arn=arn(1, "us-east-1", multi=True))
    assert finding(rotation_off, there, replica).rule == "kms-rotation-off"


def test_two_keys_that_both_guard_tokens_are_no_generations_unless_one_is_written_under() -> None:
    one = facts(1, rotation_enabled=False, age=100, aliases=("alias/a",), tokens=1)
    other = facts(2, rotation_enabled=False, age=800, aliases=("alias/b",), tokens=1)
    assert finding(rotation_off, one, other).rule == finding(rotation_off, other, one).rule


def test_two_keys_that_are_written_and_read_tell_which_came_after() -> None:
    new, old = facts(1, age=10, writes=True), facts(2, age=20, tokens=1)
    assert comes_after(new, old)
    assert not comes_after(old, new)
    assert not comes_after(new, facts(2, age=20, tokens=0))


@pytest.mark.parametrize(
    ("alias", "earlier"),
    [
        ("alias/tokens", False),
        ("alias/tokens-old", True),
        ("alias/-old/tokens", False),
        ("alias/tokens_retired", True),
        ("alias/tokens-v12", True),
        ("alias/tokens-2024-06", True),
        ("alias/tokens-older", False),
        ("alias/threshold", False),
    ],
)
def test_marks_of_an_earlier_generation(alias: str, earlier: bool) -> None:
    assert marked_earlier(alias) is earlier
