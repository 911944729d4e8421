"""The register of copies: what operators have scanned, where it is, and which keys it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock, upsert
from crypto_core.database.schema import registered_copy as table
from crypto_core.database.state.journal import Journal
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.forensics.copies.attribution import CopyAttribution, Known
from crypto_core.forensics.copies.report import ENABLED, CopyReport, read_copy
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import BY_NAME
from crypto_core.keys.dependent_copies import NeedingCopies, NeedingCopy, ScannedCopy
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, RefusedError
from crypto_core.values.json_records import JsonRecord, shape

ADD, REMOVE = BY_NAME["copies add"].name, BY_NAME["copies remove"].name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}")


@dataclass(frozen=True, slots=True)
class NewCopy:
    """A copy that is to be registered; what it holds is one copy of a scan."""

    name: str
    holds: CopyReport
    scanned_at: datetime
    location: str = ""
    taken_at: datetime | None = None
    kept_until: datetime | None = None


@dataclass(frozen=True, slots=True)
@cleans(name=100, location=300, added_by=300)
class RegisteredCopy(JsonRecord):
    """A registered copy, and what it holds, with the keys that are known by now."""

    name: CleanText
    location: CleanText
    holds: CopyReport
    scanned_at: datetime
    added_at: datetime
    added_by: CleanText
    taken_at: datetime | None = None
    kept_until: datetime | None = None

    json_shape = shape("name location taken_at kept_until scanned_at added_at added_by holds")

    def needing(self, key_arn: str) -> NeedingCopy:
        doubtful = sum(need.envelopes for need in self.holds.needs if need.key_arn is None)
        return NeedingCopy(
            self.name, self.holds.lost_with(key_arn), doubtful, self.location, self.taken_at, self.kept_until
        )


@dataclass(eq=False)
class CopyRegister:
    """Registers copies, journaled, and tells what the core asks of them: KnownCopies. Blocks on SQL and KMS.

    `attribution` tells their keys.
    """

    engine: Engine
    journal: Journal
    guard: Guard
    attribution: Callable[[], CopyAttribution]
    actor: Callable[[], str] = field(default=lambda: "")

    def add(self, new: NewCopy) -> None:
        """Register a copy; journaled in the same transaction.

        Raises RefusedError (journaled too) for a name that is none or taken, ReadOnlyError,
        MissingSchemaError, DatabaseError.
        """
        self.guard.may_change("register a copy")
        name = clean(new.name, 100)
        detail: dict[str, Any] = {"location": clean(new.location, 300), "keys": list(new.holds.key_arns)[:50]}
        detail |= {"envelopes": new.holds.envelopes, "open_to_anybody": new.holds.open_to_anybody}
        with self.guard.recording(ADD, f"copy {name}", detail):
            if not _NAME.fullmatch(new.name):
                raise RefusedError(
                    f"A copy can't be named {name!r}.",
                    remedy="Use at most 100 letters, digits and . _ : @ -, a letter or digit first.",
                )
            values = {
                "name": new.name,
                "location": clean(new.location, 300),
                "holds": new.holds.as_json(),
                "scanned_at": new.scanned_at,
                "taken_at": new.taken_at,
                "kept_until": new.kept_until,
                "added_by": self.actor(),
            }
            with connected(self.engine, write=True) as connection:
                if not add_copy(connection, values):
                    raise RefusedError(
                        f"A copy {name} is registered already.",
                        remedy=f"Scanned anew? Take the former one out: keydeck copies remove {name}.",
                    )
                self.journal.record(ADD, f"copy {name}", Outcome.DONE, detail, within=connection)

    def remove(self, name: str) -> None:
        """Note that a copy is gone. Raises as `add`, RefusedError where none of the name is registered."""
        self.guard.may_change("take a copy out of the register")
        shown = clean(name, 100)
        with self.guard.recording(REMOVE, f"copy {shown}"), connected(self.engine, write=True) as connection:
            if not remove_copy(connection, name, self.actor()):
                raise _unknown(shown)
            self.journal.record(REMOVE, f"copy {shown}", Outcome.DONE, {}, within=connection)

    def copies(self) -> tuple[RegisteredCopy, ...]:
        """Return all that are registered, by name; KMS is not asked. Raises DatabaseError."""
        attribution = self.attribution()
        known = attribution.known()
        return tuple(_registered(row, known, attribution) for row in registered_copies(self.engine))

    def show(self, name: str) -> RegisteredCopy:
        """Return a copy, its keys as they stand now. Raises as `copies`, RefusedError for no such copy."""
        for copy in self.copies():
            if copy.name == name:
                return self.as_it_stands([copy])[0]
        raise _unknown(clean(name, 100))

    def as_it_stands(self, copies: Sequence[RegisteredCopy]) -> tuple[RegisteredCopy, ...]:
        """Return copies with the states that their keys have now; KMS is asked about each key once."""
        needs = [need for copy in copies for need in copy.holds.needs]
        now = iter(self.attribution().standing(needs))
        return tuple(
            replace(copy, holds=replace(copy.holds, needs=tuple(next(now) for _ in copy.holds.needs)))
            for copy in copies
        )

    def needing(self, key_arn: str) -> NeedingCopies:
        """Return which copies need a key; why that is not known, where the register can't be read."""
        try:
            copies = self.copies()
        except DatabaseError as error:
            return NeedingCopies(unknown=error.message)
        told = [copy.needing(key_arn) for copy in copies]
        return NeedingCopies(
            len(copies),
            tuple(sorted((t for t in told if t.envelopes), key=lambda t: (-t.envelopes, t.name))),
            tuple(t for t in told if t.doubtful and not t.envelopes),
        )

    def scanned(self, name: str) -> ScannedCopy:
        """Return what is known of a copy for whoever restores it; of one that can't be read, nothing."""
        try:
            copy = self.show(name)
        except (RefusedError, DatabaseError):
            shown = clean(name, 100)
            lack = (
                f"No copy {shown} is registered: which keys it needs shows only as its tokens are opened. "
                f"Scan the backup and register it by this name to know before: keydeck copies add {shown}."
            )
            return ScannedCopy((lack,))
        return ScannedCopy(tuple(_needed_keys(copy)), tuple(_unusable_keys(copy)), partial(_compared, copy))


