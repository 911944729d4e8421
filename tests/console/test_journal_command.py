"""keydeck journal: list with filters, verify, checkpoint; exit codes, and what goes where."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.journal import RESTS_ON_NOTHING
from crypto_core.values.errors import SettingsError

Keydeck = Callable[..., Any]


@pytest.fixture
def signing_key(sandbox: Sandbox, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    key = str(made["KeyMetadata"]["Arn"])
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", key)
    return key


def test_the_journal_is_signed_verified_and_found_out(
    services: Container,
    signing_key: str,
    keydeck: Keydeck,
    forge: Callable[..., None],
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE)
    bare = keydeck("journal", "verify")
    name = services.journal.database_id()
    whole = f"The journal is whole: 3 entries.\nDatabase {name}.\n"
    assert (bare.exit_code, bare.stdout) == (0, whole)
    assert keydeck("journal", "verify", "--database-id", name).exit_code == 0
    other = keydeck("journal", "verify", "--database-id", "11111111-2222-4333-8444-555555555555")
    assert other.exit_code == 1
    assert f"its id is {name}, and 11111111-" in other.stdout
    assert "keydeck journal checkpoint" in bare.stderr

    made = keydeck("journal", "checkpoint", "--json")
    assert (made.exit_code, made.json["seq"], made.json["key_arn"]) == (0, 3, signing_key)
    kept = tmp_path / "checkpoint.json"
    kept.write_text(made.stdout)
    check = keydeck("journal", "verify", "--json").json
    assert (check["whole"], check["anchored"], check["unanchored"], check["entries"]) == (True, 3, 1, 4)
    assert "ECDSA_SHA_256" in keydeck("journal", "checkpoint").stdout
    words = keydeck("journal", "verify", "--checkpoint", str(kept))
    assert re.search(r"^Anchored up to entry 4, (now|\d+ s ago) \(", words.stdout, re.MULTILINE)

    assert keydeck("--read-only", "journal", "checkpoint").exit_code == 2
    assert keydeck("--read-only", "journal", "verify").exit_code == 0
    sandbox.control.add_denial(Denial("*", "kms:Verify"))
    refused = keydeck("journal", "verify")
    assert (refused.exit_code, "kms:Verify" in refused.stderr) == (3, True)
    sandbox.control.clear()
    monkeypatch.delenv("KEYDECK_SIGNING_KEY")
    without = keydeck("journal", "verify")
    assert (without.exit_code, "KEYDECK_SIGNING_KEY" in without.stderr) == (0, True)
    assert keydeck("journal", "checkpoint").exit_code == 2
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", signing_key)

    forge("DELETE FROM keydeck.journal WHERE seq > 3")
    gone = keydeck("journal", "verify", "--json")
    assert (gone.exit_code, gone.json["whole"]) == (1, False)
    assert any("Entry 4 is gone" in problem for problem in gone.json["problems"])
    forge("DELETE FROM keydeck.journal_checkpoint")
    forge("UPDATE keydeck.journal SET subject = E'\\x1b[31m[/red]' WHERE seq = 3")
    broken = keydeck("journal", "verify", "--checkpoint", str(kept))
    assert (broken.exit_code, broken.stdout.splitlines()[0]) == (1, "Entry 3 was changed.")
    listed = keydeck("journal", "list")
    assert "[/red]" in listed.stdout
    assert "\x1b" not in listed.stdout
    unsigned = keydeck("journal", "checkpoint")
    assert (unsigned.exit_code, "Entry 3 was changed" in unsigned.stderr) == (2, True)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"[" * 50_000, b'{"seq": 1}'])
def test_a_file_that_is_no_checkpoint_is_named(
    services: Container, keydeck: Keydeck, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "no-checkpoint"
    file.write_bytes(content)
    ran = keydeck("journal", "verify", "--checkpoint", str(file))
    told = "is not an anchor of the journal, nor a checkpoint." if content else "holds no checkpoint."
    assert (ran.exit_code, "no-checkpoint" in ran.stdout, told in ran.stdout) == (1, True, True)
    begun = keydeck("journal", "break", "--reason", "none", "--checkpoint", str(file), "--yes")
    assert (begun.exit_code, told in " ".join(begun.stderr.split())) == (2, True)


def test_a_list_is_filtered_and_says_when_it_is_not_whole(services: Container, keydeck: Keydeck) -> None:
    services.journal.record("keys disable", "alias/100%_x", Outcome.REFUSED, actor="arn:ana, role x")
    services.journal.record("rewrap", "token 1", Outcome.DONE, actor="arn:ben, role x")
    services.journal.record("rewrap", "token 2", Outcome.DONE, actor="arn:ana, role x")

    def numbers(*options: str) -> list[int]:
        return [e["seq"] for e in keydeck("journal", "list", "--json", *options).json["entries"]]

    assert numbers() == [1, 2, 3]
    assert numbers("--actor", "ANA") == [1, 3]
    assert numbers("--actor", "ana", "--action", "rewrap") == [3]
    assert numbers("--subject", "0%_") == [1]
    assert numbers("--subject", "%") == [1]
    assert numbers("--outcome", "refused") == [1]
    assert numbers("--since", "1h") == [1, 2, 3]
    assert numbers("--until", "1h") == []
    cut = keydeck("journal", "list", "--limit", "2")
    assert [line.split()[0] for line in cut.stdout.splitlines()[1:]] == ["2", "3"]
    assert "there are more" in cut.stderr
    assert keydeck("journal", "list", "--limit", "2", "--json").json["more"] is True


def test_who_had_logged_in_is_shown_where_the_console_says_another(
    services: Container, keydeck: Keydeck
) -> None:
    for role in ("operator", "operator2", "mallory"):
        services.journal.record("rewrap", role, Outcome.DONE, actor=f"arn:ana, database role {role}")
    shown = [
        line.split("arn:ana, ")[1].strip() for line in keydeck("journal", "list").stdout.splitlines()[1:]
    ]
    assert shown == [
        "database role operator",
        "database role operator2 (logged in as operator)",
        "database role mallory (logged in as operator)",
    ]
    entries = keydeck("journal", "list", "--json").json["entries"]
    assert [entry["database_role"] for entry in entries] == ["operator"] * 3


def test_a_signing_key_that_is_no_key_is_named(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", "alias/journal, not a key")
    with pytest.raises(SettingsError, match="KEYDECK_SIGNING_KEY"):
        load()
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", "alias/journal, alias/journal-before")
    assert load().settings.signing_key == ("alias/journal", "alias/journal-before")
    (shown,) = [value for name, value, _ in load().shown() if name == "signing_key"]
    assert shown == "alias/journal, alias/journal-before"


def test_a_journal_with_missing_entries_begins_anew(
    services: Container, signing_key: str, keydeck: Keydeck, forge: Callable[..., None]
) -> None:
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE)
    command = ("journal", "break", "--reason", "A backup was restored.")
    assert keydeck("journal", "checkpoint").exit_code == 0
    whole = keydeck(*command, "--yes")
    assert (whole.exit_code, "The journal is whole" in whole.stderr) == (2, True)
    forge("DELETE FROM keydeck.journal WHERE seq > 2")
    forge(
        "UPDATE keydeck.journal_end SET (seq, digest) ="
        " (SELECT seq, digest FROM keydeck.journal ORDER BY seq DESC LIMIT 1)"
    )
    assert keydeck("journal", "checkpoint").exit_code == 2
    shown = keydeck(*command, "--dry-run", "--json")
    assert (shown.exit_code, [one["seq"] for one in shown.json["lost"]]) == (0, [3])
    unasked = keydeck(*command)
    assert (unasked.exit_code, "Without a terminal it needs --yes" in unasked.stderr) == (2, True)
    done = keydeck(*command, "--yes")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"^The journal is whole from entry \d+ on", done.stdout)
    check = keydeck("journal", "verify")
    assert check.exit_code == 0
    assert "as arn:" in check.stdout
    assert "acknowledged: A backup was restored. The last checkpoint before was over entry 3" in check.stdout
    assert "Acknowledged: Entry 3 is not the one that was signed there." in check.stdout
    assert keydeck("journal", "verify", "--json").json["breaks"][0]["broken"]["lost"][0]["seq"] == 3
    assert keydeck("journal", "checkpoint").exit_code == 0


def test_former_signing_keys_are_named_with_their_end(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", "alias/journal")
    monkeypatch.setenv(
        "KEYDECK_FORMER_SIGNING_KEYS",
        "alias/a until 2026-11-28T12:00:00Z, alias/b until 2026-01-01T00:00+01:00",
    )
    ends = load().settings.former_signing_keys
    assert ends == {
        "alias/a": datetime(2026, 11, 28, 12, tzinfo=UTC),
        "alias/b": datetime(2025, 12, 31, 23, tzinfo=UTC),
    }
    (shown,) = [value for name, value, _ in load().shown() if name == "former_signing_keys"]
    assert shown == "alias/a until 2026-11-28T12:00:00Z, alias/b until 2025-12-31T23:00:00Z"
    for wrong in (
        "alias/a",
        "alias/a until",
        "alias/a until noon",
        "alias/a until 2026-11-28T12:00:00",
        "alias/journal until 2026-11-28T12:00:00Z",
        "no key until 2026-11-28T12:00:00Z",
    ):
        monkeypatch.setenv("KEYDECK_FORMER_SIGNING_KEYS", wrong)
        with pytest.raises(SettingsError, match=r"FORMER_SIGNING_KEYS|former_signing_keys"):
            load()
    monkeypatch.delenv("KEYDECK_FORMER_SIGNING_KEYS")
    file = tmp_path / "settings.toml"
    file.write_text('[former_signing_keys]\n"alias/a" = 2026-11-28T12:00:00Z\n')
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    assert load().settings.former_signing_keys == {"alias/a": datetime(2026, 11, 28, 12, tzinfo=UTC)}


def test_an_export_is_verified_without_database_and_aws(
    services: Container,
    signing_key: str,
    keydeck: Keydeck,
    forge: Callable[..., None],
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchors, export, pem = tmp_path / "anchors", tmp_path / "export", tmp_path / "key.pem"
    monkeypatch.setenv("KEYDECK_ANCHOR_FILE", str(anchors))
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE, {"text": "\x1b[31mé\n"})
    name = services.journal.database_id()
    made = keydeck("journal", "checkpoint")
    assert (made.exit_code, f"Anchored in {anchors}." in made.stdout) == (0, True)
    assert keydeck("journal", "export", str(export)).exit_code == 0
    again = keydeck("journal", "export", str(export))
    assert "already exists" in again.stderr
    public = sandbox.client("kms").get_public_key(KeyId=signing_key)["PublicKey"]
    pem.write_bytes(b64encode(public))
    other = tmp_path / "other.der"
    another = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")
    other.write_bytes(sandbox.client("kms").get_public_key(KeyId=another["KeyMetadata"]["Arn"])["PublicKey"])
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    changed = tmp_path / "changed"
    assert keydeck("journal", "export", str(changed)).exit_code == 0

    for variable in list(os.environ):
        if variable.startswith(("AWS_", "DATABASE_", "KEYDECK_", "TOKEN_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("KEYDECK_SETTINGS", "")

    def verify(*options: object, file: Path = export) -> Any:
        return keydeck("journal", "verify", "--export", str(file), *map(str, options))

    keys = ("--public-key", other, "--public-key", pem)
    well = verify(*keys, "--anchors", anchors, "--database-id", name)
    assert well.exit_code == 0, well.stderr
    assert well.stdout.startswith(f"The journal is whole: 4 entries.\nDatabase {name}.\n")
    assert f"Fixed up to entry 3 by {anchors.name}, line 1; 1 checkpoint kept outside." in well.stdout
    document = verify(*keys, "--json").json
    assert (document["anchored"], document["outside"], document["whole"]) == (3, [], True)
    unsigned = verify()
    assert (unsigned.exit_code, "No signing key is configured" in unsigned.stderr) == (3, True)
    assert RESTS_ON_NOTHING in unsigned.stderr
    assert verify("--public-key", other).exit_code == 1
    assert verify("--former-key", pem, "2020-01-01T00:00:00Z").exit_code == 1
    assert verify("--former-key", pem, "2100-01-01T00:00:00Z").exit_code == 0
    assert verify("--public-key", anchors).exit_code == 2
    assert verify(*keys, "--database-id", "another").exit_code == 1
    found = verify(*keys, file=changed)
    assert (found.exit_code, found.stdout.splitlines()[0]) == (1, "Entry 2 was changed.")

    lines = export.read_text().splitlines(keepends=True)
    cut = tmp_path / "cut"
    cut.write_text("".join(lines[:3]))
    gone = verify(*keys, "--anchors", anchors, file=cut)
    assert gone.exit_code == 1
    assert "The journal ends at entry 2, but the entry written last is 4." in gone.stdout
    assert f"It is kept in {anchors.name}, line 1." in gone.stdout
    for wrong in (
        "",
        "[]\n",
        lines[0] + "{}\n",
        "[" * 90_000,
        lines[0].replace('"keydeck_journal": 1', '"keydeck_journal": 2'),
    ):
        cut.write_text(wrong)
        damaged = verify(*keys, file=cut)
        assert (damaged.exit_code, "can't be read: this is not what Keydeck writes" in damaged.stdout) == (
            1,
            True,
        )
    assert keydeck("journal", "verify", "--public-key", str(pem)).exit_code == 2
