"""The toolbox for tokens and restored databases, put together from existing services."""

from __future__ import annotations

from functools import partial

from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Toolbox
from crypto_core.incidents.tokens.ask_abilities import AbilityChecks, AskAbilities
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.blast import TrailCaptures
from crypto_core.incidents.tokens.captures import hashed_queries, liveness_summary, verification_summary
from crypto_core.incidents.tokens.checks import TokenChecks, tokens_open
from crypto_core.incidents.tokens.dependencies import TokenDependencies
from crypto_core.incidents.tokens.enter_token import EnterToken
from crypto_core.incidents.tokens.liveness import AskLiveness
from crypto_core.incidents.tokens.provider_use import ProviderUse
from crypto_core.incidents.tokens.replica import ReplicaAnswers
from crypto_core.incidents.tokens.revoke_tokens import RevokeTokens
from crypto_core.incidents.tokens.verify_restored import VerifyRestored
from crypto_core.incidents.tokens.verify_tokens import VerifyTokens


def token_tools(parts: TokenDependencies) -> Toolbox:
    """Return all actions, checks and captures about tokens and restored databases. Nothing is called yet."""
    baseline = Baseline(parts)
    remembered = baseline.remembered
    used = ProviderUse(baseline, parts)
    checks, trail = TokenChecks(baseline, parts.open_restored, parts.outside), TrailCaptures(baseline, parts)
    return Toolbox(
        actions={
            ActionKind.VERIFY_TOKENS: VerifyTokens(baseline, parts),
            ActionKind.VERIFY_RESTORED: VerifyRestored(parts.open_restored, parts.registered_copy),
            ActionKind.ASK_LIVENESS: AskLiveness(baseline, parts.providers),
            ActionKind.ASK_ABILITIES: AskAbilities(baseline, parts.abilities),
            ActionKind.REVOKE_TOKENS: RevokeTokens(baseline, parts),
            ActionKind.ENTER_TOKEN: EnterToken(baseline, parts),
        },
        checks={
            CheckKind.SCOPE_KNOWN: checks.scope_known,
            CheckKind.TOKENS_OPEN: tokens_open,
            CheckKind.ABILITIES_ASKED: AbilityChecks(baseline).abilities_asked,
            CheckKind.TOKENS_DEAD: checks.tokens_dead,
            CheckKind.TOKENS_REPLACED: checks.tokens_replaced,
            CheckKind.PROVIDER_EVENTS_COVERED: used.covered,
            CheckKind.REPLICA_ANSWERS: ReplicaAnswers(parts).replica_answers,
        },
        captures={
            CaptureKind.TOKENS: baseline.captured,
            CaptureKind.EVENTS: trail.newest_events,
            CaptureKind.BLAST_RADIUS: trail.blast_radius,
            CaptureKind.HASHED_QUERY: partial(hashed_queries, baseline, parts.providers, used.note),
            CaptureKind.PROVIDER_EVENTS: used.captured,
            CaptureKind.VERIFICATION: partial(verification_summary, remembered),
            CaptureKind.LIVENESS: partial(liveness_summary, remembered),
        },
    )
