"""The toolbox for tokens and restored databases, put together from existing services."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

from crypto_core.database.tokens.lost_tokens import OpeningResult, TokenTrial
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation, Toolbox
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.blast import TrailCaptures
from crypto_core.incidents.tokens.checks import TokenChecks, seen, tokens_open
from crypto_core.incidents.tokens.enter_token import EnterToken
from crypto_core.incidents.tokens.liveness import AskLiveness
from crypto_core.incidents.tokens.restored_tokens import OpenRestored
from crypto_core.incidents.tokens.revoke_tokens import RevokeTokens
from crypto_core.incidents.tokens.token_evidence import Remembered, counts
from crypto_core.incidents.tokens.verify_tokens import VerifyRestored, VerifyTokens
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.trail.use.filter_builder import term
from crypto_core.values.counts import counted
from crypto_core.values.errors import KmsError, RefusedError
from crypto_core.values.key_names import in_region, is_multi_region, region_of

SAMPLE = 3
"""Tokens that each replica is tried with."""


class ReplicaAnswers:
    """Asks each replica itself. The key's own Region need not answer."""

    def __init__(self, parts: ToolServices) -> None:
        self._parts = parts

    def replica_answers(self, situation: Situation) -> CheckResult:
        """Return which replicas opened a sample. Raises DatabaseError."""
        key = situation.incident.scope.key
        if not is_multi_region(key):
            return seen(
                CheckState.FAILED,
                f"{key or 'The incident names no key'}: only a multi-Region key (mrk-…) has replicas.",
            )
        replicas = self._replicas(key)
        if not replicas:
            return seen(CheckState.NOT_YET, f"No replica of {key} in another Region is known.")
        sample = self._sample(key)
        if not sample:
            return seen(CheckState.UNKNOWN, f"No token is known to be under {key}: nothing to try with.")
        told, answered = [], 0
        opened = f"opened {counted(len(sample), 'token')}"
        for replica in replicas:
            why = self._tried(replica, sample)
            answered += not why
            told.append(f"{region_of(replica)}: {why or opened}.")
        state = CheckState.PASSED if answered else CheckState.NOT_YET
        return seen(state, *told, done=answered, total=len(replicas))

    def _replicas(self, key: str) -> tuple[str, ...]:
        """Those that KMS names, or, where the key's own Region is down, those that could be."""
        home = region_of(key)
        try:
            found: Sequence[str] = self._parts.keys.replicas(key)
        except KmsError:
            found = [in_region(key, region) for region in self._parts.regions()]
        return tuple(dict.fromkeys(arn for arn in found if region_of(arn) != home))

    def _sample(self, key: str) -> list[StoredToken]:
        under = term("key", key.rsplit("/", 1)[-1])
        for asked in (False, True):
            if asked:
                # Nothing is known of this key yet: KMS has to be asked about each group once.
                self._parts.status.take_census()
            pages = self._parts.inventory.references(f"{under} format:{','.join(ENVELOPE_FORMATS)}")
            refs = list(islice((ref for page in pages for ref in page), SAMPLE))
            if refs:
                return self._parts.store.read_many(refs)
        return []

    def _tried(self, replica: str, sample: Sequence[StoredToken]) -> str:
        """Why a replica did not open all of it, "" if it did."""
        for token in sample:
            tried = TokenTrial(self._parts.keyring).try_token(token, replica)
            if tried.result is not OpeningResult.OPENS:
                return f"{token.ref} did not open: {tried.why}"
            if region_of(tried.opened_by) != region_of(replica):
                return f"{tried.opened_by} answered in its place"
        return ""


def in_short(kind: CaptureKind, title: str, content: dict[str, Any] | None) -> tuple[Captured, ...]:
    """What an action has found out, where it stands when the step ends; its own evidence has each token."""
    if content is None:
        raise RefusedError(
            f"There is no {kind} to keep yet.", remedy="Run the action that finds it out first."
        )
    return (Captured(kind, title, {"summary": True, **content}),)


def verification_summary(remembered: Remembered, situation: Situation) -> tuple[Captured, ...]:
    """Return the last verification, without its examples. Raises RefusedError where there is none yet."""
    last = remembered.last(situation.incident, CaptureKind.VERIFICATION)
    if last is not None:
        last = {name: value for name, value in last.items() if name != "not_opened_examples"}
    return in_short(CaptureKind.VERIFICATION, "The last verification", last)


def liveness_summary(remembered: Remembered, situation: Situation) -> tuple[Captured, ...]:
    """Return how many of the old tokens are dead. Raises RefusedError if no provider was asked yet."""
    before = remembered.before(situation.incident)
    answers = remembered.answers(situation.incident)
    told = None
    if before is not None and answers.by_mark:
        told = counts(before.marks, answers) | {"last_asked": answers.at}
    return in_short(CaptureKind.LIVENESS, "Where the old tokens stand", told)


def token_tools(parts: ToolServices, open_restored: OpenRestored) -> Toolbox:
    """Return all actions, checks and captures about tokens and restored databases. Nothing is called yet."""
    baseline = Baseline(parts)
    remembered = baseline.remembered
    checks, trail = TokenChecks(baseline, parts, open_restored), TrailCaptures(baseline, parts)
    return Toolbox(
        actions={
            ActionKind.VERIFY_TOKENS: VerifyTokens(baseline, parts),
            ActionKind.VERIFY_RESTORED: VerifyRestored(parts, open_restored),
            ActionKind.ASK_LIVENESS: AskLiveness(baseline, parts.providers),
            ActionKind.REVOKE_TOKENS: RevokeTokens(baseline, parts),
            ActionKind.ENTER_TOKEN: EnterToken(baseline, parts),
        },
        checks={
            CheckKind.SCOPE_KNOWN: checks.scope_known,
            CheckKind.TOKENS_OPEN: tokens_open,
            CheckKind.TOKENS_DEAD: checks.tokens_dead,
            CheckKind.TOKENS_REPLACED: checks.tokens_replaced,
            CheckKind.REPLICA_ANSWERS: ReplicaAnswers(parts).replica_answers,
        },
        captures={
            CaptureKind.TOKENS: baseline.captured,
            CaptureKind.EVENTS: trail.newest_events,
            CaptureKind.BLAST_RADIUS: trail.blast_radius,
            CaptureKind.VERIFICATION: partial(verification_summary, remembered),
            CaptureKind.LIVENESS: partial(liveness_summary, remembered),
        },
    )
