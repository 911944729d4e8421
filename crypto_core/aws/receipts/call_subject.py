"""Which token KMS is asked for: known where a token is opened or sealed, written down where KMS answers.

The subject goes along with the thread or task (contextvars), so that no call is left out, whichever way it
takes to KMS: the keyring, a probe, the bulk transport. Without a subject, a call's receipt names no token.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from crypto_core.aws.receipts.receipt import OPERATIONS
from crypto_core.values.references import TokenRef

if TYPE_CHECKING:
    from crypto_core.aws.receipts.recorder import ReceiptRecorder


class CallSubject:
    """A block in which KMS is asked for one token. A context manager.

    `token` is its reference, or the stored value where the caller names no row. Where that is known only
    after KMS has answered, `token` is set before the block ends.
    """

    __slots__ = ("_before", "_calls", "_recorder", "token")

    def __init__(self, token: TokenRef | str | None, recorder: ReceiptRecorder | None = None) -> None:
        """`recorder` is the caller's own; without one, that of the KMS client, if it has one."""
        self.token = token
        self._recorder = recorder

    def __enter__(self) -> Self:
        self._calls: list[tuple[ReceiptRecorder, str, str, float, int]] = []
        self._before: Token[CallSubject | None] = _SUBJECT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _SUBJECT.reset(self._before)
        for recorder, operation, request_id, at, unanswered in self._calls:
            recorder.write(operation, request_id, at, unanswered, self.token)

    def note(
        self, fallback: ReceiptRecorder | None, operation: str, request_id: str, unanswered: int
    ) -> None:
        recorder = self._recorder or fallback
        if recorder is not None:
            self._calls.append((recorder, operation, request_id, time.time(), unanswered))


_SUBJECT: ContextVar[CallSubject | None] = ContextVar("keydeck_call_subject", default=None)


def note_call(recorder: ReceiptRecorder | None, operation: str, request_id: str, unanswered: int = 0) -> None:
    """Write down that KMS answered a call with a request id, or "" if it did not answer.

    `recorder` is the KMS client's. `unanswered` counts further attempts whose answers did not arrive. Nothing
    is written of operations that bring no data key, and where nobody records. Never raises.
    """
    if operation not in OPERATIONS:
        return
    subject = _SUBJECT.get()
    if subject is not None:
        subject.note(recorder, operation, request_id, unanswered)
    elif recorder is not None:
        recorder.write(operation, request_id, time.time(), unanswered, None)


def note_answer(recorder: ReceiptRecorder | None, operation: str, answer: Mapping[str, Any]) -> None:
    """Write down a call by boto3's answer to it; botocore counts the attempts before it."""
    if operation not in OPERATIONS:
        return
    about = answer.get("ResponseMetadata") or {}
    note_call(recorder, operation, str(about.get("RequestId") or ""), int(about.get("RetryAttempts") or 0))
