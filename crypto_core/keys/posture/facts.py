"""What the rules are about: everything known of one key, and the other keys beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crypto_core.database.column_guards.model import ColumnGuard
from crypto_core.database.tokens.strays import Copies, Strays
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.access import Access
from crypto_core.keys.posture.limits import Limits
from crypto_core.keys.state import KeyState
from crypto_core.values.counts import counted
from crypto_core.values.key_names import account_of


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """One key. `accesses` and `grants` are None where they are not known; `missing` says why.

    `tokens` is None where they could not be counted; `by_material` counts them by KeyMaterialId, "" being
    for those whose material is not known. `writes` is True for the key that TOKEN_ENCRYPTION_KEY_ID names,
    `trusted` for any configured key.
    """

    key: KeyState
    accesses: tuple[Access, ...] | None = None
    grants: tuple[Grant, ...] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = 0
    by_material: Mapping[str, int] = field(default_factory=dict)
    writes: bool = False
    trusted: bool = False

    @property
    def arn(self) -> str:
        return self.key.key_arn

    @property
    def account(self) -> str | None:
        return account_of(self.key.key_arn)

    @property
    def guards(self) -> bool:
        """True if tokens are under the key, will be, or may be."""
        return self.tokens is None or self.tokens > 0 or self.writes

    @property
    def customer(self) -> bool:
        """True for a key that the customer manages; only such a key's owner can mend anything."""
        return self.key.manager == "CUSTOMER"

    def weighed(self, severity: Severity) -> Severity:
        """Return a severity for this key: at most medium where no token depends on it."""
        return severity if self.guards else severity.at_most(Severity.MEDIUM)

    def finding(self, severity: Severity, title: str, evidence: str, remedy: str) -> Finding:
        return Finding("", severity, self.arn, title, evidence, remedy)

    def gap(self, what: str, why: str, hides: Severity) -> Gap:
        """Return the gap for a part of this key that is not known, as bad as it can be for this key."""
        return Gap(f"{self.arn}: {what}: {why}", self.weighed(hides))

    def tokens_in_words(self) -> str:
        if self.tokens is None:
            return "tokens under it could not be counted"
        return f"{counted(self.tokens, 'token')} under it"


@dataclass(frozen=True, slots=True)
class Estate:
    """All keys that are known, at one moment.

    `write_key` is TOKEN_ENCRYPTION_KEY_ID as it is set, `write_arn` the key that it means, if that is known.
    """

    now: datetime
    limits: Limits
    keys: tuple[KeyFacts, ...]
    write_key: str | None = None
    write_arn: str | None = None
    guards: tuple[ColumnGuard, ...] = ()
    """Whether the database refuses what is no envelope in columns that hold tokens."""
    sweep: Sweep | None = None
    """The look through the database for tokens that no inventory knows; None where there was none."""
    strays: Strays = field(default_factory=Strays)
    copies: tuple[Copies, ...] = ()

    @property
    def writing(self) -> KeyFacts | None:
        """The key that tokens are written under rather than a replica of it; None where that is not known."""
        written = [facts for facts in self.keys if facts.writes]
        return next((facts for facts in written if facts.arn == self.write_arn), next(iter(written), None))

    def has(self, arn: str | None) -> bool:
        return any(facts.arn == arn and facts.key.state is not None for facts in self.keys)

    def age(self, moment: datetime | None) -> timedelta | None:
        return self.now - moment if moment is not None else None
