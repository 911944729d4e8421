"""A host whose clock is wrong: AWS refuses the first signature, and says what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from console.sandbox.endpoint import EndpointControl, Fault
from crypto_core.aws import clock as aws_clock
from crypto_core.aws.clock import AwsClock
from crypto_core.aws.kms import KmsApi
from crypto_core.values.errors import CredentialsError

HOUR = 3600.0
SetOff = Callable[[float], None]


@pytest.fixture
def set_off(monkeypatch: pytest.MonkeyPatch) -> SetOff:
    """Put the host's clock so many seconds off."""
    off = [0.0]

    def here(remove_tzinfo: bool = True) -> datetime:
        moment = datetime.now(UTC) + timedelta(seconds=off[0])
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", here)
    monkeypatch.setattr(aws_clock, "CLOCK", AwsClock(lambda: time.time() + off[0]))

    def set_by(seconds: float) -> None:
        off[0] = seconds

    return set_by


def test_what_is_refused_for_its_time_is_signed_by_awss(aws: EndpointControl, set_off: SetOff) -> None:
    kms = KmsApi()
    for hours in (0, -3, 5, 0, 26):
        set_off(hours * HOUR)
        assert kms.call("ListKeys")["Keys"]
        assert kms.identity().arn
        assert aws_clock.CLOCK.offset == pytest.approx(-hours * HOUR, abs=60)
        assert aws_clock.CLOCK.skew == pytest.approx(-hours * HOUR, abs=60)
        assert kms.refusal is None


def test_calls_that_are_refused_together_are_all_signed_anew(aws: EndpointControl, set_off: SetOff) -> None:
    kms = KmsApi()
    set_off(-HOUR)
    aws.set_latency(50)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: kms.call("ListKeys"), range(16)))
    assert all(answer["Keys"] for answer in answers)


def test_a_signature_refused_at_the_right_time_is_not_tried_again(
    aws: EndpointControl, set_off: SetOff
) -> None:
    before = aws.stats().calls.get("kms:ListKeys", 0)
    for message in ("Signature expired: 2026 is now earlier than 2027", "The signature does not match"):
        aws.add_fault(Fault("ListKeys", "InvalidSignatureException", count=1, message=message))
        with pytest.raises(CredentialsError):
            KmsApi().call("ListKeys")
    assert aws.stats().calls["kms:ListKeys"] == before + 2
    assert not aws_clock.CLOCK.offset
