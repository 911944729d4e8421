"""One key of a test's own, and what was sent to KMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from crypto_core.aws.kms import KmsApi

REGION = "eu-west-1"
NOWHERE = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


def sent(control: EndpointControl) -> dict[str, int]:
    return dict(control.stats().calls)


@dataclass
class Stage:
    """One key of the test's own, and ways to make things go wrong with it."""

    control: EndpointControl
    client: Any
    kms: KmsApi
    key: str
    other: str

    def blob(self) -> bytes:
        made = self.client.generate_data_key(KeyId=self.key, KeySpec="AES_256")
        return cast(bytes, made["CiphertextBlob"])

    def generate(self) -> Any:
        return self.kms.call("GenerateDataKey", KeyId=self.key, KeySpec="AES_256")

    def decrypt(self, blob: bytes) -> Any:
        return self.kms.call("Decrypt", KeyId=self.key, CiphertextBlob=blob)

    def reencrypt(self, blob: bytes) -> Any:
        return self.kms.call(
            "ReEncrypt", SourceKeyId=self.key, DestinationKeyId=self.other, CiphertextBlob=blob
        )
