"""What is written is what is stored, or the error names what changed it and nothing was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core import decrypt_token, encrypt_token
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attached_code import write_obstacles
from crypto_core.database.tokens.store import Replacement, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.backup_restore import BackupSelection
from crypto_core.values.errors import ChangedAtCommitError, ChangedByDatabaseError, DatabaseError
from crypto_core.values.references import TokenRef
from tests.conftest import Ran
from tests.crypto_core.database.tokens.test_secrets_columns import add, document_of, sealed
from tests.crypto_core.statements import execute, scalar

SHORTEN = "NEW.access_token := left(NEW.access_token, 255); RETURN NEW;"
AGAIN = (
    "IF pg_trigger_depth() = 1 THEN UPDATE gh_connection SET access_token = left(access_token, 255) "
    "WHERE id = NEW.id; END IF; RETURN NULL;"
)
TRIGGERS = {
    "before": (SHORTEN, "CREATE TRIGGER t BEFORE UPDATE ON gh_connection", "t on public.gh_connection runs"),
    "before the column": (
        SHORTEN,
        "CREATE TRIGGER t BEFORE UPDATE OF access_token ON gh_connection",
        "t on public.gh_connection runs",
    ),
    "after": (AGAIN, "CREATE TRIGGER t AFTER UPDATE ON gh_connection", "t on public.gh_connection runs"),
    "at the end": (
        AGAIN,
        "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON gh_connection DEFERRABLE INITIALLY DEFERRED",
        "t on public.gh_connection runs",
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
    with pytest.raises(ChangedByDatabaseError, match=f"trigger {named}.*Nothing was written") as raised:
        write(services, ref)
    assert str(ref) in raised.value.message
    assert services.store.read_token(ref).digest == before.digest
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == 0


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
    with pytest.raises(ChangedByDatabaseError, match=r"trigger t on public\.connectors runs"):
        write(services, TokenRef("connectors", "secret_json", row, "a"))
    assert document_of(platform, row) == before


def test_a_rule_that_swallows_the_write_leaves_it_unwritten(
    services: Container, superuser: Engine, world: World
) -> None:
    execute(superuser, "CREATE RULE r AS ON UPDATE TO gh_connection DO INSTEAD NOTHING")
    ref = next(r for r in world.sealed_under(world.current_key) if r.table == "gh_connection")
    with pytest.raises(DatabaseError):
        write(services, ref)


def test_obstacles_are_told_before_anything_is_written(services: Container, superuser: Engine) -> None:
    column = TokenColumn("gh_connection", "access_token")

    def obstacles(of: TokenColumn = column) -> tuple[str, ...]:
        with connected(superuser) as connection:
            return write_obstacles(connection, services.catalogue().table(of.table), of.column)

    assert obstacles() == ()
    body, head, _ = TRIGGERS["before the column"]
    trigger(superuser, body, head)
    assert obstacles() == ("trigger t on public.gh_connection runs public.f(), owned by postgres",)
    assert obstacles(TokenColumn("gh_connection", "refresh_token")) == ()
    execute(
        superuser,
        "ALTER TABLE gh_connection DISABLE TRIGGER t",
        "ALTER TABLE jira_connection ALTER refresh_token TYPE varchar(255) USING NULL",
        'CREATE RULE "r[/red]" AS ON UPDATE TO gh_connection DO INSTEAD NOTHING',
        "ALTER TABLE slack_connection ADD made text GENERATED ALWAYS AS (team_id) STORED",
    )
    assert obstacles() == ("rule r[/red] on public.gh_connection rewrites statements, owned by platform",)
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
    (told,) = [w for w in plan["warnings"] if "trigger t on public.gh_connection" in w]
    assert told.startswith("Code of others runs in this write: ")
    checks = keydeck("doctor", "--json").json["checks"]
    (check,) = [c for c in checks if "gh_connection, when written" in str(c)]
    assert "trigger t on public.gh_connection" in str(check)
    unnamed = keydeck("reencrypt", str(ref), "--to", key, "--yes", "--json")
    assert (unnamed.exit_code, "--runs-code" in unnamed.stderr) == (2, True)
    agreed = ("--yes", "--runs-code", plan["code"][0]["function"])
    ran = keydeck("reencrypt", str(ref), "--to", key, *agreed, "--json")
    assert (ran.exit_code, ran.json["done"]) == (1, 0)
    (left,) = ran.json["poisoned"]
    assert "trigger t" in left["reason"]
    assert keydeck("verify", str(ref)).exit_code == 0
    everything = keydeck("reencrypt", "--all", "--to", key, "--job", *agreed, "--json")
    assert everything.exit_code == 1
    assert keydeck("verify", str(ref)).exit_code == 0


AT_COMMIT = """
DECLARE again text := current_setting('keydeck_test.round', true);
BEGIN
  IF coalesce(again, '') = '' THEN
    PERFORM set_config('keydeck_test.round', 'second', true);
    SET CONSTRAINTS ALL DEFERRED;
    UPDATE public.gh_connection SET org_id = org_id WHERE id = NEW.id;
  ELSIF again = 'second' THEN
    PERFORM set_config('keydeck_test.round', 'over', true);
    {act}
  END IF;
  RETURN NULL;
