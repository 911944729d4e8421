"""The toolbox for tokens and restored databases, put together from existing services."""

from __future__ import annotations

from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Toolbox
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.blast import BlastRadiusCapture, EventsCapture
from crypto_core.incidents.tokens.captures import (
    HashedQueryCapture,
    TokensCapture,
    liveness_summary,
    verification_summary,
)
from crypto_core.incidents.tokens.checks import (
    LookAtTokens,
    ScopeKnown,
    TokensDead,
    TokensReplaced,
    tokens_open,
)
from crypto_core.incidents.tokens.dependencies import TokenDependencies
from crypto_core.incidents.tokens.enter_token import EnterToken
from crypto_core.incidents.tokens.liveness import AskLiveness
from crypto_core.incidents.tokens.replica import ReplicaAnswers
from crypto_core.incidents.tokens.revoke_tokens import RevokeTokens
from crypto_core.incidents.tokens.verify_restored import VerifyRestored
from crypto_core.incidents.tokens.verify_tokens import VerifyTokens


def token_tools(parts: TokenDependencies) -> Toolbox:
    """Return all actions, checks and captures about tokens and restored databases. Asks nobody yet."""
    baseline = Baseline(parts)
    remembered = baseline.remembered
    looks = {
        CheckKind.SCOPE_KNOWN: ScopeKnown(baseline, parts.open_restored).look,
        CheckKind.TOKENS_OPEN: tokens_open,
        CheckKind.TOKENS_DEAD: TokensDead(remembered).look,
        CheckKind.TOKENS_REPLACED: TokensReplaced(baseline).look,
        CheckKind.REPLICA_ANSWERS: ReplicaAnswers(parts).look,
    }
    return Toolbox(
        actions={
            ActionKind.VERIFY_TOKENS: VerifyTokens(baseline, parts),
            ActionKind.VERIFY_RESTORED: VerifyRestored(parts.open_restored),
            ActionKind.ASK_LIVENESS: AskLiveness(baseline, parts.providers),
            ActionKind.REVOKE_TOKENS: RevokeTokens(baseline, parts),
            ActionKind.ENTER_TOKEN: EnterToken(baseline, parts),
        },
        checks={kind: LookAtTokens(look) for kind, look in looks.items()},
        captures={
            CaptureKind.TOKENS: TokensCapture(baseline),
            CaptureKind.EVENTS: EventsCapture(baseline, parts),
            CaptureKind.BLAST_RADIUS: BlastRadiusCapture(baseline, parts),
            CaptureKind.HASHED_QUERY: HashedQueryCapture(baseline, parts.providers),
            CaptureKind.VERIFICATION: verification_summary(remembered),
            CaptureKind.LIVENESS: liveness_summary(remembered),
        },
    )
