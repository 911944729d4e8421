"""The admin calls under `/_gate/`: JSON in, JSON out, each named after its path.

They set what no AWS API can set, and leave no trail records except those they are asked to make up.
`EndpointControl` is their client.
"""

import base64
import json
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.crypto import identifier_of, seal, unseal
from console.sandbox.endpoint.errors import (
    ServiceError,
    access_denied,
    incorrect_key,
    not_found,
    throttled,
    validation,
)
from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.keys import SYMMETRIC, KeptBesideMoto
from console.sandbox.endpoint.parameters import as_text
from console.sandbox.endpoint.records import Record, refuse, rotation_event
from console.sandbox.endpoint.scenario import Denial, Fault
from console.sandbox.http_message import HttpAnswer, HttpRequest

if TYPE_CHECKING:
    from moto.kms.models import Key

Document = dict[str, Any]
Call = Callable[..., Any]
"""Takes the members of the call's document; returns the answer's, nothing for none, or awaits them."""

KEY_STATES = frozenset(
    {
        "Creating",
        "Disabled",
        "Enabled",
        "PendingDeletion",
        "PendingImport",
        "PendingReplicaDeletion",
        "Unavailable",
        "Updating",
    }
)
_DATA_KEY_BYTES = 32
_Attributes = dict[str, Any]
CRYPTO_OPERATIONS = frozenset(
    {"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt"}
)
_MESSAGES = {
    "DisabledException": "{arn} is disabled.",
    "KMSInvalidStateException": "{arn} is pending deletion.",
    "NotFoundException": "Key '{arn}' does not exist",
    "ThrottlingException": throttled().message,
    "IncorrectKeyException": incorrect_key().message,
    "InvalidCiphertextException": "",
}


class Admin:
    def __init__(self, gate: EndpointGate) -> None:
        faults = gate.faults
        self._gate = gate
        self._bookmarked: Bookmark | None = None
        self._calls: dict[str, Call] = {
            "latency": faults.delay,
            "lag": faults.delay_delivery,
            "throttle": faults.throttle,
            "lookup-throttle": faults.throttle_lookups,
            "faults": lambda **fault: faults.add(Fault(**fault)),
            "denials": lambda **denial: faults.denials.append(Denial(**denial)),
            "expire": faults.expire,
            "clear": faults.clear,
            "clock": gate.clock.move,
            "address": self._address,
            "principals": lambda **one: {"arn": gate.principals.add(**one).arn},
            "data-keys": self._data_keys,
            "opened": self._opened,
            "rotate": self._rotate,
            "backdate": self._backdate,
            "key-state": self._key_state,
            "key-states": self._key_states,
            "history": lambda calls: {"recorded": add_history(gate, calls)},
            "usage-tracking": self._usage_tracking,
            "deliver": self._deliver,
            "stats": self._stats,
            "forget": gate.trail.forget_since,
            "bookmark": self._bookmark,
            "go-back": self._go_back,
        }

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one admin call: 200 with its result, or 400 with `{"__type", "message"}`."""
        await self._gate.moto.ready()
        try:
            call = self._calls.get(request.target.removeprefix("/_gate/"))
            if call is None or request.method != "POST":
                raise not_found(f"There is no POST {request.target}; calls: {', '.join(sorted(self._calls))}")
            result = call(**json.loads(request.body or b"{}"))
            if isawaitable(result):
                result = await result
        except ServiceError as error:
            return _json(error.status, error.body())
        except (KeyError, TypeError, ValueError) as error:
            return _json(400, validation(f"{request.target}: {error!r}").body())
        return _json(200, json.dumps(result or {}).encode())

    def _address(self, access_key_id: str, source_ip: str) -> None:
        self._gate.principals.addresses[access_key_id] = source_ip

    def _data_keys(
        self,
        key_id: str,
        count: int,
        material: str | None,
        contexts: Sequence[Mapping[str, str]] | None,
        region: str | None,
    ) -> Document:
        key = self._key(key_id, region)
        keys = self._gate.keys
        wrapping = keys.companion(key).current.material if material is None else keys.material(key, material)
        bound_to: Sequence[Mapping[str, str] | None] = contexts or [None] * count
        made = []
        for context in bound_to:
            plaintext = os.urandom(_DATA_KEY_BYTES)
            made.append((as_text(plaintext), as_text(seal(wrapping, plaintext, context))))
        return {"key_arn": key.arn, "key_material_id": wrapping.id, "data_keys": made}

    def _opened(self, blobs: Sequence[tuple[str, Mapping[str, str]]], region: str | None) -> Document:
        def opened(text: str, context: Mapping[str, str]) -> tuple[str, str, str] | None:
            blob = base64.b64decode(text)
            identifier = identifier_of(blob)
            found = identifier and self._gate.keys.by_identifier(region or self._gate.region, identifier)
            if not found:
                return None
            key, material = found
            plaintext = unseal(material, blob, context or None)
            return None if plaintext is None else (as_text(plaintext), key.arn, material.id)

        return {"opened": [opened(*blob) for blob in blobs]}

    def _rotate(self, key_id: str, at: float, rotation: str) -> Document:
        if rotation not in ("AUTOMATIC", "ON_DEMAND"):
            raise validation(f"A rotation is AUTOMATIC or ON_DEMAND, not {rotation!r}")
        key = self._key(key_id)
        previous = self._gate.keys.companion(key).current.material.id
        current = self._gate.keys.rotate(key, at, rotation)
        event = rotation_event(key.region, key.arn, current.since, rotation, [previous, current.material.id])
        self._gate.trail.add_past([event])
        return {"key_material_id": current.material.id}

    def _backdate(self, key_id: str, created: float) -> None:
        self._gate.keys.backdate(self._key(key_id), created)

    def _key_state(self, key_id: str, state: str, region: str | None) -> None:
        if state not in KEY_STATES:
            raise validation(f"A key state is one of {', '.join(sorted(KEY_STATES))}; not {state!r}")
        key = self._key(key_id, region)
        key.key_state = state
        key.enabled = state == "Enabled"

    def _key_states(self) -> Document:
        backends = self._gate.moto.backends("kms").values()
        return {key.arn: key.key_state for backend in backends for key in backend.keys.values()}

    def _usage_tracking(self, since: float) -> None:
        self._gate.control_plane.usage_tracked_since = since

    async def _deliver(self) -> Document:
        return {"files": await self._gate.delivery.deliver()}

    def _stats(self) -> Document:
        trail = self._gate.trail
        return {
            "calls": dict(trail.calls),
            "records_kept": len(trail),
            "records_undelivered": trail.undelivered,
        }

    async def _bookmark(self) -> None:
        self._bookmarked = await bookmark(self._gate)

    async def _go_back(self) -> None:
        if self._bookmarked is None:
            raise validation("There is no bookmark to go back to")
        await go_back(self._gate, self._bookmarked)

    def _key(self, reference: str, region: str | None = None) -> "Key":
        return self._gate.keys.find(region or region_of(reference, self._gate.region), reference)


def _json(status: int, body: bytes) -> HttpAnswer:
    return HttpAnswer(status, [("Content-Type", "application/json")], body)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A state to go back to: moto's keys by Region with their attributes, and the names of everything else.

    Faults, principals and providers are left as they are.
    """

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


