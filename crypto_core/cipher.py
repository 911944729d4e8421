"""TokenCipher: encrypt, decrypt, rewrap and re-encrypt one token.

Rewrap moves the data key to another KMS key and leaves nonce and ciphertext byte for byte. Re-encrypt takes
a new data key and a new nonce. Only re-encrypt recovers from a compromise: whoever could call Decrypt with
the old key and read the database already holds the old data keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from crypto_core.envelope import Envelope, open_dev, open_envelope, parse, require_sealable, seal, serialise
from crypto_core.errors import AuthenticationFailedError
from crypto_core.keyring import KeyAnswer, Keyring
from crypto_core.secret import Secret


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A token's plaintext and the KMS key that had wrapped its data key."""

    token: Secret
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A new stored form and the KMS key that wrapped its data key; `source` is the key it came from."""

    stored: str = field(repr=False)
    wrapped_by: KeyAnswer
    source: KeyAnswer | None = None


class TokenCipher:
    """Seals and opens tokens with data keys from a keyring. Thread-safe if the keyring is."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def encrypt(self, token: Secret | str, key: str | None = None) -> SealedToken:
        """Return the stored form of `token` under a new data key (one KMS call).

        The result has been opened again and compared before it is returned. Raises InvalidTokenError,
        KmsError, SettingsError.
        """
        secret = token if isinstance(token, Secret) else Secret.of(token)
        require_sealable(secret)
        generated = self._keyring.generate(key)
        with generated.data_key as data_key:
            stored = serialise(seal(secret, data_key, generated.encrypted_data_key))
            with open_envelope(parse(stored), data_key) as opened:
                if opened != secret:
                    raise AuthenticationFailedError(
                        "The new envelope does not hold the token; it was dropped."
                    )
        return SealedToken(stored, generated.wrapped_by)

    def decrypt(self, stored: str, likely: str | None = None) -> Secret:
        """Return the token of a stored v1 value (one KMS call, more where several keys are trusted).

        `likely` is the ARN of the key to ask first. Raises EnvelopeError, KmsError.
        """
        return self.open(stored, likely).token

    def open(self, stored: str, likely: str | None = None) -> OpenedToken:
        """Return the token together with the key that had wrapped it. Raises as `decrypt`."""
        envelope = parse(stored)
        unwrapped = self._keyring.unwrap(envelope.encrypted_data_key, likely)
        with unwrapped.data_key as data_key:
            return OpenedToken(open_envelope(envelope, data_key), unwrapped.wrapped_by)

    def rewrap(self, stored: str, destination: str, likely: str | None = None) -> SealedToken:
        """Return the stored form with the same data key under KMS key `destination`.

        Three KMS calls: the old envelope is opened, its data key rewrapped, and the new envelope opened with
        `destination` alone and compared, so that what is stored is known to open under that key. Raises
        EnvelopeError, KmsError.
        """
        envelope = parse(stored)
        before = self._keyring.unwrap(envelope.encrypted_data_key, likely)
        with before.data_key as old_data_key, open_envelope(envelope, old_data_key) as token:
            rewrapped = self._keyring.rewrap(
                envelope.encrypted_data_key, destination, before.wrapped_by.key_arn
            )
            result = serialise(replace(envelope, encrypted_data_key=rewrapped.encrypted_data_key))
            self._must_hold(parse(result), token, rewrapped.destination.key_arn)
        return SealedToken(result, rewrapped.destination, rewrapped.source)

    def reencrypt(self, stored: str, key: str | None = None, likely: str | None = None) -> SealedToken:
        """Return the token in a new envelope: new data key, new nonce, new ciphertext (two KMS calls).

        The new envelope has been opened and compared. Raises EnvelopeError, KmsError.
        """
        opened = self.open(stored, likely)
        with opened.token as token:
            sealed = self.encrypt(token, key)
        return replace(sealed, source=opened.wrapped_by)

    def encrypt_dev(self, stored: str, dev_key: str, key: str | None = None) -> SealedToken:
        """Return the token of a dev value in an envelope (one KMS call). Raises EnvelopeError, KmsError."""
        with open_dev(stored, dev_key) as token:
            return self.encrypt(token, key)

    def _must_hold(self, envelope: Envelope, token: Secret, key_arn: str) -> None:
        unwrapped = self._keyring.unwrap(envelope.encrypted_data_key, only=key_arn)
        with unwrapped.data_key as data_key, open_envelope(envelope, data_key) as opened:
            if opened != token:
                raise AuthenticationFailedError("The new envelope does not hold the token; it was dropped.")
