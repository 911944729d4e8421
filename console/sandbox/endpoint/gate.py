"""The gate: who calls, what goes wrong on purpose, who answers, and the record of it.

One `EndpointGate` holds the whole state. `answer` takes a request and returns what goes back; the HTTP
server around it is `server.py`.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from console.sandbox.endpoint import records
from console.sandbox.endpoint.clock import EndpointClock
from console.sandbox.endpoint.delivery import Delivery
from console.sandbox.endpoint.errors import ServiceError, expired, invalid_state, unsupported, violated
from console.sandbox.endpoint.faults import HALF, HANG, RESET, WRONG_ANSWERS, FaultRule, Faults
from console.sandbox.endpoint.keys import PENDING_DELETION, KeyStore, LastUsage, require_state_other_than
from console.sandbox.endpoint.lookup import lookup_events
from console.sandbox.endpoint.metadata import is_primary, key_metadata
from console.sandbox.endpoint.moto_operations import MotoOperations, find_key
from console.sandbox.endpoint.moto_server import MotoServer
from console.sandbox.endpoint.operations import CryptoOperations
from console.sandbox.endpoint.parameters import Document
from console.sandbox.endpoint.principals import PrincipalDirectory
from console.sandbox.endpoint.rotation import Answer, Operation, Rotations
from console.sandbox.endpoint.services import (
    JSON,
    XML,
    Credential,
    S3Call,
    caller_identity,
    error_body,
    read_credential,
    read_error,
    read_s3_call,
    s3_parameters,
)
from console.sandbox.endpoint.signatures import SigningOperations
from console.sandbox.endpoint.trail import SandboxTrail
from console.sandbox.http_message import HttpAnswer, HttpRequest

if TYPE_CHECKING:
    from moto.kms.models import Key

MAX_BODY = 64 * 1024 * 1024
# The trail's configuration changes with these: what happened before them is delivered under the old one.
_DELIVER_FIRST = frozenset({"StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"})
_SERVICES_WITH_FORMS = "application/x-www-form-urlencoded"
SIGNATURE_TOLERANCE = timedelta(minutes=5)
S3_SIGNATURE_TOLERANCE = timedelta(minutes=15)
_STAMP = "%Y%m%dT%H%M%SZ"
DELETION_WINDOW_DAYS = range(7, 31)
TRACKING_DAYS = 90


class ResetConnectionError(Exception):
    """An injected fault: the server must reset the connection instead of answering."""


class HalfAnswerError(Exception):
    """An injected fault: the server must send the beginning of an answer and then give up."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, told apart: its service, its credential, and what its form or S3 address says."""

    request: HttpRequest
    credential: Credential
    service: str
    form: Mapping[str, str] | None = None
    s3: S3Call | None = None


