"""Opens tokens and says only whether they opened. What KMS answers is remembered as verified."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Event
from time import monotonic

from crypto_core.cipher import TokenCipher
from crypto_core.database.tokens.attribution import answer_about
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.envelope import Format
from crypto_core.errors import (
    CredentialsError,
    EnvelopeError,
    InvalidReferenceError,
    KmsError,
    RowVanishedError,
)
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.filter_selection import filtered
from crypto_core.reencryption.patience import ask_patiently
from crypto_core.reencryption.plan import RunProgress, Selection, Verification

NOT_AN_ENVELOPE: dict[Format, str] = {
    Format.DEV: "stored in dev format: anyone can open it",
    Format.PLAINTEXT: "stored in plaintext",
    Format.UNRECOGNISED: "not recognised: plaintext or corrupt",
    Format.EMPTY: "empty: no token is stored",
}
"""Reasons for stored values that can't be opened at all."""

_Outcome = tuple[Verification, KnownAttribution | None]
"""A token's result, and the part of KMS's answer to remember."""


class Verifier:
    """Verifies tokens. Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        keyring: KmsKeyring,
        store: TokenStore,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        *,
        workers: int = 16,
        observer: Observer = SILENT,
        inventory: Inventory | None = None,
    ) -> None:
        """`inventory` says what a filter lets through; with one of its own, keys are not known by alias."""
        self._cipher = TokenCipher(keyring, observer=observer)
        self._store = store
        self._catalogue = catalogue
        self._answers = answers
        self._workers = workers
        self._inventory = inventory or Inventory(catalogue.engine, catalogue, answers)

    def verify_selection(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Return one verification for each token, in order of reference.

        Interrupted, it returns what it has so far. Raises KmsError if KMS can't be asked at all,
        RowVanishedError for a reference without a token, DatabaseError.
        """
        return self.verify_scope(self._scope(selection), progress=progress, cancelled=cancelled)

    def verify_scope(
        self,
        scope: TokenScope,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Return one verification for each token of a scope; as `verify_selection`."""
        total = sum(self._store.count(scope).values())
        results: list[Verification] = []
        started = monotonic()
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            for page in self._store.pages(scope):
                rounds = ask_patiently(pool, self._one, page, cancelled)
                outcomes = list(chain.from_iterable(rounds))
                self._answers.remember(answer for _, answer in outcomes if answer is not None)
                results += [verification for verification, _ in outcomes]
                failed = sum(not v.opened for v in results)
                if progress is not None:
                    seconds = monotonic() - started
                    progress(RunProgress(total, len(results) - failed, failed, 0, seconds))
                if cancelled is not None and cancelled.is_set():
                    break
        return tuple(sorted(results, key=lambda v: v.ref))

    def _scope(self, selection: Selection) -> TokenScope:
        if selection.filter is not None:
            pages = filtered(self._inventory, selection, more="keydeck verify --all")
            return TokenScope(references=tuple(ref for page in pages for ref in page))
        if not selection.references:
            if selection.under_key or selection.unprotected:
                raise InvalidReferenceError("Verify takes references, a filter or --all.")
            return TokenScope()
        refs = []
        for reference in selection.references:
            found = self._store.read_many(self._catalogue().references(reference))
            if not found:
                raise RowVanishedError(f"{reference}: there is no such row, or it holds no token.")
            refs += [token.ref for token in found]
        return TokenScope(references=tuple(dict.fromkeys(refs)))

    def _one(self, token: StoredToken) -> _Outcome | KmsError:
        """A token's verification, or a failure that is worth waiting out."""
        if not token.format.protected:
            return Verification(token.ref, False, None, None, NOT_AN_ENVELOPE[token.format]), None
        stored = token.value.reveal()
        try:
            opened = self._cipher.open(stored, ref=token.ref)
        except (EnvelopeError, InvalidReferenceError) as error:
            broken = KnownAttribution(token.digest, None, None, None, error.message)
            return Verification(token.ref, False, None, None, error.message), broken
        except KmsError as error:
            if error.transient or isinstance(error, CredentialsError):
                return error
            return Verification(token.ref, False, error.key or None, None, str(error)), None
        opened.token.wipe()
        key = opened.wrapped_by
        answer = answer_about(stored, key)
        return Verification(token.ref, True, key.key_arn, key.key_material_id), answer
