"""The index answers without opening, is never taken for more than it is, and is of no use to a thief."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.endpoint.scenario import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.store import Replacement
from crypto_core.envelope import Format
from crypto_core.forensics.token_search.fingerprinter import CONTEXT, TokenNoting, open_key
from crypto_core.forensics.token_search.index import TokenIndex
from crypto_core.forensics.token_search.index_plan import IndexFilling
from crypto_core.forensics.token_search.leak_reader import read_leak
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.token_search.target_tokens import WantedToken, hashed_token
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import CheckState, IncidentScope
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import ReadOnlyError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing
from tests.platform_rows import put


@pytest.fixture
def indexing(services: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[Container]:
    """The services with the index switched on."""
    monkeypatch.setenv("KEYDECK_TOKEN_INDEX", "1")
    container = Container(load().settings)
    yield container
    container.close()


def search_of(container: Container) -> TokenSearch:
    return container.of(ForensicsServices).token_search


def index_of(container: Container) -> TokenIndex:
    return container.of(ForensicsServices).token_index


def wanted(*tokens: str) -> tuple[WantedToken, ...]:
    return read_leak(Secret.of("\n".join(tokens))).wanted


def fill(container: Container, limit: int | None = None) -> IndexFilling:
    plan = index_of(container).plan_build(limit)
    return index_of(container).build(plan, Consent.pressed(plan))


def of_github(world: World) -> list[TokenRef]:
    refs = world.sealed_under(world.current_key)
    return [ref for ref in refs if (ref.table, ref.column) == ("gh_connection", "access_token")]


def store_anew(container: Container, platform: Engine, ref: TokenRef, token: str) -> None:
    """Write a token as the platform does, past Keydeck."""
    put(platform, ref, TokenCipher(container.keyring).encrypt(token, ref=ref).stored)


def everything_kept(superuser: Engine) -> bytes:
    parts: list[bytes] = []
    with superuser.connect() as connection:
        for table in ("fingerprint", "fingerprint_key"):
            for row in connection.execute(text(f"SELECT * FROM keydeck.{table}")):
                parts += [bytes(v) if isinstance(v, memoryview) else str(v).encode() for v in row]
    return b"\x00".join(parts)


def test_a_filled_index_answers_with_one_decrypt_and_what_it_does_not_know_is_opened(
    indexing: Container, world: World, platform: Engine, sandbox: Sandbox
) -> None:
    first, second, third, *_ = of_github(world)
    assert fill(indexing, 3) == IndexFilling(3, 0, 0)
    filled = fill(indexing)
    status = index_of(indexing).status()
    assert status.covered == 3 + filled.noted
    assert status.envelopes - status.covered == filled.unopened > 0
    assert (status.why_off, status.entries, status.shared) == ("", status.covered, 0)
    assert fill(indexing).noted == 0
    digest = githubs_hash(world.token_for(first))
    for one in (wanted(world.token_for(first)), wanted(digest), (hashed_token(digest),)):
        result = search_of(indexing).find_rows(one)
        assert (result.references, result.by_index > 10) == ((first,), True)
    store_anew(indexing, platform, second, world.token_for(first))
    result = search_of(indexing).find_rows(wanted(world.token_for(first), world.token_for(second)))
    assert (result.rows, result.looked_at) == ({1: (first, second), 2: ()}, result.looked_at)
    assert result.by_index >= filled.noted - 10
    assert fill(indexing).forgotten == 1
    assert [one.references for one in index_of(indexing).shared_tokens(limit=10)] == [(first, second)]
    shared_with = indexing.inspector.inspect_token(second, ask_kms=False)
    assert (shared_with.shared_with, shared_with.as_json()["shared_with"]) == ((first,), [str(first)])
    assert index_of(indexing).sharing(third) == ()
    store_anew(indexing, platform, first, CANARY)
    assert index_of(indexing).sharing(first) is None
    assert index_of(indexing).sharing(second) == ()


def githubs_hash(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def test_whoever_steals_the_index_can_compare_no_token_with_it(
    indexing: Container, world: World, superuser: Engine, platform: Engine
) -> None:
    store_anew(indexing, platform, of_github(world)[0], CANARY)
    fill(indexing)
    stolen = everything_kept(superuser)
    with superuser.connect() as connection:
        edk, entries = connection.execute(
            text(
                "SELECT encrypted_key, (SELECT count(*) FROM keydeck.fingerprint)"
                " FROM keydeck.fingerprint_key"
            )
        ).one()
    assert entries > 50
    dictionary = [
        CANARY,
        *(world.token_for(ref) for ref in world.tokens if world.tokens[ref].format.protected),
    ]
    keys = (bytes(edk), b"", b"keydeck token", bytes(edk)[:32], hashlib.sha256(bytes(edk)).digest())
    for token in dictionary:
        sha256 = hashlib.sha256(token.encode()).digest()
        guesses = [token.encode(), sha256, base64.b64encode(sha256), sha256.hex().encode()]
        for key in keys:
            contents = (token.encode(), sha256, b"keydeck token" + sha256)
            guesses += [hmac.digest(key, content, "sha256") for content in contents]
        assert not any(guess in stolen for guess in guesses)
    plain = [world.token_for(ref) for ref in (*world.plaintext_refs, *world.dev_refs)]
    assert plain
    assert not any(hashlib.sha256(token.encode()).digest() in stolen for token in plain)
    kept = index_of(indexing).table.key()
    assert kept is not None
    with open_key(kept, indexing.keyring) as maker, Secret.of(CANARY) as token:
        assert maker.of_token(token) in stolen
    assert_tells_nothing(repr(kept))
    with pytest.raises(ValueError, match="wiped"):
        maker.of_hash(b"")


def test_the_key_opens_with_its_own_context_alone(indexing: Container, sandbox: Sandbox) -> None:
    fill(indexing, 1)
    kept = index_of(indexing).table.key()
    assert kept is not None
    kms = sandbox.client("kms")
    assert kms.decrypt(CiphertextBlob=kept.encrypted_key, EncryptionContext=CONTEXT)["Plaintext"]
    for context in ({}, {"keydeck:table": "gh_connection"}):
        with pytest.raises(kms.exceptions.InvalidCiphertextException):
            kms.decrypt(CiphertextBlob=kept.encrypted_key, EncryptionContext=context)


def test_what_keydeck_writes_stays_in_the_index(indexing: Container, world: World, sandbox: Sandbox) -> None:
    ref = next(
        r
        for r in world.sealed_under(world.old_key)
        if (r.table, r.column) == ("gh_connection", "access_token")
    )
    fill(indexing)
    before = index_of(indexing).status()
    for verb in (Verb.REWRAP, Verb.REENCRYPT):
        plan = indexing.tokens.work.plan_reencryption(verb, Selection((ref,)), world.current_key.arn)
        indexing.tokens.work.run_plan(plan, Consent.pressed(plan))
    status = index_of(indexing).status()
    assert (status.covered, status.entries) == (before.covered, before.entries + 2)
    result = search_of(indexing).find_rows(wanted(world.token_for(ref)))
    assert (result.references, result.by_index > 50) == ((ref,), True)
    token = "ghp_" + "E" * 36
    stored = indexing.store.read_token(ref)
    sealed = TokenCipher(indexing.keyring).encrypt(token, ref=ref)
    assert indexing.store.write_tokens(uuid4(), "enter token", [Replacement(stored, sealed.stored, None)])
    assert index_of(indexing).status().covered == before.covered - 1
    index_of(indexing).note_token(ref, indexing.store.read_token(ref).digest, Secret.of(token))
    assert index_of(indexing).status().covered == before.covered
    both = search_of(indexing).find_rows(wanted(token, world.token_for(ref)))
    assert (both.rows[1], both.rows[2]) == ((ref,), ())
    assert {one.ref for one in both.old[2]} == {ref}
    assert fill(indexing).forgotten == 0  # the envelopes that were replaced are kept


def test_an_entry_that_the_key_did_not_make_hides_no_row(
    indexing: Container, world: World, superuser: Engine, platform: Engine
) -> None:
    ref, other, *_ = of_github(world)
    fill(indexing)
    with superuser.begin() as connection:
        # The row's entry says what another one's says, and the other way round.
        swap = (
            "UPDATE keydeck.fingerprint f SET fingerprint = o.fingerprint, bond = o.bond FROM"
            " keydeck.fingerprint o WHERE f.token_column = o.token_column AND f.row_id = :a AND o.row_id = :b"
        )
        connection.execute(text(swap), {"a": ref.row_id, "b": other.row_id})
    result = search_of(indexing).find_rows(wanted(world.token_for(ref)))
    assert result.references == (ref,)
    assert any("not made under the index's key" in gap for gap in result.gaps)
    assert search_of(indexing).find_rows(wanted(world.token_for(other))).references == (other,)


@pytest.mark.deep
def test_a_key_that_kms_denies_is_told_and_all_is_opened(
    indexing: Container, world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = of_github(world)[0]
    fill(indexing)
    kept = index_of(indexing).table.key()
    assert kept is not None
    with superuser_key(indexing, b"\x00" * 32):
        result = search_of(indexing).find_rows(wanted(world.token_for(ref)))
        assert result.references == (ref,)
        assert any("The index of tokens was not used" in gap for gap in result.gaps)
        assert index_of(indexing).carrier() is None
    sandbox.control.add_denial(Denial(principal="*", action="kms:Decrypt", resource=world.current_key.arn))
    denied = search_of(indexing).find_rows(wanted(world.token_for(ref)))
    assert (denied.references, denied.certain) == ((), False)


class superuser_key:  # noqa: N801
    """The index's key is another one than KMS wrapped, for the block."""

    def __init__(self, container: Container, content: bytes) -> None:
        self._container, self._content = container, content

    def __enter__(self) -> None:
        kept = index_of(self._container).table.keep_key(b"", "")
        self._number = kept.number
        with connected(self._container.engine, write=True) as connection:
            connection.execute(
                text(
                    "INSERT INTO keydeck.fingerprint_key (encrypted_key, key_arn, made_at)"
                    " SELECT :content, key_arn, now() FROM keydeck.fingerprint_key"
                ),
                {"content": self._content},
            )

    def __exit__(self, *_: object) -> None:
        with connected(self._container.engine, write=True) as connection:
            connection.execute(
                text("DELETE FROM keydeck.fingerprint_key WHERE id > :number"), {"number": self._number}
            )


