"""AWS KMS over boto3: time limits, the read-only allow-list, and every failure as an error of ours.

Beside KMS, AWS is asked who the caller is, and what CloudTrail recorded: by its API, in its bucket, or by
Athena. With the same credentials, time limits and errors.

API reference: https://docs.aws.amazon.com/kms/latest/APIReference/ ("Errors" of each operation and
"Common Errors"). Retries are botocore's: throttling and transient errors only, with jittered backoff.
Credentials that AWS no longer takes are looked for again, so that renewed ones are found by themselves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crypto_core.aws import clock as aws_clock
from crypto_core.aws.failures import (
    SERVICES,
    error_from_exception,
    error_from_response,
    lacks_service,
    unreadable,
)
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.aws.receipts.call_subject import note_answer, note_call
from crypto_core.aws.service_endpoint import ServiceEndpoint
from crypto_core.aws.sessions import AccessKey, AwsSessions
from crypto_core.guard.held_step import require_held
from crypto_core.log.observation import SILENT, ObservedCall, Observer
from crypto_core.values import errors
from crypto_core.values.clean_text import CleanText, clean

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from crypto_core.aws.receipts.recorder import ReceiptRecorder

READ_ONLY_OPERATIONS = frozenset(
    {
        "Decrypt",
        "DescribeCustomKeyStores",
        "DescribeKey",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GetParametersForImport",
        "GetPublicKey",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
        "ListKeys",
        "ListResourceTags",
        "ListRetirableGrants",
        "Verify",
        "VerifyMac",
    }
)
"""All that KMS is asked in read-only mode. Decrypt changes nothing in KMS or in the database.

Sign and GenerateMac change nothing either, but a signature speaks for whoever has it: none is made then.
"""

REHEARSABLE_OPERATIONS = frozenset({"GenerateDataKey", "GenerateMac", "ReEncrypt", "Sign"})
"""What read-only mode lets pass with `DryRun`: KMS checks permission and state and does nothing."""

READ_OPERATIONS: Mapping[str, frozenset[str]] = {
    "cloudtrail": frozenset(
        {
            "DescribeTrails",
            "GetEventSelectors",
            "GetTrailStatus",
            "ListPublicKeys",
            "LookupEvents",
        }
    ),
    "s3": frozenset(
        {
            "GetBucketAcl",
            "GetBucketLocation",
            "GetBucketLogging",
            "GetBucketPolicyStatus",
            "GetObject",
            "GetPublicAccessBlock",
            "HeadObject",
            "ListObjectVersions",
            "ListObjectsV2",
        }
    ),
    "s3control": frozenset({"GetPublicAccessBlock"}),
    "iam": frozenset({"GetAccountAuthorizationDetails"}),
    "athena": frozenset(
        {
            "GetQueryExecution",
            "GetQueryResults",
            "GetTableMetadata",
            "StartQueryExecution",
            "StopQueryExecution",
        }
    ),
}

WRITE_OPERATIONS: Mapping[str, frozenset[str]] = {"s3": frozenset({"PutObject"})}

WRITES_RESULTS = frozenset({"StartQueryExecution", "StopQueryExecution"})
"""Athena writes a query's result to S3, so read-only mode refuses it."""

_KEY_PARAMETERS = ("KeyId", "SourceKeyId", "DestinationKeyId", "TargetKeyId")

SENT_ONCE = frozenset({"CreateKey", "LookupEvents", "RotateKeyOnDemand", "StartQueryExecution"})
"""What is not sent again by itself: an answer that was lost would cost a second key, rotation or query.

LookupEvents has so small a quota that whoever asks keeps the pace, and tells when AWS asks to wait.
"""

_IDENTITY_OPTIONS: dict[str, Any] = {
    "connect_timeout": 2.0,
    "read_timeout": 3.0,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}
"""Who the caller is decides nothing; where only KMS has an endpoint, STS must not be waited for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says the caller is (sts:GetCallerIdentity)."""

    account: CleanText
    arn: CleanText


@dataclass(frozen=True, slots=True)
class CredentialRefusal:
    """AWS does not take the credentials. `remedy` is what renews them."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class KmsGround:
    """How KMS is reached in one Region, as botocore's configuration has it. Time limits are in seconds."""

    region: str
    endpoint_url: str
    authorities: str
    """File or folder of the certificate authorities that are trusted."""
    proxy: str | None
    user_agent: str
    connect_timeout: float
    read_timeout: float


