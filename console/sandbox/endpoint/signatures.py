"""When a request was signed: AWS takes signatures that are at most minutes old, or ahead.

IAM User Guide, "Troubleshoot Signature Version 4 requests"; for S3, "Error responses", RequestTimeTooSkewed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from console.sandbox.endpoint.errors import ServiceError

TOLERANCE = timedelta(minutes=5)
S3_TOLERANCE = timedelta(minutes=15)
_FORM = "%Y%m%dT%H%M%SZ"


def require_time(service: str, headers: Mapping[str, str], now: float) -> None:
    """Raise the service's error for a signature that is too old, or of a time that is yet to come."""
    signed = _moment(headers.get("X-Amz-Date", ""))
    if signed is None:
        return
    here = datetime.fromtimestamp(now, UTC)
    if service == "s3":
        if abs(here - signed) > S3_TOLERANCE:
            message = "The difference between the request time and the current time is too large."
            raise ServiceError("RequestTimeTooSkewed", message, 403)
        return
    if signed < here - TOLERANCE:
        what, limit, sign = "expired: {} is now earlier than", here - TOLERANCE, "-"
    elif signed > here + TOLERANCE:
        what, limit, sign = "not yet current: {} is still later than", here + TOLERANCE, "+"
    else:
        return
    told = f"Signature {what.format(f'{signed:{_FORM}}')} {limit:{_FORM}} ({here:{_FORM}} {sign} 5 min.)"
    # Services with forms, STS among them, have a code of their own.
    forms = service in ("sts", "iam", "sns", "sqs")
    raise ServiceError(
        "SignatureDoesNotMatch" if forms else "InvalidSignatureException", told, 403 if forms else 400
    )


@lru_cache(maxsize=64)
def _moment(told: str) -> datetime | None:
    try:
        return datetime.strptime(told, _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None
