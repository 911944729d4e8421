"""keydeck incident accept-lost: the tokens named, their number typed, kept, and seen in show and status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.envelope import parse, serialise
from crypto_core.keyring.cipher import TokenCipher
from tests.conftest import Ran
from tests.crypto_core.damaging import damaged
from tests.crypto_core.database.tokens.attribution.scene import only
from tests.platform_rows import connect_github

WHY = "Their owners were asked to connect again."


@pytest.fixture
def lost(services: Container, platform: Engine, sandbox: Sandbox) -> str:
    """A key of the test's own, under which nothing is left but two tokens that nobody can open."""
    only(platform)
    key = str(sandbox.client("kms").create_key()["KeyMetadata"]["Arn"])
    sealing = TokenCipher(services.keyring.trusting(key))
    for number in range(2):
        envelope = parse(sealing.encrypt(f"gho_{number}", key).stored)
        broken = replace(envelope, encrypted_data_key=damaged(envelope.encrypted_data_key))
        connect_github(platform, f"gh-{number}", serialise(broken))
    return key


@pytest.mark.deep
def test_what_nobody_can_open_is_accepted_by_its_typed_number_alone(
    lost: str, superuser: Engine, keydeck: Callable[..., Ran]
) -> None:
    assert keydeck("incident", "start", "key-compromise", "--key", lost).exit_code == 0
    accept = ("incident", "accept-lost", "1", "--reason", WHY)
    looked = keydeck(*accept, "--dry-run", "--json")
    assert (looked.exit_code, looked.json["confirmation"], looked.json["danger"]) == (0, "2", "typed")
    assert "gh_connection.access_token:gh-1: " in looked.stderr
    for options in ((), ("--yes",), ("--confirm", "3")):
        assert keydeck(*accept, *options).exit_code == 2, options
    assert keydeck("incident", "accept-lost", "1", "--confirm", "2").exit_code == 2
    assert keydeck("incident", "show", "1", "--json").json["accepted_as_unrecoverable"] == []
    assert keydeck("--read-only", *accept, "--confirm", "2").exit_code == 2
    accepted = keydeck(*accept, "--confirm", "2", "--json")
    assert accepted.exit_code == 0, accepted.stderr
    (kept,) = accepted.json["accepted_as_unrecoverable"]
    assert (kept["number"], kept["reason"], kept["key_arn"]) == (2, WHY, lost)
    assert [token["reference"] for token in kept["tokens"]] == [
        f"gh_connection.access_token:gh-{n}" for n in range(2)
    ]
    assert all(len(token["sha256"]) == 64 for token in kept["tokens"])
    again = keydeck(*accept, "--confirm", "2")
    assert (again.exit_code, "Of no token" in again.stderr) == (2, True)

    shown = keydeck("incident", "show", "1")
    assert f"2 tokens: {kept['tokens'][0]['reference']}" in shown.stdout
    assert WHY in shown.stdout
    whole = keydeck("incident", "show", "1", "--json").json
    assert whole["accepted_as_unrecoverable"] == [kept]
    assert [entry["actor"] for entry in whole["timeline"] if entry["kind"] == "accepted"] == [kept["by"]]
    assert f"2 under {lost}, all 2 accepted as unrecoverable in INC-1" in keydeck("status").stdout
    (of_key,) = keydeck("status", "--json").json["accepted_as_unrecoverable"]
    assert of_key == {
        "key_arn": lost,
        "under": 2,
        "accepted": 2,
        "incidents": ["INC-1"],
        "references": [token["reference"] for token in kept["tokens"]],
    }
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE keydeck.incident_evidence DISABLE TRIGGER ALL"))
        changed = "UPDATE keydeck.incident_evidence SET content = '{}' WHERE kind = 'accepted-loss'"
        connection.execute(text(changed))
    untold = keydeck("incident", "show", "1", "--json")
    assert untold.json["accepted_as_unrecoverable"] == []
    assert "was changed after it was captured" in untold.json["accepted_as_unrecoverable_not_known"]
    assert "is not known" in untold.stderr
    assert keydeck("status", "--json").json["accepted_as_unrecoverable"] == []
