"""Tables that the settings describe, through every command: counted, verified, written anew, put back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from console.settings import load
from crypto_core import decrypt_token, encrypt_token
from crypto_core.values.references import parse_reference
from tests.conftest import Ran

Keydeck = Callable[..., Ran]
PLAIN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"


@dataclass(frozen=True, slots=True)
class Described:
    """Tables, their entry in the settings, and by each token's reference the SQL of its value as text.

    `write` are statements that store `:a`, an envelope, and `:p`, a plaintext token.
    """

    settings: str
    tables: tuple[str, ...]
    write: tuple[str, ...]
    places: Mapping[str, str]
    plaintext: str
    """The reference of the token that is stored in plaintext."""


TYPES = Described(
    """
[[tables]]
name = "kinds"
id_kind = "integer"
token_columns = ["as_text", "as_varchar", "as_char", "as_bytea", "as_json", "as_jsonb", "as_domain"]
provider = "github"
""",
    (
        "CREATE DOMAIN sealed AS bytea CHECK (octet_length(VALUE) < 5000)",
        """CREATE TABLE kinds (id int PRIMARY KEY, as_text text, as_varchar varchar(4000),
           as_char char(4000), as_bytea bytea, as_json json, as_jsonb jsonb, as_domain sealed)""",
    ),
    (
        """INSERT INTO kinds VALUES (1, :a, :a, :a, convert_to(:a, 'UTF8'), to_json(CAST(:a AS text)),
           to_jsonb(CAST(:a AS text)), convert_to(:a, 'UTF8'))""",
        "INSERT INTO kinds (id, as_bytea) VALUES (2, convert_to(:p, 'UTF8'))",
        "INSERT INTO kinds (id, as_json, as_jsonb) VALUES (3, 'null', 'null')",
    ),
    {
        "kinds.as_text:1": "SELECT as_text FROM kinds WHERE id = 1",
        "kinds.as_varchar:1": "SELECT as_varchar FROM kinds WHERE id = 1",
        "kinds.as_char:1": "SELECT rtrim(as_char) FROM kinds WHERE id = 1",
        "kinds.as_bytea:1": "SELECT convert_from(as_bytea, 'UTF8') FROM kinds WHERE id = 1",
        "kinds.as_json:1": "SELECT as_json #>> '{}' FROM kinds WHERE id = 1",
        "kinds.as_jsonb:1": "SELECT as_jsonb #>> '{}' FROM kinds WHERE id = 1",
        "kinds.as_domain:1": "SELECT convert_from(as_domain, 'UTF8') FROM kinds WHERE id = 1",
        "kinds.as_bytea:2": "SELECT convert_from(as_bytea, 'UTF8') FROM kinds WHERE id = 2",
    },
    "kinds.as_bytea:2",
)

IDS = Described(
    """
[[tables]]
name = "vault"
id = ["tenant", "uid"]
token_columns = ["token", "secrets"]
documents = ["secrets"]
provider = "github"

[[tables]]
name = "uuids"
id_kind = "uuid"
token_columns = ["token"]
provider = "github"
""",
    (
        """CREATE TABLE vault (tenant text, uid uuid, token text, secrets bytea,
           PRIMARY KEY (tenant, uid))""",
        "CREATE TABLE uuids (id uuid PRIMARY KEY, token text)",
    ),
    (
        "INSERT INTO vault VALUES ('a/b', '0b7f4c1e-1111-4222-8333-4444abcd9f2c', :a, NULL)",
        """INSERT INTO vault VALUES ('acme', '0b7f4c1e-1111-4222-8333-4444abcd9f2c', :a,
           convert_to(json_build_object('bot', CAST(:a AS text), 'app', CAST(:p AS text))::text, 'UTF8'))""",
        "INSERT INTO uuids VALUES ('0b7f4c1e-1111-4222-8333-4444abcd9f2d', :a)",
    ),
    {
        "vault.token:a%2Fb/0b7f4c1e-1111-4222-8333-4444abcd9f2c": (
            "SELECT token FROM vault WHERE tenant = 'a/b'"
        ),
        "vault.token:acme/0b7f4c1e-1111-4222-8333-4444abcd9f2c": (
            "SELECT token FROM vault WHERE tenant = 'acme'"
        ),
        "vault.secrets:acme/0b7f4c1e-1111-4222-8333-4444abcd9f2c#bot": (
            "SELECT convert_from(secrets, 'UTF8')::json ->> 'bot' FROM vault WHERE tenant = 'acme'"
        ),
        "vault.secrets:acme/0b7f4c1e-1111-4222-8333-4444abcd9f2c#app": (
            "SELECT convert_from(secrets, 'UTF8')::json ->> 'app' FROM vault WHERE tenant = 'acme'"
        ),
        "uuids.token:0b7f4c1e-1111-4222-8333-4444abcd9f2d": "SELECT token FROM uuids",
    },
    "vault.secrets:acme/0b7f4c1e-1111-4222-8333-4444abcd9f2c#app",
)

SCHEMAS = Described(
    """
[[tables]]
name = "gh_connection"
schema = "tenant-*"

[[tables]]
name = "connectors"
schema = "tenant-*"

