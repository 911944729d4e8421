"""A table of CloudTrail's records in Athena as a source of events: the columns of a copy in Parquet, as SQL.

What `record_reader` reads of a record, Trino reckons here of the columns of Athena's table, from the same
expressions and lists of names, so that a question about events means the same in both. Two differences: a
schema's name in a token's reference stands as it came, and times in other forms than CloudTrail's are none.

Athena User Guide, "Create a table for CloudTrail logs"; Trino documentation, "JSON functions" and "Regular
expression functions".
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from crypto_core.keys.key_uses import OPENS
from crypto_core.trail.columns import EventProperty, seconds
from crypto_core.trail.event import KMS, OURS, PEOPLE, SHORT, UNDATED
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.record_reader import (
    ALIAS,
    ARN_CHARACTERS,
    KEY_ARN,
    KEY_ID,
    MATERIAL,
    MATERIALS,
    MOST_KEYS,
    REQUEST_KEYS,
    RESPONSE_KEYS,
)
from crypto_core.trail.sources.engines.record_sql import Has, record_flags
from crypto_core.values.key_names import PARTITIONS

_TEXTS = {
    **{one.name: (one.recorded.lower(), one.most) for one in EVENT_FIELDS.values() if one.recorded},
    "event_id": ("eventid", SHORT),
    "event_type": ("eventtype", SHORT),
    "kind": ("useridentity.type", SHORT),
    "arn": ("useridentity.arn", ARN_CHARACTERS),
    "caller_account": ("useridentity.accountid", SHORT),
    "user_name": ("useridentity.username", SHORT),
    "principal_id": ("useridentity.principalid", SHORT),
    "issuer": ("useridentity.sessioncontext.sessionissuer.arn", ARN_CHARACTERS),
}
_AS_THEY_ARE = {
    "at_text": "eventtime",
    "recipient": "recipientaccountid",
    "mfa_text": "useridentity.sessioncontext.attributes.mfaauthenticated",
    "console_text": "sessioncredentialfromconsole",
    "message_text": "errormessage",
    "request": "requestparameters",
    "response": "responseelements",
    "more": "additionaleventdata",
    "details": "serviceeventdetails",
}
_RESOURCES = "json_format(CAST(resources AS JSON))"
_BREAKS, _UNSEEN = r"[\x09-\x0D\p{Zl}\p{Zp}]+", r"[\p{Cc}\p{Cf}]"
_ASSUMED = "arn:([a-z0-9-]+):sts::([0-9]{12}):assumed-role/([^/]+)"
_CONTEXTS = ("encryptionContext", "sourceEncryptionContext", "destinationEncryptionContext")
_PAIRS, _OURS = '{"', f'[{{,]"{OURS}'
"""What stands in the JSON of a context with pairs, and in that of a v2 envelope's."""
_MOMENT = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_SCANNED = 4_096
"""Characters of an error message in which keys are looked for."""
_LONGEST_NAME, _LONGEST_IDENTITY = 512, 200
_NO_TIME = seconds(UNDATED)
_KMS = f"source = '{KMS}'"


def event_columns(rows: sa.Select[Any], has: Has) -> sa.Subquery:
    texts = {f"{name}_whole": _clean(_there(path, has)) for name, (path, _) in _TEXTS.items()}
    others = {name: _there(path, has) for name, path in _AS_THEY_ARE.items()}
    arns = {"resources_text": _RESOURCES if has("resources") else "CAST(NULL AS VARCHAR)"}
    found = rows.with_only_columns(*_labelled(texts | others | arns), maintain_column_froms=True)
    for layer in (_shortened(), _identity(), _documents(), _known_keys(), _of_keys()):
        found = sa.select(sa.literal_column("*"), *_labelled(layer)).select_from(found.subquery("r"))
    return sa.select(*_labelled(_columns())).select_from(found.subquery("r")).subquery("event")


def _labelled(written: Mapping[str, str | sa.ColumnElement[int]]) -> Iterator[sa.Label[Any]]:
    for name, expression in written.items():
        kind = sa.Integer if name == "epoch" else sa.String
        one = sa.literal_column(expression, kind) if isinstance(expression, str) else expression
        yield one.label(quoted_name(name, quote=True))


def _there(path: str, has: Has) -> str:
    return path if has(path) else "CAST(NULL AS VARCHAR)"


def _clean(text: str) -> str:
    return f"regexp_replace(regexp_replace(coalesce({text}, ''), '{_BREAKS}', ' '), '{_UNSEEN}', '')"


