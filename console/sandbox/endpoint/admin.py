"""The admin calls under `/_gate/`: JSON in, JSON out, each named after its path.

They set what no AWS API can set, and leave no trail records except those they are asked to make up.
`EndpointControl` is their client.
"""

import base64
import json
import os
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.bookmark import Bookmark, bookmark, go_back
from console.sandbox.endpoint.crypto import identifier_of, seal, unseal
from console.sandbox.endpoint.errors import ServiceError, not_found, validation
from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.history import add_history, region_of
from console.sandbox.endpoint.parameters import as_text
from console.sandbox.endpoint.records import rotation_event
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


class Admin:
    """Answers the admin calls for one gate."""

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
            "hold": faults.hold,
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
            "history": lambda calls: {"recorded": add_history(gate, calls)},
            "usage-tracking": self._usage_tracking,
            "trail-bucket": self._trail_bucket,
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

    def _rotate(self, key_id: str, at: float, rotation: str, region: str | None) -> Document:
        if rotation not in ("AUTOMATIC", "ON_DEMAND"):
            raise validation(f"A rotation is AUTOMATIC or ON_DEMAND, not {rotation!r}")
        key = self._key(key_id, region)
        previous = self._gate.keys.companion(key).current.material.id
        current = self._gate.keys.rotate(key, at, rotation)
        event = rotation_event(key.region, key.arn, current.since, rotation, [previous, current.material.id])
        self._gate.trail.add_past([event])
        return {"key_material_id": current.material.id}

    def _backdate(self, key_id: str, created: float, region: str | None) -> None:
        self._gate.keys.backdate(self._key(key_id, region), created)

    def _key_state(self, key_id: str, state: str, region: str | None) -> None:
        if state not in KEY_STATES:
            raise validation(f"A key state is one of {', '.join(sorted(KEY_STATES))}; not {state!r}")
        key = self._key(key_id, region)
        key.key_state = state
        key.enabled = state == "Enabled"

    def _usage_tracking(self, since: float) -> None:
        self._gate.control_plane.usage_tracked_since = since

    def _trail_bucket(self, bucket: str | None) -> None:
        self._gate.delivery.bucket = bucket

    async def _deliver(self) -> Document:
        return {"files": await self._gate.delivery.deliver()}

    def _stats(self) -> Document:
        trail, delivery = self._gate.trail, self._gate.delivery
        return {
            "calls": dict(trail.calls),
            "records_kept": len(trail),
            "records_dropped": trail.dropped,
            "records_undelivered": trail.undelivered,
            "undelivered_dropped": trail.undelivered_dropped,
            "records_delivered": delivery.records,
            "files_delivered": delivery.files,
        }

    async def _bookmark(self) -> None:
        self._bookmarked = await bookmark(self._gate)

    async def _go_back(self) -> None:
        if self._bookmarked is None:
            raise validation("There is no bookmark to go back to")
        await go_back(self._gate, self._bookmarked)

    def _key(self, reference: str, region: str | None) -> "Key":
        return self._gate.keys.find(region or region_of(reference, self._gate.region), reference)


def _json(status: int, body: bytes) -> HttpAnswer:
    return HttpAnswer(status, [("Content-Type", "application/json")], body)
