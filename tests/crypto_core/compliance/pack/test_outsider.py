"""The outsider's verifier: what it proves of a pack, what it finds, and what nobody can find."""

from __future__ import annotations

import ast
import inspect
import json
import os
import random
import shutil
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.public_keys import PublicKeys, public_key
from crypto_core.compliance.proof.assembly import MODULES, verifier_source
from crypto_core.database.state.journal_export import export_journal
from crypto_core.database.state.journal_verification import ACTION
from crypto_core.guard.signature import Signature, digest_of
from crypto_core.proof.forms import Anchor, Checkpoint, JournalBreak, SignedEntry, StoredCheckpoint, canonical
from crypto_core.proof.journal import NOT_ANCHORED, JournalContents
from tests.crypto_core.compliance.pack.owned_history import (
    DATABASE,
    Attack,
    History,
    LocalSigner,
    Step,
    attack_of,
    begin_now,
    history_of,
    printed,
    steps_of,
)
from tests.crypto_core.compliance.pack.packing import packing_table
from tests.crypto_core.compliance.proof.assembled import assembled
from tests.crypto_core.database.state.anchors.authority import Authority, certified
from tests.lanes import examples

outsider = assembled()

ATTACKS = 1_000
IN_DEFAULT_LANE = 40
REAL = 4
"""So many of the default lane's attacks, and one of each further forty, are verified with openssl itself; the
others in this process.
"""
SEED = 20_261_129
DAYS = 4

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the verifier asks openssl")

