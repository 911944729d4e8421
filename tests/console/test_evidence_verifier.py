"""keydeck evidence verifier writes the outsider's program, without settings, database or AWS."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.__main__ import keydeck
from crypto_core.proof.assembly import verifier_source


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
