"""What a diagnosis says of connections to AWS."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from console.sandbox.endpoint.control import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.compliance.algorithms import aws_endpoints
from crypto_core.compliance.algorithms.aws_endpoints import look_at_connections
from crypto_core.compliance.algorithms.tls_probe import CertificateFact
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.algorithms.facts import CERTIFICATE, ENDPOINT
from tests.tls import Tls
from tests.tls_servers import listening, speaking

REGION = "eu-west-1"
OK, WARNING, UNKNOWN, SKIPPED = (
    CheckOutcome.OK,
    CheckOutcome.WARNING,
    CheckOutcome.UNKNOWN,
    CheckOutcome.SKIPPED,
)


def asked() -> dict[str, Check]:
    endpoints = KmsApi((REGION,)).endpoints((REGION,))
    return {check.name: check for check in look_at_connections("cryptography", endpoints, Event())}


def test_each_endpoint_is_told_with_group_and_certificate(
    aws: EndpointControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(tmp_path)
    tls.serve("localhost", days=(-1, 100))
    with listening(speaking(tls)) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{port}")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tls.authority))
        check = asked()["TLS: kms, cloudtrail, sts, s3"]
        assert check.outcome is OK
        for word in (
            f"localhost:{port} ({REGION})",
            "TLSv1.3",
            "TLS_AES_256_GCM_SHA384",
            "ECDSA secp256r1 256",
        ):
            assert word in check.said
        hybrid = ssl.OPENSSL_VERSION_INFO >= (3, 5)
        assert ("X25519MLKEM768. No known quantum attack" in check.said) is hybrid
        assert ("OpenSSL 3.5" in check.remedy) is not hybrid
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{nobody.getsockname()[1]}")
        nobody.close()
        assert asked()["TLS: kms, cloudtrail, sts, s3"].outcome is UNKNOWN


def ending(days: int) -> CertificateFact:
    return replace(CERTIFICATE, not_after=datetime.now(UTC) + timedelta(days=days, hours=1))


@pytest.mark.parametrize(
    ("fields", "outcome", "hint"),
    [
        ({"certificate": ending(14)}, OK, ""),
        ({"certificate": ending(13)}, WARNING, "Renew it"),
        ({"certificate": ending(-1)}, WARNING, "Renew it"),
        ({"certificate": None, "protocol": clean("TLSv1.1")}, WARNING, "TLS 1.2 or 1.3"),
        ({"certificate": None, "group": clean("x25519")}, OK, "X25519MLKEM768"),
        ({"certificate": None, "group": None}, OK, "X25519MLKEM768"),
        ({"protocol": None, "problem": clean("no answer in time")}, UNKNOWN, ""),
        ({"protocol": None, "encrypted": False}, WARNING, "https"),
        ({"protocol": None, "encrypted": False, "host": clean("127.0.0.1:80")}, SKIPPED, ""),
        ({"certificate": None, "protocol": clean("TLSv0.9")}, WARNING, "TLS 1.2 or 1.3"),
    ],
)
def test_a_connection_is_judged_by_protocol_and_days_and_a_quantum_computer_is_a_hint(
    aws: EndpointControl,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    outcome: CheckOutcome,
    hint: str,
) -> None:
    one = replace(ENDPOINT, **fields)
    monkeypatch.setattr(aws_endpoints, "look_at_endpoints", lambda *_: (one,))
    check = asked()["TLS: kms"]
    assert check.outcome is outcome
    assert hint in check.remedy
    assert bool(hint) is bool(check.remedy)
