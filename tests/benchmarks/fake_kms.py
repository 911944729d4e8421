"""A KMS that costs next to nothing: data keys are computed from encrypted ones, nothing is verified.

    python -m tests.benchmarks.fake_kms LATENCY_MS [QUOTA]

Prints its port, and ends with its standard input. With a quota, in calls a second for the whole account, it
refuses what exceeds it as KMS does, by a token bucket of one second's calls; at its end it prints how many
calls it let through and refused in each tenth of a second, those of the platform apart. An `asyncio.Protocol`
of its own, because a web framework would be what bounds the benchmark.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import selectors
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tests.benchmarks.quota_simulation import AccountQuota

PLATFORM = b"AKIAPLATFORM00000001"
"""The access key that only the platform uses."""
_THROTTLED = orjson.dumps(
    {
        "__type": "ThrottlingException",
        "message": "You have exceeded the rate at which you may call KMS.",
    }
)
TALLY_SECONDS = 0.1
HEADER = bytes.fromhex("0102030078")
EDK_BYTES = 184
ACCOUNT = "111122223333"
KEY_ARN = "arn:aws:kms:us-east-1:" + ACCOUNT + ":key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5{}"
OLD, NEW = KEY_ARN.format(0), KEY_ARN.format(1)
_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n"
_CALLER = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult>"
    f"<Arn>arn:aws:iam::{ACCOUNT}:role/operator</Arn><UserId>AROA</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
).encode()
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}


def material_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def encrypted_data_key(key: str = OLD) -> bytes:
    begin = HEADER + material_of(key)
    return begin + os.urandom(EDK_BYTES - len(begin))


def data_key_of(blob: bytes) -> bytes:
    """The data key that an encrypted one stands for, whichever key wrapped it."""
    return hashlib.sha256(blob[len(HEADER) + 32 :]).digest()


def plaintext_of(blob: bytes) -> bytes:
    """What Decrypt gives: a data key, or what Encrypt was given, which lies open in its ciphertext."""
    return data_key_of(blob) if len(blob) == EDK_BYTES else blob[len(HEADER) + 32 :]


def answer(operation: bytes, request: dict[str, Any]) -> dict[str, Any]:
    """What KMS says: to the three operations that tokens take, and to what a job's plan asks."""
    key = request.get("KeyId", "")
    if operation == b"GenerateDataKey":
        blob = encrypted_data_key(key)
        return {
            "KeyId": key,
            "CiphertextBlob": b64encode(blob).decode(),
            "Plaintext": b64encode(data_key_of(blob)).decode(),
        }
    if operation == b"Encrypt":
        return {
            "KeyId": key,
            "CiphertextBlob": b64encode(HEADER + material_of(key) + b64decode(request["Plaintext"])).decode(),
        }
    if operation == b"Decrypt":
        blob = b64decode(request["CiphertextBlob"])
        made_by = next(k for k in (OLD, NEW) if material_of(k) == blob[len(HEADER) :][:32])
        return {
            "KeyId": key or made_by,
            "KeyMaterialId": material_of(made_by).hex(),
            "Plaintext": b64encode(plaintext_of(blob)).decode(),
        }
    if operation == b"ReEncrypt":
        to = request["DestinationKeyId"]
        blob = HEADER + material_of(to) + b64decode(request["CiphertextBlob"])[len(HEADER) + 32 :]
        return {
            "KeyId": to,
            "SourceKeyId": request["SourceKeyId"],
            "CiphertextBlob": b64encode(blob).decode(),
        }
    if operation == b"DescribeKey":
        metadata = {
            "Arn": key,
            "KeyId": key.rpartition("/")[2],
            "AWSAccountId": ACCOUNT,
            "CreationDate": 1_700_000_000,
            "Enabled": True,
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyState": "Enabled",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "MultiRegion": False,
            "Origin": "AWS_KMS",
        }
        return {"KeyMetadata": metadata}
    if operation == b"GetKeyPolicy":
        return {"Policy": json.dumps(_POLICY), "PolicyName": "default"}
    return {"Aliases": [], "Grants": [], "Keys": [], "PolicyNames": ["default"], "Truncated": False}


class Account:
    """The quota that all callers share, and what became of their calls: by tenths of a second."""

    def __init__(self, quota: float) -> None:
        self._quota = AccountQuota(quota, time.monotonic())
        self.tallies: dict[int, list[int]] = {}
        """Others' calls let through and refused, the platform's calls let through and refused."""

    def take(self, head: bytes) -> bool:
        now = time.monotonic()
        let = self._quota.take(now)
        tally = self.tallies.setdefault(int(now / TALLY_SECONDS), [0, 0, 0, 0])
        tally[(PLATFORM in head) * 2 + (not let)] += 1
        return let


class ArrivalSelector(selectors.DefaultSelector):
    arrived = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for something to arrive."""
        found = super().select(timeout)
        self.arrived = time.monotonic()
        return found


class FakeKms(asyncio.Protocol):
    """One connection. Requests are answered one after the other.

    An answer is due a while after its request had arrived, however many others had to be read before it: KMS
    has more processors than one.
    """

    seconds = 0.0
    selector: ArrivalSelector | None = None
    account: Account | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            named = self._received[:end]
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            at = head.find(b"trentservice.") + len(b"trentservice.")
            operation = self._received[at:end].split(b"\r\n", 1)[0]
            self._received = self._received[end + 4 + length :]
            status, content = 200, _CALLER
            if b"trentservice." in head:
                request = orjson.loads(body)
                if self.account is not None and not self.account.take(named):
                    status, content = 400, _THROTTLED
                elif request.get("DryRun"):
                    status, content = 400, b'{"__type":"DryRunOperationException"}'
                else:
                    content = orjson.dumps(answer(operation, request))
            whole = _HEAD % (status, len(content)) + content
            if self.seconds:
                arrived = self.selector.arrived if self.selector else time.monotonic()
                due = arrived + self.seconds
                asyncio.get_running_loop().call_at(due, self._transport.write, whole)  # type: ignore[attr-defined]
            else:
                self._transport.write(whole)  # type: ignore[attr-defined]


async def serve(latency_ms: float, quota: float = 0.0) -> None:
    FakeKms.seconds = latency_ms / 1000
    FakeKms.account = Account(quota) if quota else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakeKms, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    if FakeKms.account is not None:
        print(json.dumps(FakeKms.account.tallies), flush=True)


@contextmanager
def running(
    latency_ms: float, quota: float = 0.0, tallies: dict[int, list[int]] | None = None
) -> Iterator[str]:
    """Run the fake KMS in a process of its own; gives its URL. `tallies` has its tallies behind the block."""
    kms = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.fake_kms", str(latency_ms), str(quota)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert kms.stdin is not None
    assert kms.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(kms.stdout.readline())}"
    finally:
        kms.stdin.close()
        if tallies is not None:
            tallies |= {int(at): tally for at, tally in json.loads(kms.stdout.readline()).items()}
        kms.wait()
        kms.stdout.close()


if __name__ == "__main__":
    FakeKms.selector = ArrivalSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(FakeKms.selector)) as runner:
        runner.run(serve(*map(float, sys.argv[1:])))
