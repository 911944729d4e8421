"""Anchors outside: a journal that was rewritten whole, with the signing key, is found out by them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.state.anchors import time_stamps
from crypto_core.database.state.anchors.append_file import AnchorFile, kept_in, read_anchors
from crypto_core.database.state.anchors.bucket import AnchorBucket
from crypto_core.database.state.anchors.checkpoint_anchors import LARGEST_ANCHOR, Anchoring, anchor_of
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_breaks import JournalBreaks
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.consent import Consent
from crypto_core.guard.signature import Signature
from crypto_core.lists.new_files import ExportError
from crypto_core.proof.forms import Anchor, Checkpoint, JournalBreak, SignedEntry
from crypto_core.values.clean_text import NO_TEXT
from crypto_core.values.errors import AbsentAnchorsError, AnchorError, KeydeckError, KmsError, RefusedError
from tests.crypto_core.database.state.anchors.authority import Authority, authority
from tests.crypto_core.database.state.conftest import END_MOVED, fill

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the time stamps")


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path / "tsa") as one:
        yield one


def of(journal: Journal, signer: KmsSigner, anchoring: Anchoring | None = None) -> JournalCheckpoints:
    return JournalCheckpoints(journal, signer, read_only=False, anchoring=anchoring)


@pytest.fixture
def rewritten(forge: Callable[..., None], journal: Journal, signer: KmsSigner) -> Callable[[], None]:
    """Makes the whole journal anew, as who owns the database and has the signing key."""

    def rewrite() -> None:
        forge(
            "DELETE FROM keydeck.journal",
            "DELETE FROM keydeck.journal_checkpoint",
            "UPDATE keydeck.journal_end SET seq = 0, digest = decode(repeat('00', 32), 'hex')",
        )
        fill(journal, 8, "another history")
        of(journal, signer).checkpoint()

    return rewrite


@dataclass
class Bucket:
    """A bucket with Object Lock, and what anchors in it."""

    s3: Any
    name: str
    store: AnchorBucket


@pytest.fixture
def bucket(sandbox: Sandbox, services: Container, request: pytest.FixtureRequest) -> Bucket:
    s3 = sandbox.client("s3")
    name = f"anchors-{abs(hash(request.node.nodeid)) % 10**12}-{os.getpid()}"
    where = {"LocationConstraint": services.kms.regions[0]}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    return Bucket(s3, name, store_of(services, name))


def store_of(services: Container, name: str, prefix: str = "prod/") -> AnchorBucket:
    region = services.kms.regions[0]

    def read(operation: str, **parameters: Any) -> Any:
        return services.kms.read("s3", operation, region=region, **parameters)

    def write(operation: str, **parameters: Any) -> Any:
        return services.kms.write("s3", operation, region=region, **parameters)

    return AnchorBucket(read, write, bucket=name, prefix=prefix, days=30)


def some(seq: int = 5) -> Anchor:
    at = datetime(2026, 11, 28, 12, tzinfo=UTC)
    return Anchor(Checkpoint(seq, b"d" * 32, at, Signature("arn", "ECDSA_SHA_256", b"s"), "id"))


def test_a_file_that_was_appended_to_finds_a_journal_that_was_rewritten_whole(
    journal: Journal, signer: KmsSigner, rewritten: Callable[[], None], tmp_path: Path
) -> None:
    file = tmp_path / "anchors.jsonl"
    checkpoints = of(journal, signer, Anchoring(stores=[AnchorFile(file)]))
    assert checkpoints.verify().whole  # before the first one
    made, _, outcomes = checkpoints.anchored_checkpoint()
    assert [(one.where, one.error) for one in outcomes] == [(str(file), "")]
    checkpoints.checkpoint()
    check = checkpoints.verify()
    assert (check.problems, [one.seq for one in check.outside]) == ((), [5, 6])
    assert check.outside[0].where == (f"{file}, line 1",)
    assert file.stat().st_mode & 0o777 == 0o600

    rewritten()
    assert of(journal, signer).verify().problems == ()
    check = checkpoints.verify()
    assert check.problems == (
        f"Entry 5 is not the one that was signed there. It is kept in {file}, line 1.",
        f"Entry 6 is not the one that was signed there. It is kept in {file}, line 2.",
    )
    assert made.entry in check.lost


def test_a_truncated_journal_is_found_by_its_anchor(
    journal: Journal, signer: KmsSigner, forge: Callable[..., None], tmp_path: Path
) -> None:
    checkpoints = of(journal, signer, Anchoring(stores=[AnchorFile(tmp_path / "anchors")]))
    made = checkpoints.checkpoint()
    forge("DELETE FROM keydeck.journal WHERE seq > 3", "DELETE FROM keydeck.journal_checkpoint", END_MOVED)
    (problem,) = checkpoints.verify().problems
    assert problem.startswith(f"Entry {made.seq} is gone, at which the journal was signed on")
    breaks = JournalBreaks(checkpoints, read_only=False)
    plan = breaks.plan_break("A backup was restored.")
    result = breaks.acknowledge_break(plan, Consent.typed(plan, plan.confirmation))
    assert (plan.lost, result.check.problems) == ((made.entry,), ())
    assert checkpoints.verify().whole


def test_anchors_that_vanished_are_told(journal: Journal, signer: KmsSigner, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    checkpoints = of(journal, signer, Anchoring(stores=[AnchorFile(file)]))
    checkpoints.checkpoint()
    file.unlink()
    assert checkpoints.verify().problems == (f"{file} is gone, where checkpoints were anchored.",)


def test_an_anchor_that_nobody_signed_is_told_and_fixes_nothing(
    journal: Journal, signer: KmsSigner, tmp_path: Path
) -> None:
    file = tmp_path / "anchors"
    store = AnchorFile(file)
    checkpoints = of(journal, signer, Anchoring(stores=[store]))
    entry = journal.entries()[-1]
    store.keep(replace(some(), checkpoint=replace(some().checkpoint, digest=entry.digest, database_id="")))
    check = checkpoints.verify()
    assert check.outside == ()
    assert any("is not signed by a configured key" in problem for problem in check.problems)


def test_a_file_keeps_whole_lines_and_follows_no_link_of_others(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    store = AnchorFile(file)
    with pytest.raises(AbsentAnchorsError):
        list(store.read())
    store.keep(some(1))
    with file.open("ab") as cut:
        cut.write(b'{"keydeck_anchor": 1, "chec')
    store.keep(some(2))
    with file.open("ab") as more:
        more.write(b"\n[" + b"[" * 100_000 + b"\n\xff\n{}\n" + b"x" * 400_000 + b"\n")
    found = list(store.read())
    assert [one.checkpoint.seq for one in found if isinstance(one, Anchor)] == [1, 2]
    assert found[1] == f"{file}, line 2 is not an anchor of the journal, nor a checkpoint."
    assert sum(isinstance(one, str) for one in found) >= 4

    (tmp_path / "own-link").symlink_to(file)
    AnchorFile(tmp_path / "own-link").keep(some(3))
    assert file.read_bytes().endswith(some(3).line())
    if os.geteuid() == 0:
        link = tmp_path / "their-link"
        link.symlink_to(file)
        os.chown(link, 65534, 65534, follow_symlinks=False)
        with pytest.raises(ExportError, match="belongs to somebody else"):
            AnchorFile(link).keep(some(4))
        theirs = tmp_path / "theirs"
        theirs.touch()
        os.chown(theirs, 65534, 65534)
        with pytest.raises(AnchorError, match="not a plain file of yours"):
            AnchorFile(theirs).keep(some(4))
    os.mkfifo(tmp_path / "fifo")
    for other in ("fifo", ".", "missing/anchors"):
        with pytest.raises(AnchorError):
            AnchorFile(tmp_path / other).keep(some(4))
    assert some(4).line() not in file.read_bytes()


def test_a_bucket_with_object_lock_finds_a_rewritten_journal_whatever_is_put_above(
    journal: Journal, signer: KmsSigner, rewritten: Callable[[], None], bucket: Bucket
) -> None:
    checkpoints = of(journal, signer, Anchoring(stores=[bucket.store]))
    _, _, outcomes = checkpoints.anchored_checkpoint()
    assert [(one.where, one.error) for one in outcomes] == [(f"s3://{bucket.name}/prod/", "")]
    (held,) = bucket.s3.list_object_versions(Bucket=bucket.name)["Versions"]
    key, version = held["Key"], held["VersionId"]
    locked = bucket.s3.head_object(Bucket=bucket.name, Key=key)
    assert locked["ObjectLockMode"] == "COMPLIANCE"
    assert locked["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.s3.delete_object(Bucket=bucket.name, Key=key, VersionId=version)
    assert [one.seq for one in checkpoints.verify().outside] == [5]

    rewritten()
    bucket.s3.delete_object(Bucket=bucket.name, Key=key)  # a delete marker hides it from who lists objects
    assert "Contents" not in bucket.s3.list_objects_v2(Bucket=bucket.name)
    place = f"s3://{bucket.name}/{key}"
    found = f"Entry 5 is not the one that was signed there. It is kept in {place}."
    assert checkpoints.verify().problems == (found,)
    bucket.s3.put_object(Bucket=bucket.name, Key=key, Body=b"[" * 300_000)
    told = checkpoints.verify().problems
    assert found in told
    assert f"{place} is not an anchor of the journal, nor a checkpoint." in told


def test_a_bucket_that_locks_nothing_or_is_not_there_anchors_nothing(
    journal: Journal, signer: KmsSigner, services: Container, sandbox: Sandbox, bucket: Bucket
) -> None:
    plain = f"{bucket.name}-plain"
    where = {"LocationConstraint": services.kms.regions[0]}
    sandbox.client("s3").create_bucket(Bucket=plain, CreateBucketConfiguration=where)
    with pytest.raises(KeydeckError):
        store_of(services, plain).keep(some())
    missing = store_of(services, f"{bucket.name}-missing")
    with pytest.raises(KmsError):
        missing.keep(some())
    made, _, outcomes = of(journal, signer, Anchoring(stores=[missing])).anchored_checkpoint()
    assert outcomes[0].error != ""
    check = of(journal, signer, Anchoring(stores=[missing])).verify()
    assert (check.checkpoints, check.anchored) == (1, made.seq)
    assert check.problems[0].startswith(f"s3://{bucket.name}-missing/prod/: ")


@needs_openssl
def test_a_time_stamp_fixes_the_journal_by_the_authoritys_clock(
    journal: Journal, signer: KmsSigner, tsa: Authority, rewritten: Callable[[], None], tmp_path: Path
) -> None:
    roots = time_stamps.read_roots(tsa.roots)
    file = AnchorFile(tmp_path / "anchors")
    anchoring = Anchoring(time_stamps.TimeStampAuthority(tsa.url, roots), [file], roots)
    before = datetime.now(UTC).replace(microsecond=0)
    checkpoints = JournalCheckpoints(
        *(journal, signer),
        read_only=False,
        clock=lambda: datetime(2020, 1, 1, tzinfo=UTC),
        anchoring=anchoring,
    )
    made, stamp, outcomes = checkpoints.anchored_checkpoint()
    assert [one.error for one in outcomes] == ["", ""]
    (one,) = checkpoints.verify().outside
    assert (one.seq, len(one.where)) == (5, 1)
    assert one.stamped_at is not None
    assert before <= one.stamped_at <= datetime.now(UTC) + timedelta(seconds=2)
    assert roots.time_of(stamp, Anchor(made).stamped) == outcomes[0].at == one.stamped_at
    # Nothing of the journal is sent, not even the digest that is signed.
    assert made.digest not in tsa.asked[0]
    assert Anchor(made).stamped not in tsa.asked[0]
    # The journal keeps it too; without certificates it is not verified, which is said.
    bare = of(journal, signer).verify()
    assert (bare.outside, bare.stamps_unverified) == ((), 1)
    alone = of(journal, signer, Anchoring(roots=roots)).verify()
    assert [(one.seq, one.where) for one in alone.outside] == [(5, ())]

    rewritten()
    assert checkpoints.verify().problems[0].startswith("Entry 5 is not the one that was signed there.")


@needs_openssl
def test_a_time_stamp_over_something_else_does_not_count(
    journal: Journal, signer: KmsSigner, tsa: Authority, tmp_path: Path
) -> None:
    roots = time_stamps.read_roots(tsa.roots)
    anchoring = Anchoring(time_stamps.TimeStampAuthority(tsa.url, roots), (), roots)
    checkpoints = of(journal, signer, anchoring)
    _, stamp, _ = checkpoints.anchored_checkpoint()
    second = checkpoints.checkpoint()
    (problem,) = checkpoints.verify(anchors=[Anchor(second, stamp)]).problems
    assert "has a time stamp in" in problem
    assert "does not count" in problem
    with authority(tmp_path / "another") as other:
        strange = time_stamps.read_roots(other.roots)
    for given, by in (
        (stamp, strange),
        (stamp[:-1], roots),
        (b"", roots),
        (b"x" * (time_stamps.LARGEST_ANSWER + 1), roots),
    ):
        with pytest.raises(AnchorError):
            by.time_of(given, Anchor(second).stamped)


@needs_openssl
def test_an_end_of_a_former_key_is_judged_by_the_time_stamp(
    sandbox: Sandbox,
    services: Container,
    journal: Journal,
    signer: KmsSigner,
    tsa: Authority,
    forge: Callable[..., None],
) -> None:
    """It vouches for a checkpoint that the journal does not record any more."""
    roots = time_stamps.read_roots(tsa.roots)
    checkpoints = of(journal, signer, Anchoring(time_stamps.TimeStampAuthority(tsa.url, roots), (), roots))
    made, stamp, outcomes = checkpoints.anchored_checkpoint()
    assert outcomes[0].at is not None
    forge("DELETE FROM keydeck.journal WHERE seq > 5", "DELETE FROM keydeck.journal_checkpoint")
    new = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"][
        "Arn"
    ]
    for seconds, counts in ((0, True), (-1, False)):
        end = outcomes[0].at + timedelta(seconds=seconds)
        former = KmsSigner(services.kms.call, [new], {made.signature.key_arn: end})
        check = of(journal, former, Anchoring(roots=roots)).verify(anchors=[Anchor(made, stamp)])
        assert (check.anchored == 5) is counts
        assert any("by a time stamp" in problem for problem in check.problems) is not counts


@needs_openssl
@pytest.mark.parametrize(
    "answers",
    [
        {"instead": b"x" * (time_stamps.LARGEST_ANSWER + 1)},
        {"instead": b"\x1b[31m[/red]"},
        {"instead": b""},
        {"kind": "text/html\x1b"[:9]},
        {"status": 500},
        {"status": 302},
    ],
    ids=str,
)
def test_what_an_authority_answers_is_bounded_and_checked(tsa: Authority, answers: dict[str, Any]) -> None:
    for name, value in answers.items():
        setattr(tsa, name, value)
    with pytest.raises(AnchorError) as caught:
        time_stamps.TimeStampAuthority(tsa.url, time_stamps.read_roots(tsa.roots)).stamp(b"m" * 32)
    assert caught.value.message.isprintable()


@needs_openssl
def test_an_answer_of_before_is_not_taken_for_this_one(tsa: Authority) -> None:
    authority_ = time_stamps.TimeStampAuthority(tsa.url, time_stamps.read_roots(tsa.roots))
    tsa.instead, _ = authority_.stamp(b"m" * 32)
    with pytest.raises(AnchorError, match="Nonce"):
        authority_.stamp(b"m" * 32)


def test_an_authority_that_is_not_there_leaves_the_checkpoint(journal: Journal, signer: KmsSigner) -> None:
    nobody = time_stamps.TimeStampAuthority(
        "http://127.0.0.1:9/tsr", time_stamps.TimeStampRoots(()), seconds=5
    )
    made, stamp, outcomes = of(journal, signer, Anchoring(nobody)).anchored_checkpoint()
    assert (stamp, len(outcomes), outcomes[0].error != "") == (b"", 1, True)
    assert of(journal, signer).verify().anchored == made.seq
    told = json.loads(journal.entries()[-1].detail)["anchors"]
    assert told[0]["error"] == outcomes[0].error


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"7", b'{"checkpoint": 7}', b"\xff", b"[" * 90_000])
def test_what_is_no_anchor_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedError, match="not an anchor"):
        anchor_of(line, NO_TEXT)
    assert anchor_of(some().line(), NO_TEXT) == some()


def test_a_checkpoint_with_a_large_break_is_read_as_it_is_printed(tmp_path: Path) -> None:
    file, one = tmp_path / "checkpoint.json", some()
    lost = tuple(SignedEntry(n, b"d" * 32, one.checkpoint.at) for n in range(1_000))
    problems = tuple(f"Entry {n} is not there." for n in range(1_000))
    broken = JournalBreak("Restored.", "ana", problems, 0, None, lost, b"c" * 32)
    kept = replace(one, checkpoint=replace(one.checkpoint, broken=broken))
    file.write_text(json.dumps(kept.as_json(), indent=4))
    assert file.stat().st_size > LARGEST_ANCHOR > len(kept.line())
    assert [isinstance(found, Anchor) for found in kept_in(file)] == [True]


def test_a_file_of_anchors_is_read_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "anchors"
    file.write_bytes(some(1).line() * 3)
    monkeypatch.setattr("crypto_core.database.state.anchors.append_file.MOST_BYTES", len(some(1).line()) * 2)
    assert [isinstance(one, Anchor) for one in read_anchors(file)] == [True, True, False]
    *_, told = kept_in(file)
    assert told == f"{file.name} was read in part only: it is too large."
