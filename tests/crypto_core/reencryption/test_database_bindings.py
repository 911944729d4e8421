"""Envelopes that name their database: written, read, refused elsewhere, and seen by KMS and CloudTrail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

import crypto_core
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.tokens.lost_tokens import OpeningResult, TokenTrial
from crypto_core.encrypted_token import StoredEnvelope
from crypto_core.envelope import EnvelopeV2, Format, classify, parse, serialise
from crypto_core.envelope.encryption_context import DATABASE, encryption_context
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.reencryption.plan_steps import envelopes_of
from crypto_core.values.errors import (
    InvalidCiphertextError,
    JobError,
    UnsupportedFormatError,
    WrongBindingError,
)
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.console.command_types import NewKey, Stored

OWN, OTHER = "acme-production", "acme-staging"
REF = "gh_connection.access_token:gh-1"

Make = Callable[..., Container]


@pytest.fixture
def made(services: Container) -> Iterator[Make]:
    """Makes the services as they are with other settings."""
    containers = []

    def make(write_format: str = "v2", binding: str | None = OWN) -> Container:
        container = Container(load({"write_format": write_format, "binding": binding}).settings)
        containers.append(container)
        return container

    yield make
    for container in containers:
        container.close()


def reencrypt(container: Container, ref: TokenRef, key: str) -> None:
    work = container.services.work
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), key)
    assert work.run_plan(plan, Consent.by_option(plan)).done == 1


def start(container: Container, selection: Selection, key: str) -> int:
    plan = container.tokens.jobs.plan_job(Verb.REENCRYPT, selection, key, JobOptions())
    return container.tokens.jobs.start_job(plan, Consent.by_option(plan))


def test_an_unbound_envelope_becomes_a_bound_one_and_its_plan_says_so(
    made: Make, world: World, stored: Stored
) -> None:
    ref, key = world.sealed_under(world.current_key)[0], world.current_key.arn
    reencrypt(made(binding=None), ref, key)
    assert classify(stored(ref)).format is Format.V2
    bound = made()
    plan = bound.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), key)
    assert [c.as_json() for c in plan.conversions] == [{"from": "v2", "to": "v2-bound", "tokens": 1}]
    assert any(f'bound to database "{OWN}"' in w and "KEYDECK_BINDING" in w for w in plan.warnings)
    assert (plan.as_json()["binding"], replace(plan, binding=OTHER).digest == plan.digest) == (OWN, False)
    bound.services.work.run_plan(plan, Consent.by_option(plan))
    assert parse(stored(ref)).named_database == OWN
    assert crypto_core.decrypt_token(stored(ref), ref, binding=OWN) == world.token_for(ref)
    again = bound.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), key)
    assert [c.changes for c in again.conversions] == [False]


def test_what_is_v2_becomes_bound_also_where_v1_is_written_and_no_v1_does(
    made: Make, world: World, stored: Stored
) -> None:
    (first, second), key = world.sealed_under(world.current_key)[:2], world.current_key.arn
    reencrypt(made(binding=None), first, key)
    writes_v1 = made("v1")
    for ref, becomes in ((first, Format.V2_BOUND), (second, Format.V1)):
        plan = writes_v1.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), key)
        assert [c.written for c in plan.conversions] == [becomes]
        writes_v1.services.work.run_plan(plan, Consent.by_option(plan))
        assert classify(stored(ref)).format is becomes
    plan = writes_v1.services.work.plan_reencryption(
        Verb.REENCRYPT, Selection((first,)), key, allow_downgrade=True
    )
    assert any("no longer bound to the row and the database" in w for w in plan.warnings)


def test_a_reader_with_a_binding_opens_v1_and_v2_and_its_own(
    made: Make, world: World, stored: Stored
) -> None:
    refs, key = world.sealed_under(world.current_key)[:3], world.current_key.arn
    reencrypt(made(binding=None), refs[1], key)
    reader = made()
    reencrypt(reader, refs[2], key)
    assert [classify(stored(ref)).format for ref in refs] == [Format.V1, Format.V2, Format.V2_BOUND]
    assert all(v.opened for v in reader.services.work.verify_tokens(Selection(refs)))
    for ref in refs:
        assert crypto_core.decrypt_token(stored(ref), ref, binding=OWN) == world.token_for(ref)


@pytest.mark.parametrize("binding", [OTHER, None])
def test_another_databases_envelope_is_refused_by_its_name_and_left_as_it_is(
    made: Make, world: World, stored: Stored, binding: str | None
) -> None:
    ref, key = world.sealed_under(world.current_key)[0], world.current_key.arn
    reencrypt(made(), ref, key)
    before, elsewhere = stored(ref), made(binding=binding)
    said = f'{ref}: the envelope was sealed for database "{OWN}", and KEYDECK_BINDING is '
    said += "not set" if binding is None else f'"{binding}"'
    (verified,) = elsewhere.services.work.verify_tokens(Selection((ref,)))
    assert not verified.opened
    assert said in verified.reason
    with pytest.raises(WrongBindingError) as caught:
        crypto_core.decrypt_token(before, ref, binding=binding)
    assert said in str(caught.value)
    assert "set KEYDECK_BINDING" in caught.value.remedy
    assert world.token_for(ref) not in str(caught.value)
    found = elsewhere.services.inspector.inspect_token(ref)
    assert said in found.broken
    assert dict(found.fields)["database"] == OWN
    for verb in (Verb.REENCRYPT, Verb.REWRAP):
        plan = elsewhere.services.work.plan_reencryption(verb, Selection((ref,)), key)
        result = elsewhere.services.work.run_plan(plan, Consent.by_option(plan))
        assert (result.done, [said in one.reason for one in result.poisoned]) == (0, [True])
    assert stored(ref) == before
    # It is no damage, neither here nor for the console whose envelope it is.
    (token,) = elsewhere.store.read_many([ref])
    assert elsewhere.attributor.damage(token) == ""
    assert TokenTrial(elsewhere.keyring).try_token(token, key).result is OpeningResult.UNCLEAR
    status = elsewhere.services.status.take_census()
    assert status.by_format[Format.V2_BOUND] == 1
    assert [v.opened for v in made().services.work.verify_tokens(Selection((ref,)))] == [True]


def test_which_key_it_is_under_is_known_in_another_database_too(
    made: Make, world: World, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be proved empty counts whatever is under the key."""
    ref, key = world.sealed_under(world.current_key)[0], new_key()
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", key)
    reencrypt(made(), ref, key)
    elsewhere = made(binding=OTHER)
    with elsewhere.engine.begin() as connection:
        connection.execute(text("DELETE FROM keydeck.key_answer"))
    (probe,) = elsewhere.attributor.ask_kms(elsewhere.store.read_many([ref]))
    assert probe.answer is not None
    assert probe.answer.key_arn == key
    (token,) = elsewhere.store.read_many([ref])
    ((_, _, sample),) = envelopes_of([token])
    assert sample.context == encryption_context(ref, OWN)
    proof = elsewhere.services.status.prove(about=key)
    assert proof.tokens_under(key) == 1


