"""Actions verify-tokens and verify-restored: they open tokens, and say only whether these opened."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from crypto_core.database.tokens.store import TokenScope
from crypto_core.guard.consent import Danger
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps import step_contracts
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.restored_tokens import OpenRestored
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, sample_of
from crypto_core.incidents.tokens.verification_result import captured_verification, listed, share, verified_of
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef

MOST = 1_000_000
"""Tokens that are verified in one go."""


class VerifyTokens(TokenAction):
    """Changes nothing; every token that is tried is a call of KMS."""

    def __init__(self, baseline: Baseline, parts: ToolServices) -> None:
        self._scoped = baseline.scoped
        self._verifier = parts.verifier

    def plan_action(self, situation: step_contracts.Situation) -> step_contracts.ActionPlan:
        refs, gaps = self._refs(situation)
        tried = len(picked(refs, sample_of(situation), situation.incident.name))
        told = f"Opens {counted(tried, 'token')} of {len(refs):,} and says only whether each opened."
        return step_contracts.ActionPlan(
            title="Verify the tokens",
            digest=step_contracts.plan_digest(
                situation.incident.name, situation.step.id, str(sample_of(situation))
            ),
            danger=Danger.NONE,
            does=(told, f"Calls KMS {counted(tried, 'time')} or a little more."),
            does_not=("Changes nothing. No token is shown or kept.",),
            warnings=tuple(gaps),
        )

    def run_agreed(self, run: AgreedRun) -> step_contracts.ActionResult:
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
        return step_contracts.ActionResult(
            # Whether they opened is for the check to say; the trying is done.
            not verified.interrupted,
            (*verified.lines, *listed(gaps)),
            verified.values,
            (captured_verification(verified, content),),
        )

    def _refs(self, situation: step_contracts.Situation) -> tuple[tuple[TokenRef, ...], tuple[str, ...]]:
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


class VerifyRestored(TokenAction):
    """The database is the one that the incident names."""

    def __init__(self, parts: ToolServices, open_restored: OpenRestored) -> None:
        self._open = open_restored
        self._copies = parts.copies

    def plan_action(self, situation: step_contracts.Situation) -> step_contracts.ActionPlan:
        """Return how many tokens there are and would be opened. Raises SettingsError for another name."""
        name, sample = _named(situation), sample_of(situation)
        with self._open(name) as database:
            number = database.tokens()
        tried = min(sample, number) if sample else number
        copy = self._copies.scanned(name)
        also = ", and one of each column at least," if tried < number else ""
        return step_contracts.ActionPlan(
            title=f"Verify the restored database {clean(name, 100)}",
            digest=step_contracts.plan_digest(situation.incident.name, situation.step.id, name, str(sample)),
            danger=Danger.NONE,
            does=(
                f"Opens {counted(tried, 'token')} of {number:,}{also} with the keys that are trusted here.",
                "Counts its tokens by format and column, and looks how young its rows are.",
                *copy.needs,
            ),
            does_not=("Writes nothing into it. No token is shown or kept.",),
            warnings=(
                *(() if number else ("It holds no token: is it the right database?",)),
                *copy.unusable,
            ),
        )

    def run_agreed(self, run: AgreedRun) -> step_contracts.ActionResult:
        """Open them. Raises SettingsError, RefusedError, KmsError if KMS can't be asked, DatabaseError."""
        situation = run.situation
        name, sample = _named(situation), sample_of(situation)
        with self._open(name) as database:
            census = database.census(cancelled=situation.cancelled)
            verified = database.verify(
                sample, situation.incident.name, progress=run.progress, cancelled=situation.cancelled
            )
        beside = tuple(self._copies.scanned(name).compare(census["by_format"]))
        content = verified.as_json() | {"database": clean(name, 100), "sample": sample}
        return step_contracts.ActionResult(
            not verified.interrupted,
            (*verified.lines, *beside),
            verified.values | {"restored": clean(name, 100)},
            (
                captured_verification(verified, content),
                step_contracts.Captured(
                    CaptureKind.CENSUS,
                    f"Census of the restored database {clean(name, 100)}",
                    {"database": clean(name, 100), **census, "beside_scanned_copy": list(beside)},
                ),
            ),
        )


def _named(situation: step_contracts.Situation) -> str:
    name = situation.incident.scope.database
    if not name:
        raise RefusedError(
            f"{situation.incident.name} is not about a restored database.",
            remedy="Declare one with runbook restore-drill.",
        )
    return name
