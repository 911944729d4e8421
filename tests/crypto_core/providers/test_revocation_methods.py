"""A provider's record says how its tokens are revoked, and nothing else has to know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event, Lock
from typing import Any

import pytest

from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_checks import PollingLimits
from crypto_core.providers.messages import (
    Accepted,
    ProviderAnswer,
    Reply,
    Request,
    RevocationMethod,
    Said,
    Target,
)
from crypto_core.providers.registry import Provider, own_providers, use_providers
from crypto_core.providers.revocation import Revocation, draft
from crypto_core.providers.transport import Clock, Transport
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

BASES = ("https://one.example", "https://two.example")


def _request(path: str) -> Any:
    return lambda base, tokens, endpoints: Request("POST", base + path, content=" ".join(tokens).encode())


def _taken(answer: ProviderAnswer) -> Accepted | None:
    if answer.status == 404:
        return None
    return Accepted(answer.status == 200, f"HTTP {answer.status}", spent=answer.status == 429)


BY_THREE = RevocationMethod("three", _request("/three"), _taken, batch=3)
BY_ONE = RevocationMethod("one", _request("/one"), _taken, otherwise=BY_THREE)


class Answers(Transport):
    """A transport that sends nothing: `statuses` answer by path, 200 where they don't."""

    def __init__(self, **statuses: int) -> None:
        super().__init__(Clock())
        self.statuses = statuses
        self.sent: list[tuple[str, list[str]]] = []
        self.guarded = Lock()

    def send(self, request: Request, cancelled: Event | None = None) -> Reply:
        with self.guarded:
            self.sent.append((request.url, request.content.decode().split()))
        return ProviderAnswer(self.statuses.get(request.url.rsplit("/", 1)[-1], 200))


@pytest.fixture(autouse=True)
def made_up() -> Iterator[None]:
    """A provider whose tokens are revoked by threes, those that begin with `own` one by one."""
    provider = Provider(
        name="acme",
        base=BASES[0],
        question=lambda target, token: Request("GET", f"{target.base}/me"),
        said=lambda target, token, answer: Said(Liveness.DEAD, "gone"),
        revocation=lambda token, endpoints: BY_ONE if token.startswith("own") else BY_THREE,
    )
    use_providers([provider])
    yield
    use_providers(())


def revoke(transport: Answers, tokens: Sequence[tuple[str, str]]) -> tuple[dict[str, int], dict[str, str]]:
    """Revoke tokens of base URLs; returns the requests that were planned, and what was said of each token."""
    targets = [Target(TokenRef("t", "c", str(n)), "acme", base) for n, (base, _) in enumerate(tokens)]
    opened = {target.ref: Secret(token.encode()) for target, (_, token) in zip(targets, tokens, strict=True)}
    drafted = draft(targets, opened, dict.fromkeys(opened, b""), Endpoints())
    revocation = Revocation(drafted.orders, Endpoints(), transport, Clock(), PollingLimits(whole=0.0))
    assert revocation.carry_out() == ""
    said = {opened[one.ref].reveal(): one.reason.partition(";")[0] for one in revocation.results()}
    return dict(drafted.plan.calls), said


def test_a_batch_holds_tokens_of_one_host_alone() -> None:
    transport = Answers()
    calls, _ = revoke(transport, [(BASES[n % 2], f"a{n}") for n in range(8)])
    sent = [(url, tokens) for url, tokens in transport.sent if url.endswith("/three")]
    assert sorted(sent) == [
        ("https://one.example/three", ["a0", "a2", "a4"]),
        ("https://one.example/three", ["a6"]),
        ("https://two.example/three", ["a1", "a3", "a5"]),
        ("https://two.example/three", ["a7"]),
    ]
    assert calls == {"acme": 4}


def test_tokens_that_a_method_does_not_revoke_join_the_batches_of_the_other() -> None:
    transport = Answers(one=404)
    _, said = revoke(transport, [(BASES[0], token) for token in ("a1", "own1", "a2", "own2")])
    batches = [tokens for url, tokens in transport.sent if url.endswith("/three")]
    assert [len(tokens) for tokens in batches] == [3, 1]
    assert set(said.values()) == {"HTTP 200"}


def test_after_a_refusal_of_all_no_more_are_sent() -> None:
    transport = Answers(three=429)
    _, said = revoke(transport, [(BASES[0], f"a{n}") for n in range(7)])
    assert [tokens for url, tokens in transport.sent if url.endswith("/three")] == [["a0", "a1", "a2"]]
    assert [said[f"a{n}"] for n in range(7)] == ["HTTP 429"] * 3 + ["not sent: HTTP 429"] * 4


def test_what_no_further_method_takes_is_told_and_not_lost() -> None:
    _, said = revoke(Answers(three=404), [(BASES[0], "a1")])
    assert said == {"a1": "its provider does not revoke it"}


def test_a_provider_without_a_way_of_revocation_is_none() -> None:
    known = own_providers()["slack"]
    with pytest.raises(TypeError, match="revocation"):
        Provider(name="acme", question=known.question, said=known.said)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="accepted"):
        RevocationMethod("acme", _request("/one"))  # type: ignore[call-arg]