def test_off_nothing_is_kept_asked_or_filled_and_dropped_nothing_is_left(
    services: Container, indexing: Container, world: World, superuser: Engine
) -> None:
    with pytest.raises(RefusedError, match="token_index is off"):
        index_of(services).plan_build()
    ref = of_github(world)[0]
    fill(indexing)
    assert search_of(services).find_rows(wanted(world.token_for(ref))).by_index == 0
    assert index_of(services).sharing(ref) is None
    assert index_of(services).status().why_off
    reading = Container(load({"read_only": True}).settings)
    plan = index_of(indexing).plan_drop()
    with pytest.raises(ReadOnlyError):
        index_of(reading).drop(plan, Consent.pressed(plan))
    assert search_of(reading).find_rows(wanted(world.token_for(ref))).references == (ref,)
    reading.close()
    assert index_of(indexing).drop(plan, Consent.pressed(plan)) == plan.envelopes
    assert everything_kept(superuser) == b""
    assert search_of(indexing).find_rows(wanted(world.token_for(ref))).references == (ref,)
    with superuser.begin() as connection:
        connection.execute(text("DROP SCHEMA keydeck CASCADE"))
    assert search_of(indexing).find_rows(wanted(world.token_for(ref))).references == (ref,)


def test_members_of_secrets_columns_are_indexed_one_by_one(
    indexing: Container, world: World, platform: Engine
) -> None:
    sealed = TokenCipher(indexing.keyring)
    with platform.begin() as connection:
        number = connection.execute(
            text(
                "INSERT INTO mcp_servers (name, url, user_id, auth_type, org_id, secret_json, created_at)"
                " VALUES ('n', 'u', 'u', 'a', 'o', convert_to(json_build_object('a', :a, 'b#', :b)::text,"
                " 'UTF8'), now()) RETURNING id"
            ).bindparams(a=sealed.encrypt(CANARY).stored, b=sealed.encrypt(CANARY).stored)
        ).scalar_one()
    fill(indexing)
    result = search_of(indexing).find_rows(wanted(CANARY))
    assert [ref.member for ref in result.references] == ["a", "b#"]
    assert {ref.row_id for ref in result.references} == {str(number)}
    assert index_of(indexing).sharing(result.references[0]) == result.references[1:]
    assert all(token.format is not Format.EMPTY for token in indexing.store.read_many(result.references))


