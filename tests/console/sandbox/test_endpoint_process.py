"""The endpoint as a child process: it comes up, says where it is, and never outlives its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControlError, EndpointProcess, EndpointStartError

HOME = str(Path(__file__).parents[3])
PARENT = """
import time
from console.sandbox.endpoint import EndpointProcess
endpoint = EndpointProcess()
print(endpoint.port, flush=True)
time.sleep(60)
"""


@pytest.fixture
def started() -> Any:
    child = subprocess.Popen(
        [sys.executable, "-m", "console.sandbox.endpoint"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": HOME},
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    yield child
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        stream.close()


def test_the_one_line_on_stdout_says_port_pid_and_token(started: Any) -> None:
    line = json.loads(started.stdout.readline())
    assert line == {"port": line["port"], "pid": started.pid, "token": line["token"]}
    assert len(line["token"]) >= 43
    started.terminate()
    assert started.wait(10) == 0
    assert started.stdout.read() == b""
    assert started.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(started: Any, number: int) -> None:
    started.stdout.readline()
    started.send_signal(number)
    assert started.wait(10) == 0


def test_the_end_of_stdin_ends_the_process(started: Any) -> None:
    started.stdout.readline()
    started.stdin.close()
    assert started.wait(10) == 0


def test_a_killed_parent_takes_the_endpoint_with_it() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PARENT,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": HOME},
    )
    assert parent.stdout
    port = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while is_open(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_open(port)


def test_it_listens_on_the_loopback_interface_only() -> None:
    with EndpointProcess() as process:
        assert process.url == f"http://127.0.0.1:{process.port}"
        assert is_open(process.port)
        assert not is_open(process.port, host="127.0.0.2")


def test_close_ends_the_child_and_may_be_called_twice() -> None:
    process = EndpointProcess()
    control = process.control
    assert control.stats().records_kept == 0
    assert process.running
    process.close()
    process.close()
    assert not process.running
    with pytest.raises(EndpointControlError):
        control.stats()


def test_a_port_that_is_taken_is_told_with_the_childs_stderr() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EndpointStartError, match=r"(?s)ended with status 1.*address already in use"):
            EndpointProcess(port=taken.getsockname()[1])


def test_a_child_that_says_nothing_in_time_is_ended() -> None:
    with pytest.raises(EndpointStartError, match="said nothing for 0 s"):
        EndpointProcess(start_timeout=0)


def test_the_first_call_waits_for_moto() -> None:
    with EndpointProcess() as process:
        assert process.control.stats().calls == {}


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, port)) == 0
