"""What a revocation would do: which tokens by which requests, what is left to a person, and warnings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field

from crypto_core.providers.answers import ByHand, RevocationPlan
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.messages import REFRESH_COLUMN, RevocationMethod, Target
from crypto_core.providers.registry import foreign, provider_named
from crypto_core.providers.revocation import RevocationOrder
from crypto_core.providers.sendable_tokens import Unopened, stored_alike, wipe
from crypto_core.providers.targets import hosts
from crypto_core.references import TokenRef
from crypto_core.secret import Secret
from crypto_core.text.counting import listed

_ASK = "Keydeck knows no way to revoke it: ask its provider"
_NAMED = 10
"""Groups of equal tokens that are named one by one."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan with the opened tokens that it is about. Close it: then they are wiped."""

    plan: RevocationPlan
    orders: tuple[RevocationOrder, ...]
    opened: Mapping[TokenRef, Secret | Unopened] = field(repr=False)

    def close(self) -> None:
        """Wipe the tokens."""
        wipe(self.opened)


def draft(
    targets: Sequence[Target | ByHand],
    opened: Mapping[TokenRef, Secret | Unopened],
    stored: Mapping[TokenRef, bytes],
    endpoints: Endpoints,
) -> Draft:
    """Return what would be revoked, in the order of `targets`. `stored` are the digests of what is stored."""
    orders: list[RevocationOrder] = []
    by_hand: list[ByHand] = []
    for target in targets:
        token = opened.get(target.ref)
        if isinstance(target, ByHand) and not isinstance(token, Secret):
            by_hand.append(target)
        elif not isinstance(token, Secret):
            why = token.reason if token is not None else "its row is gone"
            by_hand.append(ByHand(target.ref, target.provider, f"not revoked: {why}"))
        elif why := foreign(target.provider, token.reveal()):
            by_hand.append(ByHand(target.ref, target.provider, f"not revoked: {why}"))
        else:
            # Of a token whose row names no host to ask, a person still has to know where it is revoked.
            provider = provider_named(target.provider)
            method = provider.revocation(token.reveal(), endpoints) if provider is not None else _ASK
            if isinstance(target, Target) and isinstance(method, RevocationMethod):
                orders.append(RevocationOrder(target, method, stored[target.ref], token))
            else:
                how = method if isinstance(method, str) else _ASK
                by_hand.append(ByHand(target.ref, target.provider, how))
    refs = tuple(order.target.ref for order in orders)
    called = hosts([order.target for order in orders])
    plan = RevocationPlan(
        tokens=refs,
        by_provider=dict(Counter(order.target.provider for order in orders)),
        calls=_calls(orders),
        by_hand=tuple(by_hand),
        warnings=tuple(_warnings(orders, opened, endpoints)),
        endpoints=called,
        digest=_digest(orders, called),
        stored=tuple(order.stored for order in orders),
    )
    return Draft(plan, tuple(orders), opened)


def asked_digest(refs: Iterable[TokenRef], endpoints: Sequence[str], about: str = "liveness") -> str:
    """Return what names a question: what it is about, its tokens and the hosts they would be sent to."""
    return _hash([about, [astuple(ref) for ref in refs], list(endpoints)])


def _digest(orders: Sequence[RevocationOrder], called: Sequence[str]) -> str:
    # Which tokens is agreed to; in which order they are revoked may change until then.
    by_ref = sorted(orders, key=lambda order: order.target.ref)
    told = [[*astuple(o.target.ref), o.stored.hex(), o.method.name, o.target.base] for o in by_ref]
    return _hash([told, list(called)])


def _hash(told: object) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _calls(orders: Sequence[RevocationOrder]) -> dict[str, int]:
    calls: Counter[str] = Counter()
    # A request takes tokens of one host alone.
    alike = Counter((o.target.provider, o.method, o.target.base) for o in orders)
    for (provider, method, _), tokens in alike.items():
        calls[provider] += method.requests(tokens)
    return dict(calls)


def _warnings(
    orders: Sequence[RevocationOrder], opened: Mapping[TokenRef, Secret | Unopened], endpoints: Endpoints
) -> Iterable[str]:
    if orders:
        yield "A revocation can't be undone: every user of these tokens is cut off until new ones are issued."
    for method, tokens in Counter(order.method for order in orders).items():
        yield from method.warnings(method.requests(tokens), endpoints)
    if any(order.target.ref.column == REFRESH_COLUMN for order in orders):
        yield "No provider reports whether a refresh token is dead: for those there is no proof."
    alike = stored_alike(opened)
    for group in alike[:_NAMED]:
        named = listed([str(ref) for ref in group], 5)
        yield f"One and the same token, so that revoking it ends all of them: {named}."
    if len(alike) > _NAMED:
        yield f"{len(alike) - _NAMED:,} more tokens are stored in more than one place."