class KmsApi:
    """KMS in one or more Regions. Thread-safe; boto3 is imported at the first call."""

    def __init__(
        self,
        regions: Sequence[str] = (),
        *,
        profile: str | None = None,
        read_only: bool = False,
        endpoint_url: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        attempts: int = 3,
        connections: int = 32,
        observer: Observer = SILENT,
        ask_code: AskCode = nobody_to_ask,
        receipts: ReceiptRecorder | None = None,
    ) -> None:
        """`regions` in the order they are asked, the first being the default; empty means boto3's own.

        `profile` is a name of AWS's configuration files; None leaves the search for credentials to boto3.
        Time limits are in seconds, for one attempt. `endpoint_url` is for tests; AWS_ENDPOINT_URL is read by
        boto3. `observer` is told of every call of KMS. `ask_code` is asked for the codes of MFA devices.
        `receipts` writes down each call that brings a data key.
        """
        self._configured = tuple(dict.fromkeys(regions))
        self.read_only = read_only
        self._endpoint_url = endpoint_url
        self.attempts = attempts
        self._options: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "max_pool_connections": connections,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "user_agent_appid": "keydeck",
        }
        self._observer = observer
        self.receipts = receipts
        self._lock = threading.Lock()
        self.calls = 0
        """KMS calls that have been made, retries not counted."""
        self._sessions = AwsSessions(profile, ask_code=ask_code)
        self.refusal: CredentialRefusal | None = None
        """Why AWS does not take the credentials; None again once a call has succeeded."""

    @property
    def regions(self) -> tuple[str, ...]:
        """The Regions that are asked, the default first. Raises SettingsError where none is configured."""
        if self._configured:
            return self._configured
        from botocore.exceptions import BotoCoreError

        try:
            # AWS's other SDKs read AWS_REGION; boto3 reads AWS_DEFAULT_REGION and the profile.
            region = os.environ.get("AWS_REGION") or self._sessions.region()
        except BotoCoreError as error:
            raise error_from_exception(error, "", ()) from error
        if not region:
            raise errors.SettingsError(
                "No AWS Region is configured.", remedy="Set AWS_REGION or KEYDECK_REGIONS."
            )
        return (region,)

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Return KMS's answer to one API operation, named as in the API reference (`DescribeKey`).

        Raises ReadOnlyError before anything is sent; for a change by a step of an incident StepLostError and
        DatabaseError, too; else the KmsError that tells the failure apart.
        """
        rehearses = operation in REHEARSABLE_OPERATIONS and parameters.get("DryRun") is True
        allowed = operation in READ_ONLY_OPERATIONS or rehearses
        if self.read_only and not allowed:
            raise errors.ReadOnlyError(f"kms:{operation} is refused: Keydeck is in read-only mode.")
        if not allowed:
            require_held()
        with self._lock:
            self.calls += 1
        where = region or self.regions[0]
        with ObservedCall(self._observer, operation):
            try:
                answer = self._send("kms", operation, where, parameters)
            except (errors.KmsUnreachableError, errors.KmsUnreadableError):
                note_call(self.receipts, operation, "", self.attempts)
                raise
        note_answer(self.receipts, operation, answer)
        return answer

    def listed(
        self, operation: str, items: str, *, region: str | None = None, **parameters: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield what a List operation has in the field `items`, page by page. Raises as `call`."""
        marker: dict[str, str] = {}
        while True:
            answer = self.call(operation, region=region, **parameters, **marker)
            yield from answer.get(items, [])
            if not answer.get("Truncated") or not answer.get("NextMarker"):
                return
            marker = {"Marker": str(answer["NextMarker"])}

    @property
    def session(self) -> int:
        """Counts the boto3 sessions: with another one, credentials and identity may be others too."""
        return self._sessions.number

    @property
    def renewals(self) -> int:
        """Counts the changes of AWS's configuration and credentials files. Looks at most once a second."""
        return self._sessions.renewals

    def identity(self) -> Identity:
        """Return who the caller is. Raises KmsError."""
        answer = self._send("sts", "GetCallerIdentity", self.regions[0], {})
        return Identity(account=clean(answer.get("Account")), arn=clean(answer.get("Arn")))

    def read(self, service: str, operation: str, *, region: str, **parameters: Any) -> dict[str, Any]:
        """Return a service's answer to one of its `READ_OPERATIONS`, in one Region.

        Raises ReadOnlyError for any other operation, and in read-only mode for `WRITES_RESULTS`, before
        anything is sent; else KmsError.
        """
        if operation not in READ_OPERATIONS.get(service, ()):
            raise errors.ReadOnlyError(
                f"{service}:{operation} is refused: Keydeck only reads what CloudTrail recorded.",
                remedy="Change trails, buckets and tables with AWS's own tools.",
            )
        if self.read_only and operation in WRITES_RESULTS:
            raise errors.ReadOnlyError(
                f"{service}:{operation} is refused: read only, and Athena writes its results to S3.",
                remedy="Start Keydeck without --read-only, or read the trail's bucket: --from s3.",
            )
        return self._send(service, operation, region, parameters)

    def write(self, service: str, operation: str, *, region: str, **parameters: Any) -> dict[str, Any]:
        """Return a service's answer to one of its `WRITE_OPERATIONS`, in one Region.

        Raises ReadOnlyError for any other, and in read-only mode, before anything is sent; else KmsError.
        """
        if self.read_only or operation not in WRITE_OPERATIONS.get(service, ()):
            raise errors.ReadOnlyError(f"{service}:{operation} is refused.")
        return self._send(service, operation, region, parameters)

    def endpoint(self, service: str, region: str) -> ServiceEndpoint:
        """Return where a service is reached in a Region. Asks nobody. Raises KmsError."""
        from botocore.utils import get_environ_proxies

        with self._translated("", service):
            url = str(self._client(service, region).meta.endpoint_url)
            proxy = get_environ_proxies(url).get(url.partition(":")[0])
            return ServiceEndpoint(service, region, url, self._sessions.authorities(), proxy)

    def endpoints(self, regions: Sequence[str]) -> tuple[ServiceEndpoint, ...]:
        """Return where AWS is reached, the first Region's KMS first. Asks nobody. Raises KmsError."""
        asked = [(service, region) for region in regions for service in ("kms", "cloudtrail")]
        asked += [(service, region) for region in regions[:1] for service in ("sts", "s3")]
        return tuple(self.endpoint(service, region) for service, region in asked)

    def ground(self, region: str) -> KmsGround:
        """Return how KMS is reached in a Region without boto3. Raises KmsError."""
        endpoint = self.endpoint("kms", region)
        with self._translated(""):
            meta = self._client("kms", region).meta
            return KmsGround(
                region=meta.region_name,
                endpoint_url=endpoint.url,
                authorities=endpoint.authorities,
                proxy=endpoint.proxy,
                user_agent=str(meta.config.user_agent),  # type: ignore[attr-defined]
                connect_timeout=float(self._options["connect_timeout"]),
                read_timeout=float(self._options["read_timeout"]),
            )

    def access_key(self) -> AccessKey:
        """Return the credentials to sign with, renewed ahead of time. Blocks for seconds. Raises KmsError."""
        with self._translated(""):
            return self._sessions.access_key()

    def database_token(self, host: str, port: int, user: str, region: str | None = None) -> str:
        """Return a password for one login at RDS, for 15 minutes; without `region` for the default one.

        It is signed here, and AWS isn't asked, unless for credentials. Raises KmsError, SettingsError.
        """
        where = region or self.regions[0]
        with self._translated("rds-db:connect"):
            client: Any = self._client("rds", where)
            return str(client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user))

    def refused(self, session: int) -> bool:
        """Look for credentials again: AWS does not take those of this session. True if others were found."""
        return self._sessions.refused(session)

    def renewal(self) -> CleanText:
        """Return a sentence that says what renews the credentials."""
        return clean(self._sessions.renewal(), 2_000)

    @contextmanager
    def _translated(self, operation: str, service: str = "kms") -> Iterator[None]:
        try:
            with _translated(operation, service=service):
                yield
        except errors.CredentialsError as error:
            if not isinstance(error, errors.CodeNotEnteredError):
                error.remedy = self.renewal()
            raise

    def give_up(self, error: errors.CredentialsError) -> None:
        """Remember that AWS does not take the credentials, and tell in the error what renews them."""
        error.remedy = self.renewal()
        self.refusal = CredentialRefusal(error.message, error.remedy)

    def _send(self, service: str, operation: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Ask AWS; where it refuses the credentials and there are others by now, once more with those.

        So too where it refuses a signature for its time, by AWS's clock.
        """
        tries, corrections = 2, 2
        while True:
            session, offset = self._sessions.number, aws_clock.CLOCK.offset
            tries -= 1
            try:
                answer = self._ask(service, operation, region, parameters)
            except errors.CodeNotEnteredError as error:
                self.refusal = CredentialRefusal(error.message, error.remedy)
                raise
            except errors.CredentialsError as error:
                refusal = getattr(error.__cause__, "response", None)
                if corrections and aws_clock.CLOCK.corrected(refusal, offset):
                    tries, corrections = tries + 1, corrections - 1
                    continue
                if tries and self._sessions.refused(session):
                    continue
                self.give_up(error)
                raise
            self.refusal = None
            return answer

    def _ask(self, service: str, operation: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        keys = [str(parameters[name]) for name in _KEY_PARAMETERS if parameters.get(name)]
        answer: dict[str, Any] | None
        with _translated(operation, keys, service):
            client = self._client(service, region, once=operation in SENT_ONCE)
            call = getattr(client, xform_name(operation), None)
        if call is None:
            raise errors.KmsRequestError(
                f"The installed boto3 does not know {operation}.",
                operation=operation,
                remedy="Upgrade boto3.",
            )
        with _translated(operation, keys, service):
            try:
                answer = call(**parameters)
            except ClientError as error:
                aws_clock.CLOCK.observe(error.response)
                if lacks_service(error.response, service) and self._answers_for_kms(client):
                    raise _only_kms(service, operation) from error
                raise
            except BotoCoreError:
                raise  # some of these are ValueErrors, too
            except (ResponseParserError, ValueError, TypeError, AttributeError, LookupError):
                # botocore's parsers choke on what is no answer of AWS's, and their exceptions carry it. It
                # may hold a data key, so they end here and are no context of an error that is logged.
                answer = None
        if answer is None and self._answers_for_kms(client):
            raise _only_kms(service, operation)
        if answer is None:
            raise errors.KmsUnreadableError(
                f"What answered {operation} is not AWS.",
                operation=operation,
                key=keys[0] if keys else "",
                remedy="Check AWS_ENDPOINT_URL and the proxy.",
            )
        aws_clock.CLOCK.observe(answer)
        return answer

    def _answers_for_kms(self, client: BaseClient) -> bool:
        """Whether another service is asked where KMS is, which AWS_ENDPOINT_URL does and AWS never has."""
        meta = client.meta
        if meta.service_model.service_name == "kms":
            return False
        return bool(self._client("kms", meta.region_name).meta.endpoint_url == meta.endpoint_url)

    def _client(self, service: str, region: str, *, once: bool = False) -> BaseClient:
        options = self._options | (_IDENTITY_OPTIONS if service == "sts" else {})
        if once:
            options = options | {"retries": {"mode": "standard", "total_max_attempts": 1}}
        return self._sessions.client(service, region, self._endpoint_url, options)


def _only_kms(service: str, operation: str) -> errors.MissingOperationError:
    return errors.MissingOperationError(
        f"This endpoint does not have {operation}: {SERVICES.get(service, service)} is asked at that of KMS"
        " (AWS_ENDPOINT_URL).",
        operation=operation,
        remedy="If it has only KMS, name it by AWS_ENDPOINT_URL_KMS instead of AWS_ENDPOINT_URL.",
    )


@contextmanager
def _translated(operation: str, keys: Sequence[str] = (), service: str = "kms") -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise error_from_response(error.response, operation, keys, service) from error
    except BotoCoreError as error:
        raise error_from_exception(error, operation, keys) from error
    except ValueError as error:
        raise errors.SettingsError(
            f"AWS configuration: {clean(error, 300)}.", remedy="Check AWS_ENDPOINT_URL."
        ) from error
    except OSError as error:
        raise unreadable(error, operation) from error
    except RuntimeError as error:
        # What botocore says of credentials that were fetched anew and had run out by then.
        if "expired" not in str(error):
            raise
        raise errors.CredentialsExpiredError("The AWS session has expired.", operation=operation) from error
