"""Attribution: damaged envelopes and those without KMS's header are counted, none left out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from console.container import Container
from crypto_core import encrypt_token
from crypto_core.database.tokens.attribution import MEMBERS_TRIED
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.census import take_census
from crypto_core.envelope import Format, parse, serialise
from crypto_core.lists.coverage import Evidence
from tests.crypto_core.database.tokens.attribution.scene import adds_up, only, without_header
from tests.platform_rows import connect_github


def test_envelopes_without_a_kms_header_are_asked_one_by_one(
    services: Container, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(7):
        connect_github(platform, f"gh-{number}", without_header(sealed))
    before = decrypts()
    status = services.services.status.take_census()
    assert decrypts() - before == 7
    (share,) = status.keys
    assert (share.key_arn, share.tokens, share.evidence) == (None, 7, Evidence.UNKNOWN)
    assert "7 tokens" in status.coverage.reasons[0]


def test_an_edk_that_is_too_short_is_a_group_of_its_own(services: Container, platform: Engine) -> None:
    only(platform)
    envelope = parse(encrypt_token("gho_x"))
    connect_github(platform, "gh-whole", serialise(envelope))
    for length in (1, 36, 37):
        cut = envelope.encrypted_data_key[:length]
        connect_github(platform, f"gh-{length}", serialise(replace(envelope, encrypted_data_key=cut)))
    census = take_census(services.engine, services.catalogue, AttributionCache(services.engine))
    assert {(g.edk_prefix, g.tokens) for g in census.groups} == {(envelope.edk_prefix, 1), (None, 3)}
    status = services.services.status.take_census()
    assert adds_up(status)
    assert sorted(s.tokens for s in status.keys) == [1, 3]


def test_a_damaged_member_of_a_group_is_passed_over_and_counted_as_damaged(
    services: Container, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    connect_github(platform, "gh-1", sealed[: len(sealed) // 2])
    connect_github(platform, "gh-2", sealed[:-8] + "*" + sealed[-7:])
    connect_github(platform, "gh-3", encrypt_token("gho_3"))
    connect_github(platform, "gh-4", encrypt_token("gho_4"))
    before = decrypts()
    status = services.services.status.take_census()
    assert decrypts() - before == 2
    assert {(s.tokens, s.evidence, bool(s.key_arn)) for s in status.keys} == {
        (2, Evidence.UNKNOWN, False),
        (2, Evidence.INFERRED, True),
    }
    problems = [p for p in status.problems if p.title == "damaged: the envelope does not open"]
    assert sum(p.tokens for p in problems) == 2
    assert adds_up(status)


def test_an_edk_that_kms_cannot_open_lets_the_next_member_be_asked(
    services: Container, platform: Engine
) -> None:
    only(platform)
    envelope = parse(encrypt_token("gho_x"))
    edk = envelope.encrypted_data_key
    flipped = serialise(replace(envelope, encrypted_data_key=edk[:-1] + bytes([edk[-1] ^ 1])))
    connect_github(platform, "gh-1", flipped)
    connect_github(platform, "gh-2", encrypt_token("gho_2"))
    (share,) = services.services.status.take_census().keys
    assert (share.tokens, share.evidence, bool(share.key_arn)) == (2, Evidence.INFERRED, True)


def test_a_group_whose_members_are_all_damaged_is_unknown_and_says_so(
    services: Container, platform: Engine
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    tokens = MEMBERS_TRIED + 3
    for number in range(tokens):
        connect_github(platform, f"gh-{number}", sealed[: 200 + 4 * number])
    first = services.services.status.take_census()
    assert adds_up(first)
    assert not first.well
    second = services.services.status.take_census()
    assert adds_up(second)
    assert sum(s.asked for s in second.keys) == tokens


def test_a_broken_v2_envelope_is_counted_and_its_field_told(
    services: Container, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    connect_github(platform, "gh-v2", base64.b64encode(b"v2|" + b"A" * 90).decode())
    status = services.services.status.take_census()
    assert decrypts() == 0
    (share,) = status.keys
    assert (share.tokens, share.evidence) == (1, Evidence.UNKNOWN)
    assert share.note == "Malformed envelope: 2 fields, v2 has 5."
    assert status.by_format[Format.V2] == 1
    assert adds_up(status)


@pytest.mark.deep
def test_an_envelope_too_broken_to_be_asked_about_is_remembered(
    services: Container, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    edk = base64.b64encode(b"short").decode()
    connect_github(platform, "gh-1", base64.b64encode(f"v1|{edk}|AAAA|AAAA".encode()).decode())
    status = services.services.status.take_census()
    (share,) = status.keys
    assert (share.tokens, share.asked, share.evidence) == (1, 1, Evidence.UNKNOWN)
    assert "nonce" in share.note
    assert services.services.status.take_census().keys == status.keys
    assert decrypts() == 0
