"""What Keydeck measured, part by part: plain facts, as far as controls are answered by them.

Nothing here names a token or its row. Text is cleaned as a fact is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crypto_core.aws.fips import OpensslModule
from crypto_core.compliance.algorithms.algorithm import HowKnown, Primitive
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact
from crypto_core.database.column_guards.model import GuardState
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.keys.status import ProblemKind
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, shape

_LINE = 600


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class AlgorithmFact:
    """One algorithm in one use; an algorithm in several uses is there once for each.

    `name` to `standard` are those of `algorithms.algorithm.Algorithm`: sizes and strength in bits, category
    0 to 5, None where no standard says. `primitive` has CycloneDX's names.
    """

    name: CleanText
    primitive: Primitive
    key_bits: int | None
    classical_bits: int | None
    quantum_category: int | None
    oid: CleanText
    approved: bool | None
    standard: CleanText
    quantum: CleanText
    use: CleanText
    protects: tuple[CleanText, ...] = ()
    """Token columns, "journal", "TLS with kms in eu-west-1"; nothing where its key is public."""
    tokens: int | None = None
    """How many tokens; None where it is about none, or they were not counted."""
    known: HowKnown = HowKnown.FACT
    why: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class SigningKeyFact:
    """A configured key that signs, or signed until `until`, the journal's checkpoints, records and reports.

    `spec` is KMS's; `algorithm` is the name of an algorithm, None where KMS was not read or the spec is new.
    `missing` says why then.
    """

    name: CleanText
    arn: CleanText | None = None
    spec: CleanText | None = None
    state: CleanText | None = None
    algorithm: CleanText | None = None
    signs: bool = False
    until: datetime | None = None
    missing: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class CryptographyFacts:
    """Which algorithms protect what, by which keys, connections and OpenSSLs.

    `gaps` are what could not be found out. `fips_required` is KEYDECK_FIPS=require.
    """

    algorithms: tuple[AlgorithmFact, ...]
    signing_keys: tuple[SigningKeyFact, ...] = ()
    endpoints: tuple[EndpointFact, ...] = ()
    modules: tuple[OpensslModule, ...] = ()
    fips_required: bool = False
    gaps: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(300)
class ColumnFact:
    """One token column; `guard` is the state of its CHECK constraint, None where that could not be read."""

    column: CleanText
    tokens: int
    by_format: Mapping[str, int]
    guard: GuardState | None = None


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class ProblemFact:
    kind: ProblemKind | None
    severity: Severity
    title: CleanText
    where: CleanText
    tokens: int
    key: CleanText = NO_TEXT
    """The key that it is about, by its ARN; "" for none."""


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class TokenFacts:
    """The census. `gaps` are what it does not count; `swept`: the rest of the database was searched."""

    tokens: int
    protected: int
    by_format: Mapping[str, int]
    columns: tuple[ColumnFact, ...] = ()
    problems: tuple[ProblemFact, ...] = ()
    gaps: tuple[CleanText, ...] = ()
    swept: bool = False


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class FindingFact:
    """A finding; `suppressed` says by whom, until when and why it is not told, "" where it is."""

    rule: CleanText
    severity: Severity
    subject: CleanText
    title: CleanText
    first_at: datetime | None = None
    suppressed: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class FindingFacts:
    """What rules said. `rules` are those that were asked, `gaps` what they could not look at."""

    rules: tuple[CleanText, ...]
    findings: tuple[FindingFact, ...] = ()
    gaps: tuple[CleanText, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class MaterialFact:
    """One generation of a key. `standing` is its state by NIST SP 800-57 part 1: active, deactivated, …"""

    id: CleanText
    state: CleanText | None
    since: datetime | None
    tokens: int | None
    standing: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class KeyFact:
    """A key that tokens are under or are written under. `missing` maps what isn't known to the reason."""

    arn: CleanText
    name: CleanText
    state: CleanText | None = None
    spec: CleanText | None = None
    origin: CleanText | None = None
    manager: CleanText | None = None
    rotates: bool | None = None
    """Whether KMS rotates it by itself; None where that isn't known."""
    rotation_days: int | None = None
    oldest_in_use: datetime | None = None
    """Since when there is the oldest of its materials that tokens are under."""
    tokens: int | None = None
    writes: bool = False
    missing: Mapping[str, CleanText] = field(default_factory=dict)
    purpose: CleanText = NO_TEXT
    """What Keydeck knows it to be for, such as "tokens" or "signatures"; its description by KMS where not."""
    owner: CleanText = NO_TEXT
    """By its tags or the catalogue of controls; "" where nobody is named."""
    usage: CleanText | None = None
    created_at: datetime | None = None
    deletion_at: datetime | None = None
    last_used_at: datetime | None = None
    policy_sha256: CleanText = NO_TEXT
    """Of the policy's canonical JSON, in hex: another one is another policy. "" where it wasn't read."""
    materials: tuple[MaterialFact, ...] = ()


NOT_COUNTED = clean("Tokens are not counted: other keys may guard some")


