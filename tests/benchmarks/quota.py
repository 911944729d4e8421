"""What a job takes of KMS's quota beside the platform, and what the platform notices of it.

    python -m tests.benchmarks.quota [--json] [--rounds N] [--real-seconds S]

The platform makes its usual calls a second and, for five seconds, a burst. In simulated time
(quota_simulation.py), at quotas that two cores can't carry, every way meets the same platform:

- Keydeck: `--rate auto`, the very CallPace that jobs use, in one process, and in three. A further process
  starts where one fills its core, at 9,400 calls a second: three have targets at 10,000 alone.
- Half: a fixed half of the quota, whatever KMS says; refused calls are made again.
- AIMD: additive increase, multiplicative decrease up to the quota: falls to 0.7, back in 20 s.
- botocore: its retry mode "adaptive", by its own ClientRateLimiter, RateClocker and CubicCalculator.

In real time, over sockets, at a quota of 2,000: Keydeck's transport and pipeline re-encrypt tokens from
memory beside a platform client. Each has a process of its own, as has the fake KMS, which keeps the quota.
The platform's 99th percentile is compared with its own beside the same job at a KMS and a quota apart: its
calls wait for processors there as much as here, and only the quota is not shared. It also
prints how busy the cores were: where they were full, processors were measured, not the quota.

It prints the worst of all platforms and seeds (`--rounds`): the share that was taken of what the platform
left, but for ten seconds at the start and ten behind the burst, and of the whole; how many of the platform's
calls were refused; by how much its 99th percentile rose against the same platform alone, retries included;
seconds from the burst's first refusal until no more was asked for than was left; and seconds from the burst's
end until nine tenths of what was left were taken. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
from botocore.exceptions import CapacityNotAvailableError
from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.throttling import CubicCalculator

from crypto_core.aws.kms import KmsApi
from crypto_core.reencryption.bulk.http import RequestSigner
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.pipeline import RunGate, pass_tokens
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.token_sealer import Sealing
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.reencryption.plan import Verb
from tests.benchmarks.bulk import REGION, Memory
from tests.benchmarks.fake_kms import NEW, OLD, PLATFORM, TALLY_SECONDS, encrypted_data_key, running
from tests.benchmarks.measuring import Target, options, report
from tests.benchmarks.quota_simulation import (
    ATTEMPTS,
    Caller,
    Paced,
    SimulatedClock,
    Simulation,
    Window,
    simulate,
)
from tests.crypto_core.reencryption.bulk.memory import task

SHARE, THROTTLED, RISE, YIELD_SECONDS, BACK_SECONDS = 0.9, 0.001, 0.05, 1.0, 10.0
"""Targets."""
PLATFORMS: dict[int, Sequence[tuple[float, float]]] = {
    2_000: ((200, 1_800), (1_000, 1_800)),
    5_000: ((200, 4_500), (2_500, 4_500)),
    10_000: ((200, 5_000), (2_500, 5_000)),
}
"""By quota: the platform's usual calls a second, and those of its burst."""
BURST, BURST_SECONDS, SECONDS = 16.0, 5.0, 42.0
GUESS = 10_000.0
"""What Keydeck takes the quota for: that of most Regions."""
REAL_QUOTA, REAL_LATENCY_MS = 2_000, 10.0
REAL_PLATFORM = (200.0, 1_600.0)


class Half(Paced):
    """Half of the quota, and deaf."""

    def hear(self, turn: int, seconds: float, *, throttled: bool) -> None:
        """Nothing."""


