"""The command's contract: documents on stdout, messages on stderr, exit codes, dry runs, refusals."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text

from console.sandbox.endpoint.control import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format

Keydeck = Callable[..., Any]
NewKey = Callable[[], str]
Stored = Callable[[Any], str]

REFERENCE = "gh_connection.access_token"


def test_status_json_is_the_documented_document_and_adds_up(keydeck: Keydeck, world: World) -> None:
    ran = keydeck("status", "--json")
    document = ran.json
    assert ran.exit_code == 0
    assert ran.stderr == ""
    assert set(document) == {"tokens", "by_format", "by_column", "keys", "coverage"}
    assert set(document["by_format"]) == {f.value for f in Format}
    assert document["by_format"] == {f.value: n for f, n in world.by_format.items()}
    assert document["tokens"] == sum(document["by_format"].values())
    assert document["tokens"] == sum(c["tokens"] for c in document["by_column"])
    enveloped = document["by_format"]["v1"] + document["by_format"]["v2"]
    assert enveloped == sum(k["tokens"] for k in document["keys"])
    for share in document["keys"]:
        assert set(share) == {"key_arn", "alias", "key_state", "key_material_id", "tokens", "evidence"}
    named = {k["alias"] for k in document["keys"] if k["key_arn"]}
    assert named == {"alias/tokens", "alias/tokens-old"}
    assert document["coverage"] == {"complete": True, "reasons": []}


def test_status_as_text_puts_what_is_wrong_first(keydeck: Keydeck) -> None:
    lines = keydeck("status").stdout.splitlines()
    assert lines[0].startswith("✖ critical")
    assert "in plaintext" in lines[0]


def test_check_fails_while_anything_is_unprotected_and_says_what(keydeck: Keydeck) -> None:
    ran = keydeck("check", "--json")
    assert ran.exit_code == 1
    assert ran.json["well"] is False
    assert {"critical", "high"} <= {p["severity"] for p in ran.json["problems"]}


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
    ran = keydeck("verify", str(good))
    assert (ran.exit_code, "opened" in ran.stdout) == (0, True)
    assert world.token_for(good) not in ran.stdout + ran.stderr
    assert keydeck("verify", str(world.plaintext_refs[0])).exit_code == 1


def test_verify_all_names_each_token_that_does_not_open(keydeck: Keydeck, world: World) -> None:
    document = keydeck("verify", "--all", "--json").json
    unopened = {*map(str, world.corrupt), *map(str, world.plaintext_refs), *map(str, world.dev_refs)}
    assert {v["reference"] for v in document["failed"]} == unopened
    assert document["tokens"] == len(world.tokens)
    assert document["opened"] == document["tokens"] - len(unopened)


def test_a_dry_run_changes_nothing(keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored) -> None:
    keydeck("init")
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    for command in ("rewrap", "reencrypt"):
        document = keydeck(command, str(ref), "--to", new_key(), "--dry-run", "--json").json
        assert (document["dry_run"], document["tokens"]) == (True, 1)
    assert stored(ref) == before
    entries = keydeck("journal", "list", "--json").json["entries"]
    assert [e["outcome"] for e in entries] == ["done", "dry run", "dry run"]


def test_what_changes_something_needs_yes_without_a_terminal(
    keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored
) -> None:
    keydeck("init")
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    ran = keydeck("reencrypt", str(ref), "--to", new_key())
    assert (ran.exit_code, "--yes" in ran.stderr) == (2, True)
    assert stored(ref) == before


def test_rewrap_keeps_nonce_and_ciphertext_and_reencrypt_does_not(
    keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored
) -> None:
    from crypto_core.envelope import parse

    keydeck("init")
    first, second = world.sealed_under(world.current_key)[:2]
    key = new_key()
    before = {ref: parse(stored(ref)) for ref in (first, second)}
    assert keydeck("rewrap", str(first), "--to", key, "--yes").exit_code == 0
    assert keydeck("reencrypt", str(second), "--to", key, "--yes").exit_code == 0
    after = {ref: parse(stored(ref)) for ref in (first, second)}
    assert (after[first].nonce, after[first].ciphertext) == (before[first].nonce, before[first].ciphertext)
    assert after[first].encrypted_data_key != before[first].encrypted_data_key
    assert after[second].nonce != before[second].nonce
    assert after[second].ciphertext != before[second].ciphertext
    for ref in (first, second):
        assert keydeck("inspect", str(ref), "--json").json["key_arn"] == key
        assert keydeck("verify", str(ref), "--trust", key).exit_code == 0


def test_reencrypt_from_a_key_empties_it_and_reports(keydeck: Keydeck, world: World, new_key: NewKey) -> None:
    keydeck("init")
    sound = len(world.sealed_under(world.current_key))
    ran = keydeck("reencrypt", "--from", "alias/tokens", "--to", new_key(), "--yes", "--json")
    document = ran.json
    assert document["done"] == sound
    # The corrupt ones that name the key can't be written; they are told, and the exit code says so.
    assert document["planned"] - sound == len(document["poisoned"])
    assert ran.exit_code == (1 if document["poisoned"] else 0)
    keys = keydeck("status", "--json").json["keys"]
    assert not [k for k in keys if k["key_arn"] == world.current_key.arn]
    again = keydeck("reencrypt", "--from", "alias/tokens", "--to", new_key(), "--yes", "--json")
    assert (again.exit_code, again.json["planned"]) == (0, 0)


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
        ("TOKEN_ENCRYPTION_KEY_ID", "key one", "Not a KMS key"),
        ("KEYDECK_TRUSTED_KEYS", "alias/ok,nope nope", "Not a KMS key"),
        ("KEYDECK_WRITE_FORMAT", "v9", "KEYDECK_WRITE_FORMAT"),
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


def test_a_kms_that_refuses_stops_the_run_with_exit_3_and_nothing_changed(
    keydeck: Keydeck, sandbox: Sandbox, world: World, stored: Stored, new_key: NewKey
) -> None:
    keydeck("init")
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    key = new_key()
    for prepare, says in (
        (lambda: sandbox.control.add_denial(Denial("*", "kms:GenerateDataKey")), "kms:GenerateDataKey"),
        (
            lambda: sandbox.control.add_fault(Fault("GenerateDataKey", "KMSInternalException")),
            "KMS failed internally",
        ),
    ):
        sandbox.control.clear()
        prepare()
        ran = keydeck("reencrypt", str(ref), "--to", key, "--yes")
        assert ran.exit_code == 3, ran
        assert says in ran.stderr
        assert stored(ref) == before


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_a_target_key_that_cannot_be_used_is_refused_before_anything_happens(
    keydeck: Keydeck, sandbox: Sandbox, world: World, stored: Stored, new_key: NewKey, state: str
) -> None:
    keydeck("init")
    key = new_key()
    kms = sandbox.client("kms")
    if state == "Disabled":
        kms.disable_key(KeyId=key)
    else:
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    ran = keydeck("rewrap", str(ref), "--to", key, "--yes")
    assert ran.exit_code == 2
    assert state in ran.stderr
    assert stored(ref) == before
    entry = keydeck("journal", "list", "--json").json["entries"][-1]
    assert (entry["outcome"], entry["action"]) == ("refused", "rewrap")


def test_without_the_schema_nothing_is_written_and_the_way_out_is_named(
    keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored
) -> None:
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    ran = keydeck("reencrypt", str(ref), "--to", new_key(), "--yes")
    assert ran.exit_code == 3
    assert "keydeck init" in ran.stderr
    assert stored(ref) == before


def test_read_only_inspects_and_refuses_every_change(
    keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored
) -> None:
    keydeck("init")
    key = new_key()
    ref, plain = world.sealed_under(world.current_key)[0], world.plaintext_refs[0]
    before = stored(ref), stored(plain)
    assert keydeck("--read-only", "status").exit_code == 0
    assert keydeck("--read-only", "verify", str(ref)).exit_code == 0
    assert keydeck("--read-only", "rewrap", str(ref), "--to", key, "--dry-run").exit_code == 0
    for arguments in (
        ("rewrap", str(ref), "--to", key, "--yes"),
        ("reencrypt", "--from", "alias/tokens", "--to", key, "--yes"),
        ("encrypt", str(plain), "--to", key, "--yes"),
        ("init",),
    ):
        ran = keydeck("--read-only", *arguments)
        assert ran.exit_code == 2, arguments
        assert "read only" in ran.stderr
    assert (stored(ref), stored(plain)) == before


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


def begun(superuser: Engine) -> bool:
    """True once a run has written its first entry into the journal."""
    statement = text("SELECT EXISTS (SELECT FROM keydeck.journal WHERE outcome = 'started')")
    with superuser.connect() as connection:
        return bool(connection.scalar(statement))


def test_an_interrupted_run_exits_130_and_can_be_run_again(
    sandbox: Sandbox, world: World, keydeck: Keydeck, new_key: NewKey, superuser: Engine
) -> None:
    keydeck("init")
    key = new_key()
    sandbox.control.set_latency(100)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "console",
            "reencrypt",
            "--from",
            "alias/tokens",
            "--to",
            key,
            "--yes",
            "--json",
        ],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("KMS calls"):
            break
    deadline = time.monotonic() + 60
    while not begun(superuser) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    sandbox.control.clear()
    document = json.loads(stdout)
    assert process.returncode == 130
    assert document["interrupted"] is True
    assert document["remaining"] > 0
    again = keydeck("reencrypt", "--from", "alias/tokens", "--to", key, "--yes", "--json").json
    assert document["done"] + again["done"] == len(world.sealed_under(world.current_key))
    assert again["remaining"] == 0


def test_without_a_terminal_the_console_is_refused_with_what_to_use_instead(keydeck: Keydeck) -> None:
    ran = keydeck()
    assert ran.exit_code == 2
    assert "keydeck status --json" in ran.stderr


def test_help_lists_every_command_and_imports_none(environment: dict[str, str]) -> None:
    code = (
        "import sys; from console.__main__ import run; run(['--help']);"
        "heavy = {'boto3', 'sqlalchemy', 'textual', 'pydantic', 'moto'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for name in (
        "demo",
        "status",
        "check",
        "connections",
        "inspect",
        "verify",
        "rewrap",
        "reencrypt",
        "encrypt",
    ):
        assert name in ran.stdout