def test_kms_refuses_where_the_name_in_the_envelope_was_replaced(made: Make, world: World) -> None:
    ref = world.sealed_under(world.current_key)[0]
    sealed = TokenCipher(made().keyring, write_format=Format.V2).encrypt("gho_made_up", ref=ref)
    envelope = parse(sealed.stored)
    assert isinstance(envelope, EnvelopeV2)
    renamed = serialise(replace(envelope, database=OTHER))
    with pytest.raises(
        InvalidCiphertextError, match=f'another row than {ref} or another database than "{OTHER}"'
    ):
        TokenCipher(made(binding=OTHER).keyring).decrypt(renamed, ref=ref)
    assert sealed.ref == ref


def test_kms_and_cloudtrail_are_told_the_database(made: Make, sandbox: Sandbox, world: World) -> None:
    ref = world.sealed_under(world.current_key)[-3]
    cipher = TokenCipher(made().keyring, write_format=Format.V2)
    assert cipher.decrypt(cipher.encrypt("gho_made_up", ref=ref).stored, ref=ref).reveal() == "gho_made_up"
    sandbox.control.set_lookup_throttle(None)
    seen = []
    for name in ("GenerateDataKey", "Decrypt"):
        events = sandbox.client("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}]
        )["Events"]
        told = [json.loads(event["CloudTrailEvent"])["requestParameters"] for event in events]
        seen.append([one.get("encryptionContext") for one in told])
    own = encryption_context(ref, OWN)
    assert own[DATABASE] == OWN
    assert all(own in contexts for contexts in seen)


