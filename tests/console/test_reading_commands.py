"""Commands that read: status, check, connections, inspect, verify, keys and settings."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from console.sandbox.world import World
from crypto_core.envelope import Format
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape


def test_status_json_is_the_documented_document_and_adds_up(keydeck: Keydeck, world: World) -> None:
    ran = keydeck("status", "--json")
    document = ran.json
    assert ran.exit_code == 0
    assert ran.stderr == ""
    assert set(document) == {
        "protected",
        "problems",
        *("tokens", "by_format", "by_column", "keys", "coverage"),
        "accepted_as_unrecoverable",
        "decoys",
    }
    assert document["accepted_as_unrecoverable"] == []
    assert set(document["by_format"]) == {f.value for f in Format}
    assert document["by_format"] == {f.value: n for f, n in world.by_format.items()}
    assert document["tokens"] == sum(document["by_format"].values())
    assert document["tokens"] == sum(c["tokens"] for c in document["by_column"])
    enveloped = document["by_format"]["v1"] + document["by_format"]["v2"]
    assert enveloped == sum(k["tokens"] for k in document["keys"])
    for share in document["keys"]:
        told = {"key_arn", "alias", "key_state", "key_material_id", "tokens", "evidence", "asked_at"}
        assert set(share) == told
    named = {k["alias"] for k in document["keys"] if k["key_arn"]}
    assert named == {"alias/tokens", "alias/tokens-old"}
    covered = {"complete": True, "reasons": [], "elsewhere": "sampled"}
    assert document["coverage"].items() >= covered.items()


def test_status_as_text_puts_what_is_wrong_first(keydeck: Keydeck) -> None:
    lines = keydeck("status").stdout.splitlines()
    assert lines[0].startswith("✖ critical")
    assert "in plaintext" in lines[0]


def test_check_fails_while_anything_is_unprotected_and_says_what(keydeck: Keydeck) -> None:
    ran = keydeck("check", "--json")
    assert ran.exit_code == 1
    assert ran.json["well"] is False
    assert {"critical", "high"} <= {p["severity"] for p in ran.json["problems"]}
    status = keydeck("status", "--json").json
    assert {name: status[name] for name in ("protected", "problems")} == {
        name: ran.json[name] for name in ("protected", "problems")
    }


def test_check_passes_once_every_token_is_protected(
    keydeck: Keydeck, superuser: Engine, world: World
) -> None:
    with superuser.begin() as connection:
        for ref in world.corrupt:
            connection.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})
    assert keydeck("init").exit_code == 0
    encrypted = keydeck("encrypt", "--plaintext", "--yes", "--json")
    assert (encrypted.exit_code, encrypted.json["remaining"]) == (0, 0)
    assert keydeck("check").exit_code == 0


def test_check_with_aws_settings_that_cannot_be_used_exits_2(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", "nonsense")
    ran = keydeck("check")
    assert (ran.exit_code, "nonsense" in ran.stderr) == (2, True)


def test_check_fails_under_an_untrusted_key(
    keydeck: Keydeck, superuser: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    ran = keydeck("check", "--json")
    assert ran.exit_code == 1
    assert any(
        "not trusted" in p["title"] and p["key_arn"] == world.old_key.arn for p in ran.json["problems"]
    )


def test_connections_lists_what_the_filter_lets_through_as_json_csv_and_text(
    keydeck: Keydeck, world: World
) -> None:
    document = keydeck("connections", "--filter", "format:plaintext", "--json").json
    assert document["total"] == len(document["connections"]) == len(world.plaintext_refs)
    assert {c["reference"] for c in document["connections"]} == {str(r) for r in world.plaintext_refs}
    assert {c["severity"] for c in document["connections"]} == {"critical"}
    rows = list(
        csv.reader(io.StringIO(keydeck("connections", "--filter", "format:plaintext", "--csv").stdout))
    )
    assert len(rows) == 1 + len(world.plaintext_refs)
    assert len(keydeck("connections").stdout.splitlines()) == 1 + len(world.tokens)


def test_a_limited_list_says_that_it_is_not_whole(keydeck: Keydeck, world: World) -> None:
    document = keydeck("connections", "--limit", "3", "--json").json
    assert len(document["connections"]) == 3
    assert document["coverage"]["complete"] is False
    assert "of" in keydeck("connections", "--limit", "3").stderr


def test_csv_defuses_formulas_and_control_characters(keydeck: Keydeck, superuser: Engine) -> None:
    with superuser.begin() as connection:
        connection.execute(text("UPDATE slack_connection SET org_id = E'=cmd|\\x1b[31m'"))
    ran = keydeck("connections", "--filter", "provider:slack", "--csv")
    assert "'=cmd|[31m" in ran.stdout
    assert "\x1b" not in ran.stdout


@pytest.mark.deep
def test_hostile_text_from_the_database_reaches_no_terminal(keydeck: Keydeck, superuser: Engine) -> None:
    hostile = "[/red]\x1b]52;c;aGk=\x07\u202etxt\u200b" + "W" * 5000
    with superuser.begin() as connection:
        connection.execute(text("UPDATE gh_connection SET org_id = :h, id = id || :h"), {"h": hostile})
    for arguments in (("connections",), ("connections", "--json"), ("connections", "--csv"), ("status",)):
        printed = keydeck(*arguments).stdout
        assert not any(c in printed for c in ("\x1b", "\x07", "\u202e", "\u200b"))


def test_inspect_shows_an_envelope_field_by_field(keydeck: Keydeck, world: World) -> None:
    ref = world.sealed_under(world.current_key)[0]
    ran = keydeck("inspect", str(ref), "--json")
    document = ran.json
    (row,) = keydeck("connections", "--filter", f'reference:"{ref}"', "--json").json["connections"]
    for token in (document, row):
        assert_shape("token", token)
    found_out = ("key_arn", "key_material_id", "evidence")  # a list asks KMS nothing
    assert {name: document[name] for name in row} == row | {name: document[name] for name in found_out}
    assert (ran.exit_code, document["reference"], document["format"]) == (0, str(ref), "v1")
    assert document["key_arn"] == world.current_key.arn
    assert document["key_material_id"] in world.current_key.material_ids
    assert document["evidence"] == "verified"
    assert [f["name"] for f in document["fields"]] == ["version", "encrypted data key", "nonce", "ciphertext"]
    assert "184 bytes" in document["fields"][1]["value"]
    assert world.token_for(ref) not in ran.stdout


def test_inspect_of_a_row_shows_each_of_its_tokens(keydeck: Keydeck, world: World) -> None:
    row = next(r for r in world.tokens if r.column == "refresh_token")
    document = keydeck("inspect", f"{row.table}:{row.row_id}", "--json").json
    assert [t["reference"].split(":")[0] for t in document["tokens"]] == [
        f"{row.table}.access_token",
        f"{row.table}.refresh_token",
    ]


def test_inspect_of_plaintext_says_so_and_shows_nothing_of_it(keydeck: Keydeck, world: World) -> None:
    ref = world.plaintext_refs[0]
    ran = keydeck("inspect", str(ref))
    assert "plaintext" in ran.stdout
    assert world.token_for(ref)[5:] not in ran.stdout


def test_verify_tells_only_whether_tokens_open(keydeck: Keydeck, world: World) -> None:
    good = world.sealed_under(world.current_key)[0]
    ran = keydeck("--read-only", "verify", str(good))
    assert (ran.exit_code, "opened" in ran.stdout) == (0, True)
    assert world.token_for(good) not in ran.stdout + ran.stderr
    assert keydeck("verify", str(world.plaintext_refs[0])).exit_code == 1


def test_verify_all_names_each_token_that_does_not_open(keydeck: Keydeck, world: World) -> None:
    document = keydeck("verify", "--all", "--json").json
    unopened = {*map(str, world.corrupt), *map(str, world.plaintext_refs), *map(str, world.dev_refs)}
    assert {v["reference"] for v in document["failed"]} == unopened
    assert document["tokens"] == len(world.tokens)
    assert document["opened"] == document["tokens"] - len(unopened)


@pytest.mark.deep
def test_whatever_concludes_names_what_status_names_as_not_covered(
    keydeck: Keydeck, environment: dict[str, str], superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("DELETE FROM gh_connection WHERE access_token NOT LIKE 'djF8%'"))
        connection.execute(text("CREATE TABLE stash AS SELECT id, access_token FROM gh_connection"))
        connection.execute(text("GRANT SELECT ON stash TO operator"))
        for table in ("jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f"REVOKE ALL ON {table} FROM operator"))
    reasons = keydeck("status", "--json").json["coverage"]["reasons"]
    for name in ("jira_connection.access_token can't be read", "stash.access_token holds tokens"):
        assert any(reason.startswith(name) for reason in reasons)
    written = ("--to", "alias/tokens", "--dry-run")
    for code, *command in (
        (1, "verify", "--all"),
        (1, "reencrypt", "--all", *written),
        (1, "rewrap", "--from", "alias/tokens-old", *written),
        (1, "reencrypt", "--filter", "provider:github AND format:v1", *written),
        (1, "reencrypt", "--all", *written, "--job"),
        (1, "guard", "--status"),
        (0, "keys", "show", "alias/tokens-old"),
        (0, "keys", "list"),
        (0, "connections", "--filter", "format:plaintext"),
    ):
        ran = keydeck(*command, "--json")
        named = ran.json["not_covered" if command[0] == "guard" else "coverage"]
        named = named if command[0] == "guard" else named["reasons"]
        assert (ran.exit_code, set(reasons) - {*named}) == (code, set()), command
    assert all(f"Not covered: {r}" in keydeck("keys", "show", "alias/tokens-old").stderr for r in reasons)


def test_keys_are_listed_with_the_tokens_under_each(keydeck: Keydeck, world: World) -> None:
    document = keydeck("keys", "list", "--json").json
    by_arn = {k["key_arn"]: k for k in document["keys"]}
    assert by_arn[world.current_key.arn]["aliases"] == ["alias/tokens"]
    under = sum(n for (arn, _), n in world.by_key.items() if arn == world.current_key.arn)
    assert by_arn[world.current_key.arn]["tokens"] == under
    shown = keydeck("keys", "show", "alias/tokens", "--json").json
    assert [m["key_material_id"] for m in shown["materials"]] == list(world.current_key.material_ids)
    assert shown["rotation_enabled"] is True
    assert keydeck("keys", "show", "alias/nowhere").exit_code == 3


def test_settings_tell_where_each_value_came_from_and_mask_secrets(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('regions = ["eu-west-1", "us-east-1"]\nread_only = true\n')
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    monkeypatch.setenv("KEYDECK_READ_ONLY", "false")
    rows = {s["name"]: s for s in keydeck("settings", "--json").json["settings"]}
    assert (rows["regions"]["value"], rows["regions"]["origin"]) == ("eu-west-1, us-east-1", str(file))
    assert (rows["read_only"]["value"], rows["read_only"]["origin"]) == ("False", "the environment")
    assert rows["write_format"]["origin"] == "default"
    assert str(make_url(database_url).password) not in json.dumps(rows)
    optioned = {s["name"]: s for s in keydeck("--read-only", "settings", "--json").json["settings"]}
    assert (optioned["read_only"]["value"], optioned["read_only"]["origin"]) == ("True", "option")
