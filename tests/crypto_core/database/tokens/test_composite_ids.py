"""Rows whose id has several columns: one text names each, and the primary key's index finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from console.container import Container
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.store import TokenScope
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.token_source import token_source
from crypto_core.envelope import Format
from crypto_core.lists.paging import Query
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.references import TokenRef, composite_id, parse_reference
from tests.crypto_core.statements import execute

UIDS = [f"0b7f4c1e-1111-4222-8333-4444abcd9f{n:02x}" for n in range(3)]
TENANTS = ["acme", "a/b", "a%2Fb", "#hash", "a:b, \"c\" 'd' \\e", "Ünï", ""]
SETTINGS = """
[[tables]]
name = "vault"
id = ["tenant", "uid", "number", "code"]
token_columns = ["token", "secrets"]
documents = ["secrets"]
provider = "github"
"""
IDS = [
    composite_id((tenant, uid, str(number), "c"))
    for tenant in TENANTS
    for uid in UIDS
    for number in ((-1, 5) if tenant == "acme" else (7,))
]


@pytest.fixture
def vault(with_tables: Callable[[str], Container], services: Container, platform: Engine) -> Container:
    execute(
        platform,
        """CREATE TABLE vault (tenant varchar, uid uuid, number smallint, code char(3), token text,
           secrets json, PRIMARY KEY (tenant, uid, number, code))""",
    )
    insert = text("INSERT INTO vault VALUES (:tenant, :uid, :number, 'c', :token, CAST(:secrets AS json))")
    with platform.begin() as connection:
        for tenant in TENANTS:
            for uid in UIDS:
                for number in (-1, 5) if tenant == "acme" else (7,):
                    secrets = '{"a#1": "xoxb-1-2-abc", "": "xoxb-1-2-abc"}' if number == 7 else None
                    row: dict[str, Any] = {"tenant": tenant, "uid": UUID(uid), "number": number}
                    connection.execute(insert, row | {"token": "ghp_1", "secrets": secrets})
    return with_tables(SETTINGS)


def test_each_row_is_met_once_in_the_order_of_its_columns(vault: Container, platform: Engine) -> None:
    with platform.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT tenant, uid::text, number::text, code FROM vault ORDER BY 1, vault.uid, vault.number"
            )
        )
        ordered = [TokenRef("vault", "token", composite_id(c.strip() for c in row)) for row in rows]
    assert {ref.row_id for ref in ordered} == set(IDS)
    secrets = {TokenRef("vault", "secrets", i, name) for i in IDS if "/7/" in i for name in ("a#1", "")}
    for refs in (ordered, secrets):
        for ref in refs:
            shown = parse_reference(str(ref))
            assert vault.catalogue().references(shown) == (ref,)
    scope = TokenScope(frozenset({Format.PLAINTEXT}))
    for size in (1, 4, 1_000):
        pages = vault.store.pages(scope, of=TokenColumn("vault", "token"), size=size)
        assert [t.ref for page in pages for t in page] == ordered
        pages = vault.store.pages(scope, of=TokenColumn("vault", "secrets"), size=size)
        found = [t.ref for page in pages for t in page]
        assert (len(found), set(found)) == (len(secrets), secrets)
    # All of them by their references, in one statement, whatever else is asked for.
    gone = TokenRef("vault", "token", composite_id(("acme", UIDS[0], "6", "c")))
    assert {t.ref for t in vault.store.read_many([*ordered, gone])} == set(ordered)
    for sort in ("", "reference", "key", "created", "characters"):
        seen: list[TokenRef] = []
        page = vault.inventory.page(Query("table:vault column:token", sort), limit=5)
        while True:
            seen += [row.ref for row in page.rows]
            if not page.below or page.last is None:
                break
            page = vault.inventory.page(Query("table:vault column:token", sort), page.last, limit=5)
        assert (len(seen), set(seen)) == (len(ordered), set(ordered)), sort
    assert vault.inventory.rows(ordered[:3])[2].ref == ordered[2]


def test_a_filter_finds_rows_by_their_whole_id(vault: Container) -> None:
    for row_id in (IDS[0], IDS[-4]):
        for filter_ in (f'id:"{row_id}" column:token', f'reference:"vault.token:{row_id.upper()}"'):
            assert vault.inventory.count(Query(filter_)) == 1, filter_
    assert vault.inventory.count(Query("id:acme/* column:token")) == 6
    assert vault.inventory.count(Query("id:acme")) == 0
    assert vault.inventory.count(Query(f"id:acme/{UIDS[0]}/x/c")) == 0


@pytest.mark.parametrize(
    ("row_id", "why"),
    [
        ("acme", "has 4 parts"),
        (f"acme/{UIDS[0]}/1/c/d", "has 4 parts"),
        (f"acme/{UIDS[0][:-1]}/1/c", "uid in vault are UUIDs"),
        (f"acme/{UIDS[0]}/one/c", "number in vault are whole numbers"),
        (f"acme/{UIDS[0]}/{'9' * 19}/c", "number in vault are whole numbers"),
    ],
)
def test_a_wrong_id_says_what_is_wrong(vault: Container, row_id: str, why: str) -> None:
    with pytest.raises(InvalidReferenceError, match=why):
        vault.catalogue().references(parse_reference(f"vault.token:{row_id}"))
    told = vault.catalogue().references(parse_reference(f"vault.token:acme/{{{UIDS[0].upper()}}}/007/c"))
    assert told[0].row_id == f"acme/{UIDS[0]}/7/c"


def test_the_primary_keys_index_serves_both_reading_and_paging(vault: Container) -> None:
    source = token_source(vault.catalogue().table("vault"), "token")
    for condition in (source.is_one_of(IDS[:2]), source.beyond(IDS[0])):
        statement = select(source.stored).where(condition).order_by(*source.order()).limit(10)
        with connected(vault.engine) as connection:
            for off in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
                connection.exec_driver_sql(f"SET LOCAL enable_{off} = off")
            compiled = statement.compile(vault.engine, compile_kwargs={"literal_binds": False})
            plan = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)
            assert "Index Cond" in "\n".join(plan.scalars())


def test_a_sweep_tells_the_columns_of_the_primary_key_in_its_order(
    services: Container, platform: Engine
) -> None:
    execute(
        platform,
        "CREATE TABLE found (a int, token text, b uuid, PRIMARY KEY (b, a))",
        "INSERT INTO found VALUES (1, 'ghp_0123456789abcdef', gen_random_uuid())",
    )
    (table,) = services.sweeps.take_sweep().found
    assert table.id_column == ("b", "a")


def test_a_table_is_offered_only_if_its_columns_together_name_a_row(
    with_tables: Callable[[str], Container], platform: Engine
) -> None:
    execute(
        platform,
        "CREATE TABLE parts (a int, b int, c int NOT NULL, token text, PRIMARY KEY (a, b))",
        "CREATE UNIQUE INDEX ON parts (c)",
        "CREATE TABLE may_be_null (a int NOT NULL, b int UNIQUE, token text, UNIQUE (a, b))",
    )

    def gaps(name: str, ids: str) -> tuple[str, ...]:
        return (
            with_tables(
                f'[[tables]]\nname = "{name}"\nid = {ids}\ntoken_columns = ["token"]\nprovider = "x"\n'
            )
            .catalogue()
            .gaps
        )

    assert gaps("parts", '["b", "a"]') == gaps("parts", '["c", "a"]') == gaps("parts", '["c"]') == ()
    for name, ids in (("parts", '["a"]'), ("may_be_null", '["a", "b"]')):
        (gap,) = gaps(name, ids)
        assert "may be NULL or occur twice" in gap
