"""The list of tripwires: one sealed document, so that whoever has the database can tell no decoy by it.

It is sealed as v2 under the key that is written under, with a context of its own, never under a tripwire's
key: to read it trips none. A checked entry of the journal has the document's digest. A list that somebody put
there by hand, in another format or under another key leaves nothing out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from threading import Lock
from time import monotonic
from typing import Any

from sqlalchemy import Engine, and_, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import json_text
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import journal
from crypto_core.database.schema import tripwire as table
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_entry import told_in, witnessed
from crypto_core.database.tokens.decoys import NO_DECOYS, Decoy, Decoys, DecoyToken
from crypto_core.envelope import Format, classify, parse
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import (
    ConflictError,
    IncorrectKeyError,
    KeydeckError,
    RefusedError,
    UntrustedKeyError,
)
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

LIST = TokenRef("keydeck.tripwire", "document", "1")
"""The row that the document is bound to, as KMS's records name it."""
WRITTEN = "tripwire list"
FRESH_SECONDS = 1.0
"""How long a list counts as the present one."""
FAILED_SECONDS = 15.0
"""How long a list that could not be opened is not tried again."""
MOST_BYTES = 60_000
MOST_FORMER = 50
_BLOCK = 4_096
"""Rounds the document's length, which would tell the number of decoys."""

_RESEAL = "Seal it anew, once you know every decoy in it: keydeck tripwire reseal."

_log = logging.getLogger(__name__)

# to_regclass fails where the role may not use the schema, hence the order.
_MAY = text(
    """
    SELECT CASE WHEN to_regnamespace('keydeck') IS NULL THEN 'absent'
           WHEN NOT has_schema_privilege(to_regnamespace('keydeck'), 'USAGE') THEN 'absent'
           WHEN to_regclass('keydeck.tripwire') IS NULL THEN 'absent'
           WHEN has_table_privilege(to_regclass('keydeck.tripwire'), 'SELECT')
                AND has_table_privilege(to_regclass('keydeck.journal'), 'SELECT') THEN 'readable'
           ELSE 'denied' END
    """
)


@dataclass(frozen=True, slots=True)
class Tripwire:
    number: int
    made_at: datetime
    table: str
    format: Format
    key_arn: str
    decoys: tuple[Decoy, ...]


@dataclass(frozen=True, slots=True)
class TripwireDocument:
    """`version` rises with each change; 0 is no list yet."""

    version: int = 0
    last_number: int = 0
    tripwires: tuple[Tripwire, ...] = ()
    former: tuple[tuple[str, int], ...] = ()
    """Keys of removed tripwires, and their numbers."""
    salt: str = field(default="", repr=False)
    """Part of plans' digests, so that nobody can try rows against them."""

    def with_one(self, tripwire: Tripwire) -> TripwireDocument:
        salt = self.salt or token_hex(16)
        tripwires = (*self.tripwires, tripwire)
        return replace(self, last_number=tripwire.number, tripwires=tripwires, salt=salt)

    def without(self, number: int) -> TripwireDocument:
        """The list without one; its number is not given again, and its key stays known."""
        left = tuple(t for t in self.tripwires if t.number != number)
        gone = [t for t in self.tripwires if t.number == number and not t.format.binds_row]
        keys = {t.key_arn: t.number for t in gone if t.key_arn not in {other.key_arn for other in left}}
        former = tuple(dict([*self.former, *keys.items()]).items())[-MOST_FORMER:]
        return replace(self, tripwires=left, former=former)

    def numbered(self, number: int) -> Tripwire:
        """The tripwire of a number. Raises RefusedError."""
        for one in self.tripwires:
            if one.number == number:
                return one
        raise RefusedError(f"There is no tripwire {number}.", remedy="List them with: keydeck tripwire list.")

    def as_text(self) -> str:
        told = json.dumps(
            {
                "last": self.last_number,
                "salt": self.salt,
                "former": self.former,
                "tripwires": [_tripwire_json(t) for t in self.tripwires],
            },
            separators=(",", ":"),
        )
        return told + " " * (-len(told) % _BLOCK)

    @classmethod
    def from_text(cls, told: str, version: int) -> TripwireDocument:
        """Return the list of `as_text`. Raises ValueError, KeyError or TypeError for what is none."""
        read = json.loads(told)
        tripwires = tuple(_tripwire(t) for t in read["tripwires"])
        former = tuple((str(key), int(number)) for key, number in read["former"])
        return cls(version, int(read["last"]), tripwires, former, str(read["salt"]))


