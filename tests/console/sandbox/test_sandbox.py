"""A whole sandbox: what it offers, and that nothing of it outlives its owner, however that one ends.

Owners that are killed run as child processes in a temporary folder of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

import console
from console.sandbox import access_keys
from console.sandbox.endpoint.principals import BUILT_IN
from console.sandbox.interruption import terminate_on_signal, undisturbed
from console.sandbox.leftovers import OWNER, PREFIX
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox

HOME = str(Path(console.__file__).resolve().parents[1])

OWNER_SCRIPT = """
import json, sys
from console.sandbox.interruption import terminate_on_signal
from console.sandbox.sandbox import Sandbox

with terminate_on_signal(), Sandbox.start(data=False) as sandbox:
    pids = [sandbox.postgres.pid, sandbox.endpoint.pid]
    print(json.dumps({"pids": pids, "url": sandbox.superuser_url}), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Owner:
    process: subprocess.Popen[str]
    pids: list[int]
    url: str

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def alive(self) -> bool:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,) and all(map(psutil.pid_exists, self.pids))

    def gone(self) -> bool:
        return not any(map(_runs, self.pids))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(connections=40) as started:
        yield started


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty temporary folder that PostgreSQL's user can enter too."""
    folder = Path(tempfile.mkdtemp(prefix="keydeck-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def environment_in(place: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (HOME, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(place)}


@contextmanager
def owner_in(place: Path, script: str = OWNER_SCRIPT) -> Iterator[Owner]:
    environment = environment_in(place)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, said = process.communicate()
            pytest.fail(f"the owner did not start: {said}")
        said_at_start = json.loads(line)
        try:
            yield Owner(process, said_at_start["pids"], said_at_start["url"])
        finally:
            if process.stdin is not None and process.poll() is None:
                process.stdin.close()
                process.wait(30)


@pytest.mark.deep
def test_it_offers_a_database_and_aws_to_whoever_takes_its_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "KEYDECK_READ_ONLY", "PGSSLMODE"):
        monkeypatch.setenv(name, "from-the-machine")
    environment = sandbox.environment()
    assert "from-the-machine" not in environment.values()
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "arn:aws:sts::123456789012:assumed-role/keydeck-oncall/omar.oncall"
    assert environment["TOKEN_ENCRYPTION_KEY_ID"] == sandbox.world.current_key.arn
    assert environment["KEYDECK_TRUSTED_KEYS"] == sandbox.world.old_key.arn
    assert environment["PATH"] == os.environ["PATH"]


def test_it_has_the_tables_of_the_platform_and_its_roles(sandbox: Sandbox) -> None:
    for url, role in ((sandbox.database_url, OPERATOR), (sandbox.platform_database_url, PLATFORM)):
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user, count(*) FROM gh_connection")
            assert cursor.fetchone() == (role, 20)


@pytest.mark.deep
def test_the_trail_is_logging(sandbox: Sandbox) -> None:
    cloudtrail = sandbox.client("cloudtrail")
    [trail] = cloudtrail.describe_trails()["trailList"]
    assert cloudtrail.get_trail_status(Name=trail["TrailARN"])["IsLogging"]
    assert trail["IsMultiRegionTrail"]


def test_the_access_keys_are_those_that_the_endpoint_knows() -> None:
    known = {access_keys.PLATFORM, access_keys.OPERATOR, access_keys.ON_CALL}
    assert {*known, access_keys.ANALYST, access_keys.INTRUDER} == set(BUILT_IN)


@pytest.mark.deep
def test_another_region_can_be_asked_for() -> None:
    with Sandbox.start(data=False, region="us-east-1") as elsewhere:
        key = elsewhere.client("kms").create_key()["KeyMetadata"]
        assert key["Arn"].split(":")[3] == elsewhere.region == "us-east-1"


@pytest.mark.deep
def test_without_data_there_are_tables_and_no_world() -> None:
    with Sandbox.start(data=False) as empty:
        assert "TOKEN_ENCRYPTION_KEY_ID" not in empty.settings()
        with pytest.raises(ValueError, match="without data"):
            _ = empty.world
        with closing(psycopg2.connect(empty.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM confluence_connection")
            assert cursor.fetchone() == (0,)


@pytest.mark.deep
def test_close_leaves_no_process_and_no_folder_and_can_be_repeated() -> None:
    sandbox = Sandbox.start(data=False)
    pids: list[Any] = [sandbox.postgres.pid, sandbox.endpoint.pid]
    [data] = [argument for argument in psutil.Process(pids[0]).cmdline() if PREFIX in argument]
    folder = Path(data).parent
    assert (folder / OWNER).exists()
    sandbox.close()
    sandbox.close()
    assert not any(map(psutil.pid_exists, pids))
    assert not folder.exists()


@pytest.mark.deep
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)]
)
def test_a_signal_leaves_nothing(place: Path, number: signal.Signals, status: int) -> None:
    with owner_in(place) as owner:
        # CPython ends itself with SIGINT when nobody catches KeyboardInterrupt: -2.
        assert owner.end(number) == status
        assert owner.gone()
        assert list(place.iterdir()) == []


