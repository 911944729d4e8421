"""Trino's SQL over CloudTrail's table, run by DuckDB: no Trino is to be had here.

The table has the columns that Athena's User Guide gives it. Functions of Trino's that DuckDB calls otherwise,
or that answer otherwise there, are macros, as Trino's documentation describes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import duckdb
from sqlalchemy import literal_column, select, table, text

from crypto_core.trail.event_sql import inlined
from crypto_core.trail.sources.engine_rows import DOCUMENTS, PLAIN
from crypto_core.trail.sources.engines.athena import AthenaSettings, AthenaSource
from crypto_core.trail.sources.engines.event_columns import event_columns
from crypto_core.trail.sources.files.ocsf_records import API_ACTIVITY
from crypto_core.trail.sources.pull_query import KEPT_SOURCES
from crypto_core.trail.sources.puller import EngineMaker
from tests.crypto_core.trail.sources.engines.engine_server import QUERY, EngineServer, RefusedError

COLUMNS = {
    "useridentity": "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,"
    "accesskeyid:string,username:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,"
    "creationdate:string>,sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,"
    "username:string>>>",
    **dict.fromkeys(
        ("eventversion", *PLAIN.values(), *DOCUMENTS.values(), "sessioncredentialfromconsole"), "string"
    ),
    "resources": "array<struct<arn:string,accountid:string,type:string>>",
    "tlsdetails": "struct<tlsversion:string,ciphersuite:string>",
    "timestamp": "string",
}
"""The table's columns with their types as Glue has them, and its partition by day."""
_NAMED = "struct<name:string,uid:string>"
OCSF_COLUMNS = {
    "metadata": "struct<product:struct<name:string,vendor_name:string,version:string>,event_code:string,"
    "uid:string,version:string>",
    "time": "bigint",
    "time_dt": "timestamp",
    "cloud": "struct<region:string,account:struct<uid:string>,provider:string>",
    "api": "struct<response:struct<error:string,message:string,data:string>,operation:string,version:string,"
    f"service:{_NAMED},request:struct<data:string,uid:string>>",
    "actor": "struct<user:struct<type:string,name:string,uid_alt:string,uid:string,"
    "account:struct<uid:string>,credential_uid:string>,session:struct<created_time_dt:timestamp,is_mfa:boolean,issuer:string>,"
    "invoked_by:string>",
    "http_request": "struct<user_agent:string>",
    "src_endpoint": "struct<uid:string,ip:string,domain:string>",
    "resources": "array<struct<uid:string,owner:struct<account:struct<uid:string>>,type:string>>",
    "class_uid": "int",
    "accountid": "string",
    "region": "string",
    "unmapped": "map<string,string>",
}
"""Columns of Security Lake's table of source version 2, as its example queries and the mapping name them."""
_SCALAR = "json_type(j, path_of(p)) NOT IN ('OBJECT', 'ARRAY', 'NULL')"
_MACROS = (
    "array_join(items, space) AS coalesce(array_to_string(items, ' '), '')",
    "array_distinct(items) AS list_filter(items, lambda x, i: x IS NULL OR list_position(items, x) = i)",
    "regexp_like(t, p) AS regexp_matches(t, p)",
    "regexp_replace(t, p, r) AS system.main.regexp_replace(t, p, r, 'g')",
    "element_at(m, k) AS list_extract(system.main.map_extract(m, k), 1)",
    "from_unixtime(s) AS make_timestamp(CAST(floor(s) AS BIGINT) * 1000000)",
    "json_format(j) AS CAST(j AS VARCHAR)",
    "path_of(p) AS system.main.regexp_replace(p, '\\[\"([^\"]+)\"\\]', '.\"\\1\"', 'g')",
    "json_extract(j, p) AS CASE WHEN json_valid(j) THEN system.main.json_extract(j, path_of(p)) END",
    f"scalar_of(j, p) AS CASE WHEN {_SCALAR} THEN json_extract_string(j, path_of(p)) END",
    "json_extract_scalar(j, p) AS CASE WHEN json_valid(j) THEN scalar_of(j, p) END",
)


def table_metadata(**parameters: str) -> dict[str, Any]:
    """What GetTableMetadata answers of CloudTrail's table."""
    return _metadata(
        {name: kind for name, kind in COLUMNS.items() if name != "timestamp"},
        ["timestamp"],
        {"projection.enabled": "true", "projection.timestamp.format": "yyyy/MM/dd", **parameters},
    )


