"""Reads CloudTrail records: any shape becomes a TrailEvent or is rejected.

Shapes: AWS KMS Developer Guide, "Log entries". What is missing, null or of another type is left empty, never
guessed. A denied call names its key in the error message alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

import orjson

from crypto_core.trail.event import KMS, LONG, SHORT, UNDATED, Principal, TrailEvent
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.key_names import partition_of
from crypto_core.values.references import TokenRef, table_name

ARN_CHARACTERS = 512
PLACES: dict[str, int] = {
    one.metadata["name"]: one.metadata["most"] for one in fields(TrailEvent) if one.metadata
}
"""Where a record has an event's texts, and what is kept of each; a dot is for one within another field."""
_FIELDS = tuple(name for name in PLACES if "." not in name)
WITHIN = tuple((outer, inner) for outer, _, inner in (name.partition(".") for name in PLACES) if inner)
_TOLD = {one.metadata["name"].split(".")[1]: one for one in fields(Principal) if one.metadata}
"""What of an identity is a principal's as it stands there."""
_IDENTITY = {"arn": ARN_CHARACTERS, "userName": SHORT, "principalId": SHORT} | {
    name: one.metadata["most"] for name, one in _TOLD.items()
}
_LIMITS = (*PLACES.values(), ARN_CHARACTERS, *_IDENTITY.values())
"""Characters kept of PLACES, the session issuer's ARN and _IDENTITY."""
_NOTHING = repeat("")
MOST_KEYS = 8
_MOST_CONTEXT = 8
"""KMS allows more pairs; Keydeck needs three, and shows the others from the raw record."""

KEY_ARN = re.compile(
    r"arn:[a-z0-9-]{1,20}:kms:[a-z0-9-]{1,30}:[0-9]{12}:key/"
    r"(?:mrk-[0-9a-f]{32}|(?:mrk-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
)
KEY_ID = re.compile(r"mrk-[0-9a-f]{32}|(?:mrk-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")
MATERIAL = re.compile(r"[0-9a-f]{64}")
ASSUMED = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):sts::(?P<account>[0-9]{12}):assumed-role/(?P<role>[^/]+)"
)
CONTEXT = (
    *("keydeck:table", "keydeck:column", "keydeck:id", "keydeck:member", "keydeck:schema"),
    "keydeck:database",
)

REQUEST_KEYS = ("sourceKeyId", "keyId", "targetKeyId", "destinationKeyId", "primaryKeyId", "replicaKeyId")
RESPONSE_KEYS = ("keyId", "keyArn")
MATERIALS = (
    "sourceKeyMaterialId",
    "keyMaterialId",
    "destinationKeyMaterialId",
    "previousKeyMaterialId",
    "currentKeyMaterialId",
)

_AT_ONCE = 64
_LINE = orjson.Fragment(b"\n")
"""Stands between records: within them, JSON's texts have no such byte, and orjson puts none between."""

MOST_VALUES = 2_000_000
"""JSON values of one document, which take 240 MB at most as objects of Python."""
_BYTES_A_VALUE = 10
"""A document has at least so many on average, beyond _FEW_VALUES of them. CloudTrail's have about 35."""
_FEW_VALUES = 100_000

_NESTED = 200


class OversizeDocumentError(ValueError):
    """A JSON document that is made to take more memory or time than its size lets expect."""


def read_record(record: object, raw: bytes = b"") -> TrailEvent | None:
    """Return a record's event, None for anything else; `raw` is its JSON. A missing id is made from it."""
    if not isinstance(record, dict):
        return None
    identity = _mapping(record.get("userIdentity"))
    context = _mapping(identity.get("sessionContext"))
    issuer = _mapping(context.get("sessionIssuer")).get("arn", "")
    within = [_mapping(record.get(outer)).get(inner, "") for outer, inner in WITHIN]
    own = [*map(record.get, _FIELDS, _NOTHING), *within]
    texts = _texts([*own, issuer, *map(identity.get, _IDENTITY, _NOTHING)])
    event_id, name, source, region, *_ = texts
    if not name and not source:
        return None
    raw = raw or as_raw(record)
    if not event_id:
        import hashlib

        texts[0] = CleanText(f"sha256:{hashlib.sha256(raw).hexdigest()}")
    account = _account(record, identity)
    keys, alias = _resources(record.get("resources")), NO_TEXT
    materials: tuple[CleanText, ...] = ()
    pairs: dict[str, CleanText] = {}
    if source == KMS:
        request, response = (
            _mapping(record.get("requestParameters")),
            _mapping(record.get("responseElements")),
        )
        keys, alias = _keys(keys, record, request, response, region, account)
        materials = _materials(record)
        pairs = _context(request)
    mfa = _mapping(context.get("attributes")).get("mfaAuthenticated")
    console = record.get("sessionCredentialFromConsole")
    return TrailEvent(
        *texts[: len(own)],
        time=_time(record.get("eventTime")),
        account=account,
        principal=_principal(
            None if mfa is None else mfa is True or (isinstance(mfa, str) and mfa.lower() == "true"),
            console is True or console == "true",
            *texts[len(own) :],
        ),
        key_arns=keys,
        alias=alias,
        material_ids=materials,
        encryption_context=pairs,
        token_ref=_token(pairs) if pairs else None,
        read_only=value if isinstance(value := record.get("readOnly"), bool) else None,
        raw=raw,
    )


