"""Signing in to IAM Identity Center (SSO) with a code that is confirmed in a browser: `aws sso login`'s way.

OAuth 2.0 Device Authorization Grant (RFC 8628) with AWS's sso-oidc (API reference: RegisterClient,
StartDeviceAuthorization, CreateToken). What comes of it goes into the file in which botocore and the AWS CLI
look for it, in their form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crypto_core.aws.failures import error_from_exception, error_from_response
from crypto_core.aws.sessions import cap_loggers
from crypto_core.errors import KmsError, KmsUnreadableError, SettingsError, SignInError
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

if TYPE_CHECKING:
    from botocore.client import BaseClient

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_SECONDS = 5.0
"""What "slow down" adds to the time between two questions (RFC 8628, 3.5)."""
DEFAULT_INTERVAL_SECONDS = 5.0
LONGEST_INTERVAL_SECONDS = 60.0
_LONGEST_CHAIN = 5
_FAILED = 500
"""From this status on, HTTP says that the server failed."""
_PASSED_OVER = ("AuthorizationPendingException", "SlowDownException")
_ENDS = {
    "ExpiredTokenException": "The code has expired before it was confirmed.",
    "AccessDeniedException": "It was denied in the browser.",
}
_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 3.0,
    "read_timeout": 10.0,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


@dataclass(frozen=True, slots=True)
class SsoSettings:
    """Where a profile signs in, as AWS's configuration has it. `session` is the name of its sso-session."""

    start_url: str
    region: str
    session: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
@cleans(2_000)
class DeviceCode:
    """What the operator compares and confirms in a browser. Cleaned text."""

    address: CleanText
    code: CleanText
    link: CleanText = NO_TEXT
    """The address with the code in it, "" where AWS gave none; both are https and of one host."""
    expires: float = 0.0
    """When the code expires, by the login's clock, in seconds."""


def sso_settings(configuration: Mapping[str, Any], profile: str) -> SsoSettings | None:
    """Return where a profile signs in, or the one by way of which it takes its role; None where it doesn't.

    `configuration` is botocore's `full_config`.
    """
    profiles, sessions = configuration.get("profiles", {}), configuration.get("sso_sessions", {})
    for _ in range(_LONGEST_CHAIN):
        own = profiles.get(profile, {})
        name = own.get("sso_session")
        found = {**own, **sessions.get(name, {})} if name else own
        start_url, region = found.get("sso_start_url"), found.get("sso_region")
        if start_url and region:
            scopes = str(found.get("sso_registration_scopes") or "").split(",")
            return SsoSettings(
                str(start_url), str(region), name, tuple(s.strip() for s in scopes if s.strip())
            )
        if not own.get("source_profile"):
            return None
        profile = str(own["source_profile"])
    return None


def token_folder() -> Path:
    """Return the folder in which botocore and the AWS CLI keep such tokens."""
    return Path(os.path.expanduser("~/.aws/sso/cache"))  # noqa: PTH111  # as botocore does


def is_signed_in(settings: SsoSettings, folder: Path | None = None, *, now: datetime | None = None) -> bool:
    """Return whether there is a token that has not expired, or one that botocore can renew by itself."""
    from botocore.exceptions import SSOTokenLoadError

    moment = now or datetime.now(UTC)
    try:
        token = _loader(folder)(settings.start_url, session_name=settings.session)
        renewable = settings.session and token.get("refreshToken")
        return _ends_at(token, "expiresAt") > moment or bool(
            renewable and _ends_at(token, "registrationExpiresAt") > moment
        )
    except (SSOTokenLoadError, OSError, ValueError, TypeError, LookupError, AttributeError):
        return False  # No file, or nothing in it that is a token.