def add_history(gate: EndpointGate, calls: Iterable[Mapping[str, Any]]) -> int:
    """Record past calls; successful cryptographic ones count as uses of their key. Returns how many.

    Each names `time` (epoch seconds), `access_key_id`, `operation`, and may name `service` (default kms),
    `key_id`, `destination_key_id`, `region`, `source_ip`, `user_agent`, `error_code`, `error_message`,
    `encryption_context` and `parameters` (CloudTrail's requestParameters, taken as they are).
    Raises NotFoundException for a key that isn't there; then nothing is recorded.
    """
    records = [_past_record(gate, call) for call in calls]
    for record in records:
        if record.error_code is None and record.name in CRYPTO_OPERATIONS:
            gate.note_use(record)
    gate.trail.add_past(records)
    return len(records)


def _past_record(gate: EndpointGate, call: Mapping[str, Any]) -> Record:
    moment = float(call["time"])
    name = str(call["operation"])
    access_key_id = str(call["access_key_id"])
    references = [call[field] for field in ("key_id", "destination_key_id") if call.get(field)]
    region = call.get("region") or region_of(references[0] if references else "", gate.region)
    keys = [gate.keys.find(region, reference) for reference in references]
    record = Record(
        time=moment,
        source=f"{call.get('service', 'kms')}.amazonaws.com",
        name=name,
        region=region,
        identity=gate.principals.of(access_key_id),
        access_key_id=access_key_id,
        source_ip=str(call.get("source_ip", "192.0.2.10")),
        user_agent=str(call.get("user_agent", "Boto3/1.40.0")),
        request_id=random.getrandbits(128),
        event_id=random.getrandbits(128),
        resources=tuple(key.arn for key in keys),
    )
    materials = [gate.keys.companion(key).at(moment).material.id for key in keys]
    record.request = call.get("parameters") or _parameters(name, call)
    if name == "ReEncrypt" and materials:
        record.extra = {"sourceKeyMaterialId": materials[0], "destinationKeyMaterialId": materials[-1]}
    elif name in CRYPTO_OPERATIONS and materials:
        record.extra = {"keyMaterialId": materials[0]}
    elif record.resources and not record.read_only:
        record.response = {"keyId": record.resources[0]}
    if call.get("error_code"):
        _refuse(record, str(call["error_code"]), call.get("error_message"))
    return record


def _parameters(name: str, call: Mapping[str, Any]) -> dict[str, Any] | None:
    context = {"encryptionContext": call["encryption_context"]} if call.get("encryption_context") else {}
    key = {"keyId": call["key_id"]} if call.get("key_id") else {}
    if name == "Decrypt":
        # Callers rarely name the key when they decrypt, and then the record doesn't either.
        return {"encryptionAlgorithm": SYMMETRIC, **context}
    if name == "Encrypt":
        return {"encryptionAlgorithm": SYMMETRIC, **key, **context}
    if name.startswith("GenerateDataKey"):
        return {**key, "keySpec": "AES_256", **context}
    if name == "ReEncrypt":
        destination = call.get("destination_key_id") or call.get("key_id")
        return {
            "sourceEncryptionAlgorithm": SYMMETRIC,
            "destinationEncryptionAlgorithm": SYMMETRIC,
            "destinationKeyId": destination,
        }
    return key or None


def _refuse(record: Record, code: str, message: str | None) -> None:
    arn = record.resources[0] if record.resources else "*"
    if code in ("AccessDenied", "AccessDeniedException") and record.identity is not None:
        code = "AccessDeniedException"
        reason = f"because no identity-based policy allows the {record.action} action"
        default = access_denied(record.identity.arn, record.action, arn, reason).message
    else:
        default = _MESSAGES.get(code, "").format(arn=arn)
    refuse(record, code, default if message is None else message)


def region_of(reference: str, default: str) -> str:
    return reference.split(":")[3] if reference.startswith("arn:") and reference.count(":") >= 5 else default
