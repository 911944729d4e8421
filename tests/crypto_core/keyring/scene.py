"""Blobs under keys, and KMS whose answers are changed on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.sandbox.endpoint import ACCOUNT
from crypto_core.aws.kms import KmsApi

NewKey = Callable[[], str]
MakeAlias = Callable[[str], str]
Recorded = Callable[[str, str], list[dict[str, Any]]]

REGION = "eu-west-1"
ELSEWHERE = "us-east-1"
NOBODYS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


def blob_under(client: Any, key: str, spec: str = "AES_256") -> bytes:
    blob: bytes = client.generate_data_key(KeyId=key, KeySpec=spec)["CiphertextBlob"]
    return blob


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
