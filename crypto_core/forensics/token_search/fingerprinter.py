"""Fingerprints of tokens under the index's key, which KMS wraps and which is held only while it is needed.

    fingerprint = HMAC-SHA-256(key, "keydeck token" ‖ SHA-256(token without white space around it))
    bond        = HMAC-SHA-256(key, "keydeck entry" ‖ encode(reference, digest, fingerprint))

GitHub's hashed_token is the same SHA-256, so one index answers for both. Without the key an entry can be
compared with no token, whoever has a list of candidates; and none can be made, or moved to another row.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from crypto_core.database.tokens.fingerprints import (
    Fingerprint,
    FingerprintTable,
    IndexKey,
    index_key,
    note_entries,
)
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import classify
from crypto_core.envelope.encryption_context import encode
from crypto_core.forensics.token_search.target_tokens import trimmed
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, exposed

CONTEXT = {"keydeck:purpose": "index of tokens"}
"""The encryption context that the index's key is wrapped with: no envelope has it."""

_TOKEN, _ENTRY = b"keydeck token", b"keydeck entry"
_log = logging.getLogger(__name__)


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


class TokenNoting:
    """Notes what the platform seals, in its own transactions, under the index's key until `close`. An opt-in.

        noting = TokenNoting.open(engine, keyring)      # one KMS Decrypt; None where there is no index
        sealed = cipher.encrypt(token, ref=ref)
        connection.execute(…)                           # the row, with sealed.stored
        noting.note(connection, ref, sealed.stored, token)

    The role needs USAGE on schema keydeck, SELECT on keydeck.fingerprint_key, SELECT and INSERT on
    keydeck.fingerprint; its principal kms:Decrypt with the encryption context CONTEXT. Thread-safe.
    """

    def __init__(self, maker: Fingerprinter) -> None:
        self._maker = maker

    @classmethod
    def open(cls, engine: Engine, keyring: KmsKeyring) -> Self | None:
        """Return what notes tokens; None where there is no index. Raises KmsError, DatabaseError."""
        kept = index_key(engine)
        return None if kept is None else cls(open_key(kept, keyring))

    def note(self, connection: Connection, ref: TokenRef, stored: str, token: str) -> bool:
        """Note the token of an envelope that is being stored; returns whether it is noted.

        It never fails the transaction: what isn't noted is opened by the next search or `index build`.
        """
        if not classify(stored).format.protected:
            return False
        value = digest(stored)
        with Secret.of(token) as secret:
            entry = self._maker.entry(ref, value, self._maker.of_token(secret))
        try:
            with connection.begin_nested():
                note_entries(connection, self._maker.number, [entry])
        except SQLAlchemyError as error:
            _log.warning("A token was not noted in the index: %s", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        self._maker.wipe()
