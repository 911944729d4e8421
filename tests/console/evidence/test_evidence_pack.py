"""keydeck evidence pack and verify: a day of the sandbox as a folder, and what a change of it shows."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from console.__main__ import keydeck
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.compliance.proof.assembly import verifier_source
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.envelope.formats import PROVIDER_PREFIXES
from crypto_core.values.clean_text import clean
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.crypto_core.compliance.pack.foreign_readers import bill_trouble, read_results


@pytest.mark.deep
def test_the_bill_of_now_agrees_with_status_and_is_printed_or_written_once(
    keydeck: Keydeck, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = keydeck("evidence", "cbom")
    assert ran.exit_code == 0, ran.stderr
    assert bill_trouble(ran.stdout) is None
    parts = {one["bom-ref"]: one for one in json.loads(ran.stdout)["components"]}
    counted = keydeck("status", "--json").json
    for column in counted["by_column"]:
        told = parts[f"column/{column['column']}"]["properties"]
        assert {"name": "keydeck:tokens", "value": str(column["tokens"])} in told
    for key in counted["keys"]:
        assert not key["key_arn"] or f"key/{key['key_arn']}" in parts
    assert {f"column/{name}" for name in world.by_column} <= set(parts)
    assert not [ref for ref in world.plaintext_refs if str(ref) in ran.stdout]
    assert not any(prefix in ran.stdout for prefixes in PROVIDER_PREFIXES.values() for prefix in prefixes)

    file = tmp_path / "cbom.json"
    written = keydeck("evidence", "cbom", "--output", str(file))
    assert (written.exit_code, written.stdout) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert {one["bom-ref"] for one in json.loads(file.read_text())["components"]} == set(parts)
    assert keydeck("evidence", "cbom", "--output", str(file)).exit_code == 2

    take = SnapshotReader.take

    def denied(self: SnapshotReader, *given: object) -> object:
        found = take(self, *given)  # type: ignore[arg-type]
        keys = {SnapshotPart.KEYS: MissingPart(Lack.PERMISSION, clean("kms:ListKeys is not allowed."))}
        return type(found)(found.taken_at, {**found.parts, **keys})

    monkeypatch.setattr(SnapshotReader, "take", denied)
    partial = keydeck("evidence", "cbom")
    assert partial.exit_code == 3
    assert "Not in it: keys: kms:ListKeys is not allowed." in partial.stderr
    assert '"keydeck:not-known"' in partial.stdout


def test_without_the_library_it_is_said_what_installs_it(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.extras.util.find_spec", lambda _name: None)
    ran = keydeck("evidence", "cbom")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "pip install 'keydeck[cbom]'" in ran.stderr


def test_the_verifier_is_printed_or_written_with_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if variable.startswith(("AWS_", "DATABASE_", "KEYDECK_", "TOKEN_")):
            monkeypatch.delenv(variable)
    source, target = verifier_source(), tmp_path / "verifier.py"
    told = f"SHA-256 {hashlib.sha256(source).hexdigest()}\n"
    printed = CliRunner().invoke(keydeck, ["evidence", "verifier"])
    assert (printed.exit_code, printed.stdout, printed.stderr) == (0, source.decode(), told)
    written = CliRunner().invoke(keydeck, ["evidence", "verifier", str(target)])
    assert (written.exit_code, written.stdout) == (0, "")
    assert written.stderr.endswith(told)
    assert target.read_bytes() == source
    again = CliRunner().invoke(keydeck, ["evidence", "verifier", str(target)])
    assert again.exit_code != 0
    # It runs by itself, with nothing of Keydeck to import.
    command = [sys.executable, "-I", "-S", str(target), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--tsa-certificates" in done.stdout


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
