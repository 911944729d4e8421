"""Attribution: one question a group, answers that are remembered, verified and in conflict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.envelope import parse
from crypto_core.findings.finding import Severity
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import InterruptedRunError
from tests.crypto_core.database.tokens.attribution import scene
from tests.crypto_core.statements import execute, scalar
from tests.platform_rows import connect_github, put


def test_a_census_asks_kms_one_question_for_each_key_material(
    services: Container, world: World, decrypts: Callable[[], int]
) -> None:
    status = services.services.status.take_census()
    assert decrypts() == 2 * len(world.by_key) == 6
    known = {k: n for k, n in scene.by_key(status).items() if k[0] is not None}
    damaged = sum(s.tokens for s in status.keys if s.key_arn is None)
    assert sum(world.by_key.values()) == sum(known.values()) + damaged
    assert damaged <= len(world.corrupt)
    assert all(world.by_key[k] - damaged <= n <= world.by_key[k] for k, n in known.items())  # type: ignore[index]
    assert {s.evidence for s in status.keys if s.key_arn} == {Evidence.INFERRED}
    assert scene.adds_up(status)
    assert status.coverage.complete


@pytest.mark.parametrize("schema", [True, False])
def test_a_second_census_asks_nothing(
    fresh: Callable[..., Container], request: pytest.FixtureRequest, decrypts: Callable[[], int], schema: bool
) -> None:
    if schema:
        request.getfixturevalue("services")
    container = fresh()
    first = container.services.status.take_census()
    asked = decrypts()
    second = container.services.status.take_census()
    assert decrypts() == asked == 6
    assert scene.by_key(first) == scene.by_key(second)
    # Another process compares each answer that it finds with what KMS says of one member.
    fresh().services.status.take_census()
    assert decrypts() == 2 * asked


def test_what_is_remembered_has_its_age(
    services: Container, fresh: Callable[..., Container], superuser: Engine
) -> None:
    now = services.services.status.take_census()
    assert {share.asked_at for share in now.keys if share.key_arn} == {now.taken_at}
    execute(superuser, "UPDATE keydeck.key_answer SET asked_at = asked_at - interval '3 days'")
    later = fresh().services.status.take_census()
    ages = [later.taken_at - share.asked_at for share in later.keys if share.asked_at]
    assert ages
    assert all(timedelta(days=3) <= age < timedelta(days=3, minutes=10) for age in ages)
    told = [key["asked_at"] for key in later.as_json()["keys"] if key["key_arn"]]
    assert all(datetime.fromisoformat(at) < later.taken_at for at in told)


def test_an_answer_that_names_no_key_keeps_nobody_from_the_status(
    services: Container, fresh: Callable[..., Container], superuser: Engine
) -> None:
    truth = scene.by_key(services.services.status.take_census())
    execute(superuser, "UPDATE keydeck.key_answer SET key_arn = key_arn || '/planted'")
    assert scene.by_key(fresh().services.status.take_census()) == truth


def test_read_only_asks_once_and_writes_no_answer(
    services: Container, fresh: Callable[..., Container], decrypts: Callable[[], int], superuser: Engine
) -> None:
    container = fresh(read_only=True)
    first, second = container.services.status.take_census(), container.services.status.take_census()
    assert decrypts() == 6
    assert scene.by_key(first) == scene.by_key(second)
    assert scalar(superuser, "SELECT count(*) FROM keydeck.key_answer") == 0


def test_after_verifying_all_the_counts_are_verified_and_the_generators(
    services: Container, world: World, decrypts: Callable[[], int]
) -> None:
    services.services.work.verify_tokens(Selection(everything=True))
    asked = decrypts()
    status = services.services.status.take_census()
    assert decrypts() == asked
    keyed = [s for s in status.keys if s.key_arn]
    assert {s.evidence for s in keyed} == {Evidence.VERIFIED}
    assert all(s.asked == s.tokens for s in status.keys)
    intact = {
        (key.arn, material): len(world.sealed_under(key, material))
        for key in (world.current_key, world.old_key)
        for material in key.material_ids
    }
    assert {(s.key_arn, s.key_material_id): s.tokens for s in keyed} == intact
    damaged = [s for s in status.keys if not s.key_arn]
    assert {s.evidence for s in damaged} == {Evidence.UNKNOWN}
    assert scene.adds_up(status)
    titles = {p.title: p.tokens for p in status.problems}
    assert titles["damaged: the envelope does not open"]
    assert "under a key that is not known" not in titles


def test_one_question_more_leaves_the_rest_of_a_group_inferred(services: Container, world: World) -> None:
    services.services.status.take_census()
    ref = world.sealed_under(world.old_key)[-1]
    services.services.work.verify_tokens(Selection((ref,)))
    share = scene.share_of(services.services.status.take_census(), world.old_key.arn)
    old = (world.old_key.arn, world.old_key.material_ids[0])
    # A damaged member that was asked about is no longer counted under the key.
    assert len(world.sealed_under(world.old_key)) <= share.tokens <= world.by_key[old]
    assert share.evidence is Evidence.INFERRED
    assert 1 <= share.asked < share.tokens
    assert services.services.inventory.row(ref).evidence is Evidence.VERIFIED


def test_a_group_of_which_every_token_was_asked_is_verified(
    services: Container, platform: Engine, environment: dict[str, str]
) -> None:
    scene.only(platform)
    connect_github(platform, "gh-only", encrypt_token("gho_only"))
    (share,) = services.services.status.take_census().keys
    assert (share.tokens, share.asked, share.evidence) == (1, 1, Evidence.VERIFIED)


def test_answers_that_disagree_make_a_group_a_conflict_and_are_never_averaged(
    services: Container, world: World, platform: Engine
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    envelope = parse(services.store.read_token(ref).value.reveal())
    contradiction = KnownAttribution(b"x" * 32, envelope.edk_prefix, scene.OTHER_ARN, "m-other")
    services.services.status.take_census()
    AttributionCache(services.engine).remember([contradiction])
    status = services.services.status.take_census()
    conflicts = [s for s in status.keys if s.evidence is Evidence.CONFLICT]
    assert len(conflicts) == 1
    assert conflicts[0].key_arn is None
    assert scene.OTHER_ARN in conflicts[0].note
    assert world.old_key.arn in conflicts[0].note
    asked = sum(s.tokens for s in status.keys if s.key_arn == world.old_key.arn)
    assert conflicts[0].tokens + asked >= len(world.sealed_under(world.old_key))
    assert scene.adds_up(status)
    problem = next(p for p in status.problems if "disagree" in p.title)
    assert (problem.severity, problem.tokens) == (Severity.HIGH, conflicts[0].tokens)
    assert not status.well
    rows = services.services.inventory.page(Query("key:unknown"), limit=500).rows
    assert Evidence.CONFLICT in {row.evidence for row in rows}
    assert ref in {row.ref for row in rows} or services.services.inventory.row(ref).key_arn


def test_verifying_the_tokens_of_a_conflict_settles_which_key_each_is_under(
    services: Container, world: World
) -> None:
    envelope = parse(services.store.read_token(world.sealed_under(world.old_key)[0]).value.reveal())
    AttributionCache(services.engine).remember(
        [KnownAttribution(b"x" * 32, envelope.edk_prefix, scene.OTHER_ARN, "m-other")]
    )
    services.services.work.verify_tokens(Selection(everything=True))
    status = services.services.status.take_census()
    assert Evidence.CONFLICT not in {s.evidence for s in status.keys}
    assert scene.share_of(status, world.old_key.arn).tokens == len(world.sealed_under(world.old_key))


def test_a_census_can_be_cancelled(services: Container, decrypts: Callable[[], int]) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        services.services.status.take_census(cancelled=cancelled)
    assert decrypts() == 0


def test_a_token_written_anew_loses_its_answer_and_keeps_its_group(
    services: Container, world: World, platform: Engine
) -> None:
    services.services.work.verify_tokens(Selection(everything=True))
    ref = world.sealed_under(world.current_key)[0]
    assert services.services.inventory.row(ref).evidence is Evidence.VERIFIED
    put(platform, ref, encrypt_token("gho_new"))
    row = services.services.inventory.row(ref)
    assert (row.evidence, row.key_arn) == (Evidence.INFERRED, world.current_key.arn)
