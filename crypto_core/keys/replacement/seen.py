"""What is seen of a manual rotation: both keys, who may use them, what is written under which of them.

API reference: DescribeKey, GetKeyPolicy, ListGrants, GetKeyLastUsage, ListAliases. GetKeyLastUsage tells the
last use alone, not who made it; a multi-Region key's primary and replicas are told apart. Who wrote a token
is told by the database: Keydeck makes no connection, and keeps account of each token that it writes. So a
token of a connection that was made after the new key, under that key and never written by Keydeck, was sealed
by the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Engine

from crypto_core.cancelling import stop_if
from crypto_core.database.tokens.backups import backups_under, written_by_keydeck
from crypto_core.database.tokens.inventory import Inventory, SortKey
from crypto_core.errors import (
    CredentialsError,
    DatabaseError,
    KeyNotFoundError,
    KmsAccessDeniedError,
    KmsError,
    KmsUnreachableError,
    MissingGrantError,
    MissingSchemaError,
    TrailError,
)
from crypto_core.key_names import is_key_arn, parse_key_name, same_key
from crypto_core.keyring.preflight import Permission, Preflight
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.keys.changes.reading import at_risk, proven_at_risk
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.document import Statement
from crypto_core.keys.policy.reading import KeyPolicies
from crypto_core.keys.replacement.witness import UseSeen, UseWitness
from crypto_core.keys.service import StatusService
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.paging import Query
from crypto_core.text.cleaning import clean

"""Uses with which something new comes under a key."""
NEWEST = 100
"""How many of the newest tokens under the new key are looked at for those that the platform sealed."""
_SKEW = timedelta(days=1)
"""How far apart at most the clocks are that date keys, connections and the journal."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The platform's keys as configured: see the settings of the same names."""

    write_key: str | None
    write_alias: str = ""
    trusted_keys: tuple[str, ...] = ()
    rotation_days: int = 365


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    """The key that a configured name means now. `key_arn` is None where that is not known, by `trouble`."""

    name: str
    key_arn: str | None = None
    trouble: str = ""

    @property
    def alias(self) -> str:
        """The alias by which it is configured, "" for a key's ARN or id."""
        return parse_key_name(self.name).alias or ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may use a key. `accesses` is None where that could not be read; `gaps` say why, also of a part."""

    accesses: tuple[Access, ...] | None = None
    statements: tuple[Statement, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What the platform wrote lately, by the dates of connections.

    `since` is when the oldest of the looked-at connections under the new key was made, or the moment that was
    asked about; None where there is neither.
    """

    connections: int = 0
    """Made since, with a token under the new key that Keydeck has not written; at most `NEWEST` are told."""
    newest_at: datetime | None = None
    since: datetime | None = None
    under_old: int = 0
    """Tokens of connections made after `since` that are under the old key."""
    unknown: str = ""
    """Why it is not known who wrote what is under the new key; then nothing of the above is."""


@dataclass(frozen=True, slots=True)
class RotationState:
    """All that the steps go by, as it is at one moment."""

    configured: Configuration
    old: KeyState
    old_replicas: tuple[KeyState, ...]
    """The old key in other Regions, with the last use there."""
    new: KeyState | None
    new_name: str
    """As requested, or found in the settings; "" if there is none."""
    new_trouble: str
    """Why the new key can't be looked at, "" where it can."""
    write: ResolvedKey | None
    alias: ResolvedKey | None
    """KEYDECK_WRITE_ALIAS, where it is set."""
    trusted: tuple[ResolvedKey, ...]
    old_allowed: Allowed
    new_allowed: Allowed
    permissions: tuple[Permission, ...]
    status: Status | None
    tokens: TokensAtRisk
    written: Written
    uncounted: str
    """Why the database gave no answer, "" if it did."""
    region: str
    """Where Keydeck makes keys."""
    accepted: tuple[str, ...] = field(default=())
    old_use: UseSeen | None = None
    """The old key's use since then by CloudTrail; None where its events aren't kept."""

    @property
    def same(self) -> bool:
        """True if the new key is the old one, or its replica."""
        return self.new is not None and same_key(self.new.key_arn, self.old.key_arn)

    @property
    def new_reference(self) -> str:
        """What commands call the new key."""
        return self.new.key_arn if self.new else "NEW"


