"""boto3 sessions and clients that are built anew when credentials were renewed.

A boto3 session reads its files once and keeps static credentials for ever. So a session, with its clients, is
dropped when AWS no longer takes its credentials, and when the files behind them have changed. Calls under
way on a client that was dropped go on to their end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from stat import S_ISREG
from time import monotonic
from typing import TYPE_CHECKING, Any

from crypto_core.aws import mfa_codes
from crypto_core.aws.clock import signs_by_it
from crypto_core.aws.failures import asks_once
from crypto_core.aws.proxies import require_clear_proxies
from crypto_core.log.redaction import cap
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import CodeNotEnteredError, CredentialsError, KmsUnreadableError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.credentials import ReadOnlyCredentials


LOOK_SECONDS = 1.0
"""How often at most the credentials' files are looked at, and a session that AWS refuses is built anew."""

BUILDING_SECONDS = 20.0
"""How long a call waits for a session that another one is building: a credential_process may hang."""

_LENT = "KEYDECK_LENT_ROLES"

_OF_A_ROLE = "assume-role"
"""botocore's name for credentials that STS gives for a role."""

_ROLES: dict[tuple[str | None, str, str], dict[str, Any]] = {}
"""The process's: what roles gave, by profile and files. A code serves all of its sessions."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Credentials as they are at one moment, and the number of the session that has them."""

    credentials: ReadOnlyCredentials = field(repr=False)
    session: int


class AwsSessions:
    """One session at a time. Thread-safe; boto3 is imported with the first."""

    def __init__(
        self,
        profile: str | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        ask_code: mfa_codes.AskCode = mfa_codes.nobody_to_ask,
    ) -> None:
        """`profile` is a name of AWS's configuration files; None leaves the search to boto3.

        `ask_code` is asked for the codes of MFA devices that the profile needs.
        """
        self.profile = profile
        self._clock = clock
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._prompter = mfa_codes.CodePrompter(profile or profile_of(os.environ), ask_code)
        self._roles = _roles_of(profile)
        self._not_entered: tuple[int, CodeNotEnteredError] | None = None
        self.number = 0
        """Counts the sessions: another number may mean other credentials."""
        self._session: Any = None
        self._clients: dict[tuple[str, str, str], BaseClient] = {}
        self._files = _stamp()
        self._looked_at = clock()
        self._dropped_at = -LOOK_SECONDS
        self._renewals = 0

    @property
    def renewals(self) -> int:
        """Counts the times that the credentials' files have changed."""
        self._look()
        return self._renewals

    def region(self) -> str | None:
        with self._building():
            return self._boto().get_config_variable("region")  # type: ignore[no-any-return]

    def client(
        self, service: str, region: str, endpoint_url: str | None, options: Mapping[str, Any]
    ) -> BaseClient:
        """Return the client for one service in one Region, with options of botocore's Config.

        Asks for a code where the credentials need one. Raises what boto3 raises, CredentialsError while
        another call waits for the credentials or without that code, and SettingsError for a proxy whose URL
        is ambiguous.
        """
        self._look()
        self._take_role()
        with self._building():
            wanted = (service, region, str(options.get("retries")))
            client = self._clients.get(wanted)
            if client is None:
                from botocore.config import Config

                require_clear_proxies()
                client = self._boto().create_client(
                    service, region_name=region, endpoint_url=endpoint_url, config=Config(**options)
                )
                signs_by_it(client)
                asks_once(client)
                self._clients[wanted] = client
            return client

    def access_key(self) -> AccessKey:
        """Return the credentials to sign with, renewed by botocore where they run out soon. Blocks.

        Raises what boto3 raises, NoCredentialsError where there are none, and CredentialsError as `client`.
        """
        from botocore.exceptions import NoCredentialsError

        self._look()
        self._take_role()
        with self._building():
            credentials, number = self._boto().get_credentials(), self.number
        if credentials is None:
            raise NoCredentialsError
        return AccessKey(credentials.get_frozen_credentials(), number)

    def authorities(self) -> str:
        from botocore.httpsession import get_cert_path
        from botocore.session import Session

        chosen = Session(profile=self.profile).get_config_variable("ca_bundle")
        return chosen or os.environ.get("REQUESTS_CA_BUNDLE") or str(get_cert_path(verify=True))

    def refused(self, session: int) -> bool:
        """Drop this session: AWS does not take its credentials, and the next call looks for them again.

        Returns True if what is found now may be better, so that the call is worth another try.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        with self._building():
            if session != self.number:
                return True
            now = self._clock()
            if now - self._dropped_at < LOOK_SECONDS:
                return False  # They were no better a moment ago.
            self._dropped_at = now
            before = self._session
            self._drop()
            self._roles.clear()
            _log.info("AWS rejected the credentials; looking for new ones.")
            if before is None:
                return False
            try:
                old, new = before.get_credentials(), self._boto().get_credentials()
            except (BotoCoreError, ClientError, OSError, ValueError, RuntimeError):
                return False  # The next call tells.
            others = new is not None and (_mark(old) is None or _mark(old) != _mark(new))
            if not others:
                self._session = None  # The next call looks again.
            return others

    def renewal(self) -> str:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            # Read anew: the session in use may be gone, or never have come about.
            profiles = Session().full_config["profiles"]
        except BotoCoreError:
            return "Fix AWS's configuration files, then renew the credentials in them."
        return renewal_instructions(profiles, os.environ, self.profile)

    def _look(self) -> None:
        with self._building():
            now = self._clock()
            if now - self._looked_at < LOOK_SECONDS:
                return
            self._looked_at = now
            files = _stamp()
            if files == self._files:
                return
            self._files = files
            self._renewals += 1
            self._drop()
        _log.info("AWS's configuration or credentials files have changed and are read again.")

    def _take_role(self) -> None:
        """Have a role's credentials. A code that they need is asked for once for all that wait for them."""
        while True:
            with self._building():
                credentials, number = self._boto().get_credentials(), self.number
            if credentials is None or credentials.method != _OF_A_ROLE:
                return
            with self._asking:
                if self._not_entered is not None and self._not_entered[0] == number:
                    before = self._not_entered[1]
                    raise CodeNotEnteredError(before.message, remedy=before.remedy)
                if number != self.number:
                    continue
                try:
                    taken = self._is_taken(credentials)
                except CodeNotEnteredError as error:
                    self._not_entered = (number, error)
                    raise
                if taken is None:
                    # Its text would hold the answer, and that may hold the credentials.
                    raise KmsUnreadableError("What answered AssumeRole is not AWS.", operation="AssumeRole")
                if taken:
                    return
                with self._building():
                    self._drop()

    def _is_taken(self, credentials: Any) -> bool | None:
        """Whether a role's credentials are there; False where another code is needed.

        None for an answer that is not AWS's. Raises what boto3 raises, CodeNotEnteredError.
        """
        from botocore.exceptions import ClientError, RefreshWithMFAUnsupportedError
        from botocore.parsers import ResponseParserError

        try:
            credentials.get_frozen_credentials()
        except RefreshWithMFAUnsupportedError:
            self._prompter.trouble = ""  # The role's session ended: a new one takes a new code.
            return False
        except ClientError as error:
            self._prompter.trouble = mfa_codes.refused_code(error)
            if self._prompter.trouble:
                return False
            raise
        except ResponseParserError:
            return None
        self._prompter.trouble = ""
        return True

    def _drop(self) -> None:
        self._session, self._clients = None, {}
        self.number += 1

    @contextmanager
    def _building(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=BUILDING_SECONDS):
            raise CredentialsError("AWS credentials are still being fetched.", remedy=self.renewal())
        try:
            yield
        finally:
            self._lock.release()

    def _boto(self) -> Any:
        if self._session is None:
            cap_loggers()
            self._session = boto_session(self.profile, self._prompter)
        return self._session


