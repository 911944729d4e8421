"""What the gate straightens around moto's own KMS operations.

moto fails on some of them when they are given an ARN, and knows no key states that refuse. So the key is
resolved first (which gives KMS's NotFound answers), the state is checked, and moto gets a plain key id;
afterwards its answer gets what KMS adds.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import ServiceError, not_found, unsupported
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import PENDING_DELETION, KeyStore, require_state_other_than, require_usable
from console.sandbox.endpoint.metadata import is_primary, key_metadata
from console.sandbox.endpoint.parameters import Document
from console.sandbox.endpoint.principals import ACCOUNT
from console.sandbox.endpoint.records import Record
from crypto_core.keys.policy.document import parse_policy
from crypto_core.values.errors import PolicyError

if TYPE_CHECKING:
    from moto.kms.models import Key

# These accept an alias where a key is asked for; the others want the key's id or ARN.
_ACCEPT_ALIAS = frozenset({"DeleteAlias", "DescribeKey", "GetPublicKey"})
_REFUSED_WHILE_PENDING = frozenset(
    {"CreateAlias", "TagResource", "UntagResource", "UpdateAlias", "UpdateKeyDescription", "ReplicateKey"}
)
_NEED_A_USABLE_KEY = frozenset({"CreateGrant", "ReplicateKey", "GetPublicKey"})


def find_key(
    keys: KeyStore, faults: Faults, request: Document, record: Record, field: str = "KeyId"
) -> "Key":
    """Return the key that a request names, if its caller may do this to it.

    The record gets the key as its resource. Raises NotFoundException, AccessDeniedException.
    """
    find = keys.find if record.name in _ACCEPT_ALIAS else keys.find_by_id
    key = find(record.region, request.get(field))
    record.resources = (key.arn,)
    faults.authorise(record, record.action, key)
    return key


def find_usable(
    keys: KeyStore, faults: Faults, key_id: object, record: Record, action: str, usage: str, spec: str = ""
) -> "Key":
    """Return the key that a cryptographic operation names, if its caller, kind and state allow that.

    The record gets the key as one more resource. Raises NotFoundException, AccessDeniedException,
    InvalidKeyUsageException, DisabledException, KMSInvalidStateException.
    """
    key = keys.find(record.region, key_id)
    record.resources = (*record.resources, key.arn)
    faults.authorise(record, action, key)
    if key.key_usage != usage or spec not in ("", key.key_spec):
        raise ServiceError(
            "InvalidKeyUsageException",
            f"{key.arn} key usage is {key.key_usage} which is not valid for {record.name}.",
        )
    require_usable(key)
    return key


class MotoOperations:
    """Frames one of moto's operations: `prepare` before it, `finish` after it."""

    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults

    def prepare(self, request: Document, record: Record) -> dict[str, Any]:
        """Return the request as moto should see it, or raise what KMS would answer."""
        prepared = dict(request)
        if record.name in ("GetKeyPolicy", "PutKeyPolicy"):
            prepared.setdefault("PolicyName", "default")
        if record.name == "PutKeyPolicy" or prepared.get("Policy") is not None:
            _check_policy(prepared.get("Policy"))
        if record.name == "CreateKey":
            prepared.setdefault("KeyUsage", "ENCRYPT_DECRYPT")
        field = "TargetKeyId" if "TargetKeyId" in request else "KeyId"
        if field in request:
            key = find_key(self._keys, self._faults, request, record, field)
            prepared[field] = key.id
            if record.name in _REFUSED_WHILE_PENDING:
                require_state_other_than(key, *PENDING_DELETION)
            if record.name in _NEED_A_USABLE_KEY:
                require_usable(key)
            if record.name == "ReplicateKey":
                self._check_replication(key, str(request.get("ReplicaRegion")))
            elif record.name == "RetireGrant" and request.get("GrantId") not in key.grants:
                # moto retires what isn't there.
                raise not_found(f"Grant ID {request.get('GrantId')} not found")
        elif record.name == "DeleteAlias":
            find_key(self._keys, self._faults, request, record, "AliasName")
        else:
            self._faults.authorise(record, record.action)
        return prepared

    def finish(self, request: Document, record: Record, answer: dict[str, Any]) -> dict[str, Any]:
        """Complete moto's answer with what KMS adds, and note in the record what CloudTrail shows."""
        if record.name in ("CreateKey", "ReplicateKey"):
            return self._finish_new_key(request, record, answer)
        if record.name == "ListAliases":
            answer["Aliases"] = [one for one in answer["Aliases"] if self._exists(record.region, one)]
        elif record.name == "ListGrants":
            answer = {
                "Grants": [self._completed(record, grant) for grant in answer["Grants"]],
                "Truncated": False,
            }
        elif record.name == "CreateGrant":
            self._note_grant(record, answer["GrantId"])
        elif record.name == "GetKeyPolicy":
            answer["PolicyName"] = "default"
        if not record.read_only and record.resources:
            record.response = {"keyId": record.resources[0]}
            if record.name == "CreateGrant":
                record.response["grantId"] = answer["GrantId"]
        return answer

    def _finish_new_key(self, request: Document, record: Record, answer: dict[str, Any]) -> dict[str, Any]:
        member = "KeyMetadata" if record.name == "CreateKey" else "ReplicaKeyMetadata"
        key_id = answer[member]["KeyId"]
        region = record.region if record.name == "CreateKey" else str(request["ReplicaRegion"])
        key = self._keys.moto.kms(region).keys[key_id]
        if record.name == "ReplicateKey":
            # moto copies the primary; policy, grants and aliases are each replica's own.
            key.policy = request.get("Policy") or key.generate_default_policy()
            key.grants, key.aliases = {}, {}
            answer["ReplicaPolicy"] = key.policy
        elif key.origin == "EXTERNAL":
            key.key_state, key.enabled = "PendingImport", False
        answer[member] = key_metadata(key, self._keys.companion(key))
        record.resources = (key.arn,)
        record.response = {"keyMetadata": {"keyId": key.id, "arn": key.arn, "keyState": key.key_state}}
        return answer

    def _check_replication(self, key: "Key", region: str) -> None:
        if not key.multi_region or not is_primary(key):
            raise unsupported(f"{key.arn} is not a multi-Region primary key.")
        if region == key.region or key.id in self._keys.moto.kms(region).keys:
            raise ServiceError("AlreadyExistsException", f"{key.id} already exists in {region}.")

    def _exists(self, region: str, alias: Mapping[str, str]) -> bool:
        return alias["TargetKeyId"] in self._keys.moto.kms(region).keys

    def _completed(self, record: Record, grant: Document) -> dict[str, Any]:
        key = self._keys.find(record.region, record.resources[0])
        granted = self._keys.companion(key).grant_dates.get(grant["GrantId"], key.creation_date)
        return {
            **{name: value for name, value in grant.items() if value is not None},
            "KeyId": key.arn,
            "CreationDate": granted,
            "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
        }

    def _note_grant(self, record: Record, grant_id: str) -> None:
        key = self._keys.find(record.region, record.resources[0])
        self._keys.companion(key).grant_dates[grant_id] = record.time


def _check_policy(policy: object) -> None:
    try:
        parse_policy(str(policy))
    except PolicyError as error:
        raise ServiceError("MalformedPolicyDocumentException", error.message) from error
