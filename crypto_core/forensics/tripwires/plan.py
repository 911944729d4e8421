"""What is to become of tripwires, told before anything happens, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.envelope import Format
from crypto_core.guard.consent import Danger, document_digest
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape

MOST_ROWS = 20
NEW_KEY = "a key of its own, which is made"


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What is asked for. `format` is "" for the one that most rows have, `given` are values of columns."""

    table: str
    count: int = 1
    key: str = ""
    new_key: bool = False
    format: str = ""
    given: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(columns=300, warnings=2_000)
class AddPlan(RunsCode):
    """A dry run's result; nothing has been changed. `key_arn` is "" for a key that is still to be made."""

    danger: ClassVar[Danger] = Danger.CONFIRM
    request: AddRequest
    format: Format
    key_arn: str
    columns: Mapping[str, str]
    """Each column of a row, and how it is filled."""
    warnings: tuple[str, ...] = ()
    salt: str = field(default="", repr=False)
    code: tuple[AttachedCode, ...] = ()

    @property
    def summary(self) -> str:
        return f"Add a tripwire of {counted(self.request.count, 'decoy')} to {clean(self.request.table, 200)}"

    @property
    def key_words(self) -> str:
        return self.key_arn or NEW_KEY

    @property
    def confirmation(self) -> str:
        return str(self.request.count)

    @property
    def digest(self) -> str:
        """Names exactly this. Which values are drawn is decided when it is done."""
        told: list[Any] = [
            "tripwire add",
            self.salt,
            self.request.table,
            self.request.count,
            self.format.value,
        ]
        told += [
            self.key_arn,
            sorted(self.request.given),
            list(self.columns),
            [code.as_json() for code in self.code],
        ]
        return document_digest(told)

    def shown(self) -> dict[str, Any]:
        """The plan as the journal and the approvals keep it: nothing by which a decoy could be told."""
        request = self.request
        return {
            "does": "add",
            "table": clean(request.table, 200),
            "decoys": request.count,
            "format": self.format.value,
            "new_key": not self.key_arn,
            "plan": self.digest,
        }

    def as_json(self) -> dict[str, Any]:
        return self.shown() | {
            "key": self.key_arn or None,
            "columns": dict(self.columns),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
@cleans(table=200, refs=300, changed=300, warnings=2_000)
class RemovePlan(RunsCode):
    """What is to be removed: rows that stand as they were made, and the list's entry."""

    danger: ClassVar[Danger] = Danger.CONFIRM
    number: int
    table: str
    refs: tuple[str, ...] = field(repr=False)
    gone: int = 0
    changed: tuple[str, ...] = ()
    """Rows that somebody has changed: while there is one, nothing is removed."""
    warnings: tuple[str, ...] = ()
    salt: str = field(default="", repr=False)
    code: tuple[AttachedCode, ...] = ()

    @property
    def summary(self) -> str:
        return f"Remove tripwire {self.number} and its {counted(len(self.refs), 'decoy')}"

    @property
    def confirmation(self) -> str:
        return str(self.number)

    @property
    def digest(self) -> str:
        return document_digest(
            ["tripwire remove", self.salt, self.number, sorted(self.refs), self.gone, *map(repr, self.code)]
        )

    def shown(self) -> dict[str, Any]:
        return {"does": "remove", "tripwire": self.number, "decoys": len(self.refs), "plan": self.digest}

    def as_json(self) -> dict[str, Any]:
        return self.shown() | {
            "table": self.table,
            "rows": list(self.refs),
            "gone": self.gone,
            "changed": list(self.changed),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class ResealPlan:
    danger: ClassVar[Danger] = Danger.CONFIRM
    key: str
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        return "Seal the list of tripwires anew, under the key that is written under"

    @property
    def confirmation(self) -> str:
        return "reseal"

    @property
    def digest(self) -> str:
        return document_digest(["tripwire reseal", self.key])

    def shown(self) -> dict[str, Any]:
        return {"does": "reseal", "plan": self.digest}

    def as_json(self) -> dict[str, Any]:
        return self.shown() | {"key": self.key}


@dataclass(frozen=True, slots=True)
@cleans(table=200, key_arn=300, refs=300, gone=300)
class TripwireState(JsonRecord):
    """A tripwire as it stands. `standing` of its `decoys` are as they were made."""

    number: int
    made_at: datetime
    table: str
    format: Format
    key_arn: str
    refs: tuple[str, ...]
    gone: tuple[str, ...] = ()

    json_shape = shape("tripwire=number made_at table format key_arn decoys=refs gone stands")

    @property
    def stands(self) -> bool:
        return not self.gone


@dataclass(frozen=True, slots=True)
class TripwireResult(JsonRecord):
    number: int | None
    state: TripwireState | None
    unjournaled: str = ""

    json_shape = shape("tripwire=number ...")
