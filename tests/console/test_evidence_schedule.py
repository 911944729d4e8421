"""keydeck evidence schedule: cron, systemd and Kubernetes record every day, and no secret is printed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
import yaml

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

    units = keydeck("evidence", "schedule", "--systemd", "--minute", "7")
    service, _, timer = units.stdout.partition("# keydeck-evidence.timer\n")
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(timer)
    assert dict(unit["Timer"])["OnCalendar"] == "*-*-* 02:07:00 UTC"
    lines = service.splitlines()
    assert sum(line.startswith("ExecStart=") for line in lines) == 2
    assert {"DynamicUser=yes", "ProtectSystem=strict", "CapabilityBoundingSet="} <= set(lines)
    if analyze := shutil.which("systemd-analyze"):
        for name, written in (("service", service), ("timer", timer)):
            (tmp_path / f"keydeck-evidence.{name}").write_text(written)
        asked = [analyze, "verify", "--man=no", str(tmp_path / "keydeck-evidence.timer")]
        checked = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert "keydeck-evidence" not in checked.stderr, checked.stderr

    manifest = yaml.safe_load(keydeck("evidence", "schedule", "--kubernetes", "--minute", "7").stdout)
    spec = manifest["spec"]
    assert (manifest["kind"], spec["schedule"], spec["concurrencyPolicy"]) == (
        "CronJob",
        "7 2 * * *",
        "Forbid",
    )
    pod: dict[str, Any] = spec["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {one["name"] for one in container["env"]} == {"KEYDECK_SETTINGS", "KEYDECK_EVENTS_FILE", "HOME"}
    assert container["envFrom"] == [{"secretRef": {"name": "keydeck-evidence"}}]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert "canary" not in f"{cron}{units}{manifest}"


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
            signed.record()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=4)):
        assert ": 2 days." in look().said