def _short(text: str, most: int) -> str:
    return f"CASE WHEN length({text}) <= {most} THEN {text} ELSE substr({text}, 1, {most - 1}) || '…' END"


def _whole(text: str, pattern: str) -> str:
    return rf"regexp_like({text}, '\A({pattern})\z')"


def _scalar(document: str, path: str) -> str:
    return f"json_extract_scalar({document}, '$.{path}')"


def _first(values: Iterable[str], otherwise: str) -> str:
    return f"coalesce({', '.join([*values, otherwise])})"


def _joined(values: str) -> str:
    return f"array_join(array_distinct({values}), ' ')"


def _shortened() -> dict[str, str]:
    return {name: _short(f"{name}_whole", most) for name, (_, most) in _TEXTS.items()}


def _identity() -> dict[str, str]:
    moment = "TRY_CAST(replace(substr(at_text, 1, 19), 'T', ' ') AS TIMESTAMP)"
    since_1970 = f"date_diff('second', TIMESTAMP '1970-01-01 00:00:00', {moment})"
    assumed = rf"regexp_extract(arn, '\A{_ASSUMED}'"
    return {
        "epoch": f"coalesce(CASE WHEN {_whole('at_text', _MOMENT)} THEN {since_1970} END, {_NO_TIME})",
        "account": f"CASE WHEN {_whole('recipient', '[0-9]{12}')} THEN recipient "
        f"WHEN {_whole('caller_account', '[0-9]{12}')} THEN caller_account ELSE '' END",
        "assumed": f"nullif({assumed}), '')",
        "assumed_partition": f"{assumed}, 1)",
        "assumed_account": f"{assumed}, 2)",
        "assumed_role": f"{assumed}, 3)",
    }


def _documents() -> dict[str, str]:
    whole = [f"coalesce(json_format(json_extract(request, '$.{name}')), '')" for name in _CONTEXTS]
    parts = ("table", "column", "id", "member", "schema")
    return {
        "contexts": " || ' ' || ".join(whole),
        **{
            f"sealed_{part}": _first(
                (_scalar("request", f'{name}["keydeck:{part}"]') for name in _CONTEXTS), "NULL"
            )
            for part in parts
        },
        **dict(zip(_NAMED, _naming(), strict=True)),
        "resource_keys": f"regexp_extract_all(coalesce(resources_text, ''), '\"({KEY_ARN.pattern})\"', 1)",
    }


def _naming() -> list[str]:
    return [
        *(_scalar("request", name) for name in REQUEST_KEYS),
        *(_scalar("response", name) for name in RESPONSE_KEYS),
        _scalar("response", "keyMetadata.arn"),
        _scalar("details", "keyId"),
        _scalar("request", "aliasName"),
    ]


_NAMED = tuple(f"named_{n}" for n in range(len(_naming())))


def _known_keys() -> dict[str, str]:
    whole = [f"CASE WHEN {_whole(one, KEY_ARN.pattern)} THEN {one} END" for one in _NAMED]
    return {
        "known": f"array_join(resource_keys, ' ') || ' ' || array_join(ARRAY[{', '.join(whole)}], ' ') || ' '"
    }


def _of_keys() -> dict[str, str]:
    """An event's keys and alias; a bare id means a key of the caller's own account and Region."""
    partitions = " ".join(f"WHEN region LIKE '{begin}%' THEN '{name}'" for begin, name in PARTITIONS.items())
    own = f"'arn:' || CASE {partitions} ELSE 'aws' END || ':kms:' || region || ':' || account || ':key/'"
    named = [
        f"CASE WHEN {_whole(one, KEY_ARN.pattern)} THEN {one} "
        f"WHEN {_whole(one, KEY_ID.pattern)} AND region <> '' AND account <> '' "
        f"AND strpos(known, {one} || ' ') = 0 THEN {own} || {one} END"
        for one in _NAMED
    ]
    aliases = (
        f"CASE WHEN length({one}) <= {_LONGEST_NAME} "
        rf"THEN nullif(regexp_extract({one}, '(\A|:)({ALIAS.pattern})\z', 2), '') END"
        for one in _NAMED
    )
    found = _joined(
        f"CASE WHEN {_KMS} THEN resource_keys || ARRAY[{', '.join(named)}] ELSE resource_keys END"
    )
    message = f"substr(coalesce(message_text, ''), 1, {_SCANNED})"
    return {
        "key_arns": rf"trim(regexp_extract({found} || ' ', '\A([^ ]+ ){{0,{MOST_KEYS}}}'))",
        "message_keys": _joined(f"regexp_extract_all({message}, '{KEY_ARN.pattern}')"),
        "alias": _first(aliases, "''"),
    }


