"""Trino's SQL over CloudTrail's table, run by DuckDB: no Trino is to be had here.

The table has the columns that Athena's User Guide gives it. Functions of Trino's that DuckDB calls otherwise,
or that answer otherwise there, are macros, as Trino's documentation describes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from crypto_core.trail.sources.engine_rows import DOCUMENTS
from crypto_core.trail.sources.engines.event_columns import event_columns
from tests.crypto_core.trail.sources.engine_server import QUERY, AthenaServer

COLUMNS = {
    "useridentity": "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,"
    "accesskeyid:string,username:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,"
    "creationdate:string>,sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,"
    "username:string>>>",
    **dict.fromkeys(
        (
            *("eventversion", "eventtime", "eventsource", "eventname", "awsregion", "sourceipaddress"),
            *("useragent", "errorcode", "errormessage", "requestparameters", "responseelements"),
            *("additionaleventdata", "requestid", "eventid", "readonly", "eventtype", "recipientaccountid"),
            *("serviceeventdetails", "sharedeventid", "vpcendpointid", "sessioncredentialfromconsole"),
        ),
        "string",
    ),
    "resources": "array<struct<arn:string,accountid:string,type:string>>",
    "tlsdetails": "struct<tlsversion:string,ciphersuite:string>",
    "timestamp": "string",
}
"""The table's columns with their types as Glue has them, and its partition by day."""
_SCALAR = "json_type(j, path_of(p)) NOT IN ('OBJECT', 'ARRAY', 'NULL')"
_MACROS = (
    "array_join(items, sign) AS coalesce(array_to_string(items, sign), '')",
    "array_distinct(items) AS list_filter(items, lambda x, i: x IS NULL OR list_position(items, x) = i)",
    "regexp_like(t, p) AS regexp_matches(t, p)",
    "regexp_replace(t, p, r) AS system.main.regexp_replace(t, p, r, 'g')",
    "json_format(j) AS CAST(j AS VARCHAR)",
    "path_of(p) AS system.main.regexp_replace(p, '\\[\"([^\"]+)\"\\]', '.\"\\1\"', 'g')",
    "json_extract(j, p) AS CASE WHEN json_valid(j) THEN system.main.json_extract(j, path_of(p)) END",
    f"scalar_of(j, p) AS CASE WHEN {_SCALAR} THEN json_extract_string(j, path_of(p)) END",
    "json_extract_scalar(j, p) AS CASE WHEN json_valid(j) THEN scalar_of(j, p) END",
)


def table_metadata(**parameters: str) -> dict[str, Any]:
    """What GetTableMetadata answers of it."""
    columns = [{"Name": name, "Type": kind} for name, kind in COLUMNS.items() if name != "timestamp"]
    return {
        "Columns": columns,
        "PartitionKeys": [{"Name": "timestamp", "Type": "string"}],
        "Parameters": {
            "projection.enabled": "true",
            "projection.timestamp.format": "yyyy/MM/dd",
            "location": "s3://nowhere/",
            **parameters,
        },
    }


def trino(records: Iterable[Mapping[str, Any]], name: str = "audit.logs") -> duckdb.DuckDBPyConnection:
    """A database with a table of records."""
    connection = duckdb.connect(":memory:")
    for macro in _MACROS:
        connection.execute(f"CREATE MACRO {macro}")
    rows = [_row(record) for record in records]
    database, _, table = name.partition(".")
    connection.execute(f'CREATE SCHEMA "{database}"')
    structure = json.dumps([{column: _structure(kind) for column, kind in COLUMNS.items()}])
    connection.execute(
        f'CREATE TABLE "{database}"."{table}" AS '
        f"SELECT unnest(json_transform($rows::JSON, '{structure}'), max_depth := 2)",
        {"rows": json.dumps(rows)},
    )
    return connection


def _structure(kind: str) -> object:
    """A type of Hive's as json_transform takes it."""
    if kind.startswith("array<"):
        return [_structure(kind[6:-1])]
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


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as CloudTrail's SerDe has it: names in lower case, documents as JSON, numbers as texts."""
    row = {}
    for name, value in record.items():
        if name in DOCUMENTS:
            row[name.lower()] = None if value is None else json.dumps(value, separators=(",", ":"))
        elif isinstance(value, Mapping | list):
            row[name.lower()] = _lowered(value)
        else:
            row[name.lower()] = _text(value)
    day = str(record.get("eventTime") or "")[:10].replace("-", "/")
    return {name: row.get(name) for name in COLUMNS} | {"timestamp": day}


def _lowered(value: object) -> object:
    if isinstance(value, Mapping):
        return {name.lower(): _lowered(inner) for name, inner in value.items()}
    return [_lowered(inner) for inner in value] if isinstance(value, list) else _text(value)


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else json.dumps(value)


class TrinoServer(AthenaServer):
    """Athena over CloudTrail's table, with DuckDB behind.

    `prepared` is a table of the events that the statement reckons of it, for many questions about them.
    """

    def __init__(
        self, records: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__((), metadata)
        self.database = trino(records)
        self.prepared = ""
        self.handlers["StartQueryExecution"] = self._run

    def prepare(self) -> None:
        """Reckon the events once."""
        kept = "WHERE eventsource IN ('kms.amazonaws.com', 'cloudtrail.amazonaws.com')"
        self.prepared = "events"
        reckoned = event_columns(f'"audit"."logs" {kept}', lambda _path: True)
        self.database.execute(f"CREATE TABLE events AS {reckoned}")

    def _run(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        values = [value[1:-1].replace("''", "'") for value in parameters["ExecutionParameters"]]
        statement = parameters["QueryString"]
        if self.prepared:
            before, begin, rest = statement.partition("(SELECT event_id AS")
            _, end, after = rest.partition(") AS event WHERE")
            assert begin
            assert end
            statement = f"{before}{self.prepared} AS event WHERE{after}"
            values = values[len(values) - after.count("?") :]
        found = self.database.execute(statement, values)
        names = [str(column[0]) for column in found.description or ()]
        self._results = [dict(zip(names, map(_cell, row), strict=True)) for row in found.fetchall()]
        return {"QueryExecutionId": QUERY}


def _cell(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
