"""keydeck evidence schedule: a record every day, and no secret is printed."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from console.container import Container
from console.watch.duties import DUTIES, DutyWork
from crypto_core.diagnosis.check import Check, CheckOutcome, Topic
from crypto_core.diagnosis.own_schema import own_records
from tests.console.command_types import Keydeck
from tests.crypto_core.compliance.records.recorded import move_clock, records_of, signer_of


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


def test_a_watch_records_once_a_day_and_doctor_tells_days_without_a_record(
    services: Container, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> Check:
        return own_records(services.engine, Topic("database", "records of evidence"))

    assert (look().outcome, "None was made yet" in look().said) == (CheckOutcome.OK, True)
    (duty,) = (one for one in DUTIES if one.name == "evidence")
    nothing: Any = SimpleNamespace()
    work = DutyWork(services, nothing, nothing, Event(), telling=False)
    assert duty.run(work).startswith("record 1, unsigned")
    assert duty.run(work) == ""
    assert "1 record of the last 30 days unsigned" in look().said

    signed = records_of(services, signer_of(services)).recorder
    for days in (1, 4):
        move_clock(superuser, f"{days} days")
        with time_machine.travel(datetime.now(UTC) + timedelta(days=days)):
            if days == 4:
                assert "None since." in look().said
            signed.record_day()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=4)):
        assert ": 2 days." in look().said
