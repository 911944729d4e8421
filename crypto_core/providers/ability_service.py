"""What screens, commands and incidents call: asks providers what tokens can do, and keeps the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock

from crypto_core.database.tokens.store import StoredToken
from crypto_core.errors import NotConfirmedError
from crypto_core.guard.consent import Consent, require
from crypto_core.providers.abilities import Ability, AbilityDraft, NotKnown, TokenAbilities, ask_further
from crypto_core.providers.ability_book import AbilityBook
from crypto_core.providers.answers import ByHand, Liveness, LivenessRequest, Progress
from crypto_core.providers.liveness_polling import BusyHosts, asked_of
from crypto_core.providers.messages import Target
from crypto_core.providers.registry import provider_of
from crypto_core.providers.revocation import asked_digest
from crypto_core.providers.token_asking import TokenAsking, hosts
from crypto_core.providers.transport import Clock, Transport
from crypto_core.references import TokenRef
from crypto_core.secret import Secret
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

ABOUT = "abilities"
"""Tells a consent to these questions from one to ask whether tokens are alive."""
FRESH = timedelta(hours=24)
"""An answer that is younger is not asked for again, unless another age is named."""
_MOST_BYTES = 2 * 1024 * 1024
"""A page of a hundred repositories takes most of a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbilityRequest(LivenessRequest):
    """Questions about what tokens can do. `fresh` are answers that are young enough."""

    fresh: tuple[TokenAbilities, ...] = ()

    def does(self) -> tuple[str, ...]:
        where = ", ".join(clean(host, 200) for host in self.endpoints) or "nowhere"
        lines = [
            f"Opens {counted(len(self.tokens), 'token')} and sends each to its own provider alone: {where}.",
            "Asks only calls that read: scopes, organisations, how many repositories, sites or spaces.",
        ]
        if self.fresh:
            lines.append(f"{counted(len(self.fresh), 'answer')} young enough: not asked again.")
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class AbilityAnswers:
    """The answers that came of a run, the young ones among them, in order of reference."""

    answers: tuple[TokenAbilities, ...]
    not_asked: tuple[ByHand, ...] = ()

    @property
    def unanswered(self) -> tuple[TokenAbilities, ...]:
        """Those of which not even whether they are alive is known, or not everything could be asked."""
        return tuple(one for one in self.answers if one.liveness is Liveness.UNKNOWN or not one.whole)


class AbilityService:
    """Asks about tokens, and remembers. Blocks on SQL, KMS and the providers: call it from a worker."""

    def __init__(self, asking: TokenAsking, book: AbilityBook, *, clock: Clock | None = None) -> None:
        self._asking = asking
        self._book = book
        self._clock = clock or Clock()

    def question(self, refs: Sequence[TokenRef], *, max_age: timedelta = FRESH) -> AbilityRequest:
        """Return whom the questions would go to. Sends nothing and opens nothing.

        Tokens about which there is a whole answer younger than `max_age` are left out. Raises
        InvalidReferenceError, RowVanishedError, DatabaseError, AbilityBookError.
        """
        found = self._asking.planned(refs)
        known = self.kept([target.ref for target in found.asked])
        since = self._clock.now() - max_age
        fresh = {ref: one for ref, one in known.items() if one.whole and one.at > since}
        asked = [target for target in found.asked if target.ref not in fresh]
        tokens, endpoints = tuple(target.ref for target in asked), hosts(asked)
        digest, young = asked_digest(tokens, endpoints, ABOUT), tuple(fresh[ref] for ref in sorted(fresh))
        return AbilityRequest(tokens, endpoints, digest, found.not_asked, fresh=young)

    def ask(
        self,
        request: AbilityRequest,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> AbilityAnswers:
        """Ask each token's provider what it can do; each answer is kept as it comes.

        So a run that was stopped goes on where it was. A token is sent to no host that was not agreed to.
        Raises NotConfirmedError, InterruptedRunError, DatabaseError, AbilityBookError, KmsError if no token
        can be opened now, ProviderError if nothing can be sent at all.
        """
        require(consent, request)
        if request.digest != asked_digest(request.tokens, request.endpoints, ABOUT):
            raise NotConfirmedError("The confirmation was given for a different question.")
        answers: dict[TokenRef, TokenAbilities] = {}
        lock, busy = Lock(), BusyHosts()

        def asked(target: Target, token: Secret, stored: StoredToken) -> None:
            answer = self._ask_one(transport, target, token, busy, cancelled)
            if answer.liveness is not Liveness.UNKNOWN:
                # Nobody's silence takes back what was said before.
                self._book.keep(answer, self._book.mark_of_stored(stored.digest))
            with lock:
                answers[target.ref] = answer

        def not_asked(ref: TokenRef, provider: str, why: str) -> None:
            with lock:
                answers[ref] = self._unanswered(ref, provider, why)

        with Transport(self._clock, most_bytes=_MOST_BYTES) as transport:
            self._asking.each_opened(
                request.tokens, request.endpoints, asked, not_asked, progress=progress, cancelled=cancelled
            )
        whole = answers | {one.ref: one for one in request.fresh}
        return AbilityAnswers(tuple(whole[ref] for ref in sorted(whole)), request.not_asked)

    def already(self, request: AbilityRequest) -> AbilityAnswers:
        return AbilityAnswers(request.fresh, request.not_asked)

    def kept(self, refs: Sequence[TokenRef]) -> Mapping[TokenRef, TokenAbilities]:
        """Return the last answers about the values that are stored now; opens nothing.

        An answer about a value that was replaced or re-encrypted since is not among them. Raises
        DatabaseError, AbilityBookError.
        """
        known = self._book.kept(refs)
        if not known:
            return {}
        return {
            token.ref: known[token.ref][0]
            for token in self._asking.store.read_many(list(known))
            if known[token.ref][1] == self._book.mark_of_stored(token.digest)
        }

    def _ask_one(
        self, transport: Transport, target: Target, token: Secret, busy: BusyHosts, cancelled: Event | None
    ) -> TokenAbilities:
        said, reply = asked_of(transport, target, token, cancelled, busy)
        if reply is None or said.liveness is Liveness.UNKNOWN:
            return self._unanswered(target.ref, target.provider, said.reason)
        provider = provider_of(target)
        draft = AbilityDraft(target, token.reveal(), self._clock.now())
        if said.liveness is Liveness.ALIVE:
            if provider.abilities is None:
                draft.miss("Keydeck knows no way to ask this provider", *Ability)
            else:
                provider.abilities.first(draft, reply)
                draft.exhausted = provider.abilities.exhausted(reply)
                ask_further(provider.abilities, draft, lambda more: transport.send(more, cancelled))
        return draft.finished(said)

    def _unanswered(self, ref: TokenRef, provider: str, why: str) -> TokenAbilities:
        return TokenAbilities(
            ref,
            clean(provider, 100),
            self._clock.now(),
            Liveness.UNKNOWN,
            clean(why),
            not_known=tuple(NotKnown(one, "no answer") for one in Ability),
            whole=False,
        )
