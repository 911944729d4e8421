"""TokenCipher: encrypt, decrypt, rewrap and re-encrypt one token.

Rewrap moves the data key to another KMS key and leaves nonce and ciphertext byte for byte. Re-encrypt takes
a new data key and a new nonce. Only re-encrypt recovers from a compromise: whoever could call Decrypt with
the old key and read the database already holds the old data keys.

A v2 envelope is bound to its row, so whatever makes or opens one is told the row's reference. The version
only ever rises: what is written is v1 unless v2 was chosen, and what was v2 stays v2 unless the caller says
that a downgrade is meant. Where the keyring has a binding, the name of the database, no v2 is written that
isn't bound to that database too: v2-bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.envelope import (
    Envelope,
    Format,
    at_least,
    bound_format,
    open_envelope,
    parse,
    require_envelope_format,
    require_sealable,
    seal,
    serialise,
    version_of,
)
from crypto_core.keyring.data_keys import GeneratedDataKey, KeyAnswer
from crypto_core.log.observation import SILENT, Observation, Observer
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

if TYPE_CHECKING:
    from crypto_core.aws.receipts.recorder import ReceiptRecorder
    from crypto_core.keyring.kms_keyring import KmsKeyring


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A token's plaintext and the KMS key that had wrapped its data key."""

    token: Secret
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A new stored form and the KMS key that wrapped its data key; `source` is the key it came from.

    `ref` is the row that it is bound to, None for v1.
    """

    stored: str = field(repr=False)
    wrapped_by: KeyAnswer
    source: KeyAnswer | None = None
    ref: TokenRef | None = None


class TokenCipher:
    """Seals and opens tokens with data keys from a keyring. Thread-safe if the keyring is."""

    def __init__(
        self,
        keyring: KmsKeyring,
        *,
        write_format: Format = Format.V1,
        least_format: Format = Format.V1,
        observer: Observer = SILENT,
        receipts: ReceiptRecorder | None = None,
    ) -> None:
        """`write_format` is the version of new envelopes; v2 is v2-bound where the keyring has a binding.

        `least_format` is the oldest version that is opened. Whoever can write to the database can put a v1
        envelope from elsewhere where a v2 envelope stood; a reader whose tokens are all v2 demands v2, and
        v2-bound once none can be another database's. An older version is not written either: encrypting
        raises SettingsError.
        `receipts` writes down which token each KMS call was for; without one, the KMS client's does, if any.
        Raises SettingsError for a format that is no envelope, and for v2-bound without a binding.
        """
        for setting, format_ in (("write_format", write_format), ("least_format", least_format)):
            require_envelope_format(format_, setting)
            if format_.binds_database and keyring.binding is None:
                raise errors.SettingsError(
                    f"{format_} envelopes name their database, and this one has no name.",
                    remedy="Set KEYDECK_BINDING.",
                )
        self._keyring = keyring
        self._write_format = bound_format(write_format, keyring.binding)
        self._least_format = least_format
        self._observer = observer
        self._receipts = receipts

    def encrypt(
        self,
        token: Secret | str,
        key: str | None = None,
        *,
        ref: TokenRef | None = None,
        ask_kms: bool = False,
    ) -> SealedToken:
        """Return the stored form of `token` under a new data key (one KMS call).

        `ref` says which row it is for; v1 does without. The result has been opened again and compared before
        it is returned; with `ask_kms` by a data key that KMS has opened (one call more), not by the one that
        it has issued. Raises InvalidTokenError, MissingReferenceError, KmsError, SettingsError.
        """
        with Observation(self._observer, "encrypt", self._write_format):
            secret = token if isinstance(token, Secret) else Secret.of(token)
            return self._sealed(secret, key, ref, self._write_format, ask_kms=ask_kms)

    def decrypt(self, stored: str, likely: str | None = None, *, ref: TokenRef | None = None) -> Secret:
        """Return the token of a stored envelope (one KMS call, more where several keys are trusted).

        `likely` is the ARN of the key to ask first, `ref` the row that it was read from; v1 does without
        either. Raises EnvelopeError, MissingReferenceError, KmsError.
        """
        return self.open(stored, likely, ref=ref).token

    def open(self, stored: str, likely: str | None = None, *, ref: TokenRef | None = None) -> OpenedToken:
        """Return the token together with the key that had wrapped it. Raises as `decrypt`."""
        with Observation(self._observer, "decrypt") as observation:
            envelope = _parsed(stored)
            observation.format_ = envelope.format
            with CallSubject(ref or stored, self._receipts):
                return self._open(envelope, likely, ref)

    def rewrap(
        self, stored: str, destination: str, likely: str | None = None, *, ref: TokenRef | None = None
    ) -> SealedToken:
        """Return the stored form with the same data key under KMS key `destination`.

        Three KMS calls: the old envelope is opened, its data key rewrapped, and the new envelope opened with
        `destination` alone and compared, so that what is stored is known to open under that key. A v2
        envelope is bound to its key: it can only be rewrapped under that same key, which moves it to the
        current key material. Raises EnvelopeError, MissingReferenceError, RefusedError for a v2 envelope and
        another key, KmsError.
        """
        with Observation(self._observer, "rewrap") as observation:
            envelope = _parsed(stored)
            observation.format_ = envelope.format
            with CallSubject(ref or stored, self._receipts):
                return self._rewrap(envelope, destination, likely, ref)

    def reencrypt(
        self,
        stored: str,
        key: str | None = None,
        likely: str | None = None,
        *,
        ref: TokenRef | None = None,
        allow_downgrade: bool = False,
        ask_kms: bool = False,
    ) -> SealedToken:
        """Return the token in a new envelope: new data key, new nonce, new ciphertext (two KMS calls).

        A v1 envelope becomes what the cipher writes. A v2 envelope stays v2 also where v1 is written, unless
        `allow_downgrade` says otherwise; where the keyring has a binding it becomes v2-bound. The new
        envelope has been opened and compared; with `ask_kms` by a data key that KMS has opened (one call
        more). Raises EnvelopeError, MissingReferenceError, KmsError.
        """
        with Observation(self._observer, "reencrypt") as observation:
            envelope = _parsed(stored)
            observation.format_ = envelope.format
            written = self._write_format
            if not allow_downgrade:
                written = bound_format(at_least(envelope.format, written), self._keyring.binding)
            with CallSubject(ref or stored, self._receipts):
                opened = self._open(envelope, likely, ref)
            with opened.token as token:
                sealed = self._sealed(token, key, ref, written, ask_kms=ask_kms)
            return replace(sealed, source=opened.wrapped_by)

    def _sealed(
        self, token: Secret, key: str | None, ref: TokenRef | None, format_: Format, *, ask_kms: bool
    ) -> SealedToken:
        with CallSubject(ref, self._receipts) as subject:
            sealed = self._encrypt(token, key, ref, format_, ask_kms=ask_kms)
            subject.token = ref or sealed.stored
            return sealed

    def _encrypt(
        self, token: Secret, key: str | None, ref: TokenRef | None, format_: Format, *, ask_kms: bool
    ) -> SealedToken:
        require_sealable(token)
        if at_least(format_, self._least_format) is not format_:
            raise errors.SettingsError(
                f"{format_} would be written where {self._least_format} is demanded: nobody could read it.",
                remedy=f"Write {self._least_format} (KEYDECK_WRITE_FORMAT).",
            )
        binding = self._keyring.binding
        context = version_of(format_).context_for(ref, binding)
        sealed = seal_under(self._keyring.generate(key, context=context), token, format_, ref, binding)
        if ask_kms:
            arn = sealed.wrapped_by.key_arn
            try:
                self._must_hold(parse(sealed.stored), token, arn, ref)
            except (errors.EnvelopeError, errors.IncorrectKeyError, errors.InvalidCiphertextError) as error:
                raise wrong_data_key(arn, error) from error
        return sealed

    def _open(self, envelope: Envelope, likely: str | None, ref: TokenRef | None) -> OpenedToken:
        if at_least(envelope.format, self._least_format) is not envelope.format:
            raise errors.UnsupportedFormatError(
                f"The value is a {envelope.format} envelope where {self._least_format} is demanded.",
                remedy="Find out who wrote it; if it belongs there, re-encrypt it.",
            )
        binding = self._keyring.binding
        context = envelope.opening_context(ref, binding)
        try:
            unwrapped = self._keyring.unwrap(
                envelope.encrypted_data_key, likely, named=envelope.named_key, context=context
            )
        except errors.InvalidCiphertextError as error:
            if not context:
                raise
            raise sealed_for_another_row(error, ref, envelope) from error
        with unwrapped.data_key as data_key:
            return OpenedToken(open_envelope(envelope, data_key, ref, binding), unwrapped.wrapped_by)

    def _rewrap(
        self, envelope: Envelope, destination: str, likely: str | None, ref: TokenRef | None
    ) -> SealedToken:
        context = envelope.opening_context(ref, self._keyring.binding)
        before = self._open(envelope, likely, ref)
        with before.token as token:
            rewrapped = self._keyring.rewrap(
                envelope.encrypted_data_key,
                destination,
                before.wrapped_by.key_arn,
                named=envelope.named_key,
                context=context,
            )
            new = rewrapped.destination
            result = serialise(envelope.rewrapped(rewrapped.encrypted_data_key, new.key_arn))
            with CallSubject(ref or result, self._receipts):
                self._must_hold(parse(result), token, new.key_arn, ref)
        return SealedToken(result, new, rewrapped.source, ref if context else None)

    def _must_hold(self, envelope: Envelope, token: Secret, key_arn: str, ref: TokenRef | None) -> None:
        binding = self._keyring.binding
        unwrapped = self._keyring.unwrap(
            envelope.encrypted_data_key, only=key_arn, context=envelope.opening_context(ref, binding)
        )
        with unwrapped.data_key as data_key:
            must_open_as(token, envelope, data_key, ref, binding)


def seal_under(
    generated: GeneratedDataKey, token: Secret, format_: Format, ref: TokenRef | None, binding: str | None
) -> SealedToken:
    """Return the stored form of `token` under a new data key, which is wiped.

    The result has been parsed, opened and compared before it is returned. Raises NewEnvelopeError if it holds
    something else, and as `envelope.seal`.
    """
    wrapped_by = generated.wrapped_by
    with generated.data_key as data_key:
        envelope = seal(
            token,
            data_key,
            generated.encrypted_data_key,
            format_=format_,
            key_arn=wrapped_by.key_arn,
            ref=ref,
            binding=binding,
        )
        stored = serialise(envelope)
        must_open_as(token, parse(stored), data_key, ref, binding)
    return SealedToken(stored, wrapped_by, ref=ref if format_.binds_row else None)


def wrong_data_key(key_arn: str, error: errors.KeydeckError) -> errors.WrongDataKeyError:
    return errors.WrongDataKeyError(
        f"KMS does not open the data key that it has just issued under {key_arn}, or opens another one: "
        f"{error.message}",
        operation="GenerateDataKey",
        key=key_arn,
    )


def sealed_for_another_row(
    error: errors.InvalidCiphertextError, ref: TokenRef | None, envelope: Envelope
) -> errors.InvalidCiphertextError:
    """Return KMS's refusal of a data key that is bound to a row, with what that may mean."""
    database = envelope.named_database
    or_database = "" if database is None else f' or another database than "{database}"'
    return errors.InvalidCiphertextError(
        f"{error.message} It is damaged, or was sealed for another row than {ref}{or_database}.",
        operation=error.operation,
        key=error.key,
    )


def must_open_as(
    token: Secret, envelope: Envelope, data_key: DataKey, ref: TokenRef | None, binding: str | None
) -> None:
    """Raise NewEnvelopeError unless the envelope holds the token. Raises also as `open_envelope`."""
    with open_envelope(envelope, data_key, ref, binding) as opened:
        if opened != token:
            raise errors.NewEnvelopeError("The new envelope does not hold the token; it was dropped.")


def _parsed(stored: str) -> Envelope:
    if not isinstance(stored, str):
        raise errors.InvalidTokenError("What is stored is not text.")
    return parse(stored)
