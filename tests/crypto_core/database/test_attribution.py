"""Attribution: which key and material sealed which tokens, with a question a group, and no token left out."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine, insert, text

from console.sandbox.endpoint import Denial, Fault
from console.sandbox.platform import gh_connection
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core import encrypt_token
from crypto_core.coverage import Evidence
from crypto_core.database.answers import Answer, AnswerBook
from crypto_core.database.attribution import MEMBERS_TRIED, Attributor
from crypto_core.database.census import take_census
from crypto_core.database.tokens import TokenScope
from crypto_core.envelope import Format, edk_prefix, parse, serialise
from crypto_core.errors import InterruptedRunError
from crypto_core.keys.status import KeyShare, Status
from crypto_core.paging import Query
from crypto_core.reencryption.plan import Selection
from crypto_core.references import TokenRef
from crypto_core.severity import Severity

OTHER_ARN = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-00000000aaaa"
TABLES = ("gh_connection", "jira_connection", "slack_connection", "confluence_connection")


@pytest.fixture
def decrypts(sandbox: Sandbox) -> Callable[[], int]:
    """How many Decrypt calls the endpoint has seen since the fixture was made."""

    def now() -> int:
        return sandbox.control.stats().calls.get("kms:Decrypt", 0)

    before = now()
    return lambda: now() - before


@pytest.fixture
def fresh(environment: dict[str, str]) -> Iterator[Callable[..., Wired]]:
    """Wires further services over the same settings, as another process would."""
    made: list[Wired] = []

    def make(**options: object) -> Wired:
        made.append(wire(load(options).settings))
        return made[-1]

    yield make
    for wired in made:
        wired.close()


def put(platform: Engine, row_id: str, stored: str) -> TokenRef:
    """Insert a GitHub connection with that stored access token."""
    values = {
        "id": row_id,
        "org_id": "org-test",
        "user_id": "user-1",
        "access_token": stored,
        "token_type": "oauth",
        "scopes": ["repo"],
        "created_at": text("now()"),
    }
    with platform.begin() as connection:
        connection.execute(insert(gh_connection).values(values))
    return TokenRef("gh_connection", "access_token", row_id)


def only(platform: Engine) -> None:
    """Leave no connection."""
    with platform.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"TRUNCATE {table}"))


def without_header(stored: str) -> str:
    """The envelope with an EDK that no KMS made."""
    return serialise(replace(parse(stored), encrypted_data_key=os.urandom(184)))


def adds_up(status: Status) -> bool:
    """Every v1 and v2 token is in exactly one share."""
    sealed = status.by_format[Format.V1] + status.by_format[Format.V2]
    return sum(share.tokens for share in status.keys) == sealed


def by_key(status: Status) -> dict[tuple[str | None, str | None], int]:
    return {(s.key_arn, s.key_material_id): s.tokens for s in status.keys}


def share_of(status: Status, key_arn: str | None) -> KeyShare:
    (found,) = [s for s in status.keys if s.key_arn == key_arn]
    return found


def test_a_census_asks_kms_one_question_for_each_key_material(
    services: Wired, world: World, decrypts: Callable[[], int]
) -> None:
    status = services.services.status.take()
    assert decrypts() == len(world.by_key) == 3
    known = {k: n for k, n in by_key(status).items() if k[0] is not None}
    damaged = sum(s.tokens for s in status.keys if s.key_arn is None)
    assert sum(world.by_key.values()) == sum(known.values()) + damaged
    assert damaged <= len(world.corrupt)
    assert all(world.by_key[k] - damaged <= n <= world.by_key[k] for k, n in known.items())  # type: ignore[index]
    assert {s.evidence for s in status.keys if s.key_arn} == {Evidence.INFERRED}
    assert adds_up(status)
    assert status.coverage.complete


@pytest.mark.parametrize("schema", [True, False])
def test_a_second_census_asks_nothing(
    fresh: Callable[..., Wired],
    request: pytest.FixtureRequest,
    decrypts: Callable[[], int],
    schema: bool,
) -> None:
    if schema:
        request.getfixturevalue("services")
    wired = fresh()
    first = wired.services.status.take()
    asked = decrypts()
    second = wired.services.status.take()
    assert decrypts() == asked == 3
    assert by_key(first) == by_key(second)
    fresh().services.status.take()
    assert decrypts() == (asked if schema else 2 * asked)


def test_read_only_asks_once_and_writes_no_answer(
    services: Wired, fresh: Callable[..., Wired], decrypts: Callable[[], int], superuser: Engine
) -> None:
    wired = fresh(read_only=True)
    first, second = wired.services.status.take(), wired.services.status.take()
    assert decrypts() == 3
    assert by_key(first) == by_key(second)
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.key_answer")) == 0


def test_after_verifying_all_the_counts_are_verified_and_the_generators(
    services: Wired, world: World, decrypts: Callable[[], int]
) -> None:
    services.services.work.verify(Selection(everything=True))
    asked = decrypts()
    status = services.services.status.take()
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
    assert adds_up(status)
    titles = {p.title: p.tokens for p in status.problems}
    assert titles["damaged: the envelope does not open"]
    assert "under a key that is not known" not in titles


def test_one_question_more_leaves_the_rest_of_a_group_inferred(services: Wired, world: World) -> None:
    services.services.status.take()
    ref = world.sealed_under(world.old_key)[-1]
    services.services.work.verify(Selection((ref,)))
    share = share_of(services.services.status.take(), world.old_key.arn)
    old = (world.old_key.arn, world.old_key.material_ids[0])
    # A damaged member that was asked about is no longer counted under the key.
    assert len(world.sealed_under(world.old_key)) <= share.tokens <= world.by_key[old]
    assert share.evidence is Evidence.INFERRED
    assert 1 <= share.asked < share.tokens
    assert services.services.inventory.row(ref).evidence is Evidence.VERIFIED


def test_a_group_of_which_every_token_was_asked_is_verified(
    services: Wired, platform: Engine, environment: dict[str, str]
) -> None:
    only(platform)
    put(platform, "gh-only", encrypt_token("gho_only"))
    (share,) = services.services.status.take().keys
    assert (share.tokens, share.asked, share.evidence) == (1, 1, Evidence.VERIFIED)


def test_answers_that_disagree_make_a_group_a_conflict_and_are_never_averaged(
    services: Wired, world: World, platform: Engine
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    envelope = parse(services.store.read(ref).value.reveal())
    contradiction = Answer(b"x" * 32, envelope.edk_prefix, OTHER_ARN, "m-other")
    services.services.status.take()
    AnswerBook(services.engine).remember([contradiction])
    status = services.services.status.take()
    conflicts = [s for s in status.keys if s.evidence is Evidence.CONFLICT]
    assert len(conflicts) == 1
    assert conflicts[0].key_arn is None
    assert OTHER_ARN in conflicts[0].note
    assert world.old_key.arn in conflicts[0].note
    asked = sum(s.tokens for s in status.keys if s.key_arn == world.old_key.arn)
    assert conflicts[0].tokens + asked >= len(world.sealed_under(world.old_key))
    assert adds_up(status)
    problem = next(p for p in status.problems if "disagree" in p.title)
    assert (problem.severity, problem.tokens) == (Severity.HIGH, conflicts[0].tokens)
    assert not status.well
    rows = services.services.inventory.page(Query("key:unknown"), limit=500).rows
    assert Evidence.CONFLICT in {row.evidence for row in rows}
    assert ref in {row.ref for row in rows} or services.services.inventory.row(ref).key_arn


def test_verifying_the_tokens_of_a_conflict_settles_which_key_each_is_under(
    services: Wired, world: World
) -> None:
    envelope = parse(services.store.read(world.sealed_under(world.old_key)[0]).value.reveal())
    AnswerBook(services.engine).remember([Answer(b"x" * 32, envelope.edk_prefix, OTHER_ARN, "m-other")])
    services.services.work.verify(Selection(everything=True))
    status = services.services.status.take()
    assert Evidence.CONFLICT not in {s.evidence for s in status.keys}
    assert share_of(status, world.old_key.arn).tokens == len(world.sealed_under(world.old_key))


def test_envelopes_without_a_kms_header_are_asked_one_by_one(
    services: Wired, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(7):
        put(platform, f"gh-{number}", without_header(sealed))
    before = decrypts()
    status = services.services.status.take()
    assert decrypts() - before == 7
    (share,) = status.keys
    assert (share.key_arn, share.tokens, share.evidence) == (None, 7, Evidence.UNKNOWN)
    assert "7 tokens" in status.coverage.reasons[0]


def test_an_edk_that_is_too_short_is_a_group_of_its_own(services: Wired, platform: Engine) -> None:
    only(platform)
    envelope = parse(encrypt_token("gho_x"))
    put(platform, "gh-whole", serialise(envelope))
    for length in (1, 36, 37):
        cut = envelope.encrypted_data_key[:length]
        put(platform, f"gh-{length}", serialise(replace(envelope, encrypted_data_key=cut)))
    census = take_census(services.engine, services.catalogue, AnswerBook(services.engine))
    assert {(g.edk_prefix, g.tokens) for g in census.groups} == {(envelope.edk_prefix, 1), (None, 3)}
    status = services.services.status.take()
    assert adds_up(status)
    assert sorted(s.tokens for s in status.keys) == [1, 3]


def test_a_damaged_member_of_a_group_is_passed_over_and_counted_as_damaged(
    services: Wired, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    put(platform, "gh-1", sealed[: len(sealed) // 2])
    put(platform, "gh-2", sealed[:-8] + "*" + sealed[-7:])
    put(platform, "gh-3", encrypt_token("gho_3"))
    put(platform, "gh-4", encrypt_token("gho_4"))
    before = decrypts()
    status = services.services.status.take()
    assert decrypts() - before == 1
    assert {(s.tokens, s.evidence, bool(s.key_arn)) for s in status.keys} == {
        (2, Evidence.UNKNOWN, False),
        (2, Evidence.INFERRED, True),
    }
    problems = [p for p in status.problems if p.title == "damaged: the envelope does not open"]
    assert sum(p.tokens for p in problems) == 2
    assert adds_up(status)


def test_an_edk_that_kms_cannot_open_lets_the_next_member_be_asked(services: Wired, platform: Engine) -> None:
    only(platform)
    envelope = parse(encrypt_token("gho_x"))
    edk = envelope.encrypted_data_key
    flipped = serialise(replace(envelope, encrypted_data_key=edk[:-1] + bytes([edk[-1] ^ 1])))
    put(platform, "gh-1", flipped)
    put(platform, "gh-2", encrypt_token("gho_2"))
    (share,) = services.services.status.take().keys
    assert (share.tokens, share.evidence, bool(share.key_arn)) == (2, Evidence.INFERRED, True)


def test_a_group_whose_members_are_all_damaged_is_unknown_and_says_so(
    services: Wired, platform: Engine
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    tokens = MEMBERS_TRIED + 3
    for number in range(tokens):
        put(platform, f"gh-{number}", sealed[: 200 + 4 * number])
    first = services.services.status.take()
    assert adds_up(first)
    assert not first.well
    second = services.services.status.take()
    assert adds_up(second)
    assert sum(s.asked for s in second.keys) == tokens


def test_a_disabled_key_is_named_by_kmss_refusal(
    sandbox: Sandbox,
    services: Wired,
    platform: Engine,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = new_key()
    only(platform)
    put(platform, "gh-ok", encrypt_token("gho_ok"))
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    for number in range(3):
        put(platform, f"gh-{number}", encrypt_token(f"gho_{number}"))
    sandbox.client("kms").disable_key(KeyId=key)
    status = services.services.status.take()
    share = share_of(status, key)
    assert (share.tokens, share.evidence, share.key_state) == (3, Evidence.INFERRED, "Disabled")
    assert key in share.note
    assert adds_up(status)
    assert ("not enabled", 3) in {(p.title[-11:], p.tokens) for p in status.problems if p.key_arn == key}
    sandbox.client("kms").enable_key(KeyId=key)
    again = share_of(services.services.status.take(), key)
    assert (again.tokens, again.note, bool(again.key_material_id)) == (3, "", True)


def test_where_kms_denies_decrypt_the_coverage_names_the_action_and_all_tokens_are_there(
    sandbox: Sandbox, services: Wired, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt"))
    status = services.services.status.take()
    sandbox.control.clear()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert not status.coverage.complete
    assert any("kms:Decrypt" in reason for reason in status.coverage.reasons)
    assert not status.well
    assert all(s.key_material_id is None for s in status.keys)


def test_where_only_one_key_is_denied_the_others_are_attributed(
    sandbox: Sandbox, services: Wired, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", world.old_key.key_id))
    status = services.services.status.take()
    sandbox.control.clear()
    old = share_of(status, world.old_key.arn)
    assert (old.key_material_id, old.evidence) == (None, Evidence.INFERRED)
    assert "kms:Decrypt" in old.note
    assert {s.key_material_id for s in status.keys if s.key_arn == world.current_key.arn} == set(
        world.current_key.material_ids
    )
    assert [r for r in status.coverage.reasons if world.old_key.arn in r and "kms:Decrypt" in r]
    assert adds_up(status)


@pytest.mark.parametrize(
    "error", ["KMSInternalException", "ThrottlingException", "ExpiredTokenException", "reset"]
)
def test_where_kms_fails_the_tokens_are_unknown_and_the_coverage_says_why(
    sandbox: Sandbox, services: Wired, world: World, error: str
) -> None:
    sandbox.control.add_fault(Fault("Decrypt", error))
    status = services.services.status.take()
    sandbox.control.clear()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert {(s.key_arn, s.evidence) for s in status.keys} == {(None, Evidence.UNKNOWN)}
    assert not status.coverage.complete
    assert not status.well
    whole = services.services.status.take()
    assert whole.coverage.complete
    assert adds_up(whole)


def test_a_kms_that_does_not_answer_is_not_asked_about_every_group(
    services: Wired, world: World, monkeypatch: pytest.MonkeyPatch, fresh: Callable[..., Wired]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    wired = fresh()
    before = wired.kms.calls
    status = wired.services.status.take()
    assert status.tokens == len(world.tokens)
    assert adds_up(status)
    assert len(status.coverage.reasons) >= 3
    assert {s.evidence for s in status.keys} == {Evidence.UNKNOWN}
    # One question about a group, the aliases, and one key's state: each may take its whole time limit.
    assert wired.kms.calls - before <= 4


def test_a_kms_that_is_gone_ends_asking_one_by_one(
    services: Wired, platform: Engine, monkeypatch: pytest.MonkeyPatch, fresh: Callable[..., Wired]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(120):
        put(platform, f"gh-{number}", without_header(sealed))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    wired = fresh()
    status = wired.services.status.take()
    assert adds_up(status)
    assert any("120 tokens" in reason for reason in status.coverage.reasons)
    assert wired.kms.calls < 60


def test_the_limit_of_questions_is_told_in_the_coverage(
    services: Wired, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    put(platform, "gh-whole", sealed)
    for number in range(8):
        put(platform, f"gh-{number}", without_header(sealed))
    answers = AnswerBook(services.engine)
    attributor = Attributor(services.store, services.keyring, answers, limit=5)
    census = take_census(services.engine, services.catalogue, answers)
    before = decrypts()
    attribution = attributor.attribute(census)
    assert decrypts() - before == 5
    assert sum(c.tokens for c in attribution.counts) == 9
    assert any("at most 5 questions" in gap and "verify --all" in gap for gap in attribution.gaps)


def test_without_any_question_left_groups_are_told_as_not_asked(services: Wired, world: World) -> None:
    answers = AnswerBook(services.engine)
    attributor = Attributor(services.store, services.keyring, answers, limit=0)
    attribution = attributor.attribute(take_census(services.engine, services.catalogue, answers))
    assert sum(c.tokens for c in attribution.counts) == world.by_format[Format.V1]
    assert {c.note for c in attribution.counts} == {"not asked"}
    assert attribution.gaps


def test_a_census_can_be_cancelled(services: Wired, decrypts: Callable[[], int]) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        services.services.status.take(cancelled=cancelled)
    assert decrypts() == 0


def test_a_broken_v2_envelope_is_counted_and_its_field_told(
    services: Wired, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    put(platform, "gh-v2", base64.b64encode(b"v2|" + b"A" * 90).decode())
    status = services.services.status.take()
    assert decrypts() == 0
    (share,) = status.keys
    assert (share.tokens, share.evidence) == (1, Evidence.UNKNOWN)
    assert share.note == "Malformed envelope: 2 fields, v2 has 5."
    assert status.by_format[Format.V2] == 1
    assert adds_up(status)


def test_a_token_written_anew_loses_its_answer_and_keeps_its_group(
    services: Wired, world: World, platform: Engine
) -> None:
    services.services.work.verify(Selection(everything=True))
    ref = world.sealed_under(world.current_key)[0]
    assert services.services.inventory.row(ref).evidence is Evidence.VERIFIED
    with platform.begin() as connection:
        connection.execute(
            text(f"UPDATE {ref.table} SET {ref.column} = :new WHERE id::text = :id"),
            {"new": encrypt_token("gho_new"), "id": ref.row_id},
        )
    row = services.services.inventory.row(ref)
    assert (row.evidence, row.key_arn) == (Evidence.INFERRED, world.current_key.arn)


@pytest.fixture
def moto(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS as plain moto, whose ciphertexts have no header; gives a key's ARN, under which is written."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    kms = boto3.client("kms", endpoint_url=url, region_name="eu-west-1")
    key = str(kms.create_key()["KeyMetadata"]["Arn"])
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    yield key
    server.stop()


def test_plain_motos_envelopes_are_attributed_one_by_one_without_a_material(
    services: Wired, moto: str, platform: Engine, fresh: Callable[..., Wired]
) -> None:
    only(platform)
    for number in range(5):
        stored = encrypt_token(f"gho_{number}")
        assert edk_prefix(parse(stored).encrypted_data_key) is None
        put(platform, f"gh-{number}", stored)
    wired = fresh()
    status = wired.services.status.take()
    (share,) = status.keys
    assert (share.key_arn, share.key_material_id, share.tokens, share.evidence) == (
        moto,
        None,
        5,
        Evidence.VERIFIED,
    )
    assert status.coverage.complete
    asked = wired.kms.calls
    assert wired.services.status.take().keys == status.keys
    assert wired.store.count(TokenScope(key_arns=frozenset({moto}), edk_prefixes=())) == {
        "gh_connection.access_token": 5
    }
    assert wired.kms.calls - asked < 5
    rows = wired.services.inventory.page(Query(f"key:{moto}")).rows
    assert len(rows) == 5


def test_an_envelope_too_broken_to_be_asked_about_is_remembered(
    services: Wired, platform: Engine, decrypts: Callable[[], int]
) -> None:
    only(platform)
    edk = base64.b64encode(b"short").decode()
    put(platform, "gh-1", base64.b64encode(f"v1|{edk}|AAAA|AAAA".encode()).decode())
    status = services.services.status.take()
    (share,) = status.keys
    assert (share.tokens, share.asked, share.evidence) == (1, 1, Evidence.UNKNOWN)
    assert "nonce" in share.note
    assert services.services.status.take().keys == status.keys
    assert decrypts() == 0
