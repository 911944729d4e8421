"""An example of a provider: a Git host of the team's own, asked whether a token is alive."""

from __future__ import annotations

from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import ProviderAnswer, Request, Said, Target, bearer
from crypto_core.providers.registry import Provider

BASE = "https://git.acme.example"


def _question(target: Target, token: str) -> Request | str:
    return Request("GET", f"{target.base}/api/v4/user", bearer(token))


def _said(target: Target, token: str, answer: ProviderAnswer) -> Said:
    if answer.status == 200:
        return Said(Liveness.ALIVE, "acme-git takes it")
    if answer.status == 401:
        return Said(Liveness.DEAD, "acme-git does not take it")
    return Said(Liveness.UNKNOWN, f"acme-git answered {answer.status}")


PROVIDER = Provider(
    "acme-git",
    target=lambda row, endpoints: Target(row.ref, "acme-git", BASE),
    question=_question,
    said=_said,
    revocation=lambda token, endpoints: "Its owner revokes it under Settings, Access tokens.",
)
