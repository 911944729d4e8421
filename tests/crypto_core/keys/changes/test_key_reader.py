"""What changes go by: tokens of an unknown key, rotations under way, material that was imported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.database.tokens.attribution import KeyCount
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.census import Census
from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.lists.coverage import Evidence
from crypto_core.values.errors import DatabaseTimeoutError, KmsRequestError, NotConfirmedError, RefusedError
from tests.crypto_core.agreed import agreed

OTHER = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"


def proof(*counts: KeyCount, gaps: tuple[str, ...] = ()) -> FreshProof:
    census = Census(datetime.now(UTC), Catalogue((), (), {}), (), {})
    return FreshProof(census, counts, len(counts), len(counts), gaps, {}, {})


def share(key: str | None, tokens: int, evidence: Evidence, asked: int = 0) -> KeyCount:
    return KeyCount((key, None) if key else None, tokens, asked, evidence)


@pytest.mark.parametrize(
    ("shares", "gaps", "expected"),
    [
        ([share(OTHER, 9, Evidence.VERIFIED)], (), TokensAtRisk()),
        ([share("KEY", 9, Evidence.INFERRED), share("KEY", 1, Evidence.VERIFIED)], (), TokensAtRisk(10)),
        ([share(None, 4, Evidence.CONFLICT, asked=2)], (), TokensAtRisk(0, 4)),
        ([share(None, 3, Evidence.UNKNOWN)], (), TokensAtRisk(0, 3)),
        # KMS was asked about each: they open under no key, so there is nothing to lose.
        ([share(None, 3, Evidence.UNKNOWN, asked=3)], (), TokensAtRisk()),
        ([share(None, 3, Evidence.UNKNOWN)], ("KMS is silent.",), TokensAtRisk(0, 3, ("KMS is silent.",))),
    ],
)
def test_tokens_of_which_the_key_is_not_known_count_as_lost(
    changes: KeyChangeService,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    shares: list[KeyCount],
    gaps: tuple[str, ...],
    expected: TokensAtRisk,
) -> None:
    from dataclasses import replace

    found = [replace(s, wrapping=(key, None)) if s.wrapping == ("KEY", None) else s for s in shares]
    monkeypatch.setattr(changes._reader.status, "prove", lambda **_: proof(*found, gaps=gaps))
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert plan.tokens == expected
    number = expected.under + expected.doubtful
    assert plan.refused_unless_typed is bool(number or gaps)
    if number:
        assert plan.confirmation == str(number)
        with pytest.raises(NotConfirmedError, match="there are tokens under the key"):
            changes.make_change(plan, Consent.by_option(plan))
    else:
        assert changes.make_change(plan, agreed(plan)).verified


def test_backups_that_cannot_be_counted_are_told(
    changes: KeyChangeService, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_: str) -> int:
        raise DatabaseTimeoutError("Too slow.")

    monkeypatch.setattr(changes._reader, "count_backups", slow)
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert not plan.refused_unless_typed
    assert any("kept as backups could not be counted" in w for w in plan.warnings)


def under_way(monkeypatch: pytest.MonkeyPatch, services: Container, begun: list[bool]) -> None:
    """KMS rotates in the background, and says so once `begun` holds something."""
    call = services.kms.call

    def told(name: str, **parameters: Any) -> Any:
        if name == "RotateKeyOnDemand":
            begun.append(True)
            return {"KeyId": parameters["KeyId"]}
        answer = call(name, **parameters)
        if name == "GetKeyRotationStatus" and begun:
            answer["OnDemandRotationStartDate"] = datetime.now(UTC)
        return answer

    monkeypatch.setattr(services.kms, "call", told)


def test_a_rotation_that_kms_has_begun_counts_as_seen(
    changes: KeyChangeService, services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way(monkeypatch, services, [])
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    result = changes.make_change(plan, agreed(plan))
    assert result.verified
    facts = {f.name: (f.before, f.after) for f in result.facts}
    assert facts["rotation under way"] == ("no", "yes")
    assert facts["rotations on demand"] == ("0 of 25", "0 of 25")


def test_a_rotation_is_not_begun_while_one_is_under_way(
    changes: KeyChangeService, services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way(monkeypatch, services, [True])
    with pytest.raises(RefusedError, match="is under way"):
        changes.plan_change(KeyChange(ChangeKind.ROTATE, key))


def test_a_key_with_imported_material_says_what_it_needs_and_kms_has_the_last_word(
    changes: KeyChangeService, sandbox: Sandbox, kms: Any
) -> None:
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    with pytest.raises(RefusedError, match="is PendingImport"):
        changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    sandbox.control.set_key_state(key, "Enabled")
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    assert "The key's material is imported: the new material has to be imported before." in plan.warnings
    with pytest.raises(KmsRequestError, match="this kind of key does not have it"):
        changes.make_change(plan, agreed(plan))
    with pytest.raises(RefusedError, match="its material comes from EXTERNAL"):
        changes.plan_change(KeyChange(ChangeKind.ENABLE_ROTATION, key))


def test_a_plan_has_another_digest_for_whatever_is_another(
    changes: KeyChangeService, key: str, new_key: Callable[[], str], kms: Any
) -> None:
    def digest(change: KeyChange) -> str:
        return changes.plan_change(change).digest

    changed = [
        KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=90),
        KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=91),
        KeyChange(ChangeKind.ENABLE_ROTATION, new_key(), period_days=90),
        KeyChange(ChangeKind.SCHEDULE_DELETION, key, window_days=7),
        KeyChange(ChangeKind.SCHEDULE_DELETION, key, window_days=8),
        KeyChange(ChangeKind.DISABLE, key),
        KeyChange(ChangeKind.CREATE),
        KeyChange(ChangeKind.CREATE, multi_region=True),
        KeyChange(ChangeKind.CREATE, description="x" * 600 + "a"),
        KeyChange(ChangeKind.CREATE, description="x" * 600 + "b"),
    ]
    digests = [digest(change) for change in changed]
    assert len(set(digests)) == len(digests)
    assert digest(changed[0]) == digests[0]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=200)
    assert digest(changed[0]) != digests[0]