def _columns() -> dict[str, str | sa.ColumnElement[int]]:
    listed = f"CASE WHEN {_KMS} THEN coalesce(nullif(message_keys, ''), alias) ELSE '' END"
    materials = (
        f"CASE WHEN {_whole(scalar, MATERIAL.pattern)} THEN {scalar} END"
        for document in ("more", "details", "response")
        for scalar in (_scalar(document, name) for name in MATERIALS)
    )
    listed_materials = ", ".join(materials)
    said = {
        "principal": _principal(),
        "session": "CASE WHEN assumed IS NULL THEN '' ELSE substr(arn, length(assumed) + 2) END",
        "key": f"coalesce(nullif(key_arns, ''), {listed})",
        "material": f"CASE WHEN {_KMS} THEN {_joined(f'ARRAY[{listed_materials}]')} ELSE '' END",
        "token": _token(),
        "mfa": "CASE WHEN mfa_text IS NULL THEN '' WHEN lower(mfa_text) = 'true' THEN 'yes' ELSE 'no' END",
    }
    texts = {name: said.get(name, name) for name in EVENT_FIELDS}
    return {"event_id": "event_id", "epoch": "epoch", "marks": _marks(said["principal"]), **texts}


def _principal() -> str:
    # The issuer has the role's path; it is believed only where it is the same role.
    same = (
        "issuer LIKE '%/%' AND substr(issuer, length(issuer) - length(assumed_role)) = '/' || assumed_role "
        "AND strpos(issuer, ':' || assumed_account || ':') > 0"
    )
    role = "'arn:' || assumed_partition || ':iam::' || assumed_account || ':role/' || assumed_role"
    others = ", ".join(f"nullif({name}, '')" for name in ("arn", "user_name", "invoked_by", "principal_id"))
    return f"CASE WHEN assumed IS NULL THEN coalesce({others}, '') WHEN {same} THEN issuer ELSE {role} END"


def _token() -> str:
    identity = (
        "CASE WHEN sealed_member IS NULL THEN sealed_id "
        "ELSE replace(replace(sealed_id, '%', '%25'), '#', '%23') || '#' || sealed_member END"
    )
    named = (
        f"{_KMS} AND sealed_table <> '' AND sealed_column <> '' AND sealed_id <> '' "
        "AND strpos(sealed_table, '.') = 0 AND (sealed_schema IS NULL OR sealed_schema <> '')"
    )
    table = "coalesce(sealed_schema || '.', '') || sealed_table || '.' || sealed_column"
    shown = f"{_clean(table)} || ':' || {_short(_clean(identity), _LONGEST_IDENTITY)}"
    return f"CASE WHEN {named} THEN {shown} ELSE '' END"


def _marks(principal: str) -> sa.ColumnElement[int]:
    def among(column: str, values: Iterable[str]) -> str:
        return "{} IN ('{}')".format(column, "', '".join(values))

    names = {path: name for name, (path, _) in _TEXTS.items()}
    flags = record_flags(lambda path: sa.literal_column(names[path], sa.String))
    ours = f"regexp_like(contexts, '{_OURS}')"
    no_context = f"(NOT ({_KMS}) OR strpos(contexts, '{_PAIRS}') = 0 OR {ours})"
    may_open: sa.ColumnElement[bool] = sa.literal_column(
        f"({among('name', OPENS)} AND error = '' AND {no_context})"
    )
    human = (
        f"(console_text = 'true' OR {among('kind', PEOPLE)} OR strpos({principal}, '/AWSReservedSSO_') > 0)"
    )
    holds: dict[EventProperty, sa.ColumnElement[bool]] = {
        EventProperty.SERVICE: sa.and_(flags["service"], sa.not_(may_open)),
        EventProperty.FAILED: flags["failed"],
        EventProperty.DENIED: flags["denied"],
        EventProperty.HUMAN: sa.literal_column(human),
        EventProperty.ROOT: flags["root"],
        EventProperty.CONSOLE: sa.literal_column("console_text = 'true'"),
    }
    return reduce(operator.add, (sa.case((condition, int(one)), else_=0) for one, condition in holds.items()))
