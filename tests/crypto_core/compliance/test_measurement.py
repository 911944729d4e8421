"""What services return becomes facts: nothing that isn't known is made up, and what fails has a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.compliance.measurement import guarding_keys, journal_facts, key_facts, token_facts
from crypto_core.compliance.snapshot import Lack
from crypto_core.compliance.snapshot_reader import _lack
from crypto_core.database.state.journal_verification import JournalCheck
from crypto_core.envelope import Format
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.keys.status import KeyShare, Status
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.proof.journal import OutsideAnchor
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.snapshots import DAY, NOW

ARN = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111"
OTHER = ARN.replace("1111-1111-1111", "2222-2222-2222")
STATE = KeyState(
    ARN,
    "eu-west-1",
    state=clean("Enabled"),
    spec=clean("SYMMETRIC_DEFAULT"),
    manager=clean("CUSTOMER"),
    origin=clean("AWS_KMS"),
    rotation_enabled=True,
    rotation_period_days=365,
    materials=(
        KeyMaterial("old", None, NOW - 900 * DAY),
        KeyMaterial("unused", None, NOW - 500 * DAY),
        KeyMaterial("new", None, NOW - 10 * DAY),
    ),
)


def share(material: str | None, tokens: int = 3) -> KeyShare:
    return KeyShare(ARN, None, None, material, tokens, Evidence.INFERRED)


def status(*keys: KeyShare) -> Status:
    tokens = sum(key.tokens for key in keys)
    return Status(NOW, tokens, {Format.V1: tokens}, (), keys, (), Coverage(("other: no permission",)))


def test_the_age_in_use_is_that_of_materials_with_tokens_and_not_known_if_one_of_them_is_not() -> None:
    found = key_facts(STATE, status(share("new"), share("old", tokens=0)), ARN)
    assert (found.oldest_in_use, found.tokens, found.writes) == (NOW - 10 * DAY, 3, True)
    assert key_facts(STATE, status(share("new"), share("old")), "").oldest_in_use == NOW - 900 * DAY
    assert key_facts(STATE, status(share("new"), share(None)), "").oldest_in_use is None
    assert key_facts(STATE, status(share("new"), share("lost")), "").oldest_in_use is None
    unknown = key_facts(replace(STATE, rotation_enabled=None), None, OTHER)
    assert (unknown.rotates, unknown.tokens, unknown.writes) == (None, None, False)


def test_keys_are_those_that_tokens_are_under_and_the_one_written_under() -> None:
    states = (STATE, replace(STATE, key_arn=OTHER))
    assert guarding_keys(states, status(share("new")), None, "") == states[:1]
    assert guarding_keys(states, status(share("new")), "alias/tokens", OTHER) == states
    assert guarding_keys(states, status(share("new", tokens=0)), None, "") == ()
    assert guarding_keys(states, None, "alias/tokens", OTHER) == states[1:]


def test_what_a_census_does_not_count_is_kept_with_it() -> None:
    found = token_facts(status(share("new")))
    assert (found.tokens, found.protected, found.by_format) == (3, 3, {"v1": 3})
    assert (found.gaps, found.swept) == (("other: no permission",), False)


def test_the_newest_entry_that_is_held_outside_counts() -> None:
    check = JournalCheck(9, (), 2, outside=(OutsideAnchor(4, (), None), OutsideAnchor(7, (), None)))
    found = journal_facts(check, signs=True, places=1)
    assert (found.entries, found.outside, found.signs, found.places) == (9, 7, True, 1)


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (errors.KmsAccessDeniedError("No.", operation="ListKeys", key=""), Lack.PERMISSION),
        (errors.MissingGrantError("No."), Lack.PERMISSION),
        (errors.MissingSchemaError("None."), Lack.NOTHING),
        (errors.KmsUnreachableError("Silent.", operation="ListKeys", key=""), Lack.FAILED),
        (errors.DatabaseUnreachableError("Silent."), Lack.FAILED),
        (errors.TrailError("Silent."), Lack.FAILED),
    ],
)
def test_why_a_part_is_missing_is_told(error: errors.KeydeckError, lack: Lack) -> None:
    assert _lack(error) is lack
