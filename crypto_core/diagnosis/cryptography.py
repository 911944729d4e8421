"""Which OpenSSLs are in FIPS mode, and whether AWS's FIPS endpoints are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event

from crypto_core.aws.fips import LIBRARY, NEEDED, PYTHON, REMEDY, VARIABLE, OpensslModule, openssl_modules
from crypto_core.aws.service_endpoint import ServiceEndpoint
from crypto_core.diagnosis.aws import Apis
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.values.errors import KeydeckError

EndpointChecks = Callable[[str, Sequence[ServiceEndpoint], Event], Iterator[Check]]  # of an area
_SHORT = {PYTHON: "Python's ssl", LIBRARY: "cryptography"}
_OWN_BUILD = (
    "Install psycopg2 built against the system's libpq: pip install --no-binary psycopg2-binary "
    "psycopg2-binary."
)


def look_at_cryptography(
    area: str, apis: Apis | None, stop: Event, added: Iterable[EndpointChecks] = (), *, fips_required: bool
) -> Iterator[Check]:
    """Yield the checks: OpenSSLs first, then AWS's endpoints, with what is `added`. Changes nothing.

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
        endpoints = apis.of(regions[0]).endpoints(regions)
    except KeydeckError as error:
        yield topic.unknown_by(error)
        return
    yield _fips_endpoints(Topic(area, "FIPS endpoints"), endpoints, required=fips_required)
    if not added:
        yield topic.skipped("Not looked at: this installation leaves the capability evidence out.")
    for look in added:
        yield from look(area, endpoints, stop)


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


def _fips_endpoints(topic: Topic, endpoints: Sequence[ServiceEndpoint], *, required: bool) -> Check:
    others = dict.fromkeys("{}:{}".format(*one.place) for one in endpoints if not one.is_fips)
    if not others:
        return topic.ok("AWS's FIPS endpoints are used.")
    said = f"Not used for {', '.join(others)}."
    if not required:
        return topic.ok(f"{said} They are not required.")
    return topic.warning(said, "Set AWS_USE_FIPS_ENDPOINT=true, in Regions where AWS has them.")
