"""One token's way through KMS: opened, sealed anew, and what was sealed opened and compared again.

Rewrap leaves nonce and ciphertext as they are, so that the new envelope opens under the target's data key
proves that it holds the token. Re-encrypt and encrypt compare what the new envelope holds with what went in.
"""

from __future__ import annotations

import secrets
from math import log, log1p

from crypto_core.aws.receipts.call_subject import CallSubject
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
from crypto_core.keyring.checked_answers import ANOTHER_KEY, REFUSALS, KeySearch, must_be_named
from crypto_core.keyring.cipher import OpenedToken, seal_under, sealed_for_another_row, wrong_data_key
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.log.observation import Observation
from crypto_core.reencryption.bulk.ports import BulkKms, Outcome, Poison, Sealed, TokenTask
from crypto_core.reencryption.bulk.token_opener import open_under
from crypto_core.reencryption.plan import PROVED, Verb
from crypto_core.values import errors
from crypto_core.values.secret import Secret

_KINDS: tuple[tuple[type[errors.KeydeckError], str], ...] = (
    (errors.NewEnvelopeError, "new-envelope"),
    (errors.AuthenticationFailedError, "authentication-failed"),
    (errors.WrongBindingError, "another-database"),
    (errors.MalformedEnvelopeError, "malformed"),
    (errors.UnsupportedFormatError, "unsupported-format"),
    (errors.EnvelopeError, "envelope"),
    (errors.InvalidTokenError, "invalid-token"),
    (errors.InvalidReferenceError, "invalid-reference"),
    (errors.RefusedError, "bound-to-its-key"),
    (errors.IncorrectKeyError, "incorrect-key"),
    (errors.InvalidCiphertextError, "invalid-ciphertext"),
    (errors.UntrustedKeyError, "untrusted-key"),
    (errors.KmsAccessDeniedError, "access-denied"),
    (errors.KeyDisabledError, "key-disabled"),
    (errors.KeyStateError, "key-state"),
    (errors.KeyNotFoundError, "key-not-found"),
)

_OF_THE_TOKEN = (
    errors.EnvelopeError,
    errors.InvalidTokenError,
    errors.InvalidReferenceError,
    errors.RefusedError,
    errors.IncorrectKeyError,
    errors.InvalidCiphertextError,
)
"""What says something of one token, whichever keys there are."""

_NOT_OPENED = (errors.IncorrectKeyError, errors.InvalidCiphertextError, errors.AuthenticationFailedError)

UNKNOWN_KEY = "unknown-key"
"""The kind of failure where no key that may be asked opens the data key."""


class _UnknownKeyError(errors.KmsError):
    """No key is known for the envelope's data key."""


class Sealing:
    """Seals tokens. KMS is asked to open the first new envelope, and one in so many, before it is written."""

    def __init__(self, order: TokenTask) -> None:
        self._order = order
        self._until_proof = 0
        """How many new envelopes KMS is not asked about before it is asked about the next one."""

    async def seal_token(self, token: StoredToken, *, kms: BulkKms) -> Outcome:
        """Return the token's new envelope, or why there is none. Raises as `sealed`."""
        if self._until_proof:
            self._until_proof -= 1
            return await sealed(token, self._order, kms)
        self._until_proof = _unproved()
        outcome = None
        try:
            outcome = await sealed(token, self._order, kms, prove=True)
        finally:
            if not isinstance(outcome, Sealed):
                self._until_proof = 0
        return outcome


def _unproved() -> int:
    """How many envelopes come before the next that KMS opens, if one in PROVED is, whichever."""
    drawn = 1.0 - secrets.SystemRandom().random()
    return int(log(drawn) / log1p(-1 / PROVED))


async def sealed(token: StoredToken, order: TokenTask, kms: BulkKms, *, prove: bool = False) -> Outcome:
    """Return the token's new envelope, or why there is none; to `prove` it KMS is asked to open it.

    Raises WrongDataKeyError where KMS opens another data key than it has issued, and KmsError for what is not
    about this token: throttling and outages, credentials, the target key, the one source key; ReadOnlyError.
    """
    # Nothing is kept of what is encrypted in place.
    format_ = order.write_format if order.verb is Verb.ENCRYPT else token.format
    way = _Way(token, order, kms, prove=prove or order.ask_kms or order.verb is Verb.ENCRYPT)
    try:
        with Observation(order.observer, order.verb.value, format_), CallSubject(token.ref):
            if order.verb is Verb.REWRAP:
                return await way.rewrapped()
            if order.verb is Verb.REENCRYPT:
                return await way.reencrypted()
            return await way.encrypted()
    except errors.ReadOnlyError:
        raise
    except _UnknownKeyError as error:
        return Poison(token, UNKNOWN_KEY, error.message, way.calls)
    except _OF_THE_TOKEN as error:
        return Poison(token, _kind(error), error.message, way.calls)
    except errors.UntrustedKeyError as error:
        if way.asks_target or error.operation != "Decrypt":
            raise
        return Poison(token, _kind(error), error.message, way.calls)
    except REFUSALS as error:
        if order.source is not None or way.asks_target or error.key not in way.search.asked:
            raise
        return Poison(token, _kind(error), error.message, way.calls)


