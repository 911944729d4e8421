"""Action ask-liveness: asks the providers whether the tokens in scope are alive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crypto_core.guard.consent import Danger
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, Captured, Situation
from crypto_core.incidents.tokens.baseline import Baseline, TokenStanding
from crypto_core.incidents.tokens.marks import TokenMark
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, must_be_whole, nothing_to_do
from crypto_core.incidents.tokens.token_evidence import counts
from crypto_core.incidents.tokens.verification_result import listed
from crypto_core.providers.answers import Liveness, LivenessRequest, TokenLiveness
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef

if TYPE_CHECKING:
    from crypto_core.providers.service import ProviderService


class AskLiveness(TokenAction):
    """Only running it sends a token, and only to its own provider."""

    def __init__(self, baseline: Baseline, providers: ProviderService) -> None:
        self._baseline = baseline
        self._providers = providers

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return whom it would ask. Sends nothing."""
        standing = self._baseline.standing(situation)
        must_be_whole(standing.before)
        refs = tuple(ref for ref in standing.marks if ref in standing.now and len(standing.now[ref].value))
        if not refs:
            nothing = "No row in scope holds a token: there is nothing to ask about."
            return nothing_to_do("Ask nobody", situation, nothing)
        question = self._providers.question(refs)
        hosts = ", ".join(clean(host, 200) for host in question.endpoints) or "none"
        number = counted(len(question.tokens), "token")
        return ActionPlan(
            title="Ask the providers whether the tokens are alive",
            digest=question.digest,
            danger=question.danger,
            confirmation=question.confirmation,
            does=(f"Opens {number} and sends each to its own provider alone: {hosts}.",),
            does_not=(
                "Changes nothing, revokes nothing.",
                *listed(
                    f"{by_hand.ref}: no provider to ask: {by_hand.how}" for by_hand in question.not_asked
                ),
            ),
            inner=question,
        )

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Ask. Raises InterruptedRunError and what the providers' service raises."""
        situation = run.situation
        standing = self._baseline.standing(situation)
        if run.plan.danger is Danger.NONE:
            return ActionResult(True, run.plan.does, evidence=standing.fresh)
        question = self.inner_plan(run, LivenessRequest)
        refs = (*question.tokens, *(by_hand.ref for by_hand in question.not_asked))
        marks = self.marks_now(situation, standing, refs)
        said = self._providers.ask(
            question, run.consent, progress=run.progress, cancelled=situation.cancelled
        )
        unchanged = self.unchanged(marks, standing, situation)
        content = liveness_json(said, unchanged)
        content["tokens"] += [
            liveness_row(by_hand.ref, by_hand.provider, Liveness.UNKNOWN, by_hand.how, marks.get(by_hand.ref))
            for by_hand in question.not_asked
        ]
        answers = self._baseline.remembered.answers(situation.incident, [content])
        tally = Counter(one.liveness for one in said)
        tally[Liveness.UNKNOWN] += len(question.not_asked)
        told = (f"{tally[state]:,} {state.value}" for state in Liveness)
        return ActionResult(
            complete=not tally[Liveness.UNKNOWN],
            lines=(
                f"{counted(len(said), 'token')} asked about: {', '.join(told)}.",
                *listed(f"{one.ref}: {one.liveness.value}: {one.reason}." for one in said),
                *listed(f"{by_hand.ref}: not asked: {by_hand.how}." for by_hand in question.not_asked),
            ),
            values=counts(standing.before.marks, answers),
            evidence=(*standing.fresh, captured_liveness(content)),
        )

    def marks_now(
        self, situation: Situation, standing: TokenStanding, refs: Sequence[TokenRef]
    ) -> dict[TokenRef, TokenMark]:
        """Return the marks of what rows hold now; only what has changed since is opened."""
        incident, known = situation.incident, standing.marks
        found: dict[TokenRef, TokenMark] = {}
        to_open = []
        for ref in refs:
            token = standing.now.get(ref)
            if token is None:
                continue
            old = known.get(ref)
            if old is not None and old.stored == self._baseline.marker.stored(incident, token):
                found[ref] = old
            else:
                to_open.append(token)
        opened = self._baseline.marker.marks(incident, to_open, cancelled=situation.cancelled)
        return found | {mark.ref: mark for mark in opened}

    def unchanged(
        self, marks: Mapping[TokenRef, TokenMark], standing: TokenStanding, situation: Situation
    ) -> dict[TokenRef, TokenMark]:
        """Return the marks of the rows that nobody wrote meanwhile: only of these is known what was asked."""
        after = {token.ref: token.digest for token in self._baseline.read(tuple(marks), situation.cancelled)}
        return {
            ref: mark
            for ref, mark in marks.items()
            if ref in standing.now and after.get(ref) == standing.now[ref].digest
        }


def liveness_json(said: Iterable[TokenLiveness], marks: Mapping[TokenRef, TokenMark]) -> dict[str, Any]:
    """Return answers as evidence; each with the marks of the token that was asked about."""
    return {
        "tokens": [
            liveness_row(
                one.ref, one.provider, one.liveness, one.reason, marks.get(one.ref), one.at, one.whose
            )
            for one in said
        ],
    }


def liveness_row(
    ref: TokenRef,
    provider: str,
    liveness: Liveness,
    reason: str,
    mark: TokenMark | None,
    at: datetime | None = None,
    whose: str = "",
    *,
    entered: bool = False,
) -> dict[str, Any]:
    return {
        "reference": str(ref),
        "provider": clean(provider, 100),
        "liveness": liveness.value,
        "reason": clean(reason),
        "whose": clean(whose, 200) or None,
        "at": (at or datetime.now(UTC)).isoformat(),
        "stored": (mark.stored or None) if mark else None,
        "token": (mark.token or None) if mark else None,
        "entered": entered,
    }


def captured_liveness(content: Mapping[str, Any]) -> Captured:
    number = counted(len(content["tokens"]), "token")
    return Captured(CaptureKind.LIVENESS, f"Providers' answers about {number}", content)
