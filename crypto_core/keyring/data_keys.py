"""Data keys that a keyring gives, each with the KMS key that wrapped it, and a bounded cache of them.

The cache is off unless the platform asks for one. It saves KMS calls where one token is opened again and
again, and it costs two of KMS's protections: a data key outlives the call that unwrapped it, and CloudTrail
doesn't see the hits. So every entry ends by age, by number of uses and by the cache's size, and at once when
KMS says that its key is disabled, gone or denied. An entry that is too old is never given out; its bytes are
wiped when the cache is used next.
(AWS Encryption SDK Developer Guide, "Data key caching": the same three limits.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from types import MappingProxyType

from crypto_core.envelope.encryption_context import EncryptionContext, encode
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import same_key
from crypto_core.values.secret import DataKey, exposed

NO_CONTEXT: EncryptionContext = MappingProxyType({})
"""The encryption context of a v1 envelope's data key."""


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """Which key and key material KMS says it used. The material is None where KMS does not tell it."""

    key_arn: str
    key_material_id: str | None


@dataclass(frozen=True, slots=True)
class GeneratedDataKey:
    data_key: DataKey
    encrypted_data_key: bytes = field(repr=False)
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class UnwrappedDataKey:
    data_key: DataKey
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class RewrappedDataKey:
    """The same data key wrapped by another KMS key; its plaintext never left KMS."""

    encrypted_data_key: bytes = field(repr=False)
    source: KeyAnswer
    destination: KeyAnswer


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """When an entry ends: seconds since KMS unwrapped it, how often it was used, how many there are."""

    max_age: float = 60.0
    max_uses: int = 100
    max_entries: int = 1_000

    def __post_init__(self) -> None:
        if not (0 < self.max_age < inf and 1 <= self.max_uses < inf and 1 <= self.max_entries < inf):
            raise SettingsError("A data-key cache needs an age, uses and entries above zero and not endless.")


@dataclass(slots=True)
class _Entry:
    data_key: DataKey
    key_material_id: str | None
    expires_at: float
    uses_left: int


_Key = tuple[bytes, str, bytes]
"""Encrypted data key, ARN of the key that wrapped it, encoded encryption context."""


class DataKeyCache:
    """Unwrapped data keys by encrypted data key, key ARN and encryption context. Thread-safe."""

    def __init__(self, limits: CacheLimits | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits or CacheLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[_Key, _Entry] = {}  # the oldest first
        self._purges = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def purges(self) -> int:
        """How often `purge` was called, for `keep`."""
        return self._purges

    def take(
        self, encrypted_data_key: bytes, key_arn: str, context: EncryptionContext
    ) -> tuple[DataKey, str | None] | None:
        """Return a copy of the data key, for the caller to wipe, and its key material id, if it is held."""
        key = (encrypted_data_key, key_arn, encode(context))
        with self._lock:
            self._drop_expired()
            entry = self._entries.get(key)
            if entry is None:
                return None
            copy = DataKey(exposed(entry.data_key))
            entry.uses_left -= 1
            if entry.uses_left < 1:
                self._drop(key)
            return copy, entry.key_material_id

    def keep(
        self,
        encrypted_data_key: bytes,
        key_arn: str,
        context: EncryptionContext,
        data_key: DataKey,
        key_material_id: str | None,
        *,
        purges: int,
    ) -> None:
        """Hold a copy of a data key that KMS has just unwrapped; where there is no room, the oldest goes.

        `purges` is the number from before KMS was asked: if there was a purge meanwhile, KMS's answer may be
        older than its refusal, and nothing is held.
        """
        key = (encrypted_data_key, key_arn, encode(context))
        with self._lock:
            if purges != self._purges:
                return
            self._drop_expired()
            if key in self._entries:
                self._drop(key)
            while len(self._entries) >= self._limits.max_entries:
                self._drop(next(iter(self._entries)))
            self._entries[key] = _Entry(
                DataKey(exposed(data_key)),
                key_material_id,
                self._clock() + self._limits.max_age,
                self._limits.max_uses,
            )

    def purge(self, key_arn: str | None = None) -> None:
        """Wipe and drop every data key that this key or a replica of it wrapped, or all of them."""
        with self._lock:
            self._purges += 1
            for key in [k for k in self._entries if key_arn is None or same_key(k[1], key_arn)]:
                self._drop(key)

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._entries and self._entries[oldest := next(iter(self._entries))].expires_at <= now:
            self._drop(oldest)

    def _drop(self, key: _Key) -> None:
        self._entries.pop(key).data_key.wipe()
