"""Records that somebody made to do harm."""

from __future__ import annotations

from typing import Any

from tests.crypto_core.trail.records import context, record, user

NASTY = (
    "[/red][bold]x[/] \x1b]52;c;ZXZpbA==\x07\x1b[2J "
    "\u202egnp.exe\u2066 \x00\x85\u2028 \ud800 '; DROP TABLE event;--"
)


def nested(depth: int) -> Any:
    """A mapping so deep."""
    inner: Any = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def hostile() -> list[dict[str, Any]]:
    """Hostile records, all of which are events."""
    texts = ("eventName", "sourceIPAddress", "userAgent", "errorCode", "errorMessage", "awsRegion", "eventID")
    fields = (*texts, "eventTime", "eventType", "requestID", "resources", "userIdentity", "readOnly")
    wrong: tuple[Any, ...] = (None, 7, 2**70, -1.5e300, True, [], {}, [[]], [None], {"a": None}, "", NASTY)
    return [
        *(record(**{name: NASTY + str(n)}) for n, name in enumerate(texts)),
        *(record(**{name: "x" * 5_000_000}) for name in ("userAgent", "errorMessage")),
        *(record(**{name: value}) for name in fields for value in wrong),
        record(who=user(NASTY, arn=NASTY, accessKeyId=NASTY)),
        record(who={"sessionContext": {"attributes": {"mfaAuthenticated": nested(150)}, "sessionIssuer": 5}}),
        record(context=context(NASTY)),
        record(context={NASTY: NASTY, **{f"k{n}": "v" for n in range(100)}}),
        record(requestParameters=nested(300)),
        record(requestParameters=nested(900)),
        record(eventTime="0001-01-01T00:00:00Z"),
        record(eventTime="0001-01-01T00:00:00+14:00"),
        record(eventTime="9999-12-31T23:59:59Z"),
        record(eventTime="9999-12-31T23:59:59-14:00"),
        record(eventTime=float("nan")),
        record(eventTime=float("inf")),
        record(eventTime=10**400),
        record(eventID="same"),
        record(eventID="same"),
        {"eventName": NASTY},
        {"eventSource": "kms.amazonaws.com"},
        {key: value for key, value in record().items() if key != "eventID"},
    ]
