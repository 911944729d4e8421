"""AWS as Keydeck finds it: configuration, credentials, identity, clock, and what may be listed per Region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from threading import Event, Lock
from typing import Any

from crypto_core.aws.failures import error_from_exception
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.aws.sessions import boto_session
from crypto_core.diagnosis.check import (
    CLOCK_REMEDY,
    Check,
    CheckOutcome,
    Clock,
    Topic,
    clock_check,
    system_clock,
)
from crypto_core.providers.endpoints import is_loopback
from crypto_core.values import errors

AREA = "AWS"
_CONFIGURATION, _REST = Topic(AREA, "configuration"), Topic(AREA, "the rest")

_SKEW_SECONDS = (60.0, 300.0)
"""AWS refuses a signature that is more than five minutes off (IAM User Guide, "Signature Version 4")."""

_EXPIRES_SOON = timedelta(minutes=15)

LISTED = ("ListKeys", "ListAliases")
"""What is asked of a Region, and of no key."""

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws")

_SKEW_WORDS = ("Signature expired", "Signature not yet current", "RequestTimeTooSkewed", "RequestExpired")

_METHODS = {
    "env": "environment variables",
    "shared-credentials-file": "the shared credentials file",
    "custom-process": "a credential process",
    "config-file": "AWS's configuration file",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity",
    "sso": "IAM Identity Center (SSO)",
    "container-role": "the container's role",
    "iam-role": "the instance's role",
    "login": "aws login",
}
"""botocore's names for where credentials come from."""


@dataclass(frozen=True, slots=True)
class AwsPlace:
    """Which AWS to look at: as in the settings."""

    regions: tuple[str, ...] = ()
    profile: str | None = None
    write_key: str | None = None
    trusted_keys: tuple[str, ...] = ()
    read_only: bool = False
    ask_code: AskCode = nobody_to_ask


class Apis:
    """One KmsApi a Region, read only and with short time limits, made when first asked for. Thread-safe."""

    def __init__(self, place: AwsPlace) -> None:
        self._place = place
        self._lock = Lock()
        self._made: dict[tuple[str, ...], KmsApi] = {}

    @property
    def regions(self) -> tuple[str, ...]:
        """The Regions that Keydeck asks, the default first. Raises SettingsError."""
        return self._of(self._place.regions).regions

    def of(self, region: str) -> KmsApi:
        """Return KMS in one Region, which is the default of every call."""
        return self._of((region,))

    def _of(self, regions: tuple[str, ...]) -> KmsApi:
        with self._lock:
            if regions not in self._made:
                # Read only whatever the settings say: a diagnosis changes nothing.
                self._made[regions] = KmsApi(
                    regions,
                    profile=self._place.profile,
                    read_only=True,
                    connect_timeout=2.0,
                    read_timeout=3.0,
                    attempts=2,
                    ask_code=self._place.ask_code,
                )
            return self._made[regions]


def look_at_aws(place: AwsPlace, apis: Apis, stop: Event, clock: Clock = system_clock) -> Iterator[Check]:
    """Yield the checks of AWS apart from single keys. Changes nothing."""
    try:
        regions = apis.regions
        session = _session(place)
    except errors.KeydeckError as error:
        yield _CONFIGURATION.failed_by(error)
        yield _REST.skipped("Not asked: AWS's configuration can't be used.")
        return
    profile = f"profile {place.profile}" if place.profile else "no profile named"
    yield _CONFIGURATION.ok(f"Regions: {', '.join(regions)}; {profile}.")
    yield Topic(AREA, "endpoint").by(partial(_endpoint, apis.of(regions[0]), regions))
    if stop.is_set():
        return
    credentials = Topic(AREA, "credentials").by(partial(_credentials, session, apis.of(regions[0]), clock()))
    yield credentials
    if credentials.outcome is CheckOutcome.FAILED:
        yield _REST.skipped("Not asked: there are no credentials to ask with.")
        return
    if stop.is_set():
        return
    yield _identity(apis.of(regions[0]))
    answered: _Answered | None = None
    for region in regions:
        for operation in LISTED:
            if stop.is_set():
                return
            found = _list(apis.of(region), operation, region, clock)
            yield found.check
            answered = found if found.aws_time is not None and answered is None else answered
            if found.unreachable:
                break
    yield _clock(answered)


def _session(place: AwsPlace) -> Any:
    """A session to read the configuration and the credentials with. Raises KmsError, SettingsError."""
    from botocore.exceptions import BotoCoreError

    try:
        return boto_session(place.profile)
    except BotoCoreError as error:
        raise error_from_exception(error, "", ()) from error


