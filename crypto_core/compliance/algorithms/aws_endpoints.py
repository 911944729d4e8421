"""What TLS comes to with the endpoints of AWS that Keydeck calls: protocol, cipher, group, certificate.

It is asked by a handshake of this process's own, with Python's OpenSSL and botocore's authorities. boto3's
connections use the same; those of the platform may come to something else. Doctor tells of each connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from crypto_core.aws.service_endpoint import ServiceEndpoint, tls_context
from crypto_core.compliance.algorithms.algorithm import ALGORITHMS
from crypto_core.compliance.algorithms.tls_probe import (
    CertificateFact,
    Handshake,
    HandshakeError,
    shake_hands,
)
from crypto_core.diagnosis.check import Check, Topic, system_clock
from crypto_core.providers.endpoints import is_loopback
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans

LIMIT_SECONDS = 5.0
"""For all endpoints, which are asked side by side."""
_GLANCE = 0.1
_PROTOCOLS = ("TLSv1.2", "TLSv1.3")
_ENDS_SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
@cleans(300)
class EndpointFact:
    """One endpoint. `encrypted` is False for plain HTTP.

    `protocol` (such as TLSv1.3), `cipher`, `cipher_bits` (its key's size) and `group` (by which keys are
    agreed on, IANA's name) are what a handshake came to, None where there was none; `problem` says why then.
    `group` alone is None where the server names none. `fips` is whether its name is that of a FIPS
    endpoint.
    """

    services: tuple[CleanText, ...]
    region: CleanText
    host: CleanText
    encrypted: bool
    fips: bool
    protocol: CleanText | None = None
    cipher: CleanText | None = None
    cipher_bits: int | None = None
    group: CleanText | None = None
    certificate: CertificateFact | None = None
    problem: CleanText = NO_TEXT

    @property
    def name(self) -> str:
        """The host without its port."""
        return self.host.rpartition(":")[0]


def look_at_endpoints(
    endpoints: Iterable[ServiceEndpoint], stop: Event | None = None, limit: float = LIMIT_SECONDS
) -> tuple[EndpointFact, ...]:
    """Return what TLS comes to with each place, asked once. Takes `limit` seconds at most; raises nothing."""
    places: dict[tuple[str, int], list[ServiceEndpoint]] = {}
    for one in endpoints:
        places.setdefault(one.place, []).append(one)
    answers: SimpleQueue[tuple[tuple[str, int], Handshake | str]] = SimpleQueue()
    for place, (one, *_) in places.items():
        # Daemons: a name that is looked up without end must not keep the process from ending.
        Thread(target=lambda p=place, o=one: answers.put((p, _asked(o))), daemon=True).start()
    found = _taken(answers, len(places), stop or Event(), monotonic() + limit)
    return tuple(_fact(many, found.get(place, "no answer in time")) for place, many in places.items())


def _taken(
    answers: SimpleQueue[tuple[tuple[str, int], Handshake | str]], number: int, stop: Event, deadline: float
) -> dict[tuple[str, int], Handshake | str]:
    found: dict[tuple[str, int], Handshake | str] = {}
    while len(found) < number and not stop.is_set() and monotonic() < deadline:
        try:
            place, answer = answers.get(timeout=_GLANCE)
        except Empty:
            continue
        found[place] = answer
    return found


def _asked(endpoint: ServiceEndpoint) -> Handshake | str:
    host, port = endpoint.place
    if endpoint.proxy:
        return "reached through a proxy: what is agreed on behind it is not looked at"
    try:
        context = tls_context(endpoint.url, endpoint.authorities)
        return "plain HTTP" if context is None else shake_hands(host, port, context)
    except HandshakeError as error:
        return str(error)
    except (OSError, ValueError):
        return "the certificate authorities can't be read (AWS_CA_BUNDLE)"


def _fact(endpoints: Sequence[ServiceEndpoint], answer: Handshake | str) -> EndpointFact:
    first, shaken = endpoints[0], answer if isinstance(answer, Handshake) else None
    host, port = first.place
    return EndpointFact(
        services=tuple(dict.fromkeys(clean(one.service) for one in endpoints)),
        region=clean(first.region),
        host=clean(f"{host}:{port}"),
        encrypted=first.is_encrypted,
        fips=first.is_fips,
        protocol=clean(shaken.protocol) if shaken else None,
        cipher=clean(shaken.cipher) if shaken else None,
        cipher_bits=shaken.cipher_bits if shaken else None,
        group=clean(shaken.group) if shaken and shaken.group else None,
        certificate=shaken.certificate if shaken else None,
        problem=NO_TEXT if shaken else clean(answer, 300),
    )


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
    if ssl.OPENSSL_VERSION_INFO[:2] < (3, 5):
        return (
            f"A Python with OpenSSL 3.5 or newer offers X25519MLKEM768; this one has {ssl.OPENSSL_VERSION}."
        )
    return "This machine offers X25519MLKEM768; the endpoint, or what stands before it, took another."
