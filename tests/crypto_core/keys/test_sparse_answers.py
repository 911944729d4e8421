"""What KMS leaves out of an answer is not known, and a grant's id may be anything."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from crypto_core.keys.changes.change import ChangeKind, KeyChange, check
from crypto_core.keys.grants import parse_grant
from crypto_core.values.errors import RefusedError
from tests.screens.samples import KEYS


@pytest.mark.parametrize(
    "grant_id", ["a" * 64, "7f9c24e5-2f2b-4d2c-9c58-55c2f0a3a9d1", "g", "a;$(id)'b\"", "=" * 128]
)
def test_a_grant_is_named_by_an_id_of_any_form_as_one_word_of_a_command(grant_id: str) -> None:
    grant = parse_grant({"GrantId": grant_id, "GranteePrincipal": "arn:aws:iam::1:role/x"})
    assert shlex.split(f"keydeck keys revoke-grant KEY {grant.argument}")[-1] == grant_id
    check(KeyChange(ChangeKind.REVOKE_GRANT, "alias/tokens", grant_id=grant_id))


@pytest.mark.parametrize("grant_id", ["", "a b", "a\n", "\x1b[31m", "ä", "a" * 129])
def test_what_can_be_no_grant_id_is_refused(grant_id: str) -> None:
    with pytest.raises(RefusedError, match="not a grant id"):
        check(KeyChange(ChangeKind.REVOKE_GRANT, "alias/tokens", grant_id=grant_id))


def test_rotations_are_counted_only_where_kms_tells_how_each_came() -> None:
    key = replace(KEYS[0], detailed=True, missing={})
    first, *later = key.materials
    on_demand = [replace(m, rotation="ON_DEMAND") for m in later]
    assert replace(key, materials=(first, *on_demand)).on_demand_used == len(on_demand) > 0
    assert replace(key, materials=(first, *(replace(m, rotation=None) for m in later))).on_demand_used is None
    pending = replace(first, state="PENDING_ROTATION", rotation=None)
    assert replace(key, materials=(first, *on_demand, pending)).on_demand_used == len(on_demand)
