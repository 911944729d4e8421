"""The watch records evidence once a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from console.container import Container
from console.service.duties import DUTIES, DutyWork
from crypto_core.diagnosis.check import Check, CheckOutcome, Topic
from crypto_core.diagnosis.own_schema import own_records
from tests.crypto_core.compliance.records.recorded import move_clock, records_of, signer_of


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
