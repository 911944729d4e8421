"""Tokens counted by key: what KMS's answers, its failures and what it was not asked say about some tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.errors import CredentialsError, KmsAccessDeniedError, KmsError, KmsUnreachableError
from crypto_core.lists.coverage import Evidence
from crypto_core.text.counting import counted


@dataclass(frozen=True, slots=True)
class KeyCount:
    """Tokens under one key material. `wrapping` is None if unknown; `note` says why."""

    wrapping: Wrapping | None
    tokens: int
    asked: int
    evidence: Evidence
    note: str = ""
    asked_at: datetime | None = field(default=None, compare=False)
    """When KMS was asked: of several answers the oldest; None where there is none."""


OVERTAKEN = "changed while it was counted"


@dataclass(frozen=True, slots=True)
class Found:
    """What asking about some tokens came to. `failure` is as for Attribution.

    `told` are the answers about tokens that were asked about each for itself, by digest; None for one that
    is no intact envelope. `overtaken` is true if some were gone before they could be asked about.
    """

    asked: int
    counts: list[KeyCount]
    gap: str = ""
    failure: KmsError | None = None
    told: Mapping[bytes, Wrapping | None] = field(default_factory=dict)
    overtaken: bool = False


def inferred_count(
    wrappings: frozenset[Wrapping], tokens: int, asked: int, asked_at: datetime | None = None
) -> KeyCount:
    """What is said of a group by the answers about some of it: a conflict where they disagree."""
    if len(wrappings) > 1:
        named = " and ".join(f"{arn} material {m or 'unknown'}" for arn, m in sorted(wrappings, key=str))
        return KeyCount(None, tokens, asked, Evidence.CONFLICT, f"KMS named {named} for one group")
    evidence = Evidence.VERIFIED if asked == tokens else Evidence.INFERRED
    return KeyCount(next(iter(wrappings)), tokens, asked, evidence, asked_at=asked_at)


def failed_count(failure: KmsError, tokens: int) -> KeyCount:
    """KMS would not open it. Often it says which key it would have needed."""
    if failure.key:
        return KeyCount((failure.key, None), tokens, 0, Evidence.INFERRED, failure.message)
    return unknown_count(tokens, failure.message)


def gap_of(failure: KmsError, tokens: int) -> str:
    """What a failure leaves untold: nothing where the key's own state says it all."""
    if not failure.key:
        return f"{counted(tokens, 'token')}: which key sealed them is not known. {failure}"
    if isinstance(failure, KmsAccessDeniedError):
        return f"{counted(tokens, 'token')} under {failure.key}: the key material is not known. {failure}"
    return ""


def may_pass(failure: KmsError) -> bool:
    """True for a failure that another time may not be met with."""
    return failure.transient or isinstance(failure, CredentialsError)


def lasting_silence(failure: KmsError | None) -> KmsError | None:
    """The failure, if no other question would fare better: asking on would only take its time limit again."""
    return failure if isinstance(failure, KmsUnreachableError | CredentialsError) else None


def unknown_count(tokens: int, reason: str, *, asked: int = 0) -> KeyCount:
    """Tokens of which nobody could tell the key, and why."""
    return KeyCount(None, tokens, asked, Evidence.UNKNOWN, reason)


HOLDING = "It has a whole envelope among other text, whose key is not known."
"""Behind the reason why a value is no envelope, where another key may be needed once it is put right."""


def damaged_count(tokens: int, reason: str) -> KeyCount:
    """Tokens that open under no key, however often it is asked; if they hold others, nothing is known."""
    return unknown_count(tokens, reason, asked=0 if HOLDING in reason else tokens)


def over_limit_gap(tokens: int, limit: int) -> str:
    """What too many questions leave untold."""
    return (
        f"{counted(tokens, 'token')}: KMS was not asked which key (at most {limit:,} questions a census). "
        "Ask about every token with: keydeck verify --all."
    )


def overtaken_gap(tokens: int, where: str = "") -> str:
    """Say that tokens were replaced or deleted after they were counted."""
    return f"{counted(tokens, 'token')}{where and f' in {where}'} changed while they were counted."


_DOUBT = (Evidence.VERIFIED, Evidence.INFERRED, Evidence.UNKNOWN, Evidence.CONFLICT)


def merged_counts(counts: Iterable[KeyCount], asked_at: datetime) -> tuple[KeyCount, ...]:
    """One entry a key material; doubt about a part of it is doubt about all of it.

    `asked_at` is when KMS was asked about those that don't say so.
    """
    merged: dict[tuple[Wrapping | None, str], KeyCount] = {}
    for one in counts:
        if not one.tokens:
            continue
        count = replace(one, asked_at=asked_at) if one.asked and one.asked_at is None else one
        # Unknown ones are told apart by their reason, conflicts by what they are between.
        key = (count.wrapping, "" if count.wrapping else f"{count.evidence}{count.note}")
        other = merged.get(key)
        if other is None:
            merged[key] = count
        else:
            merged[key] = replace(
                other,
                tokens=other.tokens + count.tokens,
                asked=other.asked + count.asked,
                evidence=max(other.evidence, count.evidence, key=_DOUBT.index),
                note=other.note or count.note,
                asked_at=min((at for at in (other.asked_at, count.asked_at) if at), default=None),
            )
    return tuple(sorted(merged.values(), key=lambda c: (-c.tokens, str(c.wrapping), c.note)))
