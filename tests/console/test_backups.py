"""Replaced envelopes are restored by `keydeck backups restore`, and only where no token is lost by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.references import TokenRef
from tests.console.command_types import Keydeck
from tests.crypto_core.database.tokens.test_secrets_columns import add, sealed

pytestmark = pytest.mark.deep

Standing = Callable[[str], None]
"""Has a value stand where Keydeck wrote one, as if Keydeck had written it."""


@pytest.fixture
def ref(world: World) -> TokenRef:
    return next(r for r in world.sealed_under(world.old_key) if r.table == "gh_connection")


@pytest.fixture
def standing(platform: Engine, superuser: Engine, ref: TokenRef) -> Standing:
    def write(value: str) -> None:
        with platform.begin() as connection:
            statement = f"UPDATE gh_connection SET {ref.column} = :value WHERE id = :id"
            connection.execute(text(statement), {"value": value, "id": ref.row_id})
        with superuser.begin() as connection:
            statement = (
                "UPDATE keydeck.envelope_backup SET written_digest = :digest "
                "WHERE token_column = :column AND row_id = :id"
            )
            named = {"column": f"gh_connection.{ref.column}", "id": ref.row_id, "digest": digest(value)}
            connection.execute(text(statement), named)

    return write


def values(services: Container, *refs: TokenRef) -> dict[TokenRef, str]:
    return {token.ref: token.value.reveal() for token in services.store.read_many(refs)}


def moved(keydeck: Keydeck, ref: TokenRef, *, to: str) -> None:
    ran = keydeck("reencrypt", str(ref), "--to", to, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"], ran.json["job"]) == (0, 1, None)


def test_what_a_run_without_a_job_replaced_is_restored(
    keydeck: Keydeck, services: Container, platform: Engine, world: World, ref: TokenRef, standing: Standing
) -> None:
    row = add(platform, sealed("token", "signing secret"))
    member = TokenRef("connectors", "secret_json", row, "signing secret")
    before = values(services, ref, member)
    moved(keydeck, ref, to=world.current_key.arn)
    moved(keydeck, member, to=world.old_key.arn)
    present = values(services, ref, member)
    asked = keydeck("backups", "restore", str(ref), str(member))
    assert (asked.exit_code, "--yes" in asked.stderr) == (2, True)
    dry = keydeck("backups", "restore", "--since", "1h", "--dry-run", "--json")
    assert (dry.exit_code, dry.json["tokens"], set(dry.json["keys"])) == (
        0,
        2,
        {world.old_key.arn, world.current_key.arn},
    )
    assert values(services, ref, member) == present

    # Nobody can open what stands there: that is what restoring is for.
    broken = present[ref][:-20] + "AAAAAAAAAA" + present[ref][-10:]
    standing(broken)
    ran = keydeck("backups", "restore", "--since", "1h", "--yes", "--json")
    assert (ran.exit_code, ran.json["restored"], ran.json["not_restored"]) == (0, 2, [])
    assert values(services, ref, member) == before
    # What was there was kept as well.
    assert keydeck("backups", "restore", str(member), "--yes").exit_code == 0
    assert values(services, member)[member] == present[member]
    assert keydeck("journal", "verify").exit_code == 0


def test_a_present_value_that_holds_another_token_stays(
    keydeck: Keydeck, services: Container, world: World, ref: TokenRef, standing: Standing
) -> None:
    moved(keydeck, ref, to=world.current_key.arn)
    other = TokenCipher(services.keyring).encrypt("gho_another", world.current_key.arn).stored
    standing(other)
    ran = keydeck("backups", "restore", str(ref), "--yes", "--json")
    (left,) = ran.json["not_restored"]
    assert (ran.exit_code, ran.json["restored"], left["reference"]) == (1, 0, str(ref))
    assert "holds another token" in left["reason"]
    assert values(services, ref)[ref] == other


def test_an_envelope_that_does_not_open_is_not_restored(
    keydeck: Keydeck, services: Container, superuser: Engine, world: World, ref: TokenRef
) -> None:
    moved(keydeck, ref, to=world.current_key.arn)
    present = values(services, ref)
    with superuser.begin() as connection:
        damaged = "overlay(envelope placing 'AAAAAAAAAA' from length(envelope) - 30 for 10)"
        connection.execute(text(f"UPDATE keydeck.envelope_backup SET envelope = {damaged}"))
    ran = keydeck("backups", "restore", str(ref), "--yes", "--json")
    (left,) = ran.json["not_restored"]
    assert (ran.exit_code, ran.json["restored"]) == (1, 0)
    assert left["reason"].startswith("The previous envelope does not open")
    assert values(services, ref) == present


def test_what_was_written_since_or_was_encrypted_in_place_is_left_and_named(
    keydeck: Keydeck, services: Container, world: World, platform: Engine, ref: TokenRef
) -> None:
    moved(keydeck, ref, to=world.current_key.arn)
    newer = TokenCipher(services.keyring).encrypt("gho_newer", world.current_key.arn).stored
    with platform.begin() as connection:
        statement = f"UPDATE gh_connection SET {ref.column} = :value WHERE id = :id"
        connection.execute(text(statement), {"value": newer, "id": ref.row_id})
    plain = next(r for r, t in world.tokens.items() if t.format is Format.PLAINTEXT)
    ran = keydeck("encrypt", str(plain), "--to", world.current_key.arn, "--job", "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, 1)
    present = values(services, ref, plain)
    left = keydeck("backups", "restore", str(ref), str(plain), "--yes", "--json")
    assert (left.exit_code, left.json["restored"], left.json["tokens"]) == (1, 0, 0)
    assert {one["reference"] for one in left.json["not_restored"]} == {str(ref), str(plain)}
    refused = keydeck("jobs", "restore", str(ran.json["job"]), "--yes")
    assert refused.exit_code != 0
    assert "plaintext is never kept" in refused.stderr
    assert keydeck("backups", "restore", "--yes").exit_code == 2
    assert values(services, ref, plain) == present
