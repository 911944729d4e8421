"""The latest lines in memory, bounded; and what the core says in the log of its own accord."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint.control import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.log.logbook import LogLine, Recent
from crypto_core.values.errors import KmsError
from crypto_core.values.rate_limit import LogRateLimit

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def add(recent: Recent, *messages: str) -> None:
    for message in messages:
        recent.add(NOW, logging.INFO, "crypto_core.aws.kms", message)


def test_numbers_go_on_when_lines_have_gone() -> None:
    recent = Recent(lines=2)
    add(recent, "one", "two", "three")
    assert recent.lines() == (
        LogLine(2, NOW, logging.INFO, "crypto_core.aws.kms", "two"),
        LogLine(3, NOW, logging.INFO, "crypto_core.aws.kms", "three"),
    )
    assert recent.changes == 3
    assert [line.number for line in recent.lines(after=2)] == [3]
    assert [line.number for line in recent.lines(after=-5)] == [2, 3]


def test_memory_is_bounded_in_characters_too() -> None:
    recent = Recent(lines=100, characters=10)
    add(recent, "12345", "67890", "x")
    assert [line.message for line in recent.lines()] == ["67890", "x"]
    add(recent, "y" * 100)
    assert [line.message for line in recent.lines()] == ["y" * 9 + "…"]


def test_levels_have_words() -> None:
    words = [LogLine(1, NOW, level, "x", "").word for level in (20, 30, 40, 50)]
    assert words == ["info", "warning", "error", "critical"]


def test_one_event_of_a_kind_is_let_through_in_a_while() -> None:
    times = iter([0.0, 1.0, 1.0, 10.0, 10.5])
    seldom = LogRateLimit(10.0, clock=lambda: next(times))
    assert [seldom.due(kind) for kind in ("a", "a", "b", "a", "a")] == [True, False, True, True, False]


def test_kms_calls_that_fail_are_logged_once_and_the_others_not(
    services: Container, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.log.observation._FAILURES", LogRateLimit(1000.0))
    caplog.set_level(logging.INFO, "crypto_core")
    api = KmsApi(attempts=1)
    api.call("ListKeys")
    sandbox.control.add_denial(Denial("*", "kms:ListKeys"))
    for _ in range(20):
        with pytest.raises(KmsError):
            api.call("ListKeys")
    said = [r.getMessage() for r in caplog.records if r.name == "crypto_core.log.observation"]
    assert len(said) == 1
    assert said[0].startswith("KMS ListKeys failed after 0.")
    assert said[0].endswith("KmsAccessDeniedError")


def test_a_run_is_logged_with_its_counts_and_no_token(
    keydeck: Callable[..., Any], services: Container, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crypto_core")
    ref = world.plaintext_refs[0]
    assert keydeck("encrypt", str(ref), "--yes").exit_code == 0
    said = "\n".join(r.getMessage() for r in caplog.records)
    assert "Begins to encrypt in place 1 token." in said
    assert "Ended to encrypt in place 1 token: 1 of 1 done, 0 not written, 0 remaining" in said
    assert world.token_for(ref) not in said
