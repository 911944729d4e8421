"""Metrics hooks of the core: operations, KMS calls, cache hits. Never what they were about."""

from __future__ import annotations

import logging
from time import perf_counter
from types import TracebackType
from typing import Protocol, Self

from crypto_core.values.errors import DryRunPassedError, KeydeckError
from crypto_core.values.rate_limit import LogRateLimit

_log = logging.getLogger(__name__)
UNEXPECTED = "UnexpectedError"
"""The name for an exception that is none of this package's errors."""


_FAILURES = LogRateLimit(seconds=10.0)
"""A throttled run fails thousands of times a second, each time alike."""


class Observer(Protocol):
    """Told about every operation. Called on the thread that works, so it must be quick and never raise."""

    def operation(self, name: str, format_: str, failure: str) -> None:
        """One token's operation ended: encrypt, decrypt, rewrap or reencrypt, of an envelope format.

        `failure` is the name of the error's class, "" where the operation succeeded; `format_` is "" where it
        failed before it was known.
        """

    def kms_call(self, operation: str, seconds: float, failure: str) -> None:
        """One KMS call ended, botocore's retries included, after so many seconds."""

    def cache(self, *, hit: bool) -> None:
        """The data-key cache was asked."""


class Silent:
    """Observes nothing."""

    def operation(self, name: str, format_: str, failure: str) -> None:
        """Drop it."""

    def kms_call(self, operation: str, seconds: float, failure: str) -> None:
        """Drop it."""

    def cache(self, *, hit: bool) -> None:
        """Drop it."""


SILENT: Observer = Silent()


class Observation:
    """Has the observer count the operation in the block; `format_` is set as soon as it is known."""

    __slots__ = ("_name", "_observer", "format_")

    def __init__(self, observer: Observer, name: str, format_: str = "") -> None:
        self._observer = observer
        self._name = name
        self.format_ = format_

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.operation(self._name, self.format_, failure_name(error) if error is not None else "")


class ObservedCall:
    __slots__ = ("_observer", "_operation", "_started")

    def __init__(self, observer: Observer, operation: str) -> None:
        self._observer = observer
        self._operation = operation

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = perf_counter() - self._started
        failure = failure_name(error) if error is not None else ""
        self._observer.kms_call(self._operation, seconds, failure)
        if failure and _FAILURES.due(self._operation, failure):
            _log.info("KMS %s failed after %.1f s: %s", self._operation, seconds, failure)


def failure_name(error: BaseException) -> str:
    """Return the name of an error's class if it is ours; "" for a dry run that passed: that is no failure."""
    if isinstance(error, DryRunPassedError):
        return ""
    return type(error).__name__ if isinstance(error, KeydeckError) else UNEXPECTED
