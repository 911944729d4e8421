"""keydeck evidence pack and verify: a day of the sandbox as a folder, and what a change of it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.crypto_core.compliance.pack.foreign_readers import bill_trouble, read_results


def test_a_day_is_packed_and_verified_by_the_public_key_by_kms_and_by_nothing_but_itself(
    keydeck: Keydeck,
    sandbox: Sandbox,
    services: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kms = sandbox.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    public = tmp_path / "public.der"
    public.write_bytes(kms.get_public_key(KeyId=key)["PublicKey"])
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", key)
    monkeypatch.setenv("KEYDECK_EVENTS_FILE", str(tmp_path / "events"))
    assert keydeck("init").exit_code == 0
    recorded = keydeck("evidence", "record", "--yes", "--json").json
    day, folder = recorded["taken_at"][:10], tmp_path / "pack"
    asked = ("evidence", "pack", "--from", day, "--to", day, "--framework", "soc2", "--output", str(folder))
    made = keydeck(*asked, "--json")
    assert made.exit_code == 0, made.stderr
    assert made.json["signature"]["key_arn"] == key
    assert {"report.html", "report.json", "cbom.cdx.json"} <= {path.name for path in folder.iterdir()}
    assert bill_trouble((folder / "cbom.cdx.json").read_text()) is None
    told = read_results(folder / "oscal-assessment-results.json")
    controls = json.loads((folder / "report.json").read_text())["controls"]
    assert [len(one.findings or ()) for one in told.results] == [len(controls)]
    assert json.loads((folder / "report.json").read_text())["records"][0]["sha256"] == recorded["sha256"]
    assert keydeck(*asked).exit_code == 2  # it is there
    # No token, row or organisation of the platform's is in any file.
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    with services.engine.connect() as connection:
        tokens = connection.scalars(text("SELECT bot_token FROM slack_connection")).all()
        orgs = connection.scalars(text("SELECT org_id FROM gh_connection")).all()
        rows = connection.scalars(text("SELECT id FROM gh_connection")).all()
    assert any(tokens)
    told = {str(one) for one in (*tokens, *orgs, *rows) if one}
    assert not [one for one in told if one.encode() in content]

    check = keydeck("evidence", "verify", str(folder), "--public-key", str(public), "--json")
    assert_shape("pack-check", check.json)
    assert (check.json["problems"], check.json["unproved_because"], check.exit_code) == ([], None, 0)
    assert {"report.html", "report.json", "controls.csv", "oscal-assessment-results.json"} <= set(
        check.json["recomputed"]
    )
    by_kms = keydeck("evidence", "verify", str(folder))
    assert by_kms.exit_code == 0, by_kms.stdout
    assert "KEYDECK_SIGNING_KEY" in by_kms.stdout
    monkeypatch.delenv("KEYDECK_SIGNING_KEY")
    by_itself = keydeck("evidence", "verify", str(folder), "--json")
    assert (by_itself.exit_code, by_itself.json["proved"], by_itself.json["problems"]) == (3, False, [])
    assert "--public-key" in by_itself.json["unproved_because"]

    (folder / "uses.csv").write_text("key,who\r\n")
    changed = keydeck("evidence", "verify", str(folder), "--public-key", str(public))
    assert changed.exit_code == 1
    assert "uses.csv was changed" in changed.stdout
    assert keydeck("evidence", "verify", str(tmp_path / "none"), "--public-key", str(public)).exit_code == 3
