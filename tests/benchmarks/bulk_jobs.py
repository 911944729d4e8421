"""Whole jobs and verification over PostgreSQL, as run in earnest, beside the platform's sequential script.

    python -m tests.benchmarks.bulk_jobs [--json] [--tokens N …] [--latency MS]

Each case has a PostgreSQL of its own, filled with so many v1 envelopes of 93-byte tokens, and the fake KMS
(fake_kms.py) that answers after a fixed time. Keydeck is the command `keydeck reencrypt … --job` or `rewrap`,
in a process of its own: plan, chunks, KMS calls, every new envelope opened and compared, batches with their
backups, closing censuses. Script reads a token, asks KMS twice, writes the row and commits, one after the
other, checks nothing and keeps no backup; it gets a fortieth of the tokens. Verification opens every token
through KMS, once, and keeps each answer, in one process that is bound to one core where the system allows it.
Sockets make two signed calls a token and look at nothing (bulk.py): what the calls alone take at least.

A job's rate is taken from when its first process joins it to its last batch; what comes before and behind
(start, plan, censuses, the seconds in which a job waits for writers under the old key) is in the whole
command's time, told beside it. The small job's time is from when it is made to its end. Script's rate is its
loop's, verification's that of the call that verifies.
CPU is user and system time of the command and its processes, start, plan and censuses included, memory the
peak of the largest of them. What a token more takes is the difference of the last and the first size, by
tokens: the command's fixed part is not in it. Growth compares the last size with the first. One process has a
core where there are two: PostgreSQL and the fake KMS share the other, so rates of the wall clock depend on
both. Two processes, PostgreSQL and the fake KMS want a core each: with fewer, they take them from each other.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase

import psycopg2

from console.sandbox.sandbox import Sandbox
from tests.benchmarks.bulk import REGION, envelopes, measured_apart, reencrypted
from tests.benchmarks.fake_kms import NEW, OLD, running
from tests.benchmarks.measuring import Target, options, peak_megabytes, report

TIMES_SCRIPT, RATE, REWRAPS, TWO_PROCESSES, GROWTH, PEAK_MB = 16.0, 5_500.0, 5_000.0, 1.7, 0.85, 200.0
"""Targets: re-encryption in scripts, tokens a second, rewraps a second, two processes in one's, and so on."""
CPU_US = 170.0
"""Target: µs of processor time a token that is re-encrypted."""
SOCKETS, SOCKET_TOKENS = "sockets", 5_000
VERIFY = "verify, one core"
VERIFIES, VERIFIES_SCRIPT = 9_000.0, 37.0
"""Targets: tokens verified a second, and in scripts."""
SMALL = "small job"
FEW, SMALL_SECONDS = 2, 3.0
"""Target: from when a job of so few tokens is made to its end."""
FEWER = 40
FILL = 5_000
LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 1024 * 1024 if sys.platform == "darwin" else 1024
told = {"seconds": time.perf_counter() - began, "cpu_seconds": used.ru_utime + used.ru_stime}
print(json.dumps(told | {"loop_seconds": 0.0, "peak_mb": used.ru_maxrss / unit}))
sys.exit(code)
"""
"""Runs a command in a process that is small itself: Linux counts its memory to the command's."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one case came to. `seconds` are the whole command's, `writing_seconds` those in which it wrote."""

    way: str
    tokens: int
    seconds: float
    writing_seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.tokens / self.writing_seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time a token, start and plan included."""
        return self.cpu_seconds / self.tokens * 1e6


class Rows(RawIOBase):
    """Rows of gh_connection as COPY reads them, made as they are asked for: this process stays small."""

    def __init__(self, tokens: int) -> None:
        self._rows = self._made(tokens)
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size and (more := next(self._rows, b"")):
            self._left += more
        given, self._left = self._left[:size], self._left[size:]
        return given

    @staticmethod
    def _made(tokens: int) -> Iterator[bytes]:
        for first in range(0, tokens, FILL):
            stored = envelopes(min(FILL, tokens - first))
            lines = (
                f"gh-{first + n:08d}\to\tu\t{one}\toauth\t[]\t2026-01-01\n" for n, one in enumerate(stored)
            )
            yield "".join(lines).encode()


