"""Every command works over any PostgreSQL with the platform's tables and any moto server: no gate of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import boto3
import pytest
from sqlalchemy import insert, make_url, text

from console.container import Container
from console.sandbox.platform import create_tables, gh_connection, slack_connection
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core import encrypt_token
from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens.store import TokenScope
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from tests.plain_moto import plain_moto

pytestmark = pytest.mark.deep

TOKENS = 12
PLAINTEXT = "xoxb-000000000000-000000000000-plainmotoplainmoto"


@pytest.fixture
def moto_url() -> Iterator[str]:
    with plain_moto() as url:
        yield url


@pytest.fixture
def plain(
    environment: dict[str, str], sandbox: Sandbox, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """Two KMS keys in plain moto and a database whose tokens are sealed under the first one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    boto3.client("s3").create_bucket(
        Bucket="trail", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    cloudtrail = boto3.client("cloudtrail")
    cloudtrail.create_trail(Name="trail", S3BucketName="trail")
    cloudtrail.start_logging(Name="trail")
    kms = boto3.client("kms")
    first, second = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", first)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", second)
    name = f"plain_{os.getpid()}"
    sandbox.postgres.create_database(name)
    engine = open_engine(
        make_url(sandbox.platform_database_url).set(database=name).render_as_string(hide_password=False)
    )
    create_tables(engine)
    with engine.begin() as connection:
        now = datetime.now(UTC)
        for number in range(TOKENS):
            connection.execute(
                insert(gh_connection).values(
                    id=f"gh-{number}",
                    org_id="acme",
                    user_id="u",
                    access_token=encrypt_token(f"github_pat_{number:082}"),
                    token_type="bearer",
                    scopes=["repo"],
                    created_at=now,
                )
            )
        connection.execute(
            insert(slack_connection).values(
                org_id="acme", team_id="T1", bot_token=PLAINTEXT, created_at=now, updated_at=now
            )
        )
    monkeypatch.setenv(
        "DATABASE_URL",
        make_url(sandbox.database_url).set(database=name).render_as_string(hide_password=False),
    )
    yield first, second
    engine.dispose()
    admin = open_engine(sandbox.superuser_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def test_a_job_finds_the_key_of_each_token_whose_data_key_has_no_header(
    plain: tuple[str, str], keydeck: Callable[..., object]
) -> None:
    _, second = plain
    untrusted = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    engine = open_engine(os.environ["DATABASE_URL"])
    stored = TokenCipher(KmsKeyring(KmsApi([]), write_key=untrusted)).encrypt("github_pat_else").stored
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE gh_connection SET access_token = :stored WHERE id = 'gh-5'"), {"stored": stored}
        )
    assert keydeck("init").exit_code == 0
    ran = keydeck("reencrypt", "--all", "--to", second, "--job", "--processes", "1", "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (1, TOKENS - 1)
    shown = keydeck("jobs", "show", str(ran.json["job"]), "--errors", "--json").json
    (left,) = shown["not_written"]
    assert (left["reference"], left["kind"]) == ("gh_connection.access_token:gh-5", "unknown-key")
    assert left["reason"] == f"It is under {untrusted}, which is not trusted."
    under = {k["key_arn"]: k["tokens"] for k in keydeck("status", "--json").json["keys"]}
    assert under == {second: TOKENS - 1, untrusted: 1}
    with engine.connect() as connection:
        kept = connection.scalar(text("SELECT access_token FROM gh_connection WHERE id = 'gh-5'"))
    assert kept == stored
    engine.dispose()


def test_every_command_works_on_plain_moto(plain: tuple[str, str], keydeck: Callable[..., object]) -> None:
    first, second = plain
    assert keydeck("init").exit_code == 0
    status = keydeck("status", "--json").json
    assert status["tokens"] == TOKENS + 1
    assert (status["coverage"]["complete"], status["coverage"]["reasons"]) == (True, [])
    (share,) = status["keys"]
    assert (share["key_arn"], share["tokens"], share["evidence"]) == (first, TOKENS, "verified")
    assert share["key_material_id"] is None
    assert keydeck("check").exit_code == 1
    with closing(Container(load().settings)) as services:
        again = services.status.take_census()
        assert [k.tokens for k in again.keys] == [TOKENS]
        asked_for = TokenScope(key_arns=frozenset({first}), edk_prefixes=())
        assert sum(services.store.count(asked_for).values()) == TOKENS
        assert services.kms.calls < TOKENS  # each token was asked about once, and that is kept

    listed = keydeck("connections", "--json", "--filter", f"key:{first}").json
    assert listed["total"] == TOKENS
    inspected = keydeck("inspect", "gh_connection.access_token:gh-3", "--json").json
    assert inspected["key_arn"] == first
    assert keydeck("verify", "gh_connection:gh-3").exit_code == 0
    assert keydeck("verify", "--all").exit_code == 1

    assert keydeck("rewrap", "gh_connection.access_token:gh-3", "--to", second, "--yes").exit_code == 0
    assert keydeck("inspect", "gh_connection.access_token:gh-3", "--json").json["key_arn"] == second
    assert keydeck("reencrypt", "--from", first, "--to", second, "--dry-run").exit_code == 0
    ran = keydeck("reencrypt", "--from", first, "--to", second, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"], ran.json["remaining"]) == (0, TOKENS - 1, 0)
    ran = keydeck("encrypt", "--plaintext", "--to", second, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"]) == (0, 1)
    assert keydeck("verify", "--all", "--json").json["opened"] == TOKENS + 1

    checked = keydeck("check", "--json").json
    assert checked["well"] is True
    assert any("GetKeyLastUsage" in reason for reason in checked["coverage"]["reasons"])
    found = {f["rule"] for f in keydeck("findings", "--json").json["findings"]}
    trail = {"trail-one-region", "trail-unvalidated", "trail-unencrypted", "trail-bucket-unlogged"}
    assert found == {"kms-rotation-off", "kms-single-region", "columns-unguarded", *trail}
    boto3.client("cloudtrail").stop_logging(Name="trail")
    stopped = keydeck("check", "--json")
    assert (stopped.exit_code, [f["rule"] for f in stopped.json["findings"]]) == (1, ["trail-stopped"])
    boto3.client("cloudtrail").start_logging(Name="trail")
    keys = {k["key_arn"]: k for k in keydeck("keys", "list", "--json").json["keys"]}
    assert (keys[first]["tokens"], keys[second]["tokens"]) == (0, TOKENS + 1)
    shown = keydeck("keys", "show", second, "--json").json
    assert shown["key_state"] == "Enabled"
    assert shown["missing"]  # what moto can't answer is told, not hidden
    assert keydeck("settings").exit_code == 0
    assert keydeck("journal", "verify").exit_code == 0
