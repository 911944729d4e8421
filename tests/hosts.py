"""Hosts of their own on one machine: network namespaces joined to this one by lines with delay and loss.

Linux, as root. The kernel's netem is missing on many machines, so every packet between two namespaces passes
through a thread here: it is held for the delay, dropped by chance, or dropped because the line is cut, which
neither end is told of. Everything is gone with this process.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

CENTRE = "10.77.0.1"
"""The address of this process's namespace, where database and KMS are."""
_FIRST = 2
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
_PACKET = 65_535
_LOOK_SECONDS = 0.05


def missing() -> str:
    """Why there can be no such hosts here, "" where there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid():
        return "network namespaces take root"
    lacking = [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]
    if lacking:
        return f"there is no {lacking[0]} here"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
        subprocess.run(["unshare", "--net", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "this root may make no network namespaces or TUN devices"
    return ""


class Hosts:
    """Hosts 0, 1, … with a line each. `delay_ms` is one way, `loss` the part of the packets that is lost."""

    def __init__(self, delay_ms: float, loss: float) -> None:
        self.delay_ms, self.loss = delay_ms, loss
        self.cut: set[int] = set()
        """Whose line carries nothing; add and remove at will."""
        self.lost = 0
        """Packets that were dropped by chance."""
        self._namespaces: list[subprocess.Popen[bytes]] = []
        self._lines: dict[int, int] = {}
        self._over = Event()
        self._under_way: deque[tuple[float, int, bytes]] = deque()
        self._thread = Thread(target=self._carry, name="lines", daemon=True)

    @classmethod
    @contextmanager
    def joined(cls, number: int, *, delay_ms: float, loss: float) -> Iterator[Hosts]:
        """Move this process into a namespace of its own, for good, and join so many hosts to it."""
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        hosts = cls(delay_ms, loss)
        try:
            _ip("link", "set", "lo", "up")
            hosts._lines[0] = _device("centre")
            _ip("addr", "add", f"{CENTRE}/24", "dev", "centre")
            _ip("link", "set", "centre", "up")
            for host in range(number):
                hosts._join(host)
            hosts._thread.start()
            yield hosts
        finally:
            hosts._close()

    def start(
        self, host: int, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._on(host), *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def set_link(self, host: int, *, up: bool) -> None:
        _ip("link", "set", f"host{host}", "up" if up else "down", on=self._on(host))

    @staticmethod
    def address(host: int) -> str:
        return f"10.77.0.{host + _FIRST}"

    def _join(self, host: int) -> None:
        # It ends with this process, whatever that ends by.
        namespace = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self._namespaces.append(namespace)
        own = Path("/proc/self/ns/net").readlink()
        until = time.monotonic() + 10
        while Path(f"/proc/{namespace.pid}/ns/net").readlink() == own:
            if time.monotonic() > until:
                raise TimeoutError("No network namespace was made.")
            time.sleep(0.005)
        name = f"host{host}"
        self._lines[host + _FIRST] = _device(name)
        _ip("link", "set", name, "netns", str(namespace.pid))
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{self.address(host)}/24", "dev", name),
            ("link", "set", name, "up"),
        ):
            _ip(*words, on=self._on(host))

    def _on(self, host: int) -> list[str]:
        return ["nsenter", "--target", str(self._namespaces[host].pid), "--net", "--"]

    def _carry(self) -> None:
        whose = {line: number for number, line in self._lines.items()}
        centre, arrivals = self._lines[0], select.epoll()
        for line in whose:
            arrivals.register(line, select.EPOLLIN)
        while not self._over.is_set():
            due = self._under_way[0][0] - time.monotonic() if self._under_way else _LOOK_SECONDS
            for line, _ in arrivals.poll(max(due, 0.0)):
                self._take(line, whose[line], centre)
            now = time.monotonic()
            while self._under_way and self._under_way[0][0] <= now:
                _, line, packet = self._under_way.popleft()
                try:
                    os.write(line, packet)
                except OSError:  # a link that is down takes nothing
                    self.lost += 1
        arrivals.close()

    def _take(self, line: int, number: int, centre: int) -> None:
        """Take what a namespace has sent: each packet is for the centre, or from there for a host."""
        for _ in range(64):
            try:
                packet = os.read(line, _PACKET)
            except OSError:
                return
            other = number or packet[19]
            to = centre if number else self._lines.get(other, -1)
            if to < 0 or packet[0] >> 4 != 4 or other - _FIRST in self.cut:
                continue
            if random.random() < self.loss:
                self.lost += 1
            else:
                self._under_way.append((time.monotonic() + self.delay_ms / 1000, to, packet))

    def _close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for line in self._lines.values():
            os.close(line)
        for namespace in self._namespaces:
            namespace.kill()
            namespace.wait()


def _device(name: str) -> int:
    line = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(line, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    return line


def _ip(*words: str, on: Sequence[str] = ()) -> None:
    subprocess.run([*on, "ip", *words], check=True, capture_output=True)
