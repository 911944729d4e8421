"""The database's id: in every entry and in all that is signed, so that another's is named as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.schema import approval as approvals
from crypto_core.database.schema import journal_checkpoint
from crypto_core.database.state.approval_book import ApprovalBook
from crypto_core.database.state.installation import install
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.report.service import ReportService
from crypto_core.incidents.report.signature import check_report, written
from crypto_core.values.errors import ApprovalNeededError, RefusedError
from tests.crypto_core.database.state.conftest import fill
from tests.crypto_core.incidents.sample import sample
from tests.crypto_core.statements import execute

ANA = "arn:aws:sts::123456789012:assumed-role/oncall/ana"
BEN = "arn:aws:sts::123456789012:assumed-role/oncall/ben"
PLAN = {"does": ["Disable it."]}


@pytest.fixture
def other(empty: Callable[..., Engine]) -> Journal:
    """The journal of another database, with five entries."""
    engine = empty()
    install(engine)
    journal = Journal(engine, lambda: "ana")
    fill(journal)
    return journal


def of(journal: Journal, signer: KmsSigner) -> JournalCheckpoints:
    return JournalCheckpoints(journal, signer, read_only=False)


def named(what: str, found: Journal, expected: Journal) -> str:
    return (
        f"{what} is of another database: its id is {found.database_id()}, and {expected.database_id()} was "
        "expected."
    )


def test_every_entry_holds_the_id_that_the_database_made(journal: Journal, other: Journal) -> None:
    ids = {entry.database_id for entry in journal.entries()}
    assert ids == {journal.database_id()}
    assert UUID(journal.database_id()).version == 4
    assert other.database_id() != journal.database_id()
    assert (journal.verify(), other.verify()) == (None, None)


def test_an_entry_can_neither_lose_nor_change_its_id(journal: Journal, forge: Callable[..., None]) -> None:
    for becomes in ("NULL", "gen_random_uuid()"):
        forge(f"UPDATE keydeck.journal SET database_id = {becomes} WHERE seq = 3")
        assert journal.verify() == "Entry 3 was changed."


def test_the_ids_row_that_was_removed_comes_back_with_the_same_id(
    journal: Journal, superuser: Engine
) -> None:
    before = journal.database_id()
    execute(superuser, "DELETE FROM keydeck.journal_end")
    assert journal.database_id() == ""
    journal.record("rewrap", "later", Outcome.DONE)
    assert (journal.database_id(), journal.verify()) == (before, None)


def test_a_row_that_names_another_id_is_told(journal: Journal, superuser: Engine) -> None:
    was = journal.database_id()
    execute(superuser, "UPDATE keydeck.journal_end SET database_id = gen_random_uuid()")
    now = journal.database_id()
    end = f"The row of the entry written last is of another database: its id is {now}, and {was} was"
    assert (journal.verify() or "").startswith(end)
    journal.record("rewrap", "later", Outcome.DONE)
    assert journal.verify() == (f"Entry 6 is of another database: its id is {now}, and {was} was expected.")


def test_a_checkpoint_of_another_database_is_named(
    journal: Journal, other: Journal, signer: KmsSigner, superuser: Engine
) -> None:
    """Also if it is over an entry of the same number, signed by the same key, and stands in the table."""
    kept = of(other, signer).checkpoint()
    check = of(journal, signer).verify(kept=[kept])
    assert check.problems == (named(_over(kept.seq, str(kept.at)), other, journal),)
    row = {
        "seq": kept.seq,
        "digest": kept.digest,
        "at": kept.at,
        "actor": "ana",
        "key_arn": kept.signature.key_arn,
        "algorithm": kept.signature.algorithm,
        "signature": kept.signature.value,
        "database_id": kept.database_id,
    }
    with superuser.begin() as connection:
        connection.execute(journal_checkpoint.insert().values(row))
    assert named(_over(kept.seq, str(kept.at)), other, journal) in of(journal, signer).verify().problems
    with pytest.raises(RefusedError, match=f"its id is {other.database_id()}, and {journal.database_id()}"):
        of(journal, signer).checkpoint()
    # Without the id, or with the other one, the signature is not over it.
    for database_id in ("", journal.database_id()):
        relabelled = replace(kept, database_id=database_id)
        (problem, *_) = of(other, signer).verify(kept=[relabelled]).problems
        assert "is not signed by a configured key" in problem


def _over(seq: int, at: str) -> str:
    return f"The checkpoint over entry {seq} of {at[:19]} UTC"


def test_a_whole_journal_of_another_database_is_named(
    journal: Journal, other: Journal, signer: KmsSigner
) -> None:
    expected = journal.database_id()
    kept = of(journal, signer).checkpoint()
    check = of(other, signer).verify(database_id=expected, kept=[kept])
    assert check.problems[0] == named("The journal", other, journal)
    assert check.database_id == other.database_id()
    assert named(_over(kept.seq, str(kept.at)), journal, other) in check.problems
    assert of(other, signer).verify(database_id=other.database_id()).whole


def test_a_checkpoint_from_before_there_was_an_id_still_holds(journal: Journal, signer: KmsSigner) -> None:
    last = journal.entries()[-1]
    made = replace(of(journal, signer).checkpoint(), seq=last.seq, digest=last.digest, database_id="")
    old = replace(made, signature=signer.sign(made.signed))
    check = of(journal, signer).verify(kept=[old])
    assert (check.problems, check.anchored) == ((), 5)


def test_an_approval_in_another_database_is_none_here_though_the_tokens_are_the_same(
    services: Container, journal: Journal, other: Journal
) -> None:
    """Or it could be used once in each journal that may be put in the place of the first."""

    def book(who: str, where: Journal) -> ApprovalBook:
        own = Journal(where.engine, lambda: who)
        return ApprovalBook(*(where.engine, own, lambda: who, ("keys disable",)), tokens=services.engine)

    def wanted(where: Journal) -> str:
        with pytest.raises(ApprovalNeededError) as caught:
            book(ANA, where).require("keys disable", "Disable it", "d1", PLAN)
        return str(caught.value)

    wanted(other)
    (waiting,) = book(BEN, other).requests()
    approved = book(BEN, other).decide(waiting, approve=True)
    with other.engine.connect() as connection:
        row = connection.execute(approvals.select()).one()._asdict()
    with services.engine.begin() as connection:
        connection.execute(approvals.insert().values(row))
    copied = book(BEN, journal).read(approved.id)
    assert copied.problem == named("It", other, journal)
    said = wanted(journal)
    assert named(f"The approval of request {approved.id}", other, journal) in said
    book(ANA, other).require("keys disable", "Disable it", "d1", PLAN)


def test_a_report_of_another_database_is_named(journal: Journal, other: Journal, signer: KmsSigner) -> None:
    whole = sample()

    def reports(of_journal: Journal) -> ReportService:
        return ReportService(
            lambda _, piece: whole.evidence(piece), of_journal, signer, host="h", version="1"
        )

    exported = reports(other).report(whole.view, "json")
    proved = reports(other).verify(exported)
    assert (proved.proved, proved.database_id) == (True, other.database_id())
    assert reports(journal).verify(exported).wrong == named("The report", other, journal)
    stripped = json.loads(exported)
    stripped["report"]["database_id"] = journal.database_id()
    assert "changed" in check_report(written(stripped), signer, database_id=journal.database_id()).wrong


def test_a_copy_of_a_database_has_its_id(services: Container, sandbox: Sandbox, journal: Journal) -> None:
    name = f"copy_{uuid4().hex[:12]}"
    original = services.engine.url.database
    services.engine.dispose()
    admin = open_engine(
        make_url(sandbox.superuser_url).set(database="postgres").render_as_string(hide_password=False)
    )
    with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {original}"))
    admin.dispose()
    engine = open_engine(sandbox.postgres.url("operator", name))
    copy = Journal(engine, lambda: "ana")
    assert copy.database_id() == journal.database_id()
    copy.record("rewrap", "in the copy", Outcome.DONE)
    assert copy.verify() is None
    engine.dispose()
