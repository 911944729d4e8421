"""Reads CloudTrail records: any shape becomes a TrailEvent, or is told to be none.

Shapes: AWS KMS Developer Guide, "Log entries". What is missing, null or of another type is left empty, never
guessed. A denied call names its key in the error message alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from crypto_core.foreign import clean
from crypto_core.references import TokenRef
from crypto_core.trail.event import KMS, UNDATED, Principal, TrailEvent

_SHORT, _LONG = 256, 1_024
"""Characters kept of names and of texts."""
_MOST_KEYS = 8
_MOST_CONTEXT = 8
"""KMS allows more pairs; Keydeck needs three, and shows the others from the raw record."""

_KEY_ARN = re.compile(
    r"arn:[a-z0-9-]{1,20}:kms:[a-z0-9-]{1,30}:[0-9]{12}:key/"
    r"(?:mrk-[0-9a-f]{32}|(?:mrk-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
)
_KEY_ID = re.compile(r"mrk-[0-9a-f]{32}|(?:mrk-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")
_MATERIAL = re.compile(r"[0-9a-f]{64}")
_ASSUMED = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):sts::(?P<account>[0-9]{12}):assumed-role/(?P<role>[^/]+)"
)
_CONTEXT = ("keydeck:table", "keydeck:column", "keydeck:id")

_REQUEST_KEYS = ("sourceKeyId", "keyId", "targetKeyId", "destinationKeyId", "primaryKeyId", "replicaKeyId")
_RESPONSE_KEYS = ("keyId", "keyArn")


def read_record(record: object, raw: bytes = b"") -> TrailEvent | None:
    """Return the event that a record tells of; None for what is no CloudTrail record at all.

    `raw` is the record as JSON where the caller has it. A record without an id gets one from its content.
    """
    if not isinstance(record, Mapping):
        return None
    name, source = _text(record.get("eventName")), _text(record.get("eventSource"))
    if not name and not source:
        return None
    raw = raw or as_raw(record)
    region, account = _text(record.get("awsRegion"), 40), _account(record)
    request, response = _mapping(record.get("requestParameters")), _mapping(record.get("responseElements"))
    keys, alias = _keys(record, request, response, region, account)
    context = _context(request)
    return TrailEvent(
        event_id=_text(record.get("eventID"), 128) or f"sha256:{hashlib.sha256(raw).hexdigest()}",
        time=_time(record.get("eventTime")),
        name=name,
        source=source,
        region=region,
        account=account,
        event_type=_text(record.get("eventType"), 64),
        principal=_principal(
            _mapping(record.get("userIdentity")), console=record.get("sessionCredentialFromConsole")
        ),
        source_ip=_text(record.get("sourceIPAddress")),
        user_agent=_text(record.get("userAgent"), _LONG),
        error_code=_text(record.get("errorCode"), 128),
        error_message=_text(record.get("errorMessage"), _LONG),
        key_arns=keys,
        alias=alias,
        material_ids=_materials(record),
        encryption_context=context,
        token_ref=_token(context),
        read_only=value if isinstance(value := record.get("readOnly"), bool) else None,
        request_id=_text(record.get("requestID"), 64),
        raw=raw,
    )


def records_of(document: object) -> Iterator[object]:
    """Yield the records of what a file or a line holds: `{"Records": […]}`, a list of records, or one.

    Also CloudTrailEvent of LookupEvents' answers, which is JSON in a text.
    """
    if isinstance(document, Mapping):
        records = document.get("Records")
        events = document.get("Events")
        if isinstance(records, list):
            yield from records
        elif isinstance(events, list):
            for event in events:
                yield from records_of(event)
        elif isinstance(document.get("CloudTrailEvent"), str):
            yield load(document["CloudTrailEvent"])
        else:
            yield document
    elif isinstance(document, list):
        for item in document:
            yield from records_of(item) if isinstance(item, Mapping) else (item,)
    else:
        yield document


def load(text: bytes | str) -> Any:
    """Return the JSON document in a text. Raises ValueError, also for one that is nested too deeply."""
    try:
        return orjson.loads(text)
    except ValueError:
        # orjson refuses lone surrogates, which CloudTrail may hand on from a request.
        try:
            return json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def as_raw(record: Mapping[Any, Any]) -> bytes:
    """Return a record as JSON, ASCII or UTF-8, whatever is in it."""
    try:
        return orjson.dumps(record)
    except (TypeError, ValueError):
        try:
            return json.dumps(record, separators=(",", ":"), default=str, skipkeys=True).encode("ascii")
        except (RecursionError, ValueError):
            return b"{}"


def _text(value: object, limit: int = _SHORT) -> str:
    return clean(value, limit) if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _account(record: Mapping[str, Any]) -> str:
    for value in (record.get("recipientAccountId"), _mapping(record.get("userIdentity")).get("accountId")):
        if isinstance(value, str) and len(value) == 12 and value.isascii() and value.isdecimal():
            return value
    return ""


@lru_cache(maxsize=4_096)
def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text).replace(microsecond=0)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return UNDATED


def _time(value: object) -> datetime:
    """CloudTrail writes ISO 8601; exports of it also epoch seconds or milliseconds."""
    if isinstance(value, str) and len(value) <= 40:
        return _moment(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value // (1_000 if abs(value) > 1e11 else 1), UTC)
        except (ValueError, OverflowError, OSError):
            return UNDATED
    return UNDATED


def _principal(identity: Mapping[str, Any], *, console: object) -> Principal:
    context = _mapping(identity.get("sessionContext"))
    attributes = _mapping(context.get("attributes"))
    arn, session = _text(identity.get("arn"), 512), ""
    kind = _text(identity.get("type"), 64)
    assumed = _ASSUMED.match(arn)
    if assumed:
        session = arn[assumed.end() + 1 :]
        issuer = _text(_mapping(context.get("sessionIssuer")).get("arn"), 512)
        # The issuer has the role's path; it is believed only where it is the same role.
        same = issuer.endswith(f"/{assumed['role']}") and f":{assumed['account']}:" in issuer
        arn = (
            issuer if same else f"arn:{assumed['partition']}:iam::{assumed['account']}:role/{assumed['role']}"
        )
    invoked_by = _text(identity.get("invokedBy"))
    if not arn:
        arn = _text(identity.get("userName")) or invoked_by or _text(identity.get("principalId"))
    mfa = attributes.get("mfaAuthenticated")
    return Principal(
        kind=kind,
        arn=arn,
        session=session,
        account=_text(identity.get("accountId"), 12),
        access_key_id=_text(identity.get("accessKeyId"), 128),
        invoked_by=invoked_by,
        mfa=None if mfa is None else str(mfa).lower() == "true",
        from_console=console is True or console == "true",
    )


def _keys(
    record: Mapping[str, Any],
    request: Mapping[str, Any],
    response: Mapping[str, Any],
    region: str,
    account: str,
) -> tuple[tuple[str, ...], str]:
    """The ARNs of the keys, in CloudTrail's order, and the alias that is named."""
    found: dict[str, None] = {}
    alias = ""
    resources = record.get("resources")
    for resource in resources if isinstance(resources, list) else ():
        value = resource.get("ARN") if isinstance(resource, Mapping) else None
        if isinstance(value, str) and _KEY_ARN.fullmatch(value):
            found[value] = None
    if record.get("eventSource") != KMS:
        return tuple(found)[:_MOST_KEYS], ""
    details = _mapping(record.get("serviceEventDetails"))
    named = [request.get(name) for name in _REQUEST_KEYS]
    named += [response.get(name) for name in _RESPONSE_KEYS]
    named += [
        _mapping(response.get("keyMetadata")).get("arn"),
        details.get("keyId"),
        request.get("aliasName"),
    ]
    for value in named:
        if not isinstance(value, str) or len(value) > 512:
            continue
        rest = value.rsplit(":", 1)[-1]
        if _ALIAS.fullmatch(rest):
            alias = alias or rest
        elif _KEY_ARN.fullmatch(value):
            found[value] = None
        elif _KEY_ID.fullmatch(value) and region and account and not any(a.endswith(value) for a in found):
            # A bare id means a key of the caller's own account and Region.
            found[f"arn:{_partition(region)}:kms:{region}:{account}:key/{value}"] = None
    message = record.get("errorMessage")
    if not found and isinstance(message, str):
        found |= dict.fromkeys(_KEY_ARN.findall(message[:4_096]))
    return tuple(found)[:_MOST_KEYS], alias


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _materials(record: Mapping[str, Any]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for part in ("additionalEventData", "serviceEventDetails", "responseElements"):
        values = _mapping(record.get(part))
        for name in (
            "sourceKeyMaterialId",
            "keyMaterialId",
            "destinationKeyMaterialId",
            "previousKeyMaterialId",
            "currentKeyMaterialId",
        ):
            value = values.get(name)
            if isinstance(value, str) and _MATERIAL.fullmatch(value):
                found[value] = None
    return tuple(found)


def _context(request: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("encryptionContext", "sourceEncryptionContext", "destinationEncryptionContext"):
        pairs = _mapping(request.get(name))
        chosen = [*(k for k in _CONTEXT if k in pairs), *(k for k in pairs if k not in _CONTEXT)]
        for key in chosen[:_MOST_CONTEXT]:
            if isinstance(key, str) and isinstance(pairs[key], str):
                found.setdefault(clean(key, 128), clean(pairs[key], _LONG))
    return found


def _token(context: Mapping[str, str]) -> TokenRef | None:
    table, column, row = (context.get(name, "") for name in _CONTEXT)
    return TokenRef(table, column, row) if table and column and row else None
