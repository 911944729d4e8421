"""The shapes that events come in: one line each, with how a few records look in it, or why it is refused."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

from tests.crypto_core.trail.records import ACCOUNT, REGION

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Record = dict[str, Any]
dumps = json.dumps


def text(document: object) -> bytes:
    return dumps(document).encode()


def lines(documents: Iterable[object]) -> bytes:
    return b"".join(text(one) + b"\n" for one in documents)


def table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([list(names), *rows])
    return written.getvalue().encode()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def envelope(record: Record) -> Record:
    """EventBridge's, about a record."""
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.kms",
        "account": ACCOUNT,
        "time": record["eventTime"],
        "region": REGION,
        "resources": [],
        "detail": record,
    }


def subscription(records: list[Record]) -> Record:
    """What CloudWatch Logs sends to a subscription."""
    return {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "trail",
        "logStream": f"{ACCOUNT}_CloudTrail_{REGION}",
        "subscriptionFilters": ["all"],
        "logEvents": [{"id": str(n), "timestamp": n, "message": dumps(r)} for n, r in enumerate(records)],
    }


def sns(message: object) -> Record:
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:trail",
        "Message": dumps(message),
        "Timestamp": "2026-11-25T12:00:00.000Z",
    }


def sqs(bodies: Iterable[object]) -> Record:
    """The answer of ReceiveMessage."""
    return {"Messages": [{"MessageId": "1", "ReceiptHandle": "x", "Body": dumps(body)} for body in bodies]}


def ocsf(record: Record, **more: Any) -> Record:
    """As Security Lake maps a record: all that a Decrypt has."""
    who = record["userIdentity"]
    session = who.get("sessionContext", {})
    return {
        "activity_id": 2,
        "category_uid": 6,
        "class_uid": 6003,
        "class_name": "API Activity",
        "metadata": {
            "uid": record["eventID"],
            "event_code": record["eventType"],
            "product": {"name": "CloudTrail", "vendor_name": "AWS"},
            "version": "1.1.0",
        },
        "time": 1_795_608_000_000,
        "api": {
            "operation": record["eventName"],
            "service": {"name": record["eventSource"]},
            "request": {"uid": record["requestID"], "data": dumps(record["requestParameters"])},
            "response": {"error": None, "message": None, "data": None},
        },
        "cloud": {"provider": "AWS", "region": record["awsRegion"]},
        "http_request": {"user_agent": record["userAgent"]},
        "src_endpoint": {"ip": record["sourceIPAddress"]},
        "actor": {
            "user": {
                "type": who["type"],
                "uid": who["arn"],
                "uid_alt": who["principalId"],
                "account": {"uid": who["accountId"]},
                "credential_uid": who["accessKeyId"],
            },
            "session": {"issuer": session["sessionIssuer"]["arn"], "is_mfa": False},
        },
        "resources": [{"uid": one["ARN"], "type": one["type"]} for one in record["resources"]],
        "unmapped": {
            "recipientAccountId": record["recipientAccountId"],
            "additionalEventData.keyMaterialId": record["additionalEventData"]["keyMaterialId"],
            "readOnly": "true",
        },
    } | more


ROW = (
    *("eventid", "eventtime", "eventsource", "eventname", "awsregion", "sourceipaddress", "useragent"),
    *("requestid", "eventtype", "recipientaccountid", "readonly", "requestparameters", "additionaleventdata"),
    *("useridentity", "resources"),
)


def lowered(value: object) -> object:
    """Names in lower case, as an engine has a structure's."""
    if isinstance(value, dict):
        return {name.lower(): lowered(one) for name, one in value.items()}
    return [lowered(one) for one in value] if isinstance(value, list) else value


def row(record: Record) -> list[str]:
    """A row of Athena's, its structures as JSON."""
    cells = {name.lower(): value for name, value in record.items()}
    found = []
    for name in ROW:
        value = lowered(cells[name]) if name in ("useridentity", "resources") else cells[name]
        found.append(str(value) if isinstance(value, str) else dumps(value))
    return found


