"""AWS KMS over boto3: time limits, the read-only allow-list, and every failure as an error of ours.

API reference: https://docs.aws.amazon.com/kms/latest/APIReference/ ("Errors" of each operation and
"Common Errors"). Retries are botocore's: throttling and transient errors only, with jittered backoff.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crypto_core.errors import (
    CredentialsError,
    CredentialsExpiredError,
    DryRunPassedError,
    IncorrectKeyError,
    InvalidCiphertextError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KeyUnavailableError,
    KmsAccessDeniedError,
    KmsDependencyTimeoutError,
    KmsError,
    KmsInternalError,
    KmsLimitError,
    KmsRequestError,
    KmsThrottledError,
    KmsUnreachableError,
    ReadOnlyError,
    SettingsError,
)
from crypto_core.foreign import clean
from crypto_core.loggers import cap
from crypto_core.observation import SILENT, Observer, observed_call

if TYPE_CHECKING:
    from botocore.client import BaseClient

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
    }
)
"""All that KMS is asked in read-only mode. Decrypt changes nothing in KMS or in the database."""

REHEARSABLE_OPERATIONS = frozenset({"GenerateDataKey", "ReEncrypt"})
"""What read-only mode lets pass with `DryRun`: KMS checks permission and state and does nothing."""

_ERRORS: dict[str, type[KmsError]] = {
    "AccessDenied": KmsAccessDeniedError,
    "AccessDeniedException": KmsAccessDeniedError,
    "DependencyTimeoutException": KmsDependencyTimeoutError,
    "DisabledException": KeyDisabledError,
    "DryRunOperationException": DryRunPassedError,
    "ExpiredToken": CredentialsExpiredError,
    "ExpiredTokenException": CredentialsExpiredError,
    "RequestExpired": CredentialsExpiredError,
    "IncompleteSignature": CredentialsError,
    "IncorrectKeyException": IncorrectKeyError,
    "InternalFailure": KmsInternalError,
    "InternalError": KmsInternalError,
    "InvalidCiphertextException": InvalidCiphertextError,
    "InvalidClientTokenId": CredentialsError,
    "InvalidSignatureException": CredentialsError,
    "KMSInternalException": KmsInternalError,
    "KMSInvalidStateException": KeyStateError,
    "KeyUnavailableException": KeyUnavailableError,
    "LimitExceededException": KmsLimitError,
    "MissingAuthenticationToken": CredentialsError,
    "MissingAuthenticationTokenException": CredentialsError,
    "NotFoundException": KeyNotFoundError,
    "OptInRequired": CredentialsError,
    "RequestLimitExceeded": KmsThrottledError,
    "ServiceUnavailable": KmsInternalError,
    "SignatureDoesNotMatch": CredentialsError,
    "Throttling": KmsThrottledError,
    "ThrottlingException": KmsThrottledError,
    "TooManyRequestsException": KmsThrottledError,
    "UnrecognizedClientException": CredentialsError,
}

_KEY_PARAMETERS = ("KeyId", "SourceKeyId", "DestinationKeyId")

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9*]+)")

_CIPHERTEXTS_KEY = "The ciphertext refers to"
"""How KMS's denial begins where it won't name the key that made a ciphertext."""

_KEY_ARN = re.compile(r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[0-9a-z-]{36,40}")

_SAYS: dict[type[KmsError], str] = {
    DryRunPassedError: "{operation}{on} would have succeeded",
    CredentialsError: "AWS does not accept the credentials",
    CredentialsExpiredError: "The AWS session has expired",
    IncorrectKeyError: "The encrypted data key was not made under {key}",
    InvalidCiphertextError: "KMS can't open the encrypted data key with {key}",
    KeyDisabledError: "KMS key {key} is disabled",
    KeyNotFoundError: "KMS key {key} does not exist in this account and Region",
    KeyStateError: "The state of KMS key {key} does not permit {operation}",
    KeyUnavailableError: "KMS key {key} is not available right now",
    KmsDependencyTimeoutError: "KMS timed out at {operation}",
    KmsInternalError: "KMS failed internally at {operation}",
    KmsLimitError: "A limit of KMS is reached at {operation}{on}",
    KmsThrottledError: "KMS throttles {operation}: the request quota is used up",
}


_IDENTITY_OPTIONS: dict[str, Any] = {
    "connect_timeout": 2.0,
    "read_timeout": 3.0,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}
"""Who the caller is decides nothing; where only KMS has an endpoint, STS must not be waited for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says the caller is (sts:GetCallerIdentity)."""

    account: str
    arn: str


class KmsApi:
    """KMS in one or more Regions. Thread-safe; boto3 is imported at the first call."""

    def __init__(
        self,
        regions: Sequence[str] = (),
        *,
        read_only: bool = False,
        endpoint_url: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        attempts: int = 3,
        retry_mode: Literal["standard", "adaptive"] = "standard",
        connections: int = 32,
        observer: Observer = SILENT,
    ) -> None:
        """`regions` in the order they are asked, the first being the default; empty means boto3's own.

        Time limits are in seconds, for one attempt. `endpoint_url` is for tests; AWS_ENDPOINT_URL and
        profiles are read by boto3. `observer` is told of every call of KMS.
        """
        self._configured = tuple(dict.fromkeys(regions))
        self.read_only = read_only
        self._endpoint_url = endpoint_url
        self._options: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "max_pool_connections": connections,
            "retries": {"mode": retry_mode, "total_max_attempts": attempts},
            "user_agent_appid": "keydeck",
        }
        self._observer = observer
        self._lock = threading.Lock()
        self._calls = 0
        self._session: Any = None
        self._clients: dict[tuple[str, str], BaseClient] = {}

    @property
    def regions(self) -> tuple[str, ...]:
        """The Regions that are asked, the default first. Raises SettingsError where none is configured."""
        if self._configured:
            return self._configured
        from botocore.exceptions import BotoCoreError

        try:
            with self._lock:
                # AWS's other SDKs read AWS_REGION; boto3 reads AWS_DEFAULT_REGION and the profile.
                region = os.environ.get("AWS_REGION") or self._boto_session().region_name
        except BotoCoreError as error:
            raise _not_answered(error, "", ()) from error
        if not region:
            raise SettingsError("No AWS Region is configured.", remedy="Set AWS_REGION or KEYDECK_REGIONS.")
        return (region,)

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Return KMS's answer to one API operation, named as in the API reference (`DescribeKey`).

        Raises ReadOnlyError before anything is sent, else the KmsError that tells the failure apart.
        """
        allowed = operation in READ_ONLY_OPERATIONS or _is_rehearsal(operation, parameters)
        if self.read_only and not allowed:
            raise ReadOnlyError(f"kms:{operation} is refused: Keydeck is read only.")
        with self._lock:
            self._calls += 1
        where = region or self.regions[0]
        with observed_call(self._observer, operation):
            return self._send("kms", operation, where, parameters)

    @property
    def calls(self) -> int:
        """How many KMS calls have been made, retries not counted."""
        return self._calls

    def identity(self) -> Identity:
        """Return who the caller is. Raises KmsError."""
        answer = self._send("sts", "GetCallerIdentity", self.regions[0], {})
        return Identity(account=clean(answer.get("Account")), arn=clean(answer.get("Arn")))

    def _send(self, service: str, operation: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        keys = [str(parameters[name]) for name in _KEY_PARAMETERS if parameters.get(name)]
        answer: dict[str, Any] | None
        try:
            call = getattr(self._client(service, region), xform_name(operation))
        except AttributeError as error:
            raise KmsRequestError(
                f"The installed boto3 does not know {operation}.",
                operation=operation,
                remedy="Upgrade boto3.",
            ) from error
        except BotoCoreError as error:
            raise _not_answered(error, operation, keys) from error
        except ValueError as error:
            raise SettingsError(
                f"AWS configuration: {clean(error, 300)}.", remedy="Check AWS_ENDPOINT_URL."
            ) from error
        except OSError as error:
            raise _unreadable(error, operation) from error
        try:
            answer = call(**parameters)
        except ClientError as error:
            raise _told_apart(error.response, operation, keys) from error
        except BotoCoreError as error:
            raise _not_answered(error, operation, keys) from error
        except OSError as error:
            raise _unreadable(error, operation) from error
        except (ResponseParserError, ValueError, TypeError, AttributeError, LookupError):
            # botocore's parsers choke on what is no answer of AWS's, and their exceptions carry it. It may
            # hold a data key, so they end here instead of becoming the context of an error that is logged.
            answer = None
        if answer is None:
            raise KmsRequestError(
                f"What answered {operation} is not AWS.",
                operation=operation,
                key=keys[0] if keys else "",
                remedy="Check AWS_ENDPOINT_URL and the proxy.",
            )
        return answer

    def _client(self, service: str, region: str) -> BaseClient:
        with self._lock:
            client = self._clients.get((service, region))
            if client is None:
                from botocore.config import Config

                options = self._options | (_IDENTITY_OPTIONS if service == "sts" else {})
                client = self._boto_session().client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint_url,
                    config=Config(**options),
                )
                self._clients[service, region] = client
            return client

    def _boto_session(self) -> Any:
        if self._session is None:
            import boto3

            cap(_BOTOCORE_LOGGERS, logging.INFO)
            self._session = boto3.Session()
        return self._session


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


