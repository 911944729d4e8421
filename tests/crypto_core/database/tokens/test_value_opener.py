"""Stored values of every format are opened, or told with a reason, and their tokens can be wiped."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.envelope import Format
from crypto_core.values.errors import CredentialsError, KmsError
from crypto_core.values.references import TokenRef

TOKEN = "partner-7f3a9c4e21"


def test_every_value_of_a_database_opens_or_says_why_not(services: Container, world: World) -> None:
    opener = ValueOpener(services.keyring)
    seen = set()
    for stored in services.store.read_many(tuple(sorted(world.tokens))):
        made, opened = world.tokens[stored.ref], opener.open_value(stored)
        seen.add(made.format)
        if made.format is Format.EMPTY:
            assert (opened.token, opened.reason) == (None, "no token is stored")
        elif made.corruption is None:
            assert opened.token is not None
            assert opened.token.reveal() == world.token_for(stored.ref)
            sealed = made.format in (Format.V1, Format.V2)
            assert (opened.wrapped_by.key_arn if opened.wrapped_by else None) == (
                made.key_arn if sealed else None
            )
            opened.token.wipe()
            assert len(stored.value) > 0
        elif made.format is not Format.UNRECOGNISED:
            assert opened.token is None
            assert opened.reason
    assert {Format.V1, Format.DEV, Format.PLAINTEXT} <= seen


def test_what_nobody_recognises_is_taken_for_a_token_and_another_dev_key_is_told(
    services: Container, world: World, platform: Engine
) -> None:
    ref = TokenRef(
        "gh_connection", "access_token", next(r for r in world.tokens if r.table == "gh_connection").row_id
    )
    with platform.begin() as connection:
        statement = text("UPDATE gh_connection SET access_token = :token WHERE id = :id")
        connection.execute(statement, {"token": TOKEN, "id": ref.row_id})
    opened = ValueOpener(services.keyring).open_value(services.store.read_token(ref))
    assert opened.token is not None
    assert opened.token.reveal() == TOKEN
    other = ValueOpener(services.keyring, dev_key="A" * 43 + "=").open_value(
        services.store.read_token(world.dev_refs[0])
    )
    assert other.token is None
    assert other.reason
    assert (
        ValueOpener(services.keyring, dev_key="no key")
        .open_value(services.store.read_token(world.dev_refs[0]))
        .reason
    )


def test_a_refusal_is_a_reason_and_what_may_pass_is_raised(
    services: Container, world: World, sandbox: Sandbox
) -> None:
    ref = next(r for r, t in world.tokens.items() if t.format is Format.V1 and t.corruption is None)
    stored = services.store.read_token(ref)
    sandbox.control.add_denial(Denial("*", "kms:Decrypt"))
    assert "kms:Decrypt" in ValueOpener(services.keyring).open_value(stored).reason
    sandbox.control.clear()
    sandbox.control.set_key_state(str(world.tokens[ref].key_arn), "Disabled")
    try:
        assert "disabled" in ValueOpener(services.keyring).open_value(stored).reason
    finally:
        sandbox.control.set_key_state(str(world.tokens[ref].key_arn), "Enabled")


def test_credentials_that_ran_out_are_no_reason_of_one_token(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = next(r for r, t in world.tokens.items() if t.format is Format.V1 and t.corruption is None)
    stored = services.store.read_token(ref)

    def refused(*_: object, **__: object) -> None:
        raise CredentialsError("The session is over.")

    opener = ValueOpener(services.keyring)
    monkeypatch.setattr(type(services.keyring), "unwrap", refused)
    with pytest.raises(KmsError):
        opener.open_value(stored)
