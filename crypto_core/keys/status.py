"""Are we all right? The census joined with the state of the keys, and what is wrong, worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crypto_core.database.column_guards.model import ColumnGuard
from crypto_core.database.tokens.decoys import DecoyCount
from crypto_core.database.tokens.lost_tokens import AcceptedUnderKey
from crypto_core.database.tokens.strays import Strays
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.values.clean_text import CleanText, cleans
from crypto_core.values.errors import KmsError
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.key_names import same_key


@dataclass(frozen=True, slots=True)
class ColumnShare(JsonRecord):
    """The tokens of one column by format; NULLs are no tokens and not counted."""

    column: str
    tokens: int
    by_format: Mapping[Format, int]
    respelt: int = 0
    """Those of v1 that are spelt otherwise than Keydeck writes them, as far as length or mark tells."""

    json_shape = shape(
        "column tokens by_format spelt_otherwise=respelt",
        by_format=made(dict[Format, int], lambda share: {one: share.by_format.get(one, 0) for one in Format}),
    )


@dataclass(frozen=True, slots=True)
@cleans(alias=300, key_state=60, note=1_000)
class KeyShare(JsonRecord):
    """The tokens under one key material. `key_arn` is None for envelopes whose key nobody could tell.

    `asked` is how many of them KMS was asked about. `note` says what the operator should know, such as
    why the key is unknown.
    """

    key_arn: str | None
    alias: CleanText | None
    key_state: CleanText | None
    key_material_id: str | None
    tokens: int
    evidence: Evidence
    asked: int = 0
    trusted: bool = True
    note: str = ""
    asked_at: datetime | None = field(default=None, compare=False)
    """When KMS was asked, of several answers the oldest; None where it was not."""

    json_shape = shape("key_arn alias key_state key_material_id tokens evidence asked_at")


class ProblemKind(StrEnum):
    """The rules that a status answers by: what can be done about a finding depends on its rule."""

    UNPROTECTED = "unprotected"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    RESPELT = "respelt"
    KEY_PENDING_DELETION = "key-pending-deletion"
    KEY_NOT_ENABLED = "key-not-enabled"
    KEY_NOT_TRUSTED = "key-not-trusted"
    KEY_UNKNOWN = "key-unknown"
    UNDECLARED = "undeclared"
    STRAY = "stray"
    WRITE_KEY = "write-key"
    DECOY = "decoy"


class Problem(Finding):
    """What a status finds, by the rule of a ProblemKind: where as `evidence`, the key as `subject`."""

    __slots__ = ()
    json_shape = shape("severity title where=evidence remedy tokens filter=rows? key_arn=subject?")


@dataclass(frozen=True, slots=True)
class ProtectedShare(JsonRecord):
    count: int
    of: int

    json_shape = shape(
        "count share",
        share=made(float | None, lambda share: round(share.count / share.of, 6) if share.of else None),
    )


@dataclass(frozen=True, slots=True)
class Status(JsonRecord):
    """The whole answer. Totals add up: columns, formats and keys each account for every token."""

    taken_at: datetime
    tokens: int
    by_format: Mapping[Format, int]
    by_column: tuple[ColumnShare, ...]
    keys: tuple[KeyShare, ...]
    problems: tuple[Problem, ...]
    coverage: Coverage
    failure: KmsError | None = None
    """Why KMS did not tell all that it may tell another time; see Attribution."""
    guards: tuple[ColumnGuard, ...] = ()
    """Of each token column, whether the database refuses what is no envelope."""
    sweep: Sweep | None = None
    strays: Strays = field(default_factory=Strays)
    accepted: tuple[AcceptedUnderKey, ...] = ()
    """What was accepted as unrecoverable and is still stored as it was then, by key."""
    decoys: DecoyCount = field(default_factory=DecoyCount)
    """Decoys of tripwires: in no other number here."""

    json_shape = shape(
        "tokens protected problems by_format by_column keys accepted_as_unrecoverable=accepted decoys "
        "coverage",
        protected=made(ProtectedShare, lambda status: ProtectedShare(status.protected, status.tokens)),
        by_format=made(
            dict[Format, int], lambda status: {one: status.by_format.get(one, 0) for one in Format}
        ),
    )

    @property
    def protected(self) -> int:
        return sum(count for format_, count in self.by_format.items() if format_.protected)

    @property
    def well(self) -> bool:
        """True if every token is protected under a trusted, enabled key and nothing was left uncounted."""
        return self.coverage.complete and not any(problem.severity.grave for problem in self.problems)

    def shares_under(self, key_arn: str) -> tuple[KeyShare, ...]:
        """Of all replicas of the key together."""
        return tuple(s for s in self.keys if s.key_arn and same_key(s.key_arn, key_arn))

    def tokens_under(self, key_arn: str) -> int:
        return sum(share.tokens for share in self.shares_under(key_arn))
