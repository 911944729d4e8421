"""A KMS without keys: an encrypted data key is a number from which the data key is computed."""

from __future__ import annotations

import asyncio
import hashlib
import os

from crypto_core.envelope import seal, serialise
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.keyring.data_keys import GeneratedDataKey, KeyAnswer, RewrappedDataKey, UnwrappedDataKey
from crypto_core.values.errors import KmsError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.reencryption.bulk.memory import ref

OLD = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
NEW = "arn:aws:kms:eu-west-1:111122223333:key/1a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


class KmsInMemory:
    """Answers after `seconds`, with the error `failing` where there is one."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls = 0
        self.under_way = 0
        self.most_under_way = 0
        self.failing: KmsError | None = None

    async def generate(self, key: str, context: EncryptionContext) -> GeneratedDataKey:
        await self._call()
        blob = bytes.fromhex("0102030078") + os.urandom(100)
        return GeneratedDataKey(data_key_of(blob), blob, KeyAnswer(key, None))

    async def decrypt(self, key: str, blob: bytes, context: EncryptionContext) -> UnwrappedDataKey:
        await self._call()
        return UnwrappedDataKey(data_key_of(blob), KeyAnswer(key, None))

    async def reencrypt(
        self, blob: bytes, source: str, destination: str, context: EncryptionContext
    ) -> RewrappedDataKey:
        await self._call()
        return RewrappedDataKey(blob, KeyAnswer(source, None), KeyAnswer(destination, None))

    async def _call(self) -> None:
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.seconds)
            if self.failing is not None:
                raise self.failing
        finally:
            self.under_way -= 1


def data_key_of(blob: bytes) -> DataKey:
    return DataKey(hashlib.sha256(blob).digest())


def stored_envelopes(count: int) -> dict[TokenRef, str]:
    """So many stored envelopes; token N holds "ghp_N"."""
    stored = {}
    for number in range(count):
        blob = bytes.fromhex("0102030078") + os.urandom(100)
        stored[ref(number)] = serialise(seal(Secret.of(f"ghp_{number}"), data_key_of(blob), blob))
    return stored
