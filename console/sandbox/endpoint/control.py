"""Client for the endpoint's admin calls; needs only the standard library."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Literal

from console.sandbox.endpoint.control_access import TOKEN_HEADER
from console.sandbox.endpoint.scenario import Denial, EndpointStats, Fault, MadeDataKey, PastCall

Rotation = Literal["AUTOMATIC", "ON_DEMAND"]

LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks what is on the loopback interface, through no proxy; to make one takes as long as to ask."""

_TIMEOUT = 30.0
_BATCH = 2_000


class EndpointControlError(RuntimeError):
    """The endpoint refused an admin call, or doesn't answer; the message says why."""


class EndpointControl:
    """The admin calls of one endpoint. Each raises EndpointControlError when it fails."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def set_latency(self, milliseconds: float) -> None:
        self._call("latency", milliseconds=milliseconds)

    def delay_delivery(self, seconds: float) -> None:
        """Let LookupEvents know of a call only after so many seconds, as CloudTrail does after minutes."""
        self._call("lag", seconds=seconds)

    def set_throttle(self, calls_per_second: float | None) -> None:
        """Limit KMS's cryptographic operations; None lifts the limit, 0 refuses every call."""
        self._call("throttle", rate=calls_per_second)

    def set_lookup_throttle(self, calls_per_second: float | None) -> None:
        """Limit LookupEvents for each Region (at first 2 a second, as in AWS); None lifts the limit."""
        self._call("lookup-throttle", rate=calls_per_second)

    def add_fault(self, fault: Fault) -> None:
        """Add a fault; faults are tried in the order in which they were added."""
        self._call("faults", **asdict(fault))

    def add_denial(self, denial: Denial) -> None:
        self._call("denials", **asdict(denial))

    def set_address(self, access_key_id: str, source_ip: str) -> None:
        """Make live calls with an access key id come from an address, as CloudTrail has it."""
        self._call("address", access_key_id=access_key_id, source_ip=source_ip)

    def move_clock(self, to: datetime | None) -> None:
        """Let it be another time in AWS, which goes on from there; None is the machine's again.

        Keys that are made then bear the machine's time. See `backdate`.
        """
        self._call("clock", to=None if to is None else _epoch(to))

    def expire(self, access_key_id: str) -> None:
        """Let the session behind an access key id run out: its calls are refused from now on."""
        self._call("expire", access_key_id=access_key_id)

    def clear(self) -> None:
        """Take back latency, delays, throttling, faults, denials and expiries.

        LookupEvents gets AWS's limit again. The providers are as at the start, too: nothing is revoked.
        """
        self._call("clear")

    def add_principal(
        self,
        access_key_id: str,
        name: str,
        kind: Literal["role", "user"] = "user",
        session: str | None = None,
    ) -> str:
        """Make calls with an access key id those of a user or role session; returns its ARN."""
        answer = self._call("principals", access_key_id=access_key_id, name=name, kind=kind, session=session)
        return str(answer["arn"])

    def data_keys(
        self,
        key_id: str,
        count: int,
        material: str | None = None,
        *,
        contexts: Sequence[Mapping[str, str]] | None = None,
        region: str | None = None,
    ) -> list[MadeDataKey]:
        """Return many data keys at once, without trail records.

        `material` is the KeyMaterialId that wraps them (default: the current one). `contexts` gives each
        its encryption context, and must then be as long as `count`.
        """
        if contexts is not None and len(contexts) != count:
            raise EndpointControlError(f"{count} data keys can't have {len(contexts)} encryption contexts")
        answer = self._call(
            "data-keys",
            key_id=key_id,
            count=count,
            material=material,
            contexts=contexts and [dict(context) for context in contexts],
            region=region,
        )
        arn, material_id = answer["key_arn"], answer["key_material_id"]
        return [
            MadeDataKey(base64.b64decode(plaintext), base64.b64decode(blob), arn, material_id)
            for plaintext, blob in answer["data_keys"]
        ]

    def opened(
        self, blobs: Iterable[tuple[bytes, Mapping[str, str]]], *, region: str | None = None
    ) -> list[MadeDataKey | None]:
        """Return what ciphertexts hold, each with its encryption context, whatever key it is and its state.

        None stands for what was made by no key of the Region, or doesn't open. Leaves no trail records.
        """
        blobs = list(blobs)
        found: list[MadeDataKey | None] = []
        for first in range(0, len(blobs), _BATCH):
            some = blobs[first : first + _BATCH]
            asked = [(base64.b64encode(blob).decode(), dict(context)) for blob, context in some]
            answer = self._call("opened", blobs=asked, region=region)["opened"]
            found += [
                one and MadeDataKey(base64.b64decode(one[0]), blob, one[1], one[2])
                for (blob, _), one in zip(some, answer, strict=True)
            ]
        return found

    def rotate(self, key_id: str, at: datetime, rotation: Rotation = "AUTOMATIC") -> str:
        """Add key material that is current from `at` on, and its RotateKey event; returns its id.

        `at` must lie after the key's creation (see `backdate`) and after its other rotations. The next
        rotation date counts from an AUTOMATIC one, if the schedule was enabled before this call.
        """
        answer = self._call("rotate", key_id=key_id, at=_epoch(at), rotation=rotation)
        return str(answer["key_material_id"])

    def backdate(self, key_id: str, created: datetime) -> None:
        self._call("backdate", key_id=key_id, created=_epoch(created))

    def set_key_state(self, key_id: str, state: str, *, region: str | None = None) -> None:
        """Put a key into any state, also those that only AWS sets, such as PendingImport or Unavailable."""
        self._call("key-state", key_id=key_id, state=state, region=region)

    def key_states(self) -> dict[str, str]:
        """Return the state of every key by its ARN, whoever its policy lets look."""
        return self._call("key-states")

    def history(self, calls: Iterable[PastCall]) -> int:
        """Record past calls; returns how many. All or none: an unknown key refuses the batch."""
        answer = self._call("history", calls=[_as_document(call) for call in calls])
        return int(answer["recorded"])

    def forget(self, since: datetime) -> None:
        """Forget the records of all calls since a moment; what was delivered by then stays where it is."""
        self._call("forget", since=_epoch(since))

    def set_usage_tracking(self, since: datetime) -> None:
        """Let GetKeyLastUsage know nothing before `since` (at first: 90 days before the start)."""
        self._call("usage-tracking", since=_epoch(since))

    def deliver(self) -> int:
        """Deliver to S3 what waits, now; returns the number of files."""
        return int(self._call("deliver")["files"])

    def bookmark(self) -> None:
        """Remember what there is now; an earlier bookmark is forgotten."""
        self._call("bookmark")

    def go_back(self) -> None:
        """Be again as at the bookmark: keys as they were, nothing of what came since in trail or buckets.

        Faults, principals and providers stay as they are; see `clear`.
        """
        self._call("go-back")

    def stats(self) -> EndpointStats:
        return EndpointStats(**self._call("stats"))

    def _call(self, call: str, /, **document: Any) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 (the URL is ours)
            f"{self.url}/_gate/{call}",
            data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json", TOKEN_HEADER: self._token},
        )
        try:
            with LOCAL.open(request, timeout=_TIMEOUT) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as error:
            with error:
                body = error.read().decode("utf-8", "replace")
            raise EndpointControlError(f"{call} was refused: {_message(body)}") from error
        except OSError as error:
            raise EndpointControlError(
                f"The endpoint at {self.url} doesn't answer {call}: {error}"
            ) from error


def _as_document(call: PastCall) -> dict[str, Any]:
    document = {one.name: getattr(call, one.name) for one in fields(call)}
    document["time"] = _epoch(call.time)
    return {name: value for name, value in document.items() if value is not None}


def _epoch(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise EndpointControlError(f"{moment} has no time zone; give an aware datetime")
    return moment.astimezone(UTC).timestamp()


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body
