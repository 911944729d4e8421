"""Keydeck's own commands and the outsider's file come to the same conclusion, whatever was edited."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from argparse import Namespace
from base64 import b64encode
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console.commands.journal import verify as journal_verify
from console.container import Container
from console.evidence.verify import verify as evidence_verify
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.public_keys import PublicKeys, public_key
from crypto_core.compliance.proof.assembly import verifier_source
from crypto_core.guard.signature import Signature
from crypto_core.proof.forms import Anchor
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from tests.crypto_core.compliance.pack.owned_history import (
    ARN,
    History,
    LocalSigner,
    Step,
    history_of,
    printed,
    steps_of,
)
from tests.crypto_core.compliance.pack.packing import packing_table
from tests.crypto_core.compliance.pack.test_outsider import begin_now, broken_history
from tests.crypto_core.compliance.proof.assembled import assembled
from tests.crypto_core.compliance.proof.edits import edited
from tests.lanes import examples

SEED = 20_261_201
JOURNALS, PACKS = 7_200, 2_800
QUICK_JOURNALS, QUICK_PACKS = 260, 60
REAL = 4
"""So many of a lane's edits are verified by the file itself, in an interpreter of its own."""
# Of the parts below the first is for the default lane, one is deep, and all others are long.

outsider = assembled()
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the verifier asks openssl")


@pytest.fixture(scope="module")
def signer() -> LocalSigner:
    return LocalSigner()


@pytest.fixture(scope="module")
def histories(signer: LocalSigner) -> list[History]:
    """A quiet one, one with an acknowledged break, one of which documents were taken away."""
    steps = steps_of(4, begin_now(400))
    quiet = history_of(signer, steps)
    purged = history_of(signer, steps)
    later = quiet.entries[-1].at.replace(year=quiet.entries[-1].at.year + 2)
    purged.do(Step("evidence record", later, "later"))
    purged.enter(later, "evidence purge", "evidence records 1 to 2", {"first": 1, "last": 2, "documents": 2})
    return [quiet, broken_history(signer, quiet), purged]


@pytest.fixture
def by_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's signatures are verified without a process for each."""
    known: dict[bytes, PublicKeys] = {}

    def is_signed(key: bytes, digest: bytes, algorithm: str, value: bytes) -> bool:
        if key not in known:
            known[key] = PublicKeys([public_key(key, "key")])
        return known[key].verify(digest, Signature("", algorithm, value))

    monkeypatch.setattr(outsider, "is_signed", is_signed)
    monkeypatch.setattr(outsider, "openssl", lambda *_: (True, "OpenSSL 3.5.0"))


def keydeck(command: Any, *arguments: object) -> tuple[int, set[str]]:
    """The exit code of a command of Keydeck's, and the problems that it names."""
    result = CliRunner().invoke(command, [*map(str, arguments), "--json"], standalone_mode=False)
    if isinstance(result.exception, KeydeckError):
        return 2, {result.exception.message}
    assert result.exception is None, result.exception
    return int(result.return_value or 0), set(json.loads(result.stdout)["problems"])


def file(**given: Any) -> tuple[int, set[str]]:
    """The same of the outsider's file."""
    options = ("journal", "public_key", "former_key", "checkpoint", "anchors", "tsa_certificates")
    told = {name: [] for name in options} | {"pack": None} | given
    code, said = outsider.said_of(Namespace(**told))
    return code, {clean(sentence, 1_000) for kind, sentence in said if kind == "Wrong"}


@cache
def oldest() -> str:
    """The oldest Python from 3.9 on that is here."""
    for name in ("python3.9", "python3.10"):
        found = shutil.which(name)
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    return sys.executable


