"""keydeck copies: what was scanned is registered, listed, and named before its key is taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from tests.console.command_types import Keydeck
from tests.crypto_core.forensics.copies.test_scan_reader import written
from tests.crypto_core.forensics.copies.values import TOKEN, v1


def test_a_scanned_copy_is_registered_shown_and_named_before_its_key_is_deleted(
    keydeck: Keydeck, services: Any, sandbox: Sandbox, world: World, stored: Any, tmp_path: Path
) -> None:
    """The whole way: a file with envelopes of the sandbox, its scan, the register, the key's deletion."""
    refs = [ref for ref in world.sealed_under(world.old_key) if "#" not in str(ref)][:3]
    (tmp_path / "dump.csv").write_text("\n".join(stored(ref) for ref in refs))
    scanned = tmp_path / "scan.json"
    scanned.write_text(keydeck("scan", "--json", str(tmp_path / "dump.csv")).stdout)
    added = keydeck(
        *("copies", "add", "weekly", "--scanned", str(scanned), "--location", "vault [/red]\x1b[31m 7"),
        *("--taken", "2026-11-01", "--kept-until", "2027-05-31", "--json"),
    )
    assert added.exit_code == 0
    assert added.json["holds"]["lost_with"] == [{"key_arn": world.old_key.arn, "envelopes": 3}]
    assert added.json["holds"]["keys"][0]["key_state"] == "Enabled"
    assert added.json["kept_until"] == "2027-05-31T23:59:59+00:00"

    (row,) = keydeck("copies", "list", "--json").json["copies"]
    assert (row["name"], row["envelopes"], row["taken_at"][:10]) == ("weekly", 3, "2026-11-01")
    for form in ((), ("--csv",)):
        assert "weekly" in keydeck("copies", "list", *form).stdout
    shown = keydeck("copies", "show", "weekly")
    assert "3 envelopes can't be opened" in shown.stdout
    for printed in (added.stdout, shown.stdout, keydeck("copies", "list").stdout):
        assert "\x1b" not in printed
        assert all(stored(ref)[:24] not in printed for ref in refs)

    with services.engine.connect() as connection:
        kept = str(connection.execute(text("SELECT * FROM keydeck.registered_copy")).all())
    kept += str([entry.detail for entry in services.journal.entries()])
    assert world.old_key.arn in kept
    assert all(stored(ref)[:24] not in kept for ref in refs)

    plan = keydeck("keys", "schedule-deletion", world.old_key.arn, "--dry-run", "--json").json
    (needing,) = plan["tokens"]["copies"]["needing"]
    assert (needing["name"], needing["envelopes"]) == ("weekly", 3)
    assert "Copy weekly" in keydeck("keys", "schedule-deletion", world.old_key.arn, "--dry-run").stdout

    assert keydeck("copies", "remove", "weekly", "--json").json == {"removed": "weekly"}
    assert keydeck("copies", "remove", "weekly").exit_code == 2
    assert keydeck("copies", "show", "weekly").exit_code == 2
    assert "No copies are registered" in keydeck("copies", "list").stdout


def test_of_a_scan_of_several_one_is_chosen(keydeck: Keydeck, services: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(v1())
    scanned = tmp_path / "scan.json"
    paths = (str(tmp_path / "a"), str(tmp_path / "b"))
    scanned.write_text(keydeck("scan", "--offline", "--json", *paths).stdout)
    refused = keydeck("copies", "add", "one", "--scanned", str(scanned))
    assert refused.exit_code == 2
    assert "--path" in refused.stderr
    added = keydeck("copies", "add", "one", "--scanned", str(scanned), "--path", paths[1])
    assert added.exit_code == 0
    assert "a key that is not known (1)" in added.stdout


@pytest.mark.parametrize("document", [b"", b"{}", b"not json", b"[" * 50_000, TOKEN])
def test_what_no_scan_wrote_is_refused_and_not_shown(
    document: bytes, keydeck: Keydeck, tmp_path: Path
) -> None:
    (tmp_path / "scan.json").write_bytes(document)
    ran = keydeck("copies", "add", "one", "--scanned", str(tmp_path / "scan.json"))
    assert ran.exit_code == 2
    assert "Canary0" not in ran.stdout + ran.stderr


def test_a_document_with_more_than_a_scan_writes_is_refused_by_its_member(
    keydeck: Keydeck, tmp_path: Path
) -> None:
    document = json.loads(written())
    document["copies"][0]["secret"] = TOKEN.decode()
    (tmp_path / "scan.json").write_text(json.dumps(document))
    ran = keydeck("copies", "add", "one", "--scanned", str(tmp_path / "scan.json"))
    assert ran.exit_code == 2
    assert "copies[0]" in ran.stderr
    assert "Canary0" not in ran.stderr


def test_read_only_nothing_is_registered(
    keydeck: Keydeck, services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan.json").write_bytes(written())
    monkeypatch.setenv("KEYDECK_READ_ONLY", "true")
    ran = keydeck("copies", "add", "one", "--scanned", str(tmp_path / "scan.json"))
    assert ran.exit_code == 2
    assert "read-only" in ran.stderr
    assert keydeck("copies", "list", "--json").json["copies"] == []
