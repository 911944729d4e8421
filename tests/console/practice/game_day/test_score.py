"""The score's arithmetic, on games that were made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.practice.game_day.deeds import CallOutcome, Deed, opened, shut_out_at
from console.practice.game_day.referee import EndSeen
from console.practice.game_day.scenario import SCENARIOS, Act, End
from console.practice.game_day.score import PhaseTime, Score, score
from console.practice.game_day.story_text import score_lines
from crypto_core.incidents.model import (
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.runbooks.catalogue import PhaseKind, SubjectKind
from crypto_core.incidents.runbooks.runbook import Phase, Runbook, RunbookStep
from crypto_core.values.references import TokenRef

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCENARIO = SCENARIOS["key-compromise"]
REACHED = tuple(EndSeen(end, True, "so it is") for end in SCENARIO.ends)
REF = TokenRef("gh_connection", "access_token", "gh-1")
HOSTILE = "[/red]\x1b]0;owned\x07\u202e" + "x" * 10_000


def runbook(*budgets: int, id_: str = "key-compromise") -> Runbook:
    kinds = (PhaseKind.DETECT, PhaseKind.CONTAIN, PhaseKind.ERADICATE, PhaseKind.RECOVER, PhaseKind.CLOSE)
    phases = tuple(
        Phase(kind, kind.value, (RunbookStep(kind.value, kind.value, "", budget_seconds=budget),))
        for kind, budget in zip(kinds, budgets, strict=False)
    )
    return Runbook(id_, 1, "A runbook", SubjectKind.KEY, "", phases, "00")


def view(book: Runbook, declared: float, *ended: float | None, number: int = 7) -> IncidentView:
    """An incident declared and with steps ended so many seconds after the intruder began."""
    incident = Incident(
        number, "", IncidentState.OPEN, IncidentScope(key="k"), BEGAN + timedelta(seconds=declared), "omar"
    )
    steps = tuple(
        StepView(
            step,
            n,
            StepState.TODO if end is None else StepState.DONE,
            ended_at=None if end is None else BEGAN + timedelta(seconds=end),
        )
        for n, (step, end) in enumerate(zip(book.steps, ended, strict=True), start=1)
    )
    return IncidentView(incident, book, steps)


def deed(seconds: float, came: CallOutcome = CallOutcome.DONE, act: Act = Act.OPEN) -> Deed:
    return Deed(BEGAN + timedelta(seconds=seconds), act, "build-bot", came, REF)


def test_a_perfect_game_is_100_points() -> None:
    book = runbook(60, 60, 60, 60)
    told = score(
        SCENARIO, [deed(0), deed(70, CallOutcome.REFUSED)], [view(book, 30, 40, 60, 90, 120)], REACHED
    )
    assert (told.points, told.reached, told.shut_out_seconds) == (100, True, 70.0)
    assert [time.seconds for time in told.times] == [30.0, 40.0, 60.0, 90.0]  # contained is who is refused
    assert [time.budget_seconds for time in told.times] == [SCENARIO.detect_seconds, 120, 180, 240]


def test_without_an_incident_only_the_ends_count_and_the_score_says_so() -> None:
    seen = [replace(one, reached=one.end is not End.TOKENS_OPEN) for one in REACHED]
    told = score(SCENARIO, [deed(0)], [], seen)
    assert (told.points, told.points_ends, told.reached) == (30, 30, False)
    assert any("no incident was declared" in line for line in told.verdicts)
    assert "never refused for good" in " ".join(told.verdicts)


def test_what_nobody_can_tell_is_neither_reached_nor_missed() -> None:
    seen = (EndSeen(End.SHUT_OUT, True, ""), EndSeen(End.TOKENS_DEAD, None, "no providers"))
    told = score(SCENARIO, [deed(0)], [], seen)
    assert told.reached
    assert told.points_ends == 40
    assert not score(SCENARIO, [deed(0)], [], seen[1:]).reached


def test_times_are_those_of_the_fitting_runbook_and_noticing_that_of_the_first_incident() -> None:
    other = view(runbook(1, 1, 1, 1, id_="another"), 10, None, None, None, None, number=1)
    fitting = view(runbook(60, 60, 60, 60), 50, 60, 70, 80, 90, number=2)
    told = score(SCENARIO, [deed(0), deed(60, CallOutcome.REFUSED)], [fitting, other], REACHED)
    assert told.incident == "INC-2"
    assert told.times[0].seconds == 10
    assert told.times[1].seconds == 20


def test_nothing_is_contained_or_over_while_the_intruder_gets_in_whatever_the_steps_say() -> None:
    whole = view(runbook(60, 60, 60, 60), 30, 40, 50, 60, 70)
    told = score(SCENARIO, [deed(0), deed(45, CallOutcome.REFUSED), deed(90)], [whole], REACHED)
    assert [time.seconds for time in told.times[1:]] == [None, None, None]
    assert {"not contained, budget 2 min", "not recovered, budget 4 min"} <= set(told.verdicts)


def test_what_was_so_before_earns_nothing_and_is_missed_where_it_is_lost() -> None:
    before = [EndSeen(End.PLATFORM_WORKS, True, ""), EndSeen(End.NOTHING_DELETED, True, "")]
    nothing = score(SCENARIO, [deed(0)], [], [EndSeen(End.SHUT_OUT, False, ""), *before])
    assert (nothing.points, nothing.reached) == (0, False)
    dark = [EndSeen(End.SHUT_OUT, True, ""), replace(before[0], reached=False)]
    assert (score(SCENARIO, [deed(0)], [], dark).points_ends, score(SCENARIO, [], [], dark).reached) == (
        20,
        False,
    )


def test_a_phase_that_never_ended_is_worth_nothing_and_one_that_is_not_there_is_left_out() -> None:
    told = score(SCENARIO, [deed(0)], [view(runbook(60, 60), 30, 40, None)], REACHED)
    assert [time.kind for time in told.times] == [PhaseKind.DETECT, PhaseKind.CONTAIN]
    assert told.points_times == 20
    assert "not contained" in " ".join(told.verdicts)


def test_a_step_that_was_not_needed_has_no_budget_and_its_phase_no_time() -> None:
    whole = view(runbook(60, 500, 60), 30, 40, 50, 60)
    steps = (whole.steps[0], replace(whole.steps[1], state=StepState.NOT_NEEDED), whole.steps[2])
    told = score(SCENARIO, [deed(0)], [replace(whole, steps=steps)], REACHED)
    assert [time.budget_seconds for time in told.times[1:]] == [120]


def test_what_the_intruder_got_after_the_declaration_costs_points_and_looking_around_does_not() -> None:
    deeds = [
        deed(0),
        *(deed(50 + n) for n in range(7)),
        deed(90, act=Act.LOOK),
        deed(95, CallOutcome.REFUSED),
    ]
    told = score(SCENARIO, deeds, [view(runbook(), 30)], REACHED)
    assert (told.gained, told.gained_after, told.points_after) == (8, 7, 9)
    assert told.opened == 1


def test_skipped_steps_cost_points_and_are_told_harmlessly() -> None:
    whole = view(runbook(60, 60), 30, 40, 50)
    hostile = replace(
        whole.steps[1],
        state=StepState.SKIPPED,
        reason=HOSTILE,
        step=replace(whole.steps[1].step, title=HOSTILE),
    )
    ends = (EndSeen(End.KEY_DISABLED, False, HOSTILE),)
    told = score(
        SCENARIO, [deed(0)], [replace(whole, steps=(whole.steps[0], hostile))], ends, trouble=HOSTILE
    )
    assert told.points_steps == 8
    printed = "\n".join(score_lines(told)) + str(told.as_json())
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert len(printed) < 6_000


def test_incidents_that_could_not_be_read_are_not_called_missing() -> None:
    told = score(SCENARIO, [deed(0)], [], REACHED, trouble="No connection to the database.")
    assert any("could not be read: No connection" in line for line in told.verdicts)
    assert not any("no incident was declared" in line for line in told.verdicts)


@given(st.floats(0, 1e7), st.integers(0, 100_000))
def test_a_time_never_gains_by_being_later(seconds: float, budget: int) -> None:
    earlier, later = (PhaseTime(PhaseKind.CONTAIN, s, budget).share for s in (seconds, seconds * 1.5 + 1))
    assert 0.0 <= later <= earlier <= 1.0
    assert PhaseTime(PhaseKind.CONTAIN, float(budget), budget).share == 1.0
    assert PhaseTime(PhaseKind.CONTAIN, 3.0 * budget, budget).share == (0.0 if budget else 1.0)


_deeds = st.lists(
    st.builds(deed, st.integers(0, 5_000), st.sampled_from(CallOutcome), st.sampled_from(Act)), max_size=30
).map(lambda deeds: sorted(deeds, key=lambda one: one.at))
_seconds = st.none() | st.integers(0, 9_000)


@given(
    _deeds,
    st.integers(-100, 5_000),
    st.lists(_seconds, min_size=5, max_size=5),
    st.lists(st.integers(0, 900), min_size=5, max_size=5),
    st.lists(st.sampled_from([True, False, None]), min_size=len(SCENARIO.ends), max_size=len(SCENARIO.ends)),
)
def test_points_are_0_to_100_and_the_parts_are_the_whole(
    deeds: list[Deed],
    declared: int,
    ended: list[int | None],
    budgets: list[int],
    reached: list[bool | None],
) -> None:
    ends = tuple(EndSeen(end, yes, "") for end, yes in zip(SCENARIO.ends, reached, strict=True))
    told: Score = score(SCENARIO, deeds, [view(runbook(*budgets), declared, *ended)], ends)
    document = told.as_json()
    assert 0 <= told.points <= 100
    assert told.points == sum(document["points_by"].values())
    assert (told.points_ends == 40) == told.reached
    assert (told.shut_out_seconds is None) == (shut_out_at(deeds) is None or not deeds)
    assert told.gained_after is not None
    assert told.gained_after <= told.gained
    assert "\n".join(score_lines(told))


@given(_deeds)
def test_refused_for_good_means_that_nothing_succeeded_since(deeds: list[Deed]) -> None:
    since = shut_out_at(deeds)
    last = next((n for n, one in reversed(list(enumerate(deeds))) if one.came is CallOutcome.DONE), -1)
    refused = [one for one in deeds[last + 1 :] if one.came is CallOutcome.REFUSED]
    assert since == (refused[0].at if refused else None)
    assert opened(deeds) <= {REF}
