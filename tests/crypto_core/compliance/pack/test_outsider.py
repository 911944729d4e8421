"""The outsider's verifier: what it proves of a pack, what it finds, and what nobody can find."""

from __future__ import annotations

import ast
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
from crypto_core.compliance.pack import outsider
from crypto_core.database.state.anchors.anchor import stamped
from crypto_core.database.state.checkpoint import ACTION
from crypto_core.database.state.journal_export import export_journal, exported_journal
from crypto_core.errors import RefusedError
from crypto_core.guard.signature import Signature, digest_of
from crypto_core.proof.assembly import verifier_source
from crypto_core.proof.forms import Anchor, Checkpoint, JournalBreak
from crypto_core.proof.journal import JournalVerification
from crypto_core.text.cleaning import clean
from tests.crypto_core.compliance.pack.owned_history import (
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
from tests.crypto_core.database.state.anchors.authority import Authority, certified
from tests.lanes import examples

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
    """Runs the verifier as a command does; returns its exit code and what it prints."""

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

    def is_signed(_keys: object, claim: Any) -> bool | None:
        return claim and ours.verify(claim[0], Signature("", claim[1], claim[2]))

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
        request = library.TimestampRequestBuilder().data(stamped(checkpoint))
        made: bytes = tsa.stamp(request.hash_algorithm(library.HashAlgorithm.SHA256).build().as_bytes())
        return made

    return stamp


@pytest.fixture(scope="module")
def stamped_history(signer: LocalSigner, tsa: Authority) -> tuple[History, list[Step], Anchor]:
    """A history in which a checkpoint is of now, and that one with its time stamp."""
    steps = steps_of(DAYS, begin_now(2))
    history = history_of(signer, steps)
    return history, steps, Anchor(history.stored[2], stamp_of(tsa)(history.stored[2]))


def test_it_is_one_readable_file_that_needs_the_standard_library_alone(tmp_path: Path) -> None:
    source = verifier_source().decode()
    assert len(source.splitlines()) < 300
    assert source.isascii()
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
    entries, on_the_key = len(honest.entries), "entries behind it rest on the signing key alone."
    stamps = sum("time_stamp" in one.detail for one in honest.entries)
    (tmp_path / "kept.json").write_bytes(printed(kept))
    code, told = verify(pack, "--checkpoint", tmp_path / "kept.json")
    assert code == 0
    assert told == (
        f"Read: {entries} entries, {DAYS} records, {1 + 2 * DAYS} signatures; "
        f"0 of {stamps} time stamps were verified.\n"
        f"Fixed: up to entry {kept.seq}, by kept.json, line 1: the checkpoint over entry {kept.seq} of "
        f"{kept.at:%Y-%m-%d %H:%M:%S} UTC; {entries - kept.seq} {on_the_key}\n"
    )
    code, told = verify(pack)
    assert code == 0
    assert told.endswith(f"\nFixed: up to entry 0, by nothing kept; {entries} {on_the_key}\n")
    code, told = verify("--journal", pack / "journal.jsonl")
    assert (code, "0 records" in told) == (0, True)
    assert verify()[0] == verify(pack, "--journal", pack / "journal.jsonl")[0] == 2
    assert verify(tmp_path / "none")[0] == 2


@pytest.mark.parametrize("number", range(ATTACKS // IN_DEFAULT_LANE))
@pytest.mark.quick(1)
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
            behind = len(attack.history.entries) - checkpoint.seq
            assert f"Fixed: up to entry {checkpoint.seq}, " in told
            assert f"; {behind} entries behind it rest on the signing key alone." in told
        found.append((attack.name, reached))
        shutil.rmtree(pack)
    assert sum(reached for _, reached in found) > IN_DEFAULT_LANE / 4
    assert len({name for name, reached in found if reached}) > 4


def touches(attack: Attack, kept: Checkpoint) -> bool:
    """Whether an attack changed anything that a checkpoint is over."""
    entries = attack.history.entries
    there = len(entries) >= kept.seq and entries[kept.seq - 1].digest == kept.digest
    assert there == (attack.first > kept.seq)
    return not there


def test_without_anything_kept_a_history_made_anew_is_said_to_rest_on_the_key(
    verify: Verify, in_process: None, honest: History, steps: list[Step], tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    code, told = verify(attack_of(draw, honest, steps).history.pack(tmp_path / "pack"))
    assert (code, "up to entry 0, by nothing kept" in told) == (0, True)


def changes_of(draw: random.Random, lines: list[str]) -> list[str]:
    """A journal as somebody without the key changed it: one field, one line, or the order."""
    changed = list(lines)
    place = draw.randrange(len(lines))
    kind = draw.choice(("field", "field", "field", "line", "swap", "twice", "checkpoint"))
    document = json.loads(lines[place])
    if kind == "line":
        del changed[place or 1]
    elif kind == "twice":
        changed.insert(place + 1, lines[place or 1])
    elif kind == "swap":
        other = draw.randrange(1, len(lines))
        changed[place or 1], changed[other] = changed[other], changed[place or 1]
    elif kind == "checkpoint" or place == 0:
        document = json.loads(lines[0])
        one = draw.choice(document["checkpoints"])
        name = draw.choice(("seq", "digest", "at", "database_id", "signature", "algorithm"))
        other = draw.choice([each for each in document["checkpoints"] if each is not one])
        one[name] = (
            "ECDSA_SHA_384"
            if name == "algorithm"
            else f"{DATABASE_ELSEWHERE}"
            if name == "database_id"
            else other[name]
        )
        changed[0] = json.dumps(document)
    else:
        name = draw.choice(sorted(document))
        value = document[name]
        other = _other_text(draw, value) if isinstance(value, str) else value is None or value + 1
        document[name] = other
        changed[place] = json.dumps(document)
    return changed if changed != lines else changes_of(draw, lines)


DATABASE_ELSEWHERE = "00000000-0000-4000-8000-000000000002"


def _other_text(draw: random.Random, value: str) -> str:
    """Another text of the same form: a digest stays hex, a time a time."""
    if len(value) == 64 or value[:2] == "20":
        at = draw.randrange(11, 19) if value[:2] == "20" else draw.randrange(64)
        digit = "0" if value[at] in ":T" else str((int(value[at], 16) + 1) % 3)
        return value if value[at] in ":T" else value[:at] + digit + value[at + 1 :]
    return value + draw.choice((" ", "x", "é"))


def keydeck_finds(path: Path, signer: LocalSigner) -> bool:
    """Whether Keydeck's own verification of an export names a problem."""
    try:
        with exported_journal(path) as journal:
            verification = JournalVerification(journal.last, journal.stored)
            verification.follow(journal.entries)
    except RefusedError:
        return True
    return not verification.check(PublicKeys([public_key(signer.public, "key")])).whole


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", range(4))
def test_it_agrees_with_keydecks_own_verification(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path, number: int
) -> None:
    draw, lines = random.Random(SEED + number), honest.journal().splitlines()
    path = tmp_path / "journal.jsonl"
    path.write_text(honest.journal())
    assert (verify("--journal", path)[0], keydeck_finds(path, signer)) == (0, False)
    for _ in range(40):
        changed = changes_of(draw, lines)
        path.write_text("".join(f"{line}\n" for line in changed))
        theirs = keydeck_finds(path, signer)
        code, told = verify("--journal", path)
        difference = [(one, two) for one, two in zip(lines, changed, strict=False) if one != two][:1]
        assert (code == 1) == theirs, (difference, told)


def test_damage_that_was_acknowledged_is_damage_still(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    """Its keepers say why, under their signature; whoever verifies reads that, and judges."""
    damaged = History(signer, list(honest.entries), list(honest.stored))
    damaged.entries[6] = replace(damaged.entries[6], subject="another")
    last = damaged.entries[-1]
    broken = JournalBreak(clean("A disk failed."), clean("ana"), (), 5, None, (), b"c" * 32)
    drafted = Checkpoint(
        last.seq, last.digest, last.at, Signature("", "", b""), last.database_id or "", broken
    )
    made = replace(drafted, signature=signer.sign(drafted.signed))
    damaged.stored.append(made)
    damaged.enter(last.at, ACTION, "journal", made.as_json())
    path = tmp_path / "journal.jsonl"
    path.write_text(damaged.journal())
    code, told = verify("--journal", path)
    assert code == 1
    assert "Wrong: journal.jsonl, line 8: entry 7: it was changed." in told
    assert "Acknowledged: " in told
    assert "ana: A disk failed." in told


def test_a_record_that_is_none_of_the_journals_is_found(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    """Each pack is whole by itself: its owner has sealed it anew."""

    def found(change: Callable[[list[dict[str, Any]]], object]) -> str:
        pack = honest.pack(tmp_path / f"pack-{len(list(tmp_path.iterdir()))}")
        lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
        change(lines)
        (pack / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        honest.seal(pack)
        code, told = verify(pack)
        assert code == (1 if told.count("Wrong: ") else 0)
        return told

    def edit(line: dict[str, Any], **fields: object) -> None:
        line["document"] = json.dumps(
            json.loads(line["document"]) | fields, sort_keys=True, separators=(",", ":")
        )

    assert "Wrong" not in found(lambda lines: None)
    assert "Wrong: record 2: it is missing." in found(lambda lines: lines.pop(1))
    assert "Wrong: record 4: it is missing." in found(lambda lines: lines.pop())
    told = found(lambda lines: edit(lines[1], snapshot={"tokens": "0"}))
    assert "line 2: record 2: the journal does not name it, or another one." in told
    assert "line 2: record 2: it is not signed by your key." in told
    assert "it does not follow the record before it" in found(lambda lines: edit(lines[2], previous="0" * 64))
    assert "it names another end of the journal" in found(
        lambda lines: edit(lines[2], journal={"seq": 3, "digest": "0" * 64})
    )
    assert "the journal has it since" in found(
        lambda lines: edit(lines[2], taken_at="2026-01-01T00:00:00+00:00")
    )
    assert "it is of another database" in found(lambda lines: edit(lines[2], database_id="x"))
    assert "What was given: it can't be read" in found(lambda lines: edit(lines[2], number=[]))


def test_an_edit_of_any_single_byte_is_found(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    draw, pack = random.Random(SEED), honest.pack(tmp_path / "pack")
    files = sorted(pack.iterdir())
    assert verify(pack)[0] == 0
    unseen = []
    for _ in range(examples(600, quick=100)):
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
        assert f"Wrong: {name}: it is no plain file." in told
    assert "the folder has {'path': '\\\\x1b[31mred" in told.replace("\\\\\\\\", "\\\\")

    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["files"].append({"path": "../outside", "bytes": 6, "sha256": "0" * 64})
    (pack / "manifest.json").write_text(json.dumps(manifest))
    assert "Wrong: ../outside: the manifest lists" in verify(pack)[1]
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
    assert "Wrong: journal.jsonl, line 4: this is not what Keydeck writes there." in told
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
    assert outsider.is_signed([pem], (digest, algorithm, value)) is True
    for claim in wrong:
        assert outsider.is_signed([pem], claim) is False
        assert not keys.verify(claim[0], Signature("", claim[1], claim[2]))


def test_what_cannot_be_checked_is_never_proved(
    verify: Verify, honest: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    text = honest.journal()
    path.write_text(text.replace("ECDSA_SHA_256", "HMAC_SHA_256"))
    code, told = verify("--journal", path)
    # Entries name their checkpoints' algorithm, too: that they were changed is found without any key.
    assert (code, "Not checked: what HMAC_SHA_256 signed: no public key can tell" in told) == (1, True)
    head, _, rest = text.partition("\n")
    path.write_text(head.replace("ECDSA_SHA_256", "HMAC_SHA_256") + "\n" + rest)
    assert verify("--journal", path)[0] == 3
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
    assert (code, "Fixed: up to entry 9, by its time stamp of 20" in told) == (0, True)
    # An entry that holds a time stamp of today was not written a month ago.
    past = [replace(step, at=step.at - timedelta(days=30)) for step in steps]
    code, told = told_of(history(past, {9}))
    assert (code, "it is held by entry 10, of" in told) == (1, True)
    # Nor will the entry that is stamped today be written next month.
    future = [replace(step, at=step.at + timedelta(days=30)) for step in steps]
    code, told = told_of(history(future, {9}))
    assert (code, "but a time stamp over it" in told) == (1, True)
    # A kept anchor with its time stamp finds another history, though that is stamped, too.
    anchor = tmp_path / "anchors.jsonl"
    checkpoint = whole.stored[1]
    anchor.write_bytes(Anchor(checkpoint, stamp(checkpoint)).line())
    assert told_of(whole, "--anchors", anchor)[0] == 0
    other = history([*steps[:3], replace(steps[3], subject="whitewashed"), *steps[4:]], {9})
    code, told = told_of(other, "--anchors", anchor)
    assert (code, "anchors.jsonl, line 1: the checkpoint over entry 9" in told) == (1, True)
    # A time stamp over something else, or by another authority, is none.
    anchor.write_bytes(Anchor(checkpoint, stamp(whole.stored[0])).line())
    assert "its time stamp is not valid" in told_of(whole, "--anchors", anchor)[1]
    certified(tmp_path)
    journal.write_text(whole.journal())
    code, told = verify("--journal", journal, "--tsa-certificates", tmp_path / "root.pem")
    assert (code, "its time stamp is not valid" in told) == (1, True)


def test_the_time_is_read_from_what_the_authority_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wraps a time stamp may write what he likes around it, such as another time."""
    printed = (
        "Status info:\nStatus: Granted.\nStatus description: x\nTST info:\n"
        "Time stamp: Jan  1 00:00:00 2020 GMT\n\n"
        "TST info:\nVersion: 1\nTime stamp: Nov 29 16:01:45.123 2026 GMT\nAccuracy: 0x01 seconds\n"
    )
    monkeypatch.setattr(outsider, "openssl", lambda *_: (True, printed))
    assert outsider.stamped_at(b"roots", (b"stamp", "00")) == datetime(2026, 11, 29, 16, 1, 45, tzinfo=UTC)
    monkeypatch.setattr(outsider, "openssl", lambda *_: (False, "unable to load"))
    assert outsider.stamped_at(b"roots", (b"stamp", "00")) is None


def test_a_pack_over_a_real_journal_is_read_as_keydeck_wrote_it(
    services: Container, sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its records are of another month than their entries, which is all that is found: days made up later."""
    table = packing_table(services, sandbox)
    pack, key = tmp_path / "pack", tmp_path / "key.b64"
    table.write(pack)
    der = services.kms.call("GetPublicKey", KeyId=table.key)["PublicKey"]
    key.write_bytes(b64encode(der))
    assert (pack / "verifier.py").read_bytes() == verifier_source()
    kept = tmp_path / "kept.json"
    kept.write_bytes(printed(table.checkpoints.checkpoint()))
    assert outsider.main(["--public-key", str(key), str(pack)]) == 1
    told = capsys.readouterr().out.splitlines()
    wrong = [line for line in told if line.startswith("Wrong: ")]
    assert len(wrong) == len(table.records)
    assert all("but the journal has it since" in line for line in wrong)
    assert outsider.main(["--public-key", str(key), "--journal", str(pack / "journal.jsonl")]) == 0
    # A checkpoint that was made after the pack is over an entry that the pack hasn't yet.
    journal = ["--public-key", str(key), "--journal", str(pack / "journal.jsonl"), "--checkpoint", str(kept)]
    capsys.readouterr()
    assert outsider.main(journal) == 1
    assert "its entry is gone" in capsys.readouterr().out
    exported = tmp_path / "journal.jsonl"
    export_journal(table.checkpoints, exported)
    journal[3] = str(exported)
    assert outsider.main(journal) == 0
    assert "Fixed: up to entry" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"previous": b"p" * 32}, "it does not follow the entry before it"),
        ({"seq": 22}, "entries are missing or not in order: 20 is before it"),
        ({"seq": 20}, "entries are missing or not in order: 20 is before it"),
        ({"at": datetime(2025, 12, 31, tzinfo=UTC)}, "it is earlier than the entry before it"),
        ({"database_id": "another"}, "it is of another database, or names none"),
        ({"database_id": None}, "it is of another database, or names none"),
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
    assert (code, wrong) == (1, [f"Wrong: journal.jsonl, line 22: entry {drafted.seq}: {fault}."])


def test_a_name_that_stands_twice_is_refused(
    verify: Verify, in_process: None, honest: History, tmp_path: Path
) -> None:
    """Another reader may show the first of the two."""
    path = tmp_path / "journal.jsonl"
    lines = honest.journal().splitlines(keepends=True)
    lines[2] = lines[2].replace('"subject": ', '"subject": "another", "subject": ')
    path.write_text("".join(lines))
    code, told = verify("--journal", path)
    assert (code, "line 3: this is not what Keydeck writes there" in told) == (1, True)


def test_a_checkpoint_of_another_database_is_found(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    drafted = replace(honest.stored[0], database_id="another")
    kept = tmp_path / "kept.json"
    kept.write_bytes(printed(replace(drafted, signature=signer.sign(drafted.signed))))
    path = tmp_path / "journal.jsonl"
    path.write_text(honest.journal())
    code, told = verify("--journal", path, "--checkpoint", kept)
    assert (code, "it is of another database" in told, "is gone" in told) == (1, True, False)


def test_records_whose_documents_the_journal_says_were_taken_away_are_no_gap_and_are_told(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    made = History(signer, list(honest.entries), list(honest.stored), honest.records[2:])
    assert "Wrong: record 1: it is missing." in verify(made.pack(tmp_path / "without"))[1]
    made.enter(honest.entries[-1].at, "evidence purge", "evidence records 1 to 2", {"first": 1, "last": 2})
    code, told = verify(made.pack(tmp_path / "pack"))
    assert (code, "Acknowledged: records 1 to 2 were taken away" in told) == (0, True)


def test_a_record_that_names_an_end_of_the_journal_behind_its_own_entry_is_found(
    verify: Verify, in_process: None, signer: LocalSigner, honest: History, tmp_path: Path
) -> None:
    pack = honest.pack(tmp_path / "pack")
    lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
    later = honest.entries[-1]
    document = json.loads(lines[1]["document"])
    document["journal"] = {"seq": later.seq, "digest": later.digest.hex()}
    lines[1]["document"] = json.dumps(document, sort_keys=True, separators=(",", ":"))
    (pack / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    honest.seal(pack)
    assert "line 2: record 2: it names another end of the journal" in verify(pack)[1]