@contextmanager
def platform(tokens: int, url: str) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """Run a PostgreSQL with so many tokens under the old key; gives it and the command's environment."""
    with Sandbox.start(data=False, region=REGION) as sandbox:
        connection = psycopg2.connect(sandbox.platform_database_url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            names = "id, org_id, user_id, access_token, token_type, scopes, created_at"
            cursor.copy_expert(f"COPY gh_connection ({names}) FROM STDIN", Rows(tokens))
            cursor.execute("VACUUM ANALYZE gh_connection")
        connection.close()
        settings = {
            "AWS_ENDPOINT_URL": url,
            "TOKEN_ENCRYPTION_KEY_ID": NEW,
            "KEYDECK_TRUSTED_KEYS": OLD,
            "PLATFORM_DATABASE_URL": sandbox.platform_database_url,
        }
        yield sandbox, sandbox.environment() | settings


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "console", *arguments]


def job(verb: str, processes: str) -> list[str]:
    return command(
        *(verb, "--from", OLD, "--to", NEW, "--job", "--yes", "--json", "--except", "*"),
        *("--processes", processes, "--rate", "1000000"),
    )


def script() -> float:
    """What one writes in an afternoon: boto3, AESGCM, psycopg2, one token after the other.

    Returns its loop's seconds.
    """
    import boto3

    kms = boto3.Session().client("kms", region_name=REGION)
    connection = psycopg2.connect(os.environ["PLATFORM_DATABASE_URL"])
    kms.describe_key(KeyId=OLD)
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, access_token FROM gh_connection ORDER BY id")
        for row_id, stored in cursor.fetchall():
            new = reencrypted(kms, stored)
            cursor.execute("UPDATE gh_connection SET access_token = %s WHERE id = %s", (new, row_id))
            connection.commit()
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def verification() -> float:
    from console.container import Container
    from console.settings import load
    from crypto_core.database.state.installation import install
    from crypto_core.reencryption.plan import Selection

    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    container = Container(load().settings)
    install(container.engine)
    started = time.perf_counter()
    verified = container.tokens.work.verify_tokens(Selection(everything=True))
    seconds = time.perf_counter() - started
    assert all(one.opened for one in verified)
    container.close()
    return seconds


def measured(way: str, tokens: int, latency_ms: float) -> Result:
    if way == SOCKETS:
        bare = measured_apart("Sockets", latency_ms, tokens)
        return Result(way, tokens, bare.seconds, bare.seconds, bare.cpu_seconds, bare.peak_mb)
    with running(latency_ms) as url, platform(tokens, url) as (sandbox, settings):
        if way in ("script", VERIFY):
            line = [sys.executable, "-m", "tests.benchmarks.bulk_jobs", "--way", way]
        else:
            subprocess.run(command("init"), env=settings, stdout=subprocess.DEVNULL, check=True)
            line = [sys.executable, "-c", LAUNCHER, *job(*("reencrypt 1" if way == SMALL else way).split())]
        done = subprocess.run(line, env=settings, capture_output=True, check=False)
        told = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
        if not told:
            raise SystemExit(f"{way}: exit code {done.returncode}\n{done.stderr.decode()[-2_000:]}")
        writing = told["loop_seconds"] or (_job_seconds if way == SMALL else _writing_seconds)(
            sandbox, tokens
        )
    return Result(way, tokens, told["seconds"], writing, told["cpu_seconds"], told["peak_mb"])


def _job_seconds(sandbox: Sandbox, tokens: int) -> float:
    connection = psycopg2.connect(sandbox.superuser_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM ended_at - created_at) FROM keydeck.job")
        ((seconds,),) = cursor.fetchall()
    connection.close()
    return float(seconds)


def _writing_seconds(sandbox: Sandbox, tokens: int) -> float:
    connection = psycopg2.connect(sandbox.superuser_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), extract(epoch FROM max(replaced_at) - "
            "(SELECT min(started_at) FROM keydeck.job_runner)) FROM keydeck.envelope_backup"
        )
        ((written, seconds),) = cursor.fetchall()
    connection.close()
    assert written == tokens, f"{written} of {tokens} tokens were written"
    return float(seconds)


def run_way(way: str) -> None:
    """Run the script or verification in this process and print what it took."""
    started = time.perf_counter()
    loop_seconds = script() if way == "script" else verification()
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": time.perf_counter() - started,
        "loop_seconds": loop_seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": peak_megabytes(),
    }
    print(json.dumps(told), flush=True)


