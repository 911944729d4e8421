"""Preflight: what a whole run needs of its source and target keys."""

from __future__ import annotations

from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.guard.operations import BY_NAME
from crypto_core.keyring.preflight import Preflight, WrappedSample
from crypto_core.values.errors import SettingsError
from tests.crypto_core.keyring.preflight.scene import (
    CONTEXT,
    DECRYPT,
    FROM,
    GENERATE,
    TO,
    Overheard,
    verdicts,
)
from tests.crypto_core.keyring.scene import NOBODYS, NewKey, wrapped


def test_a_reencryption_needs_decrypt_on_every_source_and_both_on_the_target(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    first, second, target = new_key(), new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", DECRYPT, second))
    sources = {first: WrappedSample(wrapped(client, first, CONTEXT), CONTEXT), second: None}
    assert verdicts(preflight.for_run(target, sources, context=CONTEXT)) == [
        (GENERATE, target, True),
        (DECRYPT, first, True),
        (DECRYPT, second, False),
        (DECRYPT, target, True),
    ]


def test_encrypting_plaintext_needs_generate_and_opens_what_it_has_made(
    kms: Overheard, preflight: Preflight, new_key: NewKey
) -> None:
    target = new_key()
    assert verdicts(preflight.for_run(target, {})) == [(GENERATE, target, True), (DECRYPT, target, True)]
    assert len(kms.asked) == 2


def test_a_rewrap_needs_both_sides_and_opens_before_and_after(
    preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    first, target = new_key(), new_key()
    sources = {first: WrappedSample(wrapped(client, first))}
    assert verdicts(preflight.for_run(target, sources, operation=BY_NAME["rewrap"])) == [
        (DECRYPT, first, True),
        (FROM, first, True),
        (TO, target, True),
        (DECRYPT, target, True),
    ]


def test_what_several_sources_tell_of_the_target_is_one_permission_and_a_refusal_comes_first(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey
) -> None:
    first, second, target = new_key(), new_key(), new_key()
    sources: dict[str, WrappedSample | None] = {first: None, second: None}
    aws.add_denial(Denial("keydeck-oncall", FROM, first))
    told = preflight.for_run(target, sources, operation=BY_NAME["rewrap"])
    assert [(p.key, p.allowed) for p in told if p.action == FROM] == [(first, False), (second, True)]
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, True)]
    aws.add_denial(Denial("keydeck-oncall", TO, target))
    told = preflight.for_run(target, sources, operation=BY_NAME["rewrap"])
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, False)]


def test_a_target_that_is_refused_once_is_refused_whatever_else_was_answered(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey
) -> None:
    """A policy may tell encryption contexts apart."""
    first, second, target = new_key(), new_key(), new_key()
    says = f"User: x is not authorized to perform: {TO} on resource: {target} because of a condition"
    aws.add_fault(Fault("ReEncrypt", "AccessDeniedException", count=1, message=says))
    told = preflight.for_run(target, {first: None, second: None}, operation=BY_NAME["rewrap"])
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, False)]
    assert [(p.key, p.allowed) for p in told if p.action == FROM] == [(first, True), (second, True)]


def test_a_rewrap_under_the_same_key_asks_about_decrypt_once(
    kms: Overheard, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    told = preflight.for_run(key, {key: WrappedSample(wrapped(client, key))}, operation=BY_NAME["rewrap"])
    assert verdicts(told) == [(DECRYPT, key, True), (FROM, key, True), (TO, key, True)]
    assert len(kms.asked) == 2


def test_a_sample_shows_no_bytes() -> None:
    assert "secret" not in repr(WrappedSample(b"secret"))


def test_what_is_no_key_name_is_refused_before_anything_is_sent(kms: Overheard, preflight: Preflight) -> None:
    for use in (
        lambda: preflight.may_generate("tokens"),
        lambda: preflight.may_decrypt("tokens", b"x"),
        lambda: preflight.may_reencrypt("tokens", NOBODYS, b"x"),
        lambda: preflight.may_reencrypt(NOBODYS, "tokens", b"x"),
    ):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            use()
    assert kms.asked == []
