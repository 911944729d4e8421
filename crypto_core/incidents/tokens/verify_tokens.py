"""Action verify-tokens: opens a sample of the tokens in scope, or all, and says only whether they opened."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from crypto_core.database.tokens.store import TokenScope
from crypto_core.guard.consent import Danger
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, Situation, plan_digest
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.dependencies import TokenDependencies
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, sample_of
from crypto_core.incidents.tokens.verified import captured_verification, listed, share, verified_of
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

MOST = 1_000_000
"""Tokens that are verified in one go."""


class VerifyTokens(TokenAction):
    """Changes nothing; every token that is tried is a call of KMS."""

    def __init__(self, baseline: Baseline, parts: TokenDependencies) -> None:
        self._scoped = baseline.scoped
        self._verifier = parts.verifier

    def plan_action(self, situation: Situation) -> ActionPlan:
        refs, gaps = self._refs(situation)
        tried = len(picked(refs, sample_of(situation), situation.incident.name))
        told = f"Opens {counted(tried, 'token')} of {len(refs):,} and says only whether each opened."
        return ActionPlan(
            title="Verify the tokens",
            digest=plan_digest(situation.incident.name, situation.step.id, str(sample_of(situation))),
            danger=Danger.NONE,
            does=(told, f"Calls KMS {counted(tried, 'time')} or a little more."),
            does_not=("Changes nothing. No token is shown or kept.",),
            warnings=tuple(gaps),
        )

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Open them. Raises KmsError if KMS can't be asked at all, DatabaseError."""
        situation = run.situation
        refs, gaps = self._refs(situation)
        chosen = picked(refs, sample_of(situation), situation.incident.name)
        verified = verified_of(
            self._verifier, TokenScope(references=chosen), len(refs), run.progress, situation.cancelled
        )
        content = verified.as_json() | {
            "scope": str(situation.incident.scope),
            "gaps": list(map(clean, gaps)),
        }
        return ActionResult(
            # Whether they opened is for the check to say; the trying is done.
            not verified.interrupted,
            (*verified.lines, *listed(gaps)),
            verified.values,
            (captured_verification(verified, content),),
        )

    def _refs(self, situation: Situation) -> tuple[tuple[TokenRef, ...], tuple[str, ...]]:
        found = self._scoped.resolve(situation.incident, most=MOST, cancelled=situation.cancelled)
        return found.refs, found.gaps


def picked(refs: Sequence[TokenRef], sample: int, salt: str) -> tuple[TokenRef, ...]:
    """Return a sample, each column by its share and with one at least; all of them where it is 0.

    `salt` decides which: the same one picks the same tokens.
    """
    if not sample or sample >= len(refs):
        return tuple(refs)
    by_column: dict[tuple[str, str], list[TokenRef]] = {}
    for ref in refs:
        by_column.setdefault((ref.table, ref.column), []).append(ref)
    chosen: list[TokenRef] = []
    for own in by_column.values():
        ranked = sorted(own, key=lambda ref: _rank(salt, ref))
        chosen += ranked[: share(sample, len(own), len(refs))]
    return tuple(sorted(chosen))


def _rank(salt: str, ref: TokenRef) -> bytes:
    return sha256(f"{salt}\x00{ref.identity}".encode(errors="surrogatepass")).digest()