def targets(results: list[Result]) -> Iterator[Target]:
    """What was promised, as far as it was measured; each as a number that is to stay small."""
    by_way: dict[str, list[Result]] = {}
    for one in results:
        by_way.setdefault(one.way, []).append(one)
    ours, plain = by_way["reencrypt 1"], by_way["script"][0]
    best = max(one.rate for one in ours)
    yield Target(
        f"re-encryption, {TIMES_SCRIPT:.0f} times the script: time for {FEWER * 100:,} tokens",
        FEWER * 100 / best,
        FEWER * 100 / (TIMES_SCRIPT * plain.rate),
        "s",
    )
    yield Target(f"re-encryption, {RATE:,.0f} tokens/s: time a token", 1e6 / best, 1e6 / RATE, "µs")
    least = by_way[SOCKETS][0].cpu_us
    fewest, most = ours[0], ours[-1]
    words = f"re-encryption: processor time a token, of the whole command for {most.tokens:,}"
    yield Target(words, most.cpu_us, CPU_US, "µs", least, "bare sockets, two calls a token")
    if most.tokens > fewest.tokens:
        more = (most.cpu_seconds - fewest.cpu_seconds) / (most.tokens - fewest.tokens) * 1e6
        words = f"re-encryption: processor time a token more, between {fewest.tokens:,} and {most.tokens:,}"
        yield Target(words, more, CPU_US, "µs", least, "bare sockets, two calls a token")
    for one in by_way.get("rewrap 1", []):
        yield Target(f"rewrap, {REWRAPS:,.0f} tokens/s: time a token", 1e6 / one.rate, 1e6 / REWRAPS, "µs")
    for one in by_way.get(VERIFY, []):
        words = f"verification, {VERIFIES:,.0f} tokens/s on one core: time a token"
        yield Target(words, 1e6 / one.rate, 1e6 / VERIFIES, "µs")
        words = f"verification, {VERIFIES_SCRIPT:.0f} times the script: time for {FEWER * 100:,} tokens"
        limit = FEWER * 100 / (VERIFIES_SCRIPT * plain.rate)
        yield Target(words, FEWER * 100 / one.rate, limit, "s")
    for one in by_way.get(SMALL, []):
        yield Target(f"a job of {one.tokens} tokens, to its end", one.writing_seconds, SMALL_SECONDS, "s")
    for two in by_way.get("reencrypt 2", []):
        one = next(one for one in ours if one.tokens == two.tokens)
        yield Target("two processes' time in one's", one.rate / two.rate, 1 / TWO_PROCESSES, "")
    if most.tokens > fewest.tokens:
        words = f"time a token of {most.tokens:,} in that of {fewest.tokens:,}"
        yield Target(words, fewest.rate / most.rate, 1 / GROWTH, "")
    peak = max(one.peak_mb for one in results if one.way not in ("script", VERIFY, SOCKETS))
    yield Target("peak memory", peak, PEAK_MB, "MB")


def main() -> int:
    if sys.argv[1:2] == ["--way"]:
        run_way(sys.argv[2])
        return 0
    parser = options("Jobs over PostgreSQL and a fake KMS, tokens a second.", rounds=1)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4_000, 20_000], metavar="N")
    parser.add_argument("--latency", type=float, default=1.5, metavar="MS")
    chosen = parser.parse_args()
    first = chosen.tokens[0]
    cases = [("script", max(first // FEWER, 1)), *(("reencrypt 1", n) for n in chosen.tokens)]
    cases += [
        ("rewrap 1", min(first * 3, chosen.tokens[-1])),
        (VERIFY, chosen.tokens[-1]),
        ("reencrypt 2", chosen.tokens[-1]),
    ]
    cases += [(SMALL, FEW), (SOCKETS, SOCKET_TOKENS)]
    results = [measured(way, tokens, chosen.latency) for way, tokens in cases]
    plain = results[0].rate
    return report(
        list(targets(results)),
        ("Way", "tokens", "tokens/s", "× script", "command s", "CPU µs/token", "peak MB"),
        [
            (
                one.way,
                f"{one.tokens:,}",
                f"{one.rate:,.0f}",
                f"{one.rate / plain:.1f}",
                f"{one.seconds:.1f}",
                f"{one.cpu_us:,.0f}",
                f"{one.peak_mb:.0f}",
            )
            for one in results
        ],
        as_json=chosen.json,
        packages=("aiohttp", "httptools", "psycopg2-binary", "boto3"),
    )


if __name__ == "__main__":
    raise SystemExit(main())
