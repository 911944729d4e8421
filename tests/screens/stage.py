"""Services in memory: the same rows every time, and calls that fail or hang on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from threading import Event

from crypto_core.coverage import Coverage, Evidence
from crypto_core.data_keys import KeyAnswer
from crypto_core.database.inspection import Inspection
from crypto_core.database.inventory import Cursor, InventoryPage, InventoryQuery, InventoryRow, SortKey
from crypto_core.envelope import Format
from crypto_core.errors import InvalidFilterError, ReadOnlyError, RowVanishedError
from crypto_core.foreign import clean
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import ColumnShare, KeyShare, Problem, Status
from crypto_core.reencryption.plan import (
    Plan,
    RunProgress,
    RunResult,
    Selection,
    Unwritten,
    Verb,
    Verification,
)
from crypto_core.references import TokenRef
from crypto_core.severity import Severity
from screens.services import Services, Surroundings
from tests.screens.samples import ACCOUNT, CURRENT, KEYS, MATERIALS, NOW, OLD, make_rows

FIELDS = ("provider", "format", "table", "column", "key", "material", "org")

_ORDER: dict[SortKey, Callable[[InventoryRow], str | int]] = {
    SortKey.STATE: lambda r: r.severity.rank,
    SortKey.REFERENCE: lambda r: str(r.ref),
    SortKey.ORGANISATION: lambda r: r.organisation,
    SortKey.PROVIDER: lambda r: r.provider,
    SortKey.FORMAT: lambda r: r.format.value,
    SortKey.KEY: lambda r: r.key_arn or "",
    SortKey.CREATED: lambda r: int(r.created_at.timestamp()) if r.created_at else 0,
}


@dataclass
class Stage:
    """One deployment. `faults` are raised by the calls they are named after; `gates` hold such calls up."""

    rows: list[InventoryRow] = field(default_factory=make_rows)
    keys: tuple[KeyState, ...] = KEYS
    read_only: bool = False
    write_key: str | None = "alias/tokens"
    faults: dict[str, Exception] = field(default_factory=dict)
    gates: dict[str, Event] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    problems: tuple[Problem, ...] | None = None
    coverage: Coverage = field(default_factory=Coverage)
    place: Surroundings = field(
        default_factory=lambda: Surroundings(
            account=ACCOUNT,
            identity=f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana",
            region="eu-west-1",
            database="tokens@pg-1",
            database_role="keydeck",
            write_key="alias/tokens",
            write_format="v1",
            read_only=False,
            environment="prod",
        )
    )
    plan_more: dict[str, object] = field(default_factory=dict)
    waiting: int = 0
    """Calls that hang at a gate right now."""

    def hold(self, *names: str) -> Event:
        """Make the calls of these names hang until the returned event is set."""
        gate = Event()
        self.gates.update(dict.fromkeys(names, gate))
        return gate

    def enter(self, name: str) -> None:
        """What each call begins with."""
        self.calls.append(name)
        gate = self.gates.get(name)
        if gate is not None and not gate.is_set():
            self.waiting += 1
            gate.wait()
            self.waiting -= 1
        fault = self.faults.get(name)
        if fault is not None:
            raise fault

    def services(self) -> Services:
        """The bundle that the app is given."""
        return Services(
            surroundings=self.surroundings,
            status=StageStatus(self),
            inventory=StageInventory(self),
            inspector=StageInspector(self),
            keys=StageKeys(self),
            work=StageWork(self),
            read_only=self.read_only,
            write_key=self.write_key,
        )

    def surroundings(self) -> Surroundings:
        """The place."""
        self.enter("surroundings")
        return replace(self.place, read_only=self.read_only)

    def index(self, ref: TokenRef) -> int:
        """Where a row stands."""
        for i, row in enumerate(self.rows):
            if row.ref == ref:
                return i
        raise RowVanishedError(f"{ref} is no longer there.")


@dataclass
class StageStatus:
    """The census of the stage's rows."""

    stage: Stage

    def take(self, *, cancelled: Event | None = None) -> Status:
        """Count the rows."""
        self.stage.enter("status")
        rows = self.stage.rows
        columns: dict[str, Counter[Format]] = {}
        for row in rows:
            columns.setdefault(f"{row.ref.table}.{row.ref.column}", Counter())[row.format] += 1
        under = Counter(
            (row.key_arn, row.key_material_id, row.evidence) for row in rows if row.format.protected
        )
        return Status(
            taken_at=NOW,
            tokens=len(rows),
            by_format=Counter(row.format for row in rows),
            by_column=tuple(ColumnShare(name, sum(c.values()), c) for name, c in columns.items()),
            keys=tuple(self._share(*which, count) for which, count in under.items()),
            problems=self._problems(columns) if self.stage.problems is None else self.stage.problems,
            coverage=self.stage.coverage,
        )

    def _share(self, arn: str | None, material: str | None, evidence: Evidence, count: int) -> KeyShare:
        key = next((k for k in self.stage.keys if k.key_arn == arn), None)
        return KeyShare(
            key_arn=arn,
            alias=key.aliases[0] if key and key.aliases else None,
            key_state=key.state if key else None,
            key_material_id=material,
            tokens=count,
            evidence=evidence,
            asked=count if evidence is Evidence.VERIFIED else 1,
            note={
                Evidence.CONFLICT: "2 groups disagree",
                Evidence.UNKNOWN: "KMS denies kms:Decrypt",
            }.get(evidence, ""),
        )

    def _problems(self, columns: dict[str, Counter[Format]]) -> tuple[Problem, ...]:
        problems = []
        for format_, severity, words, remedy in (
            (Format.PLAINTEXT, Severity.CRITICAL, "in plaintext", "Encrypt them in place: x on their rows."),
            (
                Format.DEV,
                Severity.CRITICAL,
                "in dev format",
                "Their key is public knowledge. Encrypt them in place.",
            ),
            (Format.UNRECOGNISED, Severity.HIGH, "plaintext or corrupt", "Look at them one by one."),
        ):
            where = {name: c[format_] for name, c in columns.items() if c[format_]}
            if where:
                count = sum(where.values())
                problems.append(
                    Problem(
                        severity,
                        words,
                        " · ".join(f"{n} {c}" for n, c in where.items()),
                        remedy,
                        count,
                        filter=f"format:{format_.value}",
                    )
                )
        if any(row.key_arn == OLD for row in self.stage.rows):
            problems.append(
                Problem(
                    Severity.HIGH,
                    "under alias/tokens-old …77ab, which is not enabled",
                    "Disabled",
                    "Enable the key, then re-encrypt them under another one.",
                    sum(row.key_arn == OLD for row in self.stage.rows),
                    key_arn=OLD,
                )
            )
        return tuple(problems)


