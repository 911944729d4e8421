"""AWS's answers to a source: read page by page, or why there is none, in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

from crypto_core.cancellation import stop_if
from crypto_core.errors import KeydeckError, KmsAccessDeniedError


def pages_of(
    ask: Callable[..., dict[str, Any]], cancelled: Event | None, **parameters: Any
) -> Iterator[dict[str, Any]]:
    """Yield the pages of an answer, each of which tells where the next begins. Raises what `ask` raises."""
    token: dict[str, str] = {}
    while True:
        stop_if(cancelled)
        answer = ask(**parameters, **token)
        yield answer
        if not isinstance(answer.get("NextToken"), str):
            return
        token = {"NextToken": answer["NextToken"]}


def why(error: KeydeckError) -> str:
    """Return why something is missing: the permission, or AWS's message."""
    if isinstance(error, KmsAccessDeniedError):
        return f"{error.action} is not allowed."
    return error.message
