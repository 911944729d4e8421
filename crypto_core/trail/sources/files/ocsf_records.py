"""CloudTrail's records in OCSF's API Activity, as Amazon Security Lake writes them.

OCSF 1.1 to 1.5, class 6003, and its published mapping of CloudTrail. A record that came along as `raw_data`
is that record. Else read is what the mapping maps one to one; what it doesn't is in `unmapped`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from crypto_core.trail.record_reader import load
from crypto_core.trail.sources.files.packed_logs import Refusal

API_ACTIVITY = 6003
FIELDS = {
    "eventID": ("metadata", "uid"),
    "eventType": ("metadata", "event_code"),
    "eventName": ("api", "operation"),
    "eventSource": ("api", "service", "name"),
    "requestID": ("api", "request", "uid"),
    "errorCode": ("api", "response", "error"),
    "errorMessage": ("api", "response", "message"),
    "awsRegion": ("cloud", "region"),
    "userAgent": ("http_request", "user_agent"),
    "vpcEndpointId": ("src_endpoint", "uid"),
}
IDENTITY = {
    "type": ("actor", "user", "type"),
    "arn": ("actor", "user", "uid"),
    "principalId": ("actor", "user", "uid_alt"),
    "userName": ("actor", "user", "name"),
    "accountId": ("actor", "user", "account", "uid"),
    "accessKeyId": ("actor", "user", "credential_uid"),
    "invokedBy": ("actor", "invoked_by"),
}
DOCUMENTS = {
    "requestParameters": ("api", "request", "data"),
    "responseElements": ("api", "response", "data"),
}


def of_ocsf(document: dict[str, Any]) -> Iterable[object]:
    """Return the record of an OCSF event, or its JSON; for what is no call of an API, that it holds none."""
    raw = document.get("raw_data")
    if isinstance(raw, str) and raw.lstrip().startswith("{"):
        return (raw,)
    product = _at(document, ("metadata", "product", "name"))
    needed = all(_at(document, FIELDS[name]) for name in ("eventID", "eventName", "eventSource"))
    if document.get("class_uid") != API_ACTIVITY or product != "CloudTrail" or not needed:
        return (
            Refusal(
                "OCSF, but not the API Activity (class 6003) of CloudTrail, and without raw_data",
                "Import the trail's own files.",
            ),
        )
    return (_record(document),)


def _record(document: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = _unmapped(document.get("unmapped"))
    record |= {name: _at(document, path) for name, path in FIELDS.items()}
    record |= {name: _document(_at(document, path)) for name, path in DOCUMENTS.items()}
    record["eventTime"] = _time(document.get("time"))
    record["sourceIPAddress"] = next(
        filter(None, (_at(document, ("src_endpoint", name)) for name in ("ip", "domain"))), None
    )
    mfa = _at(document, ("actor", "session", "is_mfa"))
    record["userIdentity"] = {name: _at(document, path) for name, path in IDENTITY.items()} | {
        "sessionContext": {
            "attributes": {} if mfa is None else {"mfaAuthenticated": mfa},
            "sessionIssuer": {"arn": _at(document, ("actor", "session", "issuer"))},
        }
    }
    account = _at(document, ("cloud", "account", "uid"))
    if account:
        record["recipientAccountId"] = account
    resources = document.get("resources")
    record["resources"] = [
        {"ARN": one.get("uid"), "type": one.get("type")}
        for one in (resources if isinstance(resources, list) else ())
        if isinstance(one, Mapping)
    ]
    return record


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _document(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return load(value)
    except ValueError:
        return value


def _time(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return f"{datetime.fromtimestamp(value / 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
        except (ValueError, OverflowError, OSError):
            return None
    return value


def _unmapped(value: object) -> dict[str, Any]:
    """The fields that the mapping has no place for; a field within another stands under both names."""
    record: dict[str, Any] = {}
    for name, one in (value if isinstance(value, dict) else {}).items():
        outer, _, inner = name.partition(".") if isinstance(name, str) else ("", "", "")
        if not inner:
            record[name] = {"true": True, "false": False}.get(one, one) if isinstance(one, str) else one
        elif isinstance(within := record.setdefault(outer, {}), dict):
            within[inner] = one
    return record