@dataclass(eq=False, repr=False)
class DeviceLogin:
    """One sign-in of a profile. Blocks on AWS."""

    profile: str
    settings: SsoSettings
    folder: Path | None = None
    clock: Callable[[], float] = monotonic
    pause: Callable[[Event, float], bool] = Event.wait
    """Waits so many seconds at most, and returns whether the event was set."""
    _registered: Mapping[str, Any] = field(default_factory=dict, init=False)
    _started: Mapping[str, Any] = field(default_factory=dict, init=False)

    def begin(self) -> DeviceCode:
        """Ask AWS for a code. Raises SignInError, KmsError, SettingsError."""
        client = {"clientName": "keydeck", "clientType": "public"}
        scopes = {"scopes": list(self.settings.scopes)} if self.settings.scopes else {}
        self._registered = self._ask("register_client", **client, **scopes)
        self._started = self._ask(
            "start_device_authorization", **self._secret(), startUrl=self.settings.start_url
        )
        address, link = (
            _checked(self._started.get(name)) for name in ("verificationUri", "verificationUriComplete")
        )
        if not address or not self._started.get("deviceCode"):
            raise SignInError(
                f"AWS gave no https address for the sign-in of profile {clean(self.profile, 100)}.",
                remedy="Check AWS_ENDPOINT_URL_SSO_OIDC: what answers there is not AWS.",
            )
        same = urlsplit(address).netloc == urlsplit(link).netloc
        lasts = float(self._started.get("expiresIn") or 600)
        code = clean(self._started.get("userCode"), 60)
        return DeviceCode(clean(address), code, clean(link) if same else NO_TEXT, self.clock() + lasts)

    def wait(self, code: DeviceCode, cancelled: Event) -> bool:
        """Ask for the token until the code is confirmed, and keep it; False once `cancelled` is set.

        Raises SignInError where it was denied or has expired, KmsError, SettingsError.
        """
        interval = max(float(self._started.get("interval") or DEFAULT_INTERVAL_SECONDS), 1.0)
        while not self.pause(cancelled, interval):
            if self.clock() >= code.expires:
                raise self._ended(_ENDS["ExpiredTokenException"])
            try:
                token = self._ask(
                    "create_token",
                    **self._secret(),
                    grantType=GRANT,
                    deviceCode=self._started["deviceCode"],
                )
            except _NotYetError as not_yet:
                interval += SLOWER_SECONDS if not_yet.slower else 0.0
            except KmsError as error:
                if not error.transient:
                    raise
                interval = min(interval * 2, LONGEST_INTERVAL_SECONDS)
            else:
                if cancelled.is_set():
                    return False
                self._keep(token)
                return True
        return False

    def _secret(self) -> dict[str, str]:
        return {name: str(self._registered.get(name, "")) for name in ("clientId", "clientSecret")}

    def _keep(self, token: Mapping[str, Any]) -> None:
        """Write the token where botocore and the AWS CLI look for it, readable by its owner alone."""
        if not token.get("accessToken"):
            raise KmsUnreadableError("What answered CreateToken is not AWS.", operation="CreateToken")
        ends = datetime.now(UTC) + timedelta(seconds=int(token.get("expiresIn") or 0))
        registration = datetime.fromtimestamp(int(self._registered.get("clientSecretExpiresAt") or 0), UTC)
        kept = {
            "startUrl": self.settings.start_url,
            "region": self.settings.region,
            "accessToken": token["accessToken"],
            "expiresAt": _in_utc(ends),
            **self._secret(),
            "registrationExpiresAt": _in_utc(registration),
        }
        if token.get("refreshToken"):
            kept["refreshToken"] = token["refreshToken"]
        folder = self.folder or token_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _loader(folder).save_token(self.settings.start_url, kept, session_name=self.settings.session)
        except OSError as error:
            raise SignInError(
                f"The sign-in can't be kept in {clean(folder, 300)}: {clean(error.strerror, 200)}.",
                remedy="Make the folder writable for yourself, then sign in again.",
            ) from error

    def _ask(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """One call. Raises _NotYetError while the operator has not confirmed, SignInError, KmsError."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        answer: Mapping[str, Any] | None
        try:
            answer = getattr(self._client(), operation)(**parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _PASSED_OVER:
                raise _NotYetError(slower=code == "SlowDownException") from None
            if code in _ENDS:
                raise self._ended(_ENDS[code]) from None
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _FAILED:
                raise error_from_response(error.response, error.operation_name, (), "sso-oidc") from None
            said = clean(error.response.get("error_description") or code, 300)
            raise self._ended(f"AWS refused {error.operation_name} ({said}).") from None
        except BotoCoreError as error:
            raise error_from_exception(error, operation, ()) from None
        except (ResponseParserError, ValueError, TypeError, AttributeError, LookupError):
            answer = None  # An answer that can't be read may hold a token: it is quoted nowhere.
        if answer is None:
            raise KmsUnreadableError("What answered at sso-oidc is not AWS.", operation=operation)
        return answer

    def _client(self) -> BaseClient:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.session import Session

        cap_loggers()
        config = Config(signature_version=UNSIGNED, region_name=self.settings.region, **_OPTIONS)
        client: BaseClient = Session(profile=self.profile).create_client("sso-oidc", config=config)
        return client

    def _ended(self, why: str) -> SignInError:
        return SignInError(f"Profile {clean(self.profile, 100)} is not signed in. {why}")


class _NotYetError(Exception):
    """The operator has not confirmed the code; `slower` if AWS wants to be asked less often."""

    def __init__(self, *, slower: bool) -> None:
        super().__init__()
        self.slower = slower


def login_of(profile: str) -> DeviceLogin:
    """Return the sign-in of a profile. Raises SettingsError for one that does not sign in this way."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        settings = sso_settings(Session().full_config, profile)
    except BotoCoreError as error:
        raise error_from_exception(error, "", ()) from error
    if settings is None:
        raise SettingsError(
            f"Profile {clean(profile, 100)} does not sign in by IAM Identity Center.",
            remedy="Give it sso_session or sso_start_url in AWS's configuration file: aws configure sso.",
        )
    return DeviceLogin(profile, settings)


def signed_out(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the profiles that sign in this way and are not signed in."""
    for profile in configuration.get("profiles", {}):
        settings = sso_settings(configuration, profile)
        if settings is not None and not is_signed_in(settings):
            yield profile


def _checked(address: Any) -> str:
    """An address that may be opened, "" for any other: https, of a host, without a user or a control sign."""
    text = str(address or "")
    if clean(text, 2_000) != text or any(c.isspace() for c in text) or not text.isascii():
        return ""
    try:
        parts = urlsplit(text)
        fine = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return ""
    return text if fine else ""


def _loader(folder: Path | None) -> Any:
    from botocore.utils import JSONFileCache, SSOTokenLoader

    return SSOTokenLoader(JSONFileCache(str(folder or token_folder())))


def _ends_at(token: Mapping[str, Any], name: str) -> datetime:
    # Some versions of the AWS CLI write UTC behind it.
    return datetime.fromisoformat(str(token[name]).replace("UTC", "+00:00"))


def _in_utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
