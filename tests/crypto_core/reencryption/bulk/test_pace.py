"""How fast KMS is asked, beside a platform that takes of the quota as it likes, and what is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from crypto_core.reencryption.bulk.pace import SLOWEST, CallPace, PaceTrend
from crypto_core.reencryption.bulk.quota import dollars, quota_of
from crypto_core.reencryption.bulk.retries import LONGEST_WAIT_SECONDS, CallFailure, Refused, Retries
from tests.benchmarks.quota_simulation import Paced, SimulatedClock, simulate

QUOTA, PLATFORM = 2_000, 500


def auto(guess: float = 10_000, paces: list[CallPace] | None = None) -> Callable[[SimulatedClock], Paced]:
    """A process that takes what is left."""

    def make(clock: SimulatedClock) -> Paced:
        pace = CallPace(guess=guess, clock=clock)
        if paces is not None:
            paces.append(pace)
        return Paced(pace)

    return make


def quiet(now: float) -> float:
    return PLATFORM


def bursting(now: float) -> float:
    """A platform that takes nine tenths of the quota for five seconds."""
    return 1_800 if 20 <= now < 25 else PLATFORM


def taken(pace: CallPace, clock: SimulatedClock, seconds: float) -> int:
    """How many calls get their turn in so many seconds, asked every millisecond."""
    made = 0
    for _ in range(round(seconds * 1000)):
        clock.now += 0.001
        while not pace.take_turn():
            made += 1
    return made


@pytest.mark.parametrize(
    "guess", [10_000, 1_000, 100_000], ids=["as documented", "raised by AWS", "lowered by AWS"]
)
def test_what_the_platform_leaves_is_taken_whatever_the_quota_was_thought_to_be(guess: float) -> None:
    found = simulate(QUOTA, quiet, 30, [auto(guess)])
    assert found.share((10, 30)) > 0.9
    assert found.platform_throttled() < 0.001


@pytest.mark.parametrize("seed", [1, 2])
def test_it_yields_to_a_burst_within_a_second_and_is_back_within_ten(seed: int) -> None:
    found = simulate(QUOTA, bursting, 36, [auto()], seed)
    assert found.yielded(20, 5) < 1
    assert found.back(25, 20) < 10
    assert found.platform_throttled() < 0.001


def test_processes_come_to_shares_of_the_same_size_and_swing_little() -> None:
    found = simulate(3_000, quiet, 40, [auto(5_000) for _ in range(3)])
    each = [sum(w.taken[who] for w in found.windows if w.at >= 15) for who in range(3)]
    assert max(each) < 1.4 * min(each)
    assert found.share((15, 40)) > 0.9
    assert found.platform_throttled() < 0.001


def test_a_quota_that_is_raised_or_lowered_meanwhile_is_found_out() -> None:
    found = simulate(lambda now: 1_500 if now < 12 else 4_000 if now < 24 else 1_000, quiet, 36, [auto()])
    assert min(found.share(span) for span in ((8, 12), (20, 24), (26, 36))) > 0.85
    assert found.yielded(24, 5) < 1


def test_throttled_whatever_the_pace_it_all_but_stops_and_says_so() -> None:
    paces: list[CallPace] = []
    found = simulate(0.0, quiet, 30, [auto(paces=paces)])
    assert sum(sum(w.refused) for w in found.windows if w.at >= 10) <= 20
    assert paces[0].standing is PaceTrend.STARVED


def test_a_platform_that_takes_the_whole_quota_is_left_it() -> None:
    paces: list[CallPace] = []
    found = simulate(QUOTA, lambda now: 2_400, 30, [auto(paces=paces)])
    assert sum(sum(w.taken) for w in found.windows if w.at >= 5) <= 25
    assert paces[0].standing is PaceTrend.STARVED


def test_a_number_is_a_limit_and_no_licence() -> None:
    found = simulate(QUOTA, bursting, 36, [lambda clock: Paced(CallPace(1_000, clock=clock))])
    assert max(sum(w.taken) for w in found.windows) <= 120
    assert found.share((5, 20)) == pytest.approx(1_000 / (QUOTA - PLATFORM), rel=0.05)
    assert found.yielded(20, 5) < 1
    assert found.platform_throttled() < 0.001


def test_a_clock_that_goes_back_or_leaps_changes_nothing_for_long() -> None:
    clock = SimulatedClock()
    pace = CallPace(500, clock=clock)
    taken(pace, clock, 1)
    clock.now -= 3_600
    assert taken(pace, clock, 2) == pytest.approx(1_000, abs=25)
    clock.now += 3_600
    assert taken(pace, clock, 2) == pytest.approx(1_000, abs=35)
    pace.throttled()
    clock.now -= 3_600
    assert taken(pace, clock, 2) > 0


def test_no_more_calls_than_allowed_get_their_turn() -> None:
    clock = SimulatedClock()
    assert taken(CallPace(500, clock=clock), clock, 4) == pytest.approx(2_000, abs=45)


def test_what_was_not_used_is_not_saved_up() -> None:
    clock = SimulatedClock()
    pace = CallPace(500, clock=clock)
    clock.now += 60
    assert taken(pace, clock, 1) == pytest.approx(500, abs=25)


def test_throttled_together_the_pace_falls_once() -> None:
    paces = []
    for turns in (range(900, 901), range(900, 950)):
        clock = SimulatedClock()
        pace = CallPace(1_000, clock=clock)
        taken(pace, clock, 1)
        for turn in turns:
            pace.throttled(turn)
        paces.append(pace.rate)
    assert paces[0] == paces[1]


def test_throttled_for_long_it_does_not_stand_still() -> None:
    clock = SimulatedClock()
    pace = CallPace(1_000, clock=clock)
    for _ in range(40):
        while pace.take_turn():
            clock.now += 0.05
        pace.throttled()
    assert SLOWEST * 0.5 < pace.rate <= SLOWEST


def test_more_than_is_made_is_not_allowed_without_end() -> None:
    clock = SimulatedClock()
    pace = CallPace(guess=10_000, clock=clock)
    for _ in range(1_000):
        clock.now += 0.01
        pace.take_turn()
    assert pace.rate < 400
    assert pace.standing is PaceTrend.UNUSED


def test_a_lower_limit_holds_at_once_and_a_higher_one_is_not_throttlings_end() -> None:
    clock = SimulatedClock()
    pace = CallPace(1_000, clock=clock)
    pace.set_rate(100)
    assert pace.rate == 100
    taken(pace, clock, 1)
    pace.throttled()
    pace.set_rate(5_000)
    assert pace.rate < 100


def test_a_limit_gives_way_to_what_is_left() -> None:
    pace = CallPace(50)
    pace.set_rate(inf, guess=10_000)
    assert pace.rate == 200


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_limit_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="calls a second"):
        CallPace(rate)


def test_without_a_limit_there_is_a_guess() -> None:
    with pytest.raises(ValueError, match="guess"):
        CallPace()


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


def test_regions_have_quotas_and_calls_a_price() -> None:
    assert (quota_of("eu-west-1"), quota_of("eu-central-1"), quota_of("sa-east-1")) == (
        100_000,
        20_000,
        10_000,
    )
    assert dollars(10_000) == pytest.approx(0.03)
