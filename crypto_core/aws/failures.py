"""Every failure of a call to AWS as an error of ours: what AWS answered, and that it did not answer.

API reference: https://docs.aws.amazon.com/kms/latest/APIReference/ ("Errors" of each operation and
"Common Errors"). An endpoint other than AWS's own (LocalStack, local-kms, a gateway) may have a part of KMS's
operations only, or none of another service's. It says so by a code, by status 501 (RFC 9110, 15.6.2), or in
words under any status, and is not asked again for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crypto_core.log.redaction import redacted
from crypto_core.values import errors
from crypto_core.values.clean_text import clean

if TYPE_CHECKING:
    from botocore.client import BaseClient


_CODES = frozenset(
    {
        "InvalidAction",
        "NotImplemented",
        "NotImplementedError",
        "NotImplementedException",
        "UnknownAction",
        "UnknownOperation",
        "UnknownOperationException",
    }
)
_FAILURES = frozenset({"", "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable"})
"""Codes that say nothing more: then the words count."""

_WORDS = re.compile(r"\bnot (?:been |yet |currently )*(?:emulated|implemented)\b", re.IGNORECASE)
_LONGEST_LOOKED_AT = 1_000
_NOT_IMPLEMENTED = 501
_NOT_OF_S3 = frozenset({"405", "415"})
"""S3 has names for these."""


def lacks_operation(response: Any) -> bool:
    """Return whether an error in botocore's form says that this endpoint does not have the operation."""
    error = response.get("Error") or {}
    code = str(error.get("Code") or "")
    if code in _CODES or response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _NOT_IMPLEMENTED:
        return True
    message = str(error.get("Message") or error.get("message") or "")
    return (code in _FAILURES or code.isdigit()) and bool(_WORDS.search(message[:_LONGEST_LOOKED_AT]))


def lacks_service(response: Any, service: str) -> bool:
    """Return whether it says so, or answers as no service of AWS does: without an error's name.

    S3 has errors that are a status alone, such as 404 for HeadObject.
    """
    code = str((response.get("Error") or {}).get("Code") or "")
    nameless = code in _NOT_OF_S3 if service == "s3" else not code or code.isdigit()
    return lacks_operation(response) or nameless


def asks_once(client: BaseClient) -> None:
    """Have a client not repeat what the endpoint does not have, whatever status it says so with."""
    name = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"needs-retry.{name}", _as_not_implemented)


def _as_not_implemented(response: Any = None, **_: Any) -> None:
    # botocore decides by the status, and 500 would be repeated.
    if response is not None and lacks_operation(response[1]):
        response[0].status_code = _NOT_IMPLEMENTED


_ERRORS: dict[str, type[errors.KmsError]] = {
    "AccessDenied": errors.KmsAccessDeniedError,
    "AccessDeniedException": errors.KmsAccessDeniedError,
    "DependencyTimeoutException": errors.KmsDependencyTimeoutError,
    "DisabledException": errors.KeyDisabledError,
    "DryRunOperationException": errors.DryRunPassedError,
    "ExpiredToken": errors.CredentialsExpiredError,
    "ExpiredTokenException": errors.CredentialsExpiredError,
    "RequestExpired": errors.CredentialsExpiredError,
    "IncompleteSignature": errors.CredentialsError,
    "IncorrectKeyException": errors.IncorrectKeyError,
    "InternalFailure": errors.KmsInternalError,
    "InternalError": errors.KmsInternalError,
    "InvalidAccessKeyId": errors.CredentialsError,
    "InvalidCiphertextException": errors.InvalidCiphertextError,
    "InvalidClientTokenId": errors.CredentialsError,
    "InvalidNextTokenException": errors.PageTokenError,
    "InvalidSignatureException": errors.CredentialsError,
    "KMSInternalException": errors.KmsInternalError,
    "KMSInvalidMacException": errors.InvalidSignatureError,
    "KMSInvalidSignatureException": errors.InvalidSignatureError,
    "KMSInvalidStateException": errors.KeyStateError,
    "KeyUnavailableException": errors.KeyUnavailableError,
    "LimitExceededException": errors.KmsLimitError,
    "MissingAuthenticationToken": errors.CredentialsError,
    "MissingAuthenticationTokenException": errors.CredentialsError,
    "NoSuchBucketPolicy": errors.NotConfiguredError,
    "NoSuchPublicAccessBlockConfiguration": errors.NotConfiguredError,
    "NotFoundException": errors.KeyNotFoundError,
    "OptInRequired": errors.CredentialsError,
    "RequestLimitExceeded": errors.KmsThrottledError,
    "ServiceUnavailable": errors.KmsInternalError,
    "SignatureDoesNotMatch": errors.CredentialsError,
    "SlowDown": errors.KmsThrottledError,
    "Throttling": errors.KmsThrottledError,
    "ThrottlingException": errors.KmsThrottledError,
    "TooManyRequestsException": errors.KmsThrottledError,
    "UnrecognizedClientException": errors.CredentialsError,
}

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9*]+)")

