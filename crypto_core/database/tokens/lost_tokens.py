"""Tokens that open for nobody, proved by asking KMS about each, now; and which of them were accepted as lost.

Lost is a token whose data key KMS refuses as invalid, or whose envelope does not open with its data key. A
denial, a throttled call or a Region that does not answer says nothing about a token. A loss that somebody
has accepted is one of a stored value at its place: another value there, or the same one elsewhere, is not it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.database.tokens.attribution import HOLDING
from crypto_core.database.tokens.store import StoredToken
from crypto_core.database.tokens.token_patterns import holds_whole_envelope
from crypto_core.envelope import open_envelope, parse
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import listed
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef

NAMED = 5


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One value at one place. `sha256` is that of the stored text, in hex."""

    ref: TokenRef
    sha256: str

    @classmethod
    def of(cls, token: StoredToken) -> StoredValue:
        """Return the place and the hash of a token as it is stored now."""
        stored = token.value.reveal().encode("utf-8", "surrogatepass")
        return cls(token.ref, hashlib.sha256(stored).hexdigest())


@dataclass(frozen=True, slots=True)
@cleans(incident=60)
class AcceptedLoss(JsonRecord):
    """A stored value under a key that was accepted as unrecoverable in an incident, such as INC-7."""

    value: StoredValue
    key_arn: str
    incident: str

    json_shape = shape("reference=value.ref sha256=value.sha256 incident")


@dataclass(frozen=True, slots=True)
@cleans(troubles=600)
class AcceptedLosses:
    """`troubles` says which acceptances don't count, and why."""

    losses: tuple[AcceptedLoss, ...] = ()
    troubles: tuple[str, ...] = ()


class OpeningResult(StrEnum):
    OPENS = "opens"
    LOST = "can't be opened by anybody"
    OUT_OF_USE = "the key is out of use"
    """KMS opens nothing under the key in its present state."""
    UNCLEAR = "not known"


@dataclass(frozen=True, slots=True)
@cleans(why=400)
class TriedToken:
    """The outcome of opening one token. Cleaned text."""

    value: StoredValue
    result: OpeningResult
    why: str = ""
    bound: bool = False
    """Whether the envelope is bound to its row: elsewhere it does not open."""
    opened_by: str = ""
    """The ARN of the key, or the replica, by which KMS opened it."""

    def __str__(self) -> str:
        return f"{self.value.ref}: {self.why}" if self.why else str(self.value.ref)


@dataclass(eq=False, repr=False)
class TokenTrial:
    keyring: KmsKeyring

    def try_token(
        self, token: StoredToken, key_arn: str, tied: Collection[bytes | None] | None = None
    ) -> TriedToken:
        """Return what comes of opening a token under a key, by KMS's answer of now.

        With `tied`, the EDK prefixes that KMS names this key for, every Region is asked about a data key
        outside of these before it counts as lost: it may be another key's.
        """
        with CallSubject(token.ref):
            return self._tried(token, key_arn, tied)

    def _tried(self, token: StoredToken, key_arn: str, tied: Collection[bytes | None] | None) -> TriedToken:
        value, stored, binding = StoredValue.of(token), token.value.reveal(), self.keyring.binding
        try:
            envelope = parse(stored)
            context = envelope.opening_context(token.ref, binding)
        except (errors.InvalidReferenceError, errors.WrongBindingError) as error:
            return TriedToken(value, OpeningResult.UNCLEAR, error.message)
        except errors.EnvelopeError as error:
            if holds_whole_envelope(stored):
                return TriedToken(value, OpeningResult.UNCLEAR, f"{error.message} {HOLDING}")
            return TriedToken(value, OpeningResult.LOST, error.message)
        blob, named = envelope.encrypted_data_key, envelope.named_key
        try:
            unwrapped = self.keyring.unwrap(blob, only=key_arn, named=named, context=context)
        except errors.InvalidCiphertextError as error:
            if tied is not None and envelope.edk_prefix not in tied:
                try:
                    answer = self.keyring.attribute(blob, named=named, context=context)
                except errors.InvalidCiphertextError:
                    pass
                except errors.KmsError as other:
                    return TriedToken(value, OpeningResult.UNCLEAR, other.message)
                else:
                    return TriedToken(value, OpeningResult.UNCLEAR, f"It is under {answer.key_arn}.")
            return TriedToken(value, OpeningResult.LOST, error.message, bool(context))
        except (errors.KeyDisabledError, errors.KeyStateError) as error:
            return TriedToken(value, OpeningResult.OUT_OF_USE, error.message)
        except errors.KmsError as error:
            return TriedToken(value, OpeningResult.UNCLEAR, error.message)
        with unwrapped.data_key as data_key:
            try:
                open_envelope(envelope, data_key, token.ref, binding).wipe()
            except errors.EnvelopeError as error:
                return TriedToken(value, OpeningResult.LOST, error.message, bool(context))
        return TriedToken(value, OpeningResult.OPENS, opened_by=unwrapped.wrapped_by.key_arn)


@dataclass(frozen=True, slots=True)
@cleans(incidents=60)
class AcceptedUnderKey(JsonRecord):
    key_arn: str
    under: int
    accepted: tuple[AcceptedLoss, ...]
    incidents: tuple[str, ...] = field(default=())

    json_shape = shape(
        "key_arn under accepted incidents references",
        accepted=made(int, lambda record: len(record.accepted)),
        references=made(tuple[TokenRef, ...], lambda record: [loss.value.ref for loss in record.accepted]),
    )

    @classmethod
    def by_key(cls, losses: Iterable[AcceptedLoss], under: Mapping[str, int]) -> tuple[AcceptedUnderKey, ...]:
        """`under` counts the tokens under each key, accepted ones too."""
        keys: dict[str, list[AcceptedLoss]] = {}
        for loss in losses:
            keys.setdefault(loss.key_arn, []).append(loss)
        return tuple(
            cls(key, max(under.get(key, 0), len(own)), tuple(own), incidents_of(own))
            for key, own in sorted(keys.items())
        )

    def words(self, name: str) -> str:
        """Return the count with what was accepted of it; `name` is what the key is called."""
        number = len(self.accepted)
        which = ("all " if number > 1 else "") if number == self.under else ""
        of_it = f"{which}{number:,}" if number == self.under else f"{number:,} of them"
        where = in_words(self.incidents)
        return f"{self.under:,} under {clean(name)}, {of_it} accepted as unrecoverable in {where}"


def incidents_of(losses: Iterable[AcceptedLoss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss.incident for loss in losses))


def in_words(incidents: Iterable[str]) -> str:
    return " and ".join(incidents)


def accepted_words(losses: Iterable[AcceptedLoss]) -> str:
    ordered = sorted(losses, key=lambda loss: loss.value.ref)
    where = in_words(incidents_of(ordered))
    return (
        f"{len(ordered):,} accepted as unrecoverable in {where}: {named(loss.value.ref for loss in ordered)}"
    )


def named(refs: Iterable[TokenRef]) -> str:
    return listed([str(ref) for ref in refs], NAMED)
