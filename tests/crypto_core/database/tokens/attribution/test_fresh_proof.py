"""The fresh proof: what KMS answers now about what is stored now; what is remembered counts for nothing."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens import fresh_proof
from crypto_core.database.tokens.census import Census, take_census
from crypto_core.database.tokens.fresh_proof import FreshProver
from crypto_core.envelope import ENVELOPE_FORMATS, Format, parse, serialise
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.lists.coverage import Evidence
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import DatabaseError
from crypto_core.values.references import TokenRef
from tests.crypto_core.database.tokens.attribution.scene import OTHER_ARN, adds_up, only, without_header
from tests.crypto_core.statements import execute, scalar
from tests.platform_rows import connect_github, connect_slack

Decrypts = Callable[[], int]


_NAMED_TWICE = """
    SELECT count(*) FROM (
        SELECT FROM keydeck.key_answer GROUP BY edk_prefix HAVING count(DISTINCT key_arn) > 1
    ) AS groups
"""


def _poison(superuser: Engine, key_arn: str) -> None:
    execute(superuser, "UPDATE keydeck.key_answer SET key_arn = :arn", arn=key_arn)


def _lie(monkeypatch: pytest.MonkeyPatch, services: Container, key_arn: str, about: set[bytes]) -> None:
    """KMS names another key in its answers about some encrypted data keys."""
    call, honest = services.kms.call, services.keyring.trusted[0]

    def answer(name: str, **parameters: Any) -> Any:
        if name != "Decrypt" or parameters["CiphertextBlob"] not in about:
            return call(name, **parameters)
        return call(name, **parameters | {"KeyId": honest}) | {"KeyId": key_arn}

    monkeypatch.setattr(services.kms, "call", answer)


def test_kms_is_asked_about_every_group_in_every_column(
    services: Container, world: World, decrypts: Decrypts
) -> None:
    proof = services.status.prove()
    places = {(g.column, g.format, g.edk_prefix) for g in proof.census.groups if g.format.protected}
    assert proof.parts == len(places) > len(world.by_key)
    # A member that isn't whole is told without KMS, and another one is asked about.
    assert proof.parts <= proof.asked <= proof.parts + len(world.corrupt)
    assert decrypts() <= 2 * proof.asked
    for key in (world.current_key, world.old_key):
        known = sum(n for (arn, _), n in world.by_key.items() if arn == key.arn)
        assert known - len(world.corrupt) <= proof.tokens_under(key.arn) <= known
    assert (proof.complete, proof.doubtful) == (True, 0)
    assert "KMS asked" in str(proof)
    assert "nothing left out, other places by samples of their rows" in str(proof)


def test_remembered_answers_count_for_nothing_and_new_ones_are_remembered(
    services: Container, world: World, superuser: Engine, decrypts: Decrypts
) -> None:
    honest = services.status.take_census().tokens_under(world.old_key.arn)
    _poison(superuser, world.current_key.arn)
    poisoned = services.status.take_census()
    assert any(share.evidence is Evidence.CONFLICT for share in poisoned.keys)
    proof = services.status.prove()
    assert abs(proof.tokens_under(world.old_key.arn) - honest) <= len(world.corrupt)
    asked = decrypts()
    # What KMS said stands beside what was forged, or in its place where it was asked about that very token:
    # the group is a conflict from now on, or under the old key, and no zero.
    beside = scalar(superuser, _NAMED_TWICE)
    status = services.status.take_census()
    assert decrypts() == asked + 2 * beside, (
        "what KMS has not named in this process is compared with what it says"
    )
    conflict = any(share.evidence is Evidence.CONFLICT for share in status.keys)
    assert conflict or status.tokens_under(world.old_key.arn)


def test_a_proof_needs_no_schema_of_keydecks_and_writes_nothing_when_read_only(
    fresh: Callable[..., Container], world: World
) -> None:
    proof = fresh(read_only=True).status.prove()
    assert proof.tokens_under(world.old_key.arn)
    assert proof.complete


def test_a_key_that_kms_names_wrongly_for_good_makes_no_zero(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    old, new = world.old_key.arn, world.current_key.arn
    sandbox.control.add_fault(Fault("Decrypt", "another key", message=new))
    proof = services.status.prove(about=old)
    assert (proof.tokens_under(old), proof.complete) == (0, False)
    assert proof.doubtful >= len(world.sealed_under(world.old_key)) - len(world.corrupt)
    status = services.status.take_census()
    assert not status.well
    assert any("asked with that key" in reason for reason in status.coverage.reasons)
    plan = services.services.work.plan_reencryption(Verb.REENCRYPT, Selection(under_key=old), new)
    assert (plan.tokens, plan.whole) == (0, False)
    taken = services.services.key_changes.plan_change(KeyChange(ChangeKind.DISABLE, old))
    assert taken.refused_unless_typed


def test_a_group_that_contradicts_itself_is_asked_about_token_by_token(
    services: Container, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(platform)
    for number in range(6):
        connect_github(platform, f"gh-{number}", encrypt_token(f"gho_{number}"))
    ((honest, _),) = [c.wrapping for c in services.status.prove().counts if c.wrapping]
    odd = encrypt_token("gho_odd")
    execute(platform, "UPDATE gh_connection SET refresh_token = :odd WHERE id = 'gh-0'", odd=odd)
    _lie(monkeypatch, services, OTHER_ARN, {parse(odd).encrypted_data_key})
    # One column's only member is the one that KMS names another key for: the answers disagree for certain.
    proof = services.status.prove()
    assert proof.asked == 2 + 7
    assert (proof.tokens_under(OTHER_ARN), proof.tokens_under(honest)) == (1, 6)
    assert proof.doubtful == 0
    under = services.store.count(proof.scope_under(OTHER_ARN))
    assert sum(under.values()) == proof.tokens_under(OTHER_ARN)
    beside = services.store.count(proof.scope_beside(OTHER_ARN))
    assert sum(beside.values()) == proof.tokens_under(honest)


def test_what_a_contradiction_leaves_unasked_is_in_doubt(
    services: Container, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(platform)
    refs = [connect_github(platform, f"gh-{n}", encrypt_token(f"gho_{n}")) for n in range(6)]
    connect_slack(platform, encrypt_token("xoxb-1"))
    lied = {parse(services.store.read_token(ref).value.reveal()).encrypted_data_key for ref in refs}
    _lie(monkeypatch, services, OTHER_ARN, lied)
    prover = FreshProver(
        services.store, services.catalogue, services.attributor, services.keyring, services.sweeps, limit=4
    )
    proof = prover.prove()
    assert proof.asked == 4
    assert proof.doubtful == 5
    assert not proof.complete
    assert "at most" in proof.gaps[0]
    # For whoever is to be moved, all of the group may be under either key.
    assert sum(services.store.count(proof.scope_under(OTHER_ARN)).values()) == 7


def test_every_envelope_without_a_kms_header_is_asked_about(
    services: Container, platform: Engine, decrypts: Decrypts
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(7):
        connect_github(platform, f"gh-{number}", without_header(sealed))
    services.status.take_census()
    before = decrypts()
    proof = services.status.prove()
    assert (decrypts() - before, proof.asked) == (7, 7)
    assert (proof.doubtful, proof.complete) == (7, False)


@pytest.mark.quick(1)
@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("in_full", [True, False])
def test_tokens_that_change_between_count_and_question_are_counted_anew(
    services: Container, platform: Engine, monkeypatch: pytest.MonkeyPatch, headed: bool, in_full: bool
) -> None:
    only(platform)
    connect_github(platform, "gh-0", encrypt_token("gho_0"))
    ((honest, _),) = [c.wrapping for c in services.status.prove().counts if c.wrapping]
    changed = 0

    def count_then_change(*args: Any, **options: Any) -> Census:
        nonlocal changed
        if len(changes) > changed:
            # A token that is there, and then another one in another column.
            sealed = encrypt_token(f"gho_{changed}")
            changes[changed](sealed if headed else without_header(sealed))
        census = take_census(*args, **options)
        if len(changes) > changed:
            execute(platform, "UPDATE gh_connection SET refresh_token = NULL")
            changed += 1
        return census

    def put_beside(stored: str) -> None:
        execute(platform, "UPDATE gh_connection SET refresh_token = :it", it=stored)

    monkeypatch.setattr(fresh_proof, "take_census", count_then_change)
    changes = [put_beside] * (fresh_proof.COUNTS - 1)
    proof = services.status.prove(in_full=in_full)
    assert changed == len(changes)
    assert (proof.gaps, proof.tokens_under(honest), proof.tokens) == ((), 1, 1)
    # What changes at every count proves nothing.
    changed, changes = 0, [put_beside] * fresh_proof.COUNTS
    proof = services.status.prove(in_full=in_full)
    assert not proof.complete
    assert any("1 token" in gap and "changed while they were counted" in gap for gap in proof.gaps)


def test_what_is_over_the_limit_is_a_gap(services: Container, world: World) -> None:
    prover = FreshProver(
        services.store, services.catalogue, services.attributor, services.keyring, services.sweeps, limit=1
    )
    proof = prover.prove()
    assert (proof.asked, proof.complete) == (1, False)
    assert proof.doubtful > 0
    assert any("at most 1 questions" in gap for gap in proof.gaps)


def test_where_kms_is_silent_nothing_is_proved(
    services: Container, sandbox: Sandbox, world: World, decrypts: Decrypts, short_waits: None
) -> None:
    services.status.take_census()
    before = decrypts()
    sandbox.control.add_fault(Fault("Decrypt", "ExpiredTokenException"))
    try:
        proof = services.status.prove()
    finally:
        sandbox.control.clear()
    assert proof.tokens_under(world.old_key.arn) == 0
    assert proof.doubtful > 0
    assert proof.failure is not None
    assert not proof.complete
    assert decrypts() - before <= 4, "KMS was asked on although it takes no credentials"


def test_damaged_tokens_that_are_left_are_opened_and_are_under_no_key(
    services: Container, platform: Engine, new_key: Callable[[], str]
) -> None:
    only(platform)
    key = new_key()
    sealing = TokenCipher(services.keyring.trusting(key))
    whole = sealing.encrypt("gho_whole", key).stored
    broken = [sealing.encrypt(f"gho_{n}", key).stored for n in range(8)]
    for number, stored in enumerate(broken):
        envelope = parse(stored)
        flipped = bytes([envelope.ciphertext[0] ^ 1]) + envelope.ciphertext[1:]
        connect_github(platform, f"gh-broken-{number}", serialise(replace(envelope, ciphertext=flipped)))
    assert services.status.prove().tokens_under(key) == 8
    proof = services.status.prove(about=key)
    assert (proof.tokens_under(key), proof.doubtful, proof.complete) == (0, 0, True)
    (damaged,) = [c for c in proof.counts if c.wrapping is None]
    assert (damaged.tokens, damaged.asked) == (8, 8)
    assert f"Its data key is under {key}." in damaged.note
    connect_github(platform, "gh-whole", whole)
    assert services.status.prove(about=key).tokens_under(key) == 1


def test_an_envelope_in_a_row_that_no_context_can_name_stays_under_its_key(
    services: Container, platform: Engine, new_key: Callable[[], str]
) -> None:
    only(platform)
    key = new_key()
    sealing = TokenCipher(services.keyring.trusting(key), write_format=Format.V2)
    ref = TokenRef("gh_connection", "access_token", "gh-own")
    connect_github(platform, "gh-own", sealing.encrypt("gho_own", key, ref=ref).stored)
    connect_github(platform, "gh" * 600, sealing.encrypt("gho_moved", key, ref=ref).stored)
    assert services.status.prove(about=key).tokens_under(key) == 2
    execute(platform, "DELETE FROM gh_connection WHERE id = 'gh-own'")
    proof = services.status.prove(about=key)
    assert (proof.tokens_under(key), proof.complete) != (0, True)
    assert proof.broken == frozenset()


def test_tokens_that_are_no_whole_envelopes_are_all_told_for_themselves(
    services: Container, platform: Engine
) -> None:
    only(platform)
    sealed = encrypt_token("gho_x")
    for number in range(7):
        connect_github(platform, f"gh-{number}", sealed[: len(sealed) // 2])
    proof = services.status.prove()
    assert [(c.wrapping, c.tokens, c.asked) for c in proof.counts] == [(None, 7, 7)]
    assert (proof.doubtful, proof.complete) == (0, True)


def test_what_is_kept_as_evidence_says_all_of_it(services: Container, world: World) -> None:
    proof = services.status.prove()
    told = json.loads(json.dumps(proof.as_json()))
    assert told["complete"] is True
    assert (told["groups"], told["asked"], told["gaps"]) == (proof.parts, proof.asked, [])
    assert {a["key_arn"] for a in told["answers"]} >= {world.old_key.arn, world.current_key.arn}
    sealed = sum(n for f, n in proof.by_format().items() if f in ENVELOPE_FORMATS)
    assert sum(a["tokens"] for a in told["answers"]) == sealed


def test_a_database_that_does_not_answer_proves_nothing(
    services: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseError("The database is away.")

    monkeypatch.setattr(services.store, "at_random", away)
    with pytest.raises(DatabaseError):
        services.status.prove()


@pytest.mark.quick(1)
@pytest.mark.parametrize("how", ["{old}\n", "{new}{old}", "{new} {old}", '{{"t": "{old}"}}', "Bearer {old}"])
def test_an_envelope_among_other_text_is_no_zero(
    services: Container, platform: Engine, world: World, sandbox: Sandbox, how: str
) -> None:
    """No run reads such a value, but whoever takes the rest away has a token under the old key."""
    old, new = (
        services.store.read_token(world.sealed_under(key)[0]).value.reveal()
        for key in (world.old_key, world.current_key)
    )
    only(platform)
    assert services.status.prove(about=world.old_key.arn).doubtful == 0
    ref = connect_github(platform, "odd", how.format(old=old, new=new))
    for _ in range(2):
        proof = services.status.prove(about=world.old_key.arn)
        assert proof.doubtful or proof.tokens_under(world.old_key.arn) or not proof.complete
    status = services.services.status.take_census()
    told = [share.key_arn for share in status.keys] + [*status.coverage.reasons]
    assert None in told or world.old_key.arn in told or any("among other text" in str(t) for t in told)
    assert adds_up(status)
    assert ref.row_id == "odd"


def test_an_envelope_that_has_its_mark_twice_by_chance_is_not_taken_for_two(
    services: Container, platform: Engine
) -> None:
    nonce = base64.b64decode("A" * 14 + "v1")
    twice = replace(parse(encrypt_token("t" * 400)), encrypted_data_key=os.urandom(189), nonce=nonce)
    assert "djF8" in serialise(twice)[4:]
    connect_github(platform, "twice", serialise(twice))
    assert not any(group.holding for group in services.status.prove().census.groups)
