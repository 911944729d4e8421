"""What is written is what is stored, or the error names what changed it and nothing was written."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.store import Replacement
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.write_obstacles import write_obstacles
from crypto_core.errors import ChangedByDatabaseError, DatabaseError
from crypto_core.references import TokenRef
from tests.conftest import Ran
from tests.crypto_core.database.tokens.test_secrets_columns import add, document_of, sealed

SHORTEN = "NEW.access_token := left(NEW.access_token, 255); RETURN NEW;"
AGAIN = (
    "IF pg_trigger_depth() = 1 THEN UPDATE gh_connection SET access_token = left(access_token, 255) "
    "WHERE id = NEW.id; END IF; RETURN NULL;"
)
TRIGGERS = {
    "before": (SHORTEN, "CREATE TRIGGER t BEFORE UPDATE ON gh_connection", "runs before"),
    "before the column": (
        SHORTEN,
        "CREATE TRIGGER t BEFORE UPDATE OF access_token ON gh_connection",
        "runs before",
    ),
    "after": (AGAIN, "CREATE TRIGGER t AFTER UPDATE ON gh_connection", "runs after"),
    "at the end": (
        AGAIN,
        "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON gh_connection DEFERRABLE INITIALLY DEFERRED",
        "runs after",
    ),
}


def trigger(superuser: Engine, body: str, head: str) -> None:
    with superuser.begin() as connection:
        how = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        connection.execute(text(f"CREATE FUNCTION f() {how} AS $$BEGIN {body} END$$"))
        connection.execute(text(f"{head} FOR EACH ROW EXECUTE FUNCTION f()"))


def write(services: Container, ref: TokenRef) -> frozenset[TokenRef]:
    new = Replacement(services.store.read_token(ref), encrypt_token("gho_new"), None)
    return services.store.write_tokens(uuid4(), "reencrypt", [new])


@pytest.mark.parametrize("when", TRIGGERS)
def test_a_trigger_that_changes_what_is_written_is_named(
    services: Container, superuser: Engine, world: World, when: str
) -> None:
    body, head, named = TRIGGERS[when]
    ref = next(r for r in world.sealed_under(world.current_key) if r.table == "gh_connection")
    ref = TokenRef(ref.table, "access_token", ref.row_id)
    before = services.store.read_token(ref)
    trigger(superuser, body, head)
    with pytest.raises(ChangedByDatabaseError, match=f"trigger t {named}.*Nothing was written") as raised:
        write(services, ref)
    assert str(ref) in raised.value.message
    assert services.store.read_token(ref).digest == before.digest
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 0


def test_a_trigger_of_another_column_that_changes_what_was_written_before_is_named(
    services: Container, superuser: Engine, world: World
) -> None:
    """The access token is written first; it is shortened when the refresh token of its row is written."""
    refresh = next(r for r in world.tokens if (r.table, r.column) == ("gh_connection", "refresh_token"))
    refs = [refresh, TokenRef(refresh.table, "access_token", refresh.row_id)]
    trigger(superuser, SHORTEN, "CREATE TRIGGER t BEFORE UPDATE OF refresh_token ON gh_connection")
    before = services.store.read_many(refs)
    new = [Replacement(token, encrypt_token("gho_new"), None) for token in before]
    with pytest.raises(ChangedByDatabaseError, match=r"gh_connection\.access_token.*Nothing was written"):
        services.store.write_tokens(uuid4(), "reencrypt", new)
    assert [t.digest for t in services.store.read_many(refs)] == [t.digest for t in before]


def test_a_trigger_that_leaves_the_value_alone_is_no_matter(
    services: Container, superuser: Engine, world: World
) -> None:
    trigger(superuser, "NEW.org_id := 'x'; RETURN NEW;", "CREATE TRIGGER t BEFORE UPDATE ON gh_connection")
    ref = next(r for r in world.sealed_under(world.current_key) if r.table == "gh_connection")
    assert write(services, ref) == {ref}


def test_a_document_is_stored_as_given_too(services: Container, superuser: Engine, platform: Engine) -> None:
    row = add(platform, sealed("a", "b"))
    before = document_of(platform, row)
    trigger(
        superuser,
        "NEW.secret_json := substr(NEW.secret_json, 1, 100); RETURN NEW;",
        "CREATE TRIGGER t BEFORE UPDATE ON connectors",
    )
    with pytest.raises(ChangedByDatabaseError, match="trigger t runs before"):
        write(services, TokenRef("connectors", "secret_json", row, "a"))
    assert document_of(platform, row) == before


def test_a_rule_that_swallows_the_write_leaves_it_unwritten(
    services: Container, superuser: Engine, world: World
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("CREATE RULE r AS ON UPDATE TO gh_connection DO INSTEAD NOTHING"))
    ref = next(r for r in world.sealed_under(world.current_key) if r.table == "gh_connection")
    with pytest.raises(DatabaseError):
        write(services, ref)


def test_obstacles_are_told_before_anything_is_written(services: Container, superuser: Engine) -> None:
    column = TokenColumn("gh_connection", "access_token")

    def obstacles(of: TokenColumn = column) -> tuple[str, ...]:
        with superuser.connect() as connection:
            return write_obstacles(connection, of)

    assert obstacles() == ()
    body, head, _ = TRIGGERS["before the column"]
    trigger(superuser, body, head)
    assert obstacles() == ("trigger t runs before each UPDATE",)
    assert obstacles(TokenColumn("gh_connection", "refresh_token")) == ()
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE gh_connection DISABLE TRIGGER t"))
        connection.execute(
            text("ALTER TABLE jira_connection ALTER refresh_token TYPE varchar(255) USING NULL")
        )
        connection.execute(text('CREATE RULE "r[/red]" AS ON UPDATE TO gh_connection DO INSTEAD NOTHING'))
        connection.execute(
            text("ALTER TABLE slack_connection ADD made text GENERATED ALWAYS AS (team_id) STORED")
        )
    assert obstacles() == ('rule "r[/red]" rewrites each UPDATE',)
    (width,) = obstacles(TokenColumn("jira_connection", "refresh_token"))
    assert "255 characters at most" in width
    (generated,) = obstacles(TokenColumn("slack_connection", "made"))
    assert "generated" in generated


@pytest.mark.deep
def test_a_plan_and_doctor_tell_of_them_and_a_run_loses_nothing(
    keydeck: Callable[..., Ran], superuser: Engine, world: World, new_key: Callable[[], str]
) -> None:
    keydeck("init")
    ref = next(r for r in world.sealed_under(world.current_key) if r.column == "access_token")
    body, head, _ = TRIGGERS["before"]
    trigger(superuser, body, head)
    key = new_key()
    plan = keydeck("reencrypt", str(ref), "--to", key, "--dry-run", "--json").json
    (told,) = [w for w in plan["warnings"] if "trigger t runs before" in w]
    assert told.startswith("gh_connection.access_token: ")
    checks = keydeck("doctor", "--json").json["checks"]
    (check,) = [c for c in checks if "access_token, when written" in str(c)]
    assert "rigger t runs before" in str(check)
    ran = keydeck("reencrypt", str(ref), "--to", key, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (1, 0)
    (left,) = ran.json["poisoned"]
    assert "trigger t" in left["reason"]
    assert keydeck("verify", str(ref)).exit_code == 0
    everything = keydeck("reencrypt", "--all", "--to", key, "--job", "--yes", "--json")
    assert everything.exit_code == 1
    assert keydeck("verify", str(ref)).exit_code == 0
