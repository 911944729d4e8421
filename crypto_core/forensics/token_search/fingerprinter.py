"""Fingerprints of tokens under the index's key, which KMS wraps and which is held only while it is needed.

    fingerprint = HMAC-SHA-256(key, "keydeck token" ‖ SHA-256(token without white space around it))
    bond        = HMAC-SHA-256(key, "keydeck entry" ‖ encode(reference, digest, fingerprint))

GitHub's hashed_token is the same SHA-256, so one index answers for both. Without the key an entry can be
compared with no token, whoever has a list of candidates; and none can be made, or moved to another row.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Self

from crypto_core.database.tokens.fingerprints import Fingerprint, FingerprintTable, IndexKey
from crypto_core.envelope.encryption_context import encode
from crypto_core.forensics.token_search.wanted import trimmed
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.references import TokenRef
from crypto_core.secret import DataKey, Secret, exposed

CONTEXT = {"keydeck:purpose": "index of tokens"}
"""The encryption context that the index's key is wrapped with: no envelope has it."""

_TOKEN, _ENTRY = b"keydeck token", b"keydeck entry"


class Fingerprinter:
    """Makes and verifies entries under one key. Wipe it after use: `with Fingerprinter(…)`."""

    def __init__(self, key: DataKey, number: int, key_arn: str = "") -> None:
        self._key = key
        self.number = number
        self.key_arn = key_arn

    def of_token(self, token: Secret) -> bytes:
        """Return a token's fingerprint. White space around it is none of it."""
        with trimmed(token) as whole:
            return self.of_hash(hashlib.sha256(exposed(whole)).digest())

    def of_hash(self, sha256: bytes) -> bytes:
        return hmac.digest(exposed(self._key), _TOKEN + sha256, "sha256")

    def entry(self, ref: TokenRef, digest: bytes, fingerprint: bytes) -> Fingerprint:
        return Fingerprint(ref, digest, fingerprint, self._bond(ref, digest, fingerprint))

    def made(self, entry: Fingerprint) -> bool:
        """Return whether an entry was made under this key, for this row and value."""
        return hmac.compare_digest(entry.bond, self._bond(entry.ref, entry.digest, entry.fingerprint))

    def wipe(self) -> None:
        self._key.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def _bond(self, ref: TokenRef, digest: bytes, fingerprint: bytes) -> bytes:
        told = {
            "column": f"{ref.table}.{ref.column}",
            "row": ref.identity,
            "digest": digest.hex(),
            "fingerprint": fingerprint.hex(),
        }
        return hmac.digest(exposed(self._key), _ENTRY + encode(told), "sha256")


def open_key(kept: IndexKey, keyring: KmsKeyring) -> Fingerprinter:
    """Return what makes entries under a kept key: one KMS call. Raises KmsError."""
    unwrapped = keyring.unwrap(kept.encrypted_key, named=kept.key_arn, context=CONTEXT)
    return Fingerprinter(unwrapped.data_key, kept.number, kept.key_arn)


def make_key(table: FingerprintTable, keyring: KmsKeyring) -> Fingerprinter:
    """Make the index's key, unless another process did in the meantime. Raises KmsError, DatabaseError."""
    made = keyring.generate(context=CONTEXT)
    with made.data_key:
        kept = table.keep_key(made.encrypted_data_key, made.wrapped_by.key_arn)
    return open_key(kept, keyring)
