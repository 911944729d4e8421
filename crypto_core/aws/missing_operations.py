"""What answers in AWS's place and lacks operations: told apart from a failure, and not asked again for it.

An endpoint other than AWS's own (LocalStack, local-kms, a gateway that lets some calls through) may have a
part of KMS's operations only, or none of another service's. It says so by a code, by status 501 (RFC 9110,
15.6.2), or in words under any status.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

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