class Aimd:
    """Falls to 0.7 of its rate, once in half a second, and comes back evenly in 20 s, up to the quota."""

    hears_all = False

    def __init__(self, quota: float, clock: SimulatedClock) -> None:
        self._clock, self._quota = clock, quota
        self._rate, self._credit, self._at, self._fell_at, self._turn = quota, 0.0, clock(), -1.0, 0

    def ask(self) -> int:
        passed, self._at = self._clock() - self._at, self._clock()
        self._rate = min(self._quota, self._rate + self._quota * passed / 20.0)
        self._credit = min(max(1.0, self._rate * 0.02), self._credit + passed * self._rate)
        if self._credit < 1.0:
            return 0
        self._credit -= 1.0
        self._turn += 1
        return self._turn

    def hear(self, turn: int, seconds: float, *, throttled: bool) -> None:
        if throttled and self._clock() - self._fell_at >= 0.5:
            self._fell_at, self._rate = self._clock(), max(2.0, self._rate * 0.7)


class _BotocoreClock:
    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock

    def current_time(self) -> float:
        return self._clock()


class _Detector:
    """Says of a response whether it was throttled; here a response is that."""

    def is_throttling_error(self, *, response: bool, **_: Any) -> bool:
        return response


class Adaptive:
    """botocore's own limiter. It is off until the first refusal: a job asks as fast as the quota then."""

    hears_all = True

    def __init__(self, quota: float, clock: SimulatedClock) -> None:
        of = _BotocoreClock(clock)
        self._bucket = TokenBucket(max_rate=1, clock=of)
        cubic = CubicCalculator(starting_max_rate=0, start_time=clock())
        self._limiter = ClientRateLimiter(cubic, RateClocker(of), self._bucket, _Detector(), of)
        self._unlimited = CallPace(quota, clock=clock)
        self._turn = 0

    def ask(self) -> int:
        """The next call, if the bucket has it: what would wait for it comes again a millisecond later."""
        if self._unlimited.take_turn():
            return 0
        if self._limiter._enabled:
            try:
                self._bucket.acquire(block=False)
            except CapacityNotAvailableError:
                return 0
        self._turn += 1
        return self._turn

    def hear(self, turn: int, seconds: float, *, throttled: bool) -> None:
        self._limiter.on_receiving_response(response=throttled)


WAYS: dict[str, Callable[[float], list[Callable[[SimulatedClock], Caller]]]] = {
    "Keydeck": lambda quota: [lambda clock: Paced(CallPace(guess=GUESS, clock=clock))],
    "Keydeck × 3": lambda quota: [lambda clock: Paced(CallPace(guess=GUESS, clock=clock))] * 3,
    "Half": lambda quota: [lambda clock: Half(CallPace(quota / 2, clock=clock))],
    "AIMD": lambda quota: [partial(Aimd, quota)],
    "botocore": lambda quota: [partial(Adaptive, quota)],
}
HELD = {*(("Keydeck", quota) for quota in PLATFORMS), ("Keydeck × 3", 10_000)}
"""Of what the targets are, and at which quota."""


@dataclass(frozen=True, slots=True)
class Figures:
    way: str
    quota: int
    share: float
    whole_share: float
    throttled: float
    p99_rise: float
    yield_seconds: float
    back_seconds: float
    busy_percent: float = 0.0
    """Of all cores, in real time."""

    def worse(self, other: Figures) -> Figures:
        return Figures(
            self.way,
            self.quota,
            min(self.share, other.share),
            min(self.whole_share, other.whole_share),
            max(self.throttled, other.throttled),
            max(self.p99_rise, other.p99_rise),
            max(self.yield_seconds, other.yield_seconds),
            max(self.back_seconds, other.back_seconds),
        )


def platform_of(usual: float, burst: float, begin: float = BURST) -> Callable[[float], float]:
    return lambda now: burst if begin <= now < begin + BURST_SECONDS else usual


def figures_of(way: str, quota: int, found: Simulation, alone_p99: float, burst: float) -> Figures:
    end = burst + BURST_SECONDS
    last = found.windows[-1].at
    return Figures(
        way,
        quota,
        found.share((10.0, end), (end + 10.0, last)),
        found.share((0.0, last)),
        found.platform_throttled(),
        found.p99() / alone_p99 - 1.0,
        found.yielded(burst, BURST_SECONDS),
        found.back(end, last - end),
    )


