"""RDS's IAM authentication: a token of its own for each connection, sent as the password and never shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import connected, open_engine, region_of_host
from crypto_core.values import errors
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.tls import Tls

HOST = "acme.cx1abc.eu-central-1.rds.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-central-1"),
        ("acme.cluster-ro-cx1.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("acme.proxy-cx1.ap-southeast-2.RDS.amazonaws.com", "ap-southeast-2"),
        ("acme.cx1.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("db.example", None),
        (f"{HOST}.example", None),
    ],
)
def test_the_region_is_in_the_name_of_an_endpoint_of_rds(host: str, region: str | None) -> None:
    assert region_of_host(host) == region


def test_a_token_is_signed_for_host_user_and_region(environment: dict[str, str]) -> None:
    for region in ("us-west-2", None):
        token = KmsApi(["eu-west-1"]).database_token(HOST, 5432, "app", region)
        asked = parse_qs(urlsplit(f"https://{token}").query)
        assert token.startswith(f"{HOST}:5432/?")
        assert (asked["Action"], asked["DBUser"], asked["X-Amz-Expires"]) == (["connect"], ["app"], ["900"])
        assert f"/{region or 'eu-west-1'}/rds-db/" in asked["X-Amz-Credential"][0]


@pytest.fixture
def tls_url(sandbox: Sandbox, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The test's database by way of what takes a password in plain text, over TLS, as RDS does."""
    tls = Tls(sandbox.folder)
    tls.serve("localhost")
    with pgbouncer(database_url, auth_type="plain", **tls.settings) as pooler:
        user = make_url(database_url).username
        yield (
            f"postgresql://{user}@localhost:{pooler.port}/{make_url(database_url).database}"
            f"?iam=true&sslrootcert={tls.authority}&hostaddr=127.0.0.1"
        )


@needs_pgbouncer
def test_each_new_connection_asks_for_a_token_and_sends_it(
    database_url: str, tls_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    right, asked = str(make_url(database_url).password), []
    answers = [right, right, "token-of-yesterday", right]

    def source(host: str, port: int, user: str, region: str | None) -> str:
        asked.append((host, port, user, region))
        return answers[len(asked) - 1]

    engine = open_engine(tls_url, token_source=source)
    port = make_url(tls_url).port
    with connected(engine) as one:
        one.scalar(text("SELECT 1"))
        assert asked == [("localhost", port, "operator", None)]
        with connected(engine) as two:
            two.scalar(text("SELECT 1"))
            assert len(asked) == 2
    with connected(engine):  # one of the two
        assert len(asked) == 2
    engine.dispose()
    with pytest.raises(errors.DatabaseLoginError, match="password is wrong") as caught, connected(engine):
        pass
    with connected(engine) as again:
        again.scalar(text("SELECT 1"))
        shown = f"{again.connection.driver_connection.dsn} {engine!r} {engine.url!r}"  # type: ignore[union-attr]
    assert len(asked) == 4
    written = f"{caught.value} {caught.value.__cause__} {shown} {caplog.text}"
    assert right not in written
    assert "token-of-yesterday" not in written
    engine.dispose()


def test_credentials_that_give_no_token_are_told_with_what_renews_them() -> None:
    def source(*_: object) -> str:
        raise errors.CredentialsError("No usable AWS credentials.", remedy="aws sso login --profile acme")

    engine = open_engine(f"postgresql://app@{HOST}/d?iam=true", token_source=source)
    with pytest.raises(errors.DatabaseUnreachableError) as caught, connected(engine):
        pass
    assert "No IAM token for the database: No usable AWS credentials." in caught.value.message
    assert caught.value.remedy == "aws sso login --profile acme"
    assert not caught.value.passing
    engine.dispose()


def test_without_anybody_to_ask_iam_is_refused() -> None:
    with pytest.raises(errors.SettingsError, match="iam=true"):
        open_engine(f"postgresql://app@{HOST}/d?iam=true")


def test_the_command_asks_with_its_own_credentials(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, keydeck: Callable[..., object]
) -> None:
    asked = []
    monkeypatch.setattr(KmsApi, "database_token", lambda _, *where: asked.append(where) or "x" * 800)
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/d?iam=true&sslmode=require")
    container = Container(load().settings)
    with pytest.raises(errors.DatabaseUnreachableError, match="Nothing listens"), connected(container.engine):
        pass
    container.close()
    assert asked == [("127.0.0.1", 1, "app", None)]
    ran = keydeck("doctor", "--json")
    assert len(asked) == 2
    assert "x" * 80 not in str(ran)