def cap_loggers() -> None:
    """Keep what botocore would log of requests, answers and credentials out of every log."""
    cap(_BOTOCORE_LOGGERS, logging.INFO)
    cap(_CREDENTIALS_LOGGERS, logging.ERROR)


def boto_session(profile: str | None, prompter: mfa_codes.CodePrompter | None = None) -> Any:
    """Return a botocore session that reads no terminal, and has what roles gave to others of this profile.

    boto3's own would add but what is never used here, and it names itself as boto3's does: in CloudTrail the
    same principal must not appear with other software from one version to the next. Without a `prompter`
    nobody is asked for codes. Raises what botocore raises.
    """
    from importlib.metadata import version

    from botocore.session import Session

    from crypto_core.aws.service_models import ServiceModels

    session = Session(profile=profile)
    session.user_agent_extra = f"Botocore/{session.user_agent_version}"
    session.user_agent_name, session.user_agent_version = "Boto3", version("boto3")
    session.get_component("data_loader").file_loader = ServiceModels()
    prompter = prompter or mfa_codes.CodePrompter(profile or profile_of(os.environ), mfa_codes.nobody_to_ask)
    mfa_codes.keep_off_the_terminal(session, prompter, _roles_of(profile))
    return session


def lent_roles(profile: str | None) -> dict[str, str]:
    """Return environment variables by which a further process has what roles gave to this one.

    It has no terminal to be asked for a code on. Empty where no role gave anything.
    """
    roles = _ROLES.get((profile, *_configured_files()))
    if not roles:
        return {}
    return {_LENT: json.dumps({"profile": profile, "roles": dict(roles)}, default=datetime.isoformat)}


def _roles_of(profile: str | None) -> dict[str, Any]:
    return _ROLES.setdefault((profile, *_configured_files()), _borrowed(profile))


def _borrowed(profile: str | None) -> dict[str, Any]:
    """What the process that started this one has lent, for its profile alone."""
    try:
        lent = json.loads(os.environ.get(_LENT, "{}"))
        return dict(lent["roles"]) if lent["profile"] == profile else {}
    except (ValueError, TypeError, LookupError):
        return {}


