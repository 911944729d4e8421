"""What screens, commands and incidents call: asks providers about tokens, and revokes them.

The journal and the log hold counts, references and hosts of revocations, never a token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from threading import Event
from typing import Any

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import Format
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, require
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.providers.answers import (
    ByHand,
    HashedQuery,
    Liveness,
    LivenessRequest,
    Progress,
    RevocationPlan,
    RevocationResult,
    TokenLiveness,
)
from crypto_core.providers.liveness_checks import BusyHosts, PollingLimits, ask, asked_of
from crypto_core.providers.messages import Said, Target, unknown
from crypto_core.providers.registry import provider_of
from crypto_core.providers.revocation import Revocation, RevocationDraft, asked_digest, draft
from crypto_core.providers.token_dispatch import TokenAsking, all_to_send, hosts, never_asked, target_of, wipe
from crypto_core.providers.transport import Clock, Transport
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

ACTION = "revoke tokens"
_LISTED = 1_000
"""References that one entry names; it always has their number."""


def change_of(plan: RevocationPlan, still: Callable[[], None]) -> GuardedChange:
    subject = subject_of(len(plan.tokens))
    names = ", ".join(sorted(plan.by_provider))
    return GuardedChange(
        action=ACTION,
        subject=subject,
        words=f"revoke {subject}",
        plan=plan,
        summary=clean(f"Revoke {subject} at {names}", 300),
        shown=_shown(plan),
        still=still,
        changes_nothing=not plan.tokens,
    )


def planned(plan: RevocationPlan) -> dict[str, Any]:
    return {
        "plan": plan.digest,
        "tokens": [str(ref) for ref in plan.tokens[:_LISTED]],
        "number": len(plan.tokens),
        "by_provider": dict(plan.by_provider),
        "calls": dict(plan.calls),
        "by_hand": len(plan.by_hand),
        "endpoints": list(plan.endpoints),
    }


def ended(result: RevocationResult, *, interrupted: bool) -> Ended[RevocationResult]:
    outcome = _outcome(result, interrupted=interrupted)
    return Ended(result, outcome, counts_of(result), f"{outcome.value}, {result.dead} dead")


def subject_of(number: int) -> str:
    return counted(number, "token")


def _shown(plan: RevocationPlan) -> dict[str, Any]:
    """A plan as a second person sees it: what it does first, then all that the journal keeps of it."""
    does = [
        f"Revokes {subject_of(number)} at {name}, in {counted(plan.calls.get(name, 0), 'request')}."
        for name, number in sorted(plan.by_provider.items())
    ]
    left = [f"{one.ref} ({one.provider}), by hand: {one.how}" for one in plan.by_hand[:_LISTED]]
    return {"does": does, "does_not": left, "warnings": list(plan.warnings), **planned(plan)}


def counts_of(result: RevocationResult) -> dict[str, Any]:
    not_dead = [str(token.ref) for token in result.tokens if token.proved is not Liveness.DEAD]
    return {
        "number": len(result.tokens),
        "accepted": sum(token.accepted for token in result.tokens),
        "proved": dict(Counter(token.proved.value for token in result.tokens)),
        "not_proved_dead": not_dead[:_LISTED],
        "by_hand": len(result.by_hand),
        "reason": result.stopped_by,
    }


def _outcome(result: RevocationResult, *, interrupted: bool) -> Outcome:
    if result.stopped_by:
        return Outcome.INTERRUPTED if interrupted else Outcome.FAILED
    done = all(token.accepted or token.proved is Liveness.DEAD for token in result.tokens)
    return Outcome.DONE if done else Outcome.FAILED


class ProviderService:
    """Asks about tokens, and revokes them. Blocks on SQL, KMS and the providers: call it from a worker."""

    def __init__(
        self,
        asking: TokenAsking,
        journal: Journal,
        *,
        read_only: bool,
        approvals: ApprovalGate | None = None,
        clock: Clock | None = None,
        patience: PollingLimits | None = None,
    ) -> None:
        """`approvals` is asked before anything is revoked; None where nothing needs a second identity."""
        self._asking = asking
        self._guard = Guard(
            journal, read_only=read_only, ready=require_schemas(journal.engine), approvals=approvals
        )
        self._clock = clock or Clock()
        self._patience = patience or PollingLimits()

    def question(self, refs: tuple[TokenRef, ...]) -> LivenessRequest:
        """Return whom a liveness check would ask. Sends nothing and opens nothing.

        Raises InvalidReferenceError, RowVanishedError, DatabaseError.
        """
        found = self._asking.planned(refs)
        tokens, endpoints = tuple(target.ref for target in found.asked), hosts(found.asked)
        return LivenessRequest(tokens, endpoints, asked_digest(tokens, endpoints), found.not_asked)

    def ask(
        self,
        question: LivenessRequest,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> tuple[TokenLiveness, ...]:
        """Ask each token's provider whether it is alive; returns one answer for each of `question.tokens`.

        A token is sent to no host that was not agreed to. Raises NotConfirmedError, InterruptedRunError,
        DatabaseError, KmsError if no token can be opened now, ProviderError if nothing can be sent at all.
        """
        require(consent, question)
        if question.digest != asked_digest(question.tokens, question.endpoints):
            raise NotConfirmedError("The confirmation was given for a different question.")
        answers: dict[TokenRef, TokenLiveness] = {}
        busy = BusyHosts()

        def asked(target: Target, token: Secret, _: StoredToken) -> None:
            said = asked_of(transport, target, token, cancelled, busy)[0]
            answers[target.ref] = self._answer(target.ref, target.provider, said)

        def not_asked(ref: TokenRef, provider: str, why: str) -> None:
            answers[ref] = self._answer(ref, provider, unknown(why))

        with Transport(self._clock) as transport:
            self._asking.each_opened(
                question.tokens, question.endpoints, asked, not_asked, progress=progress, cancelled=cancelled
            )
        return tuple(answers[ref] for ref in question.tokens)

    def ask_of(self, ref: TokenRef, token: Secret, consent_given: bool) -> TokenLiveness:
        """Ask about a token that isn't stored yet, as the row of `ref` says.

        Raises NotConfirmedError without a consent, RowVanishedError, DatabaseError, ProviderError.
        """
        if not consent_given:
            raise NotConfirmedError("Sending the token to its provider has not been confirmed.")
        target, why = self._asked_of(ref, token)
        if isinstance(target, ByHand) or why:
            return self._answer(ref, target.provider, unknown(why))
        with Transport(self._clock) as transport:
            return self._answer(ref, target.provider, ask(transport, target, token))

    def never_asked(self, ref: TokenRef, token: Secret) -> str:
        """Return why nobody can be asked whether a token for this row is alive; "" where its provider can be.

        Sends nothing. Raises RowVanishedError, DatabaseError, ProviderError.
        """
        return self._asked_of(ref, token)[1]

    def plan_revocation(self, refs: tuple[TokenRef, ...]) -> RevocationPlan:
        """Return what would be revoked, in this order; journaled as a dry run. Opens tokens, sends nothing.

        Without Keydeck's schema, or read only, the plan says that it was not journaled. Raises RefusedError
        (journaled too) for no tokens, InvalidReferenceError, RowVanishedError, DatabaseError, and KmsError if
        no token can be opened now.
        """

        def make() -> RevocationPlan:
            if not refs:
                raise RefusedError("No token was named.", remedy="Name the tokens to revoke.")
            with closing(self._draft(refs)) as drafted:
                return drafted.plan

        return self._guard.plan(ACTION, subject_of(len(set(refs))), make, planned, {"plan": None})

    def revoke(
        self,
        plan: RevocationPlan,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> RevocationResult:
        """Revoke, then ask until each is dead or the patience ends; journaled before and after.

        Once cancelled it stops: the result says of each token what became of it until then. Raises
        ReadOnlyError, MissingSchemaError, NotConfirmedError (journaled as refused), RefusedError if a token
        has been replaced or its row says something else since the plan (journaled too), ApprovalNeededError
        where the settings want a second identity and none has approved this plan, DatabaseError, KmsError.
        """
        with ExitStack() as opened:
            drafts: list[RevocationDraft] = []

            def still() -> None:
                drafts.append(opened.enter_context(closing(self._as_planned(plan))))

            def act(run: Run) -> RevocationResult:
                run.begin(planned(plan))
                return self._send(plan, drafts[0], run, progress, cancelled)

            def read_back(_: Run, result: RevocationResult) -> Ended[RevocationResult]:
                return ended(result, interrupted=cancelled is not None and cancelled.is_set())

            result, unjournaled = self._guard.run(change_of(plan, still), consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def hashed_queries(self, refs: tuple[TokenRef, ...]) -> tuple[HashedQuery, ...]:
        """Return the audit log query of each token whose provider has one; those that don't open have none.

        Raises InvalidReferenceError, RowVanishedError, DatabaseError, KmsError.
        """
        asked = {
            row.ref: query
            for row in self._asking.rows(refs)
            if isinstance(target := target_of(row, self._asking.endpoints), Target)
            and (query := provider_of(target).log_query) is not None
        }
        opened = all_to_send(self._asking.opener, self._asking.store.read_many(list(asked)))
        try:
            return tuple(
                HashedQuery(ref, query(token.reveal()))
                for ref, query in asked.items()
                if isinstance(token := opened.get(ref), Secret)
            )
        finally:
            wipe(opened)

    def _asked_of(self, ref: TokenRef, token: Secret) -> tuple[Target | ByHand, str]:
        """Whom to ask about a token that isn't stored yet, and why nobody can be."""
        row = self._asking.rows((ref,))[0]
        # What is stored now does not matter: the new token takes its place.
        target = target_of(replace(row, format=Format.V1), self._asking.endpoints)
        return target, target.how if isinstance(target, ByHand) else never_asked(row, target, token)

    def _draft(self, refs: tuple[TokenRef, ...]) -> RevocationDraft:
        rows = self._asking.rows(refs)
        stored = self._asking.store.read_many([row.ref for row in rows])
        targets = [target_of(row, self._asking.endpoints) for row in rows]
        opened = all_to_send(self._asking.opener, stored)
        try:
            return draft(
                targets, opened, {token.ref: token.digest for token in stored}, self._asking.endpoints
            )
        except BaseException:  # raised again: no opened token is left behind
            wipe(opened)
            raise

    def _as_planned(self, plan: RevocationPlan) -> RevocationDraft:
        """The draft made anew. Raises RefusedError unless it is the one that was planned."""
        drafted = self._draft(plan.tokens) if plan.tokens else draft((), {}, {}, self._asking.endpoints)
        now = drafted.plan
        if now.digest == plan.digest:
            return drafted
        drafted.close()
        was = dict(zip(plan.tokens, plan.stored, strict=False))
        replaced = [ref for ref, digest in zip(now.tokens, now.stored, strict=True) if was.get(ref) != digest]
        left = [ref for ref in plan.tokens if ref not in now.tokens]
        named = ", ".join(map(str, (*replaced, *left)[:3])) or "a row or a setting"
        raise RefusedError(
            f"{named} has changed since the preview, so it was not revoked. Nothing was sent.",
            remedy="Open a new preview.",
        )

    def _send(
        self,
        plan: RevocationPlan,
        drafted: RevocationDraft,
        run: Run,
        progress: Progress | None,
        cancelled: Event | None,
    ) -> RevocationResult:
        with Transport(self._clock) as transport:
            revocation = Revocation(
                *(drafted.orders, self._asking.endpoints, transport, self._clock, self._patience),
                progress=progress,
                cancelled=cancelled,
            )
            try:
                return RevocationResult(
                    stopped_by=revocation.carry_out(), tokens=revocation.results(), by_hand=plan.by_hand
                )
            except BaseException:  # raised again, with what became of the tokens until then
                run.so_far |= counts_of(RevocationResult(revocation.results(), plan.by_hand, ""))
                raise

    def _answer(self, ref: TokenRef, provider: str, said: Said) -> TokenLiveness:
        return TokenLiveness(ref, provider, said.liveness, said.reason, self._clock.now(), said.whose)
