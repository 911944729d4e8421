"""Which OpenSSLs are in FIPS mode, and what TLS with AWS comes to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event

from crypto_core.algorithms.algorithm import ALGORITHMS
from crypto_core.algorithms.aws_endpoints import EndpointFact, endpoints_of, look_at_endpoints
from crypto_core.algorithms.fips import NEEDED, REMEDY, VARIABLE
from crypto_core.algorithms.openssl_modules import LIBRARY, PYTHON, OpensslModule, openssl_modules
from crypto_core.diagnosis.aws import Apis
from crypto_core.diagnosis.check import Check, Clock, Topic, system_clock
from crypto_core.errors import KeydeckError
from crypto_core.providers.endpoints import is_loopback

_PROTOCOLS = ("TLSv1.2", "TLSv1.3")
_ENDS_SOON = timedelta(days=14)
_FIRST_HYBRID = (3, 5)
_SHORT = {PYTHON: "Python's ssl", LIBRARY: "cryptography"}
_OWN_BUILD = (
    "Install psycopg2 built against the system's libpq: pip install --no-binary psycopg2-binary "
    "psycopg2-binary."
)


def look_at_cryptography(
    area: str, apis: Apis | None, stop: Event, *, fips_required: bool, clock: Clock = system_clock
) -> Iterator[Check]:
    """Yield the checks: OpenSSLs first, then a handshake with each endpoint. Changes nothing.

    `apis` is None where AWS's configuration can't be used.
    """
    modules = openssl_modules()
    for module in modules:
        yield _module(
            Topic(area, f"FIPS: {_SHORT.get(module.what, module.what)}"), module, required=fips_required
        )
    topic = Topic(area, "TLS")
    if any(module.broken for module in modules):
        yield topic.skipped("Not asked: an OpenSSL has no provider to compute with.")
        return
    if apis is None or stop.is_set():
        return
    try:
        regions = apis.regions
        endpoints = endpoints_of(apis.of(regions[0]), regions)
    except KeydeckError as error:
        yield topic.unknown_by(error)
        return
    found = look_at_endpoints(endpoints, stop)
    yield _fips_endpoints(Topic(area, "FIPS endpoints"), found, required=fips_required)
    for one in found:
        yield _connection(Topic(area, f"TLS: {', '.join(one.services)}"), one, clock())


def _module(topic: Topic, module: OpensslModule, *, required: bool) -> Check:
    said = f"{module.version}: {module.why}."
    if module.fips:
        return topic.ok(said)
    if module.what in NEEDED:
        if required:
            return topic.failed(f"{said} {VARIABLE} requires FIPS mode: nothing else starts.", REMEDY)
        return topic.failed(said, REMEDY) if module.broken else topic.ok(f"{said} FIPS mode is not required.")
    if required:
        return topic.warning(f"Not known: {module.why}.", _OWN_BUILD)
    return topic.skipped(f"{module.version}; FIPS mode is not required.")


def _fips_endpoints(topic: Topic, endpoints: tuple[EndpointFact, ...], *, required: bool) -> Check:
    others = [one.host for one in endpoints if not one.fips]
    if not others:
        return topic.ok("AWS's FIPS endpoints are used.")
    said = f"Not used for {', '.join(others)}."
    if not required:
        return topic.ok(f"{said} They are not required.")
    return topic.warning(said, "Set AWS_USE_FIPS_ENDPOINT=true, in Regions where AWS has them.")


def trouble_of(endpoint: EndpointFact, now: datetime) -> str:
    """Return what is wrong with the way to an endpoint, "" where that is nothing, or not known."""
    if not endpoint.encrypted:
        return "" if is_loopback(endpoint.name) else "plain HTTP"
    if endpoint.protocol not in (None, *_PROTOCOLS):
        return "outdated protocol"
    certificate = endpoint.certificate
    if certificate is not None and certificate.not_after - now < _ENDS_SOON:
        return f"certificate ends {certificate.not_after:%Y-%m-%d}"
    return ""


def _connection(topic: Topic, endpoint: EndpointFact, now: datetime) -> Check:
    where = f"{endpoint.host} ({endpoint.region})"
    trouble = trouble_of(endpoint, now)
    if not endpoint.encrypted:
        said = f"{where}: plain HTTP."
        return topic.warning(said, "Use an https URL.") if trouble else topic.skipped(said)
    if endpoint.protocol is None:
        return topic.unknown(f"{where}: {endpoint.problem}.")
    said = f"{where}: {endpoint.protocol}, {endpoint.cipher}, {_group(endpoint)}"
    if trouble and endpoint.protocol not in _PROTOCOLS:
        return topic.warning(said, "Have the endpoint speak TLS 1.2 or 1.3.")
    certificate = endpoint.certificate
    if certificate is not None:
        said += f" Certificate: {certificate.key} {certificate.key_bits or ''}, {certificate.signature},"
        said += f" until {certificate.not_after:%Y-%m-%d}."
    if trouble:
        return topic.warning(said, "Renew it, or look whether its owner does.")
    return topic.ok(said, _hybrid_hint(endpoint))


def _group(endpoint: EndpointFact) -> str:
    if endpoint.group is None:
        return "no group named."
    algorithm = ALGORITHMS.get(endpoint.group)
    return f"{endpoint.group}. {algorithm.quantum_standing}" if algorithm else f"{endpoint.group}."


def _hybrid_hint(endpoint: EndpointFact) -> str:
    algorithm = ALGORITHMS.get(endpoint.group or "")
    if algorithm is not None and algorithm.quantum_category:
        return ""
    if ssl.OPENSSL_VERSION_INFO[:2] < _FIRST_HYBRID:
        return (
            f"A Python with OpenSSL 3.5 or newer offers X25519MLKEM768; this one has {ssl.OPENSSL_VERSION}."
        )
    return "This machine offers X25519MLKEM768; the endpoint, or what stands before it, took another."
