"""Calls that block, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import logging
from threading import Event

import pytest

from crypto_core.errors import InvalidFilterError, KmsThrottledError
from screens.blocking import DaemonThreads, Trouble, attempt


def _raise(error: Exception) -> None:
    raise error


def test_an_error_of_ours_becomes_its_message_and_remedy() -> None:
    trouble = attempt(lambda: _raise(KmsThrottledError("KMS is throttling.")))
    assert isinstance(trouble, Trouble)
    assert str(trouble).startswith("KMS is throttling. Wait")


def test_the_position_of_a_fault_in_a_filter_is_kept() -> None:
    trouble = attempt(lambda: _raise(InvalidFilterError("No.", position=4)))
    assert isinstance(trouble, Trouble)
    assert trouble.position == 4


def test_the_text_of_a_foreign_error_is_neither_shown_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        trouble = attempt(lambda: _raise(ValueError("xoxb-canary")))
    assert isinstance(trouble, Trouble)
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

    assert isinstance(attempt(fail, wanted=lambda: False), Trouble)
    assert not caplog.records
    assert isinstance(attempt(fail), Trouble)
    assert len(caplog.records) == 1
