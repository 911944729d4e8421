"""Calls that change a key, and what has been done so far."""

from __future__ import annotations

from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.keys.changes.reading import key_id_of


class CallRecorder:
    """One change on its way. `done` are the operations that KMS carried out."""

    def __init__(self, kms: KmsApi, key_arn: str, region: str, cancelled: Event | None = None) -> None:
        """`key_arn` is "" until a new key exists."""
        self._kms = kms
        self._region = region
        self._cancelled = cancelled
        self.key_arn = key_arn
        self.done: list[str] = []
        self.trying = ""
        """The operation that was sent and has not been answered."""

    @property
    def key_id(self) -> str:
        """The key's id."""
        return key_id_of(self.key_arn)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return KMS's answer. Raises KmsError, and InterruptedRunError before sending once cancelled."""
        stop_if(self._cancelled)
        self.trying = operation
        answer = self._kms.call(operation, region=self._region, **parameters)
        self.trying = ""
        self.done.append(operation)
        return answer
