"""One token's way through KMS when it is only to be seen whether it opens: its plaintext is wiped at once."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.cipher import sealed_for_another_row
from crypto_core.database.tokens.attribution import answer_of_damage
from crypto_core.database.tokens.attribution_cache import KnownAttribution
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import Envelope, Format, open_envelope, parse
from crypto_core.errors import (
    CredentialsError,
    EnvelopeError,
    InvalidCiphertextError,
    InvalidReferenceError,
    KmsError,
    KmsUnreachableError,
    WrongBindingError,
)
from crypto_core.keyring.checked_answers import closest, must_be_named
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import TRY_THE_NEXT, KmsKeyring
from crypto_core.log.observation import SILENT, Observer, observed_operation
from crypto_core.receipts.call_subject import CallSubject
from crypto_core.reencryption.bulk.ports import BulkKms, Opened
from crypto_core.reencryption.plan import Verification
from crypto_core.secret import Secret

LookAt = Callable[[StoredToken, Secret], object]
"""Is shown a stored value and its token, which is wiped right after; called in the event loop's thread."""

NOT_AN_ENVELOPE: dict[Format, str] = {
    Format.DEV: "stored in dev format: anyone can open it",
    Format.PLAINTEXT: "stored in plaintext",
    Format.UNRECOGNISED: "not recognised: plaintext or corrupt",
    Format.EMPTY: "empty: no token is stored",
}
"""Reasons for stored values that can't be opened at all."""


async def opened(
    token: StoredToken,
    keyring: KmsKeyring,
    kms: BulkKms,
    *,
    observer: Observer = SILENT,
    look_at: LookAt | None = None,
) -> Opened:
    """Return whether a token opens under one of the keyring's trusted keys, and what to remember of that.

    An envelope's token is shown to `look_at` before it is wiped. Raises KmsError for what is not about this
    token: throttling and outages, credentials; SettingsError.
    """
    ref = token.ref
    if not token.format.protected:
        return Opened(Verification(ref, False, None, None, NOT_AN_ENVELOPE[token.format]), None)
    try:
        with observed_operation(observer, "decrypt") as observation, CallSubject(ref):
            envelope = parse(token.value.reveal())
            observation.format_ = envelope.format
            key = await _opened_under(envelope, token, keyring, kms, look_at)
    except WrongBindingError as error:
        return Opened(Verification(ref, False, None, None, error.message), None)
    except (EnvelopeError, InvalidReferenceError) as error:
        broken = answer_of_damage(token, error.message)
        return Opened(Verification(ref, False, None, None, error.message), broken)
    except KmsError as error:
        if error.transient or isinstance(error, CredentialsError):
            raise
        return Opened(Verification(ref, False, error.key or None, None, str(error)), None)
    known = KnownAttribution(token.digest, envelope.edk_prefix, key.key_arn, key.key_material_id)
    return Opened(Verification(ref, True, key.key_arn, key.key_material_id), known)


async def _opened_under(
    envelope: Envelope, stored: StoredToken, keyring: KmsKeyring, kms: BulkKms, look_at: LookAt | None
) -> KeyAnswer:
    """Open the envelope and drop what it holds; returns the key that had wrapped its data key.

    Asks the trusted keys as KmsKeyring.unwrap does, and raises as it does; EnvelopeError.
    """
    ref = stored.ref
    context = envelope.opening_context(ref, keyring.binding)
    encrypted, named = envelope.encrypted_data_key, envelope.named_key
    failures: list[KmsError] = []
    silent: KmsUnreachableError | None = None
    for name in keyring.candidates(encrypted, named=named):
        try:
            unwrapped = await kms.decrypt(name, encrypted, context)
            with unwrapped.data_key as data_key:
                must_be_named(unwrapped.wrapped_by.key_arn, named, "Decrypt")
                keyring.remember_likely(encrypted, name)
                with open_envelope(envelope, data_key, ref, keyring.binding) as token:
                    if look_at is not None:
                        look_at(stored, token)
        except TRY_THE_NEXT as error:
            failures.append(error)
        except KmsUnreachableError as error:
            silent = silent or error
        else:
            return unwrapped.wrapped_by
    why = silent or closest(failures)
    if context and isinstance(why, InvalidCiphertextError):
        raise sealed_for_another_row(why, ref, envelope) from why
    raise why
