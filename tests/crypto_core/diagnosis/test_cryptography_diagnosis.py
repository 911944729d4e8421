"""What a diagnosis says of OpenSSL and of AWS's FIPS endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event

import pytest

from console.sandbox.endpoint.control import EndpointControl
from crypto_core.aws.service_endpoint import ServiceEndpoint
from crypto_core.diagnosis import Check, CheckOutcome, cryptography
from crypto_core.diagnosis.aws import Apis, AwsPlace
from crypto_core.diagnosis.cryptography import EndpointChecks, look_at_cryptography
from crypto_core.values.clean_text import clean
from tests.crypto_core.openssls import MODULES

REGION = "eu-west-1"
OK, WARNING, FAILED, SKIPPED = (
    CheckOutcome.OK,
    CheckOutcome.WARNING,
    CheckOutcome.FAILED,
    CheckOutcome.SKIPPED,
)


def asked(*added: EndpointChecks, required: bool = False) -> dict[str, Check]:
    apis = Apis(AwsPlace((REGION,)))
    found = look_at_cryptography("cryptography", apis, Event(), added, fips_required=required)
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


def test_handshakes_that_nothing_here_makes_are_told(aws: EndpointControl) -> None:
    told = asked()["TLS"]
    assert (told.outcome, "leaves the capability evidence out" in told.said) == (SKIPPED, True)


def test_an_openssl_that_computes_nothing_fails_and_no_handshake_is_tried(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def handshakes(area: str, endpoints: Sequence[ServiceEndpoint], _stop: Event) -> Iterator[Check]:
        tried.append(f"{area}: {endpoints[0].service}")
        yield from ()

    monkeypatch.setattr(cryptography, "openssl_modules", lambda: MODULES)
    asked(handshakes)
    assert tried == ["cryptography: kms"]
    broken = (MODULES[0], replace(MODULES[1], fips=False, broken=True))
    monkeypatch.setattr(cryptography, "openssl_modules", lambda: broken)
    found = asked(handshakes)
    assert (found["FIPS: cryptography"].outcome, found["TLS"].outcome) == (FAILED, SKIPPED)
    assert len(tried) == 1