def simulated(case: tuple[str, int, float, float, int]) -> Figures:
    way, quota, usual, burst, seed = case
    platform = platform_of(usual, burst)
    alone = simulate(quota, platform, SECONDS, [], seed)
    return figures_of(
        way, quota, simulate(quota, platform, SECONDS, WAYS[way](quota), seed), alone.p99(), BURST
    )


def table(rounds: int) -> list[Figures]:
    """Run all ways at all quotas; Keydeck with `rounds` seeds, the others with one."""
    cases = [
        (way, quota, *of, seed)
        for quota, platforms in PLATFORMS.items()
        for of in platforms
        for way in WAYS
        for seed in range(1, (rounds if way == "Keydeck" else 1) + 1)
    ]
    cases.sort(key=lambda case: -case[1])
    worst: dict[tuple[int, str], Figures] = {}
    with ProcessPoolExecutor(2) as pool:
        for one in pool.map(simulated, cases):
            of = (one.quota, one.way)
            worst[of] = worst[of].worse(one) if of in worst else one
    return [worst[quota, way] for quota in PLATFORMS for way in WAYS]


# Real time.


async def platform_client(url: str, usual: float, burst: float, begin: float, seconds: float) -> list[float]:
    """Make the platform's calls, each when it is due, and return how long each took.

    What is refused is made again as botocore's mode "standard" does.
    """
    import boto3

    credentials = boto3.Session(PLATFORM.decode(), "none").get_credentials()
    assert credentials is not None
    signer = RequestSigner(credentials.get_frozen_credentials(), REGION, url)
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps({"KeyId": OLD, "CiphertextBlob": b64encode(encrypted_data_key()).decode()}).encode()
    begun = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n".encode()
    call = begun + signer.lines("Decrypt", body, time.time()) + b"\r\n"
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    taken: list[float] = []
    platform = platform_of(usual, burst, begin)
    loop = asyncio.get_running_loop()

    async def attempt() -> bool:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
        writer.write(call + body)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.rpartition(b":")[2]))
        idle.append((reader, writer))
        return head.startswith(b"HTTP/1.1 200")

    async def make(due: float, number: int) -> None:
        for attempts in range(1, ATTEMPTS + 1):
            if await attempt() or attempts == ATTEMPTS:
                break
            await asyncio.sleep(random.random() * 2 ** (attempts - 1))
        taken[number] = loop.time() - due

    began = loop.time()
    due, calls = began, []
    while due < began + seconds:
        wait = due - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        taken.append(0.0)
        calls.append(asyncio.create_task(make(due, len(taken) - 1)))
        due += random.expovariate(platform(due - began))
    await asyncio.gather(*calls)
    for _, writer in idle:
        writer.close()
    return taken


async def job(url: str, seconds: float) -> None:
    memory, control = Memory(10_000_000), RunGate()
    asyncio.get_running_loop().call_later(seconds, control.stop.set)
    pace = CallPace(guess=float(quota_of("")))
    async with KmsTransport(KmsApi([REGION], endpoint_url=url), pace) as transport:
        sealing = Sealing(task(Verb.REENCRYPT, NEW, OLD))
        await pass_tokens(memory, memory, partial(sealing.seal_token, kms=transport), control)


def _apart(*of: str) -> subprocess.Popen[bytes]:
    credentials = {"AWS_ACCESS_KEY_ID": "AKIAKEYDECKBENCH0001", "AWS_SECRET_ACCESS_KEY": "none"}
    command = [sys.executable, "-m", "tests.benchmarks.quota", *of]
    return subprocess.Popen(command, env=os.environ | credentials, stdout=subprocess.PIPE)


def _client(url: str, burst: float, begin: float, seconds: float) -> subprocess.Popen[bytes]:
    return _apart("--platform", url, *map(str, (REAL_PLATFORM[0], burst, begin, seconds)))


