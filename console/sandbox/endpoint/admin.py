"""The admin calls under `/_gate/`: JSON in, JSON out, each named after its path.

They set what no AWS API can set, and leave no trail records except those they are asked to make up.
`EndpointControl` is their client.
"""

import base64
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from console.sandbox.endpoint.bookmark import Bookmark, bookmark, go_back
from console.sandbox.endpoint.crypto import seal
from console.sandbox.endpoint.errors import ServiceError, not_found, validation
from console.sandbox.endpoint.faults import DenyRule, fault_rule
from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.history import add_history, region_of
from console.sandbox.endpoint.keys import KeyStore
from console.sandbox.endpoint.records import rotation_event
from console.sandbox.http_message import HttpAnswer, HttpRequest

Document = Mapping[str, Any]
Call = Callable[[Document], Awaitable[dict[str, Any]]]

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
        self._gate = gate
        self._bookmarked: Bookmark | None = None
        self._calls: dict[str, Call] = {
            "latency": self._latency,
            "throttle": self._throttle,
            "lookup-throttle": self._lookup_throttle,
            "faults": self._faults,
            "denials": self._denials,
            "hold": self._hold,
            "address": self._address,
            "expire": self._expire,
            "clear": self._clear,
            "principals": self._principals,
            "data-keys": self._data_keys,
            "rotate": self._rotate,
            "backdate": self._backdate,
            "key-state": self._key_state,
            "history": self._history,
            "usage-tracking": self._usage_tracking,
            "trail-bucket": self._trail_bucket,
            "deliver": self._deliver,
            "stats": self._stats,
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
            result = await call(json.loads(request.body or b"{}"))
        except ServiceError as error:
            return _json(error.status, error.body())
        except (KeyError, TypeError, ValueError) as error:
            return _json(400, validation(f"{request.target}: {error!r}").body())
        return _json(200, json.dumps(result).encode())

    async def _latency(self, request: Document) -> dict[str, Any]:
        self._gate.faults.latency = float(request["milliseconds"]) / 1000
        return {}

    async def _throttle(self, request: Document) -> dict[str, Any]:
        self._gate.faults.throttle(_optional_rate(request["rate"]))
        return {}

    async def _lookup_throttle(self, request: Document) -> dict[str, Any]:
        self._gate.faults.throttle_lookups(_optional_rate(request["rate"]))
        return {}

    async def _faults(self, request: Document) -> dict[str, Any]:
        self._gate.faults.rules.append(fault_rule(**request))
        return {}

    async def _denials(self, request: Document) -> dict[str, Any]:
        self._gate.faults.denials.append(DenyRule(**request))
        return {}

    async def _hold(self, request: Document) -> dict[str, Any]:
        self._gate.faults.held.add(str(request["principal"]))
        return {}

    async def _address(self, request: Document) -> dict[str, Any]:
        self._gate.principals.addresses[str(request["access_key_id"])] = str(request["source_ip"])
        return {}

    async def _expire(self, request: Document) -> dict[str, Any]:
        self._gate.faults.expired.add(str(request["access_key_id"]))
        return {}

    async def _clear(self, _request: Document) -> dict[str, Any]:
        self._gate.faults.clear()
        return {}

    async def _principals(self, request: Document) -> dict[str, Any]:
        principal = self._gate.principals.add(**request)
        return {"arn": principal.arn}

    async def _data_keys(self, request: Document) -> dict[str, Any]:
        keys = self._gate.keys
        key = keys.find(self._region(request), request["key_id"])
        wanted = request.get("material")
        material = keys.companion(key).current.material if wanted is None else keys.material(key, wanted)
        contexts = request.get("contexts") or [None] * int(request["count"])
        made = []
        for context in contexts:
            plaintext = os.urandom(_DATA_KEY_BYTES)
            made.append((_text(plaintext), _text(seal(material, plaintext, context))))
        return {"key_arn": key.arn, "key_material_id": material.id, "data_keys": made}

    async def _rotate(self, request: Document) -> dict[str, Any]:
        region = self._region(request)
        key = self._gate.keys.find(region, request["key_id"])
        rotation = str(request["rotation"])
        if rotation not in ("AUTOMATIC", "ON_DEMAND"):
            raise validation(f"A rotation is AUTOMATIC or ON_DEMAND, not {rotation!r}")
        previous = self._gate.keys.companion(key).current.material.id
        current = self._gate.keys.rotate(key, float(request["at"]), rotation)
        event = rotation_event(region, key.arn, current.since, rotation, [previous, current.material.id])
        self._gate.trail.add_past([event])
        return {"key_material_id": current.material.id}

    async def _backdate(self, request: Document) -> dict[str, Any]:
        keys: KeyStore = self._gate.keys
        keys.backdate(keys.find(self._region(request), request["key_id"]), float(request["created"]))
        return {}

    async def _key_state(self, request: Document) -> dict[str, Any]:
        state = request["state"]
        if state not in KEY_STATES:
            raise validation(f"A key state is one of {', '.join(sorted(KEY_STATES))}; not {state!r}")
        key = self._gate.keys.find(self._region(request), request["key_id"])
        key.key_state = state
        key.enabled = state == "Enabled"
        return {}

    async def _history(self, request: Document) -> dict[str, Any]:
        return {"recorded": add_history(self._gate, request["calls"])}

    async def _usage_tracking(self, request: Document) -> dict[str, Any]:
        self._gate.control_plane.usage_tracked_since = float(request["since"])
        return {}

    async def _trail_bucket(self, request: Document) -> dict[str, Any]:
        self._gate.delivery.bucket = request["bucket"]
        return {}

    async def _deliver(self, _request: Document) -> dict[str, Any]:
        return {"files": await self._gate.delivery.deliver()}

    async def _stats(self, _request: Document) -> dict[str, Any]:
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

    async def _bookmark(self, _request: Document) -> dict[str, Any]:
        self._bookmarked = await bookmark(self._gate)
        return {}

    async def _go_back(self, _request: Document) -> dict[str, Any]:
        if self._bookmarked is None:
            raise validation("There is no bookmark to go back to")
        await go_back(self._gate, self._bookmarked)
        return {}

    def _region(self, request: Document) -> str:
        return request.get("region") or region_of(str(request["key_id"]), self._gate.region)


def _json(status: int, body: bytes) -> HttpAnswer:
    return HttpAnswer(status, [("Content-Type", "application/json")], body)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _optional_rate(rate: float | None) -> float | None:
    if rate is not None and rate < 0:
        raise validation(f"A rate can't be negative: {rate}")
    return None if rate is None else float(rate)
