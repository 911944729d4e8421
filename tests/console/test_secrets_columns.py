"""What a secrets column holds, through every command: counted, shown, verified, written anew, put back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.sandbox.world import World
from crypto_core import decrypt_token, encrypt_token
from crypto_core.values.errors import KeydeckError
from crypto_core.values.references import TokenRef
from tests.conftest import Ran
from tests.console.command_types import NewKey
from tests.crypto_core.database.tokens.test_secrets_columns import add, document_of, sealed

Keydeck = Callable[..., Ran]


@pytest.fixture
def row(keydeck: Keydeck, platform: Engine) -> str:
    """A connector with three secrets, in a database with Keydeck's schema."""
    assert keydeck("init").exit_code == 0
    return add(platform, sealed("token", "signing secret", "ünï"))


def opened(platform: Engine, row: str, reference: bool = False) -> dict[str, str]:
    document = json.loads(document_of(platform, row))
    return {
        name: decrypt_token(v, TokenRef("connectors", "secret_json", row, name) if reference else None)
        for name, v in document.items()
    }


def trusted(key: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the platform read with another key too; returns it."""
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{os.environ['KEYDECK_TRUSTED_KEYS']},{key}")
    return key


PLAIN = {name: f"gho_{name}" for name in ("token", "signing secret", "ünï")}


@pytest.mark.deep
@pytest.mark.parametrize("job", [False, True], ids=["directly", "as a job"])
@pytest.mark.parametrize("verb", ["rewrap", "reencrypt"])
def test_members_are_written_anew(
    keydeck: Keydeck,
    platform: Engine,
    row: str,
    new_key: NewKey,
    verb: str,
    job: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, key = document_of(platform, row), trusted(new_key(), monkeypatch)
    args = [verb, "--filter", "table:connectors", "--to", key, "--yes", *(["--job"] if job else [])]
    ran = keydeck(*args)
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert document_of(platform, row) != before
    assert opened(platform, row) == PLAIN
    listed = keydeck("connections", "--filter", "table:connectors", "--json").json["connections"]
    assert {c["key_arn"] for c in listed} == {key}
    if job:
        assert keydeck("jobs", "restore", "1", "--yes").exit_code == 0
        assert json.loads(document_of(platform, row)) == json.loads(before)


@pytest.mark.deep
def test_plaintext_members_are_encrypted_in_place(keydeck: Keydeck, platform: Engine, row: str) -> None:
    other = add(platform, json.dumps({"bot": "xoxb-1-2-abc", "sealed": encrypt_token("s")}).encode())
    # Those that are envelopes already are named, and the exit code says so.
    ran = keydeck("encrypt", "--filter", "table:connectors", "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (1, 1), ran.stderr
    assert opened(platform, other) == {"bot": "xoxb-1-2-abc", "sealed": "s"}


@pytest.mark.deep
def test_v2_binds_a_member_to_its_name(
    keydeck: Keydeck, platform: Engine, row: str, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    ran = keydeck("reencrypt", f"connectors:{row}", "--to", world.current_key.arn, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, 3), ran.stderr
    assert opened(platform, row, reference=True) == PLAIN
    document = json.loads(document_of(platform, row))
    assert decrypt_token(document["ünï"], f"connectors.secret_json:{row}#ünï") == "gho_ünï"
    with pytest.raises(KeydeckError):
        decrypt_token(document["ünï"], TokenRef("connectors", "secret_json", row, "token"))
    assert keydeck("verify", f"connectors:{row}").exit_code == 0


@pytest.mark.deep
def test_a_restore_that_puts_nothing_back_says_so(
    keydeck: Keydeck, platform: Engine, row: str, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = trusted(new_key(), monkeypatch)
    args = ["reencrypt", "--filter", "table:connectors", "--to", key, "--yes", "--job"]
    assert keydeck(*args).exit_code == 0
    with platform.begin() as connection:
        connection.execute(text("UPDATE connectors SET secret_json = :d"), {"d": sealed("token")})
    ran = keydeck("jobs", "restore", "1", "--yes")
    assert ran.exit_code == 1
    assert "0 of 3 tokens restored" in ran.stderr
