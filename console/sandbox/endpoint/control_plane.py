"""KMS's control operations: those the gate answers, and what it straightens around moto for the others.

moto fails on some operations when they are given an ARN, knows no key states that refuse, and lacks
rotation periods and last use. So every key reference is resolved first (which gives KMS's NotFound
answers), states are checked here, and moto gets plain key ids.
https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import ServiceError, invalid_state, unsupported, validation
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import KeyStore, require_state_other_than, require_usable
from console.sandbox.endpoint.metadata import is_primary, key_metadata
from console.sandbox.endpoint.principals import ACCOUNT
from console.sandbox.endpoint.records import Record, as_uuid
from console.sandbox.endpoint.rotation import Rotations

if TYPE_CHECKING:
    from moto.kms.models import Key

Document = Mapping[str, Any]
Answer = dict[str, Any] | None

DELETION_WINDOW_DAYS = range(7, 31)
_PENDING_DELETION = ("PendingDeletion", "PendingReplicaDeletion")
# These accept an alias where a key is asked for; the others want the key's id or ARN.
_ACCEPT_ALIAS = frozenset(
    {"DeleteAlias", "DescribeKey", "GetPublicKey", "Sign", "Verify", "GenerateMac", "VerifyMac"}
)
_REFUSED_WHILE_PENDING = frozenset(
    {"CreateAlias", "TagResource", "UntagResource", "UpdateKeyDescription", "ReplicateKey"}
)
_NEED_A_USABLE_KEY = frozenset({"CreateGrant", "Sign", "Verify", "GenerateMac", "VerifyMac", "GetPublicKey"})
TRACKING_DAYS = 90


class ControlPlane:
    """The operations answered here by name, in `by_name`; `prepare` and `finish` frame moto's."""

    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self._rotations = Rotations(keys)
        self.usage_tracked_since = time.time() - TRACKING_DAYS * 86_400
        self.by_name: dict[str, Callable[[Document, Record], Answer]] = {
            "CancelKeyDeletion": self.cancel_key_deletion,
            "DescribeKey": self.describe_key,
            "DisableKey": self.disable_key,
            "DisableKeyRotation": self.disable_key_rotation,
            "EnableKey": self.enable_key,
            "EnableKeyRotation": self.enable_key_rotation,
            "GetKeyLastUsage": self.get_key_last_usage,
            "GetKeyRotationStatus": self.get_key_rotation_status,
            "ListKeyRotations": self.list_key_rotations,
            "RotateKeyOnDemand": self.rotate_key_on_demand,
            "ScheduleKeyDeletion": self.schedule_key_deletion,
        }

    def describe_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html"""
        key = self._key(request, record)
        return {"KeyMetadata": key_metadata(key, self._keys.companion(key))}

    def disable_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKey.html"""
        key = self._key(request, record)
        require_state_other_than(key, *_PENDING_DELETION, "PendingImport", "Creating")
        self._keys.moto.kms(record.region).disable_key(key.id)
        record.response = {"keyId": key.arn}
        return None

    def enable_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKey.html"""
        key = self._key(request, record)
        require_state_other_than(key, *_PENDING_DELETION, "PendingImport", "Creating")
        self._keys.moto.kms(record.region).enable_key(key.id)
        record.response = {"keyId": key.arn}
        return None

    def schedule_key_deletion(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html"""
        key = self._key(request, record)
        days = request.get("PendingWindowInDays", 30)
        if not isinstance(days, int) or days not in DELETION_WINDOW_DAYS:
            raise validation(
                f"1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to satisfy "
                "constraint: Member must have value between 7 and 30"
            )
        if key.key_manager == "AWS":
            raise unsupported(f"{key.arn} is managed by AWS and can't be deleted.")
        require_state_other_than(key, *_PENDING_DELETION, "Creating")
        deletion_date = self._keys.moto.kms(record.region).schedule_key_deletion(key.id, days)
        answer: dict[str, Any] = {"KeyId": key.arn, "PendingWindowInDays": days}
        record.response = {"keyId": key.arn, "keyState": "PendingDeletion"}
        if key.multi_region and is_primary(key) and key.multi_region_configuration["ReplicaKeys"]:
            key.key_state = "PendingReplicaDeletion"
            record.response["keyState"] = answer["KeyState"] = key.key_state
            return answer
        shown = time.strftime("%b %d, %Y %I:%M:%S %p", time.gmtime(deletion_date))
        record.response["deletionDate"] = shown
        return {**answer, "KeyState": "PendingDeletion", "DeletionDate": deletion_date}

    def cancel_key_deletion(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html

        The key is Disabled afterwards.
        """
        key = self._key(request, record)
        if key.key_state not in _PENDING_DELETION:
            raise invalid_state(f"{key.arn} is not pending deletion.")
        self._keys.moto.kms(record.region).cancel_key_deletion(key.id)
        record.response = {"keyId": key.arn}
        return {"KeyId": key.arn}

    def enable_key_rotation(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html"""
        key = self._key(request, record)
        self._rotations.enable(key, request.get("RotationPeriodInDays"))
        record.response = {"keyId": key.arn}
        return None

    def disable_key_rotation(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKeyRotation.html"""
        key = self._key(request, record)
        self._rotations.disable(key)
        record.response = {"keyId": key.arn}
        return None

    def rotate_key_on_demand(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html"""
        key = self._key(request, record)
        self._rotations.rotate_on_demand(key)
        record.response = {"keyId": key.id}
        return {"KeyId": key.id}

    def list_key_rotations(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html"""
        return self._rotations.listed(self._key(request, record), request)

    def get_key_rotation_status(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html"""
        return self._rotations.status(self._key(request, record))

    def get_key_last_usage(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html

        Uses before `usage_tracked_since` (epoch seconds) are unknown, as in AWS.
        """
        key = self._key(request, record)
        answer: dict[str, Any] = {
            "KeyId": key.id,
            "KeyLastUsage": {},
            "TrackingStartDate": max(self.usage_tracked_since, key.creation_date),
            "KeyCreationDate": key.creation_date,
        }
        use = self._keys.last_uses.get(key.arn)
        if use is not None and use.time >= self.usage_tracked_since:
            answer["KeyLastUsage"] = {
                "Operation": use.operation,
                "Timestamp": use.time,
                "CloudTrailEventId": as_uuid(use.event_id),
                "KmsRequestId": as_uuid(use.request_id),
            }
        return answer

    def prepare(self, request: Document, record: Record) -> dict[str, Any]:
        """Return the request as moto should see it, or raise what KMS would answer."""
        prepared = dict(request)
        if record.name in ("GetKeyPolicy", "PutKeyPolicy"):
            prepared.setdefault("PolicyName", "default")
        if record.name == "PutKeyPolicy":
            _check_policy(prepared.get("Policy"))
        if record.name == "CreateKey":
            prepared.setdefault("KeyUsage", "ENCRYPT_DECRYPT")
        field = "TargetKeyId" if "TargetKeyId" in request else "KeyId"
        if field in request:
            key = self._key(request, record, field)
            prepared[field] = key.id
            if record.name in _REFUSED_WHILE_PENDING:
                require_state_other_than(key, *_PENDING_DELETION)
            if record.name in _NEED_A_USABLE_KEY:
                require_usable(key)
        elif record.name == "DeleteAlias":
            self._key(request, record, "AliasName")
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

    def _key(self, request: Document, record: Record, field: str = "KeyId") -> "Key":
        find = self._keys.find if record.name in _ACCEPT_ALIAS else self._keys.find_by_id
        key = find(record.region, request.get(field))
        record.resources = (key.arn,)
        self._faults.authorise(record, record.action, key)
        return key

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
        document = json.loads(policy) if isinstance(policy, str) else None
    except json.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or "Statement" not in document:
        raise ServiceError(
            "MalformedPolicyDocumentException", "The policy document is not valid JSON policy."
        )