def ocsf_metadata(*without: str, partitions: Iterable[str] = ()) -> dict[str, Any]:
    """What it answers of a table of Security Lake's, some columns aside."""
    columns = {name: kind for name, kind in OCSF_COLUMNS.items() if name not in without}
    return _metadata(columns, partitions, {"table_type": "ICEBERG"})


def _metadata(
    columns: Mapping[str, str], partitions: Iterable[str], parameters: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        "PartitionKeys": [{"Name": name, "Type": "string"} for name in partitions],
        "Parameters": {"location": "s3://nowhere/", **parameters},
    }


def trino(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], name: str = "audit.logs"
) -> duckdb.DuckDBPyConnection:
    """A database with a table of such rows."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")
    for macro in _MACROS:
        connection.execute(f"CREATE MACRO {macro}")
    database, _, table = name.partition(".")
    connection.execute(f'CREATE SCHEMA "{database}"')
    structure = json.dumps([{column: _structure(kind) for column, kind in columns.items()}])
    connection.execute(
        f'CREATE TABLE "{database}"."{table}" AS '
        f"SELECT unnest(json_transform($rows::JSON, '{structure}'), max_depth := 2)",
        {"rows": json.dumps(list(rows))},
    )
    return connection


def _structure(kind: str) -> object:
    """A type of Hive's as json_transform takes it."""
    if kind.startswith("array<"):
        return [_structure(kind[6:-1])]
    if kind == "map<string,string>":
        return "MAP(VARCHAR, VARCHAR)"
    if not kind.startswith("struct<"):
        return {"string": "VARCHAR"}.get(kind, kind.upper())
    fields: dict[str, object] = {}
    depth, begin, inner = 0, 0, kind[7:-1]
    for place, sign in enumerate(f"{inner},"):
        depth += {"<": 1, ">": -1}.get(sign, 0)
        if sign == "," and not depth:
            name, _, of = inner[begin:place].partition(":")
            fields[name] = _structure(of)
            begin = place + 1
    return fields


def cloudtrail_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as CloudTrail's SerDe has it: names in lower case, documents as JSON, numbers as texts."""
    row = {}
    for name, value in record.items():
        if name in DOCUMENTS:
            row[name.lower()] = _document(value)
        elif isinstance(value, Mapping | list):
            row[name.lower()] = _lowered(value)
        else:
            row[name.lower()] = _text(value)
    day = str(record.get("eventTime") or "")[:10].replace("-", "/")
    return {name: row.get(name) for name in COLUMNS} | {"timestamp": day}


