"""Plans of the actions about tokens, and whether a consent is to them."""

from __future__ import annotations

from hashlib import sha256

from crypto_core.errors import RefusedError
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.incidents.steps.step_contracts import ActionPlan, Situation
from crypto_core.incidents.tokens.remembered import Before

SAVE_UNCHECKED = "although_unchecked"
"""The field that says to save a token of which nobody could say that it is alive."""


def agreed(plan: ActionPlan, consent: Consent | None) -> None:
    """Raise NotConfirmedError without a consent as the plan demands; where nothing is written, none is."""
    if consent is not None or plan.danger is not Danger.NONE:
        require(consent, plan)


def digest_of(*parts: str) -> str:
    """Return SHA-256, in hex, over some texts, each prefixed with its length (8 bytes, big-endian)."""
    state = sha256()
    for part in parts:
        encoded = part.encode(errors="surrogatepass")
        state.update(len(encoded).to_bytes(8, "big") + encoded)
    return state.hexdigest()


def sample_of(situation: Situation) -> int:
    """Return how many tokens the step wants tried, 0 for all."""
    asked = situation.step.action_options.get("sample", 0)
    return max(asked, 0) if isinstance(asked, int) else 0


def must_be_whole(before: Before) -> None:
    """Raise RefusedError where not all tokens in scope are known: acting on a part would look like all."""
    if not before.whole:
        raise RefusedError(
            "Not all tokens in scope can be acted on.",
            remedy=" ".join(before.gaps) or "Capture the tokens again once KMS and the database answer.",
        )
