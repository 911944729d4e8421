"""Whatever was done to the journal, commands and the outsider's file come to one verdict, with a way out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.journal import NOT_ANCHORED
from tests.crypto_core.compliance.proof.assembled import assembled

Keydeck = Callable[..., Any]
_COLUMNS = "seq, digest, at, actor, key_arn, algorithm, database_id, broken"
_FORGED = (
    "UPDATE keydeck.journal_checkpoint SET signature = sha256('x')",
    (
        f"INSERT INTO keydeck.journal_checkpoint ({_COLUMNS}, signature) "
        f"SELECT {_COLUMNS}, sha256('y') FROM keydeck.journal_checkpoint"
    ),
    "DELETE FROM keydeck.journal_checkpoint",
    "UPDATE keydeck.journal SET subject = 'another' WHERE seq = 2",
    "SELECT keydeck.make_entry('a', 'h', 'journal checkpoint', 's', 'done', 'garbage', true)",
    "SELECT keydeck.make_entry('a', 'h', 'evidence record', 's', 'done', '[]', true)",
    "SELECT keydeck.make_entry('a', 'h', 'evidence purge', 's', 'done', '{\"first\": 1}', false)",
)


class Verdicts:
    def __init__(self, keydeck: Keydeck, folder: Path, key: bytes) -> None:
        self._keydeck, self._folder = keydeck, folder
        (folder / "key.b64").write_bytes(b64encode(key))

    def doctor(self) -> str:
        checks = self._keydeck("doctor", "--json").json["checks"]
        return next(str(one["outcome"]) for one in checks if one["name"] == "journal")

    def outside(self, name: str, *kept: str) -> int:
        path = self._folder / f"{name}.jsonl"
        assert self._keydeck("journal", "export", str(path)).exit_code == 0
        try:
            key = str(self._folder / "key.b64")
            return int(assembled().main(["--journal", str(path), "--public-key", key, *kept]))
        except SystemExit as ended:
            return int(ended.code or 0)


@pytest.fixture
def verdicts(
    services: Container, sandbox: Sandbox, keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Verdicts:
    """Those of a journal with three entries and a checkpoint over them."""
    kms = sandbox.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", key)
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE)
    found = Verdicts(keydeck, tmp_path, kms.get_public_key(KeyId=key)["PublicKey"])
    assert keydeck("journal", "checkpoint").exit_code == 0
    assert (found.doctor(), found.outside("well")) == ("ok", 0)
    return found


@pytest.mark.deep
@pytest.mark.parametrize("forged", _FORGED)
def test_what_is_wrong_is_wrong_everywhere_and_the_break_is_the_way_out(
    verdicts: Verdicts, keydeck: Keydeck, forge: Callable[..., None], forged: str
) -> None:
    forge(forged)
    refused = keydeck("journal", "checkpoint")
    assert (refused.exit_code, "keydeck journal break" in refused.stderr) == (2, True)
    assert keydeck("journal", "verify").exit_code == 1
    assert (verdicts.doctor(), verdicts.outside("forged")) == ("failed", 1)
    assert keydeck("journal", "break", "--reason", "It was forged.", "--yes").exit_code == 0
    verified = keydeck("journal", "verify")
    assert (verified.exit_code, "It was forged." in verified.stdout) == (0, True), verified.stdout
    assert keydeck("journal", "checkpoint").exit_code == 0
    assert (verdicts.doctor(), verdicts.outside("acknowledged")) == ("warning", 0)


def test_an_anchor_that_contradicts_the_journal_does_so_for_doctor_and_the_next_checkpoint(
    verdicts: Verdicts,
    keydeck: Keydeck,
    forge: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchors = tmp_path / "anchors"
    monkeypatch.setenv("KEYDECK_ANCHOR_FILE", str(anchors))
    assert keydeck("journal", "checkpoint").exit_code == 0
    whole = "UPDATE keydeck.journal_end e SET seq = j.seq, digest = j.digest FROM keydeck.journal j"
    forge(
        "DELETE FROM keydeck.journal WHERE seq > 3",
        "DELETE FROM keydeck.journal_checkpoint",
        f"{whole} WHERE j.seq = 3",
    )
    assert keydeck("journal", "verify").exit_code == 1
    assert (verdicts.doctor(), verdicts.outside("bare")) == ("failed", 3)
    assert verdicts.outside("kept", "--anchors", str(anchors)) == 1
    assert "Entry 4 is gone" in keydeck("journal", "checkpoint").stderr
    assert keydeck("journal", "break", "--reason", "Restored.", "--yes").exit_code == 0
    assert keydeck("journal", "checkpoint").exit_code == 0
    assert (keydeck("journal", "verify").exit_code, verdicts.doctor()) == (0, "warning")


@pytest.mark.deep
def test_what_nothing_outside_fixes_says_so_in_every_conclusion(
    verdicts: Verdicts, keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conclusions() -> dict[str, str]:
        told = {"verify": keydeck("journal", "verify").stderr, "status": keydeck("evidence", "status").stdout}
        return {name: " ".join(one.split()) for name, one in told.items()}

    assert {name for name, one in conclusions().items() if NOT_ANCHORED in one} == {"verify", "status"}
    monkeypatch.setenv("KEYDECK_ANCHOR_FILE", str(tmp_path / "anchors"))
    assert keydeck("journal", "checkpoint").exit_code == 0
    assert [name for name, one in conclusions().items() if NOT_ANCHORED in one] == []
