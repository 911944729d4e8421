"""One stored token, field by field: what it is, which key wrapped it, what is wrong, and never the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.corruption import Corruption
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.tokens.inspection import Inspection
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.lists.coverage import Evidence
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import InvalidReferenceError, RowVanishedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.statements import execute


@pytest.fixture
def inspect(services: Container) -> Callable[..., Inspection]:
    return services.services.inspector.inspect_token


def test_an_envelope_is_told_field_by_field_and_its_key_is_verified(
    inspect: Callable[..., Inspection], world: World
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    found = inspect(ref)
    fields = dict(found.fields)
    assert list(fields) == ["version", "encrypted data key", "nonce", "ciphertext"]
    assert "184 bytes, KMS header 01 02 03 00 78" in fields["encrypted data key"]
    assert fields["nonce"] == "12 bytes"
    assert fields["ciphertext"] == f"{len(world.token_for(ref))} bytes and a 16-byte tag"
    assert found.wrapped_by is not None
    assert (found.wrapped_by.key_arn, found.wrapped_by.key_material_id) == (
        world.old_key.arn,
        world.old_key.material_ids[0],
    )
    assert (found.evidence, found.broken, found.key_unknown) == (Evidence.VERIFIED, "", "")


def test_what_is_verified_is_not_asked_again(
    services: Container, inspect: Callable[..., Inspection], world: World
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    first = inspect(ref)
    calls = services.kms.calls
    assert inspect(ref) == first
    assert services.kms.calls == calls


def test_without_asking_kms_the_group_is_the_evidence(
    services: Container, inspect: Callable[..., Inspection], world: World
) -> None:
    first, second = world.sealed_under(world.old_key)[:2]
    assert inspect(first, ask_kms=False).evidence is Evidence.UNKNOWN
    inspect(first)
    calls = services.kms.calls
    found = inspect(second, ask_kms=False)
    assert (found.evidence, services.kms.calls) == (Evidence.INFERRED, calls)
    assert found.wrapped_by is not None


@pytest.mark.parametrize(
    ("format_", "says"),
    [
        (Format.PLAINTEXT, "plaintext, recognised as a token of"),
        (Format.DEV, "anyone can open it"),
        (Format.UNRECOGNISED, "plaintext or corrupt"),
        (Format.EMPTY, "empty"),
    ],
)
def test_what_is_no_envelope_is_told_without_asking_kms(
    services: Container, inspect: Callable[..., Inspection], world: World, format_: Format, says: str
) -> None:
    ref = next(r for r, t in world.tokens.items() if t.format is format_)
    calls = services.kms.calls
    found = inspect(ref)
    assert says in dict(found.fields)["stored as"]
    assert (found.wrapped_by, found.evidence, services.kms.calls) == (None, Evidence.UNKNOWN, calls)


def test_no_token_is_part_of_any_inspection(inspect: Callable[..., Inspection], world: World) -> None:
    for ref in [*world.tokens][::5] + list(world.plaintext_refs[:3]):
        found = inspect(ref)
        assert MARKER not in f"{found!r} {found.as_json()}"


@pytest.mark.parametrize(
    "corruption", [Corruption.TRUNCATED, Corruption.WRONG_ALPHABET, Corruption.MISSING_PADDING]
)
def test_a_damaged_envelope_is_told_as_broken(
    inspect: Callable[..., Inspection], world: World, corruption: Corruption
) -> None:
    ref = next(r for r, c in world.corrupt.items() if c is corruption)
    found = inspect(ref)
    assert found.broken
    assert "Malformed" in found.broken
    assert found.as_json()["broken"] == found.broken


def test_a_disabled_key_is_named_by_the_refusal(
    services: Container,
    sandbox: Sandbox,
    inspect: Callable[..., Inspection],
    world: World,
    new_key: Callable[[], str],
) -> None:
    key, work = new_key(), services.services.work
    ref = world.sealed_under(world.old_key)[0]
    planned = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), key)
    work.run_plan(planned, Consent.by_option(planned))
    execute(services.engine, "DELETE FROM keydeck.key_answer")
    sandbox.client("kms").disable_key(KeyId=key)
    found = inspect(ref)
    assert key in found.key_unknown
    assert "disabled" in found.key_unknown
    assert (found.wrapped_by, found.evidence) == (None, Evidence.UNKNOWN)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (Denial("*", "kms:Decrypt"), "kms:Decrypt"),
        (Fault("Decrypt", "ThrottlingException"), "throttles"),
        (Fault("Decrypt", "ExpiredTokenException"), "expired"),
    ],
)
def test_kmss_refusal_is_part_of_the_inspection(
    sandbox: Sandbox, inspect: Callable[..., Inspection], world: World, trouble: Any, says: str
) -> None:
    if isinstance(trouble, Denial):
        sandbox.control.add_denial(trouble)
    else:
        sandbox.control.add_fault(trouble)
    found = inspect(world.sealed_under(world.old_key)[0])
    sandbox.control.clear()
    assert says in found.key_unknown
    assert dict(found.fields)["nonce"] == "12 bytes"


def test_a_row_that_is_gone_is_told(inspect: Callable[..., Inspection]) -> None:
    with pytest.raises(RowVanishedError):
        inspect(TokenRef("gh_connection", "access_token", "gh-none"))
    with pytest.raises(InvalidReferenceError):
        inspect(TokenRef("gh_connection", "org_id", "gh-1"))


def test_inspection_works_read_only_without_the_schema(environment: dict[str, str], world: World) -> None:
    container = Container(load({"read_only": True}).settings)
    found = container.services.inspector.inspect_token(world.sealed_under(world.current_key)[0])
    assert (found.evidence, found.key_unknown) == (Evidence.VERIFIED, "")
    container.close()


def test_a_broken_v2_envelope_is_told_as_broken(
    inspect: Callable[..., Inspection], world: World, platform: Engine
) -> None:
    ref = world.plaintext_refs[0]
    execute(platform, f"UPDATE {ref.table} SET {ref.column} = 'djJ8AAAA' WHERE id::text = :id", id=ref.row_id)
    found = inspect(ref)
    assert found.row.format is Format.V2
    assert found.broken == "Malformed envelope: 2 fields, v2 has 5."
    assert found.wrapped_by is None


@pytest.mark.parametrize("corruption", [Corruption.FLIPPED_BIT, Corruption.SWAPPED_DATA_KEY])
def test_looking_at_a_damaged_token_does_not_make_it_well(
    services: Container, inspect: Callable[..., Inspection], world: World, corruption: Corruption
) -> None:
    """KMS opens its data key gladly; that the ciphertext does not open under it is known from verifying."""
    ref = next(r for r, c in world.corrupt.items() if c is corruption)
    (verified,) = services.services.work.verify_tokens(Selection((ref,)))
    assert not verified.opened
    before = services.services.status.take_census()
    found = inspect(ref)
    assert found.broken == verified.reason
    assert found.evidence is Evidence.UNKNOWN
    after = services.services.status.take_census()
    assert sorted((str(s.key_arn), s.tokens, s.asked) for s in after.keys) == sorted(
        (str(s.key_arn), s.tokens, s.asked) for s in before.keys
    )
    assert any("damaged" in problem.title for problem in after.problems)
