"""How fast KMS is asked, and what is asked again."""

from __future__ import annotations

import asyncio

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from crypto_core.reencryption.bulk.pace import FALL, FALL_SECONDS, RECOVERY_SECONDS, SLOWEST, CallPace
from crypto_core.reencryption.bulk.quota import dollars, quota_of
from crypto_core.reencryption.bulk.retrying import LONGEST_WAIT_SECONDS, CallFailure, Refused, Retries


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(pace: CallPace, clock: Clock, seconds: float) -> int:
    """How many calls get their turn in so many seconds, asked every millisecond."""
    made = 0
    for _ in range(round(seconds * 1000)):
        clock.now += 0.001
        while pace._taken():
            made += 1
    return made


def test_no_more_calls_than_allowed_get_their_turn(clock: Clock) -> None:
    assert taken(CallPace(500, clock=clock), clock, 4) == pytest.approx(2_000, abs=12)


def test_what_was_not_used_is_not_saved_up(clock: Clock) -> None:
    pace = CallPace(500, clock=clock)
    clock.now += 60
    assert taken(pace, clock, 1) == pytest.approx(500, abs=12)


def test_throttled_together_the_pace_falls_once(clock: Clock) -> None:
    pace = CallPace(1_000, clock=clock)
    taken(pace, clock, 1)
    for _ in range(256):
        pace.throttled()
    assert pace.rate == pytest.approx(1_000 * FALL, rel=0.05)


def test_it_falls_from_what_was_really_made(clock: Clock) -> None:
    pace = CallPace(10_000, clock=clock)
    for _ in range(100):
        clock.now += 0.01
        pace._taken()
    pace.throttled()
    assert pace.rate < 150


def test_throttled_for_long_it_does_not_stand_still(clock: Clock) -> None:
    pace = CallPace(1_000, clock=clock)
    for _ in range(100):
        clock.now += FALL_SECONDS
        pace.throttled()
    assert pace.rate == SLOWEST


def test_it_comes_back_to_its_limit_and_no_further(clock: Clock) -> None:
    pace = CallPace(1_000, clock=clock)
    taken(pace, clock, 1)
    pace.throttled()
    taken(pace, clock, RECOVERY_SECONDS)
    assert pace.rate == 1_000


def test_a_lower_limit_holds_at_once_and_a_higher_one_is_not_throttlings_end(clock: Clock) -> None:
    pace = CallPace(1_000, clock=clock)
    pace.set_rate(100)
    assert pace.rate == 100
    taken(pace, clock, 1)
    pace.throttled()
    pace.set_rate(5_000)
    assert pace.rate < 100


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_limit_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="calls a second"):
        CallPace(rate)


async def test_whoever_waits_gets_a_turn_when_the_limit_rises() -> None:
    pace = CallPace(0.001)
    turn = asyncio.create_task(pace.turn())
    await asyncio.sleep(0.05)
    assert not turn.done()
    pace.set_rate(10_000)
    await asyncio.wait_for(turn, 10)


@pytest.mark.parametrize(
    ("happened", "failure"),
    [
        (Refused(400, "ThrottlingException", "", {}), CallFailure.THROTTLED),
        (Refused(400, "RequestLimitExceeded", "", {}), CallFailure.THROTTLED),
        (Refused(429, "429", "", {}), CallFailure.THROTTLED),
        (Refused(500, "KMSInternalException", "", {}), CallFailure.TRANSIENT),
        (Refused(500, "KeyUnavailableException", "", {}), CallFailure.TRANSIENT),
        (Refused(503, "503", "", {}), CallFailure.TRANSIENT),
        (ConnectionClosedError(endpoint_url="https://kms"), CallFailure.TRANSIENT),
        (ReadTimeoutError(endpoint_url="https://kms"), CallFailure.TRANSIENT),
        (Refused(400, "AccessDeniedException", "", {}), CallFailure.FINAL),
        (Refused(400, "IncorrectKeyException", "", {}), CallFailure.FINAL),
        (Refused(400, "DisabledException", "", {}), CallFailure.FINAL),
    ],
)
def test_failures_are_told_apart_as_botocore_does(
    happened: Refused | Exception, failure: CallFailure
) -> None:
    assert Retries().failure(happened) is failure


def test_waits_are_drawn_and_bounded() -> None:
    waits = [Retries().wait_seconds(attempt) for attempt in range(1, 40)]
    assert all(0 <= wait <= LONGEST_WAIT_SECONDS for wait in waits)
    assert len(set(waits)) > 1


def test_half_of_a_regions_quota_is_taken() -> None:
    assert (quota_of("eu-west-1"), quota_of("eu-central-1"), quota_of("sa-east-1")) == (
        100_000,
        20_000,
        10_000,
    )
    assert dollars(10_000) == pytest.approx(0.03)
