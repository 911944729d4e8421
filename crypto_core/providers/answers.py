"""Answers about tokens, and revocations, independent of each provider's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crypto_core.guard.consent import Danger
from crypto_core.values.clean_text import cleans
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef


class Liveness(StrEnum):
    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "not known"
    """No answer, or one that says neither. Never taken as dead."""


@dataclass(frozen=True, slots=True)
class TokenLiveness(JsonRecord):
    """A provider's answer about one token. Cleaned text. `whose` is the account, if named."""

    ref: TokenRef
    provider: str
    liveness: Liveness
    reason: str
    at: datetime
    whose: str = ""

    json_shape = shape("reference=ref ... whose? at")


@dataclass(frozen=True, slots=True)
@cleans(provider=100, how=1_000)
class ByHand:
    """A token that no call revokes: where and how a person does it. Cleaned text."""

    ref: TokenRef
    provider: str
    how: str


@dataclass(frozen=True, slots=True)
class RevocationPlan:
    """A dry run's result: which tokens would be revoked where, and what can't be. A subject of a consent.

    The danger is TYPED: revocation can't be undone. What is typed is the number of tokens.
    """

    tokens: tuple[TokenRef, ...]
    by_provider: Mapping[str, int]
    calls: Mapping[str, int]
    """Requests by provider; GitHub takes up to 1,000 tokens in one."""
    by_hand: tuple[ByHand, ...] = ()
    warnings: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    digest: str = ""
    """SHA-256, in hex, over the tokens with the digests of what is stored, and the endpoints."""
    danger: Danger = Danger.TYPED
    stored: tuple[bytes, ...] = field(default=(), repr=False)
    """The digests of what is stored, in the order of `tokens`: they tell which token has been replaced."""

    @property
    def confirmation(self) -> str:
        return str(len(self.tokens))


@dataclass(frozen=True, slots=True)
class Revoked:
    """The outcome of one token. `proved` is the provider's answer afterwards."""

    ref: TokenRef
    provider: str
    accepted: bool
    proved: Liveness
    reason: str


@dataclass(frozen=True, slots=True)
class RevocationResult:
    tokens: tuple[Revoked, ...]
    by_hand: tuple[ByHand, ...] = ()
    stopped_by: str = ""
    unjournaled: str = ""
    """Why the end could not be journaled, "" if it was."""

    @property
    def dead(self) -> int:
        return sum(token.proved is Liveness.DEAD for token in self.tokens)


@dataclass(frozen=True, slots=True)
class HashedQuery:
    """A query for GitHub's audit log that finds what a token did, without naming it."""

    ref: TokenRef
    query: str
    """Such as hashed_token:"…", the SHA-256 of the token in base64."""


@dataclass(frozen=True, slots=True)
class LivenessRequest:
    """A liveness check before it is made: whom it asks. A subject of a consent; danger CONFIRM."""

    tokens: tuple[TokenRef, ...]
    endpoints: tuple[str, ...]
    digest: str
    not_asked: tuple[ByHand, ...] = ()
    """Tokens that no provider can be asked about, each with the reason."""
    danger: Danger = Danger.CONFIRM
    confirmation: str = ""


Progress = Callable[[int, int], None]
