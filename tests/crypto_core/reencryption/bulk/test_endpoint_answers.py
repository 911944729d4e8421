"""What answers may not be KMS, or not say what it must: an endpoint whose answers the test writes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.data_keys import NO_CONTEXT
from crypto_core.reencryption.bulk.http import MAX_ANSWER_BYTES
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.values.errors import (
    CredentialsError,
    KmsError,
    KmsInternalError,
    KmsRequestError,
    KmsThrottledError,
    KmsUnreachableError,
    KmsUnreadableError,
    UntrustedKeyError,
)

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/1a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
REPLICAS = "arn:aws:kms:{}:111122223333:key/mrk-0a1b2c3d0a1b0a1b0a1b0a1b2c3d4e5f"
PLAINTEXT = b64encode(b"S" * 32).decode()


class Answers:
    """The answers that are sent, in turn, the last one ever after; and the requests they are for."""

    def __init__(self, *answers: web.Response) -> None:
        self._answers = list(answers)
        self.requests: list[web.BaseRequest] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def said(document: object, status: int = 200, **headers: str) -> web.Response:
    return web.Response(status=status, body=json.dumps(document).encode(), headers=headers)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKEYDECKTEST00001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("http_proxy", "")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@asynccontextmanager
async def answering(
    answers: Answers,
    attempts: int = 2,
    tls: ssl.SSLContext | None = None,
    url: str = "http://127.0.0.1:{port}",
) -> AsyncIterator[KmsTransport]:
    server = web.Server(answers)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    os.environ["http_proxy"] = f"http://127.0.0.1:{port}"
    kms = KmsApi(["eu-west-1"], endpoint_url=url.format(port=port))
    try:
        async with KmsTransport(kms, CallPace(1_000), attempts=attempts) as transport:
            yield transport
    finally:
        listener.close()
        await server.shutdown(0.1)


async def decrypted(*answers: web.Response, key: str = KEY) -> bytes:
    async with answering(Answers(*answers)) as transport:
        unwrapped = await transport.decrypt(key, b"blob", NO_CONTEXT)
        with unwrapped.data_key as data_key:
            return bytes(data_key._buffer)


async def test_the_data_key_is_what_kms_sent() -> None:
    assert await decrypted(said({"KeyId": KEY, "Plaintext": PLAINTEXT})) == b"S" * 32


async def test_another_key_than_the_asked_one_is_not_believed() -> None:
    with pytest.raises(UntrustedKeyError):
        await decrypted(said({"KeyId": OTHER, "Plaintext": PLAINTEXT}))


async def test_a_replica_of_the_asked_key_is_believed() -> None:
    here, there = REPLICAS.format("eu-west-1"), REPLICAS.format("us-east-1")
    assert await decrypted(said({"KeyId": there, "Plaintext": PLAINTEXT}), key=here)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said({"KeyId": KEY, "Plaintext": b64encode(b"S" * 16).decode()}), KmsRequestError),
        (said({"KeyId": KEY, "Plaintext": "no base64 *"}), KmsRequestError),
        (said({"KeyId": KEY, "Plaintext": 7}), KmsRequestError),
        (said({"KeyId": KEY}), KmsRequestError),
        (said({"Plaintext": PLAINTEXT}), KmsRequestError),
        (said([1, 2]), KmsUnreadableError),
        (web.Response(body=b"<html>Sign in</html>"), KmsUnreadableError),
        (said({"KeyId": KEY, "Plaintext": PLAINTEXT, "x": "y" * MAX_ANSWER_BYTES}), KmsUnreadableError),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), KmsRequestError),
        (said({"__type": "ThrottlingException"}, 400), KmsThrottledError),
        (said({}, 429), KmsThrottledError),
        (web.Response(status=502, body=b"<html>Bad gateway</html>"), KmsInternalError),
    ],
)
async def test_what_is_no_answer_of_kms_is_told_and_its_content_is_not(
    answer: web.Response, kind: type[KmsError]
) -> None:
    with pytest.raises(kind) as raised:
        await decrypted(answer)
    error: BaseException | None = raised.value
    while error is not None:
        assert PLAINTEXT[:20] not in repr(error)
        error = error.__cause__ or error.__context__


async def test_a_clock_that_is_wrong_is_set_right_by_what_aws_says() -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    refusal = said(
        {"__type": "InvalidSignatureException", "message": "Signature expired: 2026 is now earlier than"},
        400,
        Date=format_datetime(ahead, usegmt=True),
    )
    answers = Answers(refusal, said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    async with answering(answers) as transport:
        for _ in range(2):
            (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
    dates = [
        datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        for request in answers.requests
    ]
    assert len(dates) == 3
    assert ahead - dates[0] > timedelta(hours=1)
    assert all(abs(ahead - date) < timedelta(minutes=1) for date in dates[1:])


async def test_a_clock_that_is_put_right_again_is_believed_again() -> None:
    now, hours = datetime.now(UTC), timedelta(hours=2)

    def refused(word: str) -> web.Response:
        document = {"__type": "InvalidSignatureException", "message": f"Signature {word}: 2026"}
        return said(document, 400, Date=format_datetime(now, usegmt=True))

    opened = said({"KeyId": KEY, "Plaintext": PLAINTEXT})
    answers = Answers(opened, refused("expired"), opened, refused("not yet current"), opened)
    async with answering(answers) as transport:
        for off_by in (timedelta(), -hours, timedelta()):
            transport._clock = lambda off_by=off_by: (now + off_by).timestamp()  # type: ignore[misc]
            (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
    signed = [request.headers["X-Amz-Date"] for request in answers.requests]
    assert [told == f"{now:%Y%m%dT%H%M%SZ}" for told in signed] == [True, False, True, False, True]


async def test_a_wrong_secret_is_not_taken_for_a_wrong_clock() -> None:
    answers = Answers(
        said({"__type": "InvalidSignatureException", "message": "The request signature does not match"}, 400)
    )
    with pytest.raises(CredentialsError):
        async with answering(answers) as transport:
            await transport.decrypt(KEY, b"blob", NO_CONTEXT)
    assert len(answers.requests) == 1


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_only_an_endpoint_that_botocore_would_trust_is_asked(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    answers = Answers(said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    async with answering(answers, 1, tls, "https://127.0.0.1:{port}") as transport:
        if trusted:
            for _ in range(3):
                (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
        else:
            with pytest.raises(KmsUnreachableError):
                await transport.decrypt(KEY, b"blob", NO_CONTEXT)
    assert len(answers.requests) == (3 if trusted else 0)
    assert len({id(request.transport) for request in answers.requests}) <= 1


async def test_calls_go_through_the_proxy_that_the_environment_names() -> None:
    answers = Answers(said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    async with answering(answers, 1, url="http://kms.nowhere.invalid") as transport:
        (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
    request = answers.requests[0]
    assert request.headers["Host"] == "kms.nowhere.invalid"
    assert str(request.url) == "http://kms.nowhere.invalid/"


async def test_a_proxy_only_passes_on_what_goes_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is asked to connect, with the user that its URL names, and sees nothing of the calls."""
    file = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    seen: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        host, _, port = head.split()[1].decode().partition(":")
        there, onward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(passed(reader, onward), passed(there, writer))

    async def passed(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            seen.append(data)
            to.write(data)
        to.close()

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    number = proxy.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://someone:secret@127.0.0.1:{number}")
    monkeypatch.setenv("no_proxy", "")
    answers = Answers(said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    async with proxy, answering(answers, 1, tls, "https://127.0.0.1:{port}") as transport:
        for _ in range(2):
            (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
    assert len(answers.requests) == 2
    assert "Proxy-Authorization" not in answers.requests[0].headers
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert b64encode(b"someone:secret") in seen[0]
    assert PLAINTEXT.encode() not in b"".join(seen)


async def test_connections_are_kept() -> None:
    answers = Answers(said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    peers = set()
    async with answering(answers) as transport:
        for _ in range(5):
            (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
            peers.add(answers.requests[-1].transport.get_extra_info("peername"))  # type: ignore[union-attr]
    assert len(peers) == 1


async def test_a_connection_that_the_endpoint_closed_is_replaced() -> None:
    answers = Answers(said({"KeyId": KEY, "Plaintext": PLAINTEXT}))
    async with answering(answers) as transport:
        for _ in range(2):
            (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
            answers.requests[-1].transport.close()  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
        (await transport.decrypt(KEY, b"blob", NO_CONTEXT)).data_key.wipe()
    assert len(answers.requests) == 3
