"""keydeck discover: tokens that no inventory knows, and entries that the settings accept."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from console.commands.discover import table_entry
from console.container import Container
from console.sandbox.postgres import OPERATOR
from crypto_core import encrypt_token
from crypto_core.findings.finding import Severity
from tests.console.command_types import Keydeck


@pytest.fixture
def asana(services: Container, platform: Engine) -> None:
    """A table of tokens that nobody declared, some of them in plaintext."""
    with platform.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE asana_connection (id bigint PRIMARY KEY, org_id text, user_email text,"
                " access_token text, backup bytea)"
            )
        )
        for number in range(4):
            stored = encrypt_token("ghp_CANARYcanary0123456789") if number else "xoxb-1234567890-canary"
            connection.execute(
                text("INSERT INTO asana_connection VALUES (:id, 'acme', 'a@b', :token, :backup)"),
                {
                    "id": number,
                    "token": stored,
                    "backup": json.dumps({"t": encrypt_token("ghp_CANARYcanary0123456789")}).encode(),
                },
            )


def test_a_database_without_other_tokens_exits_0(keydeck: Keydeck, services: Container) -> None:
    ran = keydeck("discover")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert "No tokens were found in them." in ran.stdout
    document = keydeck("discover", "--full", "--json").json
    assert document["full"] is True
    assert document["undeclared"] == document["proposed"] == []
    assert document["coverage"] == {"complete": True, "reasons": []}


def test_what_the_role_cannot_read_is_named_and_nothing_is_said_to_be_well(
    keydeck: Keydeck, services: Container, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (id int PRIMARY KEY, note text)"))
        connection.execute(text(f"REVOKE SELECT ON jira_connection FROM {OPERATOR}"))
    ran = keydeck("discover")
    assert ran.exit_code == 1
    assert "Not covered: jira_connection.access_token can't be read. Needed: GRANT" in ran.stderr
    assert "1 column of 1 table in schema public can't be read" in ran.stderr
    coverage = keydeck("discover", "--json").json["coverage"]
    assert (coverage["complete"], any("public.ledger" in why for why in coverage["reasons"])) == (False, True)
    with superuser.begin() as connection:
        connection.execute(text(f"GRANT SELECT ON ledger, jira_connection TO {OPERATOR}"))
    assert keydeck("discover").exit_code == 0


def test_what_is_found_is_listed_with_an_entry_that_makes_it_known(
    keydeck: Keydeck, asana: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = keydeck("discover")
    assert ran.exit_code == 1
    assert "3 v1, 1 slack in 4 rows" in ran.stdout
    assert "asana_connection.backup" in ran.stdout
    assert "CANARY" not in ran.stdout + ran.stderr
    document = keydeck("discover", "--json").json
    (proposed,) = document["proposed"]
    entry = proposed["entry"]
    assert (entry["token_columns"], entry["documents"]) == (["access_token", "backup"], ["backup"])
    assert (entry["id"], entry["id_kind"], entry["provider"]) == ("id", "integer", "slack")
    assert entry["shown"] == ["org_id", "user_email"]
    assert proposed["toml"] in ran.stdout
    before = keydeck("status", "--json").json["tokens"]
    file = tmp_path / "settings.toml"
    file.write_text(proposed["toml"])
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    status = keydeck("status", "--json").json
    assert (status["tokens"], status["coverage"]["complete"]) == (before + 8, True)
    assert keydeck("discover").exit_code == 0


def test_a_column_beside_the_platforms_own_is_added_to_them(
    keydeck: Keydeck, services: Container, platform: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform.begin() as connection:
        connection.execute(text("ALTER TABLE gh_connection ADD COLUMN former_token text"))
        connection.execute(text("UPDATE gh_connection SET former_token = access_token"))
    (proposed,) = keydeck("discover", "--json").json["proposed"]
    assert proposed["entry"]["token_columns"] == ["access_token", "refresh_token", "former_token"]
    file = tmp_path / "settings.toml"
    file.write_text(proposed["toml"])
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    assert keydeck("discover").exit_code == 0
    assert keydeck("status", "--json").json["coverage"]["complete"] is True


def test_status_check_findings_and_doctor_name_it(keydeck: Keydeck, asana: None) -> None:
    status = keydeck("status")
    assert "asana_connection.access_token holds tokens and is in no inventory" in status.stderr
    assert "elsewhere: tokens in 2 columns (samples of" in status.stdout
    assert keydeck("status", "--json").json["coverage"]["complete"] is False
    check = keydeck("check", "--json").json
    assert check["well"] is False
    assert any("asana_connection.backup" in reason for reason in check["coverage"]["reasons"])
    undeclared = [
        f for f in keydeck("findings", "--json").json["findings"] if f["rule"] == "tokens-undeclared"
    ]
    assert {f["subject"] for f in undeclared} == {"asana_connection.access_token", "asana_connection.backup"}
    assert {f["severity"] for f in undeclared} == {Severity.HIGH.value}
    checks = {c["name"]: c for c in keydeck("doctor", "--json").json["checks"]}
    assert checks["asana_connection.backup"]["outcome"] == "failed"
    assert "keydeck discover" in checks["asana_connection.backup"]["remedy"]


def test_a_database_that_fails_exits_3(keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    assert keydeck("discover").exit_code == 3


@pytest.mark.deep
def test_hostile_names_act_on_no_terminal_and_are_whole_in_json(
    keydeck: Keydeck, services: Container, superuser: Engine
) -> None:
    name = 'x"[/red]\x1b[31m%s'
    with superuser.begin() as connection:
        quoted = connection.scalar(text("SELECT quote_ident(:name)"), {"name": name})
        for sql in (
            f"CREATE TABLE {quoted} (id int PRIMARY KEY, {quoted} text)",
            f"INSERT INTO {quoted} VALUES (1, 'ghp_CANARYcanary0123456789')",
            f"GRANT SELECT ON {quoted} TO {OPERATOR}",
            'CREATE TABLE odd (id int PRIMARY KEY, "a\x1bb" text)',
            "INSERT INTO odd VALUES (1, 'ghp_CANARYcanary0123456789')",
            f"GRANT SELECT ON odd TO {OPERATOR}",
        ):
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    for command in ("discover", "status", "check", "doctor"):
        ran = keydeck(command)
        assert "\x1b" not in ran.stdout + ran.stderr
        assert "CANARY" not in ran.stdout + ran.stderr
    ran = keydeck("discover")
    assert "a table in the settings has a name of letters" in ran.stdout
    assert "Only with --json, a name is not printable: odd" in ran.stdout
    document = keydeck("discover", "--json").json
    assert {one["table"] for one in document["undeclared"]} == {name, "odd"}
    (odd,) = [p for p in document["proposed"] if p["entry"]]
    assert tomllib.loads(odd["toml"])["tables"][0]["token_columns"] == ["a\x1bb"]


@pytest.mark.parametrize("name", ['"', "\\", "\x7f", "ü", "😀", "\x1b[0m", "'", "a\nb"])
def test_an_entry_reads_back_as_it_was_whatever_is_in_a_name(name: str) -> None:
    entry = {"name": "t", "id": name, "token_columns": [name, "b"]}
    printed = table_entry(entry)
    assert printed.isascii()
    assert "\x1b" not in printed
    assert tomllib.loads(printed)["tables"] == [entry]