def _endpoint(api: KmsApi, regions: Sequence[str], topic: Topic) -> Check:
    endpoints = api.endpoints(regions)
    first = endpoints[0]
    said = f"{first.url} instead of AWS's own (AWS_ENDPOINT_URL or endpoint_url in AWS's configuration)."
    if first.place[0].endswith(_AWS_HOSTS):
        said = f"{first.url}: AWS's own."
    plain = dict.fromkeys(
        one.url for one in endpoints if not one.is_encrypted and not is_loopback(one.place[0])
    )
    if plain:
        said += f" Not encrypted, so that data keys and records can be read on the way: {', '.join(plain)}."
        return topic.warning(said, "Use https URLs.")
    return topic.ok(said)


def _credentials(session: Any, api: KmsApi, now: datetime, topic: Topic) -> Check:
    """Where credentials come from and how long they last. Reading them may ask SSO or a role's service."""
    found = session.get_credentials()
    if found is None:
        return topic.failed("boto3 finds no credentials.", errors.CredentialsError.default_remedy)
    try:
        api.access_key()  # It asks for a code where one is needed; then the session has it, too.
    except errors.CredentialsError as error:
        return topic.failed_by(error)
    frozen = found.get_frozen_credentials()
    source = _METHODS.get(found.method, str(found.method))
    if frozen.token is None:
        kind = "a long-lived access key" if frozen.access_key.startswith("AKIA") else "no session token"
        return topic.ok(f"From {source}: {kind}, {frozen.access_key}.")
    expires = getattr(found, "_expiry_time", None)
    if not isinstance(expires, datetime):
        return topic.ok(f"From {source}: temporary; its expiry is not known.")
    left = expires.astimezone(UTC) - now
    until = f"until {expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if left <= timedelta(0):
        return topic.failed(f"From {source}: expired, valid {until}.", api.renewal())
    if left < _EXPIRES_SOON:
        said = f"From {source}: valid only {until}, {left.total_seconds() / 60:.0f} min more."
        return topic.warning(said, f"Renew them before a long run. {api.renewal()}")
    return topic.ok(f"From {source}: temporary, valid {until}.")


def _identity(api: KmsApi) -> Check:
    topic = Topic(AREA, "identity")
    try:
        who = api.identity()
    except errors.CredentialsError as error:
        return topic.failed_by(error)
    except errors.KeydeckError as error:
        return topic.unknown(f"The AWS identity is not known: {error.message}", error.remedy)
    return topic.ok(f"{who.arn}, account {who.account}.")


@dataclass(frozen=True, slots=True)
class _Answered:
    check: Check
    unreachable: bool = False
    aws_time: datetime | None = None
    our_time: datetime | None = None
    skewed: bool = False
    """True if AWS refused the signature for its time."""


def _list(api: KmsApi, operation: str, region: str, clock: Clock) -> _Answered:
    topic = Topic(AREA, f"kms:{operation} in {region}")
    headers: Any = {}
    try:
        answer = api.call(operation, Limit=1)
    except errors.KmsError as error:
        now = clock()
        response = getattr(error.__cause__, "response", None) or {}
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        skewed = any(word in error.message for word in _SKEW_WORDS)
        if isinstance(error, errors.KmsAccessDeniedError):
            check = topic.warning(f"Denied: {error.action}. {error.message}", error.remedy)
            return _Answered(check, aws_time=_date(headers), our_time=now)
        if isinstance(error, errors.CredentialsError):
            check = topic.failed(error.message, CLOCK_REMEDY if skewed else error.remedy)
        elif isinstance(error, errors.KmsUnreachableError):
            check = topic.failed_by(error)
        else:
            check = topic.unknown(f"kms:{operation} is not known: {error.message}", error.remedy)
        return _Answered(check, not headers, _date(headers), now, skewed)
    except errors.KeydeckError as error:
        return _Answered(topic.failed_by(error), unreachable=True)
    now = clock()
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return _Answered(topic.ok("Allowed."), aws_time=_date(headers), our_time=now)


def _date(headers: Any) -> datetime | None:
    """The Date of an HTTP response (RFC 9110, 6.6.1), None without a usable one."""
    try:
        return parsedate_to_datetime(str(headers["date"])).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _clock(answered: _Answered | None) -> Check:
    topic = Topic(AREA, "clock")
    if answered is None or answered.aws_time is None or answered.our_time is None:
        return topic.unknown("Not known: no response from AWS carried a time.")
    # A Date has whole seconds.
    off_by = (answered.aws_time - answered.our_time).total_seconds() + 0.5
    consequence = "AWS refuses signatures that are more than 5 min off."
    check = clock_check(topic, "AWS", off_by, _SKEW_SECONDS, consequence=consequence)
    if answered.skewed and check.outcome is CheckOutcome.OK:
        return topic.failed("AWS refused a signature because of its time.", CLOCK_REMEDY)
    return check
