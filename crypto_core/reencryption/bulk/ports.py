"""What the pipeline is joined to: KMS on one side, the database on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crypto_core.database.tokens.attribution_cache import KnownAttribution
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.envelope import DEV_KEY, Format
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.keyring.data_keys import GeneratedDataKey, KeyAnswer, RewrappedDataKey, UnwrappedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.plan import Verb, Verification


class BulkKms(Protocol):
    """KMS, many calls at a time. Every call pins the key, and raises KmsError as the keyring does."""

    async def generate(self, key: str, context: EncryptionContext) -> GeneratedDataKey: ...

    async def decrypt(self, key: str, blob: bytes, context: EncryptionContext) -> UnwrappedDataKey: ...

    async def reencrypt(
        self, blob: bytes, source: str, destination: str, context: EncryptionContext
    ) -> RewrappedDataKey: ...


@dataclass(frozen=True, slots=True)
class TokenTask:
    """What is done to each token of a run or a job.

    The keys that `keyring` trusts are asked for a data key, first the one that it remembers for others like
    it. `source` is the ARN of the key that opens all of the envelopes, alone in the keyring then; None where
    they are under several. `ask_kms` has KMS open every new envelope. `dev_key` opens values in dev format.
    `observer` is told how each token ended.
    """

    verb: Verb
    target: str
    keyring: KmsKeyring
    source: str | None = None
    write_format: Format = Format.V1
    allow_downgrade: bool = False
    ask_kms: bool = False
    dev_key: str = field(default=DEV_KEY, repr=False)
    observer: Observer = SILENT

    @classmethod
    def over(
        cls, keyring: KmsKeyring, verb: Verb, target: str, source: str | None, **options: Any
    ) -> TokenTask:
        """Return the task for tokens under one source key, or else under whatever is trusted."""
        opening = keyring.limited_to(source) if source else keyring.trusting(target)
        return cls(verb, target, opening, source, **options)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A token with its new envelope, opened and compared with the old plaintext."""

    replacement: Replacement
    kms_calls: int
    wrapped_by: KeyAnswer | None = None
    """The key and key material that wrapped the new data key."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A token that can't be written. `kind` is a word to count by, such as incorrect-key. Clean texts."""

    token: StoredToken
    kind: str
    reason: str
    kms_calls: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """Whether a token opened, and what is to be remembered of it. Nothing is written of the token."""

    verification: Verification
    known: KnownAttribution | None
    kms_calls: int = 0


Outcome = Sealed | Poison | Opened


class TokenPages(Protocol):
    def next(self) -> Sequence[StoredToken]:
        """Return some tokens, none at the end. Blocks on SQL; called in a thread, one call at a time."""

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        """Return those tokens, read anew, that are still to be written. Blocks as `next` does."""


class TokenSink(Protocol):
    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        """Write a batch; return the tokens that had changed meanwhile, to be read again.

        Blocks on SQL; called in a thread, one call at a time. Batches come in the order of the pages. Raises
        LeaseLostError if the chunk is another runner's by now, DatabaseError if nothing could be written.
        """
