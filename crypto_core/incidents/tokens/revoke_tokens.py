"""Action revoke-tokens: revokes the old tokens at their providers, and proves it by liveness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.guard.consent import Danger
from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.model import Incident
from crypto_core.incidents.revocation_order import RankedToken, Suspicion
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, Situation
from crypto_core.incidents.suspects import SuspectSearch
from crypto_core.incidents.tokens.baseline import Baseline, TokenStanding
from crypto_core.incidents.tokens.liveness import captured_liveness, liveness_row
from crypto_core.incidents.tokens.marks import Held, TokenMark
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, must_be_whole, nothing_to_do
from crypto_core.incidents.tokens.token_evidence import counts
from crypto_core.incidents.tokens.verification_result import listed
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.providers.answers import Liveness, RevocationPlan, RevocationResult
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import AbilityBookError, TrailError
from crypto_core.values.references import TokenRef

_UNSEALED = TokenScope(frozenset({Format.PLAINTEXT, Format.DEV}))


class RevokeTokens(TokenAction):
    """A token that was replaced since, or that is known to be dead, is left alone."""

    def __init__(self, baseline: Baseline, parts: ToolServices) -> None:
        self._baseline = baseline
        self._providers = parts.providers
        self._store = parts.store
        self._ordering, self._suspects = parts.ordering, parts.suspects

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return which tokens would be revoked where, and which need a person. Revokes nothing."""
        standing = self._baseline.standing(situation)
        must_be_whole(standing.before)
        left_alone = self._left_alone(standing)
        refs = _left(standing)
        if not refs:
            dead = counts(standing.before.marks, standing.answers)["dead"]
            nothing = (
                f"Nothing is left to revoke here: {dead} of {counted(len(standing.marks), 'token')} dead."
            )
            return nothing_to_do("Revoke nothing", situation, nothing, *left_alone)
        order, unordered = self._ordered(situation, refs)
        inner = self._providers.plan_revocation(tuple(one.ref for one in order) or refs)
        hand = listed(f"{one.ref} ({one.provider}), by hand: {one.how}" for one in inner.by_hand)
        if not inner.tokens:
            nothing = f"No call revokes these: {counted(len(inner.by_hand), 'token')} to be revoked by hand."
            return nothing_to_do("Revoke by hand", situation, nothing, *hand, *left_alone, inner=inner)
        hosts = ", ".join(clean(host, 200) for host in inner.endpoints)
        return ActionPlan(
            title=f"Revoke {counted(len(inner.tokens), 'token')} at the source",
            digest=inner.digest,
            danger=inner.danger,
            confirmation=inner.confirmation,
            does=(
                *(
                    f"{clean(name, 100)}: revokes {counted(number, 'token')} in "
                    f"{counted(inner.calls.get(name, 0), 'request')}."
                    for name, number in sorted(inner.by_provider.items())
                ),
                f"Calls {hosts}, then asks until each token is dead.",
                *_in_order(inner, order, self._ordering.abilities.missing),
            ),
            does_not=(*hand, *left_alone),
            warnings=(*inner.warnings, *unordered, *self._outside(situation)),
            inner=inner,
        )

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Revoke, and report which tokens are dead. Run again, it takes only those not yet proved dead."""
        incident, plan, cancelled = run.situation.incident, run.plan, run.situation.cancelled
        # Before anything is revoked: this is what the old tokens are known by.
        standing = self._baseline.standing(run.situation)
        if plan.danger is Danger.NONE:
            by_hand = plan.inner.by_hand if isinstance(plan.inner, RevocationPlan) else ()
            values = counts(standing.before.marks, standing.answers)
            done = not by_hand and values["dead"] == values["tokens"]
            return ActionResult(done, (*plan.does, *plan.does_not), values, standing.fresh)
        inner = self.inner_plan(run, RevocationPlan)
        result = self._providers.revoke(inner, run.consent, progress=run.progress, cancelled=cancelled)
        content = _evidence(result, standing.marks)
        values = counts(standing.before.marks, self._baseline.remembered.answers(incident, [content]))
        done = not (result.stopped_by or result.by_hand) and values["dead"] == values["tokens"]
        return ActionResult(done, _lines(result), values, (*standing.fresh, captured_liveness(content)))

    def _ordered(
        self, situation: Situation, refs: Sequence[TokenRef]
    ) -> tuple[tuple[RankedToken, ...], tuple[str, ...]]:
        try:
            suspicion = suspicion_of(self._suspects, situation.incident, situation.cancelled)
            return self._ordering.order_of(refs, suspicion, cancelled=situation.cancelled), ()
        except (AbilityBookError, TrailError) as error:  # containment doesn't wait for an order
            return (), (f"Not in order, the worst first: {error.message}",)

    def _left_alone(self, standing: TokenStanding) -> tuple[str, ...]:
        unknown = {one.ref: one.reason for one in standing.comparisons if one.held is Held.UNKNOWN}
        replaced = standing.holding(Held.REPLACED)
        undead = [ref for ref in replaced if standing.answers.of(standing.marks[ref]) is not Liveness.DEAD]
        return (
            *((f"Leaves alone the new tokens of {counted(len(replaced), 'row')}.",) if replaced else ()),
            *listed(
                f"{ref}: its old token is no longer stored and was never proved dead: revoke it by hand."
                for ref in undead
            ),
            *listed(f"{ref}: left alone: {reason}" for ref, reason in unknown.items()),
        )

    def _outside(self, situation: Situation) -> tuple[str, ...]:
        """What a key's tokens leave out, where the database has leaked."""
        if not situation.incident.scope.key:
            return ()
        number = self._store.count(_UNSEALED).total()
        if not number:
            return ()
        others = (
            f"{counted(number, 'token')} stored in plaintext or dev format are under no key, so not among"
        )
        return (
            (
                f"{others} these. Anyone with the database has them: declare an incident over "
                "format:plaintext,dev."
            ),
        )