@dataclass(eq=False)
class RotationReader:
    """Looks. Blocks on KMS and SQL; changes nothing, also where it is not read only."""

    engine: Engine
    journal_engine: Engine
    keys: KeyInventory
    policies: KeyPolicies
    preflight: Preflight
    inventory: Inventory
    status: StatusService
    regions: Callable[[], Sequence[str]]
    configured: Configuration
    witness: UseWitness | None = None

    def read_state(
        self,
        old: str,
        new: str | None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> RotationState:
        """Return what is seen now. Without `new`, the key that is configured, if that is another one.

        Raises SettingsError for what is no key name, KmsError where the old key can't be described or AWS
        does not answer at all, and InterruptedRunError once `cancelled` is set.
        """
        self.keys.refresh_aliases()
        # Before the census: its questions to KMS are uses of the old key too.
        state = self.keys.show(old)
        replicas = self._replicas(state)
        write = self._resolved(self.configured.write_key) if self.configured.write_key else None
        alias = self._resolved(self.configured.write_alias) if self.configured.write_alias else None
        name = new or _other(state, write) or _other(state, alias)
        successor, trouble = self._new(name)
        uncounted, status, written = "", None, Written()
        tokens = TokensAtRisk(gaps=("The tokens are not counted.",), backups=None)
        try:
            stop_if(cancelled)
            status = self.status.take_census(cancelled=cancelled)
            tokens = at_risk(status, state.key_arn, self._backups(state))
            if tokens.none:
                # A zero is proved: what is remembered is not enough for it.
                proof = self.status.prove(about=state.key_arn, in_full=True, cancelled=cancelled)
                tokens = proven_at_risk(proof, state.key_arn, tokens.backups)
            if successor is not None and not same_key(successor.key_arn, state.key_arn):
                written = self._written(state, successor, status, since, cancelled)
        except DatabaseError as error:
            uncounted = str(error)
        stop_if(cancelled)
        old_use = self._used((state, *replicas), written.since, cancelled)
        return RotationState(
            configured=self.configured,
            old=state,
            old_replicas=replicas,
            new=successor,
            new_name=name,
            new_trouble=trouble,
            write=write,
            alias=alias,
            trusted=tuple(self._resolved(trusted) for trusted in self.configured.trusted_keys),
            old_allowed=self._allowed(state),
            new_allowed=self._allowed(successor) if successor else Allowed(),
            permissions=self._permissions(state, successor) if successor else (),
            status=status,
            tokens=tokens,
            written=written,
            uncounted=uncounted,
            region=self.regions()[0],
            accepted=tuple(accepted),
            old_use=old_use,
        )

    def _used(
        self, olds: Sequence[KeyState], since: datetime | None, cancelled: Event | None
    ) -> UseSeen | None:
        if self.witness is None or since is None:
            return None
        try:
            return self.witness.uses([s.key_arn for s in olds], since, cancelled=cancelled)
        except TrailError as error:
            return UseSeen(since, gaps=(str(error),))

    def _new(self, name: str) -> tuple[KeyState | None, str]:
        if not name:
            return None, ""
        try:
            return self.keys.show(name), ""
        except KeyNotFoundError as error:
            return None, error.message
        except KmsAccessDeniedError as error:
            return None, f"not known: {error.why}"

    def _resolved(self, name: str) -> ResolvedKey:
        if is_key_arn(name):
            return ResolvedKey(name, name)
        try:
            return ResolvedKey(name, self.keys.describe(name).key_arn)
        except (CredentialsError, KmsUnreachableError):
            raise
        except KmsError as error:
            return ResolvedKey(name, None, error.why)

    def _replicas(self, state: KeyState) -> tuple[KeyState, ...]:
        """The old key in its other Regions; one that can't be looked at has its last use missing."""
        found = []
        for arn in dict.fromkeys((state.primary_arn, *state.replica_arns)):
            if arn is None or arn == state.key_arn:
                continue
            try:
                found.append(self.keys.show(arn))
            except KmsError as error:
                found.append(KeyState(arn, "", missing={"last use": error.message}))
        return tuple(found)

    def _allowed(self, state: KeyState) -> Allowed:
        try:
            policy = self.policies.of(state)
        except (CredentialsError, KmsUnreachableError):
            raise
        except KmsError as error:
            return Allowed(gaps=(f"Policy of {state.key_arn}: {error.why}",))
        gaps = tuple(
            f"{part.capitalize()} of {state.key_arn}: {clean(why, 300)}"
            for part, why in policy.missing.items()
        )
        return Allowed(policy.accesses, policy.document.statements, gaps)

    def _permissions(self, old: KeyState, new: KeyState) -> tuple[Permission, ...]:
        found = [self.preflight.may_generate(new.key_arn), self.preflight.may_decrypt(new.key_arn, None)]
        if old.region == new.region:
            found += self.preflight.may_reencrypt(old.key_arn, new.key_arn, None)
        return tuple(found)

    def _backups(self, state: KeyState) -> int | None:
        try:
            return backups_under(self.engine, state.key_arn)
        except MissingSchemaError:
            return 0  # without its schema Keydeck replaces nothing
        except DatabaseError:
            return None

    def _written(
        self,
        old: KeyState,
        new: KeyState,
        status: Status,
        since: datetime | None,
        cancelled: Event | None,
    ) -> Written:
        if new.created_at is None:
            return Written(unknown="KMS does not say when the new key was made.")
        begin, earliest = since or new.created_at, new.created_at
        made = f"{_under(new, status)} created:>={begin.isoformat()}"
        rows = self.inventory.page(
            Query(made, SortKey.CREATED, descending=True), limit=NEWEST, cancelled=cancelled
        ).rows
        try:
            refs = [row.ref for row in rows]
            moved = written_by_keydeck(self.engine, self.journal_engine, refs, earliest - _SKEW)
        except MissingGrantError as error:
            return Written(unknown=str(error))
        own = [row for row in rows if row.ref not in moved and row.created_at]
        dates = sorted(row.created_at for row in own if row.created_at)
        first = since or (dates[0] if dates else None)
        behind = 0
        if first is not None:
            behind = self.inventory.tokens(
                f"{_under(old, status)} created:>{first.isoformat()}", cancelled=cancelled
            )
        connections = len({(row.ref.table, row.ref.row_id) for row in own})
        return Written(connections, dates[-1] if dates else None, first, behind)


def _under(state: KeyState, status: Status) -> str:
    """The filter of the tokens under a key, all its replicas together."""
    arns = dict.fromkeys((state.key_arn, *(s.key_arn for s in status.keys if s.key_arn)))
    return "key:" + ",".join(arn for arn in arns if same_key(arn, state.key_arn))


def _other(old: KeyState, configured: ResolvedKey | None) -> str:
    """The key that is configured, where it is another than the old one."""
    if configured is None or configured.key_arn is None or same_key(configured.key_arn, old.key_arn):
        return ""
    return configured.key_arn
