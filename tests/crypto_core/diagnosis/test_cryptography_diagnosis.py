"""What a diagnosis says of OpenSSL and of connections to AWS."""

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
from crypto_core.algorithms.tls_probe import CertificateFact
from crypto_core.diagnosis import Check, CheckOutcome, cryptography
from crypto_core.diagnosis.aws import Apis, AwsPlace
from crypto_core.diagnosis.cryptography import look_at_cryptography
from crypto_core.text.clean_text import clean
from tests.crypto_core.algorithms.facts import CERTIFICATE, ENDPOINT, MODULES
from tests.tls import Tls
from tests.tls_servers import listening, speaking

REGION = "eu-west-1"
OK, WARNING, FAILED, UNKNOWN, SKIPPED = (
    CheckOutcome.OK,
    CheckOutcome.WARNING,
    CheckOutcome.FAILED,
    CheckOutcome.UNKNOWN,
    CheckOutcome.SKIPPED,
)


def asked(*, required: bool = False) -> dict[str, Check]:
    apis = Apis(AwsPlace((REGION,)))
    found = look_at_cryptography("cryptography", apis, Event(), fips_required=required)
    return {check.name: check for check in found}


@pytest.mark.parametrize("required", [False, True])
def test_openssl_without_fips_mode_fails_only_where_it_is_required(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    off = tuple(replace(one, fips=False, why=clean("default provider")) for one in MODULES)
    monkeypatch.setattr(cryptography, "openssl_modules", lambda: off)
    found = asked(required=required)
    for name in ("FIPS: Python's ssl", "FIPS: cryptography"):
        assert found[name].outcome is (FAILED if required else OK)
        assert ("OPENSSL_CONF" in found[name].remedy) is required
    assert found["FIPS endpoints"].outcome is (WARNING if required else OK)
    monkeypatch.setattr(cryptography, "openssl_modules", lambda: MODULES)
    assert asked(required=True)["FIPS: cryptography"].outcome is OK


def test_an_openssl_that_computes_nothing_fails_and_no_handshake_is_tried(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (MODULES[0], replace(MODULES[1], fips=False, broken=True))
    monkeypatch.setattr(cryptography, "openssl_modules", lambda: broken)
    found = asked()
    assert (found["FIPS: cryptography"].outcome, found["TLS"].outcome) == (FAILED, SKIPPED)


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
    monkeypatch.setattr(cryptography, "look_at_endpoints", lambda *_: (one,))
    check = asked()["TLS: kms"]
    assert check.outcome is outcome
    assert hint in check.remedy
    assert bool(hint) is bool(check.remedy)
