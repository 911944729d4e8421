"""Asks providers about tokens, once or until they are dead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeVar

from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import NoAnswer, ProviderAnswer, Said, Target, unknown
from crypto_core.providers.registry import provider_of, question_of
from crypto_core.providers.transport import GIVEN_UP_AFTER, Clock, Transport
from crypto_core.values.errors import InterruptedRunError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_Item = TypeVar("_Item")
WORKERS = 8
_BUSY = "asked too often"


@dataclass(frozen=True, slots=True)
class PollingLimits:
    """How long a revocation may take to show, and how often to look, in seconds."""

    whole: float = 90.0
    first: float = 1.0
    longest: float = 10.0


class BusyHosts:
    """Which hosts refuse one token after another for being asked too often: the rest is for another run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._refused: dict[str, int] = {}

    def note(self, host: str, *, throttled: bool) -> None:
        with self._lock:
            self._refused[host] = self._refused.get(host, 0) + 1 if throttled else 0

    def given_up(self, host: str) -> bool:
        with self._lock:
            return self._refused.get(host, 0) >= GIVEN_UP_AFTER


def ask(transport: Transport, target: Target, token: Secret, cancelled: Event | None = None) -> Said:
    """Return what a provider says of a token. Raises InterruptedRunError, ProviderError."""
    return asked_of(transport, target, token, cancelled)[0]


def asked_of(
    transport: Transport,
    target: Target,
    token: Secret,
    cancelled: Event | None = None,
    busy: BusyHosts | None = None,
) -> tuple[Said, ProviderAnswer | None]:
    """Return what a provider says of a token, and the answer that says it; raises as `ask`.

    A host that `busy` has given up is not asked.
    """
    if busy is not None and busy.given_up(target.base):
        return unknown(f"not asked: {_BUSY}"), None
    text = token.reveal()
    request = question_of(target, text)
    if isinstance(request, str):
        return unknown(request), None
    reply = transport.send(request, cancelled)
    answer = None if isinstance(reply, NoAnswer) else reply
    said = (
        unknown(reply.reason)
        if isinstance(reply, NoAnswer)
        else provider_of(target).said(target, text, reply)
    )
    if busy is not None:
        busy.note(target.base, throttled=answer is not None and _BUSY in said.reason)
    return said, answer


def prove(
    transport: Transport,
    clock: Clock,
    patience: PollingLimits,
    pending: Mapping[TokenRef, tuple[Target, Secret]],
    *,
    told: Callable[[TokenRef, Said], None],
    cancelled: Event | None = None,
) -> None:
    """Ask about tokens until each is dead or the patience ends; each is asked about once at least.

    `told` is told what was said of each, again and again; once where nobody can be asked. Raises
    InterruptedRunError, ProviderError.
    """
    left, pause = dict(pending), patience.first
    ends: float | None = None
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        while left:

            def one(ref: TokenRef, around: Mapping[TokenRef, tuple[Target, Secret]] = left) -> Said:
                target, token = around[ref]
                return ask(transport, target, token, cancelled)

            for ref, said in zip(list(left), pool.map(one, list(left)), strict=True):
                told(ref, said)
                if said.liveness is Liveness.DEAD or not _can_be_asked(*left[ref]):
                    del left[ref]
            # One look at many tokens may take longer than the patience, which is each one's own.
            ends = clock.monotonic() + patience.whole if ends is None else ends
            if not left or clock.monotonic() + pause > ends:
                return
            clock.wait(pause, cancelled)
            if cancelled is not None and cancelled.is_set():
                raise InterruptedRunError("Cancelled.")
            pause = min(pause * 2, patience.longest)


def _can_be_asked(target: Target, token: Secret) -> bool:
    return not isinstance(question_of(target, token.reveal()), str)


def in_turn(items: Iterable[_Item], one: Callable[[_Item], object]) -> None:
    """Call `one` for each item, several at a time; the first failure ends what has not begun."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        try:
            for _ in pool.map(one, items):
                pass
        except BaseException:  # raised again: what has not begun is not begun
            pool.shutdown(wait=True, cancel_futures=True)
            raise
