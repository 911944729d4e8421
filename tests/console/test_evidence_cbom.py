"""keydeck evidence cbom: the sandbox's cryptography, with the counts of status and without its secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.sandbox.world import World
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.envelope.formats import PROVIDER_PREFIXES
from crypto_core.text.cleaning import clean
from tests.console.command_types import Keydeck
from tests.crypto_core.compliance.pack.foreign_readers import bill_trouble


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
