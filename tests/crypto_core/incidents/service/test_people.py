"""Who has which role, and what is to be done afterwards: kept by the journal, told to whoever takes over."""

from __future__ import annotations

import json
from datetime import date

import pytest
from sqlalchemy import Engine, text

from crypto_core.database.state.journal import Journal
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import EntryKind, IncidentScope
from crypto_core.incidents.people import FOLLOW_UP, FOLLOW_UP_DONE, ROLE, IncidentRole
from crypto_core.incidents.service import IncidentService
from crypto_core.values.errors import RefusedError
from tests.crypto_core.canary import CANARY
from tests.crypto_core.incidents.service.doubles import KEY
from tests.crypto_core.incidents.service.operators import Operator, journaled
from tests.crypto_core.incidents.service.test_secrecy import HOSTILE, all_that_is_stored, assert_harmless

LEAD, COMMUNICATIONS = IncidentRole.LEAD, IncidentRole.COMMUNICATIONS


def told(service: IncidentService, incident: int, kind: EntryKind) -> list[str]:
    return [entry.text for entry in service.show(incident).entries if entry.kind is kind]


def test_a_role_has_one_person_and_whoever_takes_the_lead_is_told_how_it_stands(
    engine: Engine, operator: Operator, ana: IncidentService, incident: int
) -> None:
    ana.assign(incident, LEAD)
    ana.assign(incident, LEAD)  # who has it already
    ana.assign(incident, COMMUNICATIONS, "carla, press desk", "Knows the customers.")
    ana.note(incident, "The vendor was called.")
    ana.skip(incident, "scope", "Known already.")
    ben = operator("ben", waiting=lambda: ["keys disable: Disable it, asked by ana"])
    handover = "\n".join(ben.handover(incident))
    for part in (
        "Roles: lead ana; communications carla, press desk.",
        "was skipped by ana: Known already.",
        "Now at step 2 of",
        "Left: steps 2, ",
        "Waits for a second person: keys disable: Disable it, asked by ana",
        "The vendor was called.",
    ):
        assert part in handover
    view = ben.assign(incident, LEAD, note="Ana goes off at noon.")
    assert [(one.role, one.who, one.by) for one in view.people.roles] == [
        (LEAD, "ben", "ben"),
        (COMMUNICATIONS, "carla, press desk", "ana"),
    ]
    first, _, taken = told(ana, incident, EntryKind.ROLE)
    assert first == "Lead is ana."
    assert taken.startswith("Lead is ben, was ana. Ana goes off at noon. How it stood: INC-")
    assert "Waits for a second person: keys disable" in taken
    ben.assign(incident, COMMUNICATIONS, "")
    assert [one.role for one in ben.show(incident).people.roles] == [LEAD]
    (listed,) = [view for view in ana.incidents() if view.incident.id == incident]
    assert listed.people.who(LEAD) == "ben"
    assert [action for action, _, _ in journaled(engine, incident)].count(ROLE) == 4


def test_follow_ups_outlive_the_incident_and_end_once(
    engine: Engine, ana: IncidentService, ben: IncidentService, incident: int
) -> None:
    first = ana.follow_up(incident, "Alarm on Decrypt by users", "dana", date(2026, 12, 1))
    assert (first.number, first.owner, first.added_by) == (1, "dana", "ana")
    for step in ana.show(incident).steps:
        ana.skip(incident, step.step.id, "Not needed here.")
    ana.close(incident, "A drill.")
    with pytest.raises(RefusedError, match="closed by ana"):
        ben.assign(incident, LEAD)
    second = ben.follow_up(incident, "Ask the vendor")
    assert second.number == 2
    ended = ben.end_follow_up(incident, 1, "Alarm 12 rings.")
    assert (ended.ended_by, ended.outcome) == ("ben", "Alarm 12 rings.")
    for number, said in (
        (1, "was done by ben: Alarm 12 rings."),
        (3, "has no follow-up 3. Its follow-ups: 1, 2"),
    ):
        with pytest.raises(RefusedError, match=said):
            ana.end_follow_up(incident, number, "Once more.")
    for refused in (lambda: ana.follow_up(incident, "\x1b"), lambda: ana.end_follow_up(incident, 2, " ")):
        with pytest.raises(RefusedError):
            refused()
    people = ana.show(incident).people
    assert people.open() == (second,)
    assert [first.stands(day) for day in (date(2026, 12, 1), date(2026, 12, 2))] == ["open", "overdue"]
    assert [one.stands(date(2027, 1, 1)) for one in people.follow_ups] == ["done", "open"]
    actions = [action for action, _, _ in journaled(engine, incident)]
    assert (actions.count(FOLLOW_UP), actions.count(FOLLOW_UP_DONE)) == (2, 1)


def test_what_others_write_into_the_journal_counts_only_if_it_is_what_keydeck_writes(
    engine: Engine, ana: IncidentService, incident: int
) -> None:
    ana.follow_up(incident, "Look again")
    forged = Journal(engine, lambda: HOSTILE)
    name, done = f"INC-{incident}", Outcome.DONE
    for action, detail in (
        (ROLE, {"role": "king", "who": "eve"}),
        (ROLE, {"who": "eve"}),
        (ROLE, ["lead"]),
        (FOLLOW_UP, {"follow_up": 1, "text": "Another of that number"}),
        (FOLLOW_UP, {"follow_up": "x", "text": "No number"}),
        (FOLLOW_UP, {"follow_up": 2, "text": "No day", "due": "tomorrow"}),
        (FOLLOW_UP_DONE, {"follow_up": 9, "outcome": "Not there"}),
    ):
        forged.record(action, name, done, detail)  # type: ignore[arg-type]
    forged.record(ROLE, name, Outcome.REFUSED, {"role": "lead", "who": "eve"})
    forged.record(ROLE, f"{name}0", done, {"role": "lead", "who": "eve"})
    people = ana.show(incident).people
    assert people.roles == ()
    assert [one.text for one in people.follow_ups] == ["Look again"]
    forged.record(ROLE, name, done, {"role": "lead", "who": HOSTILE, "note": HOSTILE})
    held = ana.show(incident).people.roles[0]
    assert_harmless("".join((held.who, held.by, held.note, *ana.handover(incident))))


def test_hostile_text_and_secrets_are_kept_out(engine: Engine, ana: IncidentService) -> None:
    incident = ana.declare("team-key", IncidentScope(key=KEY))
    ana.assign(incident, LEAD, HOSTILE, f"{HOSTILE} {CANARY}")
    ana.assign(incident, LEAD, f"ben {CANARY}", CANARY)
    ana.follow_up(incident, f"{CANARY} {HOSTILE}", CANARY + HOSTILE)
    ana.end_follow_up(incident, 1, f"{CANARY} {HOSTILE}")
    shown = json.dumps(
        [one.as_json() for one in ana.show(incident).people.roles]
        + [one.as_json() for one in ana.show(incident).people.follow_ups],
        ensure_ascii=False,
    )
    for everything in (all_that_is_stored(engine), shown, "".join(ana.handover(incident))):
        assert CANARY not in everything
    assert_harmless(shown)


def test_the_people_of_an_incident_are_found_by_an_index(engine: Engine, incident: int) -> None:
    query = (
        "EXPLAIN SELECT at FROM keydeck.journal WHERE action IN ('incident role', 'incident follow-up', "
        "'incident follow-up done') AND subject IN ('INC-1', 'INC-2') ORDER BY seq DESC LIMIT 2000"
    )
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(connection.execute(text(query)).scalars())
    assert "ix_journal_incident_people" in plan
