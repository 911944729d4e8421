"""One CloudTrail record: kept small in memory, given CloudTrail's shape when somebody reads it.

Shapes follow https://docs.aws.amazon.com/kms/latest/developerguide/understanding-kms-entries.html and
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html.
No record holds a plaintext, a ciphertext blob, a data key or a grant token: request parameters pass
`recordable`, which drops them.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal, vpc_endpoint_of

KMS = "kms.amazonaws.com"
CLOUDTRAIL = "cloudtrail.amazonaws.com"
STS = "sts.amazonaws.com"
S3 = "s3.amazonaws.com"

_SECRET_PARAMETERS = frozenset(
    {
        "AttestationDocument",
        "CiphertextBlob",
        "EncryptedKeyMaterial",
        "GrantToken",
        "GrantTokens",
        "ImportToken",
        "Mac",
        "Message",
        "Password",
        "Plaintext",
        "PrivateKeyPlaintext",
        "Recipient",
        "SAMLAssertion",
        "Signature",
        "TokenCode",
        "WebIdentityToken",
    }
)
_READ_ONLY_PREFIXES = ("Get", "List", "Describe", "Lookup", "Head", "Search")
_READ_ONLY_NAMES = frozenset(
    {
        "AssumeRole",
        "Decrypt",
        "DeriveSharedSecret",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GenerateRandom",
        "ReEncrypt",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)


@dataclass(slots=True)
class Record:
    """A call, while it runs and after. `time` is epoch seconds; ids are 128-bit numbers.

    `identity` is None for what AWS does by itself (an AwsServiceEvent such as RotateKey).
    """

    time: float
    source: str
    name: str
    region: str
    identity: SandboxPrincipal | None
    access_key_id: str
    source_ip: str
    user_agent: str
    request_id: int
    event_id: int
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None
    resources: tuple[str, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    sequence: int = 0

    @property
    def read_only(self) -> bool:
        return self.name in _READ_ONLY_NAMES or self.name.startswith(_READ_ONLY_PREFIXES)

    @property
    def action(self) -> str:
        """The call as IAM names it, such as `kms:Decrypt`."""
        return f"{self.source.partition('.')[0]}:{self.name}"

    def as_cloudtrail(self) -> dict[str, Any]:
        """Return the record as CloudTrail writes it to S3 and into LookupEvents' CloudTrailEvent."""
        record: dict[str, Any] = {
            "eventVersion": "1.11",
            "userIdentity": {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}
            if self.identity is None
            else self.identity.user_identity(self.access_key_id, self.time),
            "eventTime": datetime.fromtimestamp(int(self.time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": self.source,
            "eventName": self.name,
            "awsRegion": self.region,
            "sourceIPAddress": self.source_ip,
            "userAgent": self.user_agent,
        }
        if endpoint := vpc_endpoint_of(self.source_ip):
            record |= {"vpcEndpointId": endpoint, "vpcEndpointAccountId": ACCOUNT}
        if self.error_code is not None:
            record["errorCode"] = self.error_code
            if self.error_message:
                record["errorMessage"] = self.error_message
        record["requestParameters"] = self.request
        record["responseElements"] = self.response
        if self.identity is not None:
            if self.extra is not None:
                record["additionalEventData"] = self.extra
            record["requestID"] = as_uuid(self.request_id)
        record["eventID"] = as_uuid(self.event_id)
        record["readOnly"] = self.read_only
        if self.resources:
            record["resources"] = [
                {"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn} for arn in self.resources
            ]
        record["eventType"] = "AwsApiCall" if self.identity is not None else "AwsServiceEvent"
        record["managementEvent"] = True
        record["recipientAccountId"] = ACCOUNT
        if self.identity is None:
            record["serviceEventDetails"] = self.extra
        record["eventCategory"] = "Management"
        return record


def as_uuid(number: int) -> str:
    """Write a 128-bit number the way AWS writes request and event ids."""
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def refuse(record: Record, code: str, message: str) -> None:
    """Turn the record into that of a failed call.

    A denial is recorded as `AccessDenied`, without parameters and resources: the key's ARN stands only
    in the message. A throttled call looks the same. Any other failure keeps what was asked.
    """
    record.response = record.extra = None
    record.error_code, record.error_message = code, message
    if code == "AccessDeniedException":
        record.error_code = "AccessDenied"
    if code in ("AccessDeniedException", "ThrottlingException"):
        record.request = None
        record.resources = ()


def rotation_event(region: str, arn: str, at: float, rotation: str, materials: list[str]) -> Record:
    """Return AWS's event of a finished rotation; `materials` are the last two KeyMaterialIds."""
    return Record(
        time=at,
        source=KMS,
        name="RotateKey",
        region=region,
        identity=None,
        access_key_id="",
        source_ip="AWS Internal",
        user_agent="AWS Internal",
        request_id=0,
        event_id=random.getrandbits(128),
        resources=(arn,),
        extra={
            "rotationType": rotation,
            "keyOrigin": "AWS_KMS",
            "keyId": arn.rpartition("/")[2],
            "previousKeyMaterialId": materials[0],
            "currentKeyMaterialId": materials[1],
        },
    )


def recordable(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return request parameters as CloudTrail shows them: camelCase, secrets dropped, None when empty."""
    shown = {
        _lower_first(name): _camel_case(value, as_is="Context" in name)
        for name, value in parameters.items()
        if name not in _SECRET_PARAMETERS
    }
    return shown or None


def _camel_case(value: Any, *, as_is: bool) -> Any:
    if isinstance(value, dict):
        return {
            name if as_is else _lower_first(name): _camel_case(item, as_is=as_is or "Context" in name)
            for name, item in value.items()
            if name not in _SECRET_PARAMETERS
        }
    if isinstance(value, list):
        return [_camel_case(item, as_is=as_is) for item in value]
    return value


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]