[[tables]]
name = "vault"
schema = "Old Tenants."
id = ["tenant", "number"]
token_columns = ["token"]
provider = "github"
""",
    (
        'CREATE SCHEMA "tenant-1"',
        'CREATE SCHEMA "tenant-2"',
        'CREATE SCHEMA "Old Tenants."',
        'CREATE TABLE "tenant-1".gh_connection (LIKE public.gh_connection INCLUDING ALL)',
        'CREATE TABLE "tenant-2".gh_connection (LIKE public.gh_connection INCLUDING ALL)',
        'CREATE TABLE "tenant-1".connectors (LIKE public.connectors INCLUDING ALL)',
        'CREATE TABLE "tenant-2".connectors (LIKE public.connectors INCLUDING ALL)',
        """CREATE TABLE "Old Tenants.".vault (tenant text, number int, token text,
           PRIMARY KEY (tenant, number))""",
        f"""DO $$ DECLARE one text; BEGIN
            FOREACH one IN ARRAY ARRAY['tenant-1', 'tenant-2', 'Old Tenants.'] LOOP
                EXECUTE format('GRANT USAGE ON SCHEMA %I TO {OPERATOR}', one);
                EXECUTE format('GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA %I TO {OPERATOR}', one);
            END LOOP; END $$""",
    ),
    (
        """INSERT INTO "tenant-1".gh_connection
           (id, user_id, org_id, access_token, token_type, scopes, created_at)
           VALUES ('42', 'u', 'o', :a, 'bearer', '[]', now())""",
        """INSERT INTO "tenant-2".gh_connection
           (id, user_id, org_id, access_token, token_type, scopes, created_at)
           VALUES ('42', 'u', 'o', :p, 'bearer', '[]', now())""",
        """INSERT INTO "tenant-1".connectors (id, user_id, provider, name, secret_json, created_at) VALUES
           (1, 'u', 'p', 'n', convert_to(json_build_object('bot', CAST(:a AS text))::text, 'UTF8'), now())""",
        """INSERT INTO "Old Tenants.".vault VALUES ('acme', 7, :a)""",
    ),
    {
        "tenant-1.gh_connection.access_token:42": 'SELECT access_token FROM "tenant-1".gh_connection',
        "tenant-2.gh_connection.access_token:42": 'SELECT access_token FROM "tenant-2".gh_connection',
        "tenant-1.connectors.secret_json:1#bot": (
            """SELECT convert_from(secret_json, 'UTF8')::json ->> 'bot' FROM "tenant-1".connectors"""
        ),
        "Old%20Tenants%2E.vault.token:acme/7": 'SELECT token FROM "Old Tenants.".vault',
    },
    "tenant-2.gh_connection.access_token:42",
)


@pytest.mark.deep
@pytest.mark.parametrize("described", [TYPES, IDS, SCHEMAS], ids=["types", "ids", "schemas"])
def test_a_described_table_is_all_that_a_built_in_one_is(
    keydeck: Keydeck,
    superuser: Engine,
    world: World,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    described: Described,
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(described.settings)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(settings))
    assert keydeck("init").exit_code == 0
    with superuser.begin() as connection:
        for statement in (
            *described.tables,
            f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {OPERATOR}",
        ):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    with superuser.begin() as connection:
        for statement in described.write:
            connection.execute(text(statement), _values(statement))

    def values() -> dict[str, str]:
        with superuser.connect() as connection:
            return {ref: str(connection.scalar(text(sql))) for ref, sql in described.places.items()}

    with closing(Container(load().settings)) as container:
        known = {ref: container.catalogue().references(parse_reference(ref)) for ref in described.places}

    def opened() -> dict[str, str]:
        return {ref: decrypt_token(v, *known[ref]) for ref, v in values().items()}

    refs = list(described.places)
    filter_ = "table:" + ",".join(sorted({ref.rpartition(":")[0].rpartition(".")[0] for ref in refs}))
    secrets = dict.fromkeys(refs, "gho_sealed") | {described.plaintext: PLAIN}
    before = values()

    status = keydeck("status", "--json").json
    assert status["tokens"] == len(world.tokens) + len(refs)
    assert (status["coverage"]["complete"], status["coverage"]["reasons"]) == (True, [])
    listed = keydeck("connections", "--filter", filter_, "--json").json["connections"]
    assert {c["reference"] for c in listed} == set(refs)
    ran = keydeck("encrypt", "--filter", f"{filter_} format:plaintext", "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, 1), ran.stderr
    assert opened() == secrets
    for ref in (refs[0], described.plaintext):
        inspected = keydeck("inspect", ref, "--json")
        assert (inspected.exit_code, inspected.json["format"]) == (0, "v1"), inspected.stderr
    verified = keydeck("verify", *refs, "--json")
    assert (verified.exit_code, verified.json["opened"]) == (0, len(refs)), verified.stdout
    assert {ref for ref, v in values().items() if v != before[ref]} == {described.plaintext}

    key = new_key()
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{os.environ['KEYDECK_TRUSTED_KEYS']},{key}")
    ran = keydeck("rewrap", refs[0], "--to", key, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, 1), ran.stderr
    ran = keydeck("reencrypt", "--filter", filter_, "--to", key, "--yes", "--job", "--json")
    assert (ran.exit_code, ran.json["done"], ran.json["remaining"]) == (0, len(refs), 0), ran.stderr
    assert opened() == secrets
    with closing(Container(load().settings)) as container:
        assert container.services.status.prover.prove(about=key).tokens_under(key) == len(refs)
    moved = values()
    assert keydeck("jobs", "restore", "1", "--yes").exit_code == 0
    assert opened() == secrets
    assert all(moved[ref] != v for ref, v in values().items())

    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    ran = keydeck("reencrypt", *refs, "--to", key, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, len(refs)), ran.stderr
    assert opened() == secrets
    assert keydeck("verify", *refs).exit_code == 0
    ran = keydeck("reencrypt", "--from", key, "--to", world.current_key.arn, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, len(refs)), ran.stderr
    ran = keydeck("backups", "restore", *refs, "--yes", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert opened() == secrets
    assert keydeck("guard", "--sql", "--all").exit_code in (0, 1)


def _values(statement: str) -> dict[str, str]:
    return {
        name: value
        for name, value in (("a", encrypt_token("gho_sealed")), ("p", PLAIN))
        if f":{name}" in statement
    }
