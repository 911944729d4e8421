"""One token's way through KMS when it is opened: its plaintext is wiped at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.database.tokens.attribution import answer_of_damage
from crypto_core.database.tokens.attribution_cache import KnownAttribution
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import Envelope, Format, open_envelope, parse
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.keyring.checked_answers import KeySearch, must_be_named
from crypto_core.keyring.cipher import OpenedToken, sealed_for_another_row
from crypto_core.keyring.data_keys import UnwrappedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observation, Observer
from crypto_core.reencryption.bulk.ports import BulkKms, Opened
from crypto_core.reencryption.plan import Verification
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

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
        with Observation(observer, "decrypt") as observation, CallSubject(ref):
            envelope = parse(token.value.reveal())
            observation.format_ = envelope.format
            found = await open_under(envelope, ref, keyring, kms)
            with found.token as plaintext:
                if look_at is not None:
                    look_at(token, plaintext)
    except (errors.WrongBindingError, errors.InvalidReferenceError) as error:
        return Opened(Verification(ref, False, None, None, error.message), None)
    except errors.EnvelopeError as error:
        broken = answer_of_damage(token, error.message)
        return Opened(Verification(ref, False, None, None, error.message), broken)
    except errors.KmsError as error:
        if error.may_pass:
            raise
        return Opened(Verification(ref, False, error.key or None, None, str(error)), None)
    key = found.wrapped_by
    known = KnownAttribution(token.digest, envelope.edk_prefix, key.key_arn, key.key_material_id)
    return Opened(Verification(ref, True, key.key_arn, key.key_material_id), known)


async def open_under(
    envelope: Envelope,
    ref: TokenRef,
    keyring: KmsKeyring,
    kms: BulkKms,
    search: KeySearch | None = None,
    *,
    believing: bool = False,
) -> OpenedToken:
    """Return the envelope's token and the key that had wrapped its data key; as TokenCipher.open.

    With `believing`, what the key that is remembered for data keys like this one says is final, unless that
    is that another one wrapped it. `search` is told of every key that is asked.
    """
    binding = keyring.binding
    context = envelope.opening_context(ref, binding)
    try:
        unwrapped = await _unwrapped(envelope, context, keyring, kms, search or KeySearch(), believing)
    except errors.InvalidCiphertextError as error:
        if not context:
            raise
        raise sealed_for_another_row(error, ref, envelope) from error
    with unwrapped.data_key as data_key:
        must_be_named(unwrapped.wrapped_by.key_arn, envelope.named_key, "Decrypt")
        return OpenedToken(open_envelope(envelope, data_key, ref, binding), unwrapped.wrapped_by)


async def _unwrapped(
    envelope: Envelope,
    context: EncryptionContext,
    keyring: KmsKeyring,
    kms: BulkKms,
    search: KeySearch,
    believing: bool,
) -> UnwrappedDataKey:
    blob = envelope.encrypted_data_key
    several = len(keyring.trusted) > 1
    known = keyring.remembered(blob) if several else None
    names: Iterable[str] = keyring.trusted
    if several or envelope.named_key is not None or not keyring.trusted:
        names = keyring.in_turn((known,), envelope.named_key)
    for name in names:
        with search.asking(name):
            unwrapped = await kms.decrypt(name, blob, context)
            if several and name != known:
                keyring.remember_likely(blob, name)
            return unwrapped
        if believing and name == known and not search.found_another:
            break
    raise search.failure
