"""Where Keydeck works and as whom: asked of AWS and the database at the same time, never waited for long.

Both questions are asked in daemon threads, each at most once at a time. A side that does not answer holds up
neither the other one nor the exit; what was known of it stays, with the trouble beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from sqlalchemy import Engine

from console.settings import Settings
from crypto_core.aws.kms import Identity, KmsApi
from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.urls import parse_database_url
from crypto_core.database.dialect import CURRENT_ROLE
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import account_of, means, parse_key_name, region_of
from screens.blocking_calls import DaemonThreads
from screens.services import Surroundings

ANSWER_SECONDS = 6.0
"""How long either side is waited for."""

FRESH_SECONDS = 300.0
"""How long AWS's answers count while nothing has changed."""

ASK_AGAIN_SECONDS = 60.0
"""How long AWS is left alone after it gave no answer."""

T = TypeVar("T")

Aliases = Callable[[], Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class AwsSide:
    """What AWS says. `regions` is empty where none is configured."""

    regions: tuple[str, ...] = ()
    identity: Identity | None = None
    trouble: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseSide:
    role: str = ""
    trouble: str = ""


class EnvironmentProbe:
    """Looks around. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        kms: KmsApi,
        aliases: Aliases,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`aliases` gives the aliases by key ARN, as far as they are known, and asks nothing."""
        self._settings = settings
        self._aliases = aliases
        self._url = parse_database_url(settings.required_database_url())
        self._aws = _Question(_Aws(settings, kms, clock).ask, AwsSide())
        self._engine = engine
        self._database = _Question(self._ask_database, DatabaseSide())

    def actor(self) -> str:
        """Return who acts, for the journal: AWS identity and database role."""
        questions = [self._aws] if self._database.last.role else [self._aws, self._database]
        _answered(*questions)
        identity, role = self._aws.last.identity, self._database.last.role
        return (
            f"{identity.arn if identity else 'AWS identity not known'}, database role {role or 'not known'}"
        )

    def now(self) -> Surroundings:
        """Return what the header shows, within ANSWER_SECONDS; trouble is part of it, never raised."""
        late = _answered(self._aws, self._database)
        aws, database = self._aws.last, self._database.last
        host, name = self._url.host or "local socket", clean(self._url.database or "")
        return Surroundings(
            account=aws.identity.account if aws.identity else "",
            identity=aws.identity.arn if aws.identity else "",
            region=aws.regions[0] if aws.regions else "",
            profile=self._settings.profile or "",
            database=f"{name}@{host}",
            database_role=database.role,
            write_key=self._settings.write_key or "",
            write_key_alias=alias_of(self._settings.write_key, self._aliases()),
            write_format=self._settings.written_format,
            read_only=self._settings.read_only,
            database_trouble=_NO_ANSWER if self._database in late else database.trouble,
            aws_trouble=_NO_ANSWER if self._aws in late else aws.trouble,
            credentials_remedy=aws.remedy,
            environment=self._settings.environment,
            environment_colour=self._settings.environment_colour,
        )

    def _ask_database(self) -> DatabaseSide:
        """Return the role; where the database does not answer, the one before."""
        try:
            with connected(self._engine) as connection:
                return DatabaseSide(str(connection.scalar(CURRENT_ROLE)))
        except errors.DatabaseError as error:
            return DatabaseSide(self._database.last.role, error.message)


_NO_ANSWER = f"No answer within {ANSWER_SECONDS:.0f} s."


def alias_of(key: str | None, aliases: Mapping[str, Sequence[str]]) -> str:
    """Return the alias of a key that is named in whatever form, "" if none is known."""
    if not key:
        return ""
    name = parse_key_name(key)
    if name.alias is not None:
        return name.alias
    for arn, found in aliases.items():
        if found and means(key, arn, found):
            return found[0]
    return ""


class _Question(Generic[T]):
    """A question that is under way at most once. `last` is the last answer."""

    def __init__(self, ask: Callable[[], T], at_first: T) -> None:
        self.last = at_first
        self._ask = ask
        self._lock = Lock()
        self._threads = DaemonThreads()
        self._future: Future[None] | None = None

    def begin(self) -> Future[None]:
        """Return what is done once there is an answer: one that is being asked for already, or a new one."""
        with self._lock:
            if self._future is None or self._future.done():
                self._future = self._threads.submit(self._learn)
            return self._future

    def _learn(self) -> None:
        self.last = self._ask()


def _answered(*questions: _Question[AwsSide] | _Question[DatabaseSide]) -> list[object]:
    futures = {question.begin(): question for question in questions}
    done, late = wait(futures, timeout=ANSWER_SECONDS)
    for future in done:
        future.result()
    return [futures[future] for future in late]


@dataclass(slots=True)
class _Asked:
    """When something was asked last, in which boto3 session, and whether AWS answered."""

    at: float = field(default=-FRESH_SECONDS)
    session: int = -1
    renewals: int = -1
    answered: bool = False
    for_credentials: bool = False
    """True if there was no answer for want of credentials that AWS takes."""


class _Aws:
    """Asks AWS who we are and whether the write key is here: seldom, and at once after a renewal."""

    def __init__(self, settings: Settings, kms: KmsApi, clock: Callable[[], float]) -> None:
        self._write_key = settings.write_key
        self._kms = kms
        self._clock = clock
        self._identity: Identity | None = None
        self._trouble = ""
        self._asked = _Asked()

    def ask(self) -> AwsSide:
        try:
            regions = self._kms.regions
            if self._due():
                before = self._asked
                self._asked = _Asked(self._clock(), before.session, self._kms.renewals)
                self._trouble = self._ask_identity(before) or self._ask_key(self._write_key, regions)
        except errors.KeydeckError as error:
            # The configuration itself: without a Region or with an unknown profile nothing can be asked.
            return AwsSide(trouble=error.message, remedy=error.remedy)
        refusal = self._kms.refusal
        if refusal is not None:
            return AwsSide(regions, self._identity, refusal.message, refusal.remedy)
        return AwsSide(regions, self._identity, self._trouble)

    def _due(self) -> bool:
        asked, age = self._asked, self._clock() - self._asked.at
        if asked.renewals != self._kms.renewals:
            return True
        if self._kms.refusal is not None:
            return age >= ASK_AGAIN_SECONDS
        if asked.answered:
            return age >= FRESH_SECONDS or asked.session != self._kms.session
        # A call has gone through since: so would this one.
        return age >= ASK_AGAIN_SECONDS or asked.for_credentials

    def _ask_identity(self, before: _Asked) -> str:
        """Learn who we are; return why that is not known."""
        try:
            self._identity = self._kms.identity()
        except errors.CredentialsError as error:
            # Nothing can be done as anybody else meanwhile.
            self._asked.for_credentials = True
            return error.message
        except errors.KeydeckError as error:
            if before.session != self._kms.session:
                self._identity = None
            return error.message
        self._asked.session, self._asked.answered = self._kms.session, True
        return ""

    def _ask_key(self, key: str | None, regions: tuple[str, ...]) -> str:
        """Return what speaks against the write key: it is in another Region, or not in this account."""
        if not key or self._kms.refusal is not None:
            return ""
        region, account = region_of(key), account_of(key)
        if region is not None and region not in regions:
            return f"The write key is in {region}; the Regions here are {', '.join(regions)}."
        try:
            self._kms.call("DescribeKey", region=region, KeyId=key)
        except errors.KeyNotFoundError as error:
            return f"There is no write key: {error.message}"
        except errors.CredentialsError:
            self._asked.answered, self._asked.for_credentials = False, True
        except errors.KmsError as error:
            self._asked.answered = isinstance(error, errors.KmsAccessDeniedError)
            mine = self._identity.account if self._identity else None
            if account is not None and mine is not None and account != mine:
                return f"The write key is in account {account}: {error.message}"
        return ""
