"""One login for tokens and one for the journal: code of others that runs with the first reaches no record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.values.references import TokenRef
from tests.console.command_types import Keydeck, NewKey

TOUCH = """
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN NEW.org_id := NEW.org_id; RETURN NEW; END$$
"""
EVIL = """
CREATE OR REPLACE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
RESET ROLE;
PERFORM keydeck.append_to_journal('ben', 'h', 'keys enable', 'k', 'done', '{}');
RETURN NEW; END$$
"""
TRIGGER = "CREATE TRIGGER t BEFORE UPDATE ON gh_connection FOR EACH ROW EXECUTE FUNCTION public.touch()"


@pytest.fixture
def two_logins(
    services: Container, keydeck: Keydeck, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Two roles with what is printed for them; the process works with both from now on."""
    name, password = f"two_{uuid4().hex[:8]}", uuid4().hex
    printed = keydeck("grants", "responder", "--two-logins", "--to", name, "--json").json
    roles = {"KEYDECK_STATE_URL": name, "DATABASE_URL": f"{name}_tokens"}
    with superuser.begin() as connection:
        for role in roles.values():
            connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        for statement in printed["sql"]:
            connection.execute(text(statement))
    for variable, role in roles.items():
        url = make_url(services.settings.database_url).set(username=role, password=password)
        monkeypatch.setenv(variable, url.render_as_string(hide_password=False))
    yield
    with superuser.begin() as connection:
        for role in roles.values():
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def ref(world: World) -> TokenRef:
    return next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))


@pytest.mark.deep
@pytest.mark.usefixtures("two_logins")
def test_tokens_jobs_backups_and_incidents_work_with_two_logins(
    keydeck: Keydeck, superuser: Engine, platform: Engine, ref: TokenRef, new_key: NewKey
) -> None:
    run(platform, TOUCH, TRIGGER)
    key = new_key()
    # Its code can reach no record, so nobody has to agree to it; the plan names it all the same.
    one = keydeck("reencrypt", str(ref), "--to", key, "--yes")
    assert one.exit_code == 0, one
    assert "runs public.touch()" in one.stderr
    job = keydeck("rewrap", "--filter", "provider:jira", "--to", key, "--job", "--yes")
    assert "job 1: done" in job.stdout
    assert "written 35 of 35" in job.stdout
    assert keydeck("backups", "restore", str(ref), "--trust", key, "--yes").exit_code == 0
    assert keydeck("backups", "purge", "--yes").exit_code == 0
    assert keydeck("status", "--json").json["coverage"]["complete"]
    assert keydeck("incident", "start", "key-compromise", "--key", key).exit_code == 0
    assert keydeck("journal", "verify").exit_code == 0
    with superuser.connect() as connection:
        actors = connection.scalars(text("SELECT DISTINCT database_role FROM keydeck.journal")).all()
    assert not [actor for actor in actors if actor.endswith("_tokens")]


@pytest.mark.usefixtures("two_logins")
def test_code_that_reaches_for_the_journal_is_refused_by_the_database(
    keydeck: Keydeck, superuser: Engine, platform: Engine, ref: TokenRef, new_key: NewKey
) -> None:
    run(platform, TOUCH, TRIGGER, EVIL)
    done = keydeck("reencrypt", str(ref), "--to", new_key(), "--yes")
    assert done.exit_code != 0
    assert "append_to_journal" in done.stderr
    with superuser.connect() as connection:
        assert not connection.scalar(text("SELECT count(*) FROM keydeck.journal WHERE actor = 'ben'"))


@pytest.mark.usefixtures("two_logins")
def test_doctor_says_which_arrangement_is_in_use(keydeck: Keydeck, superuser: Engine) -> None:
    def logins() -> str:
        checks = keydeck("doctor", "--json").json["checks"]
        (found,) = [check for check in checks if check["name"] == "logins"]
        return f"{found['outcome']} {found}"

    assert "writes tokens and nothing that a decision" in logins()
    tokens, state = (make_url(os.environ[name]).username for name in ("DATABASE_URL", "KEYDECK_STATE_URL"))
    run(superuser, TOUCH, TRIGGER, f"GRANT {state} TO {tokens}")
    # SET ROLE is no wall: what the login could become counts.
    assert "One login writes tokens and Keydeck's records" in logins()
