"""Which tokens a question opens, and whom it goes to; then opens them and hands them on, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock

from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory, InventoryRow
from crypto_core.database.tokens.opening import ValueOpener
from crypto_core.database.tokens.store import StoredToken, TokenStore
from crypto_core.errors import RefusedError, RowVanishedError
from crypto_core.providers.answers import ByHand, Progress
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_polling import in_turn
from crypto_core.providers.messages import Target
from crypto_core.providers.sendable_tokens import Unopened, to_send
from crypto_core.providers.targets import hosts, not_asked_before_opening, target_of
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_GONE = "its row is gone"


@dataclass(frozen=True, slots=True)
class TokensToAsk:
    """Whom a question would ask, and whom not: as far as rows tell, before anything is opened."""

    asked: tuple[Target, ...]
    not_asked: tuple[ByHand, ...]


@dataclass(frozen=True, slots=True)
class TokenAsking:
    """Opens tokens for their own provider. Blocks on SQL and KMS."""

    inventory: Inventory
    store: TokenStore
    catalogue: LiveCatalogue
    opener: ValueOpener
    endpoints: Endpoints

    def rows(self, refs: Sequence[TokenRef]) -> tuple[InventoryRow, ...]:
        """Return the rows of tokens, in their order.

        Raises RefusedError for a decoy, InvalidReferenceError, RowVanishedError, DatabaseError.
        """
        catalogue = self.catalogue()
        wanted = dict.fromkeys(r for ref in refs for r in catalogue.references(ref))
        found = {row.ref: row for row in self.inventory.rows(wanted)}
        missing = wanted.keys() - found.keys()
        if missing:
            raise RowVanishedError(f"{min(missing)}: there is no such row, or it holds no token.")
        if decoy := next((row for row in found.values() if row.tripwire is not None), None):
            raise RefusedError(
                f"{decoy.ref} is a decoy of tripwire {decoy.tripwire}: it is sent to no provider.",
                remedy="Leave it out.",
            )
        return tuple(found[ref] for ref in wanted)

    def planned(self, refs: Sequence[TokenRef]) -> TokensToAsk:
        """Return whom a question about tokens would ask. Opens and sends nothing. Raises as `rows`."""
        asked: list[Target] = []
        not_asked: list[ByHand] = []
        for row in self.rows(refs):
            target = target_of(row, self.endpoints)
            if isinstance(target, ByHand):
                not_asked.append(target)
            elif why := not_asked_before_opening(row, target):
                not_asked.append(ByHand(row.ref, target.provider, why))
            else:
                asked.append(target)
        return TokensToAsk(tuple(asked), tuple(not_asked))

    def each_opened(
        self,
        refs: Sequence[TokenRef],
        endpoints: Sequence[str],
        ask: Callable[[Target, Secret, StoredToken], None],
        not_asked: Callable[[TokenRef, str, str], None],
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> None:
        """Open tokens, several at a time, and hand each to `ask`; `not_asked` gets provider and reason.

        Only tokens whose row names one of the `endpoints`, as they were agreed to, are opened; each is wiped
        after `ask`. Raises what `ask` raises, InterruptedRunError, DatabaseError, and KmsError if no token
        can be opened now.
        """
        rows = {row.ref: row for row in self.inventory.rows(refs)}
        stored = {token.ref: token for token in self.store.read_many(refs)}
        lock, done = Lock(), 0

        def one(ref: TokenRef) -> None:
            nonlocal done
            target = self._agreed_target(ref, rows.get(ref), endpoints)
            if isinstance(target, ByHand):
                not_asked(ref, target.provider, target.how)
            else:
                opened = to_send(self.opener, stored[ref]) if ref in stored else Unopened(_GONE)
                if isinstance(opened, Unopened):
                    not_asked(ref, target.provider, opened.reason)
                else:
                    with opened:
                        ask(target, opened, stored[ref])
            with lock:
                done += 1
                so_far = done
            if progress is not None:
                progress(so_far, len(refs))

        in_turn(refs, one)

    def _agreed_target(
        self, ref: TokenRef, row: InventoryRow | None, endpoints: Sequence[str]
    ) -> Target | ByHand:
        if row is None:
            return ByHand(ref, "", _GONE)
        target = target_of(row, self.endpoints)
        if isinstance(target, Target) and not set(hosts([target])) <= set(endpoints):
            return ByHand(ref, target.provider, "its row names another host than was agreed to")
        return target
