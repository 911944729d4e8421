"""Checkpoints: a journal whose end is gone, or that was made anew, does not pass for whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.forms import UNREADABLE, Checkpoint, JournalEntry, checkpoint_in
from crypto_core.values.errors import KmsAccessDeniedError, RefusedError, SettingsError
from tests.crypto_core.database.state.conftest import END_MOVED


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    made = sandbox.client("kms").create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")
    return str(made["KeyMetadata"]["Arn"])


@pytest.fixture
def signer(services: Container, key: str) -> KmsSigner:
    return KmsSigner(services.kms.call, [key])


def test_a_checkpoint_anchors_all_before_it_and_is_journaled(
    journal: Journal, checkpoints: JournalCheckpoints, key: str
) -> None:
    made = checkpoints.checkpoint()
    fifth, entry = journal.entries()[4:]
    assert (made.seq, made.digest, made.signature.key_arn) == (5, fifth.digest, key)
    assert (entry.action, entry.outcome) == ("journal checkpoint", "done")
    assert json.loads(entry.detail) == made.as_json()
    check = checkpoints.verify()
    assert (check.whole, check.entries, check.checkpoints) == (True, 6, 1)
    assert (check.anchored, check.anchored_at, check.unchecked) == (5, made.at, "")
    journal.record("rewrap", "later", Outcome.DONE)
    checkpoints.checkpoint()
    again = checkpoints.verify()
    assert (again.anchored, again.checkpoints, again.problems) == (7, 2, ())


@dataclass(frozen=True, slots=True)
class Forgery:
    """Statements, and the beginning of what is then said."""

    statements: tuple[str, ...]
    says: str


_OTHER_SIGNATURE = "set_byte(signature, 3, get_byte(signature, 3) # 1)"
_SECOND = (
    "INSERT INTO keydeck.journal_checkpoint (seq, digest, at, actor, key_arn, algorithm, signature)"
    " SELECT seq - 1, digest, at, actor, key_arn, algorithm, signature FROM keydeck.journal_checkpoint"
)

FORGERIES = {
    "the newest entries are gone": Forgery(
        ("DELETE FROM keydeck.journal WHERE seq >= 4",), "Entry 5 is gone, at which the journal was signed"
    ),
    "the checkpoint's own entry is gone": Forgery(
        ("DELETE FROM keydeck.journal WHERE seq = 6",), "The checkpoint over entry 5 of"
    ),
    "the checkpoint is gone": Forgery(
        ("DELETE FROM keydeck.journal_checkpoint",), "The checkpoint over entry 5 of"
    ),
    "its digest": Forgery(("UPDATE keydeck.journal_checkpoint SET digest = sha256('x')",), "The checkpoint"),
    "its time": Forgery(
        ("UPDATE keydeck.journal_checkpoint SET at = at + interval '1 microsecond'",), "The checkpoint"
    ),
    "its place": Forgery(("UPDATE keydeck.journal_checkpoint SET seq = 4",), "The checkpoint"),
    "its maker": Forgery(("UPDATE keydeck.journal_checkpoint SET actor = 'ben'",), "The checkpoint"),
    "its key": Forgery(("UPDATE keydeck.journal_checkpoint SET key_arn = key_arn || 'x'",), "The checkpoint"),
    "its algorithm": Forgery(
        ("UPDATE keydeck.journal_checkpoint SET algorithm = 'HMAC_SHA_512'",), "The checkpoint"
    ),
    "its signature": Forgery(
        (f"UPDATE keydeck.journal_checkpoint SET signature = {_OTHER_SIGNATURE}",), "The checkpoint"
    ),
    "a second one": Forgery((_SECOND,), "The checkpoint"),
}


def test_what_is_done_to_entries_or_checkpoints_is_found(
    checkpoints: JournalCheckpoints, forge: Callable[..., None]
) -> None:
    checkpoints.checkpoint()
    tables = ("journal", "journal_checkpoint")
    forge(*(f"CREATE TABLE keydeck.kept_{name} AS TABLE keydeck.{name}" for name in tables))
    unseen = {}
    for name, forgery in FORGERIES.items():
        forge(*forgery.statements)
        check = checkpoints.verify()
        if not any(problem.startswith(forgery.says) for problem in check.problems):
            unseen[name] = check.problems
        for table in tables:
            back = f"INSERT INTO keydeck.{table} OVERRIDING SYSTEM VALUE TABLE keydeck.kept_{table}"
            forge(f"DELETE FROM keydeck.{table}", back)
    assert unseen == {}
    assert checkpoints.verify().whole


def made_anew(entries: tuple[JournalEntry, ...], changed: int) -> list[str]:
    """Statements that change an entry and make every digest from there on anew, as a forger would."""
    statements, previous = [], bytes(32)
    for entry in entries:
        actor = "nobody" if entry.seq == changed else entry.actor
        told = {field.name: getattr(entry, field.name) for field in fields(JournalEntry)} | {
            "actor": actor,
            "previous": previous,
        }
        previous = JournalEntry(**told).computed_digest()
        before = told["previous"].hex()
        statements.append(
            f"UPDATE keydeck.journal SET actor = '{actor}', previous = '\\x{before}',"
            f" digest = '\\x{previous.hex()}' WHERE seq = {entry.seq}"
        )
    return statements


def test_a_chain_made_anew_passes_by_itself_and_not_by_its_checkpoint(
    journal: Journal, checkpoints: JournalCheckpoints, forge: Callable[..., None]
) -> None:
    checkpoints.checkpoint()
    forge(*made_anew(journal.entries(), 2))
    assert journal.verify() == "Entry 6 is not the one that was written last."
    forge(END_MOVED)
    assert journal.verify() is None
    check = checkpoints.verify()
    assert check.problems == ("Entry 5 is not the one that was signed there.",)
    assert check.anchored == 0
    with pytest.raises(RefusedError, match="is not the one that was signed there"):
        checkpoints.checkpoint()


def test_one_kept_elsewhere_tells_when_both_were_removed(
    journal: Journal, checkpoints: JournalCheckpoints, forge: Callable[..., None]
) -> None:
    kept = checkpoint_in(json.loads(json.dumps(checkpoints.checkpoint().as_json())))
    forge("DELETE FROM keydeck.journal_checkpoint", "DELETE FROM keydeck.journal WHERE seq > 4")
    cut = "The journal ends at entry 4, but the entry written last is 6."
    assert checkpoints.verify().problems == (cut,)
    forge(END_MOVED)
    assert checkpoints.verify().whole
    assert checkpoints.verify(kept=[kept]).problems[0].startswith("Entry 5 is gone")
    journal.record("rewrap", "in its place", Outcome.DONE)
    assert checkpoints.verify(kept=[kept]).problems == ("Entry 5 is not the one that was signed there.",)


def test_a_broken_or_empty_journal_is_not_signed(
    services: Container, checkpoints: JournalCheckpoints, forge: Callable[..., None], journal: Journal
) -> None:
    forge("UPDATE keydeck.journal SET subject = 'x' WHERE seq = 3")
    with pytest.raises(RefusedError, match="Entry 3 was changed"):
        checkpoints.checkpoint()
    entry = journal.entries()[-1]
    assert (entry.action, entry.outcome) == ("journal checkpoint", "refused")
    assert "Entry 3 was changed" in entry.detail
    forge("DELETE FROM keydeck.journal")
    with pytest.raises(RefusedError, match="The journal ends at entry 0, but the entry written last is 6"):
        checkpoints.checkpoint()


def test_without_a_key_all_works_unanchored_and_says_so(
    services: Container, journal: Journal, checkpoints: JournalCheckpoints
) -> None:
    checkpoints.checkpoint()
    without = JournalCheckpoints(journal, None, read_only=False)
    check = without.verify()
    assert (check.whole, check.anchored, check.failed) == (True, 0, False)
    assert "KEYDECK_SIGNING_KEY" in check.unchecked
    with pytest.raises(SettingsError, match="No signing key") as caught:
        without.checkpoint()
    assert "KEYDECK_SIGNING_KEY" in caught.value.remedy
    assert not without.possible


def test_kms_that_refuses_is_told_apart_from_a_wrong_signature(
    sandbox: Sandbox, journal: Journal, checkpoints: JournalCheckpoints, key: str
) -> None:
    checkpoints.checkpoint()
    sandbox.control.add_denial(Denial("*", "kms:*Mac", key))
    try:
        check = checkpoints.verify()
        assert (check.problems, check.failed, check.anchored) == ((), True, 0)
        assert "kms:VerifyMac" in check.unchecked
        with pytest.raises(KmsAccessDeniedError):
            checkpoints.checkpoint()
    finally:
        sandbox.control.clear()
    entry = journal.entries()[-1]
    assert (entry.action, entry.outcome) == ("journal checkpoint", "failed")


@pytest.mark.parametrize(
    "change",
    [{"seq": "x"}, {"digest": "[/red]"}, {"at": "\x1b[31m"}, {"signature": "é"}, {"at": None}, {"digest": 5}],
)
def test_a_file_that_is_no_checkpoint_is_refused(change: dict[str, Any]) -> None:
    document = {
        "seq": 5,
        "digest": "ab" * 32,
        "at": "2026-11-26T07:00:00.000001+00:00",
        "key_arn": "arn",
        "algorithm": "HMAC_SHA_256",
        "signature": "YWI=",
    }
    assert isinstance(checkpoint_in(document), Checkpoint)
    assert checkpoint_in(document).at.utcoffset() == timedelta(0)
    with pytest.raises(UNREADABLE):
        checkpoint_in(document | change)
    with pytest.raises(UNREADABLE):
        checkpoint_in({})
