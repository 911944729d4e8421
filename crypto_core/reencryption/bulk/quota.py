"""How many calls a second KMS takes, and what they cost.

AWS KMS Developer Guide, "Request quotas": Decrypt, Encrypt, GenerateDataKey and ReEncrypt with symmetric keys
share one quota for each account and Region
(https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html). What exceeds it is refused
with ThrottlingException, whoever of the account asks ("Throttling AWS KMS requests").
"""

from __future__ import annotations

_OTHER_REGIONS = 10_000
_QUOTAS: dict[str, int] = {
    **dict.fromkeys(("us-east-1", "us-west-2", "eu-west-1"), 100_000),
    **dict.fromkeys(
        (
            "ap-northeast-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "eu-central-1",
            "eu-west-2",
            "us-east-2",
        ),
        20_000,
    ),
}

DOLLARS_PER_CALL = 0.03 / 10_000
"""US dollars a call, without the free ones of each month (https://aws.amazon.com/kms/pricing/)."""


def quota_of(region: str) -> int:
    """Return how many calls a second KMS allows an account in a Region, unless AWS has raised it."""
    return _QUOTAS.get(region, _OTHER_REGIONS)


def dollars(calls: int) -> float:
    """Return what so many calls cost, in US dollars, where none of them is free."""
    return calls * DOLLARS_PER_CALL
