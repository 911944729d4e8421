"""From rows to whom their tokens may be sent; then opens the tokens and hands them on, one by one."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from urllib.parse import urlsplit

from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory, InventoryRow
from crypto_core.database.tokens.store import StoredToken, TokenStore
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.envelope import Format
from crypto_core.providers.answers import ByHand, Progress
from crypto_core.providers.endpoints import Endpoints, host_of
from crypto_core.providers.liveness_checks import in_turn
from crypto_core.providers.messages import NEVER_ASKED, REFRESH_COLUMN, Target, sendable
from crypto_core.providers.registry import provider_of, provider_of_row, question_of
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import RefusedError, RowVanishedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret, exposed

_NOT_OPENED = dict.fromkeys(Format, "") | {
    Format.EMPTY: "no token is stored",
    Format.UNRECOGNISED: "what is stored is not recognised: plaintext or corrupt. See keydeck inspect",
}


def target_of(row: InventoryRow, endpoints: Endpoints) -> Target | ByHand:
    provider = provider_of_row(row.provider)
    if why := _NOT_OPENED[row.format]:
        return ByHand(row.ref, provider.name if provider else row.provider, why)
    if provider is None:
        return ByHand(row.ref, row.provider, "Keydeck knows no way to ask this provider")
    return provider.target_of(row, endpoints)


def not_asked_before_opening(row: InventoryRow, target: Target) -> str:
    """Return why a token will not be asked about, as far as its row tells; "" where it may be."""
    if row.ref.column == REFRESH_COLUMN:
        return NEVER_ASKED
    return provider_of(target).not_asked(target, dict(row.shown).get("token_type", "").lower())


def never_asked(row: InventoryRow, target: Target, token: Secret) -> str:
    """Return why there is no request that asks about a token for this row; "" where there should be one.

    There should be for a row with an e-mail address, with which API tokens are asked about.
    """
    if why := not_asked_before_opening(row, target):
        return why
    request = question_of(target, token.reveal())
    return request if isinstance(request, str) and not target.email else ""


def hosts(targets: tuple[Target, ...] | list[Target]) -> tuple[str, ...]:
    """Return the hosts that would be called, as the operator confirms them."""
    return tuple(sorted({_told(target.base) for target in targets}))


def _told(base: str) -> str:
    # Without encryption only on this machine, and then that is worth seeing.
    return base if urlsplit(base).scheme == "http" else host_of(base)


@dataclass(frozen=True, slots=True)
class Unopened:
    """A token that could not be opened, or can't be sent, and why. Cleaned text."""

    reason: str


def to_send(opener: ValueOpener, stored: StoredToken) -> Secret | Unopened:
    """Return a stored token that may be sent to its provider, or why there is none. Blocks on KMS.

    Raises KmsError if no token can be opened now: KMS does not answer, or not to these credentials.
    """
    if stored.format in (Format.UNRECOGNISED, Format.EMPTY):
        # What is not known to be a token is no provider's to see.
        return Unopened("it could not be opened: what is stored is no envelope and no token.")
    opened = opener.open_value(stored)
    if opened.token is None:
        return Unopened(f"it could not be opened: {opened.reason}")
    if sendable(opened.token.reveal()):
        return opened.token
    opened.token.wipe()
    return Unopened("it holds characters that no provider's token has")


def all_to_send(
    opener: ValueOpener, stored: Iterable[StoredToken], cancelled: Event | None = None
) -> dict[TokenRef, Secret | Unopened]:
    """Return every token by reference, opened several at a time.

    Whoever calls wipes them; what was opened before a failure is wiped here. Raises as `to_send`, and
    InterruptedRunError.
    """
    opened: dict[TokenRef, Secret | Unopened] = {}

    def one(token: StoredToken) -> None:
        stop_if(cancelled)
        opened[token.ref] = to_send(opener, token)

    try:
        in_turn(stored, one)
    except BaseException:  # raised again: no opened token is left behind
        wipe(opened)
        raise
    return opened


def wipe(tokens: Mapping[TokenRef, Secret | Unopened]) -> None:
    for token in tokens.values():
        if isinstance(token, Secret):
            token.wipe()


def stored_alike(tokens: Mapping[TokenRef, Secret | Unopened]) -> tuple[tuple[TokenRef, ...], ...]:
    """Return the references that hold one and the same token, group by group.

    Tokens are compared by a hash under a key that is made for it and forgotten.
    """
    key = os.urandom(32)
    groups: dict[bytes, list[TokenRef]] = {}
    for ref, token in sorted(tokens.items()):
        if isinstance(token, Secret):
            groups.setdefault(hmac.digest(key, exposed(token), "sha256"), []).append(ref)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


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
            raise RowVanishedError(f"{min(missing)}: {catalogue.why_nothing(min(missing))}")
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