@pytest.mark.deep
def test_a_start_that_fails_leaves_nothing(place: Path) -> None:
    script = OWNER_SCRIPT.replace("data=False", "connections=5")
    environment = environment_in(place)
    failed = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "ValueError: 5 connections: at least 20 are needed." in failed.stderr
    assert list(place.iterdir()) == []
    assert not _processes_naming(place)


@pytest.mark.deep
def test_a_signal_during_the_start_leaves_nothing(place: Path) -> None:
    script = OWNER_SCRIPT.replace(
        "from console.sandbox.sandbox import Sandbox",
        "from console.sandbox import sandbox as module\n"
        "from console.sandbox.sandbox import Sandbox\n"
        "import os, signal\n"
        "create = module.create_tables\n"
        "def interrupted(engine):\n"
        "    create(engine)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "module.create_tables = interrupted\n",
    )
    environment = environment_in(place)
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert ended.returncode == 143
    assert list(place.iterdir()) == []
    assert not _processes_naming(place)


@pytest.mark.deep
def test_leftovers_of_a_killed_owner_go_at_the_next_start_and_a_live_sandbox_stays(place: Path) -> None:
    with owner_in(place) as live, owner_in(place) as killed:
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        assert _runs(killed.pids[0]), "PostgreSQL survives its owner"
        assert len(list(place.iterdir())) == 2
        with owner_in(place) as following:
            assert killed.gone()
            assert live.alive()
            assert following.alive()
            assert len(list(place.iterdir())) == 2
        assert live.alive()
        assert len(list(place.iterdir())) == 1
    assert list(place.iterdir()) == []


@pytest.mark.deep
def test_leftovers_of_a_paused_server_go_too(place: Path) -> None:
    with owner_in(place) as killed:
        killed.end(signal.SIGKILL)
        server = psutil.Process(killed.pids[0])
        for process in [server, *server.children()]:
            process.suspend()
        with owner_in(place):
            assert killed.gone()
            assert len(list(place.iterdir())) == 1


@pytest.mark.deep
def test_folders_that_only_look_like_a_sandbox_stay(place: Path) -> None:
    notes = place / f"{PREFIX}notes"
    notes.mkdir()
    (notes / "read.me").write_text("mine")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / OWNER).touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    with owner_in(place):
        pass
    assert (notes / "read.me").read_text() == "mine"
    assert (elsewhere / OWNER).exists()


@pytest.mark.deep
def test_nobody_loses_a_folder_to_somebody_who_clears_up(place: Path) -> None:
    script = """
from console.sandbox.leftovers import claim_folder, remove_leftovers
for turn in range(60):
    folder = claim_folder()
    (folder.path / "mine").write_text(str(turn))
    remove_leftovers()
    assert (folder.path / "mine").read_text() == str(turn)
    folder.remove()
"""
    environment = environment_in(place)
    claimants = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [claimant.wait(120) for claimant in claimants] == [0, 0, 0]
    assert list(place.iterdir()) == []


def test_signals_wait_while_nothing_may_disturb() -> None:
    reached = []

    def clear_up() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        clear_up()
    assert reached == ["the end"]


def test_the_handlers_from_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, terminate_on_signal():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.deep
def test_a_sandbox_can_be_closed_from_another_thread() -> None:
    sandbox = Sandbox.start(data=False)
    pids: list[Any] = [sandbox.postgres.pid, sandbox.endpoint.pid]
    closer = threading.Thread(target=sandbox.close)
    closer.start()
    closer.join(30)
    assert not any(map(psutil.pid_exists, pids))


def _processes_naming(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in argument for argument in process.info["cmdline"] or [])
    ]
