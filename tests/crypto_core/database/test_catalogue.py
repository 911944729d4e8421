"""Which token columns a database really has, and what the role may do with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text

from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core import encrypt_token
from crypto_core.consent import Consent
from crypto_core.database.catalogue import LiveCatalogue, read_catalogue
from crypto_core.database.tables import PLATFORM_TABLES, TokenColumn, TokenTable
from crypto_core.database.tokens import Replacement
from crypto_core.errors import InvalidReferenceError, MissingGrantError, RefusedError, RowVanishedError
from crypto_core.paging import Query
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.references import RowRef, TokenRef, parse_reference


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


BITBUCKET = (
    "CREATE TABLE bitbucket_connection (uid uuid PRIMARY KEY, team text, app_password varchar(4000),"
    " refresh text, created_at timestamptz)"
)


@pytest.fixture
def with_tables(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Wired]]:
    """Wires services over a settings file with tables of its own."""
    made: list[Wired] = []

    def make(tables: str) -> Wired:
        file = tmp_path / f"{uuid4().hex}.toml"
        file.write_text(tables)
        monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
        made.append(wire(load().settings))
        return made[-1]

    yield make
    for wired in made:
        wired.close()


def everything(platform: Engine) -> set[tuple[str, str, str | None]]:
    """Every stored value with its column and row."""
    found = set()
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(text(f"SELECT id::text, {column} FROM {table.name}"))
                found |= {(f"{table.name}.{column}", row_id, stored) for row_id, stored in rows}
    return found


def test_the_platforms_tables_are_all_offered(services: Wired) -> None:
    catalogue = services.catalogue()
    assert [str(c) for c in catalogue.columns] == [
        "gh_connection.access_token",
        "gh_connection.refresh_token",
        "jira_connection.access_token",
        "jira_connection.refresh_token",
        "slack_connection.bot_token",
        "confluence_connection.access_token",
    ]
    assert catalogue.tables == PLATFORM_TABLES
    assert catalogue.unreadable == ()
    assert catalogue.unwritable == {}


def test_a_table_that_is_not_there_is_not_offered(services: Wired, platform: Engine, world: World) -> None:
    run(platform, "DROP TABLE jira_connection", "ALTER TABLE gh_connection DROP COLUMN refresh_token")
    status = services.services.status.take()
    assert {c.column for c in status.by_column} == {
        "gh_connection.access_token",
        "slack_connection.bot_token",
        "confluence_connection.access_token",
    }
    assert status.coverage.complete
    assert status.tokens == world.rows["gh_connection"] + 18 + 12
    with pytest.raises(InvalidReferenceError, match="no token table 'jira_connection'") as caught:
        services.catalogue().table("jira_connection")
    assert "gh_connection" in caught.value.remedy


def test_a_shown_column_that_is_missing_or_unreadable_is_left_out(services: Wired, platform: Engine) -> None:
    run(
        platform,
        "ALTER TABLE slack_connection DROP COLUMN created_at",
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, bot_token, updated_at) ON slack_connection TO {OPERATOR}",
    )
    services.catalogue.refresh()
    row = services.services.inventory.row(TokenRef("slack_connection", "bot_token", "1"))
    assert [name for name, _ in row.shown] == ["updated_at"]
    assert (row.organisation, row.created_at) == ("", None)


def test_a_table_without_anything_to_show_is_listed(services: Wired, platform: Engine) -> None:
    run(
        platform,
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, bot_token) ON slack_connection TO {OPERATOR}",
    )
    services.catalogue.refresh()
    page = services.services.inventory.page(Query("table:slack_connection"))
    assert len(page.rows) == 18
    assert {row.shown for row in page.rows} == {()}
    assert services.services.inventory.count(Query("xoxb")) == 0


def test_an_unreadable_column_is_told_with_the_grant_that_makes_it_readable(
    services: Wired, platform: Engine, superuser: Engine, world: World
) -> None:
    run(
        platform,
        f"REVOKE SELECT ON gh_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, access_token, org_id) ON gh_connection TO {OPERATOR}",
    )
    status = services.services.status.take()
    assert status.tokens == len(world.tokens) - sum(world.by_column["gh_connection.refresh_token"].values())
    assert not status.coverage.complete
    assert not status.well
    (reason,) = status.coverage.reasons
    assert reason.startswith("gh_connection.refresh_token can't be read. Needed: GRANT SELECT")
    run(superuser, reason.partition("Needed: ")[2])
    again = services.services.status.take()
    assert again.coverage.complete
    assert again.tokens == len(world.tokens)


def test_a_table_that_cannot_be_read_at_all_is_told_with_its_grants(
    services: Wired, platform: Engine, superuser: Engine, world: World
) -> None:
    run(platform, f"REVOKE ALL ON jira_connection FROM {OPERATOR}")
    services.catalogue.refresh()
    with pytest.raises(InvalidReferenceError, match="can't be read by this database role") as caught:
        services.store.read(TokenRef("jira_connection", "access_token", "jira-1"))
    grants = [u.grant for u in services.catalogue().unreadable]
    assert caught.value.remedy == f"Needed: {grants[0]}"
    run(superuser, *grants)
    services.catalogue.refresh()
    assert services.store.read(TokenRef("jira_connection", "access_token", "jira-1"))
    assert services.services.status.take().tokens == len(world.tokens)


def test_an_id_that_cannot_be_read_hides_no_token_column(
    services: Wired, platform: Engine, superuser: Engine
) -> None:
    run(
        platform,
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (bot_token) ON slack_connection TO {OPERATOR}",
    )
    (unreadable,) = services.catalogue.refresh().unreadable
    assert unreadable.column == TokenColumn("slack_connection", "bot_token")
    run(superuser, unreadable.grant)
    assert services.catalogue.refresh().unreadable == ()


def test_grants_name_tables_columns_and_roles_as_sql_needs_them(
    with_tables: Callable[[str], Wired], superuser: Engine
) -> None:
    run(
        superuser,
        'CREATE TABLE "Order" ("Id" text PRIMARY KEY, "user" text)',
        "INSERT INTO \"Order\" VALUES ('o-1', 'gho_1')",
    )
    wired = with_tables(
        '[[tables]]\nname = "Order"\nid = "Id"\ntoken_columns = ["user"]\nprovider = "shop"\n'
    )
    (unreadable,) = wired.catalogue().unreadable
    assert str(unreadable.column) == "Order.user"
    run(superuser, unreadable.grant)
    wired.catalogue.refresh()
    assert wired.store.read(TokenRef("Order", "user", "o-1")).value.reveal() == "gho_1"
    with pytest.raises(RefusedError) as caught:
        wired.services.work.plan(
            Verb.ENCRYPT, Selection((RowRef("Order", "o-1"),)), str(wired.settings.write_key)
        )
    needed = re.search(r"Needed: (.*?)\.?$", caught.value.remedy)
    assert needed
    run(superuser, needed[1])
    plan = wired.services.work.plan(
        Verb.ENCRYPT, Selection((RowRef("Order", "o-1"),)), str(wired.settings.write_key)
    )
    assert plan.tokens == 1


def test_a_role_with_a_hostile_name_gets_a_grant_that_works(
    services: Wired, superuser: Engine, world: World
) -> None:
    role = 'odd "role"; --'
    quoted = '"' + role.replace('"', '""') + '"'
    run(superuser, f"CREATE ROLE {quoted}")

    def become(dbapi: Any, _record: object, _proxy: object) -> None:
        with dbapi.cursor() as cursor:
            cursor.execute(f"SET ROLE {quoted}")

    event.listen(superuser, "checkout", become)
    unreadable = read_catalogue(superuser).unreadable
    event.remove(superuser, "checkout", become)
    superuser.dispose()
    assert len(unreadable) == 6
    run(superuser, *(u.grant for u in unreadable))
    run(superuser, f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}")


def test_an_unwritable_column_is_refused_before_the_first_row(
    services: Wired, platform: Engine, superuser: Engine, world: World
) -> None:
    run(
        platform,
        f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}",
        f"GRANT UPDATE (team_id) ON slack_connection TO {OPERATOR}",
    )
    before = everything(platform)
    work, key = services.services.work, world.current_key.arn
    with pytest.raises(RefusedError, match=r"may not write slack_connection\.bot_token") as caught:
        work.plan(Verb.ENCRYPT, Selection(unprotected=True), key)
    assert everything(platform) == before
    assert set(services.catalogue().unwritable) == {TokenColumn("slack_connection", "bot_token")}
    run(superuser, re.search(r"Needed: (.*?)\.?$", caught.value.remedy)[1])  # type: ignore[index]
    plan = work.plan(Verb.ENCRYPT, Selection(unprotected=True), key)
    assert work.run(plan, Consent.by_option(plan)).complete


def test_what_is_not_to_be_written_may_be_unwritable(services: Wired, platform: Engine, world: World) -> None:
    run(platform, f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}")
    ref = world.sealed_under(world.old_key)[0]
    assert ref.table != "slack_connection"
    plan = services.services.work.plan(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert services.services.work.run(plan, Consent.by_option(plan)).done == 1


def test_a_grant_that_is_taken_away_meanwhile_is_an_error_of_ours(services: Wired, platform: Engine) -> None:
    services.catalogue()
    old = services.store.read(TokenRef("slack_connection", "bot_token", "1"))
    run(platform, f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}")
    with pytest.raises(MissingGrantError):
        services.store.write(uuid4(), "encrypt", [Replacement(old, encrypt_token("xoxb-1"), None)])
    run(platform, f"REVOKE ALL ON slack_connection FROM {OPERATOR}")
    with pytest.raises(MissingGrantError, match="slack_connection"):
        services.store.read(TokenRef("slack_connection", "bot_token", "1"))


TABLES = """
[[tables]]
name = "bitbucket_connection"
id = "uid"
token_columns = ["app_password", "refresh"]
shown = ["team", "created_at"]
provider = "bitbucket"
organisation = "team"

