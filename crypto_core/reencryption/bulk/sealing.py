"""One token's way through KMS: opened, sealed anew, and what was sealed opened and compared again.

Rewrap leaves nonce and ciphertext as they are, so that the new envelope opens under the target's data key
proves that it holds the token. Re-encrypt and encrypt compare what the new envelope holds with what went in.
"""

from __future__ import annotations

from crypto_core.cipher import seal_under, wrong_data_key
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.envelope import (
    Envelope,
    Format,
    at_least,
    bound_format,
    open_dev,
    open_envelope,
    parse,
    require_sealable,
    serialise,
    version_of,
)
from crypto_core.errors import (
    AuthenticationFailedError,
    EnvelopeError,
    IncorrectKeyError,
    InvalidCiphertextError,
    InvalidReferenceError,
    InvalidTokenError,
    KeydeckError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KmsAccessDeniedError,
    KmsError,
    KmsUnreachableError,
    MalformedEnvelopeError,
    NewEnvelopeError,
    ReadOnlyError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedKeyError,
    WrongBindingError,
)
from crypto_core.key_names import is_key_arn, same_key
from crypto_core.keyring.checked_answers import closest, must_be_named
from crypto_core.keyring.data_keys import KeyAnswer, UnwrappedDataKey
from crypto_core.receipts.call_subject import CallSubject
from crypto_core.reencryption.bulk.ports import BulkKms, Outcome, Poison, Sealed, TokenTask
from crypto_core.reencryption.plan import Verb
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_KINDS: tuple[tuple[type[KeydeckError], str], ...] = (
    (NewEnvelopeError, "new-envelope"),
    (AuthenticationFailedError, "authentication-failed"),
    (WrongBindingError, "another-database"),
    (MalformedEnvelopeError, "malformed"),
    (UnsupportedFormatError, "unsupported-format"),
    (EnvelopeError, "envelope"),
    (InvalidTokenError, "invalid-token"),
    (InvalidReferenceError, "invalid-reference"),
    (RefusedError, "bound-to-its-key"),
    (IncorrectKeyError, "incorrect-key"),
    (InvalidCiphertextError, "invalid-ciphertext"),
    (UntrustedKeyError, "untrusted-key"),
    (KmsAccessDeniedError, "access-denied"),
    (KeyDisabledError, "key-disabled"),
    (KeyStateError, "key-state"),
    (KeyNotFoundError, "key-not-found"),
)

_OF_THE_TOKEN = (
    EnvelopeError,
    InvalidTokenError,
    InvalidReferenceError,
    RefusedError,
    IncorrectKeyError,
)
"""What says something of one token, whichever keys there are."""

_OF_ITS_KEY = (KmsAccessDeniedError, KeyDisabledError, KeyStateError, KeyNotFoundError)
"""What says something of one source key of several."""

_ANOTHER_KEY = (IncorrectKeyError, UntrustedKeyError)
"""What says that the data key is under another key than the one that was asked."""

UNKNOWN_KEY = "unknown-key"
"""The kind of failure where no key that may be asked opens the data key."""


class _UnknownKeyError(KmsError):
    """No key is known for the envelope's data key."""


async def sealed(token: StoredToken, order: TokenTask, kms: BulkKms, *, prove: bool = False) -> Outcome:
    """Return the token's new envelope, or why there is none; to `prove` it KMS is asked to open it.

    Raises WrongDataKeyError where KMS opens another data key than it has issued, and KmsError for what is not
    about this token: throttling and outages, credentials, the target key, the one source key; ReadOnlyError.
    """
    # Nothing is kept of what is encrypted in place.
    way = _Way(token, order, kms, prove=prove or order.ask_kms or order.verb is Verb.ENCRYPT)
    try:
        with CallSubject(token.ref):
            if order.verb is Verb.REWRAP:
                return await way.rewrapped()
            if order.verb is Verb.REENCRYPT:
                return await way.reencrypted()
            return await way.encrypted()
    except ReadOnlyError:
        raise
    except _UnknownKeyError as error:
        return Poison(token, UNKNOWN_KEY, error.message, way.calls)
    except InvalidCiphertextError as error:
        others = "row or database" if token.format.binds_database else "row"
        told = f" It is damaged, or was sealed for another {others}." if token.format.binds_row else ""
        return Poison(token, _kind(error), f"{error.message}{told}", way.calls)
    except _OF_THE_TOKEN as error:
        return Poison(token, _kind(error), error.message, way.calls)
    except UntrustedKeyError as error:
        if way.asks_target or error.operation != "Decrypt":
            raise
        return Poison(token, _kind(error), error.message, way.calls)
    except _OF_ITS_KEY as error:
        if order.source is not None or way.asks_target or error.key != way.source:
            raise
        return Poison(token, _kind(error), error.message, way.calls)


