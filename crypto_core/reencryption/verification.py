"""Opens tokens and says only whether they opened. What KMS answers is remembered as verified.

Tokens pass through the pipeline that jobs use (bulk/pipeline.py): it asks KMS about some hundred at a time
and holds few in memory. Only what came of each is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from time import monotonic

from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.bulk.engine import open_engine
from crypto_core.reencryption.bulk.ports import Opened, Outcome
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.token_opener import LookAt, opened
from crypto_core.reencryption.filter_selection import filtered
from crypto_core.reencryption.plan import RunProgress, Selection, Verification
from crypto_core.values.errors import InvalidReferenceError, RowVanishedError
from crypto_core.values.key_names import region_of


class Verifier:
    def __init__(
        self,
        keyring: KmsKeyring,
        store: TokenStore,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        *,
        observer: Observer = SILENT,
        inventory: Inventory | None = None,
    ) -> None:
        """`inventory` says what a filter lets through; with one of its own, keys are not known by alias."""
        self._keyring = keyring
        self._store = store
        self._catalogue = catalogue
        self._answers = answers
        self._observer = observer
        self._inventory = inventory or Inventory(catalogue.engine, catalogue, answers)

    def limited_to(self, *keys: str) -> Verifier:
        """Return a verifier for which a token opens under one of these KMS keys or not at all."""
        return Verifier(
            self._keyring.limited_to(*keys),
            self._store,
            self._catalogue,
            self._answers,
            observer=self._observer,
            inventory=self._inventory,
        )

    def verify_selection(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Return one verification for each token, in order of reference.

        Interrupted, it returns what it has so far. `progress` is called from another thread. Raises KmsError
        if KMS can't be asked at all, RowVanishedError for a reference without a token, DatabaseError.
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
        found = _Verifications(self._store.count(scope).total(), progress)
        self.open_tokens(self._store.pages(scope), found.hear, cancelled=cancelled)
        return tuple(sorted(found.all, key=lambda v: v.ref))

    def open_tokens(
        self,
        pages: Iterator[list[StoredToken]],
        heard: Callable[[Sequence[Opened]], None],
        *,
        look_at: LookAt | None = None,
        cancelled: Event | None = None,
    ) -> None:
        """Open every token of some pages, none of them empty, and have `heard` called with the outcomes.

        Each opened token is shown to `look_at` before it is wiped. Ends early once `cancelled` is set. Raises
        KmsError if KMS can't be asked at all, DatabaseError.
        """
        ask = partial(opened, keyring=self._keyring, observer=self._observer, look_at=look_at)
        with open_engine(observer=self._observer)(self._keyring, self._quota()) as engine:
            engine.pass_tokens(_Pages(pages), _OpenedSink(self._answers, heard), ask, cancelled or Event())

    def _quota(self) -> int:
        trusted = {region_of(name) for name in self._keyring.trusted}
        regions = {region or self._keyring.kms.regions[0] for region in trusted}
        return min(map(quota_of, regions or {""}))

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
            catalogue = self._catalogue()
            found = self._store.read_many(catalogue.references(reference))
            if not found:
                raise RowVanishedError(f"{reference}: {catalogue.why_nothing(reference)}")
            refs += [token.ref for token in found]
        return TokenScope(references=tuple(dict.fromkeys(refs)))


@dataclass(frozen=True, slots=True)
class _Pages:
    pages: Iterator[list[StoredToken]]

    def next(self) -> Sequence[StoredToken]:
        return next(self.pages, [])

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        return []


@dataclass(frozen=True, slots=True)
class _OpenedSink:
    answers: AttributionCache
    heard: Callable[[Sequence[Opened]], None]

    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        found = [outcome for outcome in batch if isinstance(outcome, Opened)]
        self.answers.remember(one.known for one in found if one.known is not None)
        self.heard(found)
        return ()


@dataclass(slots=True)
class _Verifications:
    total: int
    progress: Callable[[RunProgress], None] | None
    all: list[Verification] = field(default_factory=list)
    failed: int = 0
    started: float = field(default_factory=monotonic)

    def hear(self, found: Sequence[Opened]) -> None:
        self.all += [one.verification for one in found]
        self.failed += sum(not one.verification.opened for one in found)
        if self.progress is not None:
            seconds = monotonic() - self.started
            done = len(self.all) - self.failed
            self.progress(RunProgress(self.total, done, self.failed, 0, seconds))
