"""Fills the platform's tables with connections whose tokens are sealed, and mis-sealed, as in real life.

Which rows there are, and their tokens, follow from the seed; data keys, nonces and so the envelopes are
random. Data keys come from the endpoint in bulk; everything is written with COPY.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Engine, func, select

from console.sandbox.corruption import corrupt
from console.sandbox.endpoint import EndpointControl
from console.sandbox.endpoint import MadeDataKey as IssuedKey
from console.sandbox.platform import metadata
from console.sandbox.provider_tokens import issue
from console.sandbox.rows import ORGANISATIONS, PlannedRow, PlannedToken, plan_rows, secret_sizes, sizes
from console.sandbox.timeline import Era
from console.sandbox.world import GeneratedToken, World, WorldKey
from crypto_core.envelope import DEV_KEY, EnvelopeV1, Format, serialise
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

_BATCH = 10_000
"""Data keys asked for in one call."""


def generate(
    control: EndpointControl,
    engine: Engine,
    *,
    current: WorldKey,
    old: WorldKey,
    now: datetime,
    connections: int = 2000,
    secrets: int = 0,
    seed: int = 7,
) -> World:
    """Fill the empty tables; `engine` connects as their owner, the keys are those of `create_keys`.

    `secrets` is the number of rows in tables with a secrets column.
    Returns what was made. Raises ValueError for fewer than 20 connections.
    """
    rows = plan_rows(connections, seed, now, secrets=secrets)
    sealer = _Sealer(control, seed, current, old, rows)
    tokens: dict[TokenRef, GeneratedToken] = {}
    values: dict[str, list[dict[str, str | None]]] = {}
    for row in rows:
        fields = {"id": row.row_id, **row.values}
        document: dict[str, str] = {}
        for token in row.tokens:
            ref = TokenRef(row.table, token.column, row.row_id, token.member)
            value, tokens[ref] = sealer.store(ref, token, row)
            if token.member is not None:
                document[token.member] = value
                value = r"\x" + json.dumps(document).encode().hex()
            fields[token.column] = value
        values.setdefault(row.table, []).append(fields)
    _insert(engine, values)
    return World(
        seed=seed,
        now=now,
        current_key=current,
        old_key=old,
        rows=sizes(connections) | secret_sizes(secrets),
        tokens=tokens,
        organisations=ORGANISATIONS,
    )


class _Sealer:
    """Makes each token's stored value. Data keys are fetched once, as many of each era as its tokens need."""

    def __init__(
        self, control: EndpointControl, seed: int, current: WorldKey, old: WorldKey, rows: list[PlannedRow]
    ) -> None:
        self._seed = seed
        self._key_of: dict[Era, WorldKey] = {}
        self._issued: dict[Era, Iterator[IssuedKey]] = {}
        self._other: dict[Era, IssuedKey] = {}
        needed = Counter(row.era for row in rows for token in row.tokens if token.format is Format.V1)
        for era, count in needed.items():
            key = old if era.old_key else current
            material = key.material_ids[era.generation]
            issued = _data_keys(control, key.arn, material, count + 1)
            # One data key more: the one that a corrupt token got by mistake.
            self._key_of[era], self._other[era], self._issued[era] = key, next(issued), issued
        self._fernet = Fernet(DEV_KEY)

    def store(self, ref: TokenRef, token: PlannedToken, row: PlannedRow) -> tuple[str, GeneratedToken]:
        plaintext = issue(token.style, self._seed, str(ref))
        match token.format:
            case Format.PLAINTEXT:
                return plaintext, GeneratedToken(ref, Format.PLAINTEXT, token.style)
            case Format.DEV:
                sealed = self._fernet.encrypt_at_time(plaintext.encode(), int(row.sealed_at.timestamp()))
                stored = base64.b64encode(b"dev|" + sealed).decode("ascii")
                return stored, GeneratedToken(ref, Format.DEV, token.style)
            case _:
                return self._seal(ref, token, row.era, plaintext)

    def _seal(
        self, ref: TokenRef, token: PlannedToken, era: Era, plaintext: str
    ) -> tuple[str, GeneratedToken]:
        issued = next(self._issued[era])
        envelope = EnvelopeV1.seal(Secret.of(plaintext), DataKey(issued.plaintext), issued.ciphertext_blob)
        if token.corruption is None:
            stored, format_ = serialise(envelope), Format.V1
        else:
            stored = corrupt(token.corruption, envelope, self._other[era].ciphertext_blob)
            format_ = token.corruption.looks_like
        if format_ is not Format.V1:
            return stored, GeneratedToken(ref, format_, token.style, corruption=token.corruption)
        arn, material_id = self._key_of[era].arn, issued.key_material_id
        return stored, GeneratedToken(ref, format_, token.style, arn, material_id, token.corruption)


def _data_keys(control: EndpointControl, arn: str, material_id: str, count: int) -> Iterator[IssuedKey]:
    for done in range(0, count, _BATCH):
        yield from control.data_keys(arn, min(_BATCH, count - done), material=material_id)


def _insert(engine: Engine, rows: dict[str, list[dict[str, str | None]]]) -> None:
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        for name, values in rows.items():
            table = metadata.tables[name]
            columns = list(table.columns.keys())
            lines = "".join(_line(row.get(column) for column in columns) for row in values)
            cursor.copy_expert(f"COPY public.{name} ({', '.join(columns)}) FROM STDIN", io.StringIO(lines))
            if table.c.id.identity is not None:
                # The ids were given: what the platform inserts later goes on behind them.
                sequence = func.pg_get_serial_sequence(f"public.{name}", "id")
                connection.execute(select(func.setval(sequence, func.max(table.c.id))))
        cursor.close()


def _line(fields: Iterable[str | None]) -> str:
    return "\t".join("\\N" if field is None else field.translate(_ESCAPES) for field in fields) + "\n"


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
