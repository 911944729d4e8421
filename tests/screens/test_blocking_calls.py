"""Calls that block, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from crypto_core.values.errors import InvalidFilterError, KmsThrottledError
from screens.blocking_calls import DaemonThreads, Failure, attempt
from screens.worker_calls import PolledCall
from tests.screens.samples import NOW


def _raise(error: Exception) -> None:
    raise error


def test_an_error_of_ours_becomes_its_message_and_remedy() -> None:
    trouble = attempt(lambda: _raise(KmsThrottledError("KMS is throttling.")))
    assert isinstance(trouble, Failure)
    assert str(trouble).startswith("KMS is throttling. Wait")


def test_the_position_of_a_fault_in_a_filter_is_kept() -> None:
    trouble = attempt(lambda: _raise(InvalidFilterError("No.", position=4)))
    assert isinstance(trouble, Failure)
    assert trouble.position == 4


def test_the_text_of_a_foreign_error_is_neither_shown_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        trouble = attempt(lambda: _raise(ValueError("xoxb-canary")))
    assert isinstance(trouble, Failure)
    assert trouble.message == "Unexpected: ValueError."
    assert "in _raise" in caplog.text
    assert "canary" not in caplog.text


def test_a_hung_call_holds_up_neither_others_nor_the_end_of_the_loop() -> None:
    gate = Event()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads())
        for _ in range(100):
            loop.run_in_executor(None, gate.wait)
        return await loop.run_in_executor(None, lambda: 42)

    try:
        assert asyncio.run(main()) == 42
    finally:
        gate.set()


def test_what_fails_when_nobody_waits_any_more_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the interpreter ends")

    assert isinstance(attempt(fail, wanted=lambda: False), Failure)
    assert not caplog.records
    assert isinstance(attempt(fail), Failure)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("answer", "factor", "rest"), [("ben", 10.0, 40), ("ben", 1.0, 5), (Failure("No answer."), 10.0, 40)]
)
def test_a_slow_call_rests_by_its_factor_one_that_failed_too(
    answer: Any, factor: float, rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    asked: list[Callable[[Any], None]] = []

    def ask(_node: Any, _call: Any, then: Callable[[Any], None], **_: Any) -> Any:
        asked.append(then)
        return SimpleNamespace(waiting=False)

    monkeypatch.setattr("screens.worker_calls.ask", ask)
    node: Any = None
    call = PolledCall(node, lambda: now, 5.0, lambda _: "", lambda: None, group="poll", factor=factor)
    call.ask_if_due()
    now += timedelta(seconds=4)
    asked[0](answer)
    for seconds, calls in ((rest - 1, 1), (1, 2)):
        now += timedelta(seconds=seconds)
        call.ask_if_due()
        assert len(asked) == calls
    asked[1](Failure("No answer."))
    assert call.good == (answer if answer == "ben" else None)