def _is_rehearsal(operation: str, parameters: Mapping[str, Any]) -> bool:
    return operation in REHEARSABLE_OPERATIONS and parameters.get("DryRun") is True


def _told_apart(response: Any, operation: str, keys: Sequence[str]) -> KmsError:
    error = response.get("Error", {})
    code = str(error.get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = _ERRORS.get(code) or (KmsInternalError if status >= 500 else KmsRequestError)
    message = str(error.get("Message") or error.get("message") or "")
    key = _concerned(kind, keys, message)
    detail = clean(message, 400)
    told = f"({clean(code, 80)}{': ' + detail if detail else ''})"
    on = f" on {key}" if key else ""
    if kind is KmsAccessDeniedError:
        action = _denied_action(operation, message)
        return KmsAccessDeniedError(
            f"Access denied: {action}{on} {told}.",
            operation=operation,
            key=key,
            action=action,
            remedy=f"Allow {action} for this identity in its IAM policy or in the key policy.",
        )
    shown = key or "the key that wrapped it"
    says = _SAYS.get(kind, "AWS rejected {operation}{on}").format(key=shown, on=on, operation=operation)
    return kind(f"{says} {told}.", operation=operation, key=key)


def _concerned(kind: type[KmsError], keys: Sequence[str], message: str) -> str:
    """The key that a failure is about. ReEncrypt has two, source first; without a KeyId there is none."""
    of_the_source = kind in (IncorrectKeyError, InvalidCiphertextError) or _CIPHERTEXTS_KEY in message
    if keys and (len(keys) == 1 or of_the_source):
        return keys[0]
    asked = next((key for key in keys if key in message), "")
    named = _KEY_ARN.search(message)
    return asked or (named[0] if named else "") or (keys[-1] if keys else "")


def _denied_action(operation: str, message: str) -> str:
    named = _ACTION.search(message)
    if named:
        return named[1]
    if operation == "ReEncrypt" and _CIPHERTEXTS_KEY in message:
        return "kms:ReEncryptFrom"
    return "kms:ReEncrypt*" if operation == "ReEncrypt" else f"kms:{operation}"


def _unreadable(error: OSError, operation: str) -> CredentialsError:
    """What botocore lets through as it is: a token file or a credential process that isn't there."""
    what = f"{clean(error.strerror)}: {clean(error.filename)}" if error.filename else clean(error.strerror)
    return CredentialsError(f"AWS credentials can't be read ({what}).", operation=operation)


def _not_answered(error: Exception, operation: str, keys: Sequence[str]) -> KmsError | SettingsError:
    from botocore import exceptions as b

    key = keys[0] if keys else ""
    expired = (b.TokenRetrievalError, b.SSOTokenLoadError, b.UnauthorizedSSOTokenError)
    missing = (b.NoCredentialsError, b.PartialCredentialsError, b.CredentialRetrievalError)
    unreachable = (b.HTTPClientError, b.EndpointConnectionError, b.ConnectionError, b.ConnectionClosedError)
    detail = clean(error, 300).rstrip(".")
    regions = (b.NoRegionError, b.InvalidRegionError)
    if isinstance(error, (b.ProfileNotFound, b.ConfigParseError, b.InvalidConfigError, *regions)):
        return SettingsError(
            f"AWS configuration: {detail}.", remedy="Check AWS_PROFILE, AWS_REGION and KEYDECK_REGIONS."
        )
    if isinstance(error, expired):
        return CredentialsExpiredError(f"The AWS session has expired ({detail}).", operation=operation)
    if isinstance(error, missing):
        return CredentialsError(f"No usable AWS credentials ({detail}).", operation=operation)
    if isinstance(error, unreachable):
        return KmsUnreachableError(
            f"No answer from AWS at {operation} ({detail}).", operation=operation, key=key
        )
    return KmsRequestError(f"{operation} failed ({type(error).__name__}).", operation=operation, key=key)