class EndpointGate:
    def __init__(self, region: str, root_secret: bytes, seed: int | None = None) -> None:
        self.region = region
        self.moto = MotoServer(seed)
        self.faults = Faults()
        self.clock = EndpointClock()
        self.trail = SandboxTrail()
        self.keys = KeyStore(self.moto, root_secret, self.clock)
        self.principals = PrincipalDirectory(self.moto.issued_to)
        self.delivery = Delivery(self.trail, self.moto, self.clock)
        self.control_plane = ControlPlane(self.keys, self.faults)
        self._moto_operations = MotoOperations(self.keys, self.faults)
        signing = SigningOperations(self.keys, self.faults)
        self._crypto = CryptoOperations(self.keys, self.faults).by_name | signing.by_name

    async def answer(self, request: HttpRequest, source_ip: str) -> HttpAnswer:
        """Answer one AWS request and record it. Raises ResetConnectionError, HalfAnswerError."""
        if not self.moto.is_ready:
            await self.moto.ready()
        call, record = self._identify(request, source_ip)
        try:
            self._admit(call, record)
            if self.faults.latency:
                await asyncio.sleep(self.faults.latency)
            rule = await self._misbehave(record) if self.faults.rules else None
            answer = await self._dispatch(call, record, rule)
        except ServiceError as error:
            records.refuse(record, error.code, error.message)
            request_id = records.as_uuid(record.request_id)
            content_type, body = error_body(call.service, error, request_id)
            answer = HttpAnswer(error.status, [("Content-Type", content_type)], body)
        if record.name:
            self.trail.add(record)
        answer.headers.append(("x-amzn-RequestId", records.as_uuid(record.request_id)))
        if self.clock.moved:
            answer.headers.append(("Date", formatdate(record.time, usegmt=True)))
        return answer

    def note_use(self, record: records.Record) -> None:
        use = LastUsage(record.name, record.time, record.event_id, record.request_id)
        for arn in record.resources:
            self.keys.note_use(arn, use)

    def _identify(self, request: HttpRequest, source_ip: str) -> tuple[Call, records.Record]:
        headers = request.headers
        credential = read_credential(headers, self.region)
        namespace, _, name = headers.get("X-Amz-Target", "").rpartition(".")
        if namespace:
            service = "kms" if namespace == "TrentService" else credential.service
            call = Call(request, credential, "cloudtrail" if "CloudTrail" in namespace else service)
        elif headers.get("Content-Type", "").startswith(_SERVICES_WITH_FORMS) and request.method == "POST":
            form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
            name = form.get("Action", "")
            call = Call(request, credential, credential.service, form=form)
        elif credential.service in ("s3", ""):
            s3 = read_s3_call(request.method, request.target)
            name = s3.event or ""
            call = Call(request, credential, "s3", s3=s3)
        else:
            call = Call(request, credential, credential.service)
        record = records.Record(
            time=self.clock.now(),
            source=records.KMS if call.service == "kms" else sys.intern(f"{call.service}.amazonaws.com"),
            name=sys.intern(name),
            region=credential.region,
            identity=self.principals.of(credential.access_key_id),
            access_key_id=credential.access_key_id,
            source_ip=self.principals.addresses.get(credential.access_key_id, source_ip),
            user_agent=sys.intern(headers.get("User-Agent", "")),
            request_id=random.getrandbits(128),
            event_id=random.getrandbits(128),
        )
        return call, record

    def _admit(self, call: Call, record: records.Record) -> None:
        """Refuse what is not signed, or not signed in time, or with what has expired: AWS records none."""
        name, record.name = record.name, ""
        key = call.credential.access_key_id
        # S3 knows anonymous calls.
        if not key and call.s3 is None:
            raise ServiceError(
                "MissingAuthenticationTokenException", "Request is missing Authentication Token"
            )
        require_time(call.service, call.request.headers, record.time)
        if key in self.faults.expired:
            raise expired()
        record.name = name

    async def _misbehave(self, record: records.Record) -> FaultRule | None:
        """Fail as a fault says that hits this call; return the one by which KMS is to answer wrongly."""
        rule = self.faults.struck(record.name, record.region)
        if rule is None or rule.fault.error in WRONG_ANSWERS:
            return rule
        error = rule.fault.error
        if error == HANG:
            # Hangs until the client gives up, or control clears the rule.
            while rule in self.faults.rules:
                await asyncio.sleep(0.05)
        if error in (HANG, RESET):
            raise ResetConnectionError
        if error == HALF:
            raise HalfAnswerError
        raise rule.as_error()

    async def _dispatch(self, call: Call, record: records.Record, wrong: FaultRule | None) -> HttpAnswer:
        if call.service == "kms":
            operation = self._crypto.get(record.name)
            if operation is None:
                return await self._kms_control(call, record)
            self.faults.check_crypto_rate()
            done = operation(_document(call.request.body), record)
            self.note_use(record)
            return _json(done if wrong is None else wrong.answer(done))
        if record.source == records.CLOUDTRAIL:
            return await self._cloudtrail(call, record)
        if record.source == records.STS and record.name == "GetCallerIdentity":
            self.faults.authorise(record, record.action)
            principal = self.principals.of(record.access_key_id)
            return HttpAnswer(
                200, [("Content-Type", XML)], caller_identity(principal, records.as_uuid(record.request_id))
            )
        if call.s3 is not None:
            self.faults.authorise(record, call.s3.action, resource=call.s3.resource)
            record.request = s3_parameters(call.s3, call.request)
        else:
            self.faults.authorise(record, record.action)
            if call.form is not None and call.service in ("sts", "iam"):
                named = {key: value for key, value in call.form.items() if key not in ("Action", "Version")}
                record.request = records.recordable(named)
        answer = await self._pass_on(call, record)
        self.principals.forget_strangers()
        return answer

    async def _kms_control(self, call: Call, record: records.Record) -> HttpAnswer:
        document = _document(call.request.body)
        record.request = records.recordable(document)
        operation = self.control_plane.by_name.get(record.name)
        if operation is not None:
            done = operation(document, record)
            if record.name == "RotateKeyOnDemand":
                self._complete_rotation(record)
            return _json(done)
        prepared = self._moto_operations.prepare(document, record)
        passed = await self._pass_on(call, record, json.dumps(prepared).encode())
        if record.error_code is not None:
            return passed
        return _json(self._moto_operations.finish(document, record, json.loads(passed.body or b"null") or {}))

    def _complete_rotation(self, record: records.Record) -> None:
        key = self.keys.find(record.region, record.resources[0])
        newest = self.keys.companion(key).generations[-2:]
        materials = [generation.material.id for generation in newest]
        self.trail.add(
            records.rotation_event(record.region, key.arn, self.clock.now(), "ON_DEMAND", materials)
        )

    async def _cloudtrail(self, call: Call, record: records.Record) -> HttpAnswer:
        document = _document(call.request.body)
        record.request = records.recordable(document)
        self.faults.authorise(record, record.action)
        for name in ("AdvancedEventSelectors", "EventCategory"):
            if name in document:
                raise unsupported(f"The sandbox doesn't simulate {name}.")
        if record.name == "LookupEvents":
            self.faults.check_lookup_rate(record.region)
            delivered = self.clock.now() - self.faults.lag
            return _json(lookup_events(self.trail, record.region, document, delivered))
        if record.name == "ListPublicKeys":
            digests = self.delivery.digests
            return _json(await self.moto.run_in_thread(lambda: digests.public_keys(record.time)))
        if record.name in _DELIVER_FIRST:
            await self.delivery.deliver()
        return await self._pass_on(call, record)

    async def _pass_on(self, call: Call, record: records.Record, body: bytes | None = None) -> HttpAnswer:
        request = call.request
        if body is not None:
            request = HttpRequest(request.method, request.target, request.headers, body)
        answer = await self.moto.answer(request)
        if answer.status >= 400:
            code, message = read_error(answer.body)
            records.refuse(record, code, message)
        return answer


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", "The request body is not JSON") from error
    if not isinstance(document, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object")
    return document


def _json(document: Mapping[str, Any] | None) -> HttpAnswer:
    return HttpAnswer(200, [("Content-Type", JSON)], json.dumps(document).encode() if document else b"")


def require_time(service: str, headers: Mapping[str, str], now: float) -> None:
    """Raise the service's error for a signature that is too old, or of a time that is yet to come.

    IAM User Guide, "Troubleshoot Signature Version 4 requests"; for S3, "Error responses",
    RequestTimeTooSkewed.
    """
    signed = _moment(headers.get("X-Amz-Date", ""))
    if signed is None:
        return
    here = datetime.fromtimestamp(now, UTC)
    if service == "s3":
        if abs(here - signed) > S3_SIGNATURE_TOLERANCE:
            message = "The difference between the request time and the current time is too large."
            raise ServiceError("RequestTimeTooSkewed", message, 403)
        return
    if signed < here - SIGNATURE_TOLERANCE:
        what, limit, sign = "expired: {} is now earlier than", here - SIGNATURE_TOLERANCE, "-"
    elif signed > here + SIGNATURE_TOLERANCE:
        what, limit, sign = "not yet current: {} is still later than", here + SIGNATURE_TOLERANCE, "+"
    else:
        return
    told = f"Signature {what.format(f'{signed:{_STAMP}}')} {limit:{_STAMP}} ({here:{_STAMP}} {sign} 5 min.)"
    # Services with forms, STS among them, have a code of their own.
    forms = service in ("sts", "iam", "sns", "sqs")
    raise ServiceError(
        "SignatureDoesNotMatch" if forms else "InvalidSignatureException", told, 403 if forms else 400
    )


@lru_cache(maxsize=64)
def _moment(told: str) -> datetime | None:
    try:
        return datetime.strptime(told, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


class ControlPlane:
    """KMS's control operations for which moto lacks key states, key material or last use, in `by_name`.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """

    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.usage_tracked_since = keys.clock.now() - TRACKING_DAYS * 86_400
        self.by_name: dict[str, Operation] = {
            "CancelKeyDeletion": self.cancel_key_deletion,
            "DescribeKey": self.describe_key,
            "DisableKey": self.switch_key,
            "EnableKey": self.switch_key,
            "GetKeyLastUsage": self.get_key_last_usage,
            "ScheduleKeyDeletion": self.schedule_key_deletion,
            **Rotations(keys, faults).by_name,
        }

    def describe_key(self, request: Document, record: records.Record) -> Answer:
        key = self._find(request, record)
        return {"KeyMetadata": key_metadata(key, self._keys.companion(key))}

    def switch_key(self, request: Document, record: records.Record) -> Answer:
        key, backend = self._find(request, record), self._keys.moto.kms(record.region)
        require_state_other_than(key, *PENDING_DELETION, "PendingImport", "Creating")
        (backend.enable_key if record.name == "EnableKey" else backend.disable_key)(key.id)
        record.response = {"keyId": key.arn}
        return None

    def schedule_key_deletion(self, request: Document, record: records.Record) -> Answer:
        key = self._find(request, record)
        days = request.get("PendingWindowInDays", 30)
        if not isinstance(days, int) or days not in DELETION_WINDOW_DAYS:
            raise violated(f"Value '{days}' at 'pendingWindowInDays'", "have value between 7 and 30")
        if key.key_manager == "AWS":
            raise unsupported(f"{key.arn} is managed by AWS and can't be deleted.")
        require_state_other_than(key, *PENDING_DELETION, "Creating")
        deletion_date = self._keys.moto.kms(record.region).schedule_key_deletion(key.id, days)
        answer: dict[str, Any] = {"KeyId": key.arn, "PendingWindowInDays": days}
        record.response = {"keyId": key.arn, "keyState": "PendingDeletion"}
        if key.multi_region and is_primary(key) and key.multi_region_configuration["ReplicaKeys"]:
            key.key_state = "PendingReplicaDeletion"
            record.response["keyState"] = answer["KeyState"] = key.key_state
            return answer
        shown = time.strftime("%b %d, %Y %I:%M:%S %p", time.gmtime(deletion_date))
        record.response["deletionDate"] = shown
        return {**answer, "KeyState": "PendingDeletion", "DeletionDate": deletion_date}

    def cancel_key_deletion(self, request: Document, record: records.Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html

        The key is Disabled afterwards.
        """
        key = self._find(request, record)
        if key.key_state not in PENDING_DELETION:
            raise invalid_state(f"{key.arn} is not pending deletion.")
        self._keys.moto.kms(record.region).cancel_key_deletion(key.id)
        record.response = {"keyId": key.arn}
        return {"KeyId": key.arn}

    def get_key_last_usage(self, request: Document, record: records.Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html

        Uses before `usage_tracked_since` (epoch seconds) are unknown, as in AWS.
        """
        key = self._find(request, record)
        answer: dict[str, Any] = {
            "KeyId": key.id,
            "KeyLastUsage": {},
            "TrackingStartDate": max(self.usage_tracked_since, key.creation_date),
            "KeyCreationDate": key.creation_date,
        }
        use = self._keys.last_uses.get(key.arn)
        if use is not None and use.time >= self.usage_tracked_since:
            answer["KeyLastUsage"] = {
                "Operation": use.operation,
                "Timestamp": use.time,
                "CloudTrailEventId": records.as_uuid(use.event_id),
                "KmsRequestId": records.as_uuid(use.request_id),
            }
        return answer

    def _find(self, request: Document, record: records.Record) -> "Key":
        return find_key(self._keys, self._faults, request, record)