def test_a_bound_envelope_is_rewrapped_under_its_own_key(made: Make, world: World, stored: Stored) -> None:
    ref, key = world.sealed_under(world.current_key)[0], world.current_key.arn
    container = made()
    reencrypt(container, ref, key)
    before, work = parse(stored(ref)), container.services.work
    plan = work.plan_reencryption(Verb.REWRAP, Selection((ref,)), key)
    assert work.run_plan(plan, Consent.by_option(plan)).done == 1
    after = parse(stored(ref))
    changed = [n for (n, old), (_, new) in zip(before.parts(), after.parts(), strict=True) if old != new]
    assert changed == ["encrypted data key"]
    assert crypto_core.decrypt_token(stored(ref), ref, binding=OWN) == world.token_for(ref)


def test_what_is_encrypted_in_place_is_bound(made: Make, world: World, stored: Stored) -> None:
    refs = (world.plaintext_refs[0], world.dev_refs[0])
    work = made().services.work
    plan = work.plan_reencryption(Verb.ENCRYPT, Selection(refs), world.current_key.arn)
    assert work.run_plan(plan, Consent.by_option(plan)).done == 2
    for ref in refs:
        assert crypto_core.decrypt_token(stored(ref), ref, least_format="v2-bound", binding=OWN) == (
            world.token_for(ref)
        )


def test_an_entered_token_is_bound(made: Make, world: World, stored: Stored) -> None:
    ref = next(ref for ref in world.sealed_under(world.current_key) if ref.table == "gh_connection")
    entering = made("v1").tokens.entering
    assert entering.plan_entry(ref, Secret.of("ghp_" + "Ab1" * 12)).format is Format.V1
    entering = made().tokens.entering
    plan = entering.plan_entry(ref, Secret.of("ghp_" + "Ab1" * 12))
    assert plan.format is Format.V2_BOUND
    assert any(f'KEYDECK_BINDING="{OWN}"' in warning for warning in plan.warnings)


@pytest.mark.deep
def test_a_job_is_worked_on_with_its_own_binding_alone(made: Make, world: World, stored: Stored) -> None:
    refs = world.sealed_under(world.old_key)[:4]
    own = made()
    reencrypt(own, refs[0], world.old_key.arn)
    number = start(own, Selection(refs), world.current_key.arn)
    for elsewhere, is_set in ((OTHER, f'"{OTHER}"'), (None, "not set")):
        with pytest.raises(JobError, match=f'seals for database "{OWN}", and KEYDECK_BINDING is {is_set}'):
            made(binding=elsewhere).tokens.jobs.join_job(number)
    assert own.tokens.jobs.join_job(number).done == len(refs)
    for ref in refs:
        assert parse(stored(ref)).named_database == OWN
        assert crypto_core.decrypt_token(stored(ref), ref, binding=OWN) == world.token_for(ref)


def test_a_job_leaves_another_databases_envelope_as_it_is_and_says_whose_it_is(
    made: Make, world: World, stored: Stored
) -> None:
    ref, elsewhere = world.sealed_under(world.old_key)[0], made(binding=OTHER)
    reencrypt(made(), ref, world.old_key.arn)
    before = stored(ref)
    number = start(elsewhere, Selection((ref,)), world.current_key.arn)
    assert elsewhere.tokens.jobs.join_job(number).done == 0
    (unwritten,) = elsewhere.tokens.jobs.unwritten(number, "another-database")
    assert f'sealed for database "{OWN}"' in unwritten.reason
    assert stored(ref) == before


