"""The guard: nothing is changed past it, and whatever ends a change is journaled in one way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from crypto_core.errors import (
    ApprovalNeededError,
    DatabaseError,
    InterruptedRunError,
    KeydeckError,
    KeyNotFoundError,
    KmsUnreachableError,
    MissingSchemaError,
    NotConfirmedError,
    ProviderError,
    ReadOnlyError,
    RefusedError,
    RowVanishedError,
    UntrustedKeyError,
)
from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.guard import Guard
from crypto_core.guard.outcome import Outcome, ended_by
from tests.crypto_core.second_person import SecondPerson

ACTION, SUBJECT = "keys disable", "alias/tokens"


@dataclass
class Paper:
    """A journal on paper; `torn` is what happens to whoever writes in it."""

    torn: KeydeckError | None = None
    entries: list[tuple[str, str, Outcome, dict[str, Any]]] = field(default_factory=list)

    def record(
        self, action: str, subject: str, outcome: Outcome, detail: Mapping[str, Any] | None = None
    ) -> None:
        if self.torn is not None:
            raise self.torn
        self.entries.append((action, subject, outcome, dict(detail or {})))


@dataclass(frozen=True)
class Planned:
    """Something that can be agreed to."""

    digest: str = "d1"
    danger: Danger = Danger.CONFIRM
    confirmation: str = "12"


def guard(paper: Paper, *, read_only: bool = False, **more: Any) -> Guard:
    return Guard(paper, read_only=read_only, ready=more.pop("ready", lambda: None), **more)


def agree(one: Guard, consent: Consent | None, **more: Any) -> Consent:
    given = {"action": ACTION, "subject": SUBJECT, "summary": "Disable it", "shown": {"key": "k"}} | more
    return one.agreed(Planned(), consent, **given)


def test_read_only_nothing_may_be_changed_and_nothing_is_journaled() -> None:
    paper = Paper()
    one = guard(paper, read_only=True)
    with pytest.raises(ReadOnlyError, match="Cannot disable a key"):
        one.may_change("disable a key")
    assert one.dry_run(ACTION, SUBJECT, {}) == "Keydeck is read only."
    assert paper.entries == []


def test_without_what_it_takes_nothing_may_be_changed() -> None:
    def ready() -> None:
        raise MissingSchemaError("There is no schema.")

    with pytest.raises(MissingSchemaError):
        guard(Paper(), ready=ready).may_change("disable a key")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("no"), Outcome.REFUSED),
        (NotConfirmedError("no"), Outcome.REFUSED),
        (ApprovalNeededError("no", request=str(UUID(int=1))), Outcome.REFUSED),
        (MissingSchemaError("no"), Outcome.REFUSED),
        (RowVanishedError("no"), Outcome.REFUSED),
        (UntrustedKeyError("no"), Outcome.REFUSED),
        (KeyNotFoundError("no"), Outcome.REFUSED),
        (KmsUnreachableError("away"), Outcome.FAILED),
        (DatabaseError("away"), Outcome.FAILED),
        (ProviderError("away"), Outcome.FAILED),
        (InterruptedRunError("stop"), Outcome.INTERRUPTED),
        (ValueError("a fault"), Outcome.FAILED),
        (KeyboardInterrupt(), Outcome.INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.value,
)
def test_an_error_ends_a_change_in_one_way(error: BaseException, outcome: Outcome) -> None:
    assert ended_by(error) is outcome


def test_what_ends_a_plan_is_journaled_with_its_reason_and_raised_on() -> None:
    paper = Paper()
    with pytest.raises(KmsUnreachableError), guard(paper).recording(ACTION, SUBJECT, {"to": "k"}):
        raise KmsUnreachableError("KMS does not answer.")
    assert paper.entries == [(ACTION, SUBJECT, Outcome.FAILED, {"to": "k", "reason": "KMS does not answer."})]


def test_what_may_be_kept_of_a_message_is_for_the_service_to_say() -> None:
    paper = Paper()
    with (
        pytest.raises(RefusedError, match="secret"),
        guard(paper).recording(ACTION, SUBJECT, said=lambda _: "kept"),
    ):
        raise RefusedError("a secret")
    assert paper.entries[0][3] == {"reason": "kept"}


@pytest.mark.parametrize("torn", [DatabaseError("The database is away."), MissingSchemaError("No schema.")])
def test_a_journal_that_can_not_be_written_never_takes_the_place_of_the_error(torn: KeydeckError) -> None:
    one = guard(Paper(torn))
    with pytest.raises(RefusedError, match="the reason"), one.recording(ACTION, SUBJECT):
        raise RefusedError("the reason")
    with pytest.raises(NotConfirmedError):
        agree(one, None)
    assert torn.message in one.dry_run(ACTION, SUBJECT, {})


def test_only_a_consent_to_this_very_plan_passes() -> None:
    paper = Paper()
    one = guard(paper)
    for consent in (None, Consent.pressed(Planned("d2"))):
        with pytest.raises(NotConfirmedError):
            agree(one, consent)
    assert [(outcome, detail["plan"]) for _, _, outcome, detail in paper.entries] == [
        (Outcome.REFUSED, "d1"),
        (Outcome.REFUSED, "d1"),
    ]
    assert agree(one, Consent.pressed(Planned())) == Consent.pressed(Planned())
    assert len(paper.entries) == 2


def test_what_is_no_longer_as_planned_is_refused_before_anybody_else_is_asked() -> None:
    paper, second = Paper(), SecondPerson()

    def still() -> None:
        raise RefusedError("The key has changed.")

    with pytest.raises(RefusedError, match="has changed"):
        agree(guard(paper, approvals=second), Consent.pressed(Planned()), still=still)
    assert second.asked == []
    assert paper.entries[0][2] is Outcome.REFUSED


def test_a_second_person_is_asked_about_this_plan_unless_nobody_needs_to_be() -> None:
    paper, second = Paper(), SecondPerson()
    one = guard(paper, approvals=second)
    with pytest.raises(ApprovalNeededError):
        agree(one, Consent.pressed(Planned()))
    assert second.asked == [(ACTION, "Disable it", "d1")]
    assert paper.entries[0][2] is Outcome.REFUSED
    agree(one, Consent.pressed(Planned()), alone=True)
    assert len(second.asked) == 1