class TripwireList:
    """Reads and writes the list. Thread-safe."""

    def __init__(
        self, engine: Engine, keyring: KmsKeyring, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self.engine = engine
        self.keyring = keyring
        self._clock = clock
        self._lock = Lock()
        self._until = float("-inf")
        self._read: tuple[Any, TripwireDocument] | None = None
        self._decoys = NO_DECOYS

    def decoys(self, *, anew: bool = False) -> Decoys:
        """Return the decoys that there are, or were a second ago. Raises nothing: see `Decoys`."""
        with self._lock:
            if not anew and self._clock() < self._until:
                return self._decoys
            lasts = FRESH_SECONDS
            try:
                document = self._open(current=True)
            except KeydeckError as error:
                _log.info("The list of tripwires was not read: %s", error.message)
                lasts = FAILED_SECONDS
                self._decoys = self._unread(error)
            else:
                rows = tuple(decoy for one in document.tripwires for decoy in one.decoys)
                known = (self._decoys.unreadable, self._decoys.rows, self._decoys.former)
                if known != ("", rows, document.former):
                    any_ = rows or document.former
                    self._decoys = Decoys(rows, former=document.former) if any_ else NO_DECOYS
            self._until = self._clock() + lasts
            return self._decoys

    def _unread(self, error: KeydeckError) -> Decoys:
        """The decoys read last, where the list can't be reached now."""
        rows, former = () if isinstance(error, RefusedError) else self._decoys.rows, self._decoys.former
        rest = (
            "Decoys are left out as last read." if rows else "Decoys, if there are any, count as tokens here."
        )
        said = f"The list of tripwires can't be read: {error.message} {rest}"
        return self._decoys if self._decoys.unreadable == said else Decoys(rows, said, former)

    def document(self) -> TripwireDocument:
        """Return the list as it is now, to change it: also one under another key, or from before entries were
        checked, which leaves nothing out. Raises RefusedError for one that is not Keydeck's, KeydeckError.
        """
        with self._lock:
            return self._open()

    def key_arn(self) -> str:
        """Return the key that the list is sealed under, "" without one; KMS isn't asked. Raises RefusedError
        for a list that is not Keydeck's, DatabaseError.
        """
        row = self._stored()
        return (parse(row.document).named_key or "") if row is not None else ""

    def write(
        self, document: TripwireDocument, journal: Journal, actor: str, told: Mapping[str, Any]
    ) -> None:
        """Seal and store a list, as the next version of its own; the entry of it has what is `told`, too.

        Raises ConflictError where somebody else has written one meanwhile, RefusedError for too many decoys,
        KmsError, DatabaseError, SettingsError without a key.
        """
        text_ = document.as_text()
        if len(text_) > MOST_BYTES:
            raise RefusedError(
                "The list would hold too many decoys.", remedy="Remove a tripwire first, or add fewer rows."
            )
        stored = self._cipher().encrypt(Secret.of(text_), ref=LIST).stored
        detail = json_text(told, sort_keys=True)
        values = ("tripwires", document.version + 1, stored, detail)
        if journal.call("write_tripwire_list", *values, actor=actor) is None:
            raise ConflictError("The list of tripwires has changed meanwhile.")
        with self._lock:
            self._until = float("-inf")

    def _stored(self) -> Any:
        """Return the list's row, None without a list. Raises as `key_arn`."""
        with connected(self.engine) as connection:
            may = connection.scalar(_MAY)
            rows: Sequence[Any] = ()
            if may == "readable":
                witness = and_(journal.c.seq == table.c.entry, witnessed(WRITTEN, earlier=True))
                entry = select(table.c.version, table.c.document, journal.c.detail, journal.c.checked)
                joined = entry.select_from(table.outerjoin(journal, witness))
                rows = connection.execute(joined).all()
        if may == "denied":
            raise RefusedError("The role lacks a privilege: GRANT SELECT ON keydeck.tripwire.")
        if not rows:
            return None
        row = rows[0]
        written = (_digest(row.document), row.version)
        if len(rows) > 1 or _noted(row.detail) != written:
            raise RefusedError(
                "It is not the one that the journal has, so somebody has changed it outside Keydeck.",
                remedy="See who wrote to keydeck.tripwire.",
            )
        if not classify(row.document).format.binds_row:
            raise RefusedError("It is not sealed for its row.", remedy="See who wrote to keydeck.tripwire.")
        return row

    def _open(self, *, current: bool = False) -> TripwireDocument:
        """Return the list; with `current` only one by which rows are left out of counts."""
        row = self._stored()
        if row is None:
            self._read = None
            return TripwireDocument()
        if current and not row.checked:
            raise RefusedError(f"An earlier version of Keydeck wrote it. {_RESEAL}")
        keyring = self.keyring
        if current and keyring.write_key:
            keyring = keyring.limited_to(keyring.write_key)
        told = (row.version, row.document, keyring.trusted)
        if self._read is not None and self._read[0] == told:
            return self._read[1]
        try:
            opened = TokenCipher(keyring).open(row.document, ref=LIST)
        except (IncorrectKeyError, UntrustedKeyError) as error:
            raise RefusedError(f"It is not under the key that is written under. {_RESEAL}") from error
        try:
            with opened.token as token:
                document = TripwireDocument.from_text(token.reveal(), row.version)
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError(f"It is of another form than expected ({type(error).__name__}).") from None
        self._read = (told, document)
        return document

    def _cipher(self) -> TokenCipher:
        return TokenCipher(self.keyring, write_format=Format.V2)


def _digest(stored: str) -> str:
    return hashlib.sha256(stored.encode()).hexdigest()


def _noted(detail: str | None) -> tuple[object, object]:
    told = told_in(detail or "")
    return told.get("list"), told.get("version")


def _tripwire_json(one: Tripwire) -> dict[str, Any]:
    return {
        "number": one.number,
        "made": one.made_at.isoformat(),
        "table": one.table,
        "format": one.format.value,
        "key": one.key_arn,
        "columns": list(one.decoys[0].columns) if one.decoys else [],
        "rows": [
            {
                "id": decoy.row_id,
                "row": _b64(decoy.row),
                "tokens": {t.column: [_b64(t.digest), _b64(t.token)] for t in decoy.tokens},
            }
            for decoy in one.decoys
        ],
    }


def _tripwire(told: Mapping[str, Any]) -> Tripwire:
    number, name, format_ = int(told["number"]), str(told["table"]), Format(told["format"])
    key, columns = str(told["key"]), tuple(map(str, told["columns"]))
    decoys = tuple(
        Decoy(
            number,
            name,
            str(row["id"]),
            key,
            format_,
            tuple(
                DecoyToken(str(column), b64decode(digest), b64decode(token))
                for column, (digest, token) in row["tokens"].items()
            ),
            columns,
            b64decode(row["row"]),
        )
        for row in told["rows"]
    )
    return Tripwire(number, datetime.fromisoformat(told["made"]), name, format_, key, decoys)


def _b64(value: bytes) -> str:
    return b64encode(value).decode("ascii")
