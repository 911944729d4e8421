"""What TLS comes to with the endpoints of AWS that Keydeck calls: protocol, cipher, group, certificate.

It is asked by a handshake of this process's own, with Python's OpenSSL and botocore's authorities. boto3's
connections use the same; those of the platform may come to something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from crypto_core.algorithms.tls_probe import CertificateFact, Handshake, HandshakeError, shake_hands
from crypto_core.aws.service_endpoint import ServiceEndpoint, tls_context
from crypto_core.text.clean_text import NO_TEXT, CleanText, clean, cleans

LIMIT_SECONDS = 5.0
"""For all endpoints, which are asked side by side."""
_GLANCE = 0.1


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