class _Way:
    """What is done for one token, and the KMS calls it took."""

    __slots__ = ("_kms", "_order", "_prove", "_token", "asks_target", "calls", "source")

    def __init__(self, token: StoredToken, order: TokenTask, kms: BulkKms, *, prove: bool) -> None:
        self._prove = prove
        self._token = token
        self._order = order
        self._kms = kms
        self.calls = 0
        self.source = ""
        """The key that the old data key is looked for under."""
        self.asks_target = False
        """True once KMS is asked about the target key, whose failures are no single token's."""

    async def rewrapped(self) -> Sealed:
        order, ref = self._order, self._token.ref
        envelope = parse(self._token.value.reveal())
        context = envelope.opening_context(ref, order.binding)
        source = self._known_source(envelope)
        envelope.rewrapped(envelope.encrypted_data_key, order.target)  # Refused before anything is asked.
        if source is None:
            (await self._unwrapped(envelope)).data_key.wipe()
            source = self.source
        self.source = source
        self.calls += 1
        answer = await self._kms.reencrypt(envelope.encrypted_data_key, source, order.target, context)
        must_be_named(answer.source.key_arn, envelope.named_key, "ReEncrypt")
        stored = serialise(envelope.rewrapped(answer.encrypted_data_key, answer.destination.key_arn))
        new = parse(stored)
        if new.rewrapped(envelope.encrypted_data_key, answer.destination.key_arn) != envelope:
            raise NewEnvelopeError("The new envelope differs in more than its data key; it was dropped.")
        with await self._opened_under_target(new, ref):
            return self._replaced(stored, answer.source, answer.destination)

    async def reencrypted(self) -> Sealed:
        order, ref = self._order, self._token.ref
        envelope = parse(self._token.value.reveal())
        unwrapped = await self._unwrapped(envelope)
        with unwrapped.data_key as data_key:
            must_be_named(unwrapped.wrapped_by.key_arn, envelope.named_key, "Decrypt")
            opened = open_envelope(envelope, data_key, ref, order.binding)
        written = order.write_format
        if not order.allow_downgrade:
            written = bound_format(at_least(envelope.format, written), order.binding)
        with opened:
            return await self._sealed(opened, written, unwrapped.wrapped_by)

    async def encrypted(self) -> Sealed:
        token, order = self._token, self._order
        if token.format is Format.DEV:
            with open_dev(token.value.reveal(), order.dev_key) as opened:
                return await self._sealed(opened, order.write_format, None)
        if token.format is Format.PLAINTEXT:
            return await self._sealed(token.value, order.write_format, None)
        raise UnsupportedFormatError("The value is neither plaintext nor in dev format.")

    async def _sealed(self, plaintext: Secret, format_: Format, source: KeyAnswer | None) -> Sealed:
        ref, binding = self._token.ref, self._order.binding
        require_sealable(plaintext)
        context = version_of(format_).context_for(ref, binding)
        self.asks_target = True
        self.calls += 1
        generated = await self._kms.generate(self._order.target, context)
        new = seal_under(generated, plaintext, format_, ref, binding)
        if self._prove:
            try:
                await self._must_hold(parse(new.stored), plaintext)
            except NewEnvelopeError as error:
                raise wrong_data_key(new.wrapped_by.key_arn, error) from error
        return self._replaced(new.stored, source, new.wrapped_by)

    async def _must_hold(self, envelope: Envelope, plaintext: Secret) -> None:
        with await self._opened_under_target(envelope, self._token.ref) as opened:
            if opened != plaintext:
                raise NewEnvelopeError("The new envelope does not hold the token; it was dropped.")

    async def _opened_under_target(self, envelope: Envelope, ref: TokenRef) -> Secret:
        self.asks_target = True
        self.calls += 1
        binding = self._order.binding
        context = envelope.opening_context(ref, binding)
        try:
            unwrapped = await self._kms.decrypt(self._order.target, envelope.encrypted_data_key, context)
            with unwrapped.data_key as data_key:
                return open_envelope(envelope, data_key, ref, binding)
        except (IncorrectKeyError, InvalidCiphertextError, AuthenticationFailedError) as error:
            raise NewEnvelopeError(
                f"The new envelope does not open, and was dropped: {error.message}"
            ) from error

    async def _unwrapped(self, envelope: Envelope) -> UnwrappedDataKey:
        """Open the data key under the key that is known for it, else under each trusted one until KMS agrees;
        `source` is that key then. Raises KmsError.
        """
        order, known = self._order, self._known_source(envelope)
        context = envelope.opening_context(self._token.ref, order.binding)
        names = [known] if known else []
        if order.source is None:
            names += [name for name in order.trusted if name != known and _may_be(name, envelope.named_key)]
        failures: list[KmsError] = []
        silent: KmsUnreachableError | None = None
        for name in names:
            self.source = name
            self.calls += 1
            try:
                return await self._kms.decrypt(name, envelope.encrypted_data_key, context)
            except KmsUnreachableError as error:
                if name == known:
                    raise
                silent = silent or error
            except (*_ANOTHER_KEY, InvalidCiphertextError, *_OF_ITS_KEY) as error:
                if name == known and not (names[1:] and isinstance(error, _ANOTHER_KEY)):
                    raise
                failures.append(error)
        if silent is not None:
            raise silent
        if not failures:
            raise _UnknownKeyError("No key is known for its data key.", operation="Decrypt")
        why = closest(failures)
        if isinstance(why, InvalidCiphertextError):
            raise why
        raise _UnknownKeyError(why.message, operation="Decrypt")

    def _known_source(self, envelope: Envelope) -> str | None:
        """The key to ask about the envelope's data key, if one is named for it. Raises UntrustedKeyError."""
        order, named, prefix = self._order, envelope.named_key, envelope.edk_prefix
        source = order.source or (order.keys.get(prefix) if prefix is not None else None)
        if source is not None and named is not None and not same_key(source, named):
            raise UntrustedKeyError(
                f"The envelope names {named}, its data key is looked for under {source}.",
                operation="Decrypt",
                key=named,
            )
        return source

    def _replaced(self, stored: str, source: KeyAnswer | None, wrapped_by: KeyAnswer) -> Sealed:
        return Sealed(Replacement(self._token, stored, source), self.calls, wrapped_by)


def _may_be(name: str, key_arn: str | None) -> bool:
    """False for the ARN of another key than the one that an envelope names."""
    return key_arn is None or not is_key_arn(name) or same_key(name, key_arn)


def _kind(error: KeydeckError) -> str:
    return next(kind for type_, kind in _KINDS if isinstance(error, type_))
