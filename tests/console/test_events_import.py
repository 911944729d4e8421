"""keydeck events import, vacuum: without a database, without AWS, and what they print."""

from __future__ import annotations

import base64
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.event_file import open_events
from console.settings import load
from crypto_core.lists.paging import Query
from crypto_core.trail.record_reader import load as load_record
from crypto_core.trail.record_reader import read_record
from tests.conftest import run_here as keydeck
from tests.conftest import use_settings
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.bucket.digest_chain import KEY, Chain, public
from tests.crypto_core.trail.sources.hostile import NASTY, hostile
from tests.crypto_core.trail.test_receipts import REF, called, receipt
from tests.left_out import is_left_out

HOME = Path(__file__).parents[2]
KEYS = {"files", "records", "new", "duplicates", "kms", "failed", "by_file_names"}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither database nor AWS is set; a folder to put files in."""
    events = {"KEYDECK_EVENTS_FILE": str(tmp_path / "events.sqlite"), "HOME": str(tmp_path)}
    use_settings(events | {"AWS_EC2_METADATA_DISABLED": "true"}, monkeypatch)
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def put(path: Path, *records: object) -> None:
    path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))


def old(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_import_prints_the_documented_document(alone: Path) -> None:
    put(alone / "a.json.gz", record(), record("PutObject", eventSource="s3.amazonaws.com"))
    (alone / "bad.json").write_text("{")
    ran = keydeck("events", "import", "--json", str(alone))
    assert ran.exit_code == 1
    assert ran.json == {
        "files": 2,
        "records": 2,
        "new": 2,
        "duplicates": 0,
        "kms": 1,
        "failed": [{"file": str(alone / "bad.json"), "reason": "It is not JSON, or cut short."}],
        "by_file_names": [],
    }
    (alone / "bad.json").unlink()
    again = keydeck("events", "import", "--json", str(alone))
    assert (again.exit_code, again.json["new"], again.json["duplicates"]) == (0, 0, 2)
    assert set(again.json) == KEYS
    assert again.stderr == ""


def test_a_copy_is_validated_with_public_keys_of_a_file(alone: Path, tmp_path: Path) -> None:
    def write(key: str, body: bytes, Metadata: object = None) -> str:  # noqa: N803
        (alone / key).parent.mkdir(parents=True, exist_ok=True)
        (alone / key).write_bytes(body)
        return key

    chain = Chain("trail", write)
    for hour in range(3):
        chain.hour(datetime(2026, 11, 25, 12 + hour, tzinfo=UTC))
    listed = public(KEY) | {"Value": base64.b64encode(public(KEY)["Value"]).decode()}
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"PublicKeyList": [listed]}))
    asked = ("events", "import", str(alone), "--validate", "--public-keys", str(keys))
    ran = keydeck(*asked)
    assert ran.exit_code == 0
    assert "Validation: 4 log files proved, 0 altered, 0 missing, 2 as an unsigned digest says" in ran.stdout
    assert "no later digest vouches for it" in ran.stderr
    (alone / chain.logs[0]).write_bytes(gzip.compress(b"{}"))
    ran = keydeck(*asked, "--json")
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["validation"]["files"]["altered"] == 1
    # Without AWS and without keys nothing is proved.
    ran = keydeck("events", "import", str(alone), "--validate")
    assert ran.exit_code == 1
    assert "no public keys, so nothing is proved" in ran.stderr


def test_a_copy_in_parquet_is_exported_with_a_filter(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(alone / "a.json.gz", record(), record("Encrypt"))
    assert keydeck("events", "import", str(alone)).exit_code == 0
    ran = keydeck("events", "export", "--parquet", str(tmp_path / "copy"), "--filter", "name:Decrypt")
    assert (ran.exit_code, ran.stdout) == (0, "1 event in 1 partition, 1 day.\n")
    ran = keydeck("events", "export", "--parquet", str(tmp_path / "other"), "--json")
    assert ran.json == {"events": 2, "partitions": 1, "days": 1, "complete": True}
    engine = ("--engine", "duckdb", str(tmp_path / "other"))
    found = keydeck("events", "list", *engine, "--json", "--filter", "name:Encrypt OR error:*").json
    assert [one["name"] for one in found["events"]] == ["Encrypt"]
    assert found["coverage"]["reasons"][0].startswith("A copy in Parquet, written 20")
    found = keydeck("events", "pivot", "name", *engine, "--json").json
    assert {one["value"]: one["events"] for one in found["values"]} == {"Decrypt": 1, "Encrypt": 1}
    counting = ("--by", "name,day", "--distinct", "ip", "--having", "count=1", "--filter", "-name:Encrypt")
    mine, its = (keydeck("events", "stats", *counting, *e, "--json").json for e in (engine, ()))
    assert (mine["rows"], mine["rows"][0]["distinct"]) == (its["rows"], 1)
    assert mine["coverage"]["reasons"][0].startswith("A copy in Parquet, written 20")
    ran = keydeck("events", "list", *engine, "--filter", "reviewed")
    assert ran.exit_code == 2
    assert "A copy in Parquet can't be asked for reviewed." in ran.stderr
    ran = keydeck("events", "export", "--parquet", str(tmp_path / "copy"))
    assert ran.exit_code == 3
    assert "Name another folder." in ran.stderr
    monkeypatch.setattr("console.extras.util.find_spec", lambda _name: None)
    assert "pip install 'keydeck[lake]'" in keydeck("events", "list", *engine).stderr
    ran = keydeck("events", "export", "--parquet", str(tmp_path / "new"))
    assert ran.exit_code == 2
    assert "pip install 'keydeck[lake]'" in ran.stderr
    assert not (tmp_path / "new").exists()


def test_import_says_as_text_what_was_left_out_and_how_to_read_again(alone: Path) -> None:
    put(alone / "a.json.gz", record())
    put(alone / "1_CloudTrail-Digest_eu-west-1_x.json.gz", record())
    keydeck("events", "import", str(alone))
    ran = keydeck("events", "import", str(alone))
    assert ran.exit_code == 0
    assert ran.stdout == "1 file: 1 event, 0 new, 1 known already, 1 of KMS\n"
    assert "Not read again, being unchanged: 1 file. To read all: --again" in ran.stderr
    assert "Left out: 1 digest file." in ran.stderr


def test_what_was_forgotten_comes_back_only_with_again(alone: Path) -> None:
    put(alone / "a.json.gz", record(eventTime=old(90)), record(eventTime=old(1)))
    keydeck("events", "import", str(alone))
    assert keydeck("events", "vacuum", "--days", "30", "--yes", "--json").json["forgotten"] == 1
    assert keydeck("events", "import", "--json", str(alone)).json["new"] == 0
    assert keydeck("events", "import", "--json", "--again", str(alone)).json["new"] == 1


def test_a_path_that_is_not_there_is_wrong_usage_and_nothing_is_read(alone: Path) -> None:
    put(alone / "a.json.gz", record())
    ran = keydeck("events", "import", str(alone), str(alone / "\x1b[31mnope"))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "nope" in ran.stderr
    assert "\x1b" not in ran.stderr
    assert keydeck("events", "import", "--json", str(alone)).json["new"] == 1


def test_a_store_that_is_none_is_trouble_outside(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"no database" * 1_000)
    put(alone / "a.json.gz", record())
    ran = keydeck("events", "import", str(alone))
    assert ran.exit_code == 3
    assert "damaged, or no event store" in ran.stderr


def test_hostile_events_and_names_reach_the_terminal_as_harmless_text(alone: Path) -> None:
    put(alone / "hostile.json.gz", *hostile())
    (alone / f"{NASTY.replace('/', '').replace(chr(0), '').replace(chr(0xD800), '')}.json").write_text("{")
    for arguments in (("--json",), ()):
        ran = keydeck("events", "import", *arguments, str(alone))
        assert ran.exit_code == 1
        assert not {"\x1b", "\x07", "\u202e", "\x85", "\u2028"} & {*ran.stdout, *ran.stderr}
        assert "DROP TABLE" in ran.stdout + ran.stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "console", "events", *arguments]


def test_standard_input_is_read(alone: Path) -> None:
    content = gzip.compress(b"\n".join(json.dumps(record()).encode() for _ in range(3)))
    done = subprocess.run(
        command("import", "-", "--json"), input=content, capture_output=True, check=False, cwd=HOME
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["new"] == 3


@pytest.mark.deep
def test_a_pipe_that_brings_nothing_more_can_be_interrupted(alone: Path) -> None:
    put(alone / "a.json.gz", record())
    process = subprocess.Popen(
        command("import", "-", str(alone), "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=HOME,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b'{"Records": [')
    process.stdin.flush()
    until = time.monotonic() + 60
    while _unread(process.stdin.fileno()) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    with process.stdout as stdout, process.stderr as stderr, process.stdin:
        assert set(json.loads(stdout.read())) == KEYS
        assert b"Traceback" not in stderr.read()
        assert process.wait() == 130


def _unread(pipe: int) -> int:
    """The bytes in a pipe that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_vacuum_asks_before_it_forgets_and_spares_what_was_reviewed(alone: Path) -> None:
    spared = record(eventTime=old(500))
    put(alone / "a.json.gz", spared, record(eventTime=old(500)), record(eventTime=old(1)))
    keydeck("events", "import", str(alone))
    store = open_events(load().settings)
    event = read_record(spared)
    assert event is not None
    store.review([event.event_id], "ana")
    refused = keydeck("events", "vacuum")
    assert refused.exit_code == 2
    assert "This forgets 1 event. Without a terminal it needs --yes." in refused.stderr
    assert store.count(Query()) == 3
    ran = keydeck("events", "vacuum", "--yes")
    assert ran.exit_code == 0
    assert ran.stdout.startswith("Forgotten: 1 event older than 400 days.\nThe store took ")
    assert store.count(Query()) == 2
    nothing = keydeck("events", "vacuum", "--json")
    assert (nothing.exit_code, nothing.json["forgotten"]) == (0, 0)
    store.close()


