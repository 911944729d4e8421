"""Preflight: each permission that KMS would refuse, with its key, its reason and its remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from console.sandbox.endpoint import Denial, EndpointControl
from crypto_core.keyring.preflight import Permission, Preflight
from tests.crypto_core.keyring.preflight.scene import DECRYPT, FROM, GENERATE, TO, BlobOf, Overheard
from tests.crypto_core.keyring.scene import ELSEWHERE, NOBODYS, REGION, NewKey


@pytest.mark.parametrize("action", [GENERATE, DECRYPT])
def test_a_missing_permission_is_named_with_its_key(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey, blob_of: BlobOf, action: str
) -> None:
    def may(key: str) -> Permission:
        return preflight.may_decrypt(key, blob_of(key)) if action == DECRYPT else preflight.may_generate(key)

    denied, other = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", action, denied))
    found = may(denied)
    assert (found.action, found.key, found.allowed) == (action, denied, False)
    assert action in found.reason
    assert denied in found.reason
    assert f"Allow {action}" in found.remedy
    assert may(other).allowed is True
    assert preflight.may_generate(denied).allowed is (action == DECRYPT)


def test_a_denied_source_leaves_the_destination_not_known(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey, blob_of: BlobOf
) -> None:
    old, new = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", FROM, old))
    source, destination = preflight.may_reencrypt(old, new, blob_of(old))
    assert (source.action, source.key, source.allowed) == (FROM, old, False)
    assert f"Allow {FROM}" in source.remedy
    assert (destination.action, destination.key, destination.allowed) == (TO, new, None)
    assert destination.reason == f"Not known while {FROM} is refused on {old}."


def test_a_denied_destination_says_that_the_source_is_permitted(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey, blob_of: BlobOf
) -> None:
    old, new = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", TO, new))
    source, destination = preflight.may_reencrypt(old, new, blob_of(old))
    assert source == Permission(FROM, old, True)
    assert (destination.action, destination.key, destination.allowed) == (TO, new, False)
    assert new in destination.reason
    assert f"Allow {TO}" in destination.remedy


@pytest.mark.parametrize(("denied", "expected"), [(FROM, [False, None]), (TO, [True, False])])
def test_a_rewrap_under_the_same_key_tells_its_two_permissions_apart(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: NewKey,
    blob_of: BlobOf,
    denied: str,
    expected: list[bool | None],
) -> None:
    key = new_key()
    aws.add_denial(Denial("keydeck-oncall", denied, key))
    assert [p.allowed for p in preflight.may_reencrypt(key, key, blob_of(key))] == expected


def disabled(aws: EndpointControl, client: Any, key: str) -> str:
    client.disable_key(KeyId=key)
    return "is disabled"


def pending_deletion(aws: EndpointControl, client: Any, key: str) -> str:
    client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    return "is pending deletion"


def pending_import(aws: EndpointControl, client: Any, key: str) -> str:
    aws.set_key_state(key, "PendingImport")
    return "is pending import"


@pytest.mark.parametrize("put", [disabled, pending_deletion, pending_import], ids=lambda put: put.__name__)
def test_a_key_whose_state_refuses_is_not_permitted_and_the_state_is_the_reason(
    aws: EndpointControl,
    preflight: Preflight,
    client: Any,
    new_key: NewKey,
    blob_of: BlobOf,
    put: Callable[[EndpointControl, Any, str], str],
) -> None:
    broken, other = new_key(), new_key()
    blob, others = blob_of(broken), blob_of(other)
    reason = put(aws, client, broken)
    for found in (preflight.may_generate(broken), preflight.may_decrypt(broken, blob)):
        assert found.allowed is False
        assert reason in found.reason
        assert broken in found.reason
        assert found.remedy
    source, destination = preflight.may_reencrypt(broken, other, blob)
    assert (source.allowed, destination.allowed) == (False, None)
    assert reason in source.reason
    source, destination = preflight.may_reencrypt(other, broken, others)
    assert (source.allowed, destination.allowed) == (True, False)
    assert reason in destination.reason


@pytest.mark.parametrize("name", [NOBODYS, NOBODYS.rpartition("/")[2], "alias/nobody-made-this"])
def test_a_key_that_is_not_there_is_not_permitted(
    preflight: Preflight, new_key: NewKey, blob_of: BlobOf, name: str
) -> None:
    key = new_key()
    for found in (preflight.may_generate(name), preflight.may_decrypt(name, blob_of(key))):
        assert found.allowed is False
        assert "does not exist" in found.reason
        assert name in found.reason
    assert [p.allowed for p in preflight.may_reencrypt(name, key, blob_of(key))] == [False, None]
    assert [p.allowed for p in preflight.may_reencrypt(key, name, blob_of(key))] == [True, False]


def test_a_disabled_key_that_is_source_and_destination_is_told_of_the_source(
    preflight: Preflight, client: Any, new_key: NewKey, blob_of: BlobOf
) -> None:
    key = new_key()
    blob = blob_of(key)
    client.disable_key(KeyId=key)
    assert [p.allowed for p in preflight.may_reencrypt(key, key, blob)] == [False, None]


@pytest.mark.parametrize("broken", ["source", "destination"])
@pytest.mark.parametrize("form", ["key ids", "key id and alias"])
def test_a_bare_key_id_tells_which_side_kms_means(
    preflight: Preflight, client: Any, new_key: NewKey, blob_of: BlobOf, broken: str, form: str
) -> None:
    old, new = new_key(), new_key()
    blob = blob_of(old)
    source, destination = (key.rpartition("/")[2] for key in (old, new))
    alias = f"alias/test-{uuid4().hex[:12]}"
    client.create_alias(AliasName=alias, TargetKeyId=new)
    client.disable_key(KeyId=old if broken == "source" else new)
    found = preflight.may_reencrypt(source, destination if form == "key ids" else alias, blob)
    assert [p.allowed for p in found] == ([False, None] if broken == "source" else [True, False])
    client.delete_alias(AliasName=alias)


def test_two_aliases_of_which_kms_names_the_key_that_is_disabled_leave_both_not_known(
    preflight: Preflight, client: Any, new_key: NewKey, blob_of: BlobOf
) -> None:
    key, other = new_key(), new_key()
    names = [f"alias/test-{uuid4().hex[:12]}" for _ in range(2)]
    for name, target in zip(names, (key, other), strict=True):
        client.create_alias(AliasName=name, TargetKeyId=target)
    blob = blob_of(key)
    client.disable_key(KeyId=other)
    found = preflight.may_reencrypt(names[0], names[1], blob)
    assert [p.allowed for p in found] == [None, None]
    assert all(other in p.reason and "is disabled" in p.reason for p in found)
    for name in names:
        client.delete_alias(AliasName=name)


def test_a_rewrap_across_regions_is_told_without_asking(
    kms: Overheard, preflight: Preflight, new_key: NewKey
) -> None:
    key = new_key()
    source, destination = preflight.may_reencrypt(key, NOBODYS.replace(REGION, ELSEWHERE), None)
    assert (source.allowed, destination.allowed) == (None, False)
    assert "different Regions" in destination.reason
    assert destination.remedy == "Re-encrypt instead."
    assert kms.asked == []
