"""Keys, rows and a clock for data keys that are held."""

from __future__ import annotations

from console.sandbox.endpoint import ACCOUNT
from crypto_core.keyring.data_keys import DataKeyCache
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.scene import REGION

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
OTHER = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000001"
REPLICATED = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-{'0' * 32}"
ROW = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-42"}
ANOTHER_ROW = ROW | {"keydeck:id": "gh-43"}


def is_wiped(data_key: DataKey) -> bool:
    try:
        return bytes(exposed(data_key)) == bytes(len(data_key))
    except ValueError:
        return True


def a_data_key(fill: int = 7) -> DataKey:
    return DataKey(bytes([fill]) * 32)


def keep(cache: DataKeyCache, edk: bytes, key: str = KEY, context: dict[str, str] | None = None) -> None:
    with a_data_key() as data_key:
        cache.keep(edk, key, context or {}, data_key, "material", purges=cache.purges)


def holds(cache: DataKeyCache, edk: bytes, key: str = KEY, context: dict[str, str] | None = None) -> bool:
    taken = cache.take(edk, key, context or {})
    if taken is not None:
        taken[0].wipe()
    return taken is not None