def _in_order(plan: RevocationPlan, order: Sequence[RankedToken], missing: str) -> tuple[str, ...]:
    called = set(plan.tokens)
    ranked = [f"{one.ref}: score {one.score:,}: {one.why}" for one in order if one.ref in called]
    if not ranked:
        return (f"These: {'; '.join(listed(map(str, plan.tokens)))}.",)
    if missing:
        return (f"The worst first, by exposure alone. {missing}", *listed(ranked))
    asked = sum(one.abilities is not None for one in order)
    known = f"of {asked:,} of {counted(len(order), 'token')} it is known what they can do"
    return (f"The worst first; {known}:", *listed(ranked))


def _left(standing: TokenStanding) -> tuple[TokenRef, ...]:
    """The rows that still hold an old token not yet proved dead."""
    marks = standing.marks
    return tuple(
        ref for ref in standing.holding(Held.SAME) if standing.answers.of(marks[ref]) is not Liveness.DEAD
    )


def _evidence(result: RevocationResult, marks: Mapping[TokenRef, TokenMark]) -> dict[str, Any]:
    return {
        "tokens": [
            liveness_row(one.ref, one.provider, one.proved, one.reason, marks.get(one.ref))
            | {"revocation_accepted": one.accepted}
            for one in result.tokens
        ],
        "by_hand": [
            {"reference": str(one.ref), "provider": clean(one.provider, 100), "how": clean(one.how)}
            for one in result.by_hand
        ],
        "stopped_by": clean(result.stopped_by) or None,
    }


def _lines(result: RevocationResult) -> tuple[str, ...]:
    asked = Counter(one.provider for one in result.tokens)
    accepted = Counter(one.provider for one in result.tokens if one.accepted)
    dead = Counter(one.provider for one in result.tokens if one.proved is Liveness.DEAD)
    undead: Sequence[str] = [
        f"{one.ref}: {one.proved.value}: {one.reason}."
        for one in result.tokens
        if one.proved is not Liveness.DEAD
    ]
    return (
        *(
            clean(
                f"{name}: {counted(asked[name], 'token')}, revocation accepted of {accepted[name]:,}, "
                f"proved dead {dead[name]:,}."
            )
            for name in sorted(asked)
        ),
        *listed(undead),
        *((f"Stopped: {clean(result.stopped_by)}",) if result.stopped_by else ()),
        *listed(f"By hand: {one.ref} ({one.provider}): {one.how}" for one in result.by_hand),
    )


def suspicion_of(search: SuspectSearch, incident: Incident, cancelled: Event | None = None) -> Suspicion:
    found = search.suspects_of(incident, cancelled)
    return Suspicion(found.arns, begin_of(incident), found.gaps)
