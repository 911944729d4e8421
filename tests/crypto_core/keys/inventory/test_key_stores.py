"""Inventory: a key in a custom key store shows the store's connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.state import CustomKeyStore
from crypto_core.values.errors import KmsAccessDeniedError


class InKeyStore(KmsApi):
    """The endpoint, every key of which is in a custom key store: moto has none of those."""

    asked = 0

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        if operation == "DescribeCustomKeyStores":
            self.asked += 1
            if self.asked > 1:
                raise AssertionError("asked twice")
            return {
                "CustomKeyStores": [
                    {
                        "CustomKeyStoreId": "cks-1234567890abcdef0",
                        "CustomKeyStoreName": "vault\x1b[2J",
                        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
                        "ConnectionState": "FAILED",
                        "ConnectionErrorCode": "XKS_PROXY_TIMED_OUT",
                    }
                ],
                "Truncated": False,
            }
        answer = super().call(operation, region=region, **parameters)
        if operation == "DescribeKey":
            answer["KeyMetadata"] |= {
                "CustomKeyStoreId": "cks-1234567890abcdef0",
                "Origin": "EXTERNAL_KEY_STORE",
            }
        return answer


def test_a_key_in_a_custom_key_store_shows_the_connection(
    environment: dict[str, str], new_key: Callable[[], str]
) -> None:
    arn = new_key()
    states = KeyInventory(InKeyStore()).list()
    assert len(states) > 1
    assert {state.key_store for state in states} == {
        CustomKeyStore(
            "cks-1234567890abcdef0", "vault[2J", "EXTERNAL_KEY_STORE", "FAILED", "XKS_PROXY_TIMED_OUT"
        )
    }
    state = KeyInventory(InKeyStore()).show(arn)
    assert (state.rotatable, state.rotation_enabled, state.materials) == (False, None, ())
    assert not {"rotation", "materials", "key store"} & set(state.missing)
    assert state.as_json()["custom_key_store"]["connection_state"] == "FAILED"


class RefusedKeyStore(InKeyStore):
    """The same where stores may not be described."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        if operation == "DescribeCustomKeyStores":
            raise KmsAccessDeniedError("Denied.", action="kms:DescribeCustomKeyStores")
        return super().call(operation, region=region, **parameters)


def test_a_key_store_that_may_not_be_described_is_missing(
    environment: dict[str, str], new_key: Callable[[], str]
) -> None:
    state = KeyInventory(RefusedKeyStore()).show(new_key())
    assert state.key_store == CustomKeyStore("cks-1234567890abcdef0")
    assert state.missing == {"key store": "kms:DescribeCustomKeyStores is not allowed"}
