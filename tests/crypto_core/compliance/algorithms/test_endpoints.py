"""What a handshake tells, and what is said of an endpoint that gives none."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.aws.service_endpoint import ServiceEndpoint, tls_context
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact, look_at_endpoints
from crypto_core.compliance.algorithms.tls_probe import (
    HandshakeError,
    group_of,
    read_certificate,
    shake_hands,
)
from tests.tls import Tls
from tests.tls_servers import Limit, listening, speaking


def tls_1_2(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def p_384(context: ssl.SSLContext) -> None:
    """P-384 alone, so that the client's first offer is refused."""
    context.set_ecdh_curve("secp384r1")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    made = Tls(tmp_path_factory.mktemp("tls"))
    made.serve("localhost")
    return made


def at(port: int, tls: Tls, service: str = "kms", host: str = "localhost") -> ServiceEndpoint:
    return ServiceEndpoint(service, "eu-west-1", f"https://{host}:{port}", str(tls.authority))


def asked(endpoint: ServiceEndpoint) -> EndpointFact:
    (found,) = look_at_endpoints([endpoint])
    return found


def test_a_handshake_tells_protocol_cipher_group_and_certificate(tls: Tls) -> None:
    with listening(speaking(tls)) as port:
        (found,) = look_at_endpoints([at(port, tls), at(port, tls, "sts")])
    assert (found.services, found.host, found.encrypted, found.problem) == (
        ("kms", "sts"),
        f"localhost:{port}",
        True,
        "",
    )
    assert (found.protocol, found.cipher, found.cipher_bits) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)
    # Which one it is depends on OpenSSL: from 3.5 on it is the hybrid.
    hybrid = ssl.OPENSSL_VERSION_INFO >= (3, 5)
    assert found.group == ("X25519MLKEM768" if hybrid else "x25519")
    certificate = found.certificate
    assert certificate is not None
    assert (certificate.subject, certificate.key, certificate.key_bits) == (
        "CN=localhost",
        "ECDSA secp256r1",
        256,
    )
    assert (certificate.signature, certificate.signature_oid) == ("ECDSA_WITH_SHA256", "1.2.840.10045.4.3.2")
    assert certificate.key_classical_bits == 128


@pytest.mark.parametrize(
    ("limit", "protocol", "groups"),
    [(tls_1_2, "TLSv1.2", {"x25519", "secp256r1"}), (p_384, "TLSv1.3", {"secp384r1"})],
)
def test_the_group_is_told_of_older_protocols_and_after_a_retry(
    tls: Tls, limit: Limit, protocol: str, groups: set[str]
) -> None:
    with listening(speaking(tls, limit)) as port:
        found = asked(at(port, tls))
    assert (found.protocol, found.problem) == (protocol, "")
    assert found.group in groups


def test_openssl_says_the_same_group(tls: Tls) -> None:
    """Its command names the group of its own handshake: the same library, the same offer."""
    command = shutil.which("openssl")
    if command is None or subprocess.check_output([command, "version"]).split()[1].decode() not in (
        ssl.OPENSSL_VERSION
    ):
        pytest.skip("no openssl command of Python's own version")
    with listening(speaking(tls)) as port:
        found = asked(at(port, tls))
        told = subprocess.run(
            [command, "s_client", "-connect", f"localhost:{port}", "-CAfile", tls.authority],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        ).stdout
    assert f"group: {found.group}" in told


def test_what_gives_no_handshake_is_told_with_the_reason(tls: Tls, tmp_path: Path) -> None:
    other = Tls(tmp_path)
    other.serve("other.example")
    hostile = b"\x16\x03\x03\xff\xff[/red]\x1b]0;" + "\u202e".encode() * 100_000
    with (
        listening(speaking(other)) as stranger,
        listening(lambda connection: connection.recv(1)) as mute,
        listening(lambda connection: connection.sendall(hostile)) as noise,
    ):
        reasons = {
            "certificate not accepted": at(stranger, tls),
            "no TLS": at(noise, tls),
            "not reached": at(1, tls),
        }
        for reason, endpoint in reasons.items():
            found = asked(endpoint)
            assert found.problem.startswith(reason), found
            assert (found.protocol, found.group, found.certificate) == (None, None, None)
            assert not set("\x1b\u202e") & set(found.problem)
        assert asked(at(mute, tls)).problem.startswith(("no TLS", "not reached"))
    plain = ServiceEndpoint("kms", "eu-west-1", "http://127.0.0.1:1", "")
    assert (asked(plain).encrypted, asked(plain).problem) == (False, "plain HTTP")
    proxied = ServiceEndpoint("kms", "eu-west-1", "https://kms.test", "", "http://u:pa55@proxy")
    assert asked(proxied).problem.startswith("reached through a proxy")
    assert "pa55" not in f"{proxied!r}{asked(proxied)!r}"
    unread = ServiceEndpoint("kms", "eu-west-1", "https://kms.test", str(tmp_path / "nowhere.pem"))
    assert "AWS_CA_BUNDLE" in asked(unread).problem


def test_a_server_that_is_slow_or_sends_without_end_is_given_up(tls: Tls) -> None:
    context = tls_context("https://x", str(tls.authority))
    assert context is not None

    def endless(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"\x16\x03\x03\x40\x00" + bytes(16_384))

    with listening(lambda connection: connection.recv(100_000) and connection.recv(1)) as slow:
        with pytest.raises(HandshakeError, match="no answer in time"):
            shake_hands("localhost", slow, context, timeout=0.2)
        silent = at(slow, tls)
        (found,) = look_at_endpoints([silent], limit=0.2)
        assert found.problem == "no answer in time"
    with listening(endless) as port, pytest.raises(HandshakeError, match="no TLS"):
        shake_hands("localhost", port, context)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x16\x03\x03\x00\x80\x02\x00\x00\x7c\x03\x03"]))
def test_whatever_bytes_come_a_group_or_none_is_told(rest: bytes, head: bytes) -> None:
    found = group_of(head + rest)
    assert found is None or found.isprintable()


def test_what_is_no_certificate_is_an_error_of_one_kind() -> None:
    for der in (b"", b"0", bytes(10_000)):
        with pytest.raises(ValueError, match="can't be read"):
            read_certificate(der)
