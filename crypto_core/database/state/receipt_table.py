"""Receipts in the database: keydeck.receipt, a partition for each day (UTC).

Rows are inserted by `keydeck.write_receipts` alone, which makes the day's partition and notes who had logged
in and when: what a receipt says of its process is its own word, and that is not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import json_text
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import FUNCTIONS

_log = logging.getLogger(__name__)
_WRITE = text(f"SELECT {FUNCTIONS['receipt']}(CAST(:receipts AS jsonb))")


@dataclass(frozen=True, slots=True)
class TableSink:
    engine: Engine

    def __call__(self, batch: Sequence[Receipt | LostReceipts]) -> None:
        """Insert the batch. Raises DatabaseError."""
        document = "[" + ",".join(receipt.as_json_line() for receipt in batch) + "]"
        if "\\u" in document:
            document = json_text(json.loads(document))
        with connected(self.engine, write=True) as connection:
            written = int(connection.execute(_WRITE, {"receipts": document}).scalar_one())
        if written < len(batch):
            refused = len(batch) - written
            _log.warning("%d receipts were refused: their time is a week old or lies ahead.", refused)
