"""A diagnosis shows its checks as they come, ends in bounded time, and shows nothing that it should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from crypto_core.diagnosis import Area, Check, CheckOutcome, Topic, examine
from crypto_core.diagnosis.check import clock_check
from crypto_core.values.errors import SettingsError
from tests.crypto_core.canary import CANARY, assert_tells_nothing

HOSTILE = "[/red]\x1b]52;c;aGk=\x07\u202etxt\u200b\nsecond\x00line"


def check(area: str, name: str = "x") -> Check:
    return Check(area, name, CheckOutcome.OK, "fine")


def area(title: str, *pauses: float) -> Area:
    def find(stop: Event) -> Iterator[Check]:
        for number, pause in enumerate(pauses):
            stop.wait(pause)
            yield check(title, str(number))

    return Area(title, find)


def test_checks_come_as_they_are_found_from_areas_side_by_side() -> None:
    found = examine([area("slow", 0.4), area("quick", 0.0, 0.05)])
    assert [(c.area, c.name) for c in found] == [("quick", "0"), ("quick", "1"), ("slow", "0")]


def test_in_order_the_areas_keep_their_order_and_still_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=15)

    def meeting(title: str) -> Area:
        def find(_: Event) -> Iterator[Check]:
            both.wait()  # one after the other they never meet
            yield check(title, "met")

        return Area(title, find)

    found = [c.area for c in examine([meeting("a"), meeting("b"), area("c", 0.0)], in_order=True)]
    assert found == ["a", "b", "c"]
    assert not both.broken


@pytest.mark.parametrize("in_order", [False, True])
def test_what_hangs_is_given_up_in_time_and_said_so(in_order: bool) -> None:
    blocked = threading.Event()

    def hang(_: Event) -> Iterator[Check]:
        yield check("hangs", "first")
        blocked.wait(30)
        yield check("hangs", "never")

    started = time.monotonic()
    found = list(examine([Area("hangs", hang), area("well", 0.0)], limit=0.5, in_order=in_order))
    blocked.set()
    assert time.monotonic() - started < 15
    assert [(c.area, c.outcome) for c in found if c.area == "hangs"] == [
        ("hangs", CheckOutcome.OK),
        ("hangs", CheckOutcome.FAILED),
    ]
    assert any(c.area == "well" for c in found)


def test_cancelled_nothing_more_is_begun() -> None:
    cancelled, steps = Event(), []

    def find(stop: Event) -> Iterator[Check]:
        for number in range(1000):
            if stop.is_set():
                return
            steps.append(number)
            yield check("a", str(number))
            stop.wait(0.01)

    found = examine([Area("a", find)], cancelled=cancelled)
    next(found)
    cancelled.set()
    assert len(list(found)) < 20
    time.sleep(0.1)
    done = len(steps)
    time.sleep(0.1)
    assert len(steps) == done < 30


def test_who_stops_listening_stops_the_areas_too() -> None:
    stopped = Event()

    def find(stop: Event) -> Iterator[Check]:
        yield check("a")
        stop.wait(10)
        stopped.set()

    found = examine([Area("a", find)])
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert stopped.wait(2)


def raising(error: Exception) -> Callable[[Event], Iterator[Check]]:
    def find(_: Event) -> Iterator[Check]:
        yield check("a")
        raise error

    return find


def test_an_area_that_breaks_is_a_result_and_tells_no_foreign_text() -> None:
    found = list(examine([Area("a", raising(ValueError(CANARY))), area("b", 0.0)]))
    broken = next(c for c in found if c.outcome is CheckOutcome.UNKNOWN)
    assert "ValueError" in broken.said
    assert_tells_nothing(broken.said)
    assert "b" in {c.area for c in found}
    ours = list(examine([Area("a", raising(SettingsError("No Region.", remedy="Set one.")))]))[-1]
    assert (ours.outcome, ours.said, ours.remedy) == (CheckOutcome.FAILED, "No Region.", "Set one.")


def test_a_checks_text_is_cleaned_and_redacted_wherever_it_comes_from() -> None:
    made = Check(
        HOSTILE,
        f"{HOSTILE} {CANARY}",
        CheckOutcome.OK,
        f"x {CANARY[:9]}\x1b{CANARY[9:]}",
        "postgresql://u:pw@h/d",
    )
    for text in (made.area, made.name, made.said, made.remedy):
        assert text.isprintable()
    assert_tells_nothing(made.name + made.said)
    assert made.remedy == "postgresql://u:[hidden-password]@h/d"
    assert made.said == "x [hidden-token]"
    assert len(Check("a", "b", CheckOutcome.OK, "w " * 5000).said) == 600
    assert set(made.as_json()) == {"area", "name", "outcome", "said", "remedy"}
    assert Area(HOSTILE, lambda _: []).title == made.area


@pytest.mark.parametrize(
    ("off_by", "outcome", "said"),
    [
        (0.2, CheckOutcome.OK, "agree within 0.2 s"),
        (-4, CheckOutcome.OK, "4 s behind this machine's"),
        (90, CheckOutcome.WARNING, "90 s ahead of this machine's"),
        (-3600, CheckOutcome.FAILED, "60 min behind this machine's"),
        (86400, CheckOutcome.FAILED, "24.0 h ahead of"),
    ],
)
def test_a_clock_that_differs_is_told_by_how_much_and_which_way(
    off_by: float, outcome: CheckOutcome, said: str
) -> None:
    told = clock_check(Topic("a", "clock"), "AWS", off_by, (60, 300))
    assert told.outcome is outcome
    assert said in told.said
    assert bool(told.remedy) is (outcome is not CheckOutcome.OK)
