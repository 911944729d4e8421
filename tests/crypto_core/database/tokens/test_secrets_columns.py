"""Secrets columns: each member of a document is a token, and nothing else of the document is touched."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core import decrypt_token, encrypt_token
from crypto_core.database.tokens.census import take_census
from crypto_core.database.tokens.json_documents import find_member
from crypto_core.database.tokens.store import Replacement, StoredToken, TokenScope
from crypto_core.envelope import Format
from crypto_core.lists.paging import Query
from crypto_core.values.references import TokenRef, parse_reference

NAMES = ("plain", 'quo"te', "back\\slash", "#hash", "ünïcode", "emoji 🔑", "", "a.b", "%23", "long" * 200)


def add(platform: Engine, document: bytes | None, table: str = "connectors") -> str:
    """Add a row as the platform does; returns its id."""
    others = {
        "connectors": "user_id, provider, name",
        "mcp_servers": "name, url, user_id, auth_type, org_id",
    }[table]
    values = ", ".join("'x'" for _ in others.split(","))
    with platform.begin() as connection:
        added = connection.execute(
            text(
                f"INSERT INTO {table} ({others}, secret_json, created_at) VALUES ({values}, :d, now()) "
                "RETURNING id"
            ),
            {"d": document},
        )
        return str(added.scalar_one())


def document_of(platform: Engine, row_id: str, table: str = "connectors") -> bytes:
    with platform.connect() as connection:
        found = connection.scalar(
            text(f"SELECT secret_json FROM {table} WHERE id = :id"), {"id": int(row_id)}
        )
        return bytes(found)


def sealed(*names: str) -> bytes:
    """A document as the platform writes it."""
    return json.dumps({name: encrypt_token(f"gho_{name}") for name in names}).encode()


def census_of(services: Container, column: str = "connectors.secret_json") -> dict[str, int]:
    groups = take_census(services.engine, services.catalogue, services.answers).groups
    found: dict[str, int] = {}
    for group in groups:
        if group.column == column:
            found[group.format.value] = found.get(group.format.value, 0) + group.tokens
    return found


def test_each_member_of_each_document_is_a_token(services: Container, platform: Engine) -> None:
    assert census_of(services) == {}
    row = add(platform, sealed(*NAMES))
    add(platform, sealed("token"), "mcp_servers")
    add(platform, None)
    add(platform, b"{}")
    assert census_of(services) == {"v1": len(NAMES)}
    assert census_of(services, "mcp_servers.secret_json") == {"v1": 1}
    whole = services.store.read_many([TokenRef("connectors", "secret_json", row)])
    assert {t.ref.member for t in whole} == set(NAMES)
    for token in whole:
        assert services.store.read_token(token.ref).digest == token.digest
        parsed = parse_reference(str(token.ref))
        if len(str(token.ref)) < 200:
            assert parsed == token.ref
        assert decrypt_token(token.value.reveal()) == f"gho_{token.ref.member}"


ODD = {
    b"": "empty",
    b"ghp_0123456789abcdefghijABCDEFGHIJ012345": "plaintext",
    b"\xff\xfe\x00{": "unrecognised",
    b"[1, 2]": "unrecognised",
    b'{"a": "\\ud800"}': "unrecognised",
    b'{"a": "\\u0000"}': "unrecognised",
    b'{"a": "xoxb-1"': "unrecognised",
    b'{"a": {"b": "djF8"}}': "unrecognised",
    b'{"a": ["djF8"]}': "unrecognised",
    b'{"a": "ZGV2fGFiYw=="}': "dev",
    b'{"a": "\\u0067hp_x"}': "plaintext",
    '{"ä": "ghp_ü"}'.encode(): "plaintext",
    b'{"a": "x", "a": "y"}': "unrecognised",
}


@pytest.mark.parametrize("tests_json", [True, False])
def test_nothing_in_the_column_is_overlooked_and_no_bytes_fail_it(
    services: Container, platform: Engine, tests_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tests_json:
        monkeypatch.setattr("crypto_core.database.tokens.catalogue.JSON_TESTS", 10**9)
    for document in ODD:
        add(platform, document)
    add(platform, b"null")
    add(platform, b'{"expires_in": 3600, "active": true, "none": null, "token": "xoxb-2"}')
    expected: dict[str, int] = {}
    for format_ in (*ODD.values(), "unrecognised", "plaintext"):
        expected[format_] = expected.get(format_, 0) + 1
    assert census_of(services) == expected
    # What can't be tested for is one token, as a whole: nothing is known of it.
    query = Query("table:connectors", "reference", descending=False)
    assert services.inventory.count(query) == sum(expected.values())


def replace_all(services: Container, tokens: list[StoredToken]) -> frozenset[TokenRef]:
    new = [Replacement(t, encrypt_token(f"new {t.ref.member}"), None) for t in tokens]
    return services.store.write_tokens(uuid4(), "reencrypt", new)


def test_a_write_leaves_every_other_byte_as_it_was(services: Container, platform: Engine) -> None:
    secret = encrypt_token("gho_one")
    before = (
        f'  {{ "first" :\t"{secret}",\n "n": 1.50, "ünï": "{encrypt_token("u")}", "deep": {{"x": []}} }} '
    )
    row = add(platform, before.encode())
    token = services.store.read_token(TokenRef("connectors", "secret_json", row, "first"))
    assert replace_all(services, [token]) == {token.ref}
    after = document_of(platform, row).decode()
    now = services.store.read_token(token.ref).value.reveal()
    assert now != secret
    assert after == before.replace(secret, now)
    # Compared and swapped: who comes too late writes nothing.
    assert replace_all(services, [token]) == frozenset()
    assert document_of(platform, row).decode() == after


def test_all_members_of_a_row_are_swapped_at_once_and_kept(
    services: Container, platform: Engine, superuser: Engine
) -> None:
    row = add(platform, sealed(*NAMES))
    tokens = services.store.read_many([TokenRef("connectors", "secret_json", row)])
    assert replace_all(services, tokens) == {t.ref for t in tokens}
    now = services.store.read_many([TokenRef("connectors", "secret_json", row)])
    opened = {t.ref.member: decrypt_token(t.value.reveal()) for t in now}
    assert opened == {name: f"new {name}" for name in NAMES}
    with superuser.connect() as connection:
        kept = connection.execute(
            text("SELECT row_id, envelope FROM keydeck.envelope_backup WHERE token_column = :c"),
            {"c": "connectors.secret_json"},
        )
        assert {(r, e) for r, e in kept} == {(t.ref.identity, t.value.reveal()) for t in tokens}


def test_a_member_that_occurs_twice_is_left_as_it_is(services: Container, platform: Engine) -> None:
    one, two = encrypt_token("1"), encrypt_token("2")
    row = add(platform, f'{{"a": "{one}", "a": "{two}"}}'.encode())
    tokens = services.store.read_many([TokenRef("connectors", "secret_json", row)])
    assert len(tokens) == 2
    assert replace_all(services, tokens[:1]) == frozenset()


@pytest.mark.deep
def test_pages_meet_each_member_once_in_any_order(services: Container, platform: Engine) -> None:
    rows = [add(platform, sealed(*NAMES[: 1 + n % 4])) for n in range(12)]
    want = {
        TokenRef("connectors", "secret_json", row, name)
        for n, row in enumerate(rows)
        for name in NAMES[: 1 + n % 4]
    }
    scope = TokenScope(frozenset({Format.V1}))
    for size in (1, 3, 1000):
        found = [t.ref for page in services.store.pages(scope, size=size) for t in page]
        members = [ref for ref in found if ref.table == "connectors"]
        assert len(members) == len(want)
        assert set(members) == want
    listed = [r for page in services.inventory.references("table:connectors") for r in page]
    assert sorted(listed) == sorted(want)
    for sort in ("", "reference", "org", "key", "created", "characters"):
        for descending in (False, True):
            query = Query("table:connectors", sort, descending=descending)
            seen: list[TokenRef] = []
            page = services.inventory.page(query, limit=5)
            while True:
                seen += [row.ref for row in page.rows]
                if not page.below or page.last is None:
                    break
                page = services.inventory.page(query, page.last, limit=5)
            assert len(seen) == len(want), (sort, descending)
            assert set(seen) == want
            back = services.inventory.page(query, page.last, backwards=True, inclusive=True, limit=100)
            assert [row.ref for row in back.rows] == seen


def test_a_filter_finds_a_member_or_all_of_a_row(services: Container, platform: Engine) -> None:
    row = add(platform, sealed("token", "other"))

    def refs(filter_: str) -> list[str]:
        return sorted(str(r) for page in services.inventory.references(filter_) for r in page)

    both = [f"connectors.secret_json:{row}#other", f"connectors.secret_json:{row}#token"]
    assert refs(f"reference:connectors.secret_json:{row}") == both
    assert refs(f"reference:connectors.secret_json:{row}#token") == both[1:]
    assert refs(f"id:{row}#other") == both[:1]
    assert refs("reference:*#oth*") == both[:1]


def test_documents_in_other_types_are_read_and_written_too(services: Container, platform: Engine) -> None:
    for type_name in ("text", "varchar", "json", "jsonb"):
        with platform.begin() as connection:
            expression = f"convert_from(secret_json, 'UTF8')::{type_name}"
            if type_name != "text":
                expression = f"secret_json::text::{type_name}"
            connection.execute(
                text(f"ALTER TABLE connectors ALTER secret_json TYPE {type_name} USING {expression}")
            )
            added: Any = connection.execute(
                text(
                    "INSERT INTO connectors (user_id, provider, name, secret_json, created_at) "
                    f"VALUES ('u', 'p', 'n', CAST(:d AS {type_name}), now()) RETURNING id"
                ),
                {"d": sealed("a", "b").decode()},
            )
            row = str(added.scalar_one())
        services.catalogue.refresh()
        tokens = services.store.read_many([TokenRef("connectors", "secret_json", row)])
        assert [t.ref.member for t in tokens] == ["a", "b"]
        assert replace_all(services, tokens) == {t.ref for t in tokens}, type_name


def test_a_member_is_found_as_python_and_postgresql_read_it() -> None:
    document = '{"a": "x", "b\\u0022": "\\u00e4", "c": {"d": [1, "}"]}, "n": null}'
    found = {name: find_member(document, name) for name in ("a", 'b"', "c", "n", "")}
    assert {name: one and one.value for name, one in found.items()} == {
        "a": "x",
        'b"': "ä",
        "c": '{"d": [1, "}"]}',
        "n": None,
        "": None,
    }
    for odd in ("", "{", "[]", '{"a"}', '{"a": }', '{"a": "x",}', '{"a": "x"} {', "{" * 100_000, '{"a": NaN'):
        whole = find_member(odd, "")
        assert whole is not None
        assert whole.value == odd
        assert find_member(odd, "a") is None
