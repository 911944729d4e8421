"""Planning: verify says of each token whether it opens, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from crypto_core.values.errors import InvalidReferenceError, KeydeckError, KmsError, RowVanishedError
from crypto_core.values.references import RowRef, TokenRef
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import everything


def test_verify_says_of_each_token_whether_it_opened(services: Container, world: World) -> None:
    told: list[RunProgress] = []
    cipher = TokenCipher(services.keyring)
    verified = services.services.work.verify_tokens(Selection(everything=True), progress=told.append)
    assert [v.ref for v in verified] == sorted(world.tokens)
    for v in verified:
        token = world.tokens[v.ref]
        intact = token.format is Format.V1 and token.corruption is None
        assert v.opened is intact
        assert bool(v.reason) is not intact
        if token.format is Format.V1 and not intact:
            with pytest.raises(KeydeckError) as told_by_cipher:
                cipher.open(services.store.read_token(v.ref).value.reveal(), ref=v.ref)
            assert v.reason in (str(told_by_cipher.value), told_by_cipher.value.message)
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
    container = Container(load({"read_only": True}).settings)
    assert len(container.services.work.verify_tokens(Selection(everything=True))) == len(world.tokens)
    container.close()
    assert everything(platform) == before


def test_verify_takes_references_and_tells_what_is_not_there(services: Container, world: World) -> None:
    work = services.services.work
    ref = world.sealed_under(world.old_key)[0]
    (verified,) = work.verify_tokens(Selection((ref,)))
    assert (verified.ref, verified.opened) == (ref, True)
    assert {v.ref for v in work.verify_tokens(Selection((RowRef(ref.table, ref.row_id), ref)))} >= {ref}
    with pytest.raises(RowVanishedError):
        work.verify_tokens(Selection((TokenRef("gh_connection", "access_token", "gh-none"),)))
    with pytest.raises(InvalidReferenceError):
        work.verify_tokens(Selection((TokenRef("nowhere", "x", "1"),)))
    for selection in (Selection(under_key=world.old_key.arn), Selection(unprotected=True)):
        with pytest.raises(InvalidReferenceError):
            work.verify_tokens(selection)


def test_a_token_under_a_key_that_is_not_trusted_does_not_verify(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    container = Container(load().settings)
    (verified,) = container.services.work.verify_tokens(Selection((world.sealed_under(world.old_key)[0],)))
    assert not verified.opened
    assert "not made under" in verified.reason
    trusting = Container(load().settings, trust=[world.old_key.arn])
    (again,) = trusting.services.work.verify_tokens(Selection((verified.ref,)))
    assert again.opened
    container.close()
    trusting.close()


def test_a_disabled_key_is_told_for_each_of_its_tokens_and_not_remembered_as_damage(
    services: Container, world: World, new_key: NewKey, kms: Any
) -> None:
    key, work = new_key(), services.services.work
    refs = world.sealed_under(world.old_key)[:2]
    planned = work.plan_reencryption(Verb.REENCRYPT, Selection(refs), key)
    work.run_plan(planned, Consent.by_option(planned))
    kms.disable_key(KeyId=key)
    trusting = Container(load().settings, trust=[key])
    assert [v.opened for v in trusting.services.work.verify_tokens(Selection(refs))] == [False, False]
    kms.enable_key(KeyId=key)
    assert [v.opened for v in trusting.services.work.verify_tokens(Selection(refs))] == [True, True]
    trusting.close()


def test_a_kms_that_is_gone_is_an_error_and_not_an_answer_about_tokens(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = Selection((world.sealed_under(world.old_key)[0],))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        container = Container(load().settings)
        with pytest.raises(KmsError, match="No answer"):
            container.services.work.verify_tokens(selection)
        container.close()
    assert services.services.work.verify_tokens(selection)[0].opened
