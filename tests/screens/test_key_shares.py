"""How sure it is which key tokens are under, in words, with the age of what KMS said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crypto_core.keys.status import KeyShare
from crypto_core.lists.coverage import Evidence
from screens.key_shares import by_material, evidence_words

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"


def share(evidence: Evidence, *, asked: int = 0, hours: int | None = None) -> KeyShare:
    at = None if hours is None else NOW - timedelta(hours=hours)
    return KeyShare(KEY, None, None, "m1", 9, evidence, asked, asked_at=at)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([share(Evidence.INFERRED, asked=1, hours=2)], "inferred, 2 h ago"),
        ([share(Evidence.INFERRED, hours=50)], "inferred, 2 d ago"),
        ([share(Evidence.VERIFIED, asked=9, hours=0)], "verified, now"),
        ([share(Evidence.VERIFIED, hours=1), share(Evidence.INFERRED, hours=3)], "inferred, 3 h ago"),
        ([share(Evidence.INFERRED, asked=1)], "inferred (1 asked)"),
        ([share(Evidence.CONFLICT, asked=2, hours=1)], "▲ conflict"),
    ],
)
def test_what_kms_said_has_the_age_of_its_oldest_answer(shares: list[KeyShare], words: str) -> None:
    assert evidence_words(shares, NOW)[0] == words
    (together,) = by_material(shares)
    assert evidence_words([together], NOW)[0] == words
