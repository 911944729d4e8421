"""Catalogue: what the role may not read or write, with the grant that changes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.catalogue import read_catalogue
from crypto_core.database.tokens.store import Replacement
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenColumn
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import InvalidReferenceError, MissingGrantError, RefusedError
from crypto_core.values.references import RowRef, TokenRef
from tests.crypto_core.statements import execute


def everything(platform: Engine) -> set[tuple[str, str, str | None]]:
    """Every stored value with its column and row."""
    found = set()
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(text(f"SELECT id::text, {column} FROM {table.name}"))
                found |= {(f"{table.name}.{column}", row_id, stored) for row_id, stored in rows}
    return found


def test_an_unreadable_column_is_told_with_the_grant_that_makes_it_readable(
    services: Container, platform: Engine, superuser: Engine, world: World
) -> None:
    execute(
        platform,
        f"REVOKE SELECT ON gh_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, access_token, org_id) ON gh_connection TO {OPERATOR}",
    )
    status = services.services.status.take_census()
    assert status.tokens == len(world.tokens) - sum(world.by_column["gh_connection.refresh_token"].values())
    assert not status.coverage.complete
    assert not status.well
    (reason,) = status.coverage.reasons
    assert reason.startswith("gh_connection.refresh_token can't be read. Needed: GRANT SELECT")
    execute(superuser, reason.partition("Needed: ")[2])
    again = services.services.status.take_census()
    assert again.coverage.complete
    assert again.tokens == len(world.tokens)


def test_a_table_that_cannot_be_read_at_all_is_told_with_its_grants(
    services: Container, platform: Engine, superuser: Engine, world: World
) -> None:
    execute(platform, f"REVOKE ALL ON jira_connection FROM {OPERATOR}")
    services.catalogue.refresh()
    with pytest.raises(InvalidReferenceError, match="can't be read by this database role") as caught:
        services.store.read_token(TokenRef("jira_connection", "access_token", "jira-1"))
    grants = [u.grant for u in services.catalogue().unreadable]
    assert caught.value.remedy == f"Needed: {grants[0]}"
    execute(superuser, *grants)
    services.catalogue.refresh()
    assert services.store.read_token(TokenRef("jira_connection", "access_token", "jira-1"))
    assert services.services.status.take_census().tokens == len(world.tokens)


def test_an_id_that_cannot_be_read_hides_no_token_column(
    services: Container, platform: Engine, superuser: Engine
) -> None:
    execute(
        platform,
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (bot_token) ON slack_connection TO {OPERATOR}",
    )
    (unreadable,) = services.catalogue.refresh().unreadable
    assert unreadable.column == TokenColumn("slack_connection", "bot_token")
    execute(superuser, unreadable.grant)
    assert services.catalogue.refresh().unreadable == ()


def test_grants_name_tables_columns_and_roles_as_sql_needs_them(
    with_tables: Callable[[str], Container], superuser: Engine
) -> None:
    execute(
        superuser,
        'CREATE TABLE "Order" ("Id" text PRIMARY KEY, "user" text)',
        "INSERT INTO \"Order\" VALUES ('o-1', 'gho_1')",
    )
    container = with_tables(
        '[[tables]]\nname = "Order"\nid = "Id"\ntoken_columns = ["user"]\nprovider = "shop"\n'
    )
    (unreadable,) = container.catalogue().unreadable
    assert str(unreadable.column) == "Order.user"
    execute(superuser, unreadable.grant)
    container.catalogue.refresh()
    assert container.store.read_token(TokenRef("Order", "user", "o-1")).value.reveal() == "gho_1"
    with pytest.raises(RefusedError) as caught:
        container.services.work.plan_reencryption(
            Verb.ENCRYPT, Selection((RowRef("Order", "o-1"),)), str(container.settings.write_key)
        )
    needed = re.search(r"Needed: (.*?)\.?$", caught.value.remedy)
    assert needed
    execute(superuser, needed[1])
    plan = container.services.work.plan_reencryption(
        Verb.ENCRYPT, Selection((RowRef("Order", "o-1"),)), str(container.settings.write_key)
    )
    assert plan.tokens == 1


def test_a_role_with_a_hostile_name_gets_a_grant_that_works(
    services: Container, superuser: Engine, world: World
) -> None:
    role = 'odd "role"; --'
    quoted = '"' + role.replace('"', '""') + '"'
    execute(superuser, f"CREATE ROLE {quoted}")

    def become(dbapi: Any, _record: object, _proxy: object) -> None:
        with dbapi.cursor() as cursor:
            cursor.execute(f"SET ROLE {quoted}")

    event.listen(superuser, "checkout", become)
    unreadable = read_catalogue(superuser).unreadable
    event.remove(superuser, "checkout", become)
    superuser.dispose()
    assert len(unreadable) == 8
    execute(superuser, *(u.grant for u in unreadable))
    execute(superuser, f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}")


def test_an_unwritable_column_is_refused_before_the_first_row(
    services: Container, platform: Engine, superuser: Engine, world: World
) -> None:
    execute(
        platform,
        f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}",
        f"GRANT UPDATE (team_id) ON slack_connection TO {OPERATOR}",
    )
    before = everything(platform)
    work, key = services.services.work, world.current_key.arn
    with pytest.raises(RefusedError, match=r"may not write slack_connection\.bot_token") as caught:
        work.plan_reencryption(Verb.ENCRYPT, Selection(unprotected=True), key)
    assert everything(platform) == before
    assert set(services.catalogue().unwritable) == {TokenColumn("slack_connection", "bot_token")}
    execute(superuser, re.search(r"Needed: (.*?)\.?$", caught.value.remedy)[1])  # type: ignore[index]
    plan = work.plan_reencryption(Verb.ENCRYPT, Selection(unprotected=True), key)
    assert work.run_plan(plan, Consent.by_option(plan)).complete


def test_what_is_not_to_be_written_may_be_unwritable(
    services: Container, platform: Engine, world: World
) -> None:
    execute(platform, f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}")
    ref = world.sealed_under(world.old_key)[0]
    assert ref.table != "slack_connection"
    plan = services.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert services.services.work.run_plan(plan, Consent.by_option(plan)).done == 1


def test_a_grant_that_is_taken_away_meanwhile_is_an_error_of_ours(
    services: Container, platform: Engine
) -> None:
    services.catalogue()
    old = services.store.read_token(TokenRef("slack_connection", "bot_token", "1"))
    execute(platform, f"REVOKE UPDATE ON slack_connection FROM {OPERATOR}")
    with pytest.raises(MissingGrantError):
        services.store.write_tokens(uuid4(), "encrypt", [Replacement(old, encrypt_token("xoxb-1"), None)])
    execute(platform, f"REVOKE ALL ON slack_connection FROM {OPERATOR}")
    with pytest.raises(MissingGrantError, match="slack_connection"):
        services.store.read_token(TokenRef("slack_connection", "bot_token", "1"))
