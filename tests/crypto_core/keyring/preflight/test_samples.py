"""Preflight: samples that KMS refuses stand for no permission, and hide none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.keyring.preflight import Preflight
from tests.crypto_core.keyring.preflight.scene import CONTEXT, DECRYPT, FROM, TO, Overheard
from tests.crypto_core.keyring.scene import NewKey, wrapped


def damaged(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    blob = wrapped(client, key, CONTEXT)
    return blob[:-1] + bytes([blob[-1] ^ 1]), CONTEXT


def of_another_key(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return wrapped(client, other, CONTEXT), CONTEXT


def of_another_row(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return wrapped(client, key, CONTEXT), CONTEXT | {"keydeck:id": "gh-43"}


def no_ciphertext_at_all(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return b"x", CONTEXT


UNFIT = [damaged, of_another_key, of_another_row, no_ciphertext_at_all]


@pytest.mark.quick(1)
@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit.__name__)
def test_a_sample_that_kms_refuses_does_not_hide_the_permission(
    kms: Overheard,
    preflight: Preflight,
    client: Any,
    new_key: NewKey,
    unfit: Callable[[Any, str, str], tuple[bytes, dict[str, str]]],
) -> None:
    key, other = new_key(), new_key()
    blob, context = unfit(client, key, other)
    for found in (
        preflight.may_decrypt(key, blob, context),
        *preflight.may_reencrypt(key, other, blob, context),
    ):
        assert found.allowed is True
        assert found.reason.startswith("KMS permits it, but not with the sample: ")
    assert [("CiphertextBlob" in p, p.get("DryRunModifiers")) for _, p in kms.asked] == [
        (True, None),
        (False, ["IGNORE_CIPHERTEXT"]),
    ] * 2
    assert kms.answers == []


@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit.__name__)
def test_a_sample_that_kms_refuses_does_not_stand_for_a_permission_that_is_missing(
    aws: EndpointControl,
    preflight: Preflight,
    client: Any,
    new_key: NewKey,
    unfit: Callable[[Any, str, str], tuple[bytes, dict[str, str]]],
) -> None:
    key, other = new_key(), new_key()
    blob, context = unfit(client, key, other)
    # As an endpoint answers that looks at the ciphertext before it authorises.
    aws.add_fault(Fault("*", "InvalidCiphertextException", count=1))
    aws.add_denial(Denial("keydeck-oncall", DECRYPT, key))
    found = preflight.may_decrypt(key, blob, context)
    assert (found.allowed, found.action) == (False, DECRYPT)
    aws.add_fault(Fault("*", "IncorrectKeyException", count=1))
    aws.add_denial(Denial("keydeck-oncall", TO, other))
    assert [p.allowed for p in preflight.may_reencrypt(key, other, blob, context)] == [True, False]


def test_a_denial_of_the_samples_own_key_is_not_taken_for_one_of_the_named_key(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    key, other = new_key(), new_key()
    others = wrapped(client, other)
    hidden = Fault(
        "*",
        "AccessDeniedException",
        count=1,
        message="The ciphertext refers to a customer master key that does not exist, does not exist in this "
        "region, or you are not allowed to access.",
    )
    aws.add_fault(hidden)
    assert preflight.may_decrypt(key, others).allowed is True
    aws.add_fault(hidden)
    assert [p.allowed for p in preflight.may_reencrypt(key, other, others)] == [True, True]


def test_a_denial_stands_where_kms_can_not_be_asked_again(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    key, other = new_key(), new_key()
    blob = wrapped(client, key)
    hidden = "The ciphertext refers to a customer master key that you are not allowed to access."
    aws.add_fault(Fault("*", "AccessDeniedException", count=1, message=hidden))
    aws.add_fault(Fault("*", "ValidationException"))
    source, destination = preflight.may_reencrypt(key, other, blob)
    assert (source.allowed, destination.allowed) == (False, None)
    assert f"{FROM} on {key}" in source.reason


def test_the_context_of_the_run_is_what_kms_is_asked_with(
    kms: Overheard, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    """A key policy may demand it (kms:EncryptionContext:…)."""
    key = new_key()
    blob = wrapped(client, key, CONTEXT)
    assert preflight.may_generate(key, CONTEXT).reason == ""
    assert preflight.may_decrypt(key, blob, CONTEXT).reason == ""
    assert {p.reason for p in preflight.may_reencrypt(key, key, blob, CONTEXT)} == {""}
    members = ("EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext")
    asked = [[p[m] for m in members if m in p] for _, p in kms.asked]
    assert asked == [[CONTEXT], [CONTEXT], [CONTEXT, CONTEXT]]