[[tables]]
name = "not_there"
token_columns = ["token"]
"""


def test_tables_of_the_settings_file_are_offered_besides_the_platforms(
    with_tables: Callable[[str], Wired], platform: Engine, world: World
) -> None:
    run(platform, BITBUCKET)
    uid = uuid4()
    with platform.begin() as connection:
        connection.execute(
            text("INSERT INTO bitbucket_connection VALUES (:uid, 'acme', :token, 'ghp_plain', now())"),
            {"uid": uid, "token": encrypt_token("app-password")},
        )
    wired = with_tables(TABLES)
    assert "not_there.token" not in {str(c) for c in wired.catalogue().columns}
    status = wired.services.status.take()
    assert status.tokens == len(world.tokens) + 2
    assert {c.column: c.tokens for c in status.by_column if c.column.startswith("bitbucket")} == {
        "bitbucket_connection.app_password": 1,
        "bitbucket_connection.refresh": 1,
    }
    rows = wired.services.inventory.page(Query("org:acme")).rows
    assert {row.provider for row in rows} == {"bitbucket"}
    assert {row.ref.row_id for row in rows} == {str(uid)}
    (row,) = wired.services.inventory.page(Query(f"provider:bitbucket key:{world.current_key.arn}")).rows
    assert row.ref.column == "app_password"


def test_tokens_of_a_settings_file_table_are_written_like_the_platforms(
    with_tables: Callable[[str], Wired], services: Wired, platform: Engine, world: World
) -> None:
    run(platform, BITBUCKET)
    uids = [str(uuid4()) for _ in range(5)]
    with platform.begin() as connection:
        for uid in uids:
            connection.execute(
                text("INSERT INTO bitbucket_connection VALUES (:uid, 'acme', :token, 'ghp_plain', now())"),
                {"uid": uid, "token": encrypt_token(f"app-{uid}")},
            )
    wired = with_tables(TABLES)
    selection = Selection(tuple(RowRef("bitbucket_connection", uid) for uid in uids))
    for verb in (Verb.REENCRYPT, Verb.ENCRYPT):
        plan = wired.services.work.plan(verb, selection, world.old_key.arn)
        assert plan.tokens == 5
        assert wired.services.work.run(plan, Consent.by_option(plan)).done == 5
    verified = wired.services.work.verify(selection)
    assert len(verified) == 10
    assert {(v.opened, v.key_arn) for v in verified} == {(True, world.old_key.arn)}


def test_a_settings_file_table_replaces_the_built_in_one_of_its_name(
    with_tables: Callable[[str], Wired], world: World
) -> None:
    wired = with_tables(
        '[[tables]]\nname = "slack_connection"\nid_kind = "integer"\ntoken_columns = ["bot_token"]\n'
        'shown = ["team_id"]\nprovider = "chat"\norganisation = "team_id"\n'
    )
    assert wired.services.status.take().tokens == len(world.tokens)
    row = wired.services.inventory.row(TokenRef("slack_connection", "bot_token", "1"))
    assert row.provider == "chat"
    assert len({c.table for c in wired.catalogue().columns}) == 4


def test_a_created_at_that_is_no_time_fails_no_list(
    with_tables: Callable[[str], Wired], platform: Engine, world: World
) -> None:
    run(
        platform,
        "CREATE TABLE other_connection (id bigint PRIMARY KEY, token text, created_at bigint)",
        "INSERT INTO other_connection VALUES (1, 'ghp_1', 1700000000)",
    )
    wired = with_tables(
        '[[tables]]\nname = "other_connection"\nid_kind = "integer"\ntoken_columns = ["token"]\n'
        'shown = ["created_at"]\n'
    )
    row = wired.services.inventory.row(TokenRef("other_connection", "token", "1"))
    assert (row.created_at, dict(row.shown)) == (None, {"created_at": "1700000000"})
    assert len(wired.services.inventory.page(Query(), limit=500).rows) == len(world.tokens) + 1


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("gitlab_connection.access_token:1", "There is no token table 'gitlab_connection'"),
        ("gitlab_connection:1", "There is no token table"),
        ("gh_connection.password:gh-1", "has no readable token column 'password'"),
        ("gh_connection.org_id:gh-1", "has no readable token column 'org_id'"),
        ("slack_connection.bot_token:seven", "whole numbers"),
        ("slack_connection.bot_token:1.5", "whole numbers"),
        ("slack_connection.bot_token:-", "whole numbers"),
        ("slack_connection:" + "9" * 20, "whole numbers"),
        ("slack_connection:٣", "whole numbers"),
        ("slack_connection.bot_token: 1", "whole numbers"),
        ("gh_connection:a\x00b", "no row id holds such characters"),
        ("gh_connection:a\ud800", "no row id holds such characters"),
        ("pg_user.passwd:postgres", "There is no token table"),
    ],
)
def test_a_wrong_reference_says_what_is_wrong(services: Wired, reference: str, message: str) -> None:
    with pytest.raises(InvalidReferenceError, match=message):
        services.catalogue().references(parse_reference(reference))


@pytest.mark.parametrize(
    "reference",
    [
        "slack_connection.bot_token:999",
        "slack_connection:" + "9" * 19,
        "slack_connection:-1",
        "gh_connection:x'; --",
    ],
)
def test_a_row_that_is_gone_is_told(services: Wired, reference: str) -> None:
    refs = services.catalogue().references(parse_reference(reference))
    assert services.store.read_many(refs) == []
    with pytest.raises(RowVanishedError, match="no such row"):
        services.store.read(refs[0])


@pytest.mark.parametrize(
    "reference",
    ["", "gh_connection", "gh_connection:", ":1", "gh connection:1", "a.b.c:1", "1table:1", "t.:1"],
)
def test_what_is_no_reference_is_told_the_two_forms(reference: str) -> None:
    with pytest.raises(InvalidReferenceError, match="Not a token reference") as caught:
        parse_reference(reference)
    assert "table.column:row-id" in caught.value.remedy


def test_a_row_reference_is_every_token_column_of_the_row(services: Wired) -> None:
    catalogue = services.catalogue()
    assert catalogue.references(RowRef("gh_connection", "gh-1")) == (
        TokenRef("gh_connection", "access_token", "gh-1"),
        TokenRef("gh_connection", "refresh_token", "gh-1"),
    )


def test_an_id_with_colons_and_dots_is_one_id() -> None:
    assert parse_reference("gh_connection:a:b.c:d") == RowRef("gh_connection", "a:b.c:d")
    assert parse_reference("t.c:x\ny") == TokenRef("t", "c", "x\ny")
    assert str(TokenRef("t", "c", "x\x1b[31m\ny")) == "t.c:x[31m y"


def test_a_table_in_the_way_of_a_names_case_is_found_only_by_its_exact_name(
    services: Wired, platform: Engine
) -> None:
    run(platform, 'CREATE TABLE "Gh_Connection" (id text PRIMARY KEY, access_token text)')
    table = TokenTable("Gh_Connection", "id", "text", ("access_token",), (), "x", None)
    catalogue = LiveCatalogue(services.engine, [table, *PLATFORM_TABLES])()
    assert [t.name for t in catalogue.tables][:2] == ["Gh_Connection", "gh_connection"]


UNIDENTIFIED = {
    "no index at all": ("CREATE TABLE {} (id bigint NOT NULL, token text)",),
    "may be NULL": ("CREATE TABLE {} (id bigint UNIQUE, token text)",),
    "unique with another column": (
        "CREATE TABLE {} (id bigint, part int, token text, PRIMARY KEY (id, part))",
    ),
    "unique in a part of the table": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE UNIQUE INDEX ON {} (id) WHERE id > 0",
    ),
    "an index that is not unique": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE INDEX ON {} (id)",
    ),
    "unique by what is computed": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE UNIQUE INDEX ON {} (abs(id))",
    ),
}


@pytest.mark.parametrize("statements", UNIDENTIFIED.values(), ids=UNIDENTIFIED)
def test_a_table_whose_ids_may_occur_twice_is_not_offered_and_told(
    with_tables: Callable[[str], Wired], platform: Engine, world: World, statements: tuple[str, ...]
) -> None:
    run(platform, *(statement.format("twice") for statement in statements))
    run(platform, "INSERT INTO twice (id, token) SELECT 1, 'ghp_1' WHERE false")
    wired = with_tables(
        '[[tables]]\nname = "twice"\nid_kind = "integer"\ntoken_columns = ["token"]\nprovider = "github"\n'
    )
    assert "twice" not in {c.table for c in wired.catalogue().columns}
    (gap,) = wired.catalogue().gaps
    assert gap.startswith("twice.token is not offered: twice.id may be NULL or occur twice.")
    assert "unique index on id alone, and NOT NULL" in gap
    status = wired.services.status.take()
    assert status.tokens == len(world.tokens)
    assert gap in status.coverage.reasons
    with pytest.raises(InvalidReferenceError, match=r"twice\.id may be NULL or occur twice"):
        wired.services.inventory.row(TokenRef("twice", "token", "1"))


@pytest.mark.parametrize(
    "index", ["PRIMARY KEY", "NOT NULL UNIQUE", "NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED"]
)
def test_any_unique_index_over_the_id_alone_will_do(
    with_tables: Callable[[str], Wired], platform: Engine, index: str
) -> None:
    run(platform, f"CREATE TABLE once (id bigint {index}, token text)")
    run(platform, "INSERT INTO once VALUES (1, 'ghp_1')")
    wired = with_tables(
        '[[tables]]\nname = "once"\nid_kind = "integer"\ntoken_columns = ["token"]\nprovider = "github"\n'
    )
    assert wired.catalogue().gaps == ()
    assert wired.services.inventory.count(Query("table:once")) == 1


def test_rows_with_ids_of_any_type_are_paged_through(
    with_tables: Callable[[str], Wired], platform: Engine
) -> None:
    """Text in the column's own collation; uuid, which has no greatest in SQL."""
    run(
        platform,
        'CREATE TABLE words (id text COLLATE "pg_unicode_fast" PRIMARY KEY, token text)',
        "CREATE TABLE uuids (id uuid PRIMARY KEY, token text)",
        "INSERT INTO words SELECT w, 'ghp_' || w FROM unnest('{b,B,a,A,ä,Z,z,é,e,\"a b\",_}'::text[]) w",
        "INSERT INTO uuids SELECT gen_random_uuid(), 'ghp_1' FROM generate_series(1, 12)",
    )
    wired = with_tables(
        "\n".join(
            f'[[tables]]\nname = "{name}"\ntoken_columns = ["token"]\nprovider = "x"\n'
            for name in ("words", "uuids")
        )
    )
    inventory = wired.services.inventory
    with platform.connect() as connection:
        words = connection.scalars(text("SELECT id FROM words ORDER BY id")).all()
    for sort in ("", "reference", "key", "created", "characters"):
        query = Query("provider:x", sort)
        whole = [row.ref for row in inventory.page(query).rows]
        assert len(whole) == 23
        if sort in ("", "reference"):
            assert [ref.row_id for ref in whole if ref.table == "words"] == words
        for backwards in (False, True):
            found: list[TokenRef] = []
            start = None
            while True:
                page = inventory.page(query, start, backwards=backwards, limit=3)
                refs = [row.ref for row in page.rows]
                found = refs + found if backwards else found + refs
                start = page.first if backwards else page.last
                if not (page.above if backwards else page.below):
                    break
            assert found == whole
    some = next(ref for ref in whole if ref.table == "uuids")
    assert inventory.count(Query(f"id:{some.row_id.upper()}")) == 1
    assert inventory.count(Query("table:uuids id:nonsense")) == 0
    assert inventory.count(Query("table:words id:A")) == 2