@dataclass(frozen=True, slots=True)
class GuardingKeyFacts:
    """The keys that guard tokens, and what they are held against, in days.

    Where tokens are not counted it is the one written under alone: others may guard tokens.
    """

    keys: tuple[KeyFact, ...]
    rotation_days: int
    material_days: int


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class AccessFact:
    """Who may use a key for what, and by which statement or grant. `delegated`: an account's IAM decides."""

    key: CleanText
    who: CleanText
    actions: tuple[CleanText, ...]
    by: CleanText
    delegated: bool = False


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class AccessFacts:
    """Who may use the keys that guard tokens; `gaps` are policies and grants that could not be read."""

    keys: tuple[CleanText, ...]
    accesses: tuple[AccessFact, ...] = ()
    gaps: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class TrailFacts:
    """Events at hand, for how many days they are kept (0 is for ever), what was not fetched up to now."""

    events: int
    kept_days: int
    regions: tuple[CleanText, ...]
    quarter_gaps: tuple[CleanText, ...] = ()
    year_gaps: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(100)
class ApprovalFacts:
    """Which operations need a second person, of those that can; `signed` is whether KMS calls prove them."""

    needed: tuple[CleanText, ...]
    possible: tuple[CleanText, ...]
    signed: bool
    minutes: float
    waiting: int = 0


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class JournalFacts:
    """The journal's verification. `places` are where checkpoints are fixed outside of the database."""

    entries: int
    problems: tuple[CleanText, ...] = ()
    acknowledged: tuple[CleanText, ...] = ()
    signs: bool = False
    checkpoints: int = 0
    anchored: int = 0
    anchored_at: datetime | None = None
    unchecked: CleanText = NO_TEXT
    outside: int = 0
    """The newest entry that a checkpoint outside of the database covers; 0 if none does."""
    places: int = 0


@dataclass(frozen=True, slots=True)
@cleans(100, unread=_LINE)
class IncidentFact(JsonRecord):
    """One incident with its times; `contained_in_time` is None without a budget, or while it is open."""

    name: CleanText
    runbook: CleanText
    declared_at: datetime
    closed_at: datetime | None = None
    contained_seconds: float | None = None
    contained_in_time: bool | None = None
    lead: bool = False
    follow_ups: int = 0
    overdue: int = 0
    budget_seconds: int = 0
    """How soon it was to be contained, in seconds from the declaration; 0 for no budget."""
    unread: CleanText | None = None
    """Why what is stored of it can't be read; None where it can."""

    json_shape = shape("... [unread]")


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class IncidentFacts:
    """All incidents, what the runbooks are about, and `troubles` with those that can't be read."""

    incidents: tuple[IncidentFact, ...]
    subjects: tuple[SubjectKind, ...]
    troubles: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """When a restore was last tried, and how old that may be, in days; 0 is for ever."""

    last_at: datetime | None
    wanted_days: int


@dataclass(frozen=True, slots=True)
@cleans(100)
class SettingFacts:
    written_format: Format
    least_format: Format
    receipts: CleanText


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class CheckFact:
    area: CleanText
    name: CleanText
    outcome: CheckOutcome
    said: CleanText


@dataclass(frozen=True, slots=True)
class CheckFacts:
    checks: tuple[CheckFact, ...]


class FactKind(StrEnum):
    """What was changed; its value is what a program sees."""

    KEY = "key"
    POLICY = "policy"
    APPROVAL = "approval"
    REENCRYPTION = "re-encryption"
    OPERATION = "operation"
    """Any other operation of Keydeck's that changed something."""


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class ChangeFact:
    """One change, or an attempt. With its `source` the `id` is unique, and is where to look it up.

    The source is "CloudTrail" (an event's id), "journal" (an entry's number), "approvals" or "jobs".
    """

    kind: FactKind
    source: CleanText
    id: CleanText
    at: datetime
    what: CleanText
    """The call or the operation, such as PutKeyPolicy."""
    subject: CleanText
    who: CleanText
    outcome: CleanText
    approved_by: CleanText = NO_TEXT
    detail: CleanText = NO_TEXT
    opens: CleanText = NO_TEXT
    """What it made wider than wanted, such as "anybody may Decrypt"; "" where nothing, or unknown."""
    closes: bool = False
    """Whether what it set is known to leave nothing wider than wanted."""


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class ChangeFacts:
    """What was changed between two moments; `gaps` are times and sources that could not be looked at."""

    since: datetime
    until: datetime
    changes: tuple[ChangeFact, ...] = ()
    gaps: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class UseFact:
    """How often somebody called a key in a while, by CloudTrail."""

    key: CleanText
    who: CleanText
    action: CleanText
    calls: int
    denied: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class ReviewFact:
    """Somebody looked at who may use keys, and who did.

    `accesses` is the SHA-256 of what was looked at; "" where that can't be read: it counts for nothing.
    """

    id: CleanText
    """The journal's entry."""
    at: datetime
    by: CleanText
    reason: CleanText
    accesses: CleanText
    keys: tuple[CleanText, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class UseFacts:
    """Who used the keys that guard tokens between two moments, and the reviews of that."""

    since: datetime
    until: datetime
    uses: tuple[UseFact, ...] = ()
    reviews: tuple[ReviewFact, ...] = ()
    gaps: tuple[CleanText, ...] = ()
    review_days: int = 0
    """How old the last review may be, in days; 0 is for ever."""


PartFacts = (
    TokenFacts
    | FindingFacts
    | GuardingKeyFacts
    | AccessFacts
    | TrailFacts
    | ApprovalFacts
    | JournalFacts
    | IncidentFacts
    | DrillFacts
    | SettingFacts
    | CheckFacts
    | ChangeFacts
    | UseFacts
    | CryptographyFacts
)
