"""The endpoint as a child process of ours."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from typing import IO, Self

from console.host.children import import_path
from console.sandbox.endpoint.control import EndpointControl

START_TIMEOUT = 60.0
_STOP_TIMEOUT = 5.0
_TAIL = 2000


class EndpointStartError(RuntimeError):
    """The endpoint didn't come up; the message ends with what it wrote to stderr."""


class EndpointProcess:
    """Starts the endpoint, knows its URL, and stops it; use it as a context manager, or `close` it.

    The child holds the read end of a pipe as its stdin, so it ends with this process however that ends.
    `seed` makes key ids and key material reproducible; `delivery_interval` is in seconds.
    """

    def __init__(
        self,
        region: str = "eu-west-1",
        *,
        port: int = 0,
        seed: int | None = None,
        delivery_interval: float = 5.0,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self.region = region
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        command = [sys.executable, "-m", "console.sandbox.endpoint", "--region", region, "--port", str(port)]
        command += ["--delivery-interval", str(delivery_interval)]
        if seed is not None:
            command += ["--seed", str(seed)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": import_path(os.environ.get("PYTHONPATH"))},
            start_new_session=True,
        )
        if self._child.stdin is None or self._child.stdout is None:
            raise EndpointStartError("The sandbox's AWS endpoint has no pipes to us")
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        try:
            self.port, self.token = self._read_announcement(start_timeout)
        except BaseException:  # raised again; no child is left behind
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def control(self) -> EndpointControl:
        return EndpointControl(self.url, self.token)

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def stderr_tail(self) -> str:
        """Return the end of what the child wrote to stderr."""
        descriptor = self._stderr.fileno()
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End the child and wait for it; safe to call twice."""
        self._stdin.close()
        try:
            self._child.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._stdout.close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_announcement(self, timeout: float) -> tuple[int, str]:
        descriptor = self._stdout.fileno()
        deadline = time.monotonic() + timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise EndpointStartError(self._explain(f"said nothing for {timeout:g} s"))
                chunk = os.read(descriptor, 4096)
                if not chunk:
                    status = self._child.wait(_STOP_TIMEOUT)
                    raise EndpointStartError(self._explain(f"ended with status {status} before it was ready"))
                line += chunk
        announced = json.loads(line)
        return int(announced["port"]), str(announced["token"])

    def _explain(self, what: str) -> str:
        return (
            f"The sandbox's AWS endpoint {what}. Its stderr ends with:\n{self.stderr_tail() or '(nothing)'}"
        )
