"""Attribution: keys that refuse, KMS that fails or is gone, and the limit of questions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.census import take_census
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Evidence
from tests.crypto_core.database.tokens.attribution.scene import adds_up, only, share_of, without_header
from tests.platform_rows import connect_github


def test_a_disabled_key_is_named_by_kmss_refusal(
    sandbox: Sandbox,
    services: Container,
    platform: Engine,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = new_key()
    only(platform)
    connect_github(platform, "gh-ok", encrypt_token("gho_ok"))
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    for number in range(3):
        connect_github(platform, f"gh-{number}", encrypt_token(f"gho_{number}"))
    sandbox.client("kms").disable_key(KeyId=key)
    status = services.services.status.take_census()
    share = share_of(status, key)
    assert (share.tokens, share.evidence, share.key_state) == (3, Evidence.INFERRED, "Disabled")
    assert key in share.note
    assert adds_up(status)
    assert ("not enabled", 3) in {(p.title[-11:], p.tokens) for p in status.problems if p.subject == key}
    sandbox.client("kms").enable_key(KeyId=key)
    again = share_of(services.services.status.take_census(), key)
    assert (again.tokens, again.note, bool(again.key_material_id)) == (3, "", True)


def test_where_kms_denies_decrypt_the_coverage_names_the_action_and_all_tokens_are_there(
    sandbox: Sandbox, services: Container, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt"))
    status = services.services.status.take_census()
    sandbox.control.clear()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert not status.coverage.complete
    assert any("kms:Decrypt" in reason for reason in status.coverage.reasons)
    assert not status.well
    assert all(s.key_material_id is None for s in status.keys)


def test_where_only_one_key_is_denied_the_others_are_attributed(
    sandbox: Sandbox, services: Container, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", world.old_key.key_id))
    status = services.services.status.take_census()
    sandbox.control.clear()
    old = share_of(status, world.old_key.arn)
    assert (old.key_material_id, old.evidence) == (None, Evidence.INFERRED)
    assert "kms:Decrypt" in old.note
    assert {s.key_material_id for s in status.keys if s.key_arn == world.current_key.arn} == set(
        world.current_key.material_ids
    )
    assert [r for r in status.coverage.reasons if world.old_key.arn in r and "kms:Decrypt" in r]
    assert adds_up(status)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "error", ["KMSInternalException", "ThrottlingException", "ExpiredTokenException", "reset"]
)
def test_where_kms_fails_the_tokens_are_unknown_and_the_coverage_says_why(
    sandbox: Sandbox, services: Container, world: World, error: str
) -> None:
    sandbox.control.add_fault(Fault("Decrypt", error))
    status = services.services.status.take_census()
    sandbox.control.clear()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert {(s.key_arn, s.evidence) for s in status.keys} == {(None, Evidence.UNKNOWN)}
    assert not status.coverage.complete
    assert not status.well
    whole = services.services.status.take_census()
    assert whole.coverage.complete
    assert adds_up(whole)


def test_a_kms_that_does_not_answer_is_not_asked_about_every_group(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch, fresh: Callable[..., Container]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    container = fresh()
    before = container.kms.calls
    status = container.services.status.take_census()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert len(status.coverage.reasons) >= 3
    assert {s.evidence for s in status.keys} == {Evidence.UNKNOWN}
    # One question about a group, the aliases, and one key's state: each may take its whole time limit.
    assert container.kms.calls - before <= 4


@pytest.mark.deep
def test_a_kms_that_is_gone_ends_asking_one_by_one(
    services: Container, platform: Engine, monkeypatch: pytest.MonkeyPatch, fresh: Callable[..., Container]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(120):
        connect_github(platform, f"gh-{number}", without_header(sealed))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    container = fresh()
    status = container.services.status.take_census()
    assert adds_up(status)
    assert any("120 tokens" in reason for reason in status.coverage.reasons)
    assert container.kms.calls < 60


def test_the_limit_of_questions_is_told_in_the_coverage(
    services: Container, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    connect_github(platform, "gh-whole", sealed)
    for number in range(8):
        connect_github(platform, f"gh-{number}", without_header(sealed))
    answers = AttributionCache(services.engine)
    attributor = Attributor(services.store, services.keyring, answers, limit=5)
    census = take_census(services.engine, services.catalogue, answers)
    before = decrypts()
    attribution = attributor.attribute_census(census)
    assert decrypts() - before == 5 + 1
    assert sum(c.tokens for c in attribution.counts) == 9
    assert any("at most 5 questions" in gap and "verify --all" in gap for gap in attribution.gaps)


def test_without_any_question_left_groups_are_told_as_not_asked(services: Container, world: World) -> None:
    answers = AttributionCache(services.engine)
    attributor = Attributor(services.store, services.keyring, answers, limit=0)
    attribution = attributor.attribute_census(take_census(services.engine, services.catalogue, answers))
    assert sum(c.tokens for c in attribution.counts) == world.by_format[Format.V1]
    assert {c.note for c in attribution.counts} == {"not asked"}
    assert attribution.gaps
