"""A moment that the endpoint can go back to, so that what is tried out in it leaves nothing behind.

Keys are again as they were, with their material, policies, grants, aliases and uses. Records, buckets,
objects and trails that came since are forgotten; faults, principals and providers are left as they are.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.keys import KeptBesideMoto

_Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What there was: moto's keys by Region with all their attributes, and the names of everything else."""

    keys: Mapping[str, list[tuple[Any, _Attributes]]]
    beside: KeptBesideMoto
    objects: Mapping[str, frozenset[str]]
    trails: Mapping[str, frozenset[str]]
    chains: Mapping[Any, Any]
    records: int


async def bookmark(gate: EndpointGate) -> Bookmark:
    """Return where the endpoint is now; what waits for delivery is delivered before."""
    await gate.delivery.deliver()
    return await gate.moto.run_in_thread(lambda: _taken(gate))


async def go_back(gate: EndpointGate, to: Bookmark) -> None:
    """Let the endpoint be as it was at the bookmark, which stays good for another time."""
    await gate.moto.run_in_thread(lambda: _restore(gate, to))
    gate.trail.forget_after(to.records)


def _taken(gate: EndpointGate) -> Bookmark:
    return Bookmark(
        keys={
            region: [(key, _copied(vars(key))) for key in backend.keys.values()]
            for region, backend in gate.moto.backends("kms").items()
        },
        beside=gate.keys.kept(),
        objects={name: frozenset(bucket.keys) for name, bucket in _buckets(gate).items()},
        trails={
            region: frozenset(backend.trails) for region, backend in gate.moto.backends("cloudtrail").items()
        },
        chains=gate.delivery.digests.chains(),
        records=gate.trail.last,
    )


def _restore(gate: EndpointGate, to: Bookmark) -> None:
    for region, backend in gate.moto.backends("kms").items():
        backend.keys.clear()
        for key, attributes in to.keys.get(region, []):
            vars(key).clear()
            vars(key).update(_copied(attributes))
            backend.keys[key.id] = key
    gate.keys.restore(to.beside)
    buckets = _buckets(gate)
    for name, bucket in list(buckets.items()):
        if name not in to.objects:
            del buckets[name]
            continue
        for key in [key for key in bucket.keys if key not in to.objects[name]]:
            del bucket.keys[key]
    for region, backend in gate.moto.backends("cloudtrail").items():
        for name in set(backend.trails) - to.trails.get(region, frozenset()):
            del backend.trails[name]
    gate.delivery.digests.go_back(to.chains)


def _copied(attributes: _Attributes) -> _Attributes:
    """The attributes, and copies of what they hold: moto changes its aliases and grants in place."""
    return {name: _copy(value) for name, value in attributes.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: copy(held) for name, held in value.items()}
    return [copy(held) for held in value] if isinstance(value, list) else value


def _buckets(gate: EndpointGate) -> dict[str, Any]:
    backends = gate.moto.backends("s3")
    return backends["aws"].buckets if "aws" in backends else {}