def read_records(records: Iterable[object]) -> Iterator[TrailEvent | None]:
    """Yield read_record of each record. What `records` raises is raised after the last that it brought."""
    source = iter(records)
    trouble: Exception | None = None
    while trouble is None:
        some: list[object] = []
        try:
            for record in source:
                some.append(record)
                if len(some) == _AT_ONCE:
                    break
            else:
                if not some:
                    return
        except Exception as error:  # noqa: BLE001  # raised again
            trouble = error
        yield from map(read_record, some, _raws(some))
    raise trouble


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


def load_foreign(content: bytes) -> Any:
    """Return the JSON document in a file. Raises as `load`, and OversizeDocumentError."""
    require_few_values(content)
    return load(content)


def require_few_values(content: bytes) -> None:
    """Raise OversizeDocumentError for JSON of too many values: a few bytes may become a hundred each."""
    most = min(MOST_VALUES, max(_FEW_VALUES, len(content) // _BYTES_A_VALUE))
    if len(content) > most and sum(content.count(sign) for sign in (b",", b"[", b"{")) > most:
        raise OversizeDocumentError(f"it has more than {most:,} JSON values in one document")


def _raws(records: list[object]) -> list[bytes]:
    """Records as JSON, written at once, which takes half the time; b"" for what is no record."""
    if len(records) == 1:
        return [_raw_of(records[0])]
    parted: list[object] = [_LINE] * (2 * len(records) - 1)
    parted[::2] = records
    try:
        return orjson.dumps(parted)[1:-1].split(b",\n,")
    except (TypeError, ValueError):
        return [_raw_of(record) for record in records]


def _raw_of(record: object) -> bytes:
    return as_raw(record) if isinstance(record, dict) else b""


def kept_raw(record: dict[Any, Any], raw: bytes) -> bytes:
    """Return the JSON that a record came in if it can be kept: of one line, without escapes, nested little.

    What is looked for in texts of JSON would be missed behind escapes. All else is written anew, and what has
    no id, which gets one from its JSON: the same however a file is laid out.
    """
    named = record.get("eventID")
    if not isinstance(named, str) or not named.strip() or not (named.isascii() and named.isprintable()):
        return as_raw(record)
    odd = b"\\" in raw or b"\n" in raw or raw.count(b"{") + raw.count(b"[") > _NESTED
    return as_raw(record) if odd else raw


def as_raw(record: dict[Any, Any]) -> bytes:
    """Return a record as JSON, ASCII or UTF-8, without fields that are nested too deeply for it."""
    try:
        return orjson.dumps(record)
    except (TypeError, ValueError):
        return b"{" + b",".join(_raw_fields(record)) + b"}"


def _raw_fields(record: dict[Any, Any]) -> Iterator[bytes]:
    for name, value in record.items():
        # Nothing is written that could not be read again, at whatever depth of calls.
        with suppress(RecursionError, ValueError):
            field = json.dumps({name: value}, separators=(",", ":"), default=str, skipkeys=True)
            if len(field) > 2 and _shallow(value):
                yield field[1:-1].encode("ascii")


def _shallow(value: object) -> bool:
    level = [value]
    for _ in range(_NESTED):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def _texts(values: list[Any]) -> list[CleanText]:
    """What _LIMITS are of, cleaned; "" for what is no text."""
    try:
        # Nearly all of them are clean and short: one look at all is enough.
        whole = "".join(values)
        if whole.isascii() and whole.isprintable() and max(map(len, values)) <= SHORT:
            return values
    except TypeError:
        pass  # not all are texts
    return [_text(value, limit) for value, limit in zip(values, _LIMITS, strict=True)]


def _text(value: object, limit: int) -> CleanText:
    return clean(value, limit) if isinstance(value, str) else NO_TEXT


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _account(record: dict[str, Any], identity: dict[str, Any]) -> CleanText:
    for value in (record.get("recipientAccountId"), identity.get("accountId")):
        if isinstance(value, str) and len(value) == 12 and value.isascii() and value.isdecimal():
            return CleanText(value)
    return NO_TEXT


@lru_cache(maxsize=4_096)
def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.microsecond:
            moment = moment.replace(microsecond=0)
        if moment.tzinfo is UTC:
            return moment
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


@lru_cache(maxsize=8_192)
def _principal(
    mfa: bool | None,  # what is remembered is found faster by position
    from_console: bool,
    issuer: CleanText,
    arn: CleanText,
    user_name: CleanText,
    principal_id: CleanText,
    *texts: CleanText,
) -> Principal:
    """The principal of an identity; one makes thousands of calls."""
    told = {one.name: text for one, text in zip(_TOLD.values(), texts, strict=True)}
    session = NO_TEXT
    assumed = ASSUMED.match(arn)
    if assumed:
        session = CleanText(arn[assumed.end() + 1 :])
        # The issuer has the role's path; it is believed only where it is the same role.
        same = issuer.endswith(f"/{assumed['role']}") and f":{assumed['account']}:" in issuer
        role = f"arn:{assumed['partition']}:iam::{assumed['account']}:role/{assumed['role']}"
        arn = issuer if same else CleanText(role)
    return Principal(
        **told,
        arn=arn or user_name or told["invoked_by"] or principal_id,
        session=session,
        mfa=mfa,
        from_console=from_console,
    )


def _resources(resources: object) -> tuple[CleanText, ...]:
    if not isinstance(resources, list):
        return ()
    found: dict[CleanText, None] = {}
    for resource in resources:
        value = resource.get("ARN") if isinstance(resource, dict) else None
        if isinstance(value, str) and KEY_ARN.fullmatch(value):
            found[CleanText(value)] = None
    return tuple(found)[:MOST_KEYS]


def _keys(
    resources: tuple[CleanText, ...],
    record: dict[str, Any],
    request: dict[str, Any],
    response: dict[str, Any],
    region: str,
    account: str,
) -> tuple[tuple[CleanText, ...], CleanText]:
    found = dict.fromkeys(resources)
    alias = NO_TEXT
    named = [request[name] for name in REQUEST_KEYS if name in request] if request else []
    if response:
        named += [response.get(name) for name in RESPONSE_KEYS]
        named.append(_mapping(response.get("keyMetadata")).get("arn"))
    named += [_mapping(record.get("serviceEventDetails")).get("keyId"), request.get("aliasName")]
    for value in filter(None, named):
        if not isinstance(value, str) or len(value) > 512:
            continue
        rest = value.rsplit(":", 1)[-1]
        if ALIAS.fullmatch(rest):
            alias = alias or CleanText(rest)
        elif KEY_ARN.fullmatch(value):
            found[CleanText(value)] = None
        elif KEY_ID.fullmatch(value) and region and account and not any(a.endswith(value) for a in found):
            # A bare id means a key of the caller's own account and Region.
            found[CleanText(f"arn:{partition_of(region)}:kms:{region}:{account}:key/{value}")] = None
    message = record.get("errorMessage")
    if not found and isinstance(message, str):
        found |= dict.fromkeys(map(CleanText, KEY_ARN.findall(message[:4_096])))
    return tuple(found)[:MOST_KEYS], alias


def _materials(record: dict[str, Any]) -> tuple[CleanText, ...]:
    found: dict[CleanText, None] = {}
    for part in ("additionalEventData", "serviceEventDetails", "responseElements"):
        values = record.get(part)
        if not isinstance(values, dict):
            continue
        for name in MATERIALS:
            value = values.get(name)
            if isinstance(value, str) and MATERIAL.fullmatch(value):
                found[CleanText(value)] = None
    return tuple(found)


def _context(request: dict[str, Any]) -> dict[str, CleanText]:
    found: dict[str, CleanText] = {}
    for name in ("encryptionContext", "sourceEncryptionContext", "destinationEncryptionContext"):
        pairs = request.get(name)
        if not isinstance(pairs, dict):
            continue
        chosen = [*(k for k in CONTEXT if k in pairs), *(k for k in pairs if k not in CONTEXT)]
        for key in chosen[:_MOST_CONTEXT]:
            if isinstance(key, str) and isinstance(pairs[key], str):
                found.setdefault(clean(key, 128), clean(pairs[key], LONG))
    return found


def _token(context: Mapping[str, str]) -> TokenRef | None:
    table, column, row, member, schema, _ = map(context.get, CONTEXT)
    # A dot in a table's name would make it another schema's.
    if not (table and column and row) or "." in table or schema == "":
        return None
    return TokenRef(table_name(schema, table), column, row, member)
