"""What CloudTrail's records come wrapped in: one line of SHAPES for each way in which others hand them on.

Amazon EventBridge, CloudWatch Logs, Data Firehose, SNS, SQS, Athena and CloudTrail Lake: their user guides
and API references. Splunk: `search/jobs/export`. Elastic: the search API, and ECS's `event.original`. A shape
that holds no whole record is not guessed at: it is refused by name, with what to import instead.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.trail.record_reader import OversizeDocumentError, load, load_foreign
from crypto_core.trail.sources.engine_rows import PLAIN, plain_record, record_of
from crypto_core.trail.sources.files.ocsf_records import of_ocsf
from crypto_core.trail.sources.files.packed_logs import (
    LARGEST,
    MOST_TIMES,
    FileBombError,
    Refusal,
    UnreadableError,
    unpacked,
)
from crypto_core.values.clean_text import clean

WHOLE = ("eventjson", "cloudtrailevent", "_raw", "@message", "event.original", "raw_data", "message")
_NEEDED = ("eventid", "eventtime", "eventsource", "eventname", "awsregion", "requestparameters")
_STRUCTURES = ("useridentity", "resources")
_OF_A_PULL = ("identity_arn", "resource_arns")
COLUMNS = frozenset((*WHOLE, *PLAIN.values(), *_STRUCTURES, *_OF_A_PULL)) - {"message"}

_NAMES = (
    *("type", "principalId", "arn", "accountId", "invokedBy", "accessKeyId", "userName", "sessionContext"),
    *("attributes", "creationDate", "mfaAuthenticated", "sessionIssuer", "webIdFederationData"),
)
_CASED = {name.lower(): name for name in _NAMES}
_ASKED = ", ".join((*_NEEDED, *(f"json_format(CAST({name} AS JSON)) AS {name}" for name in _STRUCTURES)))
_NO_RECORD = Refusal(
    "a table without whole records",
    f"Of CloudTrail Lake's columns it needs eventJson; of Athena's: {_ASKED}.",
)


def of_row(row: Mapping[str, object]) -> Iterable[object]:
    """Return what a row holds: a text that is a record's JSON, a record, or that it holds none."""
    cells = {name.strip().lower(): cell for name, cell in row.items()}
    for name in WHOLE:
        if isinstance(cell := cells.get(name), str) and cell.strip():
            return (cell,)
    texts = {name: cell or None for name, cell in cells.items() if isinstance(cell, str | None)}
    if not all(name in cells for name in _NEEDED) or not texts["eventid"]:
        return (_NO_RECORD,)
    if all(name in cells for name in _OF_A_PULL):
        return (record_of(texts),)
    try:
        identity, resources = (load(texts[name] or "null") for name in _STRUCTURES)
    except (KeyError, ValueError):
        return (_NO_RECORD,)
    arns = resources if isinstance(resources, list) else ()
    return (
        plain_record(texts)
        | {
            "userIdentity": _cased(identity),
            "resources": [{"ARN": one.get("arn")} for one in arns if isinstance(one, dict)],
        },
    )


def _cased(value: object) -> object:
    found: dict[str, object] = {"identity": value}
    level = [found]
    for _ in range(4):
        inner: list[dict[str, object]] = []
        for outer in level:
            for name, within in outer.items():
                if isinstance(within, dict):
                    cased: dict[str, object] = {
                        _CASED.get(str(key), str(key)): one for key, one in within.items()
                    }
                    outer[name] = cased
                    inner.append(cased)
        level = inner
    return found["identity"]


MOST_RECORDS = 50_000
"""Records of one document: CloudTrail's own of the largest size that is read have fewer."""
_DEPTH = 8
"""How deeply records are looked for: a queue's answer, its message, a topic's message, an envelope, …"""

Opened = Iterable[object]
"""What is within a document: documents and lists; texts that are JSON; bytes that may be packed JSON."""


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    fields: tuple[str, ...]
    within: Callable[[dict[str, Any]], Opened]


def records_of(document: object) -> Iterator[object]:
    """Yield the records of what a file or a line holds: one, a list of them, or any of SHAPES.

    What is none of these is yielded as it is, and a Refused for what is known to hold no whole record:
    read_record tells that it is not an event. Raises OversizeDocumentError after MOST_RECORDS.
    """
    for number, record in enumerate(_Unwrapping().records(document, _DEPTH), start=1):
        if number > MOST_RECORDS:
            raise OversizeDocumentError(f"it has more than {MOST_RECORDS:,} records in one document")
        yield record