def _registered(row: CopyRow, known: Known, attribution: CopyAttribution) -> RegisteredCopy:
    holds = read_copy(dict(row.holds))
    holds = replace(holds, needs=attribution.known_needs(holds.needs, known))
    return RegisteredCopy(
        clean(row.name, 100),
        clean(row.location, 300),
        holds,
        row.scanned_at,
        row.added_at,
        clean(row.added_by, 300),
        row.taken_at,
        row.kept_until,
    )


def _unknown(name: CleanText) -> RefusedError:
    return RefusedError(f"No copy {name} is registered.", remedy="List them with: keydeck copies list.")


def _needed_keys(copy: RegisteredCopy) -> Iterator[str]:
    holds, scanned = copy.holds, f"{copy.scanned_at:%Y-%m-%d}"
    taken = f"taken {copy.taken_at:%Y-%m-%d}" if copy.taken_at else "when it was taken is not noted"
    yield f"Copy {copy.name}, scanned {scanned}: {counted(holds.envelopes, 'envelope')}, {taken}."
    for need in holds.needs:
        state = need.key_state or "its state is not known"
        yield f"It needs {need.key_name} for {counted(need.envelopes, 'envelope')}: {state}."


def _unusable_keys(copy: RegisteredCopy) -> Iterator[str]:
    """Name the keys of a copy that open nothing now."""
    for need in copy.holds.needs:
        if need.key_arn and need.key_state and need.key_state != ENABLED:
            number = counted(need.envelopes, "envelope")
            yield f"{need.key_name} is {need.key_state}: {number} of the copy will not open."


def _compared(copy: RegisteredCopy, restored: Mapping[str, int]) -> Iterator[str]:
    holds = copy.holds
    scanned = {f.value: 0 for f in (*ENVELOPE_FORMATS, Format.DEV)}
    for need in holds.needs:
        for name, number in need.by_format.items():
            scanned[name] += number
    scanned["dev"] = sum(one.values for one in holds.exposed if one.kind == "dev")
    for name, found in scanned.items():
        there = restored.get(name, 0)
        if there or found:
            yield f"{name}: {there:,} in the restored token columns, {found:,} in the scanned copy"
    # What is damaged begins as an envelope: the census counts it by that.
    surplus = sum(restored.get(name, 0) for name in scanned) - sum(scanned.values()) - holds.damaged
    if surplus > 0:
        yield f"{surplus:,} more than in the copy: not the one that was scanned, or written to since"
    elif surplus < 0:
        yield (
            f"{-surplus:,} only in the copy: replaced envelopes that Keydeck keeps, other tables, or rows "
            "that the restore lacks"
        )


@dataclass(frozen=True, slots=True)
class CopyRow:
    name: str
    location: str
    holds: Mapping[str, Any]
    scanned_at: datetime
    added_at: datetime
    added_by: str
    taken_at: datetime | None
    kept_until: datetime | None


_ROW = [table.c[name] for name in CopyRow.__slots__]
_PRESENT = table.c.removed_at.is_(None)


def add_copy(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Add a copy; False if one of its name is registered."""
    new = upsert(table).values({**values, "added_at": clock()})
    free = new.on_conflict_do_nothing(index_elements=["name"], index_where=_PRESENT)
    return bool(connection.execute(free).rowcount)


def remove_copy(connection: Connection, name: str, by: str) -> bool:
    """Note that a copy is gone; False if none of this name is registered."""
    ended = update(table).where(table.c.name == name, _PRESENT)
    return bool(connection.execute(ended.values(removed_at=clock(), removed_by=by)).rowcount)


def registered_copies(engine: Engine) -> tuple[CopyRow, ...]:
    """Return the copies that are registered, by name. Raises DatabaseError."""
    with connected(engine) as connection:
        rows = connection.execute(select(*_ROW).where(_PRESENT).order_by(table.c.name))
        return tuple(CopyRow(*row) for row in rows)