END
"""


def at_commit(superuser: Engine, act: str) -> None:
    """A constraint trigger that defers itself anew, so that it acts at COMMIT alone."""
    with superuser.begin() as connection:
        body = AT_COMMIT.replace("{act}", act)
        connection.exec_driver_sql(
            f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $${body}$$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON gh_connection DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION f()"
        )


SHORTEN_AT_COMMIT = "UPDATE public.gh_connection SET access_token = left(access_token, 40) WHERE id = NEW.id;"
WITHIN_A_BLOCK = f"BEGIN {SHORTEN_AT_COMMIT} PERFORM 1 / 1; EXCEPTION WHEN division_by_zero THEN NULL; END;"


@pytest.mark.parametrize("act", [SHORTEN_AT_COMMIT, WITHIN_A_BLOCK])
@pytest.mark.parametrize("bulk", [False, True])
def test_a_token_that_is_shortened_at_commit_is_not_called_written_and_can_be_restored(
    services: Container, superuser: Engine, world: World, act: str, *, bulk: bool
) -> None:
    ref = next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))
    opened = decrypt_token(services.store.read_token(ref).value.reveal())
    at_commit(superuser, act)
    with pytest.raises(
        ChangedAtCommitError, match=r"constraint trigger t on public\.gh_connection"
    ) as raised:
        services.store.write_tokens(
            uuid4(),
            "reencrypt",
            [Replacement(services.store.read_token(ref), encrypt_token(opened), None)],
            wait=not bulk,
        )
    assert f"keydeck backups restore {ref}" in raised.value.remedy
    assert len(services.store.read_token(ref).value.reveal()) == 40
    execute(superuser, "DROP TRIGGER t ON gh_connection")
    plan = services.tokens.backup_restoring.plan_restore(BackupSelection((ref,)))
    assert services.tokens.backup_restoring.restore_envelopes(plan, Consent.by_option(plan)).complete
    assert decrypt_token(services.store.read_token(ref).value.reveal()) == opened


def test_an_envelope_that_is_put_back_at_commit_is_not_called_written(
    services: Container, superuser: Engine, world: World
) -> None:
    ref = next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))
    before = services.store.read_token(ref)
    with superuser.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE old AS SELECT id, access_token FROM gh_connection")
    at_commit(
        superuser,
        "UPDATE public.gh_connection g SET access_token = o.access_token FROM public.old o "
        "WHERE o.id = g.id AND g.id = NEW.id;",
    )
    with pytest.raises(ChangedAtCommitError):
        write(services, ref)
    assert services.store.read_token(ref).digest == before.digest


def test_what_the_platform_writes_right_after_the_commit_is_no_error(
    services: Container, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))
    real = TokenStore._require_kept

    def between(store: TokenStore, run_id: UUID, done: Any) -> None:
        execute(
            platform,
            "UPDATE gh_connection SET access_token = :new WHERE id = :id",
            new=encrypt_token("gho_theirs"),
            id=ref.row_id,
        )
        real(store, run_id, done)

    monkeypatch.setattr(TokenStore, "_require_kept", between)
    assert write(services, ref) == {ref}
