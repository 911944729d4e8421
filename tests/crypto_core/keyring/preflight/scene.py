"""KMS that is overheard, and what a preflight is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.preflight import Permission
from tests.crypto_core.keyring.scene import REGION

CONTEXT = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-42"}

GENERATE, DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"
FROM, TO = "kms:ReEncryptFrom", "kms:ReEncryptTo"


BlobOf = Callable[..., bytes | None]


class Overheard(KmsApi):
    """KMS, and what it was asked and answered."""

    def __init__(self, **options: Any) -> None:
        super().__init__([REGION], attempts=1, **options)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[dict[str, Any]] = []

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        self.asked.append((operation, parameters))
        answer = super().call(operation, region=region, **parameters)
        self.answers.append(answer)
        return answer


def verdicts(permissions: tuple[Permission, ...]) -> list[tuple[str, str, bool | None]]:
    return [(p.action, p.key, p.allowed) for p in permissions]