@pytest.mark.deep
def test_what_a_job_replaced_is_restored_bound_as_it_was(made: Make, world: World, stored: Stored) -> None:
    own, ref = made(), world.sealed_under(world.old_key)[0]
    reencrypt(own, ref, world.old_key.arn)
    before = stored(ref)
    number = start(own, Selection((ref,)), world.current_key.arn)
    assert own.tokens.jobs.join_job(number).done == 1
    assert stored(ref) != before
    plan = own.tokens.undoing.plan_restore(number)
    undoing = own.tokens.undoing.start_restore(plan, Consent.by_option(plan))
    assert own.tokens.jobs.join_job(undoing).done == 1
    assert stored(ref) == before
    assert crypto_core.decrypt_token(before, ref, binding=OWN) == world.token_for(ref)


# The platform's functions and column type


def test_the_platforms_functions_take_the_binding_from_the_environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    unbound = crypto_core.encrypt_token("gho_unbound", REF)
    monkeypatch.setenv("KEYDECK_BINDING", OWN)
    bound = crypto_core.encrypt_token("gho_bound", REF)
    assert [classify(s).format for s in (unbound, bound)] == [Format.V2, Format.V2_BOUND]
    assert crypto_core.decrypt_token(unbound, REF) == "gho_unbound"
    assert crypto_core.decrypt_token(bound, REF) == "gho_bound"
    assert crypto_core.decrypt_token(bound, REF, binding=OWN) == "gho_bound"
    monkeypatch.setenv("KEYDECK_BINDING", OTHER)
    assert crypto_core.decrypt_token(unbound, REF) == "gho_unbound"
    with pytest.raises(WrongBindingError):
        crypto_core.decrypt_token(bound, REF)
    tenant = crypto_core.encrypt_token("gho_tenant", REF, binding="tenant 7")
    assert parse(tenant).named_database == "tenant 7"


def test_where_bound_envelopes_are_demanded_unbound_ones_are_refused_without_asking_kms(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    unbound = crypto_core.encrypt_token("gho_unbound", REF)
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v2-bound")
    with pytest.raises(crypto_core.SettingsError, match="KEYDECK_BINDING"):
        crypto_core.decrypt_token(unbound, REF)
    monkeypatch.setenv("KEYDECK_BINDING", OWN)
    bound = crypto_core.encrypt_token("gho_bound", REF)
    assert crypto_core.decrypt_token(bound, REF) == "gho_bound"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnsupportedFormatError, match="v2 envelope where v2-bound is demanded"):
        crypto_core.decrypt_token(unbound, REF)
    with pytest.raises(UnsupportedFormatError, match="v2 envelope where v2-bound is demanded"):
        StoredEnvelope.found(unbound, least=Format.V2_BOUND).require_least()
    StoredEnvelope.found(bound, least=Format.V2_BOUND).require_least()


@pytest.mark.parametrize("wrong", [" acme", "acme ", "", "a\nb", "acmé", "x" * 65, "\x7f"])
def test_what_is_no_name_is_no_binding(environment: dict[str, str], wrong: str) -> None:
    with pytest.raises(crypto_core.SettingsError, match="KEYDECK_BINDING"):
        crypto_core.encrypt_token("gho_made_up", REF, binding=wrong)


def test_a_bound_envelope_is_not_written_without_a_binding(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2-bound")
    with pytest.raises(crypto_core.SettingsError, match="KEYDECK_BINDING"):
        crypto_core.encrypt_token("gho_made_up", REF)
    monkeypatch.setenv("KEYDECK_BINDING", OWN)
    assert parse(crypto_core.encrypt_token("gho_made_up", REF)).named_database == OWN
