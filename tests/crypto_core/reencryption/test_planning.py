"""What a plan says before anything happens, and every reason not to begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core.consent import Consent
from crypto_core.database.installation import install
from crypto_core.database.journal import Outcome
from crypto_core.database.tables import PLATFORM_TABLES
from crypto_core.envelope import Format
from crypto_core.errors import (
    DatabaseReadOnlyError,
    InvalidFilterError,
    InvalidReferenceError,
    KeydeckError,
    KeyNotFoundError,
    KmsAccessDeniedError,
    KmsError,
    MissingSchemaError,
    ReadOnlyError,
    RefusedError,
    RowVanishedError,
    SettingsError,
)
from crypto_core.paging import Query
from crypto_core.reencryption.plan import Plan, RunProgress, Selection, Verb
from crypto_core.references import RowRef, TokenRef

GONE = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"


def everything(platform: Engine) -> set[tuple[str, str, str | None]]:
    found = set()
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(text(f"SELECT id::text, {column} FROM {table.name}"))
                found |= {(f"{table.name}.{column}", row_id, stored) for row_id, stored in rows}
    return found


@pytest.fixture
def plan(services: Wired) -> Callable[..., Plan]:
    return services.services.work.plan


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


def test_a_plan_tells_how_many_tokens_where_and_at_what_cost(
    plan: Callable[..., Plan], world: World, platform: Engine
) -> None:
    before = everything(platform)
    made = plan(Verb.ENCRYPT, Selection(unprotected=True), world.current_key.alias)
    expected = {
        column: formats.get(Format.PLAINTEXT, 0) + formats.get(Format.DEV, 0)
        for column, formats in world.by_column.items()
    }
    assert dict(made.by_column) == {c: n for c, n in expected.items() if n}
    assert made.tokens == made.kms_calls == sum(expected.values())
    assert (made.target_key_arn, made.target_name) == (world.current_key.arn, world.current_key.alias)
    assert (made.refused, made.warnings, made.coverage.complete) == ((), (), True)
    document = made.as_json()
    assert (document["dry_run"], document["tokens"], document["to"]) == (
        True,
        made.tokens,
        made.target_key_arn,
    )
    assert everything(platform) == before


@pytest.mark.parametrize(("verb", "calls"), [(Verb.REWRAP, 3), (Verb.REENCRYPT, 2)])
def test_the_cost_of_moving_a_key_is_told(
    plan: Callable[..., Plan], world: World, verb: Verb, calls: int
) -> None:
    made = plan(verb, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert made.tokens >= len(world.sealed_under(world.old_key))
    assert made.kms_calls == made.tokens * calls
    assert made.source_key_arn == world.old_key.arn


def test_rewrap_is_said_to_be_no_recovery(plan: Callable[..., Plan], world: World) -> None:
    selection = Selection((world.sealed_under(world.old_key)[0],))
    assert any("no recovery" in w for w in plan(Verb.REWRAP, selection, world.current_key.arn).warnings)
    assert plan(Verb.REENCRYPT, selection, world.current_key.arn).warnings == ()


@pytest.mark.parametrize("name", ["arn", "key_id", "alias"])
def test_the_source_may_be_named_by_any_of_its_names(
    plan: Callable[..., Plan], world: World, name: str
) -> None:
    made = plan(Verb.REENCRYPT, Selection(under_key=getattr(world.old_key, name)), world.current_key.arn)
    assert made.source_key_arn == world.old_key.arn
    assert made.tokens >= len(world.sealed_under(world.old_key))


def test_what_a_verb_does_not_take_is_told_token_by_token(plan: Callable[..., Plan], world: World) -> None:
    by_format = {
        f: next(r for r, t in world.tokens.items() if t.format is f) for f in Format if f is not Format.V2
    }
    selection = Selection((*by_format.values(), TokenRef("gh_connection", "access_token", "gh-none")))
    made = plan(Verb.REENCRYPT, selection, world.current_key.arn)
    reasons = {u.reference: u.reason for u in made.refused}
    assert made.tokens == 1
    assert len(reasons) == 5
    assert "encrypt it in place" in reasons[str(by_format[Format.PLAINTEXT])]
    assert "dev format" in reasons[str(by_format[Format.DEV])]
    assert "not recognised" in reasons[str(by_format[Format.UNRECOGNISED])]
    assert "empty" in reasons[str(by_format[Format.EMPTY])]
    assert "no such row" in reasons["gh_connection.access_token:gh-none"]
    encrypting = plan(Verb.ENCRYPT, selection, world.current_key.arn)
    assert encrypting.tokens == 2
    assert (
        "an envelope already"
        in {u.reference: u.reason for u in encrypting.refused}[str(by_format[Format.V1])]
    )


def test_a_reference_named_twice_is_one_token(plan: Callable[..., Plan], world: World) -> None:
    ref = next(r for r in world.sealed_under(world.old_key) if r.table == "slack_connection")
    row = RowRef(ref.table, ref.row_id)
    assert plan(Verb.REENCRYPT, Selection((ref, row, ref)), world.current_key.arn).tokens == 1


def test_a_plan_of_nothing_is_a_plan(plan: Callable[..., Plan], services: Wired, world: World) -> None:
    made = plan(Verb.ENCRYPT, Selection((world.sealed_under(world.old_key)[0],)), world.current_key.arn)
    assert (made.tokens, len(made.refused)) == (0, 1)
    result = services.services.work.run(made, Consent.by_option(made))
    assert (result.done, result.kms_calls) == (0, 0)


def test_gaps_of_the_attribution_are_part_of_the_plan(
    plan: Callable[..., Plan], sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_fault(Fault("Decrypt", "KMSInternalException"))
    made = plan(Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    sandbox.control.clear()
    assert made.tokens == 0
    assert not made.coverage.complete


# Reasons not to begin


def refused(services: Wired, platform: Engine, verb: Verb, selection: Selection, target: str) -> KeydeckError:
    """The refusal of a plan; nothing was changed, and the journal tells it."""
    before = everything(platform)
    with pytest.raises((RefusedError, KmsError, SettingsError)) as caught:
        services.services.work.plan(verb, selection, target)
    assert everything(platform) == before
    assert services.journal.entries()[-1].outcome == Outcome.REFUSED.value
    return caught.value


ANYTHING = Selection(everything=True)


def test_a_disabled_target_is_refused(
    services: Wired, platform: Engine, new_key: Callable[[], str], kms: Any
) -> None:
    key = new_key()
    kms.disable_key(KeyId=key)
    error = refused(services, platform, Verb.REENCRYPT, ANYTHING, key)
    assert isinstance(error, RefusedError)
    assert f"Target key {key} is Disabled" in error.message
    assert "Enable it" in error.remedy


def test_a_target_pending_deletion_is_refused(
    services: Wired, platform: Engine, new_key: Callable[[], str], kms: Any
) -> None:
    key = new_key()
    kms.schedule_key_deletion(KeyId=key)
    error = refused(services, platform, Verb.REWRAP, ANYTHING, key)
    assert isinstance(error, RefusedError)
    assert "PendingDeletion" in error.message


@pytest.mark.parametrize("name", [GONE, "alias/not-there", "00000000-0000-0000-0000-000000000000"])
def test_a_target_that_is_not_there_is_refused(services: Wired, platform: Engine, name: str) -> None:
    error = refused(services, platform, Verb.REENCRYPT, ANYTHING, name)
    assert isinstance(error, KeyNotFoundError)
    assert name in error.message


def test_what_is_no_key_name_is_refused(services: Wired, platform: Engine) -> None:
    assert isinstance(refused(services, platform, Verb.REENCRYPT, ANYTHING, "tokens"), SettingsError)


@pytest.mark.parametrize(
    ("spec", "usage"), [("RSA_2048", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC")]
)
def test_a_target_that_cannot_wrap_is_refused(
    services: Wired, platform: Engine, kms: Any, spec: str, usage: str
) -> None:
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    error = refused(services, platform, Verb.ENCRYPT, Selection(unprotected=True), key)
    assert isinstance(error, RefusedError)
    assert spec in error.message
    assert "symmetric" in error.remedy


@pytest.mark.parametrize("name", ["arn", "key_id", "alias"])
def test_a_key_is_not_emptied_into_itself(services: Wired, platform: Engine, world: World, name: str) -> None:
    key = world.current_key
    error = refused(services, platform, Verb.REENCRYPT, Selection(under_key=key.alias), getattr(key, name))
    assert isinstance(error, RefusedError)
    assert "same key" in error.message


def test_a_multi_region_key_is_not_emptied_into_its_replica(
    services: Wired, platform: Engine, kms: Any
) -> None:
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    replica = kms.replicate_key(KeyId=primary, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"]
    error = refused(services, platform, Verb.REENCRYPT, Selection(under_key=primary), replica)
    assert "same key" in error.message


def test_a_source_that_is_disabled_is_refused(
    services: Wired, platform: Engine, new_key: Callable[[], str], kms: Any, world: World
) -> None:
    key = new_key()
    work = services.services.work
    refs = world.sealed_under(world.old_key)[:3]
    planned = work.plan(Verb.REENCRYPT, Selection(refs), key)
    work.run(planned, Consent.by_option(planned))
    with services.engine.begin() as connection:
        # As if somebody else had written them: nothing is known of these envelopes.
        connection.execute(text("DELETE FROM keydeck.key_answer"))
    kms.disable_key(KeyId=key)
    error = refused(services, platform, Verb.REENCRYPT, Selection(under_key=key), world.current_key.arn)
    assert isinstance(error, RefusedError)
    assert key in error.message
    assert "Disabled" in error.message


def test_a_source_that_may_not_be_decrypted_is_refused(
    services: Wired, platform: Engine, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", world.old_key.key_id))
    selection = Selection(under_key=world.old_key.arn)
    error = refused(services, platform, Verb.REENCRYPT, selection, world.current_key.arn)
    sandbox.control.clear()
    assert "kms:Decrypt" in error.message


def test_a_source_that_is_gone_has_no_tokens(plan: Callable[..., Plan], world: World) -> None:
    assert plan(Verb.REENCRYPT, Selection(under_key=GONE), world.current_key.arn).tokens == 0
    with pytest.raises(KeyNotFoundError):
        plan(Verb.REENCRYPT, Selection(under_key="alias/gone"), world.current_key.arn)


def test_a_target_that_may_not_be_described_is_taken_by_its_arn_only(
    services: Wired, plan: Callable[..., Plan], sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:DescribeKey"))
    ref = world.sealed_under(world.old_key)[0]
    made = plan(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    with pytest.raises(KmsAccessDeniedError, match="kms:DescribeKey"):
        plan(Verb.REENCRYPT, Selection((ref,)), world.current_key.alias)
    assert services.services.work.run(made, Consent.by_option(made)).done == 1
    sandbox.control.clear()


def test_only_encrypt_takes_what_is_unprotected(services: Wired, platform: Engine, world: World) -> None:
    error = refused(services, platform, Verb.REENCRYPT, Selection(unprotected=True), world.current_key.arn)
    assert "Only encrypt in place" in error.message


@pytest.mark.parametrize(
    "reference", [TokenRef("nowhere", "token", "1"), TokenRef("slack_connection", "bot_token", "x")]
)
def test_a_wrong_reference_is_refused(
    services: Wired, plan: Callable[..., Plan], world: World, reference: TokenRef
) -> None:
    with pytest.raises(InvalidReferenceError):
        plan(Verb.REENCRYPT, Selection((reference,)), world.current_key.arn)
    assert services.journal.entries()[-1].outcome == "refused"


def test_a_dead_kms_is_an_error_before_anything_is_changed(
    services: Wired, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(platform)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    wired = wire(load().settings)
    with pytest.raises(KmsError, match="No answer"):
        wired.services.work.plan(Verb.REENCRYPT, ANYTHING, world.current_key.arn)
    wired.close()
    assert everything(platform) == before


# Read only, and without the schema


def test_read_only_plans_but_refuses_to_run_and_the_session_would_refuse_too(
    services: Wired, platform: Engine, world: World
) -> None:
    before = everything(platform)
    wired = wire(load({"read_only": True}).settings)
    work = wired.services.work
    made = work.plan(Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert made.tokens
    assert any("read only" in warning for warning in made.warnings)
    calls = wired.kms.calls
    with pytest.raises(ReadOnlyError, match="re-encrypt"):
        work.run(made, Consent.by_option(made))
    assert wired.kms.calls == calls
    with pytest.raises(ReadOnlyError, match="GenerateDataKey"):
        wired.kms.call("GenerateDataKey", KeyId=world.current_key.arn, KeySpec="AES_256")
    with pytest.raises(DatabaseReadOnlyError):
        wired.journal.record("x", "x", Outcome.DONE)
    wired.close()
    assert everything(platform) == before
    assert services.journal.entries() == ()


def test_without_the_schema_a_plan_says_so_and_a_run_is_refused(
    environment: dict[str, str], platform: Engine, world: World
) -> None:
    before = everything(platform)
    wired = wire(load().settings)
    work = wired.services.work
    made = work.plan(Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert made.tokens >= len(world.sealed_under(world.old_key))
    (warning,) = made.warnings
    assert "not journaled" in warning
    assert "keydeck init" in warning
    with pytest.raises(MissingSchemaError, match="no backup and no journal"):
        work.run(made, Consent.by_option(made))
    assert everything(platform) == before
    install(wired.engine)
    assert work.run(made, Consent.by_option(made)).done == len(world.sealed_under(world.old_key))
    wired.close()


# Verify


def test_verify_says_of_each_token_whether_it_opened(services: Wired, world: World) -> None:
    told: list[RunProgress] = []
    verified = services.services.work.verify(Selection(everything=True), progress=told.append)
    assert [v.ref for v in verified] == sorted(world.tokens)
    for v in verified:
        token = world.tokens[v.ref]
        intact = token.format is Format.V1 and token.corruption is None
        assert v.opened is intact
        assert bool(v.reason) is not intact
        if intact:
            assert (v.key_arn, v.key_material_id) == (token.key_arn, token.key_material_id)
        assert world.token_for(v.ref) not in str(v.as_json())
    assert (told[-1].done, told[-1].poisoned) == (
        sum(v.opened for v in verified),
        sum(not v.opened for v in verified),
    )


def test_verify_changes_nothing_and_works_read_only_without_the_schema(
    environment: dict[str, str], platform: Engine, world: World
) -> None:
    before = everything(platform)
    wired = wire(load({"read_only": True}).settings)
    assert len(wired.services.work.verify(Selection(everything=True))) == len(world.tokens)
    wired.close()
    assert everything(platform) == before


def test_verify_takes_references_and_tells_what_is_not_there(services: Wired, world: World) -> None:
    work = services.services.work
    ref = world.sealed_under(world.old_key)[0]
    (verified,) = work.verify(Selection((ref,)))
    assert (verified.ref, verified.opened) == (ref, True)
    assert {v.ref for v in work.verify(Selection((RowRef(ref.table, ref.row_id), ref)))} >= {ref}
    with pytest.raises(RowVanishedError):
        work.verify(Selection((TokenRef("gh_connection", "access_token", "gh-none"),)))
    with pytest.raises(InvalidReferenceError):
        work.verify(Selection((TokenRef("nowhere", "x", "1"),)))
    for selection in (Selection(under_key=world.old_key.arn), Selection(unprotected=True)):
        with pytest.raises(InvalidReferenceError):
            work.verify(selection)


def test_a_token_under_a_key_that_is_not_trusted_does_not_verify(
    services: Wired, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    wired = wire(load().settings)
    (verified,) = wired.services.work.verify(Selection((world.sealed_under(world.old_key)[0],)))
    assert not verified.opened
    assert "not made under" in verified.reason
    trusting = wire(load().settings, trust=[world.old_key.arn])
    (again,) = trusting.services.work.verify(Selection((verified.ref,)))
    assert again.opened
    wired.close()
    trusting.close()


def test_a_disabled_key_is_told_for_each_of_its_tokens_and_not_remembered_as_damage(
    services: Wired, world: World, new_key: Callable[[], str], kms: Any
) -> None:
    key, work = new_key(), services.services.work
    refs = world.sealed_under(world.old_key)[:2]
    planned = work.plan(Verb.REENCRYPT, Selection(refs), key)
    work.run(planned, Consent.by_option(planned))
    kms.disable_key(KeyId=key)
    trusting = wire(load().settings, trust=[key])
    assert [v.opened for v in trusting.services.work.verify(Selection(refs))] == [False, False]
    kms.enable_key(KeyId=key)
    assert [v.opened for v in trusting.services.work.verify(Selection(refs))] == [True, True]
    trusting.close()


def test_a_kms_that_is_gone_is_an_error_and_not_an_answer_about_tokens(
    services: Wired, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = Selection((world.sealed_under(world.old_key)[0],))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        wired = wire(load().settings)
        with pytest.raises(KmsError, match="No answer"):
            wired.services.work.verify(selection)
        wired.close()
    assert services.services.work.verify(selection)[0].opened


def planned(plan: Plan) -> set[TokenRef]:
    assert plan.scope.references is not None
    return set(plan.scope.references)


def test_a_filter_selects_what_it_lets_through_and_the_plan_lists_it(
    services: Wired, plan: Callable[..., Plan], world: World
) -> None:
    selection = Selection(filter="provider:slack format:plaintext")
    assert str(selection) == 'every token that "provider:slack format:plaintext" lets through'
    made = plan(Verb.ENCRYPT, selection, world.current_key.arn)
    expected = {
        row.ref
        for row in services.services.inventory.page(Query("provider:slack format:plaintext"), limit=1000).rows
    }
    assert planned(made) == expected
    assert made.tokens == len(expected) == made.by_column["slack_connection.bot_token"]
    assert made.refused == ()


def test_tokens_of_a_filter_that_the_verb_does_not_take_are_refused_one_by_one(
    services: Wired, plan: Callable[..., Plan], world: World
) -> None:
    made = plan(Verb.REENCRYPT, Selection(filter="table:slack_connection"), world.current_key.arn)
    rows = services.services.inventory.page(Query("table:slack_connection"), limit=1000).rows
    assert planned(made) == {row.ref for row in rows if row.format.protected}
    assert {u.reference for u in made.refused} == {str(row.ref) for row in rows if not row.format.protected}
    assert made.tokens + len(made.refused) == len(rows)


def test_tokens_that_a_filter_is_not_meant_for_are_left_alone(
    services: Wired, plan: Callable[..., Plan], world: World
) -> None:
    whole = plan(Verb.REENCRYPT, Selection(filter="format:v1"), world.old_key.arn)
    left_out = tuple(sorted(planned(whole))[:3])
    selection = Selection(filter="format:v1", except_for=left_out)
    assert str(selection) == 'every token that "format:v1" lets through but for 3 tokens'
    assert planned(plan(Verb.REENCRYPT, selection, world.old_key.arn)) == planned(whole) - set(left_out)
    verified = services.services.work.verify(selection)
    assert {v.ref for v in verified} == planned(whole) - set(left_out)


def test_a_run_of_a_filter_writes_what_its_plan_lists_and_nothing_that_came_later(
    services: Wired, plan: Callable[..., Plan], world: World, platform: Engine, stored: Callable[..., str]
) -> None:
    made = plan(Verb.ENCRYPT, Selection(filter="provider:slack format:plaintext"), world.current_key.arn)
    later = next(ref for ref in world.tokens if ref.table == "slack_connection" and ref not in planned(made))
    with platform.begin() as connection:
        connection.execute(
            text("UPDATE slack_connection SET bot_token = 'xoxb-late' WHERE id = :id"),
            {"id": int(later.row_id)},
        )
    result = services.services.work.run(made, Consent.by_option(made))
    assert result.done == made.tokens
    assert stored(later) == "xoxb-late"
    assert all(stored(ref).startswith("djF8") for ref in planned(made))


def test_a_filter_that_lets_too_many_through_is_refused_with_what_takes_more(
    services: Wired, plan: Callable[..., Plan], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.filtered.MOST", 10)
    with pytest.raises(RefusedError, match=f"lets {len(world.tokens)} tokens through; at most 10") as caught:
        plan(Verb.REENCRYPT, Selection(filter=""), world.current_key.arn)
    assert "keydeck reencrypt --from KEY or --all" in caught.value.remedy
    with pytest.raises(RefusedError, match="at most 10") as caught:
        services.services.work.verify(Selection(filter="table:gh_connection"))
    assert "keydeck verify --all" in caught.value.remedy


def test_a_wrong_filter_is_refused_before_anything(plan: Callable[..., Plan], world: World) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        plan(Verb.REENCRYPT, Selection(filter="format:v9"), world.current_key.arn)
    assert caught.value.position == 7


def test_many_references_are_written_page_by_page(
    services: Wired, plan: Callable[..., Plan], world: World
) -> None:
    """In the order of the ids, each page asking for its own alone."""
    made = plan(Verb.REENCRYPT, Selection(filter="format:v1"), world.old_key.arn)
    pages = list(services.store.pages(made.scope, size=7))
    assert [len(p) for p in pages if len(p) > 7] == []
    assert {t.ref for page in pages for t in page} == planned(made)
