"""AWS's clock, for a host whose own is wrong.

AWS refuses a signature that is more than five minutes off (IAM User Guide, "Signature Version 4"), and
botocore signs by the host's clock alone. What AWS tells of its time with such a refusal (Date: RFC 9110,
6.6.1) is kept for the process, and what follows is signed by it. Every answer's Date tells how far the clocks
differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.client import BaseClient

LEAST_SKEW_SECONDS = 30.0
"""Less than this is no reason for AWS to refuse a signature."""

_CODES = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_WORDS = ("Signature expired", "Signature not yet current")
"""How a refused signature tells that only its time is wrong."""


class AwsClock:
    """`offset` is how many seconds AWS's clock is ahead of the host's, as far as signatures go by that.

    `skew` is the same by AWS's last answer, None before the first; a second or so is the answer's own time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.offset = 0.0
        self.skew: float | None = None

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() + self.offset, UTC)

    def observe(self, response: Any) -> None:
        """Note how far the clocks differ, by an answer of AWS in botocore's form."""
        told = _date_of(response)
        if told is not None:
            self.skew = told - self._clock()

    def corrected(self, response: Any, signed: float) -> bool:
        """Set the clock by a refusal, in botocore's form, of what was signed with an offset of `signed`.

        Returns True if it was for the time, and that was wrong.
        """
        error = (response or {}).get("Error", {})
        if error.get("Code") not in _CODES and not str(error.get("Message", "")).startswith(_WORDS):
            return False
        told, here = _date_of(response), self._clock()
        if told is None or abs(told - here - signed) < LEAST_SKEW_SECONDS:
            return False
        self.offset = told - here
        return True


def _date_of(response: Any) -> float | None:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None


CLOCK = AwsClock()


def signs_by_it(client: BaseClient) -> None:
    """Have a client sign by AWS's clock once that is known to differ."""
    client.meta.events.register("choose-signer", _signer)  # type: ignore[arg-type]  # it may answer


def _signer(signature_version: str, **_: Any) -> str | None:
    return _registered() if CLOCK.offset and signature_version == "v4" else None


@cache
def _registered() -> str:
    """The name of a signer that is botocore's but for the time."""
    from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, SigV4Auth

    class ClockSigner(SigV4Auth):
        def _modify_request_before_signing(self, request: Any) -> None:
            request.context["timestamp"] = CLOCK.now().strftime(SIGV4_TIMESTAMP)
            super()._modify_request_before_signing(request)  # type: ignore[misc]

    name = "keydeck-v4"
    AUTH_TYPE_MAPS[name] = ClockSigner
    return name
