"""A leaked token's rows are found by opening what is stored; what did not open is never passed over."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from datetime import UTC, datetime
from threading import Event
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.corruption import Corruption
from console.sandbox.endpoint.scenario import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.tokens.store import Replacement
from crypto_core.envelope import ENVELOPE_FORMATS, Format, seal, serialise
from crypto_core.forensics.token_search.leak_reader import read_leak
from crypto_core.forensics.token_search.result import TokenSearchResult
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.token_search.target_tokens import MOST_BLANKS, WantedToken, hashed_token
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress
from crypto_core.values.errors import InterruptedRunError, InvalidTokenError, KmsError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing
from tests.platform_rows import connect_github

TABLES = (
    *("gh_connection", "jira_connection", "slack_connection", "confluence_connection"),
    *("connectors", "mcp_servers"),
)
GITHUB = ("gh_connection", "connectors", "mcp_servers")
"""Tables whose tokens may be GitHub's."""


def search_of(container: Container) -> TokenSearch:
    return container.of(ForensicsServices).token_search


def wanted(*tokens: str) -> tuple[WantedToken, ...]:
    return read_leak(Secret.of("\n".join(tokens))).wanted


def seal_into(container: Container, platform: Engine, row_id: str, token: str) -> TokenRef:
    """Make a GitHub connection that holds a token."""
    ref = TokenRef("gh_connection", "access_token", row_id)
    return connect_github(platform, row_id, TokenCipher(container.keyring).encrypt(token, ref=ref).stored)


