"""Tokens under keys, put together by material, and how sure it is which key they are under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from crypto_core.keys.status import KeyShare
from crypto_core.lists.coverage import Evidence
from screens.moments import ago
from screens.signs import EVIDENCE_STYLES

_SURENESS = (Evidence.CONFLICT, Evidence.UNKNOWN, Evidence.INFERRED, Evidence.VERIFIED)
"""The evidence of several tokens together is that of the least sure among them."""


def by_material(shares: Iterable[KeyShare]) -> list[KeyShare]:
    """Return one share for each material: tokens that KMS was asked about and tokens inferred, together."""
    merged: dict[str | None, KeyShare] = {}
    for share in shares:
        before = merged.setdefault(share.key_material_id, share)
        if before is not share:
            merged[share.key_material_id] = replace(
                before,
                tokens=before.tokens + share.tokens,
                evidence=min(before.evidence, share.evidence, key=_SURENESS.index),
                asked=before.asked + share.asked,
                asked_at=_oldest((before, share)),
            )
    return list(merged.values())


def _oldest(shares: Iterable[KeyShare]) -> datetime | None:
    return min((share.asked_at for share in shares if share.asked_at), default=None)


def token_sum(shares: Iterable[KeyShare]) -> int:
    return sum(share.tokens for share in shares)


def evidence_words(shares: Sequence[KeyShare], now: datetime) -> tuple[str, str]:
    """Return how sure the keys of these tokens are, and a style: ("inferred, 2 h ago", "$muted").

    What KMS said has the age of its oldest answer.
    """
    evidence = min((share.evidence for share in shares), key=_SURENESS.index)
    asked, at = sum(share.asked for share in shares), _oldest(shares)
    words = evidence.value
    if at is not None and evidence in (Evidence.INFERRED, Evidence.VERIFIED):
        words = f"{words}, {ago(at, now)}"
    elif evidence is Evidence.INFERRED and asked:
        words = f"inferred ({asked:,} asked)"
    elif evidence in (Evidence.CONFLICT, Evidence.UNKNOWN):
        words = f"▲ {words}"
    return words, EVIDENCE_STYLES[evidence]
