"""KMS's request id and CloudTrail's: proved once for each account, over HTTP, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.aws.kms import KmsApi
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.request_ids import PATIENCE, RequestIdPlace, look_at_request_ids
from crypto_core.trail.store import EventStore

ACCOUNT = "123456789012"
Look = Callable[..., Check]


class Counted(KmsApi):
    """Counts what is asked; `late` hides what CloudTrail has, `busy` has it never come to an end."""

    asked: list[str]
    late = False
    busy = False

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        self.asked.append(operation)
        return super().call(operation, region=region, **parameters)

    def read(self, service: str, operation: str, *, region: str, **parameters: Any) -> dict[str, Any]:
        if self.busy:
            parameters.pop("NextToken", None)
            page = {} if self.late else super().read(service, operation, region=region, **parameters)
            return {"Events": page.get("Events", []), "NextToken": "more"}
        if self.late:
            return {
                "Events": [{"CloudTrailEvent": text} for text in ("[/red]\x1b", "[]", '{"requestID": 7}')]
            }
        return super().read(service, operation, region=region, **parameters)


@pytest.fixture
def kms(sandbox: Sandbox, environment: dict[str, str]) -> Counted:
    sandbox.control.set_lookup_throttle(None)
    made = Counted((sandbox.region,))
    made.asked = []
    return made


@pytest.fixture
def look(kms: Counted, world: World, tmp_path: Path) -> Look:
    def check(after: timedelta = timedelta(), **more: Any) -> Check:
        values = {"key": world.current_key.arn, "wanted": True, "read_only": False} | more
        place = RequestIdPlace(kms=kms, store=tmp_path / "events.sqlite", area="events", **values)
        now = datetime.now(UTC) + after
        (found,) = look_at_request_ids(place, Event(), lambda: now)
        return found

    return check


def test_two_decrypts_of_its_own_prove_it_once_and_it_is_remembered(
    kms: Counted, look: Look, tmp_path: Path
) -> None:
    kms.late = True
    first = look()
    assert first.outcome is CheckOutcome.UNKNOWN
    assert "again in 15 minutes" in first.remedy
    assert kms.asked == ["GenerateDataKey", "Decrypt", "Decrypt"]
    kms.late = False
    second = look(timedelta(minutes=15))
    assert second.outcome is CheckOutcome.OK
    assert f"in account {ACCOUNT}: confirmed on" in second.said
    kms.late = True
    assert look(timedelta(days=30)).said == second.said
    assert len(kms.asked) == 3
    store = EventStore(tmp_path / "events.sqlite")
    assert list(store.request_ids_confirmed()) == [ACCOUNT]
    store.close()


def test_calls_whose_records_never_come_are_made_anew(kms: Counted, look: Look) -> None:
    kms.late = True
    look()
    again = look(PATIENCE + timedelta(minutes=1))
    assert again.outcome is CheckOutcome.WARNING
    assert "made anew" in again.said
    assert len(kms.asked) == 6


def test_records_that_are_found_are_proof_whatever_else_there_is(kms: Counted, look: Look) -> None:
    kms.busy = kms.late = True
    assert look().outcome is CheckOutcome.UNKNOWN
    kms.late = False
    assert look().outcome is CheckOutcome.OK


def test_an_account_with_too_many_records_to_read_is_not_suspected_of_having_no_trail(
    kms: Counted, look: Look
) -> None:
    kms.busy = kms.late = True
    look()
    again = look(PATIENCE + timedelta(minutes=1))
    assert again.outcome is CheckOutcome.UNKNOWN
    assert "more than 1,000 Decrypt events" in again.said


@pytest.mark.parametrize("more", [{"wanted": False}, {"read_only": True}, {"key": None}])
def test_nothing_is_called_where_nothing_is_to_be_proved(
    kms: Counted, look: Look, tmp_path: Path, more: dict[str, Any]
) -> None:
    assert look(**more).outcome is CheckOutcome.SKIPPED
    assert kms.asked == []
    assert not (tmp_path / "events.sqlite").exists()


def test_a_key_that_may_not_be_used_is_told_and_nothing_is_remembered(look: Look, tmp_path: Path) -> None:
    check = look(key=f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000")
    assert check.outcome is CheckOutcome.UNKNOWN
    store = EventStore(tmp_path / "events.sqlite")
    assert store.request_ids_confirmed() == {}
    store.close()
