"""Tokens re-encrypted a second: the bulk pipeline beside boto3 scripts and bare sockets, over one fake KMS.

    python -m tests.benchmarks.bulk [--json] [--tokens N] [--latency MS …]

Each way re-encrypts v1 envelopes of 93-byte tokens, two KMS calls each, in a process of its own; the fake KMS
(fake_kms.py) is another process that answers after a fixed time. Tokens come from memory and go nowhere, so
PostgreSQL's part is not in it. What is compared:

- Keydeck: pages, KMS, checking that the new envelope opens, batches.
- Script: boto3, one token after the other, nothing checked.
- Threads: the same script in 16 threads.
- Encryption SDK, Tink: those libraries in 16 threads, in formats of their own (bulk_libraries.py).
- Sockets: 64 bare connections that send signed calls and look at nothing. The ceiling, not a way to work.

PostgreSQL and whole jobs are measured by bulk_jobs.py. The AWS Encryption SDK and Tink are told as not
installed where they are not (extra `bench`). Times are the wall clock's and
the processor's (user and system, of the way's own process), memory is the process's peak. Targets compare
the ways of one run at one latency. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.aws.kms import KmsApi
from crypto_core.database.tokens.store import StoredToken, digest
from crypto_core.envelope import classify, seal, serialise
from crypto_core.reencryption.bulk.http import RequestSigner
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.pipeline import RunGate, pass_tokens
from crypto_core.reencryption.bulk.ports import Outcome, Sealed
from crypto_core.reencryption.bulk.token_sealer import Sealing
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.reencryption.plan import Verb
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.benchmarks.bulk_libraries import encryption_sdk, tink_envelopes
from tests.benchmarks.fake_kms import NEW, OLD, data_key_of, encrypted_data_key, running
from tests.benchmarks.measuring import Target, options, peak_megabytes, report
from tests.crypto_core.reencryption.bulk.memory import task

REGION = "us-east-1"
"""One with the largest quota, 100,000 calls a second: it is the processors that decide."""
TOKEN = "github_pat_" + "0123456789abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJ" + "KLMNOPQRSTUVWXYZ" * 2 + "abc"
POOL = 1_000
PAGE = 500
TIMES_SCRIPT, TIMES_SOCKETS = 30.0, 4.0
"""Targets: tokens a second in the script's, and processor time a token in the bare sockets'."""
LIBRARY_POOL = 50
THREADS = 16
SOCKETS = 64


def envelopes(number: int) -> list[str]:
    made = []
    for _ in range(number):
        blob = encrypted_data_key()
        made.append(serialise(seal(Secret.of(TOKEN), DataKey(data_key_of(blob)), blob)))
    return made


class Memory:
    """Pages that repeat a pool of envelopes under ever new ids, and a sink that counts."""

    def __init__(self, tokens: int) -> None:
        self._pool = envelopes(min(tokens, POOL))
        self._ids = iter(range(tokens))
        self.written = 0

    def next(self) -> Sequence[StoredToken]:
        page = []
        for number in islice(self._ids, PAGE):
            stored = self._pool[number % len(self._pool)]
            ref = TokenRef("gh_connection", "access_token", str(number))
            page.append(StoredToken(ref, classify(stored).format, Secret.of(stored), digest(stored)))
        return page

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        """Nothing changes here."""
        return tokens

    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        self.written += sum(isinstance(outcome, Sealed) for outcome in batch)
        return ()


def keydeck(url: str, tokens: int) -> Callable[[], int]:
    memory = Memory(tokens)

    async def go() -> int:
        kms = KmsApi([REGION], endpoint_url=url)
        async with KmsTransport(kms, CallPace(1_000_000)) as transport:
            sealing = Sealing(task(Verb.REENCRYPT, NEW, OLD))
            await pass_tokens(memory, memory, partial(sealing.seal_token, kms=transport), RunGate())
        return memory.written

    return lambda: asyncio.run(go())


def reencrypted(client: Any, stored: str) -> str:
    """One token written anew as a script does it: two calls of a boto3 client, nothing checked."""
    _, edk, nonce, ciphertext = b64decode(stored).split(b"|")
    key = client.decrypt(KeyId=OLD, CiphertextBlob=b64decode(edk))["Plaintext"]
    token = AESGCM(key).decrypt(b64decode(nonce), b64decode(ciphertext), None)
    made = client.generate_data_key(KeyId=NEW, KeySpec="AES_256")
    fresh = os.urandom(12)
    sealed = AESGCM(made["Plaintext"]).encrypt(fresh, token, None)
    return b64encode(b"|".join((b"v1", *map(b64encode, (made["CiphertextBlob"], fresh, sealed))))).decode()


def client_of(url: str, threads: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=threads)
    return boto3.Session().client("kms", region_name=REGION, endpoint_url=url, config=config)


def script(url: str, tokens: int, threads: int = 1) -> Callable[[], int]:
    client = client_of(url, threads)
    pool = envelopes(min(tokens, POOL))

    def one(number: int) -> int:
        reencrypted(client, pool[number % len(pool)])
        return 1

    def go() -> int:
        if threads == 1:
            return sum(map(one, range(tokens)))
        with ThreadPoolExecutor(threads) as executor:
            return sum(executor.map(one, range(tokens)))

    return go


class Bare(asyncio.Protocol):
    def __init__(self, calls: Any, call: Callable[[], bytes], done: asyncio.Event) -> None:
        self._calls, self._call, self._done = calls, call, done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.rpartition(b":")[2]):
            self._received = b""
            self._next()

    def _next(self) -> None:
        if next(self._calls, None) is None:
            self._transport.close()
            self._done.set()
        else:
            self._transport.write(self._call())


def sockets(url: str, tokens: int) -> Callable[[], int]:
    import boto3

    credentials = boto3.Session().get_credentials().get_frozen_credentials()  # type: ignore[union-attr]
    signer = RequestSigner(credentials, REGION, url)
    host, _, port = url.removeprefix("http://").partition(":")
    blob = b64encode(encrypted_data_key()).decode()
    body = json.dumps({"KeyId": OLD, "CiphertextBlob": blob}).encode()
    head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()

    def call() -> bytes:
        lines = signer.lines("Decrypt", body, time.time())
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body)

    async def go() -> int:
        calls = iter(range(tokens * 2))
        loop = asyncio.get_running_loop()
        ends = [asyncio.Event() for _ in range(SOCKETS)]
        for end in ends:
            await loop.create_connection(lambda end=end: Bare(calls, call, end), host, int(port))  # type: ignore[misc]
        await asyncio.gather(*(end.wait() for end in ends))
        return tokens

    return lambda: asyncio.run(go())


def library(way: Callable[..., Callable[[], int]], url: str, tokens: int) -> Callable[[], int]:
    os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": REGION}
    return way(client_of(url, THREADS), TOKEN.encode(), tokens, min(tokens, LIBRARY_POOL), THREADS)


WAYS: dict[str, tuple[Callable[[str, int], Callable[[], int]], int]] = {
    "Keydeck": (keydeck, 1),
    "Script": (script, 40),
    "Threads": (lambda url, tokens: script(url, tokens, THREADS), 10),
    "Encryption SDK": (lambda url, tokens: library(encryption_sdk, url, tokens), 20),
    "Tink": (lambda url, tokens: library(tink_envelopes, url, tokens), 10),
    "Sockets": (sockets, 1),
}
"""Each way, and by how much fewer tokens it gets than the first."""
NEEDS = {"Encryption SDK": "aws_encryption_sdk", "Tink": "tink"}
"""The packages that ways need which the tests don't."""


