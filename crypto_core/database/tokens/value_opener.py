"""Opens stored values of any format, to compare tokens rather than envelopes."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import DEV_KEY, Format, open_dev
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.values import errors
from crypto_core.values.secret import Secret


@dataclass(frozen=True, slots=True)
class OpenedValue:
    """A value's token and key, or why there is none. The token is the caller's to wipe."""

    token: Secret | None
    wrapped_by: KeyAnswer | None = None
    reason: str = ""


class ValueOpener:
    """Blocks on KMS; thread-safe."""

    def __init__(self, keyring: KmsKeyring, *, dev_key: str = DEV_KEY, observer: Observer = SILENT) -> None:
        self._cipher = TokenCipher(keyring, observer=observer)
        self._dev_key = dev_key

    def open_value(self, stored: StoredToken) -> OpenedValue:
        """Return the token (envelopes: one KMS call, more where several keys are trusted).

        A value that can't be opened is told with its reason. Raises the KmsError that another try may not
        meet, and CredentialsError.
        """
        if stored.format is Format.EMPTY:
            return OpenedValue(None, reason="no token is stored")
        try:
            if stored.format in (Format.PLAINTEXT, Format.UNRECOGNISED):
                # What is not recognised may be a plaintext token whose beginning nobody knows.
                # A copy, as from an envelope: the caller may wipe it.
                return OpenedValue(Secret.of(stored.value.reveal()))
            if stored.format is Format.DEV:
                return OpenedValue(open_dev(stored.value.reveal(), self._dev_key))
            opened = self._cipher.open(stored.value.reveal(), ref=stored.ref)
        except (
            errors.EnvelopeError,
            errors.InvalidReferenceError,
            errors.InvalidTokenError,
            errors.SettingsError,
        ) as error:
            return OpenedValue(None, reason=error.message)
        except errors.KmsError as error:
            if error.may_pass:
                raise
            return OpenedValue(None, reason=error.message)
        return OpenedValue(opened.token, opened.wrapped_by)
