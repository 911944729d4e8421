"""The errors an AWS service answers with, in AWS's words."""

import json
from functools import partial


class ServiceError(Exception):
    """An AWS error answer: `code` is the exception's name, `status` the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> bytes:
        return json.dumps({"__type": self.code, "message": self.message}).encode()


not_found = partial(ServiceError, "NotFoundException")
validation = partial(ServiceError, "ValidationException")
invalid_state = partial(ServiceError, "KMSInvalidStateException")
unsupported = partial(ServiceError, "UnsupportedOperationException")


def violated(where: str, must: str) -> ServiceError:
    """A member of the request breaks a constraint: `where` is "Value at 'name'", `must` what it must do."""
    return validation(
        f"1 validation error detected: {where} failed to satisfy constraint: Member must {must}"
    )


def invalid_ciphertext() -> ServiceError:
    """The blob is foreign, damaged, or bound to another encryption context. KMS gives no detail."""
    return ServiceError("InvalidCiphertextException", "")


def incorrect_key() -> ServiceError:
    return ServiceError(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


def dry_run_worked() -> ServiceError:
    return ServiceError(
        "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."
    )


def throttled() -> ServiceError:
    return ServiceError(
        "ThrottlingException",
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
    )


def expired() -> ServiceError:
    return ServiceError("ExpiredTokenException", "The security token included in the request is expired")


def access_denied(principal_arn: str, action: str, resource: str, reason: str) -> ServiceError:
    """IAM refuses: `reason` is the tail of AWS's message, from "because" or "with" on."""
    message = f"User: {principal_arn} is not authorized to perform: {action} on resource: {resource} {reason}"
    return ServiceError("AccessDeniedException", message)
