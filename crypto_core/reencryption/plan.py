"""The plan for tokens, made before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import ENVELOPE_FORMATS, Format, at_least, bound_format
from crypto_core.guard.consent import Danger, document_digest
from crypto_core.guard.operations import BY_NAME, Operation
from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted, listed
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import RowRef, TokenRef

_ENVELOPES = frozenset(ENVELOPE_FORMATS)
_IN_PLACE = frozenset({Format.PLAINTEXT, Format.DEV})


PROVED = 100
"""One in so many new envelopes KMS is asked to open, besides the first of a run or chunk."""


class Verb(StrEnum):
    REWRAP = "rewrap"
    REENCRYPT = "reencrypt"
    ENCRYPT = "encrypt"

    @property
    def words(self) -> str:
        return self.operation.words

    @property
    def operation(self) -> Operation:
        return BY_NAME[self.value]

    def calls_per_token(self, *, ask_kms: bool = False) -> int:
        """Return how many calls of KMS one token takes, without retries and the search for its key.

        KMS opens every new envelope of the other two anyhow, with `ask_kms` also what is re-encrypted.
        """
        return 3 if ask_kms and self is Verb.REENCRYPT else 2

    @property
    def formats(self) -> frozenset[Format]:
        """What it takes. Unrecognised values are never encrypted: they may be damaged envelopes."""
        return _IN_PLACE if self is Verb.ENCRYPT else _ENVELOPES


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tokens: exactly one of the five.

    `under_key` names a KMS key: every envelope under it. `everything` is every envelope. `unprotected` is
    every token stored in plaintext (with a provider's prefix) or in dev format. `filter` is every token that
    a filter expression lets through (see tokens/inventory.py), but for those in `except_for`.
    """

    references: tuple[TokenRef | RowRef, ...] = ()
    under_key: str | None = None
    everything: bool = False
    unprotected: bool = False
    filter: str | None = None
    except_for: tuple[TokenRef, ...] = ()

    def __str__(self) -> str:
        if self.filter is not None:
            but = f" but for {counted(len(self.except_for), 'token')}" if self.except_for else ""
            return f'every token that "{clean(self.filter, 200)}" lets through{but}'
        if self.references:
            return listed([str(ref) for ref in self.references], 3)
        if self.under_key:
            return f"every token under {self.under_key}"
        return "every token stored in plaintext or dev format" if self.unprotected else "every envelope"


@dataclass(frozen=True, slots=True)
@cleans(reference=1_000, reason=2_000)
class Unwritten(JsonRecord):
    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conversion(JsonRecord):
    """So many tokens of one format, and the format that they are written in."""

    source: Format
    written: Format
    tokens: int

    json_shape = shape("from=source to=written tokens")

    @property
    def changes(self) -> bool:
        return self.source is not self.written


@dataclass(frozen=True, slots=True)
@cleans(target_name=300, by_column=300, warnings=1_000)
class Plan(JsonRecord, RunsCode):
    """A dry run's result. Nothing has been changed; `refused` are tokens that would be left as they are."""

    verb: Verb
    selection: Selection
    target_key_arn: str
    target_name: str
    tokens: int
    by_column: Mapping[str, int]
    refused: tuple[Unwritten, ...]
    warnings: tuple[str, ...]
    coverage: Coverage
    scope: TokenScope = field(default_factory=TokenScope, repr=False)
    source_key_arn: str | None = None
    write_format: Format = Format.V1
    binding: str | None = None
    """The name of the database that new v2 envelopes are bound to."""
    allow_downgrade: bool = False
    by_format: Mapping[Format, int] = field(default_factory=dict)
    """The tokens by the format that they have now."""
    unlisted: bool = False
    """True of a job over more tokens of a filter than a plan lists: they are looked up when it begins."""
    code: tuple[AttachedCode, ...] = ()
    """What others have had run when these tokens are written."""

    json_shape = shape(
        "dry_run verb selection to=target_key_arn tokens by_column refused warnings binding conversions "
        "kms_calls coverage code",
        dry_run=True,
    )

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """What becomes of the tokens' formats, in the order of `Format`."""
        return tuple(
            Conversion(source, self._written(source), self.by_format[source])
            for source in Format
            if self.by_format.get(source)
        )

    def _written(self, source: Format) -> Format:
        if self.verb is Verb.REWRAP:
            return source
        kept = self.verb is Verb.REENCRYPT and not self.allow_downgrade
        written = at_least(source, self.write_format) if kept else self.write_format
        return bound_format(written, self.binding)

    @property
    def whole(self) -> bool:
        """True if every selected token was seen and will be written."""
        return self.coverage.complete and not self.refused

    @property
    def kms_calls(self) -> int:
        return self.tokens * self.verb.calls_per_token()

    @property
    def danger(self) -> Danger:
        if not self.tokens:
            return Danger.NONE
        return Danger.CONFIRM if self.tokens == 1 else Danger.TYPED

    @property
    def confirmation(self) -> str:
        return str(self.tokens)

    @property
    def summary(self) -> str:
        words = self.verb.words.capitalize()
        return f"{words} {self.selection}, {counted(self.tokens, 'token')}, under {self.target_key_arn}"

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over all that a run goes by and what the preview says it comes to."""
        told = {
            "verb": self.verb,
            "target": self.target_key_arn,
            "source": self.source_key_arn,
            "write_format": self.write_format,
            "binding": self.binding,
            "allow_downgrade": self.allow_downgrade,
            "selection": _parts(self.selection),
            "scope": _parts(self.scope),
            "tokens": self.tokens,
            "by_column": sorted(self.by_column.items()),
            "by_format": sorted(self.by_format.items()),
            "code": [code.as_json() for code in self.code],
        }
        return document_digest(told)


def _parts(value: Selection | TokenScope) -> list[tuple[str, str]]:
    """Every field, also those that come later; of several, none counts as the first."""
    parts = ((f.name, getattr(value, f.name)) for f in fields(value))
    several = (frozenset, tuple)
    return [(n, repr(sorted(map(repr, part)) if isinstance(part, several) else part)) for n, part in parts]


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands. `done` were written, `poisoned` can't be; both count towards `total`."""

    total: int
    done: int
    poisoned: int
    conflicts: int
    seconds: float

    @property
    def per_second(self) -> float:
        return (self.done + self.poisoned) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
@cleans(stopped_by=2_000)
class RunResult(JsonRecord):
    """What a run did. `remaining` are planned tokens that it did not reach (interrupted, or KMS gone)."""

    verb: Verb
    target_key_arn: str
    planned: int
    done: int
    conflicts_retried: int
    poisoned: tuple[Unwritten, ...]
    changed_meanwhile: int
    remaining: int
    seconds: float
    kms_calls: int
    interrupted: bool = False
    stopped_by: str = ""

    json_shape = shape(
        "verb to=target_key_arn planned done conflicts_retried changed_meanwhile poisoned remaining "
        "seconds tokens_per_second kms_calls interrupted stopped_by",
        seconds=lambda record: round(record.seconds, 3),
        tokens_per_second=lambda record: round(record.done / record.seconds, 1) if record.seconds else 0.0,
    )

    @property
    def complete(self) -> bool:
        """True if every planned token was written, by this run or another writer."""
        return not self.poisoned and not self.remaining


@dataclass(frozen=True, slots=True)
class Verification(JsonRecord):
    """Whether one token opened, and under which key. `reason` says why it didn't."""

    ref: TokenRef
    opened: bool
    key_arn: str | None
    key_material_id: str | None
    reason: str = ""

    json_shape = shape("reference=ref ...")
