"""What whoever owns the database does to records: found by the book, by a checkpoint, or outside alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.forms import Checkpoint
from crypto_core.values.errors import MissingGrantError
from tests.crypto_core.checked import checked
from tests.crypto_core.compliance.records.recorded import Records, move_clock, records_of, signer_of, tampered

ROW = "UPDATE keydeck.evidence_record SET "
SHA = "digest = sha256(convert_to(document, 'UTF8'))"
EDITED = "document = replace(document, '\"protected\":', '\"protected\":1')"


@dataclass
class Book:
    """Four signed records, each with a checkpoint; the last checkpoint was kept elsewhere, too."""

    records: Records
    services: Container
    superuser: Engine
    kept: Checkpoint

    def problems(self) -> str:
        today = datetime.now(UTC).date()
        there: tuple[EvidenceRecord, ...] = self.records.book.records(today - timedelta(days=9), today)
        return " ".join(self.records.book.check(there).problems)

    def journal_problems(self, *kept: Checkpoint) -> str:
        return " ".join(self.records.checkpoints.verify(kept=kept).problems)


@pytest.fixture
def book(services: Container, superuser: Engine) -> Book:
    records = records_of(services, signer_of(services))
    services.journal.record("init", "schema keydeck", Outcome.DONE)
    made = [records.recorder.record_day() for _ in range(4)]
    kept = made[-1].checkpoint
    assert kept is not None
    return Book(records, services, superuser, kept)


DEEDS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((f"{ROW}{EDITED} WHERE number = 2",), "Record 2 was changed."),
    (
        (f"{ROW}{EDITED} WHERE number = 2", f"{ROW}{SHA} WHERE number = 2"),
        "Record 2 is not the one that the journal's entry 4 names.",
    ),
    ((f"{ROW}document = 'x' WHERE number = 4",), "Record 4 was changed."),
    (
        ("DELETE FROM keydeck.evidence_record WHERE number = 4",),
        "Record 4 is gone: the journal's entry 8",
    ),
    (
        ("DELETE FROM keydeck.evidence_record WHERE number = 2",),
        "Record 2 is gone: the journal's entry 4",
    ),
    (("DELETE FROM keydeck.evidence_record",), "Record 1 is gone: the journal's entry 2 names it."),
    (
        (
            f"{ROW}number = 9 WHERE number = 2",
            f"{ROW}number = 2 WHERE number = 3",
            f"{ROW}number = 3 WHERE number = 9",
        ),
        "Record 2 does not follow the record before it.",
    ),
    (
        (f"{ROW}taken_at = taken_at - interval '3 days' WHERE number = 3",),
        "UTC, by the journal's entry 6.",
    ),
    (
        (f"{ROW}taken_at = taken_at - interval '1 hour' WHERE number = 3",),
        "Record 3 is not the one that is kept.",
    ),
    ((f"{ROW}signature = '\\x00' WHERE number = 3",), "another signature than the journal's entry 6"),
    ((f"{ROW}key_arn = '', signature = '' WHERE number = 3",), "another signature than the journal's"),
    ((f"{ROW}document = NULL WHERE number = 1",), "The document of record 1 was taken away, and the"),
    ((f"{ROW}entry = 1 WHERE number = 3",), "The journal does not name record 3."),
)


def test_each_change_of_the_table_is_found_by_the_book(book: Book) -> None:
    assert book.problems() == ""
    tampered(book.superuser, "CREATE TABLE public.kept AS TABLE keydeck.evidence_record")
    back = ("DELETE FROM keydeck.evidence_record", "INSERT INTO keydeck.evidence_record TABLE public.kept")
    for deeds, told in DEEDS:
        tampered(book.superuser, *back, *deeds)
        assert told in book.problems(), deeds


def test_an_entry_that_names_a_record_that_never_was_is_told_and_holds_nobody_up(book: Book) -> None:
    """The schema's owner alone can write so; no number is gone through one by one."""
    journal = book.services.journal
    for number in (10**15, -3, 2):
        with pytest.raises(MissingGrantError, match="only the function that checks it"):
            journal.record("evidence record", "forged", Outcome.DONE, {"number": number})
        checked(journal, "evidence record", "forged", {"number": number})
    told = book.problems()
    assert f"Record {10**15} is gone: the journal's entry" in told
    assert f"No record from 5 to {10**15 - 1} is there" in told
    assert "Record 2 was made more than once" in told


def test_a_record_dropped_with_its_entries_is_found_by_a_checkpoint_that_is_left(book: Book) -> None:
    """The newest record, all of the journal from its entry on, and the checkpoint in the table."""
    tampered(
        book.superuser,
        "DELETE FROM keydeck.evidence_record WHERE number = 4",
        "DELETE FROM keydeck.journal WHERE seq >= 8",
        "UPDATE keydeck.journal_end SET (seq, digest) ="
        " (SELECT seq, digest FROM keydeck.journal ORDER BY seq DESC LIMIT 1)",
    )
    assert book.problems() == ""
    assert "entry 8" in book.journal_problems()
    tampered(book.superuser, "DELETE FROM keydeck.journal_checkpoint WHERE seq = 8")
    # Everything inside agrees; what was kept elsewhere does not.
    assert (book.problems(), book.journal_problems()) == ("", "")
    assert "8" in book.journal_problems(book.kept)


def test_a_record_made_later_for_an_earlier_day_says_when_it_was_written(book: Book) -> None:
    """By whoever owns the database, signs, and has PostgreSQL tell another time meanwhile."""
    move_clock(book.superuser, "-2 days")
    with book.superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.journal_end SET at = at - interval '2 days'"))
    with time_machine.travel(datetime.now(UTC) - timedelta(days=2)):
        book.records.recorder.record_day()
    assert "is earlier than the one before it" in book.journal_problems()


def test_a_chain_made_anew_with_its_journal_shows_at_what_was_kept_elsewhere(book: Book) -> None:
    """Whoever has the database and the signing key makes everything anew, from the beginning on."""
    tampered(
        book.superuser,
        *(
            f"DELETE FROM keydeck.{name}"
            for name in ("evidence_record", "journal", "journal_checkpoint", "journal_end")
        ),
    )
    for _ in range(5):
        book.records.recorder.record_day()
    assert (book.problems(), book.journal_problems()) == ("", "")
    assert str(book.kept.seq) in book.journal_problems(book.kept)
