"""Plans a revocation, and carries it out: afterwards each token is asked about until it is dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from threading import Event, Lock

from crypto_core.guard.consent import document_digest
from crypto_core.guard.held_step import held_step, require_held
from crypto_core.providers import messages
from crypto_core.providers.answers import ByHand, Liveness, Progress, RevocationPlan, Revoked
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_checks import PollingLimits, in_turn, prove
from crypto_core.providers.registry import foreign, provider_named
from crypto_core.providers.token_dispatch import Unopened, hosts, stored_alike, wipe
from crypto_core.providers.transport import Clock, Transport
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import listed
from crypto_core.values.errors import InterruptedRunError, ProviderError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_ONE_LOOK = PollingLimits(whole=0.0)
_NOT_SENT = messages.Accepted(False, "not sent")


@dataclass(frozen=True, slots=True)
class RevocationOrder:
    """One token that is to be revoked; `stored` is the digest of what is stored."""

    target: messages.Target
    method: messages.RevocationMethod
    stored: bytes = field(repr=False)
    token: Secret


class Revocation:
    """One revocation in progress. Each token's outcome is known whenever it stops."""

    def __init__(
        self,
        orders: Sequence[RevocationOrder],
        endpoints: Endpoints,
        transport: Transport,
        clock: Clock,
        patience: PollingLimits,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> None:
        self._orders = {order.target.ref: order for order in orders}
        self._place = {ref: place for place, ref in enumerate(self._orders)}
        self._endpoints = endpoints
        self._transport = transport
        self._clock = clock
        self._patience = patience
        self._progress: Callable[[int, int], None] = progress or (lambda done, total: None)
        self._cancelled = cancelled
        self._step = held_step()
        self._lock = Lock()
        self._took: dict[TokenRef, messages.Accepted] = {}
        self._unanswered: set[TokenRef] = set()
        self._said: dict[TokenRef, messages.Said] = {}
        self._settled: set[TokenRef] = set()

    def carry_out(self) -> str:
        try:
            self._send()
            self._prove()
        except (InterruptedRunError, ProviderError) as error:
            return error.message
        return ""

    def results(self) -> tuple[Revoked, ...]:
        return tuple(self._result(ref) for ref in sorted(self._orders))

    def _result(self, ref: TokenRef) -> Revoked:
        took, said = self._took.get(ref, _NOT_SENT), self._said.get(ref)
        reason = took.reason if said is None else f"{took.reason}; {said.reason}"
        proved = Liveness.UNKNOWN if said is None else said.liveness
        return Revoked(ref, self._orders[ref].target.provider, took.accepted, proved, reason)

    def _send(self) -> None:
        waiting: dict[tuple[messages.RevocationMethod, str], list[TokenRef]] = {}
        for ref, order in self._orders.items():
            waiting.setdefault((order.method, order.target.base), []).append(ref)
        while waiting:
            method, base = self._next(waiting)
            left = self._revoke(method, base, waiting.pop((method, base)))
            if method.otherwise is not None and left:
                waiting.setdefault((method.otherwise, base), []).extend(left)

    def _next(
        self, waiting: Mapping[tuple[messages.RevocationMethod, str], Sequence[TokenRef]]
    ) -> tuple[messages.RevocationMethod, str]:
        """Whose turn it is: that with the worst token, the first of the plan, is first.

        A method that others leave tokens to comes after these: what they leave joins its batches.
        """
        later = {method.otherwise for method, _ in waiting}
        ready = [key for key in waiting if key[0] not in later] or list(waiting)
        return min(ready, key=lambda key: min(self._place[ref] for ref in waiting[key]))

    def _revoke(
        self, method: messages.RevocationMethod, base: str, refs: Sequence[TokenRef]
    ) -> list[TokenRef]:
        """Revoke tokens; returns those that are left to another method."""
        left: list[TokenRef] = []

        def send(some: Sequence[TokenRef]) -> messages.Accepted | None:
            require_held(self._step)
            tokens = [self._orders[ref].token.reveal() for ref in some]
            reply = self._transport.send(method.request(base, tokens, self._endpoints), self._cancelled)
            took = (
                messages.Accepted(False, reply.reason)
                if isinstance(reply, messages.NoAnswer)
                else method.accepted(reply)
            )
            if took is not None:
                self._took_it(some, reply, took)
            elif method.otherwise is not None:
                with self._lock:
                    left.extend(some)
            else:
                self._took_it(some, reply, messages.Accepted(False, "its provider does not revoke it"))
            return took

        if method.batch == 1:
            in_turn(refs, lambda ref: send([ref]))
            return left
        for first in range(0, len(refs), method.batch):
            stop_if(self._cancelled)
            took = send(refs[first : first + method.batch])
            if took is not None and took.spent:
                # More of them would only be refused, too.
                unsent = messages.Accepted(False, f"not sent: {took.reason}")
                self._took.update((ref, unsent) for ref in refs[first + method.batch :])
                break
        return left

    def _took_it(self, refs: Sequence[TokenRef], reply: messages.Reply, took: messages.Accepted) -> None:
        with self._lock:
            self._took.update((ref, took) for ref in refs)
            if isinstance(reply, messages.NoAnswer):
                self._unanswered.update(refs)
            done = len(self._took)
        self._progress(done, 2 * len(self._orders))

    def _prove(self) -> None:
        # What was not answered may have been done all the same.
        hoped = {r: None for r, took in self._took.items() if took.accepted or r in self._unanswered}
        rest = [ref for ref in self._took if ref not in hoped]
        for refs, patience in ((rest, _ONE_LOOK), (hoped, self._patience)):
            pending = {ref: (self._orders[ref].target, self._orders[ref].token) for ref in refs}
            prove(self._transport, self._clock, patience, pending, told=self._told, cancelled=self._cancelled)

    def _told(self, ref: TokenRef, said: messages.Said) -> None:
        with self._lock:
            self._said[ref] = said
            if said.liveness is Liveness.DEAD:
                self._settled.add(ref)
            done = len(self._orders) + len(self._settled)
        self._progress(done, 2 * len(self._orders))


_ASK = "Keydeck knows no way to revoke it: ask its provider"
_NAMED = 10


@dataclass(frozen=True, slots=True)
class RevocationDraft:
    """A plan with the opened tokens that it is about. Close it: then they are wiped."""

    plan: RevocationPlan
    orders: tuple[RevocationOrder, ...]
    opened: Mapping[TokenRef, Secret | Unopened] = field(repr=False)

    def close(self) -> None:
        wipe(self.opened)


def draft(
    targets: Sequence[messages.Target | ByHand],
    opened: Mapping[TokenRef, Secret | Unopened],
    stored: Mapping[TokenRef, bytes],
    endpoints: Endpoints,
) -> RevocationDraft:
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
            if isinstance(target, messages.Target) and isinstance(method, messages.RevocationMethod):
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
    return RevocationDraft(plan, tuple(orders), opened)


def asked_digest(refs: Iterable[TokenRef], endpoints: Sequence[str], about: str = "liveness") -> str:
    """Return what names a question: what it is about, its tokens and the hosts they would be sent to."""
    return document_digest([about, [astuple(ref) for ref in refs], list(endpoints)])


def _digest(orders: Sequence[RevocationOrder], called: Sequence[str]) -> str:
    # Which tokens is agreed to; in which order they are revoked may change until then.
    by_ref = sorted(orders, key=lambda order: order.target.ref)
    told = [[*astuple(o.target.ref), o.stored.hex(), o.method.name, o.target.base] for o in by_ref]
    return document_digest([told, list(called)])


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
    if any(order.target.ref.column == messages.REFRESH_COLUMN for order in orders):
        yield "No provider reports whether a refresh token is dead: for those there is no proof."
    alike = stored_alike(opened)
    for group in alike[:_NAMED]:
        named = listed([str(ref) for ref in group], 5)
        yield f"One and the same token, so that revoking it ends all of them: {named}."
    if len(alike) > _NAMED:
        yield f"{len(alike) - _NAMED:,} more tokens are stored in more than one place."