def athena(records: list[Record]) -> Record:
    """The answer of Athena's GetQueryResults."""
    rows = [list(ROW), *map(row, records)]
    data = [{"Data": [{"VarCharValue": cell} for cell in cells]} for cells in rows]
    return {"UpdateCount": 0, "ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": []}}}


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def tarred(files: dict[str, bytes], mode: Any = "w:gz") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def files(records: list[Record]) -> dict[str, bytes]:
    """A file of CloudTrail's for each record, as they lie in a folder."""
    return {
        f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{number}.json.gz": gzip.compress(text({"Records": [one]}))
        for number, one in enumerate(records)
    }


READ: dict[str, Callable[[list[Record]], bytes]] = {
    "a file of CloudTrail": lambda r: gzip.compress(text({"Records": r})),
    "a JSON list": text,
    "JSON lines": lines,
    "bzip2": lambda r: bz2.compress(lines(r)),
    "xz of tar": lambda r: lzma.compress(tarred(files(r), "w")),
    "Zstandard": lambda r: zstd.compress(lines(r)),
    "LookupEvents": lambda r: text({"Events": [{"EventId": "x", "CloudTrailEvent": dumps(o)} for o in r]}),
    "EventBridge": lambda r: lines(map(envelope, r)),
    "EventBridge to SQS": lambda r: text(sqs(map(envelope, r))),
    "EventBridge to SNS to SQS": lambda r: text(sqs(sns(envelope(one)) for one in r)),
    "SQS, as a function gets it": lambda r: text(
        {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": dumps(envelope(o))} for o in r]}
    ),
    "CloudWatch Logs: filter-log-events": lambda r: text(
        {"events": [{"timestamp": 1, "message": dumps(o), "eventId": "3"} for o in r]}
    ),
    "CloudWatch Logs: export to S3": lambda r: gzip.compress(
        b"".join(b"2026-11-25T12:00:00.000Z " + text(one) + b"\n" for one in r)
    ),
    "CloudWatch Logs: subscription to Firehose": lambda r: (
        text({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL CONTROL MESSAGE"}]})
        + b"".join(text(subscription([one])) for one in r)
    ),
    "CloudWatch Logs: subscription to a function": lambda r: text(
        {"awslogs": {"data": base64_of(gzip.compress(text(subscription(r))))}}
    ),
    "CloudWatch Logs: subscription to Kinesis": lambda r: text(
        {
            "Records": [
                {
                    "eventSource": "aws:kinesis",
                    "eventName": "aws:kinesis:record",
                    "kinesis": {"data": base64_of(gzip.compress(text(subscription([one]))))},
                }
                for one in r
            ]
        }
    ),
    "CloudWatch Logs: Insights": lambda r: text(
        {
            "results": [
                [{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": dumps(o)}] for o in r
            ],
            "status": "Complete",
        }
    ),
    "Firehose": lambda r: b"".join(map(text, r)),
    "Firehose, some in one line": lambda r: text(r[0]) + b"".join(map(text, r[1:])) + b"\n" + text(r[0]),
    "Firehose, as a function gets it": lambda r: text(
        {"records": [{"recordId": "1", "data": base64_of(text(envelope(one)))} for one in r]}
    ),
    "Athena, CSV": lambda r: table(ROW, map(row, r)),
    "Athena, get-query-results": lambda r: text(athena(r)),
    "CloudTrail Lake, CSV": lambda r: gzip.compress(table(["eventJson"], ([dumps(one)] for one in r))),
    "CloudTrail Lake, get-query-results": lambda r: text(
        {"QueryStatus": "FINISHED", "QueryResultRows": [[{"eventJson": dumps(one)}] for one in r]}
    ),
    "Splunk, JSON": lambda r: lines(
        {"preview": False, "result": {"_raw": dumps(one), "eventName": "x"}} for one in r
    ),
    "Splunk, CSV": lambda r: table(
        ["_time", "_raw", "eventName"], (["1", json.dumps(one, indent=1), "x"] for one in r)
    ),
    "Elastic, original event": lambda r: text(
        {
            "took": 1,
            "hits": {
                "total": 1,
                "hits": [
                    {"_source": {"event": {"original": dumps(one)}, "aws": {"cloudtrail": {}}}} for one in r
                ],
            },
        }
    ),
    "Filebeat": lambda r: lines({"@timestamp": "x", "message": dumps(one), "agent": {}} for one in r),
    "OCSF with raw_data": lambda r: lines(ocsf(one, raw_data=dumps(one)) for one in r),
    "OCSF, API Activity": lambda r: lines(map(ocsf, r)),
    "S3 Select": lambda r: lines({"_1": one} for one in r),
    "tar.gz": lambda r: tarred(files(r)),
    "tar": lambda r: tarred(files(r), "w"),
    "zip": lambda r: zipped(files(r)),
}
"""Shapes from which every record comes out as the event that it is."""

_OBJECT = {"s3": {"bucket": {"name": "trail"}, "object": {"key": "AWSLogs/a.json.gz"}}}
_PUT = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
_OF_S3 = {"Records": [_PUT | _OBJECT]}
_CREATED = {"bucket": {"name": "trail"}, "object": {"key": "AWSLogs/a.json.gz"}, "requester": "x"}

REFUSED: dict[str, tuple[Callable[[list[Record]], bytes], str]] = {
    "S3's notifications": (lambda r: text(_OF_S3), "s3://trail/AWSLogs/a.json.gz"),
    "S3's notifications by SNS and SQS": (lambda r: text(sqs([sns(_OF_S3)])), "holds no events"),
    "S3's notifications by EventBridge": (
        lambda r: text(envelope(r[0]) | {"detail-type": "Object Created", "detail": _CREATED}),
        "s3://trail/AWSLogs/a.json.gz",
    ),
    "CloudTrail's notifications": (
        lambda r: text(sns({"s3Bucket": "trail", "s3ObjectKey": ["AWSLogs/a.json.gz"]})),
        "Import the object s3://trail/AWSLogs/a.json.gz itself",
    ),
    "a digest": (lambda r: text({"digestS3Bucket": "trail", "logFiles": []}), "a digest of CloudTrail"),
    "Athena's structures": (
        lambda r: table(ROW, [[*row(r[0])[:-2], "{type=AssumedRole, arn=x}", "[{arn=x}]"]]),
        "json_format(CAST(useridentity AS JSON)) AS useridentity",
    ),
    "a table of some columns": (lambda r: table(["eventname", "eventtime"], [["Decrypt", "x"]]), "eventJson"),
    "Splunk without _raw": (lambda r: text({"preview": False, "result": {"eventName": "x"}}), "without _raw"),
    "Elastic without the original": (
        lambda r: text({"_source": {"event": {"action": "Decrypt"}, "aws": {"cloudtrail": {}}}}),
        "without event.original",
    ),
    "OCSF of another class": (lambda r: text(ocsf(r[0], class_uid=2004)), "not the API Activity"),
    "Parquet": (lambda r: b"PAR1" + bytes(100) + b"PAR1", "It is Parquet"),
    "bzip2 that is damaged": (lambda r: b"BZh91AY&SY" + bytes(50), "The bzip2 data is damaged"),
    "7z": (lambda r: b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z x"),
    "CEF": (lambda r: b"<14>Nov 25 12:00:00 h CEF:0|AWS|CloudTrail|1|Decrypt|x|3|src=10.0.0.1", "It is CEF"),
    "control messages alone": (
        lambda r: text({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "x"}]}),
        "It holds no records.",
    ),
}
"""Shapes that hold no whole record, with a part of what is said instead of it."""
