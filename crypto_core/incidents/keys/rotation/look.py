"""What is read of a key and the one that takes its place: who may use them, what is written under which.

API reference: DescribeKey, GetKeyPolicy, ListGrants, GetKeyLastUsage, ListAliases. GetKeyLastUsage tells the
last use alone, not who made it; a multi-Region key's primary and replicas are told apart. Who wrote a token
is told by the database: Keydeck makes no connection, and keeps account of each token that it writes. So a
token of a connection that was made after the new key, under that key and never written by Keydeck, was sealed
by the platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event

from crypto_core.database.tokens.backups import backups_under, written_by_keydeck
from crypto_core.database.tokens.inventory import SortKey
from crypto_core.incidents.keys.subject import everywhere
from crypto_core.incidents.tool_services import RotationReader
from crypto_core.keyring.preflight import Permission
from crypto_core.keys.changes.key_reader import at_risk, proven_at_risk
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.keys.replacement import Compared, UseSeen
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.paging import Query
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.key_names import is_key_arn, parse_key_name, same_key

NEWEST = 100
"""How many of the newest tokens under the new key are looked at for those that the platform sealed."""
_EVERYONE = "everyone"
"""How a loss begins that is of no principal by name."""
_SKEW = timedelta(days=1)
"""How far apart at most the clocks are that date keys, connections and the journal."""


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
class CountedTokens:
    """The tokens under the old key, and what the platform wrote lately, by the dates of connections.

    `since` is when the oldest of the looked-at connections under the new key was made, or the moment that was
    asked about; None where there is neither.
    """

    tokens: TokensAtRisk
    status: Status | None = None
    """None where they could not be counted."""
    trouble: str = ""
    """Why the database gave no answer, "" if it did."""
    connections: int = 0
    """Made since, with a token under the new key that Keydeck has not written; at most `NEWEST` are told."""
    newest_at: datetime | None = None
    since: datetime | None = None
    under_old: int = 0
    """Tokens of connections made after `since` that are under the old key."""
    unknown: str = ""
    """Why it is not known who wrote what is under the new key; then nothing of what is above it is."""


@dataclass(eq=False)
class RotationLook:
    """A key and the one that takes its place, at one moment: what is asked of them is read once.

    It blocks on KMS and SQL, and changes nothing. Without `wanted` the new key is the configured one, if that
    is another. `accepted` are principals that may do less under it. With `of_users` it counts who is named or
    was seen using the old key, not everyone, and a new denial is a loss. Raises SettingsError for what is no
    key name, KmsError where the old key can't be described or AWS does not answer, InterruptedRunError once
    cancelled.
    """

    reader: RotationReader
    replaced: str
    wanted: str | None = None
    _: KW_ONLY
    since: datetime | None = None
    accepted: Sequence[str] = ()
    of_users: bool = False
    cancelled: Event | None = None

    def __post_init__(self) -> None:
        keys = self.reader.keys
        keys.refresh_aliases()
        # Before the census: its questions to KMS are uses of the old key too.
        self.old, *self.old_replicas = everywhere(keys, self.replaced, keys.show)
        self.new_name = self.wanted or self._other(self.write) or self._other(self.alias)
        self.new, self.new_trouble = self._new()

    @property
    def same(self) -> bool:
        """True if the new key is the old one, or its replica."""
        return self.new is not None and same_key(self.new.key_arn, self.old.key_arn)

    @property
    def successor(self) -> KeyState | None:
        """The new key, where it is another than the old one."""
        return None if self.same else self.new

    @cached_property
    def write(self) -> ResolvedKey | None:
        return self._resolved(self.reader.write_key) if self.reader.write_key else None

    @cached_property
    def alias(self) -> ResolvedKey | None:
        return self._resolved(self.reader.write_alias) if self.reader.write_alias else None

    @cached_property
    def trusted(self) -> tuple[ResolvedKey, ...]:
        return tuple(map(self._resolved, self.reader.trusted_keys))

    @cached_property
    def compared(self) -> Compared:
        """Who loses access with the new key."""
        if self.successor is None:
            return Compared()
        access = self.reader.access if self.of_users else replace(self.reader.access, witness=None)
        found = access.compare_access(self.old.key_arn, self.successor.key_arn, self.accepted)
        if self.of_users:
            return replace(found, losses=tuple(x for x in found.losses if not x.startswith(_EVERYONE)))
        return Compared(tuple(x for x in found.losses if x not in found.denied), found.denied)

    @cached_property
    def permissions(self) -> tuple[Permission, ...]:
        """What KMS would permit this identity under the new key, by DryRun."""
        if self.new is None:
            return ()
        preflight, new = self.reader.preflight, self.new
        found = [preflight.may_generate(new.key_arn), preflight.may_decrypt(new.key_arn, None)]
        if self.old.region == new.region:
            found += preflight.may_reencrypt(self.old.key_arn, new.key_arn, None)
        return tuple(found)

    @cached_property
    def counted(self) -> CountedTokens:
        reader, old, cancelled = self.reader, self.old, self.cancelled
        stop_if(cancelled)
        tokens = TokensAtRisk(gaps=("The tokens are not counted.",), backups=None)
        status = None
        try:
            status = reader.status.take_census(cancelled=cancelled)
            tokens = at_risk(status, old.key_arn, self._backups())
            if tokens.none:
                # A zero is proved: what is remembered is not enough for it.
                proof = reader.status.prove(about=old.key_arn, in_full=True, cancelled=cancelled)
                tokens = proven_at_risk(proof, old.key_arn, tokens.backups)
            counted = CountedTokens(tokens, status)
            return self._with_written(self.successor, status, counted) if self.successor else counted
        except errors.DatabaseError as error:
            return CountedTokens(tokens, status, str(error))

    @cached_property
    def old_use(self) -> UseSeen | None:
        """The old key's use since the switch by CloudTrail; None before it."""
        since = self.counted.since
        if since is None:
            return None
        stop_if(self.cancelled)
        olds = [state.key_arn for state in (self.old, *self.old_replicas)]
        try:
            return self.reader.witness.uses(olds, since, cancelled=self.cancelled)
        except errors.TrailError as error:
            return UseSeen(since, gaps=(str(error),))

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read, each once."""
        gaps = [*self.compared.unread, *self.counted.tokens.gaps]
        for state in (self.old, *self.old_replicas, *((self.new,) if self.new else ())):
            gaps += [f"{part.capitalize()} of {state.key_arn}: {why}" for part, why in state.missing.items()]
        return tuple(dict.fromkeys(gaps))

    def _new(self) -> tuple[KeyState | None, str]:
        if not self.new_name:
            return None, ""
        try:
            return self.reader.keys.show(self.new_name), ""
        except errors.KeyNotFoundError as error:
            return None, error.message
        except errors.KmsAccessDeniedError as error:
            return None, f"not known: {error.why}"

    def _other(self, configured: ResolvedKey | None) -> str:
        """The key that is configured, where it is another than the old one."""
        arn = configured.key_arn if configured is not None else None
        return "" if arn is None or same_key(arn, self.old.key_arn) else arn

    def _resolved(self, name: str) -> ResolvedKey:
        if is_key_arn(name):
            return ResolvedKey(name, name)
        try:
            return ResolvedKey(name, self.reader.keys.describe(name).key_arn)
        except (errors.CredentialsError, errors.KmsUnreachableError):
            raise
        except errors.KmsError as error:
            return ResolvedKey(name, None, error.why)

    def _backups(self) -> int | None:
        try:
            return backups_under(self.reader.engine, self.old.key_arn)
        except errors.MissingSchemaError:
            return 0  # without its schema Keydeck replaces nothing
        except errors.DatabaseError:
            return None

    def _with_written(self, new: KeyState, status: Status, counted: CountedTokens) -> CountedTokens:
        if new.created_at is None:
            return replace(counted, unknown="KMS does not say when the new key was made.")
        reader, cancelled, since = self.reader, self.cancelled, self.since
        made = f"{_under(new, status)} created:>={(since or new.created_at).isoformat()}"
        query = Query(made, SortKey.CREATED, descending=True)
        rows = reader.inventory.page(query, limit=NEWEST, cancelled=cancelled).rows
        try:
            refs = [row.ref for row in rows]
            moved = written_by_keydeck(reader.engine, reader.journal_engine, refs, new.created_at - _SKEW)
        except errors.MissingGrantError as error:
            return replace(counted, unknown=str(error))
        own = [row for row in rows if row.ref not in moved and row.created_at]
        dates = sorted(row.created_at for row in own if row.created_at)
        first = since or (dates[0] if dates else None)
        behind = 0
        if first is not None:
            under_old = f"{_under(self.old, status)} created:>{first.isoformat()}"
            behind = reader.inventory.tokens(under_old, cancelled=cancelled)
        connections = len({(row.ref.table, row.ref.row_id) for row in own})
        newest = dates[-1] if dates else None
        return replace(counted, connections=connections, newest_at=newest, since=first, under_old=behind)


def _under(state: KeyState, status: Status) -> str:
    """The filter of the tokens under a key, all its replicas together."""
    arns = dict.fromkeys((state.key_arn, *(s.key_arn for s in status.keys if s.key_arn)))
    return "key:" + ",".join(arn for arn in arns if same_key(arn, state.key_arn))
