"""Catalogue: tables of the settings file are offered, written and listed like the platform's."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.guard.consent import Consent
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.references import RowRef, TokenRef
from tests.crypto_core.statements import execute

BITBUCKET = (
    "CREATE TABLE bitbucket_connection (uid uuid PRIMARY KEY, team text, app_password varchar(4000),"
    " refresh text, created_at timestamptz)"
)


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


@pytest.mark.deep
def test_tables_of_the_settings_file_are_offered_besides_the_platforms(
    with_tables: Callable[[str], Container], platform: Engine, world: World
) -> None:
    execute(platform, BITBUCKET)
    uid = uuid4()
    execute(
        platform,
        "INSERT INTO bitbucket_connection VALUES (:uid, 'acme', :token, 'ghp_plain', now())",
        uid=uid,
        token=encrypt_token("app-password"),
    )
    container = with_tables(TABLES)
    assert "not_there.token" not in {str(c) for c in container.catalogue().columns}
    status = container.services.status.take_census()
    assert status.tokens == len(world.tokens) + 2
    assert {c.column: c.tokens for c in status.by_column if c.column.startswith("bitbucket")} == {
        "bitbucket_connection.app_password": 1,
        "bitbucket_connection.refresh": 1,
    }
    rows = container.services.inventory.page(Query("org:acme")).rows
    assert {row.provider for row in rows} == {"bitbucket"}
    assert {row.ref.row_id for row in rows} == {str(uid)}
    (row,) = container.services.inventory.page(Query(f"provider:bitbucket key:{world.current_key.arn}")).rows
    assert row.ref.column == "app_password"


def test_tokens_of_a_settings_file_table_are_written_like_the_platforms(
    with_tables: Callable[[str], Container], services: Container, platform: Engine, world: World
) -> None:
    execute(platform, BITBUCKET)
    uids = [str(uuid4()) for _ in range(5)]
    with platform.begin() as connection:
        for uid in uids:
            connection.execute(
                text("INSERT INTO bitbucket_connection VALUES (:uid, 'acme', :token, 'ghp_plain', now())"),
                {"uid": uid, "token": encrypt_token(f"app-{uid}")},
            )
    container = with_tables(TABLES)
    selection = Selection(tuple(RowRef("bitbucket_connection", uid) for uid in uids))
    for verb in (Verb.REENCRYPT, Verb.ENCRYPT):
        plan = container.services.work.plan_reencryption(verb, selection, world.old_key.arn)
        assert plan.tokens == 5
        assert container.services.work.run_plan(plan, Consent.by_option(plan)).done == 5
    verified = container.services.work.verify_tokens(selection)
    assert len(verified) == 10
    assert {(v.opened, v.key_arn) for v in verified} == {(True, world.old_key.arn)}


def test_a_settings_file_table_replaces_the_built_in_one_of_its_name(
    with_tables: Callable[[str], Container], world: World
) -> None:
    container = with_tables(
        '[[tables]]\nname = "slack_connection"\nid_kind = "integer"\ntoken_columns = ["bot_token"]\n'
        'shown = ["team_id"]\nprovider = "chat"\norganisation = "team_id"\n'
    )
    assert container.services.status.take_census().tokens == len(world.tokens)
    row = container.services.inventory.row(TokenRef("slack_connection", "bot_token", "1"))
    assert row.provider == "chat"
    assert len({c.table for c in container.catalogue().columns}) == 6


def test_a_created_at_that_is_no_time_fails_no_list(
    with_tables: Callable[[str], Container], platform: Engine, world: World
) -> None:
    execute(
        platform,
        "CREATE TABLE other_connection (id bigint PRIMARY KEY, token text, created_at bigint)",
        "INSERT INTO other_connection VALUES (1, 'ghp_1', 1700000000)",
    )
    container = with_tables(
        '[[tables]]\nname = "other_connection"\nid_kind = "integer"\ntoken_columns = ["token"]\n'
        'shown = ["created_at"]\n'
    )
    row = container.services.inventory.row(TokenRef("other_connection", "token", "1"))
    assert (row.created_at, dict(row.shown)) == (None, {"created_at": "1700000000"})
    assert len(container.services.inventory.page(Query(), limit=500).rows) == len(world.tokens) + 1