class _Way:
    """What is done for one token, and the KMS calls it took."""

    __slots__ = ("_calls", "_kms", "_order", "_prove", "_token", "asks_target", "search")

    def __init__(self, token: StoredToken, order: TokenTask, kms: BulkKms, *, prove: bool) -> None:
        self._prove = prove
        self._token = token
        self._order = order
        self._kms = kms
        self._calls = 0
        self.search = KeySearch()
        """The search for the key that the old data key is under."""
        self.asks_target = False
        """True once KMS is asked about the target key, whose failures are no single token's."""

    @property
    def calls(self) -> int:
        return self._calls + len(self.search.asked)

    async def rewrapped(self) -> Sealed:
        order, ref = self._order, self._token.ref
        envelope = parse(self._token.value.reveal())
        blob, named = envelope.encrypted_data_key, envelope.named_key
        context = envelope.opening_context(ref, order.keyring.binding)
        envelope.rewrapped(blob, order.target)  # Refused before anything is asked.
        source = order.source or order.keyring.remembered(blob)
        if source is None:
            (await self._opened(envelope)).token.wipe()
            source = self.search.asked[-1]
            self._calls += 1
        else:
            next(order.keyring.candidates(blob, named=named))  # Refused where the named key is not trusted.
            self.search.asked.append(source)
        try:
            answer = await self._kms.reencrypt(blob, source, order.target, context)
        except errors.InvalidCiphertextError as error:
            if not context:
                raise
            raise sealed_for_another_row(error, ref, envelope) from error
        must_be_named(answer.source.key_arn, named, "ReEncrypt")
        stored = serialise(envelope.rewrapped(answer.encrypted_data_key, answer.destination.key_arn))
        new = parse(stored)
        if new.rewrapped(blob, answer.destination.key_arn) != envelope:
            raise errors.NewEnvelopeError(
                "The new envelope differs in more than its data key; it was dropped."
            )
        try:
            (await self._opened_under_target(new)).wipe()
        except errors.NewEnvelopeError:
            # Where the old one does not open either, that is the reason.
            (await self._opened(envelope)).token.wipe()
            raise
        return self._replaced(stored, answer.source, answer.destination)

    async def reencrypted(self) -> Sealed:
        order, envelope = self._order, parse(self._token.value.reveal())
        opened = await self._opened(envelope)
        written = order.write_format
        if not order.allow_downgrade:
            written = at_least(envelope.format, written)
        with opened.token as token:
            return await self._sealed(token, written, opened.wrapped_by)

    async def encrypted(self) -> Sealed:
        token, order = self._token, self._order
        if token.format is Format.DEV:
            with open_dev(token.value.reveal(), order.dev_key) as opened:
                return await self._sealed(opened, order.write_format, None)
        if token.format is Format.PLAINTEXT:
            return await self._sealed(token.value, order.write_format, None)
        raise errors.UnsupportedFormatError("The value is neither plaintext nor in dev format.")

    async def _sealed(self, plaintext: Secret, format_: Format, source: KeyAnswer | None) -> Sealed:
        ref, binding = self._token.ref, self._order.keyring.binding
        require_sealable(plaintext)
        format_ = bound_format(format_, binding)
        context = version_of(format_).context_for(ref, binding)
        self.asks_target = True
        self._calls += 1
        generated = await self._kms.generate(self._order.target, context)
        new = seal_under(generated, plaintext, format_, ref, binding)
        if self._prove:
            try:
                await self._must_hold(parse(new.stored), plaintext)
            except errors.NewEnvelopeError as error:
                raise wrong_data_key(new.wrapped_by.key_arn, error) from error
        return self._replaced(new.stored, source, new.wrapped_by)

    async def _must_hold(self, envelope: Envelope, plaintext: Secret) -> None:
        with await self._opened_under_target(envelope) as opened:
            if opened != plaintext:
                raise errors.NewEnvelopeError("The new envelope does not hold the token; it was dropped.")

    async def _opened_under_target(self, envelope: Envelope) -> Secret:
        self.asks_target = True
        self._calls += 1
        ref, binding = self._token.ref, self._order.keyring.binding
        context = envelope.opening_context(ref, binding)
        try:
            unwrapped = await self._kms.decrypt(self._order.target, envelope.encrypted_data_key, context)
            with unwrapped.data_key as data_key:
                return open_envelope(envelope, data_key, ref, binding)
        except _NOT_OPENED as error:
            raise errors.NewEnvelopeError(
                f"The new envelope does not open, and was dropped: {error.message}"
            ) from error

    async def _opened(self, envelope: Envelope) -> OpenedToken:
        """Open the old envelope. Raises _UnknownKeyError where its key had to be looked for in vain."""
        keyring, search = self._order.keyring, self.search
        try:
            return await open_under(envelope, self._token.ref, keyring, self._kms, search, believing=True)
        except (*ANOTHER_KEY, *REFUSALS) as error:
            known = self._order.source or keyring.remembered(envelope.encrypted_data_key)
            if self._order.source or (search.asked == [known] and not search.found_another):
                raise
            raise _UnknownKeyError(error.message, operation="Decrypt") from error

    def _replaced(self, stored: str, source: KeyAnswer | None, wrapped_by: KeyAnswer) -> Sealed:
        return Sealed(Replacement(self._token, stored, source), self.calls, wrapped_by)


def _kind(error: errors.KeydeckError) -> str:
    return next(kind for type_, kind in _KINDS if isinstance(error, type_))
