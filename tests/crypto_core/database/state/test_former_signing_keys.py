"""Former signing keys: what was signed before a key's end counts, what was signed later is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock_now
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_breaks import JournalBreaks
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import SigningTime, digest_of
from crypto_core.incidents.report.service import ReportService
from crypto_core.values.errors import EndedKeyError, RefusedError
from tests.crypto_core.incidents.sample import sample

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Keys:
    """A key that signed until now, and the one that signs from now on."""

    call: Callable[..., object]
    old: str
    new: str
    engine: Engine

    @property
    def before(self) -> KmsSigner:
        """Signs with the old one, as was configured once, or as its thief does."""
        return KmsSigner(self.call, [self.old])  # type: ignore[arg-type]

    def ended(self) -> KmsSigner:
        """What is configured from now on, by the database's clock."""
        with connected(self.engine) as connection:
            return self.ended_at(clock_now(connection))

    def ended_at(self, end: datetime) -> KmsSigner:
        return KmsSigner(self.call, [self.new], {self.old: end})  # type: ignore[arg-type]


@pytest.fixture
def keys(sandbox: Sandbox, services: Container) -> Keys:
    client = sandbox.client("kms")
    old, new = (
        client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
        for _ in range(2)
    )
    return Keys(services.kms.call, old, new, services.engine)


@pytest.fixture
def journal(services: Container) -> Journal:
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE)
    return services.journal


def of(journal: Journal, signer: KmsSigner, *, at: datetime | None = None) -> JournalCheckpoints:
    clock = (lambda: at) if at else (lambda: datetime.now(UTC))
    return JournalCheckpoints(journal, signer, read_only=False, clock=clock)


def test_the_end_counts_and_the_time_that_others_tell(keys: Keys) -> None:
    digest = digest_of("a test", "x")
    signature = keys.before.sign(digest)
    end = datetime(2026, 11, 28, 12, tzinfo=UTC)
    now = keys.ended_at(end)
    assert now.sign(digest).key_arn == keys.new
    assert now.verify(digest, signature, SigningTime(end, "a witness"))
    later = SigningTime(end + timedelta(microseconds=1), "a witness")
    with pytest.raises(EndedKeyError, match=r"ended on 2026-11-28 12:00:00 UTC\..* by a witness") as caught:
        now.verify(digest, signature, later)
    assert keys.old in caught.value.message
    with pytest.raises(EndedKeyError, match="nothing but its own word says when"):
        now.verify(digest, signature)
    # What is no signature of that key is none, whenever it was made.
    assert not now.verify(digest_of("a test", "y"), signature)
    assert now.verify(digest, now.sign(digest))
    # The end counts also if the key is among those that have none.
    twice = KmsSigner(keys.call, [keys.new, keys.old], {keys.old: end})  # type: ignore[arg-type]
    with pytest.raises(EndedKeyError):
        twice.verify(digest, signature, later)


def test_checkpoints_from_before_the_end_anchor_and_later_ones_do_not(journal: Journal, keys: Keys) -> None:
    first = of(journal, keys.before).checkpoint()
    signer = keys.ended()
    assert of(journal, signer).verify().problems == ()
    journal.record("rewrap", "later", Outcome.DONE)
    # Its thief dates it back; the journal has the server's time.
    of(journal, keys.before, at=LONG_AGO).checkpoint()
    check = of(journal, signer).verify()
    (problem,) = check.problems
    assert problem.startswith("The checkpoint over entry 5 of 2020-01-01 00:00:00 UTC does not count.")
    assert "by the journal's entry 6." in problem
    assert check.anchored == first.seq
    # Nothing is signed above it, until somebody acknowledges that.
    with pytest.raises(RefusedError, match="does not count"):
        of(journal, signer).checkpoint()
    breaks = JournalBreaks(of(journal, signer), read_only=False)
    plan = breaks.plan_break("A former key was stolen.")
    breaks.acknowledge_break(plan, Consent.typed(plan, plan.confirmation))
    newest = of(journal, signer).checkpoint()
    check = of(journal, signer).verify()
    assert (check.problems, check.anchored) == ((), newest.seq)


def test_one_kept_elsewhere_that_the_journal_does_not_record_has_its_own_word_alone(
    journal: Journal, keys: Keys
) -> None:
    made = of(journal, keys.before).checkpoint()
    unsigned = replace(made, at=LONG_AGO)
    forged = replace(unsigned, signature=keys.before.sign(unsigned.signed))
    signer = keys.ended()
    assert of(journal, signer).verify(kept=[made]).problems == ()
    (problem,) = of(journal, signer).verify(kept=[forged]).problems
    assert "nothing but its own word says when" in problem


def test_times_in_the_journal_that_go_back_are_told(journal: Journal, forge: Callable[[str], None]) -> None:
    """Or whoever may rewrite its end could put a late signature before a key's end."""
    forge("UPDATE keydeck.journal_end SET at = '2020-01-01Z'")
    assert journal.verify() is None
    entry = replace(journal.entries()[-1], at=LONG_AGO)
    at, digest = LONG_AGO.isoformat(), entry.computed_digest().hex()
    forge(f"UPDATE keydeck.journal SET at = '{at}', digest = '\\x{digest}' WHERE seq = 3")
    assert journal.verify() == "Entry 3 is earlier than the one before it."


def test_a_break_that_a_former_key_acknowledges_after_its_end_is_none(
    journal: Journal, keys: Keys, forge: Callable[[str], None]
) -> None:
    of(journal, keys.before).checkpoint()
    signer = keys.ended()
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 2")
    breaks = JournalBreaks(of(journal, keys.before, at=LONG_AGO), read_only=False)
    plan = breaks.plan_break("Nothing to see here.")
    breaks.acknowledge_break(plan, Consent.typed(plan, plan.confirmation))
    assert of(journal, keys.before).verify().whole
    check = of(journal, signer).verify()
    assert "Entry 2 was changed." in check.problems
    assert check.breaks == ()


def test_a_report_is_dated_by_the_journal_and_not_by_itself(journal: Journal, keys: Keys) -> None:
    whole = sample()

    def reports(signer: KmsSigner, at: datetime, where: Journal = journal) -> ReportService:
        return ReportService(
            lambda _, piece: whole.evidence(piece), where, signer, clock=lambda: at, host="h", version="1"
        )

    made = reports(keys.before, LONG_AGO).report(whole.view, "json")
    entry = journal.entries()[-1]
    assert (entry.action, entry.outcome) == ("incident report", "done")
    signer = keys.ended()
    proved = reports(signer, LONG_AGO).verify(made)
    assert (proved.proved, f"entry {entry.seq}" in proved.signed_by) == (True, True)
    later = reports(keys.before, LONG_AGO + timedelta(days=1)).report(whole.view, "json")
    wrong = reports(signer, LONG_AGO).verify(later).wrong
    assert wrong.startswith("The signature does not count. It is signed by")
    assert f"by the journal's entry {entry.seq + 1}." in wrong

    class Unrecorded(Journal):
        def record(self, *given: object, **more: object) -> None:
            """Nothing, as where a thief makes reports on his own machine."""

    elsewhere = Unrecorded(journal.engine, lambda: "thief")
    stolen = reports(keys.before, LONG_AGO + timedelta(days=2), elsewhere).report(whole.view, "json")
    assert "nothing but its own word" in reports(signer, LONG_AGO).verify(stolen).wrong
