"""The AWS Encryption SDK and Tink re-encrypting tokens, each in a format of its own, by boto3 clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.fake_kms import NEW, OLD

Go = Callable[[], int]


def encryption_sdk(client: Any, token: bytes, tokens: int, pool: int, threads: int) -> Go:
    """Messages of the AWS Encryption SDK, key-committing and not signed: Decrypt and GenerateDataKey each.

    Its own clients are used, with `client`'s endpoint taken from the environment.
    """
    import aws_encryption_sdk as esdk
    import botocore.session
    from aws_encryption_sdk.identifiers import AlgorithmSuite

    session = botocore.session.Session()
    made = esdk.EncryptionSDKClient()
    old, new = (
        esdk.StrictAwsKmsMasterKeyProvider(key_ids=[key], botocore_session=session) for key in (OLD, NEW)
    )
    suite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    def sealed(plaintext: bytes, provider: Any) -> bytes:
        return bytes(made.encrypt(source=plaintext, key_provider=provider, algorithm=suite)[0])

    def again(stored: bytes) -> None:
        sealed(made.decrypt(source=stored, key_provider=old)[0], new)

    return _over([sealed(token, old) for _ in range(pool)], again, tokens, threads)


def tink_envelopes(client: Any, token: bytes, tokens: int, pool: int, threads: int) -> Go:
    """Tink's KMS envelopes with AES-256-GCM: a Decrypt and an Encrypt each, by `client`."""
    from tink import aead
    from tink.integration import awskms

    aead.register()

    def of(key: str) -> Any:
        uri = f"aws-kms://{key}"
        remote = awskms.new_client(boto3_client=client, key_uri=uri).get_aead(uri)
        return aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, remote)

    old, new = of(OLD), of(NEW)

    def again(stored: bytes) -> None:
        new.encrypt(old.decrypt(stored, b""), b"")

    return _over([old.encrypt(token, b"") for _ in range(pool)], again, tokens, threads)


def _over(pool: Sequence[bytes], again: Callable[[bytes], None], tokens: int, threads: int) -> Go:
    def go() -> int:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(lambda number: again(pool[number % len(pool)]), range(tokens)))
        return tokens

    return go