_CIPHERTEXTS_KEY = "The ciphertext refers to"
"""How KMS's denial begins where it won't name the key that made a ciphertext."""

_EXPIRED = (
    "LoginRefreshRequired",
    "LoginTokenLoadError",
    "RefreshWithMFAUnsupportedError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
)
"""botocore's exceptions for a sign-in that has run out, or that never was."""

_KEY_ARN = re.compile(r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[0-9a-z-]{36,40}")

_SAYS: dict[type[errors.KmsError], str] = {
    errors.DryRunPassedError: "{operation}{on} would have succeeded",
    errors.CredentialsError: "AWS rejected the credentials",
    errors.CredentialsExpiredError: "The AWS session has expired",
    errors.IncorrectKeyError: "The encrypted data key was not made under {key}",
    errors.InvalidCiphertextError: "KMS can't open the encrypted data key with {key}",
    errors.InvalidSignatureError: "The signature was not made by {key} over this content",
    errors.KeyDisabledError: "KMS key {key} is disabled",
    errors.KeyNotFoundError: "KMS key {key} does not exist in this account and Region",
    errors.KeyStateError: "The state of KMS key {key} does not permit {operation}",
    errors.KeyUnavailableError: "KMS key {key} is not available right now",
    errors.KmsDependencyTimeoutError: "{service} timed out at {operation}",
    errors.KmsInternalError: "{service} failed internally at {operation}",
    errors.KmsLimitError: "A limit of {service} is reached at {operation}{on}",
    errors.KmsThrottledError: "{service} throttles {operation}: the request quota is used up",
    errors.MissingOperationError: "This endpoint does not have {operation}",
    errors.NotConfiguredError: "{service} has nothing to answer to {operation}: it is not set",
    errors.PageTokenError: "{service} no longer accepts the page token of {operation}",
}

SERVICES = {
    "kms": "KMS",
    "sts": "STS",
    "cloudtrail": "CloudTrail",
    "s3": "S3",
    "s3control": "S3",
    "athena": "Athena",
    "iam": "IAM",
}

_ACTIONS = {"ListObjectsV2": "ListBucket", "GetPublicAccessBlock": "GetBucketPublicAccessBlock"}
"""IAM actions that are not called like their operation."""

_POLICIES = {"kms": "its IAM policy or in the key policy", "s3": "its IAM policy or in the bucket policy"}

_REJECTED: dict[str, tuple[str, str]] = {
    "AlreadyExistsException": (
        "What {operation} is to make{on} already exists",
        "Check the key: keydeck keys show KEY.",
    ),
    "ConflictException": (
        "KMS is rotating {key} by itself, or will within minutes",
        "Wait until that is done, then look at the key again.",
    ),
    "InvalidAliasNameException": (
        "KMS rejected the alias name{on}",
        "Use letters, digits, /, _ and -, behind alias/.",
    ),
    "InvalidGrantIdException": ("KMS has no such grant{on}", "List them with: keydeck keys grants KEY."),
    "MalformedPolicyDocumentException": (
        "KMS rejected the key policy{on}",
        (
            "Correct the policy: it names a principal that does not exist or an element that KMS does not "
            "know, or leaves no one able to change it."
        ),
    ),
    "UnsupportedOperationException": (
        "KMS can't do {operation}{on}: this kind of key does not have it",
        "Look at the key's spec, origin and Regions: keydeck keys show KEY.",
    ),
}
"""What KMS says no to as such: in words, and what the operator can do."""

_REJECTED_BY_S3: dict[str, tuple[str, str]] = {
    "InvalidObjectState": ("The object is archived", "Restore it from its storage class, then try again."),
    "NoSuchBucket": ("There is no such bucket", "Check the bucket's name and account."),
    "NoSuchKey": ("There is no such object", "It was deleted since it was listed; list the bucket again."),
}

_LIMITS: dict[str, str] = {
    "CreateAlias": "Remove unused aliases, or ask AWS for a higher quota of aliases.",
    "CreateKey": "Delete unneeded keys, or ask AWS for a higher quota of keys.",
    "PutKeyPolicy": "Make the policy shorter: it has at most 32 KB.",
    "ReplicateKey": "Delete unneeded keys in that Region, or ask AWS for a higher quota of keys.",
    "RotateKeyOnDemand": "A key gets 25 rotations on demand in its life: make a new key and re-encrypt.",
}


def error_from_response(
    response: Any, operation: str, keys: Sequence[str], service: str = "kms"
) -> errors.KmsError:
    error = response.get("Error", {})
    code = str(error.get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = _ERRORS.get(code) or (errors.KmsInternalError if status >= 500 else errors.KmsRequestError)
    if lacks_operation(response):
        kind = errors.MissingOperationError
    message = str(error.get("Message") or error.get("message") or "")
    key = _concerned(kind, keys, message)
    detail = clean(message, 400)
    told = f"({clean(code, 80)}{': ' + detail if detail else ''})"
    on = f" on {key}" if key else ""
    if kind is errors.KmsAccessDeniedError:
        action = _denied_action(operation, message, service)
        return errors.KmsAccessDeniedError(
            f"Access denied: {action}{on} {told}.",
            operation=operation,
            key=key,
            action=action,
            remedy=f"Allow {action} for this identity in {_POLICIES.get(service, 'its IAM policy')}.",
        )
    shown = key or "the key that wrapped it"
    says = _SAYS.get(kind, "AWS rejected {operation}{on}")
    remedy = _LIMITS.get(operation, "") if kind is errors.KmsLimitError else ""
    rejected = {"kms": _REJECTED, "s3": _REJECTED_BY_S3}.get(service, {})
    if code in rejected:
        says, remedy = rejected[code]
    says = says.format(key=shown, on=on, operation=operation, service=SERVICES.get(service, service))
    return kind(f"{says} {told}.", operation=operation, key=key, remedy=remedy)


def _concerned(kind: type[errors.KmsError], keys: Sequence[str], message: str) -> str:
    """The key that a failure is about. ReEncrypt has two, source first; without a KeyId there is none."""
    of_the_source = (
        kind in (errors.IncorrectKeyError, errors.InvalidCiphertextError) or _CIPHERTEXTS_KEY in message
    )
    if keys and (len(keys) == 1 or of_the_source):
        return keys[0]
    asked = next((key for key in keys if key in message), "")
    named = _KEY_ARN.search(message)
    return asked or (named[0] if named else "") or (keys[-1] if keys else "")


def _denied_action(operation: str, message: str, service: str) -> str:
    named = _ACTION.search(message)
    if named:
        return named[1]
    if service == "s3control":
        return f"s3:{operation.replace('Get', 'GetAccount', 1)}"
    if operation == "ReEncrypt" and _CIPHERTEXTS_KEY in message:
        return "kms:ReEncryptFrom"
    return "kms:ReEncrypt*" if operation == "ReEncrypt" else f"{service}:{_ACTIONS.get(operation, operation)}"


def unreadable(error: OSError, operation: str) -> errors.CredentialsError:
    """Return the error for a token file or credential process that isn't there."""
    what = f"{clean(error.strerror)}: {clean(error.filename)}" if error.filename else clean(error.strerror)
    return errors.CredentialsError(f"AWS credentials can't be read ({what}).", operation=operation)


def error_from_exception(
    error: Exception, operation: str, keys: Sequence[str]
) -> errors.KmsError | errors.SettingsError:
    """Return the error for what kept botocore from asking, or AWS from answering."""
    from botocore import exceptions as b

    key = keys[0] if keys else ""
    # boto3 has some of these since later versions than the oldest that Keydeck runs with.
    expired = tuple(kind for name in _EXPIRED if (kind := getattr(b, name, None)) is not None)
    missing = (b.NoCredentialsError, b.PartialCredentialsError, b.CredentialRetrievalError)
    unreachable = (b.HTTPClientError, b.EndpointConnectionError, b.ConnectionError, b.ConnectionClosedError)
    detail = clean(redacted(str(error)), 300).rstrip(".")
    if type(error) is b.HTTPClientError:
        # Its text repeats what its cause says, such as a part of a proxy's URL.
        cause = error.kwargs.get("error")
        detail = cause if isinstance(cause, str) else type(cause).__name__
    regions = (b.NoRegionError, b.InvalidRegionError)
    if isinstance(error, (b.ProfileNotFound, b.ConfigParseError, b.InvalidConfigError, *regions)):
        return errors.SettingsError(
            f"AWS configuration: {detail}.", remedy="Check AWS_PROFILE, AWS_REGION and KEYDECK_REGIONS."
        )
    if isinstance(error, expired):
        return errors.CredentialsExpiredError(f"The AWS session has expired ({detail}).", operation=operation)
    if isinstance(error, missing):
        return errors.CredentialsError(f"No usable AWS credentials ({detail}).", operation=operation)
    if isinstance(error, unreachable):
        return errors.KmsUnreachableError(
            f"No answer from AWS at {operation} ({detail}).", operation=operation, key=key
        )
    return errors.KmsRequestError(
        f"{operation} failed ({type(error).__name__}).", operation=operation, key=key
    )
