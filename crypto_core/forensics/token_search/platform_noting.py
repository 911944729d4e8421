"""Notes what the platform seals in the index of tokens, in the platform's own transactions. An opt-in.

    noting = TokenNoting.open(engine, keyring)      # one KMS Decrypt; None where there is no index
    sealed = cipher.encrypt(token, ref=ref)
    connection.execute(…)                           # the row, with sealed.stored
    noting.note(connection, ref, sealed.stored, token)

The role needs USAGE on schema keydeck, SELECT on keydeck.fingerprint_key, SELECT and INSERT on
keydeck.fingerprint; its principal kms:Decrypt with the encryption context of fingerprinter.CONTEXT.
"""

from __future__ import annotations

import logging
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from crypto_core.database.tokens.fingerprints import index_key, note_entries
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import classify
from crypto_core.forensics.token_search.fingerprinter import Fingerprinter, open_key
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_log = logging.getLogger(__name__)


class TokenNoting:
    """Notes sealed tokens under the index's key, which it holds until `close`. Thread-safe."""

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
