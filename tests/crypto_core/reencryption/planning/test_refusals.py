"""Planning: every reason not to begin, read only, and without the schema."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.state.installation import install
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import MakePlan, everything

GONE = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"

# Reasons not to begin


def refused(
    services: Container, platform: Engine, verb: Verb, selection: Selection, target: str
) -> errors.KeydeckError:
    """The refusal of a plan; nothing was changed, and the journal tells it."""
    before = everything(platform)
    with pytest.raises((errors.RefusedError, errors.KmsError, errors.SettingsError)) as caught:
        services.services.work.plan_reencryption(verb, selection, target)
    assert everything(platform) == before
    assert services.journal.entries()[-1].outcome == Outcome.REFUSED.value
    return caught.value


ANYTHING = Selection(everything=True)


def test_a_key_for_codes_is_no_key_to_write_a_new_token_under(
    services: Container, world: World, kms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = next(ref for ref in world.sealed_under(world.current_key) if ref.table == "gh_connection")
    key = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    entering = Container(load().settings).tokens.entering
    with pytest.raises(errors.RefusedError, match="can't wrap data keys") as caught:
        entering.plan_entry(ref, Secret.of("ghp_" + "Ab1" * 12))
    assert "TOKEN_ENCRYPTION_KEY_ID" in caught.value.remedy


def target(kms: Any, what: str) -> str:
    """A key that nothing may be written under, or a name of none."""
    if what in ("Disabled", "PendingDeletion"):
        key = str(kms.create_key()["KeyMetadata"]["Arn"])
        kms.disable_key(KeyId=key) if what == "Disabled" else kms.schedule_key_deletion(KeyId=key)
        return key
    usage = {"RSA_2048": "SIGN_VERIFY", "HMAC_256": "GENERATE_VERIFY_MAC"}.get(what)
    return str(kms.create_key(KeySpec=what, KeyUsage=usage)["KeyMetadata"]["Arn"]) if usage else what


@pytest.mark.parametrize(
    ("verb", "what", "error", "says", "remedy"),
    [
        (Verb.REENCRYPT, "Disabled", errors.RefusedError, "Target key {} is Disabled", "Enable it"),
        (Verb.REWRAP, "PendingDeletion", errors.RefusedError, "{} is PendingDeletion", ""),
        (Verb.ENCRYPT, "RSA_2048", errors.RefusedError, "RSA_2048", "symmetric"),
        (Verb.ENCRYPT, "HMAC_256", errors.RefusedError, "HMAC_256", "symmetric"),
        (Verb.REENCRYPT, GONE, errors.KeyNotFoundError, "{}", ""),
        (Verb.REENCRYPT, "alias/not-there", errors.KeyNotFoundError, "{}", ""),
        (Verb.REENCRYPT, GONE.rpartition("/")[2], errors.KeyNotFoundError, "{}", ""),
        (Verb.REENCRYPT, "tokens", errors.SettingsError, "Not a KMS key", ""),
    ],
)
def test_a_target_that_cannot_be_written_under_is_refused(
    services: Container,
    platform: Engine,
    kms: Any,
    verb: Verb,
    what: str,
    error: type[errors.KeydeckError],
    says: str,
    remedy: str,
) -> None:
    key = target(kms, what)
    selection = Selection(unprotected=True) if verb is Verb.ENCRYPT else ANYTHING
    told = refused(services, platform, verb, selection, key)
    assert isinstance(told, error)
    assert says.format(key) in told.message
    assert remedy in told.remedy


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", ["arn", "key_id", "alias", "a replica"])
def test_a_key_is_not_emptied_into_itself_nor_into_its_replica(
    services: Container, platform: Engine, world: World, kms: Any, name: str
) -> None:
    if name == "a replica":
        key = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
        into = kms.replicate_key(KeyId=key, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"]
    else:
        key, into = world.current_key.alias, getattr(world.current_key, name)
    error = refused(services, platform, Verb.REENCRYPT, Selection(under_key=key), into)
    assert isinstance(error, errors.RefusedError)
    assert "same key" in error.message


def test_a_source_that_is_disabled_is_refused(
    services: Container, platform: Engine, new_key: NewKey, kms: Any, world: World
) -> None:
    key = new_key()
    work = services.services.work
    refs = world.sealed_under(world.old_key)[:3]
    planned = work.plan_reencryption(Verb.REENCRYPT, Selection(refs), key)
    work.run_plan(planned, Consent.by_option(planned))
    with services.engine.begin() as connection:
        # As if somebody else had written them: nothing is known of these envelopes.
        connection.execute(text("DELETE FROM keydeck.key_answer"))
    kms.disable_key(KeyId=key)
    error = refused(services, platform, Verb.REENCRYPT, Selection(under_key=key), world.current_key.arn)
    assert isinstance(error, errors.RefusedError)
    assert key in error.message
    assert "Disabled" in error.message


def test_a_source_that_may_not_be_decrypted_is_refused(
    services: Container, platform: Engine, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", world.old_key.key_id))
    selection = Selection(under_key=world.old_key.arn)
    error = refused(services, platform, Verb.REENCRYPT, selection, world.current_key.arn)
    sandbox.control.clear()
    assert "kms:Decrypt" in error.message


def test_a_source_that_is_gone_has_no_tokens(plan: MakePlan, world: World) -> None:
    assert plan(Verb.REENCRYPT, Selection(under_key=GONE), world.current_key.arn).tokens == 0
    with pytest.raises(errors.KeyNotFoundError):
        plan(Verb.REENCRYPT, Selection(under_key="alias/gone"), world.current_key.arn)


def test_a_target_that_may_not_be_described_is_taken_by_its_arn_only(
    services: Container, plan: MakePlan, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:DescribeKey"))
    ref = world.sealed_under(world.old_key)[0]
    made = plan(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    with pytest.raises(errors.KmsAccessDeniedError, match="kms:DescribeKey"):
        plan(Verb.REENCRYPT, Selection((ref,)), world.current_key.alias)
    assert services.services.work.run_plan(made, Consent.by_option(made)).done == 1
    sandbox.control.clear()


@pytest.mark.parametrize(
    "reference", [TokenRef("nowhere", "token", "1"), TokenRef("slack_connection", "bot_token", "x")]
)
def test_a_wrong_reference_is_refused(
    services: Container, plan: MakePlan, world: World, reference: TokenRef
) -> None:
    with pytest.raises(errors.InvalidReferenceError):
        plan(Verb.REENCRYPT, Selection((reference,)), world.current_key.arn)
    assert services.journal.entries()[-1].outcome == "refused"


def test_a_dead_kms_is_an_error_before_anything_is_changed(
    services: Container, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(platform)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    container = Container(load().settings)
    with pytest.raises(errors.KmsError, match="No answer"):
        container.services.work.plan_reencryption(Verb.REENCRYPT, ANYTHING, world.current_key.arn)
    container.close()
    assert everything(platform) == before


# Read only, and without the schema


def test_read_only_plans_but_refuses_to_run_and_the_session_would_refuse_too(
    services: Container, platform: Engine, world: World
) -> None:
    before = everything(platform)
    container = Container(load({"read_only": True}).settings)
    work = container.services.work
    made = work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    assert made.tokens
    assert any("read-only mode" in warning for warning in made.warnings)
    calls = container.kms.calls
    with pytest.raises(errors.ReadOnlyError, match="re-encrypt"):
        work.run_plan(made, Consent.by_option(made))
    assert container.kms.calls == calls
    with pytest.raises(errors.ReadOnlyError, match="GenerateDataKey"):
        container.kms.call("GenerateDataKey", KeyId=world.current_key.arn, KeySpec="AES_256")
    with pytest.raises(errors.DatabaseReadOnlyError):
        container.journal.record("x", "x", Outcome.DONE)
    container.close()
    assert everything(platform) == before
    assert services.journal.entries() == ()


@pytest.mark.deep
def test_without_the_schema_a_plan_says_so_and_a_run_is_refused(
    environment: dict[str, str], platform: Engine, world: World
) -> None:
    before = everything(platform)
    container = Container(load().settings)
    work = container.services.work
    made = work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    assert made.tokens >= len(world.sealed_under(world.old_key))
    (warning,) = made.warnings
    assert "not journaled" in warning
    assert "keydeck init" in warning
    with pytest.raises(errors.MissingSchemaError, match="no backup and no journal"):
        work.run_plan(made, Consent.by_option(made))
    assert everything(platform) == before
    install(container.engine)
    assert work.run_plan(made, Consent.by_option(made)).done == len(world.sealed_under(world.old_key))
    container.close()