def shape_of(document: dict[str, Any]) -> Shape | None:
    """Return the first shape that a document has the fields of."""
    for shape in SHAPES:
        if all(name in document for name in shape.fields):
            return shape
    return _ALONE if len(document) == 1 and isinstance(next(iter(document.values())), dict) else None


class _Unwrapping:
    """Of one document. What is packed within it unpacks to no more than a document's size in all."""

    def __init__(self) -> None:
        self._left = LARGEST

    def records(self, document: object, depth: int) -> Iterator[object]:
        empty = not document and depth < _DEPTH
        if not depth or empty or not isinstance(document, dict | list) or is_record(document):
            yield document
            return
        if isinstance(document, list):
            within: Opened = document
        else:
            shape = shape_of(document)
            if shape is None:
                yield document
                return
            within = shape.within(document)
        for one in within:
            if is_record(one):
                yield one
            elif isinstance(document, list):
                yield from self.records(one, depth - 1)
            else:
                yield from self.records(self._read(one), depth - 1)

    def _read(self, one: object) -> object:
        """What a text or bytes hold; the same where that is no document."""
        if not isinstance(one, str | bytes):
            return one
        try:
            written = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else self._unpacked(one)
            found = load_foreign(written)
        except OversizeDocumentError:
            raise
        except FileBombError as error:
            # One is enough: nothing says how many more there are, and each takes its time.
            words = f"what is packed within it unpacks to more than {MOST_TIMES} times its size"
            raise OversizeDocumentError(words) from error
        except (UnreadableError, ValueError):
            return one
        return found if isinstance(found, dict | list) else one

    def _unpacked(self, packed: bytes) -> bytes:
        parts = []
        for part in unpacked((packed,)):
            self._left -= len(part)
            if self._left < 0:
                raise OversizeDocumentError(f"what is packed within it has more than {LARGEST // 2**20} MiB")
            parts.append(part)
        return b"".join(parts)


def is_record(document: object) -> bool:
    """Return whether it is a record: notifications of other services, as aws:s3, have the same fields."""
    if not isinstance(document, dict) or "_raw" in document:
        return False
    source = document.get("eventSource")
    if isinstance(source, str):
        return not source.startswith("aws:")
    return "eventName" in document and source is None


def _each(*path: str) -> Callable[[dict[str, Any]], Opened]:
    def within(document: dict[str, Any]) -> Opened:
        found: Any = document
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, list) else (found,)

    return within


def _packed(*path: str) -> Callable[[dict[str, Any]], Opened]:
    def within(document: dict[str, Any]) -> Opened:
        for found in _each(*path)(document):
            try:
                yield base64.b64decode(found, validate=True) if isinstance(found, str) else found
            except (binascii.Error, ValueError):
                yield found

    return within


def _refused(what: str, remedy: str) -> Callable[[dict[str, Any]], Opened]:
    return lambda document: (Refusal(what, remedy),)


def _notified(*paths: tuple[tuple[str, ...], tuple[str, ...]]) -> Callable[[dict[str, Any]], Opened]:
    def within(document: dict[str, Any]) -> Opened:
        for bucket_at, keys_at in paths:
            bucket = next(iter(_each(*bucket_at)(document)), None)
            for key in _each(*keys_at)(document):
                place = clean(f"s3://{bucket}/{key}", 200)
                yield Refusal(
                    "a notification of objects in a bucket, which holds no events",
                    f"Import the object {place} itself, or fetch all: keydeck events pull --from s3://…",
                )

    return within


def _splunk(document: dict[str, Any]) -> Opened:
    result = document["result"]
    if document.get("preview") is True:
        yield Refusal("a preview of a Splunk search", "Export it with preview=false.")
    elif isinstance(result, dict) and "_raw" not in result:
        yield Refusal("a result of Splunk without _raw", "Export with the field: … | fields _raw")
    else:
        yield result


def _results(document: dict[str, Any]) -> Opened:
    """Of CloudWatch Logs Insights, rows of fields; of Splunk, objects."""
    for row in _each("results")(document):
        if isinstance(row, list):
            yield from of_row({str(c.get("field")): c.get("value") for c in row if isinstance(c, dict)})
        elif isinstance(row, dict) and "init_offset" in document:
            yield from _splunk({"result": row, "preview": document.get("preview")})
        else:
            yield row
    if document.get("status") in ("Running", "Scheduled"):
        yield Refusal("the answer of a query that was still running", "Ask again once it is Complete.")


