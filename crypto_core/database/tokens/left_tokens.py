"""The tokens that seem to be left under a key, each opened: which open, and which open for nobody."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event

from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.database.tokens.lost_tokens import OpeningResult, StoredValue, TokenTrial, TriedToken
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError
from crypto_core.values.key_names import same_key

MOST_OPENED = 1_000


@dataclass(frozen=True, slots=True)
class LeftTokens:
    """In order of reference."""

    lost: tuple[TriedToken, ...] = ()
    opens: tuple[TriedToken, ...] = ()
    unclear: tuple[TriedToken, ...] = ()

    @classmethod
    def of(cls, tried: Iterable[TriedToken]) -> LeftTokens:
        ordered = sorted(tried, key=lambda one: one.value.ref)
        lost = tuple(one for one in ordered if one.result is OpeningResult.LOST)
        opens = tuple(one for one in ordered if one.result is OpeningResult.OPENS)
        return cls(lost, opens, tuple(one for one in ordered if one not in {*lost, *opens}))


@dataclass(eq=False, repr=False)
class LeftTokenSearch:
    """Blocks on KMS and SQL; changes nothing."""

    store: TokenStore
    keyring: KmsKeyring
    limit: int = MOST_OPENED
    workers: int = 8

    def left_under(self, proof: FreshProof, key_arn: str, *, cancelled: Event | None = None) -> LeftTokens:
        """Return what a proof counts as under the key, or does not know the key of, by how it opens.

        What a proof counts as accepted is left out. Raises RefusedError where there are too many to open one
        by one, DatabaseError, InterruptedRunError.
        """
        tied: set[bytes | None] = {
            prefix
            for prefix, named in proof.groups.items()
            if any(same_key(arn, key_arn) for arn, _ in named)
        }
        groups = [g for g in proof.census.groups if g.format in ENVELOPE_FORMATS and not g.holding]
        prefixes = {g.edk_prefix for g in groups if g.edk_prefix in tied or g.edk_prefix not in proof.groups}
        scope = TokenScope(frozenset(ENVELOPE_FORMATS), edk_prefixes=tuple(prefixes), but=proof.broken)
        number = self.store.count(scope).total() if prefixes else 0
        if number > self.limit:
            raise RefusedError(
                f"{counted(number, 'token')} may be left under the key: more than {self.limit:,} are not "
                "opened one by one.",
                remedy="Re-encrypt them first; what can't be written is left.",
            )
        trial = TokenTrial(self.keyring)
        covered = {loss.value for loss in proof.accepted}
        tried: list[TriedToken] = []
        if number:
            with ThreadPoolExecutor(max_workers=self.workers) as pool:
                for page in self.store.pages(scope):
                    stop_if(cancelled)
                    asked = [
                        token
                        for token in page
                        if StoredValue.of(token) not in covered and _may_be(proof, token, key_arn)
                    ]
                    tried += pool.map(partial(trial.try_token, key_arn=key_arn, tied=tied), asked)
        return LeftTokens.of(tried)


def _may_be(proof: FreshProof, token: StoredToken, key_arn: str) -> bool:
    """False for a token that KMS itself has named another key for."""
    known = proof.single.get(token.digest)
    return known is None or same_key(known[0], key_arn)
