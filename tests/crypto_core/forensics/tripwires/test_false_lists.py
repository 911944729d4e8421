"""A list of tripwires that says of real tokens that they are decoys hides none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.tokens.decoys import Decoy, DecoyToken
from crypto_core.database.tokens.store import digest
from crypto_core.database.tokens.tripwire_list import LIST, Tripwire, TripwireDocument
from crypto_core.envelope import Format
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.guard.consent import Consent
from crypto_core.guard.operations import KeydeckRole
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.adversary.ground import role_of
from tests.crypto_core.forensics.tripwires.conftest import added, opened_under

SHA = hashlib.sha256(b"not the token").digest()


def naming(services: Container, refs: Sequence[TokenRef], key_arn: str) -> TripwireDocument:
    """A list that calls the rows of tokens decoys."""
    decoys = []
    for row_id in dict.fromkeys(ref.row_id for ref in refs):
        rows = services.store.read_many(TokenRef("gh_connection", c, row_id) for c in COLUMNS)
        tokens = tuple(DecoyToken(t.ref.column, digest(t.value.reveal()), SHA) for t in rows)
        decoys.append(Decoy(1, "gh_connection", row_id, key_arn, Format.V1, tokens, COLUMNS))
    one = Tripwire(1, datetime.now(UTC), "gh_connection", Format.V1, key_arn, tuple(decoys))
    return TripwireDocument().with_one(one)


COLUMNS = ("access_token", "refresh_token")


def under_old_key(world: World) -> list[TokenRef]:
    return [ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection"]


def hides(services: Container) -> bool:
    """Whether the list leaves anything out."""
    return bool(services.tripwire_list.decoys(anew=True).rows)


def test_rows_that_are_listed_and_open_as_other_tokens_are_counted_before_harm(
    services: Container, world: World
) -> None:
    key = world.old_key.arn
    truth = services.status.prove(about=key, everywhere=False).tokens_under(key)
    document = naming(services, under_old_key(world), key)
    services.tripwire_list.write(document, services.journal, "ana", {})
    services.catalogue.refresh()
    assert hides(services)
    proof = services.status.prove(about=key, everywhere=False)
    assert proof.tokens_under(key) == truth > 0
    assert "Rows listed as decoys count as tokens: gh_connection." in " ".join(proof.remarks)


@pytest.mark.deep
def test_true_decoys_under_the_key_stay_left_out_and_those_under_others_are_not_opened(
    services: Container, world: World, tripwires: Tripwires, sandbox: Sandbox
) -> None:
    key = world.old_key.arn
    truth = services.status.prove(about=key, everywhere=False).tokens_under(key)
    state = added(tripwires, count=2).state
    assert state is not None
    proof = services.status.prove(about=key, everywhere=False)
    assert (proof.tokens_under(key), proof.census.decoys.tokens > 0) == (truth, True)
    assert opened_under(sandbox, state.key_arn) == []
    assert services.status.prove(about=state.key_arn, everywhere=False).tokens_under(state.key_arn) == 0


@pytest.mark.parametrize("how", ["v1", "under another key", "by hand", "an older entry"])
def test_a_list_that_keydeck_did_not_seal_under_the_present_key_leaves_nothing_out(
    services: Container, world: World, superuser: Engine, how: str
) -> None:
    document = naming(services, under_old_key(world), world.old_key.arn)
    services.tripwire_list.write(document, services.journal, "ana", {})
    assert hides(services)
    key = world.old_key.arn if how == "under another key" else world.current_key.arn
    written = Format.V1 if how == "v1" else Format.V2
    cipher = TokenCipher(services.keyring.trusting(key), write_format=written)
    stored = cipher.encrypt(Secret.of(document.as_text()), key, ref=LIST).stored
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE keydeck.tripwire SET document = :stored"), {"stored": stored})
        if how != "by hand":
            entry = "checked = NULL" if how == "an older entry" else "checked = true"
            noted = (
                "jsonb_build_object('list', encode(sha256(convert_to(:stored, 'UTF8')), 'hex'), 'version', 1)"
            )
            statement = (
                f"UPDATE keydeck.journal SET {entry}, detail = ({noted})::text WHERE action = 'tripwire list'"
            )
            connection.execute(text(statement), {"stored": stored})
    assert not hides(services)
    assert "can't be read" in services.tripwire_list.decoys(anew=True).unreadable


def test_a_list_from_before_entries_were_checked_counts_once_it_is_sealed_anew(
    services: Container, superuser: Engine, tripwires: Tripwires
) -> None:
    added(tripwires)
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE keydeck.journal SET checked = NULL WHERE action = 'tripwire list'"))
    assert "keydeck tripwire reseal" in services.tripwire_list.decoys(anew=True).unreadable
    plan = tripwires.plan_reseal()
    tripwires.reseal(plan, Consent.by_option(plan))
    assert services.tripwire_list.decoys(anew=True).rows


def test_an_operators_login_writes_no_list_past_its_function(services: Container, superuser: Engine) -> None:
    with role_of(KeydeckRole.OPERATOR, services, superuser) as login:
        for statement in (
            "INSERT INTO keydeck.tripwire VALUES (1, 1, 'djF8', 1)",
            "SELECT keydeck.write_tripwire_list('a', 'h', 's', 1, 'djF8', '{}')",
        ):
            with pytest.raises(DBAPIError), login.begin() as connection:
                connection.exec_driver_sql(statement)
