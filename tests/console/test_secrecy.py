"""No plaintext and no data key leaves the process: everything that a whole drill writes is searched."""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from console.__main__ import run
from console.capabilities import not_installed
from console.event_file import events_file
from console.files.logfile import logging_to
from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import open_engine
from tests.receivers import TOKEN, webhook


@pytest.fixture
def debug_log(tmp_path: Path) -> Iterator[Path]:
    """A log file that takes everything that any logger says, at the lowest level."""
    path = tmp_path / "debug.log"
    handler = logging.FileHandler(path)
    root = logging.getLogger()
    levels = {
        name: logging.getLogger(name).level for name in ("", "botocore", "sqlalchemy.engine", "urllib3")
    }
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield path
    root.removeHandler(handler)
    handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def spellings(secret: bytes) -> set[bytes]:
    """How a secret could look in a file: as it is, in hex, and in base64 at each of three offsets."""
    found = {secret, secret.hex().encode()}
    for offset in range(3):
        padded = base64.b64encode(b"\0" * offset + secret)
        # Characters that also encode what stands before or behind the secret are left out.
        found.add(padded[(4 if offset else 0) : -4])
    return found


def searched(haystacks: dict[str, bytes], needles: Iterable[bytes]) -> list[str]:
    """Where any needle is found; the needle itself is not repeated."""
    return [name for name, content in haystacks.items() if any(n in content for n in needles)]


def test_spellings_are_found_where_they_are() -> None:
    for before in (b"", b"x", b"xy"):
        encoded = base64.b64encode(before + b"a-canary-token-of-some-length" + b"behind")
        assert searched({"here": encoded}, spellings(b"a-canary-token-of-some-length")) == ["here"]


@pytest.mark.skipif(
    any(map(not_installed, ("demo", "watch", "evidence", "scan"))), reason="needs what they bring"
)
@pytest.mark.deep
def test_a_whole_drill_writes_no_token_and_no_data_key_anywhere(
    debug_log: Path, own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_log = tmp_path / "keydeck.log"
    monkeypatch.setenv("KEYDECK_LOG_FILE", str(own_log))
    monkeypatch.setenv("KEYDECK_RECEIPTS", "table")
    monkeypatch.setenv("KEYDECK_TOKEN_INDEX", "1")
    leak = tmp_path / "leak"
    leak.touch(mode=0o600)
    leak.write_text("\n".join(map(own_sandbox.world.token_for, list(own_sandbox.world.tokens)[:30])))
    scanned = tmp_path / "scanned.json"
    github = own_sandbox.world.sealed_under(own_sandbox.world.current_key)[0]
    data_keys: set[bytes] = set()
    call = KmsApi.call

    def overheard(self: KmsApi, operation: str, **parameters: Any) -> dict[str, Any]:
        answer = call(self, operation, **parameters)
        if "Plaintext" in answer:
            data_keys.add(bytes(answer["Plaintext"]))
        return answer

    monkeypatch.setattr(KmsApi, "call", overheard)
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr), webhook() as hook:
        monkeypatch.setenv("KEYDECK_NOTIFY", json.dumps({"receivers": {"oncall": hook.url}}))
        run(["notify", "send"])
        assert run(["abilities", "--filter", "provider:slack", "--yes", "--order"]) in (0, 1)
        run(["whose", "--file", str(leak), "--json"])
        run(["whose", "index", "build", "--yes"])
        with redirect_stdout(io.StringIO()) as document:
            assert run(["scan", str(leak), "--json"]) == 1
        scanned.write_text(document.getvalue())
        with logging_to(load().settings) as book:
            assert import_module("console.practice.drill").Drill(own_sandbox).play() == 0
        for command in (
            ["connections", "--csv"],
            ["connections", "--json"],
            ["connections"],
            ["status", "--json"],
            ["verify", "--all", "--json"],
            ["journal", "list", "--json"],
            ["keys", "list", "--json"],
            ["settings"],
            ["watch", "--once"],
            ["notify", "list", "--all", "--json"],
            ["doctor"],
            ["doctor", "--json"],
            ["discover"],
            ["discover", "--full", "--json"],
            ["scan", str(leak)],
            ["copies", "add", "leak", "--scanned", str(scanned)],
            ["copies", "show", "leak", "--json"],
            ["events", "provider", "hash", str(github), "--yes"],
            ["events", "token", str(github), "--json"],
            ["evidence", "status", "--json"],
            ["evidence", "review", "--reason", own_sandbox.world.token_for(github), "--yes", "--json"],
            ["evidence", "record", "--yes", "--json"],
            ["whose", "index", "status", "--json"],
            ["whose", "index", "duplicates", "--json"],
            ["whose", "--file", str(leak)],
            ["whose", "--file", str(leak), "--declare"],
            *(["inspect", str(ref), "--json"] for ref in list(own_sandbox.world.tokens)[:20]),
        ):
            run(command)
    events = events_file(load().settings)
    answers = events.with_name(f"{events.stem}-abilities.sqlite")
    haystacks = {
        "stdout": stdout.getvalue().encode(),
        "stderr": stderr.getvalue().encode(),
        "log": debug_log.read_bytes(),
        "keydeck.log": own_log.read_bytes(),
        "log in memory": repr(book.lines()).encode(),
        "answers about tokens": answers.read_bytes(),
        "what a scan said": scanned.read_bytes(),
        **{f"events {path.name}": path.read_bytes() for path in beside_events()},
        "webhook": json.dumps(hook.taken, ensure_ascii=False).encode(),
        **server_logs(own_sandbox),
        **cloudtrail(own_sandbox),
        **own_tables(own_sandbox),
    }
    tokens = {own_sandbox.world.token_for(ref).encode() for ref in own_sandbox.world.tokens}

    assert "drill passed" in stdout.getvalue()
    assert len(data_keys) > 50
    assert len(haystacks["log"]) > 1_000
    assert b"Ended to re-encrypt" in haystacks["keydeck.log"]
    assert b"KMS Decrypt failed" in haystacks["log in memory"]
    assert b"slack_connection" in haystacks["answers about tokens"]
    assert any(name.startswith("cloudtrail") and content for name, content in haystacks.items())
    assert hook.taken
    assert haystacks["table receipt"]
    assert haystacks["table registered_copy"]
    assert haystacks["table fingerprint"]
    assert haystacks["table evidence_record"]
    needles = spellings(MARKER.encode()) | tokens
    assert searched(haystacks, needles) == []
    everywhere_else = {name: content for name, content in haystacks.items() if name != "webhook"}
    assert searched(everywhere_else, {TOKEN.encode()}) == []
    assert searched(haystacks, {s for key in data_keys for s in spellings(key)}) == []