def _athena(document: dict[str, Any]) -> Opened:
    header: list[str] = []
    for row in _each("ResultSet", "Rows")(document):
        data = row.get("Data") if isinstance(row, dict) else None
        if not isinstance(data, list):
            yield row
            continue
        cells = [cell.get("VarCharValue") if isinstance(cell, dict) else None for cell in data]
        if header:
            yield from of_row(dict(zip(header, cells, strict=False)))
        else:
            header = list(map(str, cells))


def _lake(document: dict[str, Any]) -> Opened:
    for row in _each("QueryResultRows")(document):
        if isinstance(row, list):
            pairs = (cell for cell in row if isinstance(cell, dict))
            yield from of_row({name: value for cell in pairs for name, value in cell.items()})
        else:
            yield row


_NOT_WHOLE = _refused(
    "a document of Elastic without event.original, which does not hold the whole record",
    "Preserve the original event in the integration, or import the trail's own files.",
)
_S3 = ((("s3", "bucket", "name"), ("s3", "object", "key")),)

SHAPES = (
    Shape("files of CloudTrail", ("Records",), _each("Records")),
    Shape("answers of LookupEvents", ("Events",), _each("Events")),
    Shape("an event of LookupEvents", ("CloudTrailEvent",), _each("CloudTrailEvent")),
    Shape("CloudTrail's digest files", ("digestS3Bucket",), _refused(
        "a digest of CloudTrail, which holds no events", "It is read by: keydeck events import --validate"
    )),
    Shape("S3's notifications", ("eventSource", "s3"), _notified(*_S3)),
    Shape("S3's notifications by EventBridge", ("bucket", "object", "requester"),
          _notified((("bucket", "name"), ("object", "key")))),
    Shape("CloudTrail's notifications", ("s3Bucket", "s3ObjectKey"),
          _notified((("s3Bucket",), ("s3ObjectKey",)))),
    Shape("S3's test of a notification", ("Service", "Event", "Bucket"), _refused(
        "a test message of S3, which holds no events", "Leave it out."
    )),
    Shape("EventBridge", ("detail-type", "detail"), _each("detail")),
    Shape("CloudWatch Logs' subscription, as a function gets it", ("awslogs",), _packed("awslogs", "data")),
    Shape("CloudWatch Logs' subscription", ("logEvents", "messageType"), lambda document: (
        () if document["messageType"] == "CONTROL_MESSAGE" else _each("logEvents")(document)
    )),
    Shape("answers of FilterLogEvents", ("events",), _each("events")),
    Shape("results of Logs Insights, and of Splunk", ("results",), _results),
    Shape("Kinesis, as a function gets it", ("kinesis",), _packed("kinesis", "data")),
    Shape("answers of Kinesis", ("Data", "SequenceNumber"), _packed("Data")),
    Shape("Firehose, as a function gets it", ("records",), _each("records")),
    Shape("a record of Firehose", ("recordId", "data"), _packed("data")),
    Shape("answers of Athena", ("ResultSet",), _athena),
    Shape("answers of CloudTrail Lake", ("QueryResultRows",), _lake),
    Shape("answers of SQS", ("Messages",), _each("Messages")),
    Shape("a message of SQS", ("Body", "MessageId"), _each("Body")),
    Shape("a message of SQS, as a function gets it", ("body", "messageId"), _each("body")),
    Shape("SNS, as a function gets it", ("Sns",), _each("Sns")),
    Shape("a message of SNS", ("TopicArn", "Message"), lambda document: _each("Message")(document) if (
        "SubscribeURL" not in document
    ) else (Refusal("a confirmation of an SNS subscription, which holds no events", "Leave it out."),)),
    Shape("Splunk's export", ("result",), _splunk),
    Shape("a result of Splunk", ("_raw",), _each("_raw")),
    Shape("answers of Elastic", ("hits",), _each("hits")),
    Shape("a document of Elastic", ("_source",), _each("_source")),
    Shape("Elastic's original event, flat", ("event.original",), _each("event.original")),
    Shape("Elastic's original event", ("event",), lambda document: (
        _each("event", "original") if _has_original(document["event"]) else _NOT_WHOLE
    )(document)),
    Shape("Elastic's fields alone", ("aws",), _NOT_WHOLE),
    Shape("OCSF", ("class_uid", "metadata"), of_ocsf),
    Shape("a line of a log", ("message",), _each("message")),
)  # fmt: skip

_ALONE = Shape("S3 Select", (), lambda document: document.values())


def _has_original(event: object) -> bool:
    return isinstance(event, dict) and "original" in event
