"""The guard: nothing is changed past it, and whatever ends a change is journaled in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run, ended_by, ended_by_others
from crypto_core.values import errors
from tests.crypto_core.paper_journal import Paper
from tests.crypto_core.second_person import SecondPerson

ACTION, SUBJECT = "keys disable", "alias/tokens"


@dataclass(frozen=True)
class Planned:
    """Something that can be agreed to."""

    digest: str = "d1"
    danger: Danger = Danger.CONFIRM
    confirmation: str = "12"


def guard(paper: Paper, *, read_only: bool = False, **more: Any) -> Guard:
    return Guard(paper, read_only=read_only, ready=more.pop("ready", lambda: None), **more)


def change(**more: Any) -> GuardedChange:
    return GuardedChange(
        ACTION, SUBJECT, "disable (alias/tokens)", Planned(), "Disable it", {"key": "k"}, **more
    )


def agree(one: Guard, consent: Consent | None, **more: Any) -> Consent:
    return one.agreed(change(**more), consent)


def test_read_only_nothing_may_be_changed_and_nothing_is_journaled() -> None:
    paper = Paper()
    one = guard(paper, read_only=True)
    with pytest.raises(errors.ReadOnlyError, match="Cannot disable a key"):
        one.may_change("disable a key")
    with pytest.raises(errors.ReadOnlyError, match="Cannot disable"):
        agree(one, Consent.pressed(Planned()))
    assert plan(one).warnings == ("x", "The dry run was not journaled: Keydeck is in read-only mode.")
    assert paper.entries == []


@dataclass(frozen=True)
class Warned:
    warnings: tuple[str, ...] = ("x",)


def plan(one: Guard) -> Warned:
    return one.plan(ACTION, SUBJECT, Warned, lambda plan: {"plan": "p"})


def test_a_plan_is_journaled_as_a_dry_run() -> None:
    paper = Paper()
    assert plan(guard(paper)) == Warned()
    assert paper.entries == [(ACTION, SUBJECT, Outcome.DRY_RUN, {"plan": "p"})]


def test_without_what_it_takes_nothing_may_be_changed() -> None:
    def ready() -> None:
        raise errors.MissingSchemaError("There is no schema.")

    with pytest.raises(errors.MissingSchemaError):
        guard(Paper(), ready=ready).may_change("disable a key")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.RefusedError("no"), Outcome.REFUSED),
        (errors.NotConfirmedError("no"), Outcome.REFUSED),
        (errors.ApprovalNeededError("no", request=str(UUID(int=1))), Outcome.REFUSED),
        (errors.MissingSchemaError("no"), Outcome.REFUSED),
        (errors.RowVanishedError("no"), Outcome.REFUSED),
        (errors.UntrustedKeyError("no"), Outcome.REFUSED),
        (errors.KeyNotFoundError("no"), Outcome.REFUSED),
        (errors.KmsUnreachableError("away"), Outcome.FAILED),
        (errors.DatabaseError("away"), Outcome.FAILED),
        (errors.ProviderError("away"), Outcome.FAILED),
        (errors.InterruptedRunError("stop"), Outcome.INTERRUPTED),
        (ValueError("a fault"), Outcome.FAILED),
        (KeyboardInterrupt(), Outcome.INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.value,
)
def test_an_error_ends_a_change_in_one_way(error: BaseException, outcome: Outcome) -> None:
    assert ended_by(error) is outcome


def test_what_ends_a_plan_is_journaled_with_its_reason_and_raised_on() -> None:
    paper = Paper()
    with pytest.raises(errors.KmsUnreachableError), guard(paper).recording(ACTION, SUBJECT, {"to": "k"}):
        raise errors.KmsUnreachableError("KMS does not answer.")
    assert paper.entries == [(ACTION, SUBJECT, Outcome.FAILED, {"to": "k", "reason": "KMS does not answer."})]


def test_what_may_be_kept_of_a_message_is_for_the_service_to_say() -> None:
    paper = Paper()
    with (
        pytest.raises(errors.RefusedError, match="secret"),
        guard(paper).recording(ACTION, SUBJECT, said=lambda _: "kept"),
    ):
        raise errors.RefusedError("a secret")
    assert paper.entries[0][3] == {"reason": "kept"}


@pytest.mark.parametrize(
    "torn", [errors.DatabaseError("The database is away."), errors.MissingSchemaError("No schema.")]
)
def test_a_journal_that_can_not_be_written_never_takes_the_place_of_the_error(
    torn: errors.KeydeckError,
) -> None:
    one = guard(Paper(torn))
    with pytest.raises(errors.RefusedError, match="the reason"), one.recording(ACTION, SUBJECT):
        raise errors.RefusedError("the reason")
    with pytest.raises(errors.NotConfirmedError):
        agree(one, None)
    assert torn.message in plan(one).warnings[1]


def test_only_a_consent_to_this_very_plan_passes() -> None:
    paper = Paper()
    one = guard(paper)
    for consent in (None, Consent.pressed(Planned("d2"))):
        with pytest.raises(errors.NotConfirmedError):
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
        raise errors.RefusedError("The key has changed.")

    with pytest.raises(errors.RefusedError, match="has changed"):
        agree(guard(paper, approvals=second), Consent.pressed(Planned()), still=still)
    assert second.asked == []
    assert paper.entries[0][2] is Outcome.REFUSED


def test_a_second_person_is_asked_about_this_plan_unless_nobody_needs_to_be() -> None:
    paper, second = Paper(), SecondPerson()
    one = guard(paper, approvals=second)
    with pytest.raises(errors.ApprovalNeededError):
        agree(one, Consent.pressed(Planned()))
    assert second.asked == [(ACTION, "Disable it", "d1")]
    assert paper.entries[0][2] is Outcome.REFUSED
    agree(one, Consent.pressed(Planned()), changes_nothing=True)
    assert len(second.asked) == 1


def begun(run: Run) -> str:
    run.begin({"more": 1})
    return "done"


def do(
    one: Guard,
    *,
    act: Callable[[Run], str] = begun,
    ended: Callable[[Run, str], Ended[str]] = lambda run, done: Ended(done, Outcome.DONE, {"of": done}),
) -> tuple[str, str]:
    return one.run(change(detail={"to": "k"}), Consent.pressed(Planned()), act, ended)


def outcomes(paper: Paper) -> list[tuple[Outcome, dict[str, Any]]]:
    """What is journaled, with the run's id replaced by whether there is one."""
    return [
        (outcome, detail | ({"run": bool(UUID(detail["run"]))} if "run" in detail else {}))
        for _, _, outcome, detail in paper.entries
    ]