def real(seconds: float) -> Figures:
    """Run Keydeck beside a platform client for so long; before that, for the latency, at a KMS apart."""
    p99s = []
    tallies: dict[int, list[int]] = {}
    burst = BURST
    busy = 0.0
    for shared in (False, True):
        tallies.clear()
        apart = running(REAL_LATENCY_MS, REAL_QUOTA - REAL_PLATFORM[0])
        with running(REAL_LATENCY_MS, REAL_QUOTA, tallies) as url, apart as other:
            psutil.cpu_percent()
            client = _client(url, REAL_PLATFORM[1], burst, seconds)
            job = _apart("--job", url if shared else other, str(seconds))
            taken = sorted(json.loads(client.communicate()[0]))
            busy = max(busy, psutil.cpu_percent())
            job.communicate()
        p99s.append(taken[int(len(taken) * 0.99)])
    first = min(tallies)
    platform = platform_of(*REAL_PLATFORM, burst)
    windows = []
    for number in range(round(seconds / TALLY_SECONDS)):
        let, refused, platform_let, platform_refused = tallies.get(first + number, [0, 0, 0, 0])
        at = number * TALLY_SECONDS
        left = max(REAL_QUOTA - platform(at), 0.0) * TALLY_SECONDS
        calls = platform_let + platform_refused
        windows.append(Window(at, left, [let], [refused], calls, platform_refused))
    found = figures_of("Keydeck, sockets", REAL_QUOTA, Simulation(windows, taken), p99s[0], burst)
    return replace(found, busy_percent=busy)


def targets(found: Sequence[Figures]) -> list[Target]:
    """What was promised of Keydeck, as numbers that are to stay small."""
    made = []
    for one in found:
        name = f"{one.way}, quota {one.quota:,}"
        made += [
            Target(f"{name}: not taken of what is left", 100 * (1 - one.share), 100 * (1 - SHARE), "%"),
            Target(f"{name}: platform throttled", 100 * one.throttled, 100 * THROTTLED, "%"),
            Target(f"{name}: rise of the platform's p99", 100 * one.p99_rise, 100 * RISE, "%"),
            Target(f"{name}: yields to a burst", one.yield_seconds, YIELD_SECONDS, "s"),
            Target(f"{name}: back behind a burst", one.back_seconds, BACK_SECONDS, "s"),
        ]
    return made


def main() -> int:
    if sys.argv[1:2] == ["--platform"]:
        url, *numbers = sys.argv[2:]
        print(json.dumps(asyncio.run(platform_client(url, *map(float, numbers)))))
        return 0
    if sys.argv[1:2] == ["--job"]:
        asyncio.run(job(sys.argv[2], float(sys.argv[3])))
        return 0
    parser = options("KMS's quota, shared by the platform and a job.", rounds=4)
    parser.add_argument("--real-seconds", type=float, default=32.0, metavar="S", help="0 to leave it out")
    chosen = parser.parse_args()
    found = table(chosen.rounds)
    reached = targets([one for one in found if (one.way, one.quota) in HELD])
    sockets = [real(chosen.real_seconds)] if chosen.real_seconds else []
    reached += targets(sockets)
    return report(
        reached,
        (
            "Way",
            "quota",
            "taken of left",
            "of the whole",
            "platform throttled",
            "p99 rise",
            "yields s",
            "back s",
        ),
        [_cells(one) for one in (*found, *sockets)],
        as_json=chosen.json,
        packages=("botocore", "aiohttp"),
        notes=[f"In real time {one.busy_percent:.0f} % of all cores were in use." for one in sockets],
    )


def _cells(one: Figures) -> tuple[str, ...]:
    return (
        one.way,
        f"{one.quota:,}",
        f"{one.share:.0%}",
        f"{one.whole_share:.0%}",
        f"{one.throttled:.3%}",
        f"{one.p99_rise:+.1%}",
        f"{one.yield_seconds:.1f}",
        f"{one.back_seconds:.1f}",
    )


if __name__ == "__main__":
    raise SystemExit(main())
