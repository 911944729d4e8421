"""Metrics hooks of the core: operations, KMS calls, cache hits. Never what they were about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol

from crypto_core.errors import DryRunPassedError, KeydeckError
from crypto_core.log.rate_limit import LogRateLimit

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
        ...

    def kms_call(self, operation: str, seconds: float, failure: str) -> None:
        """One KMS call ended, botocore's retries included, after so many seconds."""
        ...

    def cache(self, *, hit: bool) -> None:
        """The data-key cache was asked."""
        ...


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
    """One operation under way; `format_` is set as soon as it is known."""

    __slots__ = ("format_",)

    def __init__(self, format_: str = "") -> None:
        self.format_ = format_


@contextmanager
def observed_operation(observer: Observer, name: str, format_: str = "") -> Iterator[Observation]:
    """Tell the observer how the operation in the block ended."""
    observation = Observation(format_)
    try:
        yield observation
    except BaseException as error:
        observer.operation(name, observation.format_, failure_name(error))
        raise
    observer.operation(name, observation.format_, "")


@contextmanager
def observed_call(observer: Observer, operation: str) -> Iterator[None]:
    """Tell the observer how the KMS call in the block ended and how long it took."""
    started = perf_counter()
    try:
        yield
    except BaseException as error:
        seconds, failure = perf_counter() - started, failure_name(error)
        observer.kms_call(operation, seconds, failure)
        if failure and _FAILURES.due(operation, failure):
            _log.info("KMS %s failed after %.1f s: %s", operation, seconds, failure)
        raise
    observer.kms_call(operation, perf_counter() - started, "")


def failure_name(error: BaseException) -> str:
    """Return the name of an error's class if it is ours; "" for a dry run that passed: that is no failure."""
    if isinstance(error, DryRunPassedError):
        return ""
    return type(error).__name__ if isinstance(error, KeydeckError) else UNEXPECTED
