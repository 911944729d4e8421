"""Which tokens are moved when keys are not trusted, only named, in doubt, or in several Regions."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.envelope import parse
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import Selection, Verb
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import everything, plan, run
from tests.platform_rows import connect_github


def test_tokens_under_a_key_that_is_not_trusted_are_told_and_left_alone(
    services: Container, world: World, platform: Engine, new_key: NewKey
) -> None:
    foreign = new_key()
    sealed = TokenCipher(services.keyring.trusting(foreign)).encrypt("gho_foreign", foreign).stored
    ref = connect_github(platform, "gh-foreign", sealed)
    other = world.sealed_under(world.old_key)[0]
    result = run(services, Verb.REENCRYPT, Selection((ref, other)), world.current_key.arn)
    assert result.done == 1
    (left,) = result.poisoned
    assert left.reference == str(ref)
    assert foreign in left.reason
    assert everything(platform)[ref] == sealed


def test_a_key_named_as_source_is_trusted_for_the_run(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, new_key: NewKey
) -> None:
    foreign = new_key()
    sealed = TokenCipher(services.keyring.trusting(foreign)).encrypt("gho_foreign", foreign).stored
    ref = connect_github(platform, "gh-foreign", sealed)
    assert run(services, Verb.REENCRYPT, Selection(under_key=foreign), world.current_key.arn).done == 1
    assert cipher.decrypt(everything(platform)[ref]).reveal() == "gho_foreign"


@pytest.mark.deep
def test_a_token_of_another_key_in_a_doubtful_group_is_not_moved(
    services: Container, world: World, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prefix is a hint: KMS's answer about the very token decides, also between two trusted keys."""
    before = everything(platform)
    old = world.old_key
    column = [ref for ref in world.sealed_under(world.current_key) if ref.column == "access_token"]
    told_wrongly = {parse(before[ref]).encrypted_data_key for ref in column}
    call = services.kms.call

    def answer(name: str, **parameters: Any) -> Any:
        if name == "Decrypt" and parameters.get("CiphertextBlob") in told_wrongly:
            # Wrongly also where it is asked with that key.
            answered = call(name, **{key: value for key, value in parameters.items() if key != "KeyId"})
            return answered | {"KeyId": old.arn, "KeyMaterialId": old.material_ids[0]}
        return call(name, **parameters)

    target = services.services.keys.describe(world.current_key.arn)
    with monkeypatch.context() as while_planning:
        while_planning.setattr(services.kms, "call", answer)
        made = plan(services, Verb.REENCRYPT, Selection(under_key=old.arn), target.key_arn)
    assert made.tokens > len(world.sealed_under(old))
    result = services.services.work.run_plan(made, Consent.by_option(made))
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == set(world.sealed_under(old))
    assert result.changed_meanwhile >= 1
    assert result.remaining == 0


def test_a_multi_region_key_is_emptied_whichever_replica_kms_has_named(
    services: Container, environment: dict[str, str], world: World, platform: Engine
) -> None:
    kms = boto3.client("kms", region_name="eu-west-1")
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    replica = kms.replicate_key(KeyId=primary, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"]
    sealing = TokenCipher(services.keyring.trusting(primary))
    refs = [
        connect_github(platform, f"gh-mrk-{n}", sealing.encrypt(f"gho_{n}", primary).stored) for n in range(4)
    ]
    envelopes = [services.store.read_token(ref) for ref in refs]
    AttributionCache(services.engine).remember(
        KnownAttribution(t.digest, parse(t.value.reveal()).edk_prefix, replica, "m") for t in envelopes[:2]
    )
    result = run(services, Verb.REENCRYPT, Selection(under_key=primary), world.current_key.arn)
    assert (result.done, result.complete) == (4, True)
    cipher = TokenCipher(services.keyring)
    assert [cipher.decrypt(everything(platform)[ref]).reveal() for ref in refs] == [
        f"gho_{n}" for n in range(4)
    ]
