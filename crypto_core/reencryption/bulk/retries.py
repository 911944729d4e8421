"""Which failed calls are made again: what botocore holds to be throttling or transient.

botocore's classification and backoff (its retry mode "standard"), not its retry quota: that one allows some
hundred retries in all and is meant for callers that ask now and then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from crypto_core.aws.failures import lacks_operation

ATTEMPTS = 5
"""How often a call is made at most before its failure is told; what calls may be patient beyond that."""

LONGEST_WAIT_SECONDS = 5.0


class CallFailure(Enum):
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Refused:
    """What came back instead of an answer: as botocore's checkers read it."""

    status_code: int
    code: str
    message: str
    headers: Mapping[str, str]

    @property
    def response(self) -> dict[str, object]:
        return {
            "Error": {"Code": self.code, "Message": self.message},
            "ResponseMetadata": {"HTTPStatusCode": self.status_code},
        }


class Retries:
    def __init__(self) -> None:
        from botocore.retries.standard import (
            ExponentialBackoff,
            ThrottledRetryableChecker,
            TransientRetryableChecker,
        )

        self._throttled = ThrottledRetryableChecker()
        self._transient = TransientRetryableChecker()
        self._backoff = ExponentialBackoff(max_backoff=int(LONGEST_WAIT_SECONDS))

    def failure(self, happened: Refused | Exception) -> CallFailure:
        """Return what kind of failure AWS's refusal, or botocore's exception for no answer, is."""
        from botocore.retries.standard import RetryContext

        if isinstance(happened, Exception):
            context = RetryContext(1, caught_exception=happened)
        elif lacks_operation(happened.response):
            return CallFailure.FINAL
        else:
            context = RetryContext(1, parsed_response=happened.response, http_response=happened)
        if self._throttled.is_retryable(context) or _too_many(happened):
            return CallFailure.THROTTLED
        return CallFailure.TRANSIENT if self._transient.is_retryable(context) else CallFailure.FINAL

    def wait_seconds(self, attempt: int) -> float:
        """Return how long to wait after the transient failure of an attempt, counted from 1."""
        from botocore.retries.standard import RetryContext

        return self._backoff.delay_amount(RetryContext(attempt))


def _too_many(happened: Refused | Exception) -> bool:
    return isinstance(happened, Refused) and happened.status_code == 429
