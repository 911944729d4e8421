"""Blobs under keys, and KMS whose answers are changed on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from console.sandbox.endpoint import ACCOUNT
from crypto_core.aws.kms import KmsApi
from crypto_core.values.secret import DataKey

NewKey = Callable[[], str]
MakeAlias = Callable[[str], str]
Recorded = Callable[[str, str], list[dict[str, Any]]]

REGION = "eu-west-1"
ELSEWHERE = "us-east-1"
NOBODYS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


def wrapped(client: Any, key: str, context: dict[str, str] | None = None, *, spec: str = "AES_256") -> bytes:
    made = client.generate_data_key(KeyId=key, KeySpec=spec, EncryptionContext=context or {})
    return cast(bytes, made["CiphertextBlob"])


def data_keys_of(module: str, monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that a module makes from now on."""
    made: list[DataKey] = []

    class Noted(DataKey):
        __slots__ = ()

        def __init__(self, content: Any) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr(f"{module}.DataKey", Noted)
    return made


class ChangedAnswers(KmsApi):
    """KMS whose answers are changed on the way, as only a hostile or broken endpoint would."""

    def __init__(self, **changes: Any) -> None:
        super().__init__([REGION], attempts=1)
        self.changes = changes
        self.data_keys: list[bytes] = []

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        answer = super().call(operation, region=region, **parameters)
        if "Plaintext" in answer:
            self.data_keys.append(answer["Plaintext"])
        for name, value in self.changes.items():
            if value is None:
                answer.pop(name, None)
            else:
                answer[name] = value
        return answer
