"""A token whose prefix is another provider's goes to no provider: it is refused before anything is sent."""

from __future__ import annotations

from typing import Never

import pytest

from crypto_core.envelope import PROVIDER_PREFIXES, TOKENS_OF
from crypto_core.envelope.issuers import ISSUERS, REFRESH_PREFIXES
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_checks import ask
from crypto_core.providers.messages import Request, Target
from crypto_core.providers.registry import own_providers, question_of
from crypto_core.providers.revocation import draft
from crypto_core.providers.transport import Transport
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

OF = {name: TOKENS_OF[name] for name in own_providers()}
REF = TokenRef("gh_connection", "access_token", "[/red]\x1b[31m")
PREFIXES = [(theirs, prefix) for theirs, prefixes in PROVIDER_PREFIXES.items() for prefix in prefixes]
FOREIGN = [(own, theirs, prefix) for own in OF for theirs, prefix in PREFIXES if theirs != OF[own]]


class Silent(Transport):
    """A transport over which nothing may go."""

    def __init__(self) -> None:
        pass

    def send(self, request: object, cancelled: object = None) -> Never:
        raise AssertionError(f"sent: {request!r}")


def target(provider: str) -> Target:
    return Target(REF, provider, "https://example.com", "someone@example.com")


def test_every_issuer_has_a_provider_and_prefixes_of_its_own() -> None:
    assert set(OF.values()) == ISSUERS.keys()
    assert len(REFRESH_PREFIXES) < len(set(PREFIXES)) == len(PREFIXES)
    for issuer in ISSUERS.values():
        assert set(issuer.refresh) < set(issuer.prefixes)


@pytest.mark.parametrize(("provider", "theirs", "prefix"), FOREIGN)
def test_another_providers_token_is_neither_asked_about_nor_revoked(
    provider: str, theirs: str, prefix: str
) -> None:
    with Secret.of(f"{prefix}made-up") as token:
        said = ask(Silent(), target(provider), token)
        drafted = draft([target(provider)], {REF: token}, {REF: b""}, Endpoints())
    assert said.liveness is Liveness.UNKNOWN
    assert f"a token of {theirs}" in said.reason
    assert f"its row says {provider}" in said.reason
    assert drafted.orders == () == drafted.plan.endpoints
    (by_hand,) = drafted.plan.by_hand
    assert by_hand.how == f"not revoked: {said.reason}"
    assert "made-up" not in f"{said} {by_hand}"


@pytest.mark.parametrize("provider", OF)
def test_its_own_and_tokens_without_a_known_prefix_go_as_they_are(provider: str) -> None:
    own = [prefix for theirs, prefix in PREFIXES if theirs == OF[provider]]
    for prefix in ["", "tok_", "eyx", *own]:
        question = question_of(target(provider), f"{prefix}made-up")
        refresh = prefix in REFRESH_PREFIXES
        assert isinstance(question, str if refresh else Request), prefix
