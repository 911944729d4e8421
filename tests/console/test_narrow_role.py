"""A role with column grants alone, over uuid and composite ids, another schema, partitions and a view."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.keyring.cipher import TokenCipher
from tests.conftest import Ran

SETTINGS = """
[[tables]]
name = "uuids"
token_columns = ["token"]
provider = "github"

[[tables]]
name = "vault"
schema = "tenant"
token_columns = ["token"]
provider = "github"

[[tables]]
name = "parted"
id = ["region", "id"]
token_columns = ["token"]
provider = "github"

[[tables]]
name = "seen"
id = "number"
id_kind = "integer"
token_columns = ["token"]
provider = "github"
"""
TABLES = """
CREATE TABLE uuids (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), token text, note text);
CREATE SCHEMA tenant;
CREATE TABLE tenant.vault (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), token text, note text);
CREATE TABLE parted (region text, id int, token text, note text, PRIMARY KEY (region, id))
    PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
CREATE TABLE hidden (id int PRIMARY KEY, token text, note text);
CREATE VIEW seen AS SELECT note, id AS number, token FROM hidden WHERE id > 0 WITH CHECK OPTION;
"""
GRANTS = """
GRANT USAGE ON SCHEMA tenant, keydeck TO {role};
GRANT SELECT (id, token), UPDATE (token) ON uuids, tenant.vault TO {role};
GRANT SELECT (region, id, token), UPDATE (token) ON parted TO {role};
GRANT SELECT (number, token), UPDATE (token) ON seen TO {role};
GRANT SELECT (id, access_token), UPDATE (access_token) ON gh_connection TO {role};
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA keydeck TO {role};
REVOKE INSERT, UPDATE ON keydeck.journal, keydeck.journal_end FROM {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA keydeck TO {role};
"""
INSERTS = (
    "INSERT INTO uuids (token) VALUES (:token)",
    "INSERT INTO tenant.vault (token) VALUES (:token)",
    "INSERT INTO parted VALUES ((ARRAY['eu', 'us', 'de'])[1 + :n % 3], :n, :token)",
    "INSERT INTO hidden VALUES (:n + 1, :token)",
)
COLUMNS = ("uuids.token", "tenant.vault.token", "parted.token", "seen.token")
EACH = 6


@pytest.fixture
def narrow(
    services: Container, superuser: Engine, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """The tables, filled, and the process's environment for a role that may only what it needs."""
    role = f"narrow_{uuid4().hex[:12]}"
    cipher = TokenCipher(services.keyring.trusting(world.old_key.arn))
    with superuser.begin() as connection:
        connection.exec_driver_sql(TABLES)
        for statement in INSERTS:
            for n in range(EACH):
                stored = cipher.encrypt(f"gho_{uuid4().hex}", world.old_key.arn).stored
                needed = {"token": stored, "n": n}
                given = {name: value for name, value in needed.items() if f":{name}" in statement}
                connection.execute(text(statement), given)
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'word'")
        connection.exec_driver_sql(GRANTS.format(role=role))
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(settings))
    url = make_url(os.environ["DATABASE_URL"]).set(username=role, password="word")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    yield superuser
    with superuser.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


@pytest.mark.deep
def test_such_tables_are_counted_listed_verified_rewritten_and_put_back(
    narrow: Engine, keydeck: Callable[..., Ran], world: World
) -> None:
    old, new = world.old_key.arn, world.current_key.arn

    def under(key: str) -> dict[str, int]:
        listed = keydeck("connections", "--filter", f"key:{key}", "--json").json["connections"]
        names = [c["reference"].rpartition(":")[0] for c in listed]
        return {column: names.count(column) for column in COLUMNS}

    whole = dict.fromkeys(COLUMNS, EACH)
    status = keydeck("status", "--json").json
    counted = {c["column"]: c["tokens"] for c in status["by_column"]}
    assert {column: counted[column] for column in COLUMNS} == whole
    assert under(old) == whole
    assert not any("seen" in reason for reason in status["coverage"]["reasons"])
    listed = keydeck("connections", "--filter", f"key:{old}", "--json").json["connections"]
    refs = [c["reference"] for c in listed if c["reference"].rpartition(":")[0] in COLUMNS]
    assert keydeck("verify", *refs).exit_code == 0
    assert keydeck("inspect", refs[0]).exit_code == 0
    ran = keydeck("rewrap", *refs, "--to", new, "--yes")
    assert ran.exit_code == 0, ran.stderr
    assert under(new) == whole
    ran = keydeck("reencrypt", *refs, "--to", old, "--trust", old, "--yes")
    assert ran.exit_code == 0, ran.stderr
    assert under(old) == whole
    keydeck("reencrypt", "--from", old, "--to", new, "--yes", "--job")
    assert under(new) == whole
    assert keydeck("verify", *refs).exit_code == 0
    assert keydeck("jobs", "restore", "1", "--yes").exit_code == 0
    assert under(old) == whole
    assert keydeck("journal", "verify").exit_code == 0
