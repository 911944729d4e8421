"""A journal whose signed entries are gone begins anew once that is acknowledged; the break stays visible."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_breaks import JournalBreaks
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_verification import break_from
from crypto_core.diagnosis import CheckOutcome
from crypto_core.diagnosis.database import DatabasePlace, look_at_database
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.report.sections.overview import VouchingSection
from crypto_core.incidents.report.service import ReportService
from crypto_core.proof.forms import Checkpoint, checkpoint_in
from crypto_core.values.errors import NotConfirmedError, RefusedError, SettingsError
from tests.crypto_core.agreed import agreed
from tests.crypto_core.database.state.conftest import END_MOVED, fill, new_signer
from tests.crypto_core.incidents.sample import sample

REASON = "A backup of 12:00 was restored."
OTHER_SIGNATURE = "set_byte(signature, 9, get_byte(signature, 9) # 1)"
TRUNCATED = ("DELETE FROM keydeck.journal WHERE seq > 3", END_MOVED)


@pytest.fixture
def breaks(checkpoints: JournalCheckpoints) -> JournalBreaks:
    return JournalBreaks(checkpoints, read_only=False)


def begin_anew(breaks: JournalBreaks) -> Checkpoint:
    plan = breaks.plan_break(REASON)
    result = breaks.acknowledge_break(plan, agreed(plan))
    assert (result.check.problems, result.unjournaled) == ((), "")
    return result.checkpoint


def test_after_entries_went_missing_the_journal_is_signed_again_once_that_is_acknowledged(
    journal: Journal, checkpoints: JournalCheckpoints, breaks: JournalBreaks, forge: Callable[..., None]
) -> None:
    first = checkpoints.checkpoint()
    fill(journal)
    last = checkpoints.checkpoint()
    forge("DELETE FROM keydeck.journal WHERE seq > 8", END_MOVED)
    with pytest.raises(RefusedError, match="Entry 11 is gone") as refused:
        checkpoints.checkpoint()
    assert "keydeck journal break" in refused.value.remedy

    plan = breaks.plan_break(REASON)
    assert (plan.whole_to, plan.confirmation) == (5, "broken after 5")
    assert plan.last == last.entry
    assert plan.lost == (last.entry,)
    (unmatched,) = plan.problems
    assert unmatched.startswith("The checkpoint over entry 11 of")
    assert plan.sentences[0].startswith("Entry 11, signed on ")
    for consent in (
        None,
        Consent.pressed(plan),
        Consent.typed(plan, "broken"),
        agreed(replace(plan, reason="x")),
    ):  # type: ignore[arg-type]
        with pytest.raises(NotConfirmedError):
            breaks.acknowledge_break(plan, consent)
    made = breaks.acknowledge_break(plan, agreed(plan)).checkpoint

    assert made.broken is not None
    assert (made.broken.reason, made.broken.last, made.broken.lost) == (REASON, last.entry, (last.entry,))
    assert made.broken.by.endswith("assumed-role/oncall/ana, database role x")
    check = checkpoints.verify()
    assert (check.problems, check.breaks, check.anchored) == ((), (made,), made.seq)
    assert check.acknowledged == (unmatched, "Entry 11 is not the one that was signed there.")
    fill(journal)
    newer = checkpoints.checkpoint()
    assert newer.broken is None
    again = checkpoints.verify(kept=[first, last, made, newer])
    assert (again.problems, again.anchored, again.breaks) == ((), newer.seq, (made,))
    assert any("Entry 11" in problem for problem in again.acknowledged)
    told = [(e.action, e.outcome) for e in journal.entries() if e.action == "acknowledge journal break"]
    assert [outcome for _, outcome in told] == ["dry run", *["refused"] * 4, "started", "done"]
    (entry,) = [e for e in journal.entries() if '"broken"' in e.detail and e.action == "journal checkpoint"]
    assert checkpoint_in(json.loads(entry.detail)) == made


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "damage",
    [
        ("UPDATE keydeck.journal SET actor = 'x' WHERE seq = 2",),
        ("DELETE FROM keydeck.journal WHERE seq = 2",),
        ("DELETE FROM keydeck.journal",),
        ("DELETE FROM keydeck.journal WHERE seq > 3",),
        ("UPDATE keydeck.journal_end SET database_id = gen_random_uuid()",),
        ("DELETE FROM keydeck.journal_checkpoint",),
        (f"UPDATE keydeck.journal_checkpoint SET signature = {OTHER_SIGNATURE}",),
        TRUNCATED,
    ],
    ids=str,
)
def test_whatever_the_damage_was_the_journal_begins_anew_behind_it(
    journal: Journal,
    checkpoints: JournalCheckpoints,
    breaks: JournalBreaks,
    forge: Callable[..., None],
    damage: tuple[str, ...],
) -> None:
    checkpoints.checkpoint()
    journal.record("rewrap", "last", Outcome.DONE)
    forge(*damage)
    made = begin_anew(breaks)
    assert checkpoints.verify().acknowledged != ()
    assert journal.verify(after=made.seq) is None
    journal.record("rewrap", "later", Outcome.DONE)
    assert checkpoints.checkpoint().seq > made.seq
    check = checkpoints.verify()
    assert (check.problems, check.breaks) == ((), (made,))


LATER = {
    "another entry before the break": "UPDATE keydeck.journal SET subject = 'x' WHERE seq = 1",
    "the same entry, once more": "UPDATE keydeck.journal SET subject = 'y' WHERE seq = 2",
    "an entry is put back": "UPDATE keydeck.journal SET subject = 'token 1' WHERE seq = 2",
    "an earlier checkpoint": "UPDATE keydeck.journal_checkpoint SET actor = 'ben' WHERE broken = ''",
    "the break's reason": "UPDATE keydeck.journal_checkpoint SET broken = replace(broken, 'backup', 'dog')",
    "the break is none": "UPDATE keydeck.journal_checkpoint SET broken = ''",
    "the break is no JSON": "UPDATE keydeck.journal_checkpoint SET broken = '{' WHERE broken <> ''",
    "the break is gone": "DELETE FROM keydeck.journal_checkpoint WHERE broken <> ''",
    "the break's signature": "UPDATE keydeck.journal_checkpoint SET signature = '\\x01' WHERE broken <> ''",
    "an entry behind the break": "UPDATE keydeck.journal SET subject = 'x' WHERE seq = (SELECT max(seq)"
    " FROM keydeck.journal)",
    "its end is gone": "DELETE FROM keydeck.journal WHERE seq = (SELECT max(seq) FROM keydeck.journal)",
}


@pytest.mark.quick(4)
@pytest.mark.parametrize("later", LATER)
def test_only_what_was_acknowledged_counts_as_acknowledged(
    journal: Journal,
    checkpoints: JournalCheckpoints,
    breaks: JournalBreaks,
    forge: Callable[..., None],
    later: str,
) -> None:
    checkpoints.checkpoint()
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    begin_anew(breaks)
    assert checkpoints.verify().whole
    forge(LATER[later])
    check = checkpoints.verify()
    assert check.problems != ()
    if not later.startswith(("an entry behind", "its end")):
        assert check.breaks == ()


def test_a_break_that_somebody_wrote_without_the_key_acknowledges_nothing(
    journal: Journal,
    checkpoints: JournalCheckpoints,
    breaks: JournalBreaks,
    forge: Callable[..., None],
    services: Container,
    sandbox: Sandbox,
) -> None:
    """A thief of the database signs with a key of his own, and moves everything that he may write."""
    thief = new_signer(sandbox, services)
    checkpoints.checkpoint()
    forge(*TRUNCATED, "DELETE FROM keydeck.journal_checkpoint")
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    begin_anew(JournalBreaks(JournalCheckpoints(journal, thief, read_only=False), read_only=False))
    check = checkpoints.verify()
    assert check.breaks == ()
    assert "Entry 2 was changed." in check.problems
    with pytest.raises(RefusedError, match=r"Entry 2 was changed\..* is not signed by a configured key"):
        checkpoints.checkpoint()


def test_a_further_break_acknowledges_what_came_since(
    journal: Journal, checkpoints: JournalCheckpoints, breaks: JournalBreaks, forge: Callable[..., None]
) -> None:
    checkpoints.checkpoint()
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    first = begin_anew(breaks)
    fill(journal)
    lost = checkpoints.checkpoint()
    forge(f"DELETE FROM keydeck.journal WHERE seq > {lost.seq - 2}", END_MOVED)
    assert checkpoints.verify().breaks == (first,)
    second = begin_anew(breaks)
    check = checkpoints.verify(kept=[lost])
    assert (check.problems, check.breaks) == ((), (first, second))
    assert second.broken is not None
    assert second.broken.last == lost.entry


def test_what_was_kept_elsewhere_is_named_by_the_break_or_stays_a_problem(
    journal: Journal, checkpoints: JournalCheckpoints, breaks: JournalBreaks, forge: Callable[..., None]
) -> None:
    kept = checkpoints.checkpoint()
    forge("DELETE FROM keydeck.journal_checkpoint", *TRUNCATED)
    with pytest.raises(RefusedError, match="The journal is whole"):
        breaks.plan_break(REASON)

    def look() -> Any:
        return checkpoints.verify(kept=[kept])

    plan = breaks.plan_break(REASON, look=look)
    assert (plan.lost, plan.last) == ((kept.entry,), kept.entry)
    breaks.acknowledge_break(plan, agreed(plan), look=look)
    assert checkpoints.verify(kept=[kept]).whole
    forged = replace(kept, at=kept.at.replace(year=2020))
    assert not checkpoints.verify(kept=[forged]).whole


def test_what_became_wrong_after_the_plan_is_not_acknowledged(
    checkpoints: JournalCheckpoints, breaks: JournalBreaks, forge: Callable[..., None]
) -> None:
    checkpoints.checkpoint()
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    plan = breaks.plan_break(REASON)
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 3")
    with pytest.raises(RefusedError, match="something else is wrong now"):
        breaks.acknowledge_break(plan, agreed(plan))
    assert checkpoints.verify().breaks == ()


def test_a_break_is_refused_where_it_makes_no_sense(
    journal: Journal,
    signer: KmsSigner,
    checkpoints: JournalCheckpoints,
    breaks: JournalBreaks,
    forge: Callable[..., None],
) -> None:
    checkpoints.checkpoint()
    with pytest.raises(RefusedError, match="The journal is whole"):
        breaks.plan_break(REASON)
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    with pytest.raises(RefusedError, match="takes a reason"):
        breaks.plan_break(" \n")
    unsigned = JournalBreaks(JournalCheckpoints(journal, None, read_only=False), read_only=False)
    with pytest.raises(SettingsError, match="No signing key"):
        unsigned.plan_break(REASON)
    forge(
        "INSERT INTO keydeck.journal SELECT 9000, at, actor, host, action, subject, outcome, detail,"
        " previous, digest, database_role, database_id FROM keydeck.journal WHERE seq = 3"
    )
    with pytest.raises(RefusedError, match="end can't be signed: The journal ends at entry 9000") as caught:
        breaks.plan_break(REASON)
    assert "keydeck doctor" in caught.value.remedy


def test_doctor_and_reports_show_the_break(
    journal: Journal,
    signer: KmsSigner,
    checkpoints: JournalCheckpoints,
    breaks: JournalBreaks,
    forge: Callable[..., None],
    database_url: str,
) -> None:
    whole = sample()

    def vouched() -> tuple[str, str]:
        service = ReportService(
            lambda _, piece: whole.evidence(piece), journal, signer, verified=checkpoints.verify, host="h"
        )
        report = service.signed(whole.view).report
        document = json.loads(service.report(whole.view, "json"))
        return report.section(VouchingSection).journal_state, json.dumps(document)

    def doctor() -> tuple[CheckOutcome, str]:
        place = DatabasePlace(database_url, "DATABASE_URL", "db", read_only=False, signer=signer)
        checks = look_at_database(place, Event())
        found = next(check for check in checks if check.name == "journal")
        return found.outcome, found.said

    checkpoints.checkpoint()
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    assert vouched()[0] == "the chain is broken"
    assert doctor()[0] is CheckOutcome.FAILED
    made = begin_anew(breaks)
    state, document = vouched()
    assert state.startswith(f"the chain is whole from entry {made.seq} on; last entry")
    assert REASON in document
    outcome, said = doctor()
    assert (outcome, REASON in said, "oncall/ana" in said) == (CheckOutcome.WARNING, True, True)
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq > 7")
    assert vouched()[0] == "the chain is broken"
    assert doctor()[0] is CheckOutcome.FAILED


@pytest.mark.parametrize("stored", ["{", "[]", "{}", "[" * 50_000, '{"reason": "\\u001b[31m"}', "null"])
def test_a_break_that_is_none_is_read_as_one_that_holds_nothing(stored: str) -> None:
    found = break_from(stored)
    assert found is not None
    assert (found.contents, found.lost) == (b"", ())
