"""A token, its data key, and a keyring that goes wrong in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crypto_core.envelope import Envelope
from crypto_core.keyring.data_keys import GeneratedDataKey, RewrappedDataKey, UnwrappedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring

TOKEN = "github_pat_11ABCDEFG0abcdefghij_KLMNOPQRST"


def data_key_of(client: Any, envelope: Envelope) -> bytes:
    data_key: bytes = client.decrypt(CiphertextBlob=envelope.encrypted_data_key)["Plaintext"]
    return data_key


class ChangedKeyring:
    """A keyring that goes wrong in one place."""

    def __init__(self, keyring: KmsKeyring, **wrong: Callable[..., Any]) -> None:
        self._keyring = keyring
        self.binding = keyring.binding
        self._wrong = wrong

    def generate(self, key: str | None = None, **more: Any) -> GeneratedDataKey:
        generated = self._keyring.generate(key, **more)
        return self._wrong.get("generate", lambda g: g)(generated)  # type: ignore[no-any-return]

    def unwrap(self, encrypted_data_key: bytes, likely: str | None = None, **more: Any) -> UnwrappedDataKey:
        return self._keyring.unwrap(encrypted_data_key, likely, **more)

    def rewrap(
        self, encrypted_data_key: bytes, destination: str, likely: str | None = None, **more: Any
    ) -> RewrappedDataKey:
        rewrapped = self._keyring.rewrap(encrypted_data_key, destination, likely, **more)
        return self._wrong["rewrap"](encrypted_data_key, rewrapped)  # type: ignore[no-any-return]
