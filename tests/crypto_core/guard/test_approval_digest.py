"""What of a plan made again may differ from the one that was approved, and what may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crypto_core.guard.approvals import (
    COUNTED_BY,
    Approval,
    Decision,
    differing_parts,
    parts_of,
    request_digest,
)
from crypto_core.values.clean_text import clean

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
PLAN: Mapping[str, Any] = {
    "does": ["Forgets what is from before 2026-11-01 10:00 UTC."],
    "warnings": ["eu-west-1: nothing was fetched from 2026-08-30 16:41 UTC on."],
    "tokens": {"under": 19, "proof": {"taken_at": "2026-11-28T11:59:58.1+00:00"}, "gaps": []},
}
ASKED = Approval(
    id=UUID(int=1),
    action=clean("keys disable"),
    summary=clean("Disable alias/tokens-old"),
    digest=clean("d1"),
    plan=PLAN,
    requested_by=clean("arn:aws:iam::123456789012:user/ana"),
    requested_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    decision=Decision.PENDING,
    database=clean("tokens (oid 1)"),
)


def with_plan(**more: Any) -> Approval:
    """The same, planned again a while later."""
    later = NOW + timedelta(minutes=7)
    fresh = {"id": UUID(int=2), "requested_at": later, "expires_at": later + timedelta(hours=1)}
    return replace(ASKED, **fresh, plan={**PLAN, **more})


def test_a_plan_made_again_may_differ_in_its_moments() -> None:
    tokens = {**PLAN["tokens"], "proof": {"taken_at": "2026-11-28T12:07:00+00:00"}}
    warnings = ["eu-west-1: nothing was fetched from 2026-08-30 16:48 UTC on."]
    assert differing_parts(ASKED, with_plan(tokens=tokens, warnings=warnings)) == ()
    counted = [*PLAN["does"], f"{COUNTED_BY}Fresh proof of 2026-11-28 12:07:00 UTC: KMS asked 19 times."]
    assert differing_parts(ASKED, with_plan(does=counted)) == ()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"does": ["Forgets what is from before 2026-11-28 10:00 UTC."]}, "plan (does)"),
        ({"warnings": []}, "plan (warnings)"),
        ({"warnings": ["eu-west-2: nothing was fetched from 2026-08-30 16:41 UTC on."]}, "plan (warnings)"),
        ({"tokens": {**PLAN["tokens"], "under": 1}}, "plan (tokens)"),
        ({"proof": "none"}, "plan (proof)"),
        ({"does": [], "tokens": None}, "plan (does, tokens)"),
    ],
    ids=str,
)
def test_what_else_differs_is_named(more: Mapping[str, Any], named: str) -> None:
    assert differing_parts(ASKED, with_plan(**more)) == (named,)
    assert differing_parts(with_plan(**more), ASKED) == (named,)


@pytest.mark.parametrize(
    "more",
    [
        {"id": UUID(int=2)},
        {"action": clean("keys enable")},
        {"summary": clean("Disable it")},
        {"digest": clean("d2")},
        {"plan": {}},
        {"requested_by": clean("arn:aws:iam::123456789012:user/eve")},
        {"requested_at": NOW - timedelta(microseconds=1)},
        {"expires_at": NOW + timedelta(hours=2)},
        {"database": clean("tokens (oid 2)")},
    ],
    ids=lambda more: next(iter(more)),
)
def test_whatever_is_shown_of_a_request_changes_its_digest(more: dict[str, Any]) -> None:
    changed = replace(ASKED, **more)
    assert request_digest(parts_of(changed)) != request_digest(parts_of(ASKED))


def test_a_moment_is_the_same_in_every_zone() -> None:
    there = replace(ASKED, requested_at=NOW.astimezone(), expires_at=ASKED.expires_at.astimezone())
    assert parts_of(there) == parts_of(ASKED)