def beside_events() -> list[Path]:
    """The local store of events, and all that is kept beside it."""
    events = events_file(load().settings)
    assert events.is_file()
    return sorted(events.parent.glob(f"{events.stem}*"))


def server_logs(sandbox: Sandbox) -> dict[str, bytes]:
    logs = list(sandbox.folder.glob("*.log"))
    assert logs
    return {f"postgres {path.name}": path.read_bytes() for path in logs}


def cloudtrail(sandbox: Sandbox) -> dict[str, bytes]:
    sandbox.control.deliver()
    s3 = sandbox.client("s3")
    files = {}
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for item in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read()
                files[f"cloudtrail {item['Key']}"] = (
                    gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
                )
    return files


def own_tables(sandbox: Sandbox) -> dict[str, bytes]:
    engine = open_engine(sandbox.superuser_url)
    tables = {}
    with engine.connect() as connection:
        for name in (
            "journal",
            "envelope_backup",
            "key_answer",
            "sweep",
            "duty",
            "notice",
            "receipt",
            "fingerprint",
            "registered_copy",
            "tripwire",
            "evidence_record",
        ):
            rows = connection.execute(text(f"SELECT t::text FROM keydeck.{name} t")).scalars()
            tables[f"table {name}"] = "\n".join(rows).encode()
    engine.dispose()
    return tables


def test_a_crash_shows_where_and_no_values() -> None:
    code = """
import threading
from console.secrecy import guard_process
guard_process()
def fail(token):
    raise ValueError(f"cannot use {token}")
thread = threading.Thread(target=fail, args=("CANARY-in-thread",))
thread.start(); thread.join()
fail("CANARY-in-main")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("in fail") == 2
    assert "ValueError" in ran.stderr
    assert "CANARY" not in ran.stdout + ran.stderr


def test_core_dumps_are_off() -> None:
    code = (
        "import resource; from console.secrecy import guard_process; guard_process();"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "0"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such switch")
def test_no_core_is_made_for_a_program_either_and_what_is_started_is_not_concerned() -> None:
    """The process itself goes on reading its own entries below /proc; no other of its user attaches to it."""
    code = """
import ctypes, os, subprocess, sys
from pathlib import Path
from console.secrecy import guard_process
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # Linux switches it off for a user who became another
guard_process()
if os.fork() == 0:
    try:
        open(f"/proc/{os.getppid()}/mem", "rb").close()
        print("read")
    except PermissionError:
        print("refused")
    os._exit(0)
os.wait()
Path("/proc/self/status").read_text(); os.listdir("/proc/self/fd"); Path("/proc/self/maps").read_text()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    asked = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    code += f"sys.stdout.flush(); os.execlp('python3', 'python3', '-c', {asked!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["refused", "0", "1"]


def test_an_error_from_the_database_repeats_no_parameter(
    keydeck: Callable[..., Any], environment: dict[str, str], world: Any, superuser: Any
) -> None:
    keydeck("init")
    with superuser.begin() as connection:
        connection.execute(
            text("ALTER TABLE slack_connection ADD CONSTRAINT c CHECK (bot_token LIKE 'xoxb%') NOT VALID")
        )
    ran = keydeck("encrypt", "--plaintext", "--to", world.current_key.arn, "--yes")
    assert ran.exit_code == 1
    assert "violates check constraint" in ran.stdout
    said = json.dumps([ran.stdout, ran.stderr])
    assert MARKER not in said
    assert "djF8" not in said
