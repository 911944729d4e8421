"""What becomes of envelope versions when tokens are written anew, and what v2 changes for an operator."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

import crypto_core
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import Format, classify, parse
from crypto_core.guard.consent import Consent
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import RunResult, Selection, Verb
from crypto_core.values.errors import EnvelopeError, InvalidCiphertextError, MissingReferenceError
from crypto_core.values.references import TokenRef
from tests.console.command_types import NewKey, Stored
from tests.platform_rows import put


@pytest.fixture
def v2(services: Container) -> Iterator[Container]:
    """The services as they are where KEYDECK_WRITE_FORMAT is v2."""
    container = Container(load({"write_format": "v2"}).settings)
    yield container
    container.close()


@pytest.fixture
def ref(v2: Container, world: World) -> TokenRef:
    """A token that has just become v2."""
    ref = world.sealed_under(world.current_key)[0]
    written(v2, Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    return ref


def written(container: Container, verb: Verb, selection: Selection, key: str, **more: Any) -> RunResult:
    work = container.services.work
    planned = work.plan_reencryption(verb, selection, key, **more)
    return work.run_plan(planned, Consent.by_option(planned))


def formats(stored: Stored, refs: tuple[TokenRef, ...]) -> set[Format]:
    return {classify(stored(ref)).format for ref in refs}


def move(platform: Engine, source: TokenRef, target: TokenRef) -> None:
    with platform.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {target.table} SET {target.column} = (SELECT {source.column} FROM {source.table} "
                "WHERE id::text = :source) WHERE id::text = :target"
            ),
            {"source": source.row_id, "target": target.row_id},
        )


@pytest.mark.deep
def test_envelopes_become_v2_and_every_token_still_opens(v2: Container, world: World, stored: Stored) -> None:
    refs = world.sealed_under(world.old_key)
    plan = v2.services.work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    (conversion,) = plan.conversions
    assert (conversion.source, conversion.written) == (Format.V1, Format.V2)
    assert any("must read v2" in warning for warning in plan.warnings)
    v2.services.work.run_plan(plan, Consent.by_option(plan))
    assert formats(stored, refs) == {Format.V2}
    for ref in refs:
        assert crypto_core.decrypt_token(stored(ref), ref) == world.token_for(ref)
        assert parse(stored(ref)).named_key == world.current_key.arn


@pytest.mark.deep
def test_v2_is_attributed_by_the_same_groups_as_v1(v2: Container, world: World, stored: Stored) -> None:
    """Without remembered answers nothing but the data key's prefix tells the key."""
    before = v2.services.status.take_census()
    written(v2, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    with v2.engine.begin() as connection:
        connection.execute(text("DELETE FROM keydeck.key_answer"))
    fresh = Container(load().settings)
    try:
        status = fresh.services.status.take_census()
    finally:
        fresh.close()
    moved = sum(s.tokens for s in before.keys if s.key_arn == world.old_key.arn)
    assert moved
    newest = world.current_key.material_ids[-1]

    def under(taken: Any) -> int:
        return sum(s.tokens for s in taken.keys if s.key_material_id == newest)

    assert status.by_format[Format.V2] > 0
    assert under(status) == under(before) + status.by_format[Format.V2]
    assert not [p for p in status.problems if "v2" in p.title]


def test_plaintext_and_dev_values_become_v2_in_place(v2: Container, world: World, stored: Stored) -> None:
    result = written(v2, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    refs = world.plaintext_refs + world.dev_refs
    assert result.done == len(refs)
    assert formats(stored, refs) == {Format.V2}
    for ref in refs:
        assert crypto_core.decrypt_token(stored(ref), ref) == world.token_for(ref)


def test_a_v2_envelope_stays_v2_where_v1_is_written(
    services: Container, world: World, stored: Stored, ref: TokenRef
) -> None:
    before = stored(ref)
    plan = services.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.old_key.arn)
    (conversion,) = plan.conversions
    assert (conversion.source, conversion.written) == (Format.V2, Format.V2)
    services.services.work.run_plan(plan, Consent.by_option(plan))
    assert stored(ref) != before
    assert formats(stored, (ref,)) == {Format.V2}
    assert crypto_core.decrypt_token(stored(ref), ref) == world.token_for(ref)


def test_only_an_explicit_downgrade_makes_v1_of_v2(
    v2: Container, services: Container, world: World, stored: Stored, ref: TokenRef
) -> None:
    work = services.services.work
    plan = work.plan_reencryption(
        Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, allow_downgrade=True
    )
    assert [c.as_json() for c in plan.conversions] == [{"from": "v2", "to": "v1", "tokens": 1}]
    assert any("no longer bound" in warning for warning in plan.warnings)
    work.run_plan(plan, Consent.by_option(plan))
    assert formats(stored, (ref,)) == {Format.V1}
    assert crypto_core.decrypt_token(stored(ref)) == world.token_for(ref)


def test_a_v2_envelope_in_another_row_does_not_open_and_the_reason_says_so(
    v2: Container, world: World, platform: Engine, stored: Stored, ref: TokenRef
) -> None:
    target = world.sealed_under(world.current_key)[1]
    move(platform, ref, target)
    (moved,) = v2.services.work.verify_tokens(Selection((target,)))
    assert not moved.opened
    assert f"sealed for another row than {target}" in moved.reason
    with pytest.raises(InvalidCiphertextError, match="another row"):
        crypto_core.decrypt_token(stored(target), target)
    (own,) = v2.services.work.verify_tokens(Selection((ref,)))
    assert own.opened


def test_a_v1_envelope_in_another_row_opens_there(
    services: Container, world: World, platform: Engine
) -> None:
    """What v2 is for: v1 promises no such thing."""
    source, target = world.sealed_under(world.current_key)[:2]
    move(platform, source, target)
    (moved,) = services.services.work.verify_tokens(Selection((target,)))
    assert moved.opened


def test_a_moved_v2_envelope_is_not_re_encrypted_into_its_new_row(
    v2: Container, world: World, platform: Engine, stored: Stored, ref: TokenRef
) -> None:
    target = world.sealed_under(world.current_key)[1]
    move(platform, ref, target)
    before = stored(target)
    result = written(v2, Verb.REENCRYPT, Selection((target,)), world.old_key.arn)
    assert (result.done, len(result.poisoned)) == (0, 1)
    assert "another row" in result.poisoned[0].reason
    assert stored(target) == before


def test_a_v2_envelope_is_not_rewrapped_under_another_key(v2: Container, world: World, ref: TokenRef) -> None:
    plan = v2.services.work.plan_reencryption(Verb.REWRAP, Selection((ref,)), world.old_key.arn)
    assert plan.tokens == 0
    (refused,) = plan.refused
    assert "re-encrypt it instead" in refused.reason


def test_a_v2_envelope_is_rewrapped_to_its_keys_current_material(
    v2: Container,
    sandbox: Sandbox,
    world: World,
    new_key: NewKey,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = new_key()
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", key)
    v2 = Container(load({"write_format": "v2"}).settings)
    ref = world.sealed_under(world.current_key)[0]
    written(v2, Verb.REENCRYPT, Selection((ref,)), key)
    before = parse(stored(ref))
    sandbox.client("kms").rotate_key_on_demand(KeyId=key)
    result = written(v2, Verb.REWRAP, Selection((ref,)), key)
    after = parse(stored(ref))
    assert result.done == 1
    assert after.edk_prefix != before.edk_prefix
    unchanged = [name for name, _ in before.parts() if name != "encrypted data key"]
    assert [dict(after.parts())[n] for n in unchanged] == [dict(before.parts())[n] for n in unchanged]
    assert crypto_core.decrypt_token(stored(ref), ref) == world.token_for(ref)


def test_inspection_tells_the_fields_of_v2_and_asks_kms_for_this_row(
    v2: Container, world: World, ref: TokenRef
) -> None:
    with v2.engine.begin() as connection:
        connection.execute(text("DELETE FROM keydeck.key_answer"))
    found = v2.services.inspector.inspect_token(ref)
    fields = dict(found.fields)
    assert fields["version"] == "v2, bound to its row and key, key-committing"
    assert fields["key ARN"] == world.current_key.arn
    assert fields["commitment"] == "32 bytes"
    assert found.wrapped_by is not None
    assert (found.wrapped_by.key_arn, found.evidence) == (world.current_key.arn, Evidence.VERIFIED)


def test_the_inventory_finds_v2_tokens_by_their_key(v2: Container, world: World) -> None:
    refs = world.sealed_under(world.old_key)
    written(v2, Verb.REENCRYPT, Selection(refs[:3]), world.current_key.arn)
    query = Query(f"format:v2 key:{world.current_key.key_id}")
    page = v2.services.inventory.page(query)
    assert {row.ref for row in page.rows} == set(refs[:3])
    assert {row.evidence for row in page.rows} == {Evidence.VERIFIED}


def test_a_v2_envelope_that_names_another_key_than_the_one_that_wrapped_it_is_not_opened(
    v2: Container, world: World, platform: Engine, stored: Stored, ref: TokenRef
) -> None:
    """The ARN in an envelope is a claim of whoever wrote the row."""
    mark, arn, *rest = base64.b64decode(stored(ref)).split(b"|")
    assert base64.b64decode(arn).decode() == world.current_key.arn
    forged = b"|".join([mark, base64.b64encode(world.old_key.arn.encode()), *rest])
    put(platform, ref, base64.b64encode(forged).decode())
    (verified,) = v2.services.work.verify_tokens(Selection((ref,)))
    assert not verified.opened
    assert world.old_key.arn in verified.reason


def test_the_platforms_functions_write_and_read_v2_with_a_reference(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    stored = crypto_core.encrypt_token("gho_made_up", "gh_connection.access_token:gh-1")
    assert classify(stored).format is Format.V2
    ref = TokenRef("gh_connection", "access_token", "gh-1")
    assert crypto_core.decrypt_token(stored, ref) == "gho_made_up"
    with pytest.raises(MissingReferenceError, match="no row was named"):
        crypto_core.decrypt_token(stored)
    with pytest.raises(MissingReferenceError, match="no row was named"):
        crypto_core.encrypt_token("gho_made_up")
    with pytest.raises(EnvelopeError):
        crypto_core.decrypt_token(stored[:-8], ref)


@pytest.mark.parametrize("reference", ["gh_connection:gh-1", "nonsense", ""])
def test_what_names_no_token_is_refused_as_a_reference(environment: dict[str, str], reference: str) -> None:
    with pytest.raises(crypto_core.InvalidReferenceError):
        crypto_core.encrypt_token("gho_made_up", reference)


def test_the_platforms_functions_refuse_v1_where_v2_is_demanded(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = "gh_connection.access_token:gh-1"
    v1 = crypto_core.encrypt_token("gho_made_up")
    assert crypto_core.decrypt_token(v1, ref) == "gho_made_up"
    demanded = "v1 envelope where v2 is demanded"
    with pytest.raises(EnvelopeError, match=demanded):
        crypto_core.decrypt_token(v1, ref, least_format="v2")
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v2")
    with pytest.raises(EnvelopeError, match=demanded):
        crypto_core.decrypt_token(v1, ref)
    assert crypto_core.decrypt_token(v1, ref, least_format=Format.V1) == "gho_made_up"
    with pytest.raises(crypto_core.SettingsError, match="v1 would be written where v2 is demanded"):
        crypto_core.encrypt_token("gho_made_up", ref)
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    stored = crypto_core.encrypt_token("gho_made_up", ref)
    assert crypto_core.decrypt_token(stored, ref, least_format="v2") == "gho_made_up"


@pytest.mark.parametrize("wrong", ["v9", "plaintext", "V2"])
def test_a_format_that_is_none_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    v1 = crypto_core.encrypt_token("gho_made_up")
    with pytest.raises(crypto_core.SettingsError, match="least_format is none of v1, v2"):
        crypto_core.decrypt_token(v1, least_format=wrong)
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", wrong)
    with pytest.raises(crypto_core.SettingsError, match="KEYDECK_LEAST_FORMAT is none of v1, v2"):
        crypto_core.decrypt_token(v1)
    monkeypatch.delenv("KEYDECK_LEAST_FORMAT")
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", wrong)
    with pytest.raises(crypto_core.SettingsError, match="KEYDECK_WRITE_FORMAT is none of v1, v2"):
        crypto_core.encrypt_token("gho_made_up")


@pytest.mark.parametrize("stored", [5, None, b"djF8"])
def test_what_is_no_text_is_refused_with_an_error_of_ours(environment: dict[str, str], stored: Any) -> None:
    with pytest.raises(crypto_core.KeydeckError):
        crypto_core.decrypt_token(stored)


def test_inspecting_a_moved_v2_envelope_says_that_it_does_not_belong_there(
    v2: Container, world: World, platform: Engine, ref: TokenRef
) -> None:
    """Also where KMS is known to have opened the same value in its own row."""
    target = world.sealed_under(world.current_key)[1]
    move(platform, ref, target)
    assert v2.services.inventory.row(target).evidence is Evidence.VERIFIED
    found = v2.services.inspector.inspect_token(target)
    assert f"sealed for another row than {target}" in found.broken
    v2.services.work.verify_tokens(Selection((target,)))
    own = v2.services.inspector.inspect_token(ref)
    assert (own.broken, own.evidence) == ("", Evidence.VERIFIED)


def test_a_new_envelope_that_can_not_be_made_says_nothing_of_the_old_one(
    v2: Container, world: World, platform: Engine
) -> None:
    ref = world.sealed_under(world.current_key)[0]
    long = TokenRef(ref.table, ref.column, "x" * 1025)
    with platform.begin() as connection:
        connection.execute(
            text(f"UPDATE {ref.table} SET id = :new WHERE id::text = :old"),
            {"new": long.row_id, "old": ref.row_id},
        )
    result = written(v2, Verb.REENCRYPT, Selection((long,)), world.current_key.arn)
    assert (result.done, len(result.poisoned)) == (0, 1)
    assert "1,025 bytes" in result.poisoned[0].reason
    (verified,) = v2.services.work.verify_tokens(Selection((long,)))
    assert verified.opened
    assert not [s for s in v2.services.status.take_census().keys if "1,025" in s.note]


def test_the_id_of_a_reference_is_text(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    for reference in (TokenRef("slack_connection", "bot_token", 5), 5):  # type: ignore[arg-type]
        with pytest.raises(crypto_core.InvalidReferenceError):
            crypto_core.encrypt_token("xoxb-made-up", reference)  # type: ignore[arg-type]


def test_a_number_is_one_id_however_it_is_typed(services: Container, world: World) -> None:
    ref = next(
        r for r in world.tokens if r.table == "slack_connection" and world.tokens[r].format is Format.V1
    )
    typed = TokenRef(ref.table, ref.column, f"00{ref.row_id}")
    assert services.catalogue().references(typed) == (ref,)
