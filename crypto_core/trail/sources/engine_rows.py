"""A query engine's row of text as the record that it tells of, and which columns hold what.

Athena Developer Guide, "Query AWS CloudTrail logs".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from crypto_core.trail.record_reader import PLACES, WITHIN, load

DOCUMENTED = (
    *("eventID", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent"),
    *("errorCode", "errorMessage", "requestID", "readOnly", "eventType", "recipientAccountId"),
)
"""Columns of text that every table has: another one is asked for where a table's definition has it."""
PLAIN = {name: name.lower() for name in dict.fromkeys((*DOCUMENTED, *PLACES)) if "." not in name}
"""A record's fields that are columns of text, by the column."""
_WITHIN = {place: ".".join(place).lower() for place in WITHIN}
"""Those that are texts within a column."""
_DOCUMENTS = ("requestParameters", "responseElements", "additionalEventData", "serviceEventDetails")
DOCUMENTS = {name: name.lower() for name in _DOCUMENTS}
_IDENTITY = ("type", "principalId", "arn", "accountId", "invokedBy", "accessKeyId", "userName")
IDENTITY = {name: f"useridentity.{name.lower()}" for name in _IDENTITY}
SESSION = {
    "mfaAuthenticated": "useridentity.sessioncontext.attributes.mfaauthenticated",
    "issuerArn": "useridentity.sessioncontext.sessionissuer.arn",
}
LABELS = {
    **{one: one for one in (*PLAIN.values(), *DOCUMENTS.values())},
    **{one: f"identity_{name.lower()}" for name, one in IDENTITY.items()},
    **{one: f"session_{name.lower()}" for name, one in SESSION.items()},
    **{one: one.replace(".", "_") for one in _WITHIN.values()},
}
"""What rows call the columns that they bring, but for `RESOURCES`, which are the ARNs of resources."""
RESOURCES = "resource_arns"
MISSING = ("sessionCredentialFromConsole", "addendum")


def record_of(row: Mapping[str, str | None]) -> dict[str, object]:
    """Return the record that a row tells of, as far as it does; see MISSING."""
    record = plain_record(row)
    identity: dict[str, object] = {name: row.get(LABELS[column]) for name, column in IDENTITY.items()}
    identity["sessionContext"] = {
        "attributes": {"mfaAuthenticated": row.get(LABELS[SESSION["mfaAuthenticated"]])},
        "sessionIssuer": {"arn": row.get(LABELS[SESSION["issuerArn"]])},
    }
    record["userIdentity"] = identity
    for (outer, inner), column in _WITHIN.items():
        record[outer] = {inner: row.get(LABELS[column])}
    resources = _document(row.get(RESOURCES))
    record["resources"] = [{"ARN": arn} for arn in _arns(resources)] if isinstance(resources, list) else None
    return record


def _arns(resources: Iterable[object]) -> Iterator[str]:
    """The ARNs of resources, whose fields may have lost their names: Trino may make arrays of rows."""
    for one in resources:
        fields = one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else (one,)
        yield from (text for text in fields if isinstance(text, str) and text.startswith("arn:"))


def plain_record(row: Mapping[str, str | None]) -> dict[str, object]:
    """Return the record that a row tells of, without identity and resources."""
    record: dict[str, object] = {name: row.get(column) for name, column in PLAIN.items()}
    record["readOnly"] = {"true": True, "false": False}.get(str(row.get("readonly")).lower())
    for name, column in DOCUMENTS.items():
        record[name] = _document(row.get(column))
    return record


def _document(text: str | None) -> object:
    """JSON, whose values may be JSON in texts again: what a map of texts holds."""
    if not text:
        return None
    try:
        found = load(text)
    except ValueError:
        return None
    if isinstance(found, dict):
        for name, value in found.items():
            if isinstance(value, str) and value.startswith("{"):
                try:
                    found[name] = load(value)
                except ValueError:
                    continue
    return found
