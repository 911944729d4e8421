"""A KMS that costs next to nothing: data keys are computed from encrypted ones, nothing is verified.

    python -m tests.benchmarks.fake_kms LATENCY_MS

Prints its port, and ends with its standard input. An `asyncio.Protocol` of its own, because a web framework
would be what bounds the benchmark.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from base64 import b64decode, b64encode

import orjson

HEADER = bytes.fromhex("0102030078")
EDK_BYTES = 184
KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/{}a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
OLD, NEW = KEY_ARN.format(0), KEY_ARN.format(1)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n"


def encrypted_data_key() -> bytes:
    """A new encrypted data key, as long as KMS's."""
    return HEADER + os.urandom(EDK_BYTES - len(HEADER))


def data_key_of(blob: bytes) -> bytes:
    """The data key that an encrypted one stands for."""
    return hashlib.sha256(blob).digest()


def answer(operation: bytes, request: dict[str, str]) -> dict[str, str]:
    """What KMS says to one of the three operations."""
    if operation == b"GenerateDataKey":
        blob = encrypted_data_key()
        return {
            "KeyId": request["KeyId"],
            "CiphertextBlob": b64encode(blob).decode(),
            "Plaintext": b64encode(data_key_of(blob)).decode(),
        }
    if operation == b"Decrypt":
        blob = b64decode(request["CiphertextBlob"])
        return {"KeyId": request["KeyId"], "Plaintext": b64encode(data_key_of(blob)).decode()}
    return {
        "KeyId": request["DestinationKeyId"],
        "SourceKeyId": request["SourceKeyId"],
        "CiphertextBlob": request["CiphertextBlob"],
    }


class FakeKms(asyncio.Protocol):
    """One connection. Requests are answered one after the other."""

    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing received."""
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            at = head.index(b"trentservice.") + len(b"trentservice.")
            operation = self._received[at:end].split(b"\r\n", 1)[0]
            self._received = self._received[end + 4 + length :]
            content = orjson.dumps(answer(operation, orjson.loads(body)))
            whole = _HEAD % len(content) + content
            if self.seconds:
                asyncio.get_running_loop().call_later(self.seconds, self._transport.write, whole)  # type: ignore[attr-defined]
            else:
                self._transport.write(whole)  # type: ignore[attr-defined]


async def serve(latency_ms: float) -> None:
    """Serve until standard input ends."""
    FakeKms.seconds = latency_ms / 1000
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakeKms, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