def _mark(credentials: Any) -> str | None:
    """Tells credentials from others; None where they are fetched only when they are needed."""
    from botocore.credentials import Credentials, RefreshableCredentials

    if not isinstance(credentials, Credentials) or isinstance(credentials, RefreshableCredentials):
        return None
    told = f"{credentials.access_key}\n{credentials.secret_key}\n{credentials.token}"
    return hashlib.sha256(told.encode()).hexdigest()


def _stamp() -> tuple[tuple[str, int, int], ...]:
    home = _expanded("~/.aws")
    files = [*map(_expanded, _configured_files())]
    # Where botocore finds what `aws sso login` and `aws login` left.
    for folder in (home / "sso" / "cache", home / "login" / "cache"):
        try:
            files += sorted(folder.iterdir())
        except OSError:
            continue
    stamps = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        if S_ISREG(status.st_mode):
            stamps.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(stamps)


def _configured_files() -> tuple[str, str]:
    return (
        os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config",
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
    )


def _expanded(path: str) -> Path:
    # As botocore does; Path.expanduser raises for a user without a home.
    return Path(os.path.expanduser(path))  # noqa: PTH111


_BOTOCORE_LOGGERS = (
    "botocore",
    "botocore.auth",
    "botocore.awsrequest",
    "botocore.client",
    "botocore.endpoint",
    "botocore.hooks",
    "botocore.httpsession",
    "botocore.parsers",
    "botocore.regions",
    "botocore.retries.adaptive",
    "botocore.retries.standard",
    "botocore.retryhandler",
    "urllib3.connectionpool",
)
"""botocore logs requests and responses, which hold data keys, at DEBUG."""

_CREDENTIALS_LOGGERS = ("botocore.credentials", "botocore.tokens")
"""botocore warns, with a stack, of what ends in an error of ours all the same."""


Profiles = Mapping[str, Mapping[str, Any]]

_LONGEST_CHAIN = 5
"""Profiles that take on roles by way of other profiles; AWS's own tools follow as many as there are."""


def renewal_instructions(profiles: Profiles, environment: Mapping[str, str], chosen: str | None) -> str:
    """Return one sentence that says what renews the credentials.

    `profiles` is what the configuration and credentials files say, by profile; `chosen` the profile that was
    named outright, None where boto3 looks for credentials itself.
    """
    if chosen is None and environment.get("AWS_ACCESS_KEY_ID"):
        return _of_the_environment(environment)
    named = chosen or profile_of(environment)
    if named not in profiles and not chosen:
        return _without_a_profile(environment)
    return _of_the_profile(profiles, environment, named, _LONGEST_CHAIN)


def profile_of(environment: Mapping[str, str]) -> str:
    """Return the profile that boto3 takes where none was named outright."""
    return environment.get("AWS_DEFAULT_PROFILE") or environment.get("AWS_PROFILE") or "default"


def _of_the_environment(environment: Mapping[str, str]) -> str:
    part = "AWS_SESSION_TOKEN" if environment.get("AWS_SESSION_TOKEN") else "AWS_ACCESS_KEY_ID"
    return (
        f"The credentials are in Keydeck's own environment ({part}): export new ones, or set AWS_PROFILE, and"
        " start Keydeck again."
    )


def _without_a_profile(environment: Mapping[str, str]) -> str:
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return f"Renew the token in {clean(environment['AWS_WEB_IDENTITY_TOKEN_FILE'], 300)}."
    return "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."


def _of_the_profile(profiles: Profiles, environment: Mapping[str, str], name: str, links: int) -> str:
    profile = profiles.get(name, {})
    label = clean(name, 100)
    called = f"profile {label}"
    if profile.get("role_arn"):
        if profile.get("web_identity_token_file"):
            return f"Renew the token of {called} in {clean(profile['web_identity_token_file'], 300)}."
        source = profile.get("source_profile")
        if source and links and source != name:
            further = _of_the_profile(profiles, environment, str(source), links - 1)
            return f"Profile {label} takes its role by way of profile {clean(source, 100)}. {further}"
        if profile.get("credential_source") == "Environment":
            return _of_the_environment(environment)
        if not source:
            where = clean(profile.get("credential_source"), 60) or "nowhere"
            return f"Profile {label} takes its role with the credentials of {where}: renew those."
    if profile.get("sso_session") or profile.get("sso_start_url"):
        return f"Sign in again: aws sso login --profile {_quoted(name)}"
    if profile.get("aws_access_key_id"):
        file = _file(environment)
        if profile.get("aws_session_token"):
            return f"Renew aws_session_token, and the keys that belong to it, of {called} in {file}."
        return f"Put an access key that is valid into {called} in {file}."
    if profile.get("login_session"):
        return f"Sign in again: aws login --profile {_quoted(name)}"
    if profile.get("credential_process"):
        # Its arguments may be secret.
        program = clean(str(profile["credential_process"]).split(maxsplit=1)[0], 200)
        return f"Renew what {program} signs in with, the credential_process of {called}."
    return f"Give {called} credentials in {_file(environment)}, or change to another profile."


def _file(environment: Mapping[str, str]) -> str:
    return clean(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", 300)


def _quoted(name: str) -> str:
    return clean(shlex.quote(name), 120)
