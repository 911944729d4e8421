"""Takes receipts where KMS answers, and writes them elsewhere: bounded, never in the way of a decryption.

The thread that opens a token leaves a receipt in memory and goes on. A thread of the recorder hands them to
the sink in batches. What finds no room, or can't be written before the process ends, is lost and counted:
the sink is told how many, as soon as it takes anything, so that whoever reads receipts knows of the gap.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt, ReceiptProcess
from crypto_core.values.clean_text import clean
from crypto_core.values.rate_limit import LogRateLimit
from crypto_core.values.references import TokenRef

_log = logging.getLogger(__name__)
_TROUBLE = LogRateLimit(seconds=60.0)

ReceiptSink = Callable[[Sequence[Receipt | LostReceipts]], None]
"""Writes a batch, whole or not at all. It may block and raise: it is called again with the same batch."""

MOST = 100_000
"""Receipts that wait at most: about 30 MB."""
BATCH = 1_000
LINGER_SECONDS = 0.05
"""How long receipts gather into a batch. A process that is killed loses those of this time."""
RETRY_SECONDS = (0.2, 1.0, 5.0, 15.0)
"""Waits after a failure of the sink; the last one is kept to."""
LAST_SECONDS = 2.0

_Kept = tuple[str, str, float, int, TokenRef | str | None, bytes | None]


class ReceiptRecorder:
    """Writes receipts to a sink. Thread-safe; a forked process goes on with a recorder of its own."""

    def __init__(
        self,
        sink: ReceiptSink,
        *,
        service: str = "",
        most: int = MOST,
        linger: float = LINGER_SECONDS,
        retries: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        """`service` names the program, by default OTEL_SERVICE_NAME or the name that it was started by.

        `most` bounds the receipts in memory. `linger` and `retries` are in seconds.
        """
        self._sink = sink
        self._most = most
        self._linger = linger
        self._retries = tuple(retries)
        self._service = clean(service or os.environ.get("OTEL_SERVICE_NAME") or Path(sys.argv[0]).name, 255)
        self._host = clean(socket.gethostname(), 255)
        self.begin_anew()
        _RECORDERS.add(self)

    def write(
        self, operation: str, request_id: str, at: float, unanswered: int, token: TokenRef | str | None
    ) -> None:
        """Take one receipt; `at` is in seconds since 1970, `token` a reference or a stored value.

        Of a stored value the SHA-256 alone is kept. Never waits for the sink, never raises.
        """
        digest = None
        if isinstance(token, str):
            digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
            token = None
        if self._ended or len(self._waiting) >= self._most:
            self._lose(1, at)
            return
        self._waiting.append((operation, request_id, at, unanswered, token, digest))
        if self._sleeping:
            self._wake()

    @property
    def lost(self) -> int:
        return self._lost_in_all

    def flush(self, seconds: float) -> bool:
        """Wait until all receipts so far are written, at most so many seconds. False if some are not."""
        until = time.monotonic() + seconds
        self._hurry.set()
        while self._waiting or self._batch or self._lost:
            self._wake()
            remaining = until - time.monotonic()
            if remaining <= 0 or self._thread is None:
                return False
            time.sleep(min(remaining, 0.005))
        return True

    def close(self, seconds: float = LAST_SECONDS) -> None:
        """Write what waits, within so many seconds, and end. What is not written by then is lost."""
        if not self.flush(seconds):
            left = len(self._waiting) + len(self._batch)
            if left:
                _log.warning("%d receipts of KMS calls were not written: the process ends.", left)
        self._ended = True
        self._due.set()
        self._hurry.set()

    def begin_anew(self) -> None:
        """Be as new, in a forked process: its parent writes what waited."""
        self._lock = threading.Lock()
        self._waiting: deque[_Kept] = deque()
        self._batch: list[Receipt | LostReceipts] = []
        self._lost = self._lost_in_all = 0
        self._lost_since = self._lost_until = 0.0
        self._sleeping = True
        self._ended = False
        self._due = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = ReceiptProcess(self._host, os.getpid(), self._service)

    def _wake(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._ended:
                    thread = threading.Thread(target=self._run, name="keydeck-receipts", daemon=True)
                    self._thread = thread
                    try:
                        thread.start()
                    except RuntimeError:  # no thread can be had, or the interpreter ends
                        self._thread = None
                        return
        self._sleeping = False
        self._due.set()

    def _lose(self, count: int, at: float) -> None:
        with self._lock:
            self._lost_since = at if self._lost == 0 else min(self._lost_since, at)
            self._lost_until = max(self._lost_until, at)
            self._lost += count
            self._lost_in_all += count
        if _TROUBLE.due("lost"):
            _log.warning(
                "Receipts of KMS calls are lost: %d by now. Calls without one can't be explained.",
                self._lost_in_all,
            )

    def _run(self) -> None:
        failures = 0
        while not self._ended:
            if not self._batch and not self._waiting and not self._lost:
                self._sleeping = True
                self._due.clear()
                if not self._waiting and not self._ended:
                    self._due.wait()
                self._sleeping = False
                self._hurry.wait(self._linger)
            self._gather()
            if not self._batch:
                continue
            try:
                self._sink(tuple(self._batch))
            except Exception as error:  # noqa: BLE001  # whatever a sink raises, decryption goes on
                wait = self._retries[min(failures, len(self._retries) - 1)]
                failures += 1
                if _TROUBLE.due("sink", type(error).__name__):
                    _log.warning("Receipts of KMS calls can't be written now: %s.", clean(error, 300))
                self._hurry.clear()
                self._hurry.wait(wait)
                continue
            failures = 0
            self._batch = []
            if not self._waiting:
                self._hurry.clear()

    def _gather(self) -> None:
        if self._lost:
            with self._lock:
                count, since, until = self._lost, self._lost_since, self._lost_until
                self._lost = 0
            self._batch.append(LostReceipts(count, _moment(since), _moment(until), self._process))
        while self._waiting and len(self._batch) < BATCH:
            operation, request_id, at, unanswered, token, digest = self._waiting.popleft()
            self._batch.append(
                Receipt(
                    clean(request_id, 128),
                    clean(operation),
                    _moment(at),
                    None if token is None else clean(str(token), 1_000),
                    None if digest is None else digest.hex(),
                    self._process,
                    unanswered,
                )
            )


_RECORDERS: weakref.WeakSet[ReceiptRecorder] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for recorder in tuple(_RECORDERS):
        recorder.close()


def _begin_all() -> None:
    for recorder in tuple(_RECORDERS):
        recorder.begin_anew()


os.register_at_fork(after_in_child=_begin_all)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