@dataclass
class StageInventory:
    """Pages over the stage's rows. A filter is terms like provider:slack."""

    stage: Stage

    def _select(self, query: InventoryQuery) -> list[InventoryRow]:
        rows = self.stage.rows
        position = 0
        for term in query.filter.split(" ") if query.filter else []:
            name, colon, value = term.partition(":")
            if not colon or name not in FIELDS:
                raise InvalidFilterError(
                    f"No such field: {clean(name)!r}.",
                    position=position,
                    remedy="Use provider, format, key or org.",
                )
            rows = [row for row in rows if self._matches(row, name, value)]
            position += len(term) + 1
        ordered = sorted(rows, key=lambda r: str(r.ref))
        return sorted(ordered, key=_ORDER[query.sort], reverse=query.descending)  # type: ignore[arg-type]

    @staticmethod
    def _matches(row: InventoryRow, name: str, value: str) -> bool:
        if (name, value) == ("key", "unknown"):
            return row.format.protected and row.key_arn is None
        text = {
            "provider": row.provider,
            "format": row.format.value,
            "table": row.ref.table,
            "column": row.ref.column,
            "key": (row.key_arn or "").rsplit("/", 1)[-1],
            "material": row.key_material_id,
            "org": row.organisation,
        }[name]
        return any(fnmatchcase(text or "", pattern) for pattern in value.split(","))

    def page(self, query: InventoryQuery, after: Cursor | None = None, *, limit: int = 200) -> InventoryPage:
        """Some rows."""
        self.stage.enter("page")
        rows = self._select(query)
        start = int(after.values[0]) if after else 0
        end = start + limit
        return InventoryPage(tuple(rows[start:end]), Cursor((end,)) if end < len(rows) else None)

    def count(self, query: InventoryQuery) -> int:
        """How many rows there are."""
        self.stage.enter("count")
        return len(self._select(query))

    def row(self, ref: TokenRef) -> InventoryRow:
        """One row."""
        self.stage.enter("row")
        return self.stage.rows[self.stage.index(ref)]


