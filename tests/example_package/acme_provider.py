"""An example of a provider: a Git host of the team's own, asked whether a token lives and what it can do."""

from __future__ import annotations

from crypto_core.providers.abilities import Ability, AbilityDraft, AbilityQuestions
from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import ProviderAnswer, Request, Said, Target, bearer
from crypto_core.providers.registry import Provider
from crypto_core.values.clean_text import clean

BASE = "https://git.acme.example"


def _question(target: Target, token: str) -> Request | str:
    return Request("GET", f"{target.base}/api/v4/user", bearer(token))


def _said(target: Target, token: str, answer: ProviderAnswer) -> Said:
    if answer.status == 200:
        return Said(Liveness.ALIVE, "acme-git takes it")
    if answer.status == 401:
        return Said(Liveness.DEAD, "acme-git does not take it")
    return Said(Liveness.UNKNOWN, f"acme-git answered {answer.status}")


def _read_scopes(draft: AbilityDraft, answer: ProviderAnswer) -> None:
    scopes = answer.fields().get("scopes")
    if not isinstance(scopes, list):
        draft.miss("acme-git named no scopes", *Ability)
        return
    draft.scopes = tuple(clean(scope, 60) for scope in scopes)
    draft.admin = "admin" in draft.scopes
    draft.writes = draft.admin or "write" in draft.scopes
    draft.miss("acme-git does not say", Ability.PLACES, Ability.READS_PRIVATE, Ability.EXPIRY)


PROVIDER = Provider(
    name="acme-git",
    base=BASE,
    question=_question,
    said=_said,
    abilities=AbilityQuestions(first=_read_scopes),
    revocation=lambda token, endpoints: "Its owner revokes it under Settings, Access tokens.",
)
