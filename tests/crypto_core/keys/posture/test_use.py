"""How keys are used: the alias, data keys under an old key, tokens on old material."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.posture.facts import KeyFacts
from crypto_core.keys.posture.use import alias_elsewhere, old_key_in_use, old_material, unused
from tests.crypto_core.keys.posture.samples import NOW, arn, ask, estate, facts, finding, gap, material


def writing(number: int = 1, **fields: Any) -> KeyFacts:
    return facts(number, **({"writes": True, "trusted": True, "tokens": 5, "age": 50} | fields))


def aliases(*keys: KeyFacts, **limits: Any) -> list[Finding | Gap]:
    return list(alias_elsewhere(estate(*keys, **limits)))


def the_one(*keys: KeyFacts, **limits: Any) -> Finding:
    (found,) = aliases(*keys, **limits)
    assert isinstance(found, Finding)
    return found


def test_the_alias_that_the_platform_is_told_must_name_the_key_written_under() -> None:
    other = facts(2, aliases=("alias/tokens",))
    found = the_one(other, writing(), alias="alias/tokens")
    assert (found.rule, found.severity, found.subject) == (
        "kms-alias-elsewhere",
        Severity.HIGH,
        "alias/tokens",
    )
    assert arn(1) in found.evidence
    assert arn(2) in found.evidence
    assert aliases(other, writing()) == []
    assert aliases(other, alias="alias/tokens") == []
    assert aliases(writing(aliases=("alias/tokens",)), facts(2), alias="alias/tokens") == []


def test_an_alias_left_on_the_key_before_is_told() -> None:
    before = facts(2, age=400, tokens=3, aliases=("alias/tokens", "alias/tokens-old"))
    found = the_one(before, writing())
    assert (found.severity, found.subject) == (Severity.MEDIUM, "alias/tokens")
    assert aliases(before, writing(aliases=("alias/new",))) == []
    assert aliases(facts(2, age=400, tokens=0, aliases=("alias/tokens",)), writing()) == []


def test_without_the_aliases_nothing_is_said_of_them() -> None:
    now = writing()
    now.key.missing["aliases"] = "kms:ListAliases is not allowed"
    assert aliases(facts(2, age=400, tokens=3, aliases=("alias/tokens",)), now) == []


def test_one_alias_for_two_keys_in_two_regions_is_told() -> None:
    far = facts(2, key_arn=arn(2, "us-east-1"), region="us-east-1", aliases=("alias/tokens",))
    now = writing(aliases=("alias/tokens",))
    (found,) = alias_elsewhere(estate(far, now, write_key="alias/tokens"))
    assert isinstance(found, Finding)
    assert found.severity is Severity.MEDIUM
    assert "in eu-west-1 it means another key" in found.evidence
    assert list(alias_elsewhere(estate(far, now, write_key=arn(1)))) == []


def test_a_replica_in_another_region_is_the_same_key() -> None:
    primary = arn(1, multi=True)
    replica = facts(2, key_arn=arn(1, "us-east-1", multi=True), aliases=("alias/tokens",), region="us-east-1")
    assert aliases(replica, writing(key_arn=primary), alias="alias/tokens") == []


def test_an_alias_of_no_key_is_told() -> None:
    (found,) = alias_elsewhere(estate(writing(), alias="alias/tokens"))
    assert isinstance(found, Finding)
    assert (found.severity, found.subject) == (Severity.HIGH, "alias/tokens")
    known = estate(writing(aliases=("alias/tokens",)), alias="alias/tokens")
    assert list(alias_elsewhere(known)) == []
    assert list(alias_elsewhere(estate(writing()))) == []


def test_an_alias_that_may_not_be_listed_is_a_gap() -> None:
    now = writing()
    now.key.missing["aliases"] = "kms:ListAliases is not allowed"
    (found,) = alias_elsewhere(estate(now, alias="alias/tokens"))
    assert isinstance(found, Gap)
    assert found.reason == "alias/tokens: where it points: kms:ListAliases is not allowed"
    assert found.hides is Severity.HIGH
    (found,) = alias_elsewhere(estate(alias="alias/tokens"))
    assert isinstance(found, Gap)
    assert found.reason == "alias/tokens: where it points: no key is known"


SEALING: dict[str, Any] = {
    "tokens": 3,
    "last_used_for": "GenerateDataKey",
    "last_used_at": NOW - timedelta(days=2),
}


@pytest.mark.parametrize("operation", ["GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "Encrypt"])
def test_data_keys_made_under_an_old_key_are_told(operation: str) -> None:
    found = finding(old_key_in_use, facts(2, **(SEALING | {"last_used_for": operation})), writing())
    assert (found.rule, found.severity, found.subject) == ("kms-old-key-in-use", Severity.MEDIUM, arn(2))
    assert f"{operation} at 2026-11-23 12:00 UTC" in found.evidence


@pytest.mark.parametrize(
    "fields",
    [
        {"last_used_for": "Decrypt"},
        {"last_used_at": NOW - timedelta(days=30)},
        {"last_used_at": None},
        {"tokens": 0},
    ],
)
def test_other_uses_of_an_old_key_are_not(fields: dict[str, Any]) -> None:
    assert ask(old_key_in_use, facts(2, **(SEALING | fields)), writing()) == []


def test_a_trusted_key_without_tokens_counts_too() -> None:
    assert finding(old_key_in_use, facts(2, **(SEALING | {"tokens": 0}), trusted=True), writing())


def test_what_is_not_known_makes_no_use() -> None:
    assert ask(old_key_in_use, facts(2, **SEALING, state=None), writing()) == []
    assert ask(old_key_in_use, facts(2, **SEALING), writing(created_at=None)) == []


def test_a_key_used_before_the_new_one_was_made_is_not_still_in_use() -> None:
    assert ask(old_key_in_use, facts(2, **SEALING), writing(age=1)) == []
    assert ask(old_key_in_use, facts(2, **SEALING), writing(age=2)) == []


def test_the_key_written_under_is_in_use_by_right() -> None:
    assert ask(old_key_in_use, writing(**{k: v for k, v in SEALING.items() if k != "tokens"})) == []
    assert ask(old_key_in_use, facts(2, **SEALING)) == []


def test_a_last_use_that_may_not_be_read_is_a_gap_that_hides_no_more_than_medium() -> None:
    about = facts(2, tokens=3)
    about.key.missing["last use"] = "kms:GetKeyLastUsage is not allowed"
    found = gap(old_key_in_use, about, writing())
    assert found.reason == f"{arn(2)}: last use: kms:GetKeyLastUsage is not allowed"
    assert found.hides is Severity.MEDIUM


def on_material(**tokens: int) -> dict[str, int]:
    return {f"{int(n[1:]):064x}": count for n, count in tokens.items()}


def test_tokens_on_old_material_are_told_by_generation() -> None:
    materials = (material(1, 1100, "NON_CURRENT"), material(2, 740, "NON_CURRENT"), material(3, 300))
    about = facts(tokens=12, age=1100, materials=materials, by_material=on_material(m1=2, m2=3, m3=7))
    found = finding(old_material, about)
    assert (found.rule, found.severity) == ("kms-material-old", Severity.MEDIUM)
    assert "2 on material 1 (00000000), 1,100 days old; 3 on material 2" in found.evidence
    assert "7 on" not in found.evidence
    assert ask(old_material, about, material_days=1100) == []
    assert ask(old_material, facts(tokens=0, age=1100, materials=materials)) == []


def test_material_that_replicas_share_is_told_once() -> None:
    primary_arn = arn(1, multi=True)
    shared: dict[str, Any] = {
        "age": 900,
        "tokens": 1,
        "materials": (material(1, 900),),
        "by_material": on_material(m1=1),
        "multi_region": True,
        "primary_arn": primary_arn,
    }
    replica = facts(2, key_arn=arn(1, "us-east-1", multi=True), **shared)
    primary = facts(1, key_arn=primary_arn, **shared)
    assert finding(old_material, primary, replica).subject == primary_arn
    assert ask(old_material, replica, primary) == []
    assert finding(old_material, replica).subject == replica.arn
    assert finding(old_material, replica, facts(1, key_arn=primary_arn, state=None)).subject == replica.arn


def test_the_key_written_under_is_the_one_that_is_named_not_its_replica() -> None:
    replica = writing(2, key_arn=arn(1, "us-east-1", multi=True))
    primary = writing(1, key_arn=arn(1, multi=True))
    keys = estate(replica, primary)
    assert keys.writing is replica
    assert replace(keys, write_arn=primary.arn).writing is primary


@pytest.mark.parametrize(("age", "told"), [(730, 0), (731, 1)])
def test_material_is_old_from_the_day_after_the_limit(age: int, told: int) -> None:
    about = facts(tokens=1, age=age, materials=(material(1, age),), by_material=on_material(m1=1))
    assert len(ask(old_material, about)) == told


def test_material_of_unknown_age_is_a_gap_unless_the_key_itself_is_young() -> None:
    about = facts(tokens=4, age=900, by_material={"": 4})
    about.key.missing["materials"] = "kms:ListKeyRotations is not allowed"
    found = gap(old_material, about)
    assert "4 tokens" in found.reason
    assert "kms:ListKeyRotations is not allowed" in found.reason
    assert found.hides is Severity.MEDIUM
    assert ask(old_material, facts(tokens=4, age=730, by_material={"": 4})) == []
    assert gap(old_material, facts(tokens=4, created_at=None, by_material={"": 4})).hides is Severity.MEDIUM


@pytest.mark.parametrize(
    "untold",
    [
        {"use_tracked_since": None},
        {"last_used_at": NOW - timedelta(days=1), "last_used_for": None},
    ],
)
def test_a_use_that_kms_does_not_tell_is_a_gap_and_no_silence(untold: dict[str, Any]) -> None:
    old = facts(2, age=400, tokens=3, **untold)
    assert "last use: KMS does not tell" in gap(old_key_in_use, old, writing()).reason


def idle(*keys: KeyFacts) -> list[Finding | Gap]:
    return list(unused(estate(*keys)))


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"last_used_at": NOW - timedelta(days=91), "last_used_for": "Decrypt"}, "Decrypt at 2026-08-26"),
        ({"use_tracked_since": NOW - timedelta(days=90)}, "no use since tracking began at 2026-08-27"),
    ],
)
def test_a_key_that_nobody_used_for_long_is_told(fields: dict[str, Any], seen: str) -> None:
    (found,) = idle(facts(age=900, **fields))
    assert isinstance(found, Finding)
    assert (found.rule, found.severity, found.subject) == ("kms-unused", Severity.LOW, arn(1))
    assert seen in found.evidence


@pytest.mark.parametrize(
    "fields",
    [
        {"last_used_at": NOW - timedelta(days=89)},
        {"tokens": 1},
        {"tokens": None},
        {"trusted": True},
        {"writes": True},
        {"state": "Disabled"},
        {"manager": "AWS"},
    ],
)
def test_a_key_that_is_used_or_guards_tokens_or_is_no_longer_enabled_is_not(fields: dict[str, Any]) -> None:
    assert idle(facts(age=900, **fields)) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"use_tracked_since": None}, "KMS does not tell"),
        ({"use_tracked_since": NOW - timedelta(days=89)}, "KMS reports it since 2026-08-28 only"),
    ],
)
def test_silence_about_uses_is_a_gap_unless_kms_listened_long_enough(
    fields: dict[str, Any], why: str
) -> None:
    (found,) = idle(facts(age=900, **fields))
    assert isinstance(found, Gap)
    assert found.reason == f"{arn(1)}: last use: {why}"
    assert idle(facts(age=89, use_tracked_since=NOW - timedelta(days=89))) == []


def test_uses_that_kms_does_not_tell_are_one_gap_for_all_keys() -> None:
    why = {"last use": "This endpoint does not have GetKeyLastUsage"}
    untold = [replace(one, key=replace(one.key, missing=why)) for one in (facts(1), facts(2))]
    (found,) = idle(*untold)
    assert isinstance(found, Gap)
    assert found.reason == f"{arn(1)} and 1 more: last use: This endpoint does not have GetKeyLastUsage"
    assert found.hides is Severity.LOW