def ocsf_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as Security Lake maps it."""
    who = record.get("userIdentity") or {}
    session = who.get("sessionContext") or {}
    more = record.get("additionalEventData") or {}
    kept = {
        **{name: record.get(name) for name in ("recipientAccountId", "readOnly", "sharedEventID")},
        "sessionCredentialFromConsole": record.get("sessionCredentialFromConsole"),
        "tlsDetails.tlsVersion": (record.get("tlsDetails") or {}).get("tlsVersion"),
        **{f"additionalEventData.{name}": value for name, value in more.items()},
        "serviceEventDetails.keyId": (record.get("serviceEventDetails") or {}).get("keyId"),
    }
    at = datetime.fromisoformat(record["eventTime"])
    mfa = (session.get("attributes") or {}).get("mfaAuthenticated")
    account = record.get("recipientAccountId")
    address = str(record.get("sourceIPAddress") or "")
    place = "ip" if address[:1].isdigit() else "domain"
    return {
        "metadata": {
            "product": {"name": "CloudTrail", "vendor_name": "AWS"},
            "event_code": record.get("eventType"),
            "uid": record["eventID"],
            "version": "1.1.0",
        },
        "time": int(at.timestamp()) * 1_000,
        "time_dt": f"{at:%Y-%m-%d %H:%M:%S}",
        "cloud": {"region": record["awsRegion"], "account": {"uid": account}, "provider": "AWS"},
        "api": {
            "response": {
                "error": record.get("errorCode"),
                "message": record.get("errorMessage"),
                "data": _document(record.get("responseElements")),
            },
            "operation": record["eventName"],
            "service": {"name": record["eventSource"]},
            "request": {"data": _document(record.get("requestParameters")), "uid": record.get("requestID")},
        },
        "actor": {
            "user": {
                "type": who.get("type"),
                "name": who.get("userName"),
                "uid_alt": who.get("principalId"),
                "uid": who.get("arn"),
                "account": {"uid": who.get("accountId")},
                "credential_uid": who.get("accessKeyId"),
            },
            "session": {
                "is_mfa": None if mfa is None else mfa == "true",
                "issuer": (session.get("sessionIssuer") or {}).get("arn"),
            },
            "invoked_by": who.get("invokedBy"),
        },
        "http_request": {"user_agent": record.get("userAgent")},
        "src_endpoint": {"uid": record.get("vpcEndpointId"), place: address or None},
        "resources": [
            {"uid": one.get("ARN"), "type": one.get("type")} for one in record.get("resources") or ()
        ],
        "class_uid": API_ACTIVITY,
        "accountid": account,
        "region": record["awsRegion"],
        "unmapped": {name: _text(value) for name, value in kept.items() if value is not None},
    }


def _document(value: object) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _lowered(value: object) -> object:
    if isinstance(value, Mapping):
        return {name.lower(): _lowered(inner) for name, inner in value.items()}
    return [_lowered(inner) for inner in value] if isinstance(value, list) else _text(value)


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else json.dumps(value)


class TrinoServer(EngineServer):
    """Athena over a table, with DuckDB behind. `states` are what a query tells in turn, with bytes scanned.

    `prepared` is a table of the events that the statement reckons of it, for many questions about them.
    """

    def __init__(
        self,
        records: Iterable[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
        *,
        ocsf: bool = False,
        name: str = "audit.logs",
    ) -> None:
        super().__init__()
        row, columns = (ocsf_row, OCSF_COLUMNS) if ocsf else (cloudtrail_row, COLUMNS)
        self.database = trino(map(row, records), columns, name)
        self.metadata = metadata
        self.states: list[tuple[str, int]] = [("QUEUED", 0), ("RUNNING", 1_000), ("SUCCEEDED", 123_456)]
        self.reason = ""
        self.page = 1_000
        self.prepared = ""
        self._results: list[dict[str, str | None]] = []
        self.handlers = {
            "StartQueryExecution": self._run,
            "GetQueryExecution": self._look,
            "GetQueryResults": self._page,
            "GetTableMetadata": self._table,
            "StopQueryExecution": lambda _parameters: {},
        }

    def prepare(self) -> None:
        """Reckon the events once."""
        rows = select(text("*")).select_from(table("logs", schema="audit"))
        kept = rows.where(literal_column("eventsource").in_(KEPT_SOURCES))
        self.prepared = "events"
        reckoned = inlined(event_columns(kept, lambda _path: True).element)
        self.database.execute(f"CREATE TABLE events AS {reckoned}")

    def _run(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        values = [value[1:-1].replace("''", "'") for value in parameters["ExecutionParameters"]]
        assert all(len(value) <= 1_022 for value in values)
        statement = parameters["QueryString"]
        if self.prepared:
            before, begin, rest = statement.partition("(SELECT event_id AS")
            _, end, after = rest.partition(") AS event WHERE")
            assert begin
            assert end
            statement = f"{before}{self.prepared} AS event WHERE{after}"
            values = values[len(values) - after.count("?") :]
        self._results = rows_of(self.database, statement, values)
        return {"QueryExecutionId": QUERY}

    def _look(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        state, scanned = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        status = {"State": state, "StateChangeReason": self.reason}
        return {"QueryExecution": {"Status": status, "Statistics": {"DataScannedInBytes": scanned}}}

    def _page(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        start = int(parameters.get("NextToken", 0))
        some = self._results[start : start + min(self.page, int(parameters["MaxResults"]))]
        names = list(self._results[0]) if self._results else ["eventid"]
        written: list[list[str | None]] = [] if start else [[*names]]
        written += [list(row.values()) for row in some]
        cells = [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in written]
        more = start + len(some) < len(self._results)
        return {"ResultSet": {"Rows": cells}} | ({"NextToken": str(start + len(some))} if more else {})

    def _table(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        if self.metadata is None:
            raise RefusedError("AccessDeniedException", "not authorized to perform: athena:GetTableMetadata")
        return {"TableMetadata": {"Name": parameters["TableName"], **self.metadata}}


def rows_of(
    database: duckdb.DuckDBPyConnection, statement: str, values: Sequence[str] = ()
) -> list[dict[str, str | None]]:
    """Run a statement of Trino's; the rows as Athena tells them."""
    found = database.execute(statement.replace("transform(", "list_transform("), values)
    names = [str(column[0]) for column in found.description or ()]
    return [dict(zip(names, map(_cell, row), strict=True)) for row in found.fetchall()]


def _cell(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def asking(settings: AthenaSettings) -> dict[str, EngineMaker]:
    """The engines of a puller that asks Athena."""
    return {"athena": partial(AthenaSource, settings)}
