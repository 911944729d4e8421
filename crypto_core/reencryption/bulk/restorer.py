"""Puts back the envelope that stood before a present value, once KMS has opened it.

Where the present value opens too and holds another token, it stays; where it does not open, nothing is lost
by putting back what does. Whatever changed meanwhile is newer, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.database.tokens.backups import KeptEnvelope
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.envelope import parse
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.ports import BulkKms, Outcome, Poison, Sealed, TokenPages
from crypto_core.reencryption.bulk.token_opener import open_under
from crypto_core.values import errors
from crypto_core.values.references import TokenRef

DIFFERENT = "different-token"


@dataclass(slots=True, eq=False, repr=False)
class Restoring:
    """The tokens of some pages of which a previous envelope is kept; a TokenPages, too."""

    pages: TokenPages
    keyring: KmsKeyring
    """The keys that both envelopes may be under."""
    previous: Callable[[Sequence[StoredToken]], Mapping[TokenRef, KeptEnvelope]]
    """Gives the kept envelopes of some tokens, as they are stored now. Blocks on SQL."""
    left: set[TokenRef] = field(default_factory=set)
    """Tokens of which none is kept, or that have changed."""
    _kept: dict[tuple[TokenRef, bytes], str] = field(default_factory=dict)

    def next(self) -> Sequence[StoredToken]:
        while page := self.pages.next():
            kept = self.previous(page)
            self._kept |= {(t.ref, t.digest): kept[t.ref].envelope for t in page if t.ref in kept}
            if some := self._those_kept(page):
                return some
        return []

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        found = self.pages.again(tokens)
        self.left |= {t.ref for t in tokens} - {t.ref for t in found}
        return self._those_kept(found)

    def _those_kept(self, tokens: Sequence[StoredToken]) -> list[StoredToken]:
        kept = [t for t in tokens if (t.ref, t.digest) in self._kept]
        self.left |= {t.ref for t in tokens} - {t.ref for t in kept}
        return kept

    async def restore_token(self, token: StoredToken, *, kms: BulkKms) -> Outcome:
        """Return the previous envelope to put back, or why the present one stays.

        Raises KmsError for what is not about this token: throttling and outages, credentials.
        """
        before, ref = self._kept[token.ref, token.digest], token.ref
        with CallSubject(ref):
            try:
                was = await open_under(parse(before), ref, self.keyring, kms)
            except (errors.EnvelopeError, errors.InvalidReferenceError) as error:
                return Poison(token, "damaged", f"The previous envelope does not open: {error.message}", 1)
            except errors.KmsError as error:
                return _not_opened(token, error, "The previous envelope does not open:", 1)
            with was.token as past:
                try:
                    now = await open_under(parse(token.value.reveal()), ref, self.keyring, kms)
                except (errors.EnvelopeError, errors.InvalidCiphertextError, errors.KeyNotFoundError):
                    return Sealed(Replacement(token, before, None), 2, was.wrapped_by)
                except errors.KmsError as error:
                    stays = "It stays: whether the present value holds another token can't be told."
                    return _not_opened(token, error, stays, 2)
                with now.token as present:
                    if past != present:
                        reason = "The present value opens and holds another token. It stays."
                        return Poison(token, DIFFERENT, reason, 2)
        return Sealed(Replacement(token, before, now.wrapped_by), 2, was.wrapped_by)


def _not_opened(token: StoredToken, error: errors.KmsError, words: str, calls: int) -> Poison:
    if error.may_pass:
        raise error
    return Poison(token, "not-opened", f"{words} {error}", calls)