def in_a_process(*arguments: object) -> tuple[int, str]:
    """The exit code of the file, run as what it is, by the oldest Python that is here, and what it prints."""
    done = subprocess.run([oldest(), *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.quick(0, deep=1)
@pytest.mark.parametrize("part", range(10))
def test_edited_journals_are_judged_alike(
    part: int, signer: LocalSigner, histories: list[History], by_library: None, tmp_path: Path
) -> None:
    draw = random.Random(SEED + part)
    key, other = tmp_path / "key.b64", tmp_path / "other.b64"
    key.write_bytes(b64encode(signer.public))
    other.write_bytes(b64encode(LocalSigner().public))
    path, kept, program = tmp_path / "journal.jsonl", tmp_path / "kept", tmp_path / "verifier.py"
    program.write_bytes(verifier_source())
    codes: Counter[int] = Counter()
    for number in range(examples(JOURNALS // 9, quick=QUICK_JOURNALS, deep=JOURNALS // 9)):
        history = draw.choice(histories)
        name, lines = edited(draw, [line.encode() for line in history.journal().splitlines()])
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        trusted = draw.choice((key, key, key, key, other))
        ours: list[object] = ["--export", path, "--public-key", trusted]
        theirs: dict[str, Any] = {"journal": [str(path)], "public_key": [str(trusted)]}
        if draw.random() < 0.5:
            checkpoint = draw.choice(history.stored)
            anchored = draw.random() < 0.5
            content = Anchor(checkpoint).line() if anchored else printed(checkpoint)
            if draw.random() < 0.2:
                at = draw.randrange(len(content))
                content = draw.choice((b"", content[:at], content[:at] + b"0" + content[at + 1 :]))
            kept.write_bytes(content)
            option = "anchors" if anchored else "checkpoint"
            ours += [f"--{option}", kept]
            theirs[option] = [str(kept)]
        if draw.random() < 0.1:
            end = draw.choice(("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"))
            ours[2:4] = ["--former-key", key, end]
            theirs |= {"public_key": [], "former_key": [[str(key), end]]}
        found = keydeck(journal_verify, *ours)
        assert found == file(**theirs), (part, number, name)
        codes[found[0]] += 1
        if number < REAL or number % 350 == 0:
            arguments = ["--journal" if one == "--export" else one for one in ours]
            assert in_a_process(program, *arguments)[0] == found[0], (part, number, name)
    assert codes[1] > codes[0] > 0


@pytest.mark.quick(0, deep=1)
@pytest.mark.parametrize("part", range(6))
def test_edited_packs_are_judged_alike(
    part: int, services: Container, sandbox: Sandbox, by_library: None, tmp_path: Path
) -> None:
    draw = random.Random(SEED * 2 + part)
    table = packing_table(services, sandbox)
    pack, key = tmp_path / "pack", tmp_path / "key.der"
    table.write(pack)
    key.write_bytes(services.kms.call("GetPublicKey", KeyId=table.key)["PublicKey"])
    assert keydeck(evidence_verify, pack, "--public-key", key) == file(pack=str(pack), public_key=[str(key)])
    own = {one.name: one.read_bytes() for one in pack.iterdir()}
    program = tmp_path / "verifier.py"
    program.write_bytes(verifier_source())
    codes: Counter[int] = Counter()
    for number in range(examples(PACKS // 5, quick=QUICK_PACKS, deep=PACKS // 5)):
        told = draw.choice(
            ("journal.jsonl", "records.jsonl", "manifest.json", "signature.json", "any", "folder")
        )
        name = draw.choice(sorted(own)) if told == "any" else told
        changed = pack / ("journal.jsonl" if told == "folder" else name)
        if told == "folder":
            kind = draw.choice(("gone", "link", "more", "folder"))
            changed.unlink() if kind != "more" else (pack / "more\x1b[31m").write_text("x")
            if kind == "link":
                changed.symlink_to("/dev/zero")
            elif kind == "folder":
                changed.mkdir()
        else:
            kind, lines = edited(draw, own[name].splitlines())
            changed.write_bytes(b"".join(line + b"\n" for line in lines))
        sealed = draw.random() < 0.4 and told in ("journal.jsonl", "records.jsonl")
        if sealed:
            table.seal(pack)
        found = keydeck(evidence_verify, pack, "--public-key", key)
        assert found == file(pack=str(pack), public_key=[str(key)]), (part, number, told, kind, sealed)
        codes[found[0]] += 1
        if number < REAL or number % 250 == 0:
            assert in_a_process(program, pack, "--public-key", key)[0] == found[0], (part, number, kind)
        shutil.rmtree(pack)
        pack.mkdir()
        for each, content in own.items():
            (pack / each).write_bytes(content)
    assert codes[1] > 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "is a certificate, not a public key",
        ),
        (b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n", "is a private key"),
    ],
)
def test_what_is_no_public_key_is_named_by_both(
    histories: list[History], tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = tmp_path / "journal.jsonl", tmp_path / "key.pem"
    path.write_text(histories[0].journal())
    key.write_bytes(content)
    with pytest.raises(KeydeckError, match=told):
        public_key(content, "key.pem")
    with pytest.raises(SystemExit) as ended:
        outsider.main(["--journal", str(path), "--public-key", str(key)])
    assert (ended.value.code, told in capsys.readouterr().err) == (2, True)


def test_a_journal_that_nobody_signed_rests_on_nothing_and_other_offsets_are_refused(
    signer: LocalSigner, by_library: None, tmp_path: Path
) -> None:
    path, key = tmp_path / "journal.jsonl", tmp_path / "key.b64"
    key.write_bytes(b64encode(signer.public))
    invented = History(signer)
    for number in range(5):
        invented.enter(begin_now(1), "rewrap", f"token {number}", {})
    path.write_text(invented.journal())
    assert keydeck(journal_verify, "--export", path, "--public-key", key) == (3, set())
    assert file(journal=[str(path)], public_key=[str(key)]) == (3, set())
    whole = history_of(signer, steps_of(2, begin_now(9))).journal()
    path.write_text(whole.replace("+00:00", "+14:00"))
    code, problems = keydeck(journal_verify, "--export", path, "--public-key", key)
    assert (code, problems) == file(journal=[str(path)], public_key=[str(key)])
    assert (code, len(problems) > 10, ARN in whole) == (1, True, True)
