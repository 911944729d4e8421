"""keydeck watch: duties at their intervals by one host, whatever fails; metrics over HTTP; signals."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.service import watcher as watching
from console.service.duties import DUTIES, Duty, DutyWork
from console.service.http_server import serving
from console.service.watch_metrics import WatchMetrics
from console.service.watcher import LEAD, Watcher, chosen_duties, waiting_seconds
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.leases import on_duty
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import KeydeckRole
from crypto_core.metrics import Metrics
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import KmsUnreachableError
from tests.adversary.ground import role_of
from tests.receivers import TOKEN, Webhook, webhook

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hook(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as made:
        monkeypatch.setenv("KEYDECK_NOTIFY", json.dumps({"receivers": {"oncall": made.url}}))
        yield made


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that threads bring about."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Host:
    """A watcher of a host, with two duties of the test's own."""

    engine: Engine
    ran: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    stop: Cancellation = field(default_factory=Cancellation)
    metrics: WatchMetrics = field(init=False)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = WatchMetrics(self.registry, {"well": 0.01, "ill": 0.01})

    def well(self, _: DutyWork) -> str:
        self.ran.append("well")
        return "all is well"

    def ill(self, _: DutyWork) -> str:
        self.ran.append("ill")
        if self.trouble is not None:
            raise self.trouble
        return ""

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        duties = {Duty("well", 0.01, "", self.well): 0.01, Duty("ill", 0.01, "", self.ill): 0.01}
        unused: Any = None
        work = DutyWork(unused, self.metrics, unused, self.stop, telling=True)
        watcher = Watcher(duties, work, self.engine, self.said.append)
        thread = Thread(target=watcher.run, daemon=True)
        thread.start()
        yield
        self.stop.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watching, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(watching, "LONGEST_WAIT_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_what_fails_is_tried_again_and_stops_nothing_else(services: Container) -> None:
    host = Host(services.state_engine)
    host.trouble = KmsUnreachableError(f"No answer; xoxb-{TOKEN}-{'a1' * 20}.", operation="Decrypt")
    with host.watching():
        until(lambda: host.ran.count("ill") > 2 and host.ran.count("well") > 2)
        assert (host.value("keydeck_duty_failing", duty="ill"), host.metrics.ready) == (1, False)
        assert host.value("keydeck_duty_failing", duty="well") == 0
        host.trouble = ValueError(TOKEN)
        until(lambda: "ill: failed: ValueError" in host.said)
        host.trouble = None
        until(lambda: host.metrics.ready)
    assert host.value("keydeck_duty_runs_total", duty="ill", outcome="failed") >= 3
    assert host.value("keydeck_watch_state", state="leading") == 1
    assert host.said.count("Watching.") == host.said.count("well: all is well") == 1
    assert TOKEN not in repr(host.said)


@pytest.mark.usefixtures("quick")
def test_of_two_hosts_one_does_the_duties_and_the_other_takes_over(services: Container) -> None:
    first, second = Host(services.state_engine), Host(services.state_engine)
    with second.watching():
        until(lambda: bool(second.ran))
        with first.watching():
            until(lambda: any("Standing by" in said for said in first.said))
            assert (first.ran, first.value("keydeck_watch_state", state="standing by")) == ([], 1)
            second.stop.set()
            until(lambda: bool(first.ran))


HOLD = text("SELECT * FROM keydeck.hold_duty(:duty, CAST(:token AS uuid), 'x', :act, NULL)")


@pytest.fixture
def intruder(services: Container, superuser: Engine) -> Iterator[Engine]:
    with role_of(KeydeckRole.OPERATOR, services, superuser) as engine:
        yield engine


def acts(engine: Engine, act: str, token: UUID, duty: str = LEAD) -> bool:
    with engine.begin() as connection:
        return bool(connection.execute(HOLD, {"duty": duty, "token": token, "act": act}).one().held)


@pytest.mark.usefixtures("quick")
def test_a_duty_that_is_held_and_not_done_is_told_by_login_and_done_all_the_same(
    services: Container, superuser: Engine, intruder: Engine
) -> None:
    token, host = uuid4(), Host(services.state_engine)
    assert acts(intruder, "take", token)
    with host.watching():
        until(lambda: bool(host.said))
        assert (host.ran, host.metrics.ready) == ([], True)
        with superuser.begin() as connection:
            connection.execute(text("UPDATE keydeck.duty SET since = since - interval '2 minutes'"))
        assert acts(intruder, "renew", token)
        until(lambda: bool(host.ran))
        assert not host.metrics.ready
        why = host.metrics.health()["why"]
        assert f"held by {intruder.url.username}" in why
        assert "no round yet" in why


@pytest.mark.usefixtures("quick")
def test_a_login_that_only_says_it_does_its_rounds_loses_the_duty_to_another_within_its_term(
    services: Container, superuser: Engine, intruder: Engine
) -> None:
    token, host = uuid4(), Host(services.state_engine)
    assert acts(intruder, "take", token)
    assert acts(intruder, "done", token)
    with host.watching():
        until(lambda: bool(host.said))
        with superuser.begin() as connection:
            connection.execute(text("UPDATE keydeck.duty SET since = since - interval '16 minutes'"))
        with intruder.begin() as connection:  # at once given back and taken anew, it is the same term
            for act in ("end", "take"):
                connection.execute(HOLD, {"duty": LEAD, "token": token, "act": act})
        until(lambda: "Watching." in host.said)
        assert not acts(intruder, "take", token)
        assert not acts(intruder, "done", token)


@pytest.mark.usefixtures("quick")
def test_an_open_transaction_on_a_duty_stops_no_duty(
    services: Container, superuser: Engine, intruder: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("ALTER FUNCTION keydeck.hold_duty SET lock_timeout = '50ms'"))
    host = Host(services.state_engine)
    with intruder.begin() as connection:
        connection.execute(HOLD, {"duty": LEAD, "token": uuid4(), "act": "take"})
        with host.watching():
            until(lambda: bool(host.ran))
            assert not host.metrics.ready
            assert f"of role {intruder.url.username}" in host.metrics.health()["why"]


def test_leases_are_changed_by_their_functions_alone_and_by_the_login_that_took_them(
    services: Container, superuser: Engine, intruder: Engine
) -> None:
    token = uuid4()
    assert acts(services.state_engine, "take", token)
    for act in ("renew", "look", "remember", "done", "end", "take"):
        assert not acts(intruder, act, token)
    for table in ("duty", "incident_lease"):
        for statement in (f"UPDATE keydeck.{table} SET until = now()", f"DELETE FROM keydeck.{table}"):
            with pytest.raises(ProgrammingError), intruder.begin() as connection:
                connection.execute(text(statement))
    assert acts(services.state_engine, "renew", token)


@pytest.mark.usefixtures("quick")
def test_a_database_that_is_gone_is_waited_for(
    services: Container, superuser: Engine, environment: dict[str, str], sandbox: Sandbox
) -> None:
    name = superuser.url.database
    admin = open_engine(sandbox.superuser_url).execution_options(isolation_level="AUTOCOMMIT")

    def let_in(allowed: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"), {"n": name}
            )

    host = Host(services.state_engine)
    with host.watching():
        until(lambda: bool(host.ran))
        let_in("false")
        until(lambda: host.value("keydeck_watch_state", state="no database") == 1)
        assert not host.metrics.ready
        done = len(host.ran)
        let_in("true")
        until(lambda: host.metrics.ready and len(host.ran) > done + 2)
    admin.dispose()


def test_waits_grow_and_end_somewhere_and_are_not_the_same_for_all() -> None:
    longest = [max(waiting_seconds(n) for _ in range(50)) for n in range(1, 12)]
    assert longest[0] <= 5.0 < longest[3] <= longest[-1] + 150 <= 450
    assert len({waiting_seconds(3) for _ in range(5)}) > 1


def test_each_duty_is_done_once_and_what_they_find_is_told(
    services: Container, hook: Webhook, keydeck: Callable[..., Any]
) -> None:
    first = keydeck("watch", "--once")
    assert first.exit_code == 0, first.stderr
    told = "\n".join(f"{one['title']}\n{one['message']}" for one in hook.taken)
    assert "critical" in told
    assert re.search(r"findings: \d+ findings", first.stderr)
    assert re.search(r"census: \d+ tokens, \d+ protected", first.stderr)
    hook.taken.clear()
    services.journal.record("incident declare", "INC-1", Outcome.DONE)
    again = keydeck("watch", "--once", "--every=pull=never", "--every=findings=never")
    assert "pull" not in again.stderr
    assert [one["title"] for one in hook.taken] == ["critical: Incident declared: INC-1"]
    with on_duty(services.state_engine, LEAD):
        standing_by = keydeck("watch", "--once")
    assert (standing_by.exit_code, "Another process watches" in standing_by.stderr) == (0, True)
    hook.status = 500
    services.journal.record("incident declare", "INC-2", Outcome.DONE)
    failing = keydeck("watch", "--once", "--every", "pull=never", "--every", "findings=0")
    assert "oncall: It answered with HTTP status 500." in failing.stderr
    assert TOKEN not in first.stderr + again.stderr + failing.stderr


@pytest.mark.deep
def test_who_may_only_read_watches_without_telling_and_says_what_is_missing(
    services: Container,
    superuser: Engine,
    hook: Webhook,
    keydeck: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with role_of(KeydeckRole.INSPECTOR, services, superuser) as inspector:
        monkeypatch.setenv("DATABASE_URL", inspector.url.render_as_string(hide_password=False))
        ran = keydeck("watch", "--once", "--every=pull=never")
    assert ran.exit_code == 0, ran.stderr
    assert "GRANT EXECUTE ON FUNCTION keydeck.hold_duty TO" in ran.stderr
    assert "no notifications are sent" in ran.stderr
    assert "census: " in ran.stderr
    assert hook.taken == []


def test_kms_that_is_gone_fails_the_duties_that_need_it_and_is_named(
    services: Container, keydeck: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    ran = keydeck("watch", "--once", "--every=pull=never")
    assert ran.exit_code == 3
    assert "census: failed: No answer from AWS at Decrypt" in ran.stderr
    assert "findings: failed: No answer from AWS at ListKeys" in ran.stderr


def asked(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    try:
        with urlopen(Request(url, headers={"Accept": accept}), timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_are_served_in_both_forms_and_readiness_follows_the_duties() -> None:
    core = Metrics()
    metrics = WatchMetrics(core.registry, {"pull": 300.0})
    metrics.failed("pull", 1.5)
    with serving("127.0.0.1", 0, core.registry, metrics) as url:
        status, kind, content = asked(f"{url}/metrics", "application/openmetrics-text; version=1.0.0")
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        families = {family.name: family for family in text_string_to_metric_families(content)}
        assert families["keydeck_duty_failing"].samples[0].value == 1
        assert {"keydeck_tokens", "keydeck_duty_runs", "keydeck_watch_state"} <= families.keys()
        assert "_created" not in content
        assert asked(f"{url}/metrics")[1].startswith("text/plain; version=")
        assert [asked(f"{url}/{path}")[0] for path in ("health", "ready", "", "metrics/../x")] == [
            200,
            503,
            404,
            404,
        ]
        metrics.done("pull", 1.0, 0.5)
        assert json.loads(asked(f"{url}/ready")[2])["duties"] == {
            "pull": {"failing": False, "last_success": 1.0}
        }


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/health"])
def test_only_requests_for_a_name_of_its_own_are_answered(path: str) -> None:
    """A page whose name was made to resolve to this machine sends its own name."""
    core = Metrics()
    metrics = WatchMetrics(core.registry, {"pull": 300.0})
    with serving("127.0.0.1", 0, core.registry, metrics, ("Metrics.Example", "proxy.example:8080")) as url:
        port = int(url.rpartition(":")[2])

        def status(*hosts: str, target: str = path) -> int:
            with socket.create_connection(("127.0.0.1", port)) as client:
                lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
                client.sendall("\r\n".join(lines).encode())
                return int(client.makefile("rb").readline().split()[1])

        known = ("127.0.0.1", "localhost", "LocalHost", "[::1]", "metrics.example")
        assert {status(f"{name}:{port}") for name in known} == {200}
        assert status("proxy.example:8080") == 200
        hostile = [
            *("evil.example", f"evil.example:{port}", "", f":{port}", "localhost", f"localhost:{port + 1}"),
            *(f"localhost.:{port}", f"user@localhost:{port}", f"localhost:{port}@evil.example", "0.0.0.0"),
            *(f"localhost:{port}.evil.example", f"0.0.0.0:{port}", f"[::ffff:127.0.0.1]:{port}"),
            *(f"127.0.0.1.evil.example:{port}", f"127.1:{port}", f"localhost:{port}, evil.example"),
        ]
        assert {host: status(host) for host in hostile if status(host) != 421} == {}
        assert status() == 421
        assert status(f"localhost:{port}", "evil.example") == 421
        assert status("evil.example", f"localhost:{port}") == 421
        for host in ("evil.example", f"localhost:{port}"):
            assert status("evil.example", target=f"http://{host}{path}") == 421
            assert status(f"localhost:{port}", target=f"http://{host}{path}") == 421


def test_duties_have_intervals_that_options_change_and_wrong_ones_are_named(
    keydeck: Callable[..., Any], services: Container
) -> None:
    chosen = chosen_duties(DUTIES, {"census": 7_200.0, "pull": 0.0})
    assert {duty.name: seconds for duty, seconds in chosen.items()} == {
        "findings": 900,
        "census": 7_200,
        "evidence": 3_600,
        "notices": 15,
    }
    wrong = keydeck("watch", "--every", "censsus=2h")
    assert (wrong.exit_code, "census" in wrong.stderr) == (2, True)
    assert keydeck("watch", "--every", "census=soon").exit_code == 2
    taken = keydeck("watch", "--host", "203.0.113.7", "--port", "9")
    assert (taken.exit_code, "Cannot listen on 203.0.113.7 port 9" in taken.stderr) == (2, True)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_signal_ends_it_with_exit_code_0(services: Container, hook: Webhook) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "watch", "--port=0", "--every=pull=never"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
    assert url is not None
    assert asked(f"{url[0]}/health")[0] == 200
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Stopping." in said.splitlines()) == (0, True)


def test_the_unit_is_one_that_systemd_takes_and_gives_no_right_that_is_not_needed(
    keydeck: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "100% x" / "keydeck"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(command)])
    printed = keydeck("watch", "--print-unit", "systemd", "--every=census=2h")
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(printed.stdout)
    service = dict(unit["Service"])
    assert service["ExecStart"].endswith(" watch --every=census=7200s --host=127.0.0.1 --port=9464")
    hardened = ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces")
    assert {service[name] for name in hardened} == {"yes"}
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    if analyze := shutil.which("systemd-analyze"):
        file = tmp_path / "keydeck-watch.service"
        file.write_text(printed.stdout)
        checked = subprocess.run(
            [analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
        )
        assert "keydeck-watch.service" not in checked.stderr, checked.stderr


def test_the_manifest_is_a_deployment_of_one_that_may_write_nothing_but_its_own(
    keydeck: Callable[..., Any],
) -> None:
    printed = keydeck("watch", "--print-manifest", "kubernetes", "--from=s3", "--port=9000")
    manifest = yaml.safe_load(printed.stdout)
    assert (manifest["kind"], manifest["spec"]["replicas"]) == ("Deployment", 1)
    pod = manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"] == ["watch", "--from=s3", "--host=0.0.0.0", "--port=9000"]
    assert container["ports"][0]["containerPort"] == 9000
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    labels = manifest["spec"]["selector"]["matchLabels"]
    assert labels == manifest["spec"]["template"]["metadata"]["labels"]