def githubs_hash(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def github(world: World, number: int = 0) -> TokenRef:
    refs = world.sealed_under(world.current_key)
    return [r for r in refs if (r.table, r.column) == ("gh_connection", "access_token")][number]


WHOLE = {Corruption.FLIPPED_BIT, Corruption.SWAPPED_DATA_KEY}
"""Damage that leaves an envelope readable, so that its token's length is known."""


def unopened_in(world: World, *tables: str, length: int) -> int:
    """How many generated tokens of some tables may be of a length and can't be opened, or be recognised."""
    return sum(
        token.corruption is not None or token.format is Format.UNRECOGNISED
        for token in world.tokens.values()
        if token.ref.table in tables
        and token.format is not Format.EMPTY
        and (token.corruption not in WHOLE or may_be(world, token.ref, length))
    )


def may_be(world: World, ref: TokenRef, length: int) -> bool:
    return length <= len(world.token_for(ref)) <= length + MOST_BLANKS


def told(result: TokenSearchResult) -> str:
    return "\n".join((*result.lines, result.summary, repr(result), json.dumps(result.as_json())))


def test_all_rows_that_hold_a_token_are_found_and_no_other(
    services: Container, world: World, platform: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    held = [seal_into(services, platform, f"leak-{n}", CANARY) for n in range(2)]
    seal_into(services, platform, "longer", f"{CANARY}0")
    seal_into(services, platform, "shorter", CANARY[:-1])
    held.append(seal_into(services, platform, "with-blanks", f"\t{CANARY} \r\n"))
    connect_github(platform, "plain", f"{CANARY}\n")
    held.append(TokenRef("gh_connection", "access_token", "plain"))
    document = {"a": TokenCipher(services.keyring).encrypt(CANARY).stored, "b": "x"}
    with platform.begin() as connection:
        member = connection.execute(
            text(
                "INSERT INTO mcp_servers (name, url, user_id, auth_type, org_id, secret_json, created_at)"
                " VALUES ('n', 'u', 'u', 'a', 'o', :d, now()) RETURNING id"
            ),
            {"d": json.dumps(document).encode()},
        ).scalar_one()
    held.append(TokenRef("mcp_servers", "secret_json", str(member), "a"))
    progress: list[RunProgress] = []
    (one,) = found = wanted(f"\x1b[200~  {CANARY}\r\x1b[201~")
    assert (one.number, one.issuer) == (1, "github")
    result = search_of(services).find_rows(found, progress=progress.append)
    assert result.references == tuple(sorted(held))
    assert result.rows == {1: result.references}
    assert not result.missing
    assert {column.split(".")[0] for column in result.searched} == set(GITHUB)
    assert all(column.split(".")[0] not in GITHUB for column in result.left_out)
    assert "slack_connection.bot_token" in result.left_out
    # "x" is no envelope and no token: it is one more that may have been one.
    assert result.unopened == unopened_in(world, "gh_connection", length=len(CANARY)) + 1
    assert progress[-1].total == progress[-1].done + progress[-1].poisoned
    assert progress[-1].done == result.looked_at > len(held)
    assert f"held by {len(held)} rows" in result.lines[0]
    assert_tells_nothing(told(result))
    assert CANARY not in caplog.text


def test_plaintext_and_dev_tokens_are_compared_too(services: Container, world: World) -> None:
    dev = next(r for r in world.dev_refs if world.tokens[r].corruption is None)
    plain = next(r for r in world.plaintext_refs if r.table == "slack_connection")
    result = search_of(services).find_rows(wanted(world.token_for(dev), "", world.token_for(plain)))
    assert dev in result.rows[1]
    assert plain in result.rows[2]


def test_a_token_in_a_row_of_another_provider_is_found_where_no_likely_row_has_it(
    services: Container, world: World, platform: Engine
) -> None:
    astray = next(r for r in world.sealed_under(world.current_key) if r.table == "jira_connection")
    with platform.begin() as connection:
        connection.execute(
            text(f"UPDATE jira_connection SET {astray.column} = :stored WHERE id = :id"),
            {"stored": TokenCipher(services.keyring).encrypt(CANARY).stored, "id": astray.row_id},
        )
    result = search_of(services).find_rows(wanted(CANARY))
    assert (result.references, result.left_out) == ((astray,), ())
    ours = seal_into(services, platform, "likely", CANARY)
    assert search_of(services).find_rows(wanted(CANARY)).references == (ours,)
    everywhere = search_of(services).find_rows(wanted(CANARY), everywhere=True)
    assert (everywhere.references, everywhere.left_out) == ((ours, astray), ())


def test_what_is_found_nowhere_is_named_by_its_line_and_never_claimed_while_a_row_did_not_open(
    services: Container, world: World, platform: Engine
) -> None:
    held = github(world)
    result = search_of(services).find_rows(wanted("", world.token_for(held), "", CANARY))
    assert (held in result.rows[1], result.rows[2], result.missing) == (True, (), (2,))
    lengths = (len(CANARY), len(world.token_for(held)))
    either = [unopened_in(world, *TABLES, length=length) for length in lengths]
    assert result.unopened == sum(either) - unopened_in(world, *TABLES, length=0)
    assert any(
        line.startswith(
            "Line 4 (github ghp, 26 characters): held by no row that could be looked at. That is no"
        )
        for line in result.lines
    )
    assert f"{result.unopened:,} stored tokens could not be opened: it may be one of these." in result.lines
    assert all(one.reason for one in result.examples)
    assert_tells_nothing(told(result))
    with platform.begin() as connection:
        for ref in world.tokens:
            token = world.tokens[ref]
            if token.corruption is not None or token.format is Format.UNRECOGNISED:
                connection.execute(
                    text(f"UPDATE {ref.table} SET {ref.column} = '' WHERE id::text = :id"), {"id": ref.row_id}
                )
    proved = search_of(services).find_rows(wanted(CANARY))
    assert (proved.unopened, proved.gaps, proved.lines[0]) == (0, (), "The token: held by no row.")


def test_a_key_that_kms_denies_leaves_no_token_unfound(
    services: Container, world: World, sandbox: Sandbox
) -> None:
    under_old = next(
        r
        for r in world.sealed_under(world.old_key)
        if (r.table, r.column) == ("gh_connection", "access_token")
    )
    token = world.token_for(under_old)
    assert under_old in search_of(services).find_rows(wanted(token)).references
    sandbox.control.add_denial(Denial(principal="*", action="kms:Decrypt", resource=world.old_key.arn))
    result = search_of(services).find_rows(wanted(token))
    assert result.missing == (1,)
    assert not result.whole
    denied = [ref for ref in world.sealed_under(world.old_key) if may_be(world, ref, len(token))]
    assert result.unopened == len(denied) + unopened_in(world, *TABLES, length=len(token))
    assert "That is no proof" in result.lines[0]


def test_a_key_that_is_not_trusted_counts_as_not_opened(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_old = world.sealed_under(world.old_key)[0]
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    container = Container(load().settings)
    result = search_of(container).find_rows(wanted(world.token_for(under_old)))
    container.close()
    assert under_old not in result.references
    under = [
        r for r in world.sealed_under(world.old_key) if may_be(world, r, len(world.token_for(under_old)))
    ]
    assert result.unopened >= len(under) > 0


def test_what_cannot_be_seen_is_told(services: Container, superuser: Engine, world: World) -> None:
    with superuser.begin() as connection:
        connection.execute(text("REVOKE SELECT ON slack_connection FROM PUBLIC, operator"))
    container = Container(load().settings)
    result = search_of(container).find_rows(wanted("xoxb-" + "9" * 30))
    container.close()
    assert any("slack_connection.bot_token can't be read" in gap for gap in result.gaps)
    assert result.lines[0].endswith("That is no proof: see below.")
    assert not result.whole


def test_githubs_hash_of_a_token_finds_its_rows(services: Container, world: World) -> None:
    ref = github(world)
    digest = githubs_hash(world.token_for(ref))
    for written in (digest, f' hashed_token:"{digest}" '):
        result = search_of(services).find_rows([hashed_token(written)])
        assert ref in result.references
        assert "slack_connection.bot_token" in result.left_out
    other = githubs_hash("ghp_other")
    assert search_of(services).find_rows([hashed_token(other)]).missing == (1,)
    for hostile in ("", "[/red]\x1b[2J", digest[:-4], digest + "AAAA", "é" * 44, "A" * 10_000_000, CANARY):
        with pytest.raises(InvalidTokenError, match="no hashed_token") as refused:
            hashed_token(hostile)
        assert_tells_nothing(refused.value.message + (refused.value.remedy or ""))


def test_a_bare_line_like_a_hash_finds_the_rows_of_the_token_and_of_the_hash(
    services: Container, world: World, platform: Engine
) -> None:
    ref, opaque = github(world), githubs_hash("a secret key")
    connect_github(platform, "opaque", opaque)
    found = search_of(services).find_rows(wanted(opaque, githubs_hash(world.token_for(ref))))
    of_token, of_hash = found.rows.values()
    assert (of_token, ref in of_hash) == ((TokenRef("gh_connection", "access_token", "opaque"),), True)


@pytest.mark.parametrize(
    "line",
    [
        f"{CANARY} {CANARY}",
        f"{CANARY}\x1b[31m",
        f"{CANARY}é",
        f"{CANARY}\u202e",
        "djF8" + "A" * 40,
        CANARY * 9_000,
    ],
    ids=["two", "escape", "letters", "direction", "sealed", "long"],
)
def test_a_line_that_is_no_token_is_taken_for_none(line: str) -> None:
    first, *others = wanted("ghp_" + "a" * 36, "", line)
    assert (first.lines, {one.lines for one in others} <= {(3,)}) == ((1,), True)
    assert Secret.of(line) not in [one.token for one in others]


def test_a_search_can_be_cancelled_and_a_kms_that_is_gone_is_no_answer(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        search_of(services).find_rows(wanted(CANARY), cancelled=cancelled)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    container = Container(load().settings)
    with pytest.raises(KmsError):
        search_of(container).find_rows(wanted(world.token_for(github(world))))
    container.close()


def test_an_envelope_of_another_length_is_not_opened_in_any_format(
    services: Container, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_BINDING", "db")
    bound = Container(load().settings)
    token = "ghp_" + "L" * 997
    ref = seal_into(services, platform, "long", token)
    before = search_of(services).find_rows(wanted(token))
    assert (before.references, before.missing) == ((ref,), ())
    unsealed = before.looked_at - 1
    for format_ in ENVELOPE_FORMATS:
        one = TokenRef("gh_connection", "access_token", f"as-{format_}")
        keyring = (bound if format_.binds_database else services).keyring
        cipher = TokenCipher(keyring, write_format=format_)
        for length in (len(token) - 1, len(token) + MOST_BLANKS + 1):
            stored = cipher.encrypt("ghp_".ljust(length, "x"), ref=one).stored
            connect_github(platform, f"{one.row_id}-{length}", stored)
        connect_github(platform, one.row_id, cipher.encrypt(f"{token} \r\n", ref=one).stored)
    bound.close()
    after = search_of(services).find_rows(wanted(token))
    assert (after.looked_at, after.unopened - before.unopened) == (unsealed + 3, 1)  # bound elsewhere
    assert [ref.row_id for ref in after.references] == ["as-v1", "as-v2", "long"]
    assert after.other_length == before.other_length + 6
    assert any("has another length, by its ciphertext" in line for line in after.lines)
    everything = search_of(services).find_rows(wanted(token), everywhere=True)
    assert (everything.references, everything.other_length) == (after.references, 0)


def test_replaced_envelopes_are_told_as_what_a_row_held_earlier(
    services: Container, platform: Engine, world: World
) -> None:
    ref = seal_into(services, platform, "gh#1%", CANARY)
    found = services.store.read_token(ref)
    sealed = TokenCipher(services.keyring)
    for stored in (CANARY, "ghp_" + "n" * 22):
        anew = Replacement(services.store.read_token(ref), sealed.encrypt(stored, ref=ref).stored, None)
        assert services.store.write_tokens(uuid4(), "reencrypt", [anew]) == {ref}
        result = search_of(services).find_rows(wanted(CANARY))
        if stored == CANARY:
            assert (result.references, result.old) == ((ref,), {})
    (now, *_) = result.old[1]
    assert (result.references, {one.ref for one in result.old[1]}) == ((), {ref})
    assert abs((now.replaced_at - datetime.now(UTC)).total_seconds()) < 600
    assert any(f"held earlier by {ref} until " in line for line in result.lines)
    assert found.ref == ref
    assert_tells_nothing(told(result))
    (unknown,) = (
        services.of(ForensicsServices)
        .token_search.find_rows([hashed_token(githubs_hash(CANARY))])
        .old.values()
    )
    assert {one.ref for one in unknown} == {ref}


def test_replaced_envelopes_that_cannot_be_read_leave_the_answer_open(
    services: Container, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("REVOKE SELECT ON keydeck.envelope_backup FROM PUBLIC, operator"))
    result = search_of(services).find_rows(wanted(CANARY))
    assert any("Envelopes that Keydeck replaced can't be read" in gap for gap in result.gaps)
    assert not result.certain
    with superuser.begin() as connection:
        connection.execute(text("DROP SCHEMA keydeck CASCADE"))
    result = search_of(services).find_rows(wanted(CANARY))
    assert not any("Keydeck replaced" in gap for gap in result.gaps)


@pytest.mark.deep
def test_among_thousands_of_tokens_those_of_a_file_are_found(
    services: Container, world: World, platform: Engine, sandbox: Sandbox
) -> None:
    number = 4_000
    made = sandbox.client("kms").generate_data_key(KeyId=world.current_key.arn, KeySpec="AES_256")
    blob = made["CiphertextBlob"]
    with platform.begin() as connection:
        for n in range(number):
            with DataKey(made["Plaintext"]) as key:
                stored = serialise(seal(Secret.of(f"ghp_{n:036}"), key, blob))
            connection.execute(
                text(
                    "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes,"
                    " created_at) VALUES (:id, 'org', 'user', :stored, 'oauth', '[]', now())"
                ),
                {"id": f"many-{n}", "stored": stored},
            )
    asked = range(0, number, 40)
    result = search_of(services).find_rows(wanted(*(f"ghp_{n:036}" for n in asked), CANARY))
    expected = {line: (f"many-{n}",) for line, n in enumerate(asked, 1)}
    assert {n: tuple(r.row_id for r in refs) for n, refs in result.rows.items() if refs} == expected
    assert result.missing == (len(asked) + 1,)
    assert result.looked_at >= number