def test_the_platform_notes_what_it_seals_in_its_own_transaction(
    indexing: Container, world: World, platform: Engine, superuser: Engine
) -> None:
    assert TokenNoting.open(indexing.engine, indexing.keyring) is None
    fill(indexing, 1)
    noting = TokenNoting.open(indexing.engine, indexing.keyring)
    assert noting is not None
    ref = of_github(world)[0]
    sealed = TokenCipher(indexing.keyring).encrypt(CANARY, ref=ref)
    update = text("UPDATE gh_connection SET access_token = :stored WHERE id = :id")
    with platform.begin() as connection:
        # Without a right to it, the row is written all the same.
        assert not noting.note(connection, ref, sealed.stored, CANARY)
        connection.execute(update, {"stored": sealed.stored, "id": ref.row_id})
    with superuser.begin() as connection:
        connection.execute(text("GRANT USAGE ON SCHEMA keydeck TO platform"))
        connection.execute(text("GRANT SELECT, INSERT ON keydeck.fingerprint TO platform"))
    assert index_of(indexing).sharing(ref) is None
    with platform.begin() as connection:
        assert noting.note(connection, ref, sealed.stored, CANARY)
        assert not noting.note(connection, ref, CANARY, CANARY)
    assert index_of(indexing).sharing(ref) == ()
    assert search_of(indexing).find_rows(wanted(CANARY)).references == (ref,)
    noting.close()


def test_a_scope_that_leaves_out_a_row_with_the_same_token_is_not_known_to_be_whole(
    indexing: Container, services: Container, world: World, platform: Engine
) -> None:
    first, second, *_ = of_github(world)
    store_anew(indexing, platform, second, world.token_for(first))
    scope = IncidentScope(references=(str(first),))
    number = services.incident_response.incidents.declare("token-compromise", scope)
    before = services.incident_response.incidents.look_at_check(number, "scope")
    assert before.state is CheckState.PASSED
    assert any(
        line.startswith("Not known: whether other rows hold the same tokens.") for line in before.lines
    )
    fill(indexing)
    left_out = indexing.incident_response.incidents.look_at_check(number, "scope")
    assert left_out.state is CheckState.FAILED
    assert left_out.lines[0].startswith("1 row outside the scope hold")
    assert str(second) in left_out.lines[1]
    both = IncidentScope(references=(str(first), str(second)))
    incidents = indexing.incident_response.incidents
    whole = incidents.look_at_check(incidents.declare("token-compromise", both), "scope")
    assert whole.state is CheckState.PASSED
    # What does not open is in no index.
    assert whole.lines[-1].startswith("Not known to the index: 0 tokens in scope and ")
