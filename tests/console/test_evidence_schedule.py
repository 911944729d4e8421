"""keydeck evidence schedule: a record every day, and no secret is printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.console.command_types import Keydeck


def test_what_is_printed_runs_daily_by_one_at_a_time_and_holds_no_secret(
    keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary-secret@h/d")
    command = tmp_path / "100% x" / "keydeck"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(command)])
    cron = keydeck("evidence", "schedule")
    assert re.search(r"^[1-5]?[0-9] 2 \* \* \* ", cron.stdout, re.MULTILINE)
    assert "keydeck' evidence record --yes" in cron.stdout
    assert r"100\% x" in cron.stdout
    assert "keydeck grants operator" in cron.stderr
    assert "canary" not in cron.stdout + cron.stderr