def test_vacuum_gives_space_back(alone: Path) -> None:
    many = (record(eventTime=old(60), userAgent=os.urandom(400).hex()) for _ in range(2_000))
    put(alone / "a.json.gz", *many)
    keydeck("events", "import", str(alone))
    document = keydeck("events", "vacuum", "--days", "30", "--yes", "--json").json
    sizes = {"bytes_before", "bytes_after", "bytes_given_back"}
    further = set() if is_left_out("console/forensics/") else {"forgotten_of_providers"}
    assert set(document) == {"days", "forgotten", *further, *sizes}
    assert document["forgotten"] == 2_000
    assert document["bytes_given_back"] == document["bytes_before"] - document["bytes_after"] > 500_000


def test_read_only_refuses_to_forget(alone: Path) -> None:
    put(alone / "a.json.gz", record(eventTime=old(500)))
    keydeck("events", "import", str(alone))
    ran = keydeck("--read-only", "events", "vacuum", "--yes")
    assert ran.exit_code == 2
    assert "read-only" in ran.stderr


def test_receipts_are_read_out_of_a_log_and_stand_with_their_event(alone: Path) -> None:
    of = called()
    put(alone / "a.json.gz", load_record(of.raw))
    keydeck("events", "import", str(alone / "a.json.gz"))
    log = alone / "app.log"
    log.write_text(f"[/red]\x1b[2J starting\nINFO {receipt(of).as_json_line()}\n")
    ran = keydeck("events", "receipts", "--json", str(log))
    assert (ran.exit_code, ran.json["new"], ran.json["explained"], ran.json["passed_over"]) == (0, 1, 1, 1)
    again = keydeck("events", "receipts", str(log))
    assert again.stdout == "1 file: 1 receipt: 0 new, 1 known already.\n"
    assert "Passed over, being no receipts: 1 line." in again.stderr
    shown = keydeck("events", "show", of.event_id)
    assert f"receipt  {REF}, by api on api-1, process 4711" in shown.stdout
    assert keydeck("events", "show", "--json", of.event_id).json["receipts"][0]["explains"] is True
    listed = keydeck("events", "list", "--json", "--all", "--filter", f"receipt:{REF}")
    assert [one["event_id"] for one in listed.json["events"]] == [of.event_id]
    missing = keydeck("events", "receipts", str(alone / "none"))
    assert missing.exit_code == 2
