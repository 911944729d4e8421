"""The command's contract: wrong usage, wrong settings, what is down, exit codes, and help."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from console.sandbox.leftovers import claim_folder
from console.sandbox.postgres import Postgres
from console.sandbox.world import World
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import require_schema
from tests.console.command_types import Keydeck

REFERENCE = "gh_connection.access_token"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inspect", "nonsense"), "table.column:row-id"),
        (("inspect", "users.password:1"), "There is no token table"),
        (("inspect", f"{REFERENCE.replace('access', 'other')}:gh-1"), "no readable token column"),
        (("inspect", f"{REFERENCE}:no-such-row"), "no such row"),
        (("inspect", "slack_connection.bot_token:one"), "whole numbers"),
        (("inspect", "slack_connection.bot_token:99999999999999999999"), "whole numbers"),
        (("inspect", f"{REFERENCE}:gh-\x00"), "no row id"),
        (("verify",), "Name references, or --all"),
        (("verify", f"{REFERENCE}:gh-1", "--all"), "Name references, or --all"),
        (("reencrypt", "--to", "alias/tokens"), "--from KEY"),
        (("reencrypt", "--all", "--to", "not a key", "--dry-run"), "Not a KMS key"),
        (("reencrypt", "--from", "alias/tokens", "--to", "alias/tokens", "--dry-run"), "same key"),
        (("connections", "--filter", "colour:red"), "no field 'colour'"),
        (("connections", "--filter", 'org:"acme'), "character 5"),
        (("connections", "--json", "--csv"), "--json or --csv"),
        (("keys", "show", "not a key"), "Not a KMS key"),
        (("nonsense",), "No such command"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(
    keydeck: Keydeck, arguments: tuple[str, ...], says: str
) -> None:
    ran = keydeck(*arguments)
    assert ran.exit_code == 2, ran
    assert says in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DATABASE_URL", None, "No database is configured"),
        ("DATABASE_URL", "mysql://u:hidden-password@h/d", "not a PostgreSQL URL"),
        ("DATABASE_URL", "what is this hidden-password", "not a database URL"),
        ("DATABASE_URL", "postgresql://u:p@hidden-password#@h/d", "@ as %40"),
        (
            "KEYDECK_STATE_URL",
            "postgresql://u:p@hidden-password@h/d",
            "KEYDECK_STATE_URL has more than one @",
        ),
        ("TOKEN_ENCRYPTION_KEY_ID", "key one", "Not a KMS key"),
        ("KEYDECK_TRUSTED_KEYS", "alias/ok,nope nope", "Not a KMS key"),
        (
            "KEYDECK_WRITE_FORMAT",
            "v9",
            "KEYDECK_WRITE_FORMAT (from the environment): The format is none of v1, v2, v2-bound.",
        ),
        (
            "KEYDECK_GITHUB_URL",
            "ftp://x",
            "Tokens are only sent over https, or http on this machine. keydeck help",
        ),
        ("KEYDECK_READ_ONLY", "perhaps", "KEYDECK_READ_ONLY"),
        ("KEYDECK_SETTINGS", "/nowhere/settings.toml", "no settings file"),
    ],
)
def test_wrong_settings_exit_2_and_name_the_setting(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, says: str
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    ran = keydeck("status", "--json")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert "hidden-password" not in ran.stderr


def test_a_database_that_is_down_exits_3_and_names_the_setting(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://operator:hidden-password@127.0.0.1:1/tokens")
    for arguments in (("status",), ("inspect", f"{REFERENCE}:gh-1"), ("verify", "--all")):
        ran = keydeck(*arguments)
        assert ran.exit_code == 3
        assert "DATABASE_URL" in ran.stderr
        assert "hidden-password" not in ran.stderr


@pytest.mark.deep
def test_init_sets_up_two_databases_of_one_name_that_are_reached_by_lists_of_hosts(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [claim_folder(), claim_folder()]
    with Postgres.start(folders[0].path) as tokens, Postgres.start(folders[1].path) as state:
        for name, server in (("DATABASE_URL", tokens), ("KEYDECK_STATE_URL", state)):
            listed = f"127.0.0.1:{server.port},127.0.0.1:{server.port}"
            url = server.url().replace(f"127.0.0.1:{server.port}", listed)
            monkeypatch.setenv(name, url)
        assert "is ready" in keydeck("init").stdout
        for server in (tokens, state):
            engine = open_engine(server.url())
            require_schema(engine)
            engine.dispose()
        assert "already exists" in keydeck("init").stdout
    for folder in folders:
        folder.remove()


def test_a_wrong_password_and_a_missing_database_exit_3(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    url = make_url(database_url)
    for wrong in (url.set(password="guessed"), url.set(database="nowhere")):
        monkeypatch.setenv("DATABASE_URL", wrong.render_as_string(hide_password=False))
        ran = keydeck("status")
        assert ran.exit_code == 3
        assert "guessed" not in ran.stderr


def test_a_kms_that_is_down_leaves_a_census_that_says_what_it_lacks(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    document = keydeck("status", "--json").json
    assert document["tokens"] == len(world.tokens)
    assert document["coverage"]["complete"] is False
    assert {k["key_arn"] for k in document["keys"]} == {None}
    assert sum(k["tokens"] for k in document["keys"]) == document["by_format"]["v1"]
    assert keydeck("check").exit_code == 1
    ref = world.sealed_under(world.current_key)[0]
    assert keydeck("verify", str(ref)).exit_code == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [("not toml [", "not TOML"), ("colour = 1", "unknown setting"), ("read_only = 'x'", "KEYDECK_READ_ONLY")],
)
def test_a_malformed_settings_file_is_named(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    ran = keydeck("status")
    assert ran.exit_code == 2
    assert says in ran.stderr
    assert str(file) in ran.stderr


def test_without_a_terminal_the_console_is_refused_with_what_to_use_instead(keydeck: Keydeck) -> None:
    ran = keydeck()
    assert ran.exit_code == 2
    assert "keydeck status --json" in ran.stderr