@dataclass(frozen=True, slots=True)
class Result:
    way: str
    latency_ms: float
    tokens: int
    seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.tokens * 1e6


def measure(way: str, url: str, latency_ms: float, tokens: int) -> Result:
    go = WAYS[way][0](url, tokens)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    done = go()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(way, latency_ms, done, seconds, cpu, peak_megabytes())


def measured_apart(way: str, latency_ms: float, tokens: int) -> Result:
    with running(latency_ms) as url:
        credentials = {"AWS_ACCESS_KEY_ID": "AKIAKEYDECKBENCH0001", "AWS_SECRET_ACCESS_KEY": "none"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bulk", "--way", way, url, str(latency_ms), str(tokens)],
            env=os.environ | credentials,
            stdout=subprocess.PIPE,
            check=True,
        )
    return Result(**json.loads(done.stdout))


def targets(results: Sequence[Result]) -> Iterator[Target]:
    by_case = {(r.way, r.latency_ms): r for r in results}
    for latency in sorted({r.latency_ms for r in results}):
        ours, plain, bare = (by_case[way, latency] for way in ("Keydeck", "Script", "Sockets"))
        words = f"at {latency:g} ms, {TIMES_SCRIPT:.0f} times the script: time a token"
        yield Target(words, 1e6 / ours.rate, 1e6 / plain.rate / TIMES_SCRIPT, "µs")
        words = f"at {latency:g} ms, processor time a token in that of bare sockets"
        yield Target(words, ours.cpu_us / bare.cpu_us, TIMES_SOCKETS, "")


def main() -> int:
    if sys.argv[1:2] == ["--way"]:
        way, url, latency_ms, tokens = sys.argv[2:]
        result = measure(way, url, float(latency_ms), int(tokens))
        print(json.dumps({name: getattr(result, name) for name in Result.__slots__}))
        return 0
    parser = options("Tokens re-encrypted a second over a fake KMS.", rounds=1)
    parser.add_argument("--tokens", type=int, default=10_000, help="tokens of the fastest ways (%(default)s)")
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 1.5, 10.0], metavar="MS")
    chosen = parser.parse_args()
    missing = [way for way, package in NEEDS.items() if find_spec(package) is None]
    results = [
        measured_apart(way, latency, max(chosen.tokens // fewer, 1))
        for _ in range(chosen.rounds)
        for latency in chosen.latency
        for way, (_, fewer) in WAYS.items()
        if way not in missing
    ]
    scripts = {r.latency_ms: r.rate for r in results if r.way == "Script"}
    return report(
        list(targets(results)),
        ("Way", "latency ms", "tokens", "tokens/s", "× script", "CPU µs/token", "peak MB"),
        [
            (
                r.way,
                f"{r.latency_ms:g}",
                f"{r.tokens:,}",
                f"{r.rate:,.0f}",
                f"{r.rate / scripts[r.latency_ms]:.1f}",
                f"{r.cpu_us:,.0f}",
                f"{r.peak_mb:.0f}",
            )
            for r in results
        ],
        as_json=chosen.json,
        packages=("aiohttp", "httptools", "boto3", "aws-encryption-sdk", "tink"),
        notes=[f"{name}: not installed" for name in missing],
    )


if __name__ == "__main__":
    raise SystemExit(main())
