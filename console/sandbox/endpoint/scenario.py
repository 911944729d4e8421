"""What a scenario is made of: data keys, faults, denials and past calls, as `EndpointControl` takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class MadeDataKey:
    """A 32-byte data key as GenerateDataKey would have made it, and the material that wrapped it."""

    plaintext: bytes = field(repr=False)
    ciphertext_blob: bytes
    key_arn: str
    key_material_id: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Makes calls fail, or answers them wrongly.

    `operation` is a glob over names such as `Decrypt`; `error` an AWS exception's name (such as
    `KMSInternalException`, `KeyUnavailableException`), `reset` (the connection is reset), `half` (an answer
    that breaks off) or `hang` (none). Wrong answers are `another bit` (one bit of the plaintext is turned
    over), `another blob` (the ciphertext is that of the first call struck) and `another key` (`message` is
    the ARN that it names). `fraction` (0 to 1) of the calls fail, and at most `count` of them (None: no
    limit). `region` is a glob over the Regions whose calls fail.
    """

    operation: str
    error: str
    fraction: float = 1.0
    count: int | None = None
    message: str = ""
    region: str = "*"


@dataclass(frozen=True, slots=True)
class Denial:
    """Refuses an action to a principal; each field is a glob.

    `principal` is matched by ARN or name, `action` as `kms:Decrypt` (ReEncrypt is `kms:ReEncryptFrom`
    and `kms:ReEncryptTo`), `resource` by ARN, key id or alias; calls without a resource match `*` only.
    `reason` is the tail of AWS's message; empty: because no identity-based policy allows the action.
    """

    principal: str
    action: str
    resource: str = "*"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call that is to be recorded as if it had happened at `time` (an aware datetime).

    `key_id` is an id, ARN or alias (ReEncrypt: the source). A successful cryptographic call counts as a
    use of its key. `error_code` is an exception's name or `AccessDenied`; its message is AWS's usual one
    unless `error_message` is given. `parameters` replaces CloudTrail's requestParameters.
    """

    time: datetime
    access_key_id: str
    operation: str
    key_id: str | None = None
    source_ip: str = "192.0.2.10"
    user_agent: str = "Boto3/1.40.0"
    error_code: str | None = None
    error_message: str | None = None
    destination_key_id: str | None = None
    encryption_context: Mapping[str, str] | None = None
    parameters: Mapping[str, Any] | None = None
    service: str = "kms"
    region: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What happened since the start: `calls` counts live calls by action, such as `kms:Decrypt`."""

    calls: Mapping[str, int]
    records_kept: int
    records_undelivered: int
