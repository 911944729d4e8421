"""Doctor's checks of connections to AWS: what TLS comes to, certificates, quantum computers."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from threading import Event

from crypto_core.algorithms.algorithm import ALGORITHMS
from crypto_core.algorithms.aws_endpoints import EndpointFact, look_at_endpoints
from crypto_core.aws.service_endpoint import ServiceEndpoint
from crypto_core.diagnosis.check import Check, Topic, system_clock
from crypto_core.providers.endpoints import is_loopback

_PROTOCOLS = ("TLSv1.2", "TLSv1.3")
_ENDS_SOON = timedelta(days=14)
_FIRST_HYBRID = (3, 5)


def look_at_connections(area: str, endpoints: Sequence[ServiceEndpoint], stop: Event) -> Iterator[Check]:
    """Yield a check of a handshake with each endpoint. Changes nothing."""
    for one in look_at_endpoints(endpoints, stop):
        yield _connection(Topic(area, f"TLS: {', '.join(one.services)}"), one, system_clock())


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