ALWAYS = {"to": "k", "run": True, "plan": "d1"}


def test_a_run_is_journaled_when_it_begins_and_when_it_has_ended() -> None:
    paper = Paper()
    assert do(guard(paper)) == ("done", "")
    assert outcomes(paper) == [
        (Outcome.STARTED, ALWAYS | {"consent": "pressed", "more": 1}),
        (Outcome.DONE, ALWAYS | {"run_ended": True, "of": "done"}),
    ]
    assert len({detail["run"] for *_, detail in paper.entries}) == 1


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (errors.KmsUnreachableError("away"), Outcome.FAILED, "away"),
        (errors.RefusedError("no"), Outcome.REFUSED, "no"),
        (errors.InterruptedRunError("stop"), Outcome.INTERRUPTED, "stop"),
        (KeyboardInterrupt(), Outcome.INTERRUPTED, "KeyboardInterrupt"),
        (ValueError("a token"), Outcome.FAILED, "ValueError"),
    ],
)
@pytest.mark.parametrize("where", ["before it begins", "while it acts", "while it reads back"])
def test_whatever_ends_a_run_is_journaled_and_raised_on(
    error: BaseException, outcome: Outcome, reason: str, where: str
) -> None:
    paper = Paper()

    def act(run: Run) -> str:
        if where == "before it begins":
            raise error
        run.begin({})
        run.so_far["done"] = 3
        if where == "while it acts":
            raise error
        return "done"

    def ended(run: Run, done: str) -> Ended[str]:
        raise error

    with pytest.raises(type(error)):
        do(guard(paper), act=act, ended=ended)
    so_far = {} if where == "before it begins" else {"run_ended": True, "done": 3}
    assert outcomes(paper)[-1] == (outcome, ALWAYS | so_far | {"reason": reason})
    assert len(paper.entries) == (1 if where == "before it begins" else 2)


def test_nothing_is_changed_whose_beginning_can_not_be_journaled() -> None:
    acted: list[str] = []

    def act(run: Run) -> str:
        run.begin({})
        acted.append("changed")
        return "done"

    with pytest.raises(errors.DatabaseError, match="away"):
        do(guard(Paper(errors.DatabaseError("The database is away."))), act=act)
    assert acted == []


def test_an_end_that_can_not_be_journaled_is_told_with_the_result() -> None:
    paper = Paper()

    def ended(run: Run, done: str) -> Ended[str]:
        paper.torn = errors.DatabaseError("The database is away.")
        return Ended(done, Outcome.DONE)

    assert do(guard(paper), ended=ended) == ("done", "The database is away.")


def test_who_acts_without_having_begun_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="without having begun"):
        do(guard(Paper()), act=lambda run: "done")


def test_an_end_that_others_journal_is_left_to_them() -> None:
    paper = Paper()
    assert do(guard(paper), ended=ended_by_others) == ("done", "")
    assert [outcome for outcome, _ in outcomes(paper)] == [Outcome.STARTED]
