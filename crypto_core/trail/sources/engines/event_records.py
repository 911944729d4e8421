"""Records of events out of Athena's table: a finding's evidence, and changes that are looked at singly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crypto_core.errors import TrailError
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import load, read_record

_PREFIX = "record_"
_PLAIN = {
    "eventTime": "at_text",
    "eventSource": "source",
    "eventName": "name",
    "awsRegion": "region",
    "sourceIPAddress": "ip",
    "userAgent": "agent",
    "errorCode": "error",
    "errorMessage": "message",
    "eventType": "event_type",
    "recipientAccountId": "recipient",
    "vpcEndpointId": "endpoint",
    "sessionCredentialFromConsole": "console_text",
}
"""A record's texts, by the columns on the way to those of events: see event_columns."""
_IDENTITY = {
    "type": "kind",
    "arn": "arn",
    "accountId": "caller_account",
    "accessKeyId": "access_key",
    "invokedBy": "invoked_by",
    "userName": "user_name",
    "principalId": "principal_id",
}
_DOCUMENTS = {
    "requestParameters": "request",
    "responseElements": "response",
    "additionalEventData": "more",
    "serviceEventDetails": "details",
    "resources": "resources_text",
}
_SINGLE = ("tls", "mfa_text", "issuer")
RECORD_COLUMNS = {
    f"{_PREFIX}{column}": column
    for column in (*_PLAIN.values(), *_IDENTITY.values(), *_DOCUMENTS.values(), *_SINGLE)
}
"""The columns that a record is made of, for a SELECT of events."""


def event_of_row(row: Mapping[str, str | None]) -> TrailEvent:
    """Return the event that a row with RECORD_COLUMNS tells of, as far as it does. Raises TrailError."""

    def text(column: str) -> str | None:
        return row.get(f"{_PREFIX}{column}") or None

    record: dict[str, Any] = {"eventID": row.get("event_id")}
    record |= {name: text(column) for name, column in _PLAIN.items()}
    record |= {name: _document(text(column)) for name, column in _DOCUMENTS.items()}
    record["resources"] = [{"ARN": arn} for arn in _arns(record["resources"])]
    record["tlsDetails"] = {"tlsVersion": text("tls")}
    record["userIdentity"] = {name: text(column) for name, column in _IDENTITY.items()} | {
        "sessionContext": {
            "attributes": {"mfaAuthenticated": text("mfa_text")},
            "sessionIssuer": {"arn": text("issuer")},
        }
    }
    found = read_record(record)
    if found is None:
        raise TrailError("A row of Athena's is no event.", remedy="Look at the table that is set up.")
    return found


def _document(text: str | None) -> Any:
    try:
        return load(text) if text else None
    except ValueError:
        return None


def _arns(resources: Any) -> Iterator[str]:
    """The ARNs of resources, whose fields may have lost their names: Trino may make arrays of rows."""
    for one in resources if isinstance(resources, list) else ():
        fields = one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
        yield from (text for text in fields if isinstance(text, str) and text.startswith("arn:"))