@dataclass
class StageInspector:
    """Envelopes as the rows suggest them."""

    stage: Stage

    def inspect(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        """One envelope."""
        self.stage.enter("inspect_kms" if ask_kms else "inspect")
        at = self.stage.index(ref)
        row = self.stage.rows[at]
        if not row.format.protected:
            return Inspection(row, (), None, row.evidence)
        fields = (
            ("encrypted data key", "184 bytes, KMS header 01 02 03 00 78"),
            ("nonce", "12 bytes"),
            ("ciphertext", "56 bytes"),
        )
        if ask_kms:
            row = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            self.stage.rows[at] = row
        answer = KeyAnswer(row.key_arn, row.key_material_id) if row.key_arn else None
        return Inspection(row, fields, answer, row.evidence)


@dataclass
class StageKeys:
    """The stage's keys."""

    stage: Stage

    def list(self) -> tuple[KeyState, ...]:
        """All keys."""
        self.stage.enter("keys")
        return self.stage.keys

    def show(self, name: str) -> KeyState:
        """One key."""
        self.stage.enter("show")
        return next(k for k in self.stage.keys if name in (k.key_arn, *k.aliases))

    def targets(self) -> tuple[KeyState, ...]:
        """Keys that can be written under."""
        self.stage.enter("targets")
        return tuple(k for k in self.stage.keys if k.usable)


@dataclass
class StageWork:
    """Writes the stage's rows anew."""

    stage: Stage

    def plan(self, verb: Verb, selection: Selection, target: str) -> Plan:
        """What would happen."""
        self.stage.enter("plan")
        rows = [
            self.stage.rows[self.stage.index(ref)]
            for ref in selection.references
            if isinstance(ref, TokenRef)
        ]
        fitting = {True: Format.V1, False: Format.PLAINTEXT}[verb is not Verb.ENCRYPT]
        good = [r for r in rows if r.format is fitting or (r.format is Format.DEV and verb is Verb.ENCRYPT)]
        refused = tuple(
            Unwritten(
                str(r.ref),
                "It is an envelope already." if r.format.protected else "It is no envelope: encrypt it.",
            )
            for r in rows
            if r not in good
        )
        plan = Plan(
            verb=verb,
            selection=Selection(references=tuple(r.ref for r in good)),
            target_key_arn=target,
            target_name="alias/tokens",
            tokens=len(good),
            by_column=Counter(f"{r.ref.table}.{r.ref.column}" for r in good),
            refused=refused,
            warnings=("role/platform may not use kms:Decrypt under this key.",),
            coverage=Coverage(),
        )
        return replace(plan, **self.stage.plan_more)  # type: ignore[arg-type]

    def run(
        self,
        plan: Plan,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do it."""
        if self.stage.read_only:
            raise ReadOnlyError("Read-only: nothing is written.")
        refs = [ref for ref in plan.selection.references if isinstance(ref, TokenRef)]
        if progress:
            progress(RunProgress(len(refs), 0, 0, 0, 0.5))
        self.stage.enter("run")
        done = 0
        for ref in refs:
            if cancelled is not None and cancelled.is_set():
                break
            at = self.stage.index(ref)
            self.stage.rows[at] = replace(
                self.stage.rows[at],
                format=Format.V1,
                plaintext_provider=None,
                key_arn=plan.target_key_arn,
                key_material_id=MATERIALS[2],
                evidence=Evidence.VERIFIED,
            )
            done += 1
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=len(refs),
            done=done,
            conflicts_retried=0,
            poisoned=(),
            changed_meanwhile=0,
            remaining=len(refs) - done,
            seconds=0.5,
            kms_calls=done * plan.verb.calls_per_token,
            interrupted=done < len(refs),
        )

    def verify(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Open the tokens."""
        self.stage.enter("verify")
        answers = []
        for ref in selection.references:
            if not isinstance(ref, TokenRef):
                continue
            at = self.stage.index(ref)
            row = self.stage.rows[at]
            opened = row.format.protected
            if opened:
                self.stage.rows[at] = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            answers.append(
                Verification(
                    ref,
                    opened,
                    row.key_arn,
                    row.key_material_id,
                    "" if opened else f"It is stored as {row.format.value}.",
                )
            )
        return tuple(answers)
