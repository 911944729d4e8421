"""What screens call: plain service objects, built once in console/wiring.py and handed to the app.

Every call here blocks on SQL or AWS: screens call it from a thread worker. All have time limits of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from crypto_core.database.inspection import Inspection
from crypto_core.database.inventory import Cursor, InventoryPage, InventoryQuery, InventoryRow
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Selection, Verb, Verification
from crypto_core.references import TokenRef


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the console works: what the header shows. Cleaned text; "" where it isn't known.

    `database_trouble` and `aws_trouble` are set when that side did not answer: a short sentence.
    """

    account: str
    identity: str
    region: str
    database: str
    database_role: str
    write_key: str
    write_format: str
    read_only: bool
    database_trouble: str = ""
    aws_trouble: str = ""
    environment: str = ""
    """What operators call this place, such as prod or demo: the first word of the header."""


class StatusSource(Protocol):
    """The census joined with the keys."""

    def take(self, *, cancelled: Event | None = None) -> Status:
        """Return the status now. Raises DatabaseError; trouble with AWS is part of the coverage."""
        ...


class InventorySource(Protocol):
    """The tokens, page by page."""

    def page(self, query: InventoryQuery, after: Cursor | None = None, *, limit: int = 200) -> InventoryPage:
        """Return up to `limit` rows. Raises InvalidFilterError, DatabaseError."""
        ...

    def count(self, query: InventoryQuery) -> int:
        """Return how many rows the filter lets through."""
        ...

    def row(self, ref: TokenRef) -> InventoryRow:
        """Return one row as it is now. Raises RowVanishedError."""
        ...


class InspectionSource(Protocol):
    """One envelope, field by field."""

    def inspect(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        """Return the anatomy of one stored token. Raises RowVanishedError, DatabaseError."""
        ...


class KeySource(Protocol):
    """The KMS keys that guard tokens or can be listed."""

    def list(self) -> tuple[KeyState, ...]:
        """Return all keys, those that KMS lets this identity see. Raises KmsError."""
        ...

    def show(self, name: str) -> KeyState:
        """Return one key by ARN, id or alias, with rotation and last use. Raises KmsError."""
        ...

    def targets(self) -> tuple[KeyState, ...]:
        """Return the keys that tokens may be written under: enabled symmetric customer keys."""
        ...


class TokenWork(Protocol):
    """Writes tokens anew. A plan is made first and shown; `run` does exactly what the plan says."""

    def plan(self, verb: Verb, selection: Selection, target: str, *, allow_downgrade: bool = False) -> Plan:
        """Return what would happen (journaled as a dry run). Raises RefusedError, KmsError, DatabaseError."""
        ...

    def run(
        self,
        plan: Plan,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do what the plan says. Raises ReadOnlyError before anything, else what stops the whole run."""
        ...

    def verify(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Open each selected token and say only whether it opened. Changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """All that the screens need, and nothing that they could build themselves."""

    surroundings: Callable[[], Surroundings]
    status: StatusSource
    inventory: InventorySource
    inspector: InspectionSource
    keys: KeySource
    work: TokenWork
    read_only: bool
    write_key: str | None