Verify = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def signer() -> LocalSigner:
    return LocalSigner()


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return steps_of(DAYS, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def honest(signer: LocalSigner, steps: list[Step]) -> History:
    return history_of(signer, steps)


@pytest.fixture
def key(tmp_path: Path, signer: LocalSigner) -> Path:
    path = tmp_path / "key.b64"
    path.write_bytes(b64encode(signer.public))
    return path


@pytest.fixture
def verify(key: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    def run(*arguments: object) -> tuple[int, str]:
        try:
            code = outsider.main([*map(str, arguments), "--public-key", str(key)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, signer: LocalSigner) -> Iterator[None]:
    """Signatures are verified by the product's own reader of public keys, without a process for each."""
    ours = PublicKeys([public_key(signer.public, "key")])

    def is_signed(_key: bytes, digest: bytes, algorithm: str, value: bytes) -> bool:
        return ours.verify(digest, Signature("", algorithm, value))

    openssl = outsider.openssl
    with monkeypatch.context() as patch:
        patch.setattr(outsider, "is_signed", is_signed)
        patch.setattr(outsider, "stamped_at", cache(outsider.stamped_at))
        patch.setattr(outsider, "openssl", lambda *a: openssl(*a) if a[0] == "ts" else (True, "OpenSSL"))
        yield


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tsa")
    certified(folder)
    return Authority(folder)


def stamp_of(tsa: Authority) -> Callable[[Checkpoint], bytes]:
    library = pytest.importorskip("rfc3161_client")

    def stamp(checkpoint: Checkpoint) -> bytes:
        request = library.TimestampRequestBuilder().data(Anchor(checkpoint).stamped)
        made: bytes = tsa.stamp(request.hash_algorithm(library.HashAlgorithm.SHA256).build().as_bytes())
        return made

    return stamp


@pytest.fixture(scope="module")
def stamped_history(signer: LocalSigner, tsa: Authority) -> tuple[History, list[Step], Anchor]:
    """A history in which a checkpoint is of now, and that one with its time stamp."""
    steps = steps_of(DAYS, begin_now(2))
    history = history_of(signer, steps)
    return history, steps, Anchor(history.stored[2], stamp_of(tsa)(history.stored[2]))


def test_it_is_one_readable_file_of_keydecks_own_rules_that_needs_the_standard_library_alone() -> None:
    source = verifier_source().decode()
    assert len(source.splitlines()) < 1_900
    assert source.isascii()
    for module in MODULES:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                text = ast.get_source_segment(inspect.getsource(module), node) or ""
                assert text in source, node.name
    tree = ast.parse(source, feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.partition(".")[0]
        for node in imports
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    assert names <= sys.stdlib_module_names


def test_a_pack_is_proved_and_said_up_to_where(verify: Verify, honest: History, tmp_path: Path) -> None:
    pack = honest.pack(tmp_path / "pack")
    kept = honest.stored[2]
    entries, on_the_key = len(honest.entries), "What rests on the signing key alone: "
    (tmp_path / "kept.json").write_bytes(printed(kept))
    code, told = verify(pack, "--checkpoint", tmp_path / "kept.json")
    assert code == 0
    read = f"Read: {entries} entries, {DAYS} checkpoints, 0 time stamps not verified; database {DATABASE}."
    assert f"{DAYS} days with records." in told
    assert f"{read}\nFixed: up to entry {kept.seq}, by kept.json, line 1.\n" in told
    assert f"{on_the_key}5 entries up to entry {entries - 1}." in told
    code, told = verify(pack)
    assert (code, NOT_ANCHORED in told) == (0, True)
    code, told = verify("--journal", pack / "journal.jsonl")
    assert (code, "What nobody signed: 1 entry behind entry 19." in told) == (0, True)
    journal = pack / "journal.jsonl"
    assert verify()[0] == verify(pack, "--journal", journal)[0] == 2
    assert verify("--journal", journal, "--journal", journal)[0] == 2
    assert verify(tmp_path / "none")[0] == 2


@pytest.mark.parametrize("number", range(ATTACKS // IN_DEFAULT_LANE))
@pytest.mark.quick(1, deep=8)
def test_what_an_owner_of_database_and_key_changes_before_a_kept_checkpoint_is_found(
    request: pytest.FixtureRequest,
    honest: History,
    steps: list[Step],
    stamped_history: tuple[History, list[Step], Anchor],
    tsa: Authority,
    tmp_path: Path,
    verify: Verify,
    number: int,
) -> None:
    """Of each the auditor holds one checkpoint, one anchor, or one with its time stamp. What lies behind that
    is found by nobody, and that is said.
    """
    draw = random.Random(SEED + number)
    found: list[tuple[str, bool]] = []
    for attempt in range(IN_DEFAULT_LANE):
        if attempt == (1 if number else REAL):
            request.getfixturevalue("in_process")
        held = draw.choice(("checkpoint", "anchor", "time stamp"))
        kept = tmp_path / "kept"
        if held == "time stamp":
            history, happened, anchor = stamped_history
            options = ("--anchors", kept, "--tsa-certificates", tsa.roots)
        else:
            history, happened, anchor = honest, steps, Anchor(draw.choice(honest.stored))
            options = (f"--{held}{'s' * (held == 'anchor')}", kept)
        checkpoint = anchor.checkpoint
        kept.write_bytes(anchor.line() if held != "checkpoint" else printed(checkpoint))
        attack = attack_of(draw, history, happened)
        pack = attack.history.pack(tmp_path / f"pack-{attempt}")
        code, told = verify(pack, *options)
        reached = touches(attack, checkpoint)
        assert code == int(reached), (attack.name, attack.first, checkpoint.seq, told)
        if not reached:
            assert f"Fixed: up to entry {checkpoint.seq}, " in told
        found.append((attack.name, reached))
        shutil.rmtree(pack)
    assert sum(reached for _, reached in found) > IN_DEFAULT_LANE / 4
    assert len({name for name, reached in found if reached}) > 4


def touches(attack: Attack, kept: Checkpoint) -> bool:
    entries = attack.history.entries
    there = len(entries) >= kept.seq and entries[kept.seq - 1].digest == kept.digest
    assert there == (attack.first > kept.seq)
    return not there


def test_without_anything_kept_a_history_made_anew_is_said_to_rest_on_the_key(
    verify: Verify, in_process: None, honest: History, steps: list[Step], tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    code, told = verify(attack_of(draw, honest, steps).history.pack(tmp_path / "pack"))
    assert (code, NOT_ANCHORED in told, "Fixed" in told) == (0, True, False)


def broken_history(signer: LocalSigner, honest: History, lost: tuple[SignedEntry, ...] = ()) -> History:
    """A history in which an entry was changed, and that was acknowledged."""
    damaged = History(signer, list(honest.entries), list(honest.stored))
    damaged.entries[6] = replace(damaged.entries[6], subject="another")
    last, contents = damaged.entries[-1], JournalContents()
    for one in damaged.entries:
        contents.entry(one)
    stored = [StoredCheckpoint(one, last.actor) for one in damaged.stored]
    broken = JournalBreak("A disk failed.", "ana", (), 5, None, lost, contents.checkpoints(stored))
    drafted = Checkpoint(
        last.seq, last.digest, last.at, Signature("", "", b""), last.database_id or "", broken
    )
    made = replace(drafted, signature=signer.sign(drafted.signed))
    damaged.stored.append(made)
    damaged.enter(last.at, ACTION, "journal", made.as_json())
    return damaged


def test_damage_that_was_acknowledged_is_named_and_one_that_speaks_against_what_was_kept_is_no_proof(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    """Its keepers say why, under their signature; whoever verifies reads that, and judges."""
    path, kept = tmp_path / "journal.jsonl", tmp_path / "kept.json"
    path.write_text(broken_history(signer, honest).journal())
    code, told = verify("--journal", path)
    assert code == 0
    assert "Acknowledged: Entry 7 was changed." in told
    assert "ana: A disk failed." in told
    # Whoever owns database and key names in a break what somebody else has kept.
    lost = replace(honest.stored[1], digest=b"d" * 32)
    lost = replace(lost, signature=signer.sign(lost.signed))
    kept.write_bytes(printed(lost))
    assert verify("--journal", path, "--checkpoint", kept)[0] == 1
    path.write_text(broken_history(signer, honest, (lost.entry,)).journal())
    code, told = verify("--journal", path, "--checkpoint", kept)
    assert (code, "whether to accept it is yours to judge" in told) == (3, True)


def test_a_record_that_is_none_of_the_journals_is_found(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    """Each pack is whole by itself: its owner has sealed it anew."""

    def found(change: Callable[[list[dict[str, Any]]], object]) -> str:
        pack = honest.pack(tmp_path / f"pack-{len(list(tmp_path.iterdir()))}")
        lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
        change(lines)
        (pack / "records.jsonl").write_text("".join(f"{canonical(line)}\n" for line in lines))
        honest.seal(pack)
        code, told = verify(pack)
        assert code == (1 if told.count("Wrong: ") else 0)
        return told

    def edit(line: dict[str, Any], **fields: object) -> None:
        line["document"] = json.dumps(
            json.loads(line["document"]) | fields, sort_keys=True, separators=(",", ":")
        )

    assert "Wrong" not in found(lambda lines: None)
    assert "Wrong: Records 2 to 2 are missing." in found(lambda lines: lines.pop(1))
    assert "Wrong: Record 4 is left out" in found(lambda lines: lines.pop())
    assert "Wrong: Record 1 is left out, which record 2 follows." in found(lambda lines: lines.pop(0))
    after_all = replace(honest, records=[], since="2099-01-01")
    assert "left out" not in verify(after_all.pack(tmp_path / "after all"))[1]
    assert "does not come after" in found(lambda lines: lines.reverse())
    assert "The journal does not name record 5." in found(lambda lines: edit(lines[3], number=5))
    told = found(lambda lines: edit(lines[1], snapshot={"tokens": "0"}))
    assert "Record 2 is not the one that the journal's entry 9 names." in told
    assert "The signature of record 2 is not valid." in told
    assert "Record 3 does not follow the record before it" in found(
        lambda lines: edit(lines[2], previous="0" * 64)
    )
    assert "was made behind entry 3 of the journal, which is another here" in found(
        lambda lines: edit(lines[2], journal={"seq": 3, "digest": "0" * 64})
    )
    assert "Record 3 says 2026-01-01 00:00 UTC, and was written" in found(
        lambda lines: edit(lines[2], taken_at="2026-01-01T00:00:00+00:00")
    )
    assert "is of another database: its id is x" in found(lambda lines: edit(lines[2], database_id="x"))
    assert "records.jsonl, line 3, is no record" in found(lambda lines: edit(lines[2], number=[]))


def test_an_edit_of_any_single_byte_is_found(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    draw, pack = random.Random(SEED), honest.pack(tmp_path / "pack")
    files = sorted(pack.iterdir())
    assert verify(pack)[0] == 0
    unseen = []
    for _ in range(examples(600, quick=30)):
        path = draw.choice(files)
        content = path.read_bytes()
        at = draw.randrange(len(content))
        turned = bytearray(content)
        turned[at] ^= 1 << draw.randrange(7)
        path.write_bytes(turned)
        if verify(pack)[0] == 0:
            unseen.append((path.name, at))
        path.write_bytes(content)
    assert unseen == []


def test_a_signature_is_spelled_in_one_way(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    """Base64 spells a value in several ways where its last letter has bits to spare."""
    pack = honest.pack(tmp_path / "pack")
    path = pack / "signature.json"
    while '="' not in path.read_text():
        honest.seal(pack)
    text = path.read_text()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text.index("=") - 1
    other = text[:last] + letters[letters.index(text[last]) ^ 1] + text[last + 1 :]
    told = [json.loads(one)["signature"]["signature"] for one in (text, other)]
    assert b64decode(told[0]) == b64decode(told[1])
    for changed in (other, text.replace("key_arn", "key_arm"), text.replace("unsigned", "unsigneD")):
        path.write_text(changed)
        assert verify(pack)[0] == 1
    path.write_text(text)
    assert verify(pack)[0] == 0


def test_a_hostile_folder_leads_nowhere_and_writes_nothing_to_the_terminal(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    pack = honest.pack(tmp_path / "pack")
    (tmp_path / "outside").write_text("secret")
    (pack / "\x1b[31mred\u202e").write_text("x")
    (pack / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(pack / "fifo")
    (pack / "folder").mkdir()
    code, told = verify(pack)
    assert code == 1
    assert told.isascii()
    assert "\x1b" not in told
    for name in ("fifo", "folder", "link"):
        assert f"Wrong: {name} is in the folder, and not in the manifest." in told
    assert "Wrong: \\x1b[31mred" in told

    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["files"].append({"path": "../outside", "bytes": 6, "sha256": "0" * 64})
    (pack / "manifest.json").write_text(canonical(manifest) + "\n")
    assert "a file's name leads elsewhere" in verify(pack)[1]
    (pack / "journal.jsonl").unlink()
    (pack / "journal.jsonl").symlink_to("/dev/zero")
    assert verify(pack)[0] == 1
    (pack / "manifest.json").unlink()
    (pack / "manifest.json").symlink_to("/dev/zero")
    assert verify(pack)[0] == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"seq": 1, "seq": 2}',
        b'{"seq": ' + b"9" * 5_000 + b"}",
        b'{"keydeck_journal": 1, "last": {"seq": 20, "digest": ""}, "checkpoints": []}',
        json.dumps({"\x1b[31m": "[/red]\u202e"}).encode(),
        b'"' + b"x" * 10_000_000 + b'"',
    ],
    ids=lambda line: line[:20].hex(),
)
def test_a_line_that_is_none_of_keydecks_is_named_by_its_place(
    verify: Verify, in_process: None, honest: History, tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "journal.jsonl"
    lines = honest.journal().encode().splitlines()
    path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:]]) + b"\n")
    code, told = verify("--journal", path)
    assert (code, told.isascii(), "\x1b" in told) == (1, True, False)
    assert "Wrong: journal.jsonl, line 4, can't be read: this is not what Keydeck writes there." in told
    assert len(told) < 20_000


def signed_by(kind: str, digest: bytes) -> tuple[bytes, str, bytes]:
    """A public key in PEM, KMS's name of the algorithm, and a signature as KMS makes it."""
    algorithm = kind.partition(" ")[0]
    key: Any
    if kind.startswith("ECDSA"):
        curve = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}[algorithm[-3:]]
        key = ec.generate_private_key(curve)
        hashed = {"256": Prehashed(hashes.SHA256()), "384": hashes.SHA384(), "512": hashes.SHA512()}
        value = key.sign(digest, ec.ECDSA(hashed[algorithm[-3:]]))
    elif kind.startswith("RSA"):
        key = rsa.generate_private_key(65537, 2048)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        value = key.sign(digest, pss if "PSS" in kind else padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    elif kind.startswith("ED25519"):
        key = ed25519.Ed25519PrivateKey.generate()
        value = key.sign(digest)
    else:
        mldsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
        key = getattr(mldsa, f"MLDSA{kind[-2:]}PrivateKey").generate()
        value = key.sign(digest)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem, algorithm, value


@pytest.mark.parametrize(
    "kind",
    [
        *("ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512"),
        *("RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256", "ED25519_SHA_512"),
        *("ML_DSA_SHAKE_256 44", "ML_DSA_SHAKE_256 65", "ML_DSA_SHAKE_256 87"),
    ],
)
def test_openssl_verifies_what_kms_signs_by_each_algorithm(kind: str) -> None:
    digest, other = digest_of("a test", "what is signed"), digest_of("a test", "another")
    pem, algorithm, value = signed_by(kind, digest)
    keys = PublicKeys([public_key(pem, "key")])
    assert keys.verify(digest, Signature("", algorithm, value))
    if not outsider.openssl("pkey", "-pubin", "-in", pem, "-noout")[0]:
        pytest.skip("this openssl does not know that algorithm")
    wrong = [
        (other, algorithm, value),
        (digest, algorithm, value[:-1] + bytes([value[-1] ^ 1])),
        (digest, algorithm, b""),
    ]
    if kind.startswith("RSA"):
        wrong.append((digest, "ECDSA_SHA_256", value))
    ask = outsider.asking([outsider.TrustedPem(pem, "key")], "")

    def said(claim: tuple[bytes, str, bytes]) -> object:
        return ask([(claim[0], outsider.Signature("", claim[1], claim[2]), None)])[0]

    assert said((digest, algorithm, value)) == (True, "")
    for claim in wrong:
        assert said(claim) == (False, "")
        assert not keys.verify(claim[0], Signature("", claim[1], claim[2]))


def test_what_cannot_be_checked_is_never_proved(
    verify: Verify, honest: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    text = honest.journal()
    path.write_text(text.replace("ECDSA_SHA_256", "HMAC_SHA_256"))
    code, told = verify("--journal", path)
    # Entries name their checkpoints' algorithm, too: that they were changed is found without any key.
    assert (code, "Not checked: HMAC_SHA_256 is no signature by a public key" in told) == (1, True)
    head, _, rest = text.partition("\n")
    path.write_text(head.replace("ECDSA_SHA_256", "HMAC_SHA_256") + "\n" + rest)
    assert verify("--journal", path)[0] == 1  # the table names another algorithm than the entries
    path.write_text(text)
    with monkeypatch.context() as patch:
        real = outsider.openssl
        libre = "LibreSSL 3.3.6\n"
        patch.setattr(outsider, "openssl", lambda *a: (True, libre) if a == ("version",) else real(*a))
        code, told = verify("--journal", path)
        assert (code, "this is LibreSSL 3.3.6" in told) == (3, True)
        patch.setattr(outsider, "openssl", lambda *a: (False, "unable to load Public Key"))
        assert verify("--journal", path)[0] == 3
    monkeypatch.setenv("PATH", str(tmp_path))
    code, told = verify("--journal", path)
    assert (code, told.startswith("openssl: ")) == (3, True)


def test_a_time_stamp_fixes_history_and_finds_what_is_back_dated(
    verify: Verify, signer: LocalSigner, tsa: Authority, tmp_path: Path
) -> None:
    steps = steps_of(3, begin_now(1))
    stamp, journal = stamp_of(tsa), tmp_path / "journal.jsonl"
    roots = ("--tsa-certificates", tsa.roots)

    def told_of(history: History, *more: object) -> tuple[int, str]:
        journal.write_text(history.journal())
        return verify("--journal", journal, *roots, *more)

    def history(steps: list[Step], stamped_steps: set[int]) -> History:
        made = History(signer)
        for number, step in enumerate(steps):
            made.do(step, stamp if number in stamped_steps else None)
        return made

    whole = history(steps, {9})
    code, told = told_of(whole)
    assert (code, "Fixed: up to entry 9, by a time stamp of 20" in told) == (0, True)
    # An entry that holds a time stamp of today was not written a month ago.
    past = [replace(step, at=step.at - timedelta(days=30)) for step in steps]
    code, told = told_of(history(past, {9}))
    assert (code, "Entry 10 says" in told, "but holds a time stamp of" in told) == (1, True, True)
    # Nor will the entry that is stamped today be written next month.
    future = [replace(step, at=step.at + timedelta(days=30)) for step in steps]
    code, told = told_of(history(future, {9}))
    assert (code, "but a time stamp in entry 10 was made over it at" in told) == (1, True)
    # A kept anchor with its time stamp finds another history, though that is stamped, too.
    anchor = tmp_path / "anchors.jsonl"
    checkpoint = whole.stored[1]
    anchor.write_bytes(Anchor(checkpoint, stamp(checkpoint)).line())
    assert told_of(whole, "--anchors", anchor)[0] == 0
    other = history([*steps[:3], replace(steps[3], subject="whitewashed"), *steps[4:]], {9})
    code, told = told_of(other, "--anchors", anchor)
    assert (code, "It is kept in anchors.jsonl, line 1." in told) == (1, True)
    # A time stamp over something else, or by another authority, is none.
    anchor.write_bytes(Anchor(checkpoint, stamp(whole.stored[0])).line())
    assert "The time stamp is not valid." in told_of(whole, "--anchors", anchor)[1]
    certified(tmp_path)
    journal.write_text(whole.journal())
    code, told = verify("--journal", journal, "--tsa-certificates", tmp_path / "root.pem")
    assert (code, "The time stamp is not valid." in told) == (1, True)


def test_the_time_is_read_from_what_the_authority_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wraps a time stamp may write what he likes around it, such as another time."""
    printed = (
        "Status info:\nStatus: Granted.\nStatus description: x\nTST info:\n"
        "Time stamp: Jan  1 00:00:00 2020 GMT\n\n"
        "TST info:\nVersion: 1\nTime stamp: Nov 29 16:01:45.123 2026 GMT\nAccuracy: 0x01 seconds\n"
    )
    monkeypatch.setattr(outsider, "openssl", lambda *_: (True, printed))
    assert outsider.stamped_at(b"roots", b"stamp", b"x") == datetime(2026, 11, 29, 16, 1, 45, tzinfo=UTC)
    monkeypatch.setattr(outsider, "openssl", lambda *_: (False, "unable to load"))
    assert outsider.stamped_at(b"roots", b"stamp", b"x") == "The time stamp is not valid."


def test_a_pack_over_a_real_journal_is_read_as_keydeck_wrote_it(
    services: Container, sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = packing_table(services, sandbox)
    pack, key = tmp_path / "pack", tmp_path / "key.b64"
    table.write(pack)
    der = services.kms.call("GetPublicKey", KeyId=table.key)["PublicKey"]
    key.write_bytes(b64encode(der))
    assert (pack / "verifier.py").read_bytes() == verifier_source()
    kept = tmp_path / "kept.json"
    kept.write_bytes(printed(table.checkpoints.checkpoint()))
    assert outsider.main(["--public-key", str(key), str(pack)]) == 0
    told = capsys.readouterr().out
    assert "Period: 2026-01-01 to 2026-01-09, made " in told
    assert "8 days with records.\nGaps: 1 day without a record: 2026-01-05." in told
    assert outsider.main(["--public-key", str(key), "--journal", str(pack / "journal.jsonl")]) == 0
    # A checkpoint that was made after the pack is over an entry that the pack hasn't yet.
    journal = ["--public-key", str(key), "--journal", str(pack / "journal.jsonl"), "--checkpoint", str(kept)]
    capsys.readouterr()
    assert outsider.main(journal) == 1
    assert "is gone, at which the journal was signed" in capsys.readouterr().out
    exported = tmp_path / "journal.jsonl"
    export_journal(table.checkpoints, exported)
    journal[3] = str(exported)
    assert outsider.main(journal) == 0
    assert "Fixed: up to entry" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"previous": b"p" * 32}, "Entry 21 does not follow the entry before it."),
        ({"seq": 22}, "Entry 21 is missing: the next one is 22."),
        ({"seq": 20}, "Entry 20 is there more than once."),
        ({"at": datetime(2025, 12, 31, tzinfo=UTC)}, "Entry 21 is earlier than the one before it."),
        ({"database_id": "another"}, f"Entry 21 is of another database: its id is another, and {DATABASE}"),
        ({"database_id": None}, "Entry 21 names no database, though an entry before it does."),
        ({"checked": None}, "Entry 21 does not say whether it was checked, though the one before it does."),
        ({"database_role": None}, "Entry 21 lacks its login or its database"),
        (
            {"action": "journal checkpoint"},
            "Entry 21 (journal checkpoint) is mere text and counts for nothing",
        ),
        ({"action": "evidence purge"}, "Entry 21 (evidence purge) is mere text and counts for nothing"),
    ],
    ids=lambda one: ", ".join(one) if isinstance(one, dict) else "",
)
def test_an_entry_that_does_not_belong_behind_the_one_before_is_found_whatever_its_digest(
    verify: Verify,
    in_process: None,
    signer: LocalSigner,
    honest: History,
    tmp_path: Path,
    changes: dict[str, Any],
    fault: str,
) -> None:
    more = History(signer, list(honest.entries), list(honest.stored))
    more.enter(honest.entries[-1].at, "rewrap", "a token", {})
    drafted = replace(more.entries[-1], **changes)
    more.entries[-1] = replace(drafted, digest=drafted.computed_digest())
    path = tmp_path / "journal.jsonl"
    path.write_text(more.journal())
    code, told = verify("--journal", path)
    wrong = [line for line in told.splitlines() if line.startswith("Wrong: ")]
    assert code == 1
    assert wrong[0].startswith(f"Wrong: {fault}")


def test_a_name_that_stands_twice_is_refused(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    """Another reader may show the first of the two."""
    path = tmp_path / "journal.jsonl"
    lines = honest.journal().splitlines(keepends=True)
    lines[2] = lines[2].replace('"subject": ', '"subject": "another", "subject": ')
    path.write_text("".join(lines))
    code, told = verify("--journal", path)
    assert (code, "line 3, can't be read: this is not what Keydeck writes there" in told) == (1, True)


def test_a_checkpoint_of_another_database_is_found(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    drafted = replace(honest.stored[0], database_id="another")
    kept = tmp_path / "kept.json"
    kept.write_bytes(printed(replace(drafted, signature=signer.sign(drafted.signed))))
    path = tmp_path / "journal.jsonl"
    path.write_text(honest.journal())
    code, told = verify("--journal", path, "--checkpoint", kept)
    assert (code, "is of another database" in told, "is gone" in told) == (1, True, False)


def test_records_whose_documents_the_journal_says_were_taken_away_are_no_gap_and_are_told(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    purge = ("evidence purge", "evidence records 1 to 2", {"first": 1, "last": 2})

    def told_after(days: int) -> tuple[int, str]:
        made = History(signer, list(honest.entries), list(honest.stored), list(honest.records))
        later = honest.entries[8].at + timedelta(days=days)  # so long after record 2
        made.do(Step("evidence record", later, "later"))
        made.records = made.records[2:]
        made.enter(later, *purge)
        return verify(made.pack(tmp_path / f"pack-{days}"))

    code, told = told_after(401)
    assert (code, "Acknowledged: Taken away: 2 records, of 1 to 2." in told) == (0, True)
    # Keydeck keeps documents for 400 days at least: what says otherwise excuses nothing.
    for days in (10, 399):
        code, told = told_after(days)
        assert (code, "Wrong: Record 2 is left out, which record 3 follows." in told) == (1, True)
    # Nor does it where no function of Keydeck's made the entry.
    made = History(signer, list(honest.entries), list(honest.stored), honest.records[2:])
    made.enter(honest.entries[-1].at + timedelta(days=500), *purge)
    drafted = replace(made.entries[-1], checked=False)
    made.entries[-1] = replace(drafted, digest=drafted.computed_digest())
    code, told = verify(made.pack(tmp_path / "alone"))
    assert (code, "(evidence purge) is mere text and counts for nothing" in told) == (1, True)
    assert "Wrong: Record 2 is left out, which record 3 follows." in told
    # Nor from before each entry said whether it was checked, nor where it can't be read.
    begin, far = honest.entries[0].at, honest.entries[-1].at + timedelta(days=500)
    former = History(signer)
    for at in (begin, far):
        former.do(Step("rewrap", at))
        former.do(Step("evidence record", at))
    former.enter(far, *purge[:2], {"first": 1, "last": 1})
    del former.records[0]
    told = verify(former.pack(tmp_path / "former"))[1]
    assert "Wrong: Record 1 is left out, which record 2 follows." in told
    made.entries.pop()
    made.enter(far, *purge[:2], {"first": "garbage"})
    assert "(evidence purge) can't be read: Keydeck did not write it." in verify(made.pack(tmp_path / "x"))[1]


def test_a_record_that_names_an_end_of_the_journal_behind_its_own_entry_is_found(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    pack = honest.pack(tmp_path / "pack")
    lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
    later = honest.entries[-1]
    document = json.loads(lines[1]["document"])
    document["journal"] = {"seq": later.seq, "digest": later.digest.hex()}
    lines[1]["document"] = json.dumps(document, sort_keys=True, separators=(",", ":"))
    (pack / "records.jsonl").write_text("".join(f"{canonical(line)}\n" for line in lines))
    honest.seal(pack)
    assert "Record 2 names an end of the journal that came after its own entry." in verify(pack)[1]
