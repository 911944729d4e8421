"""KMS's control operations that the gate answers itself, on moto's keys.

moto knows no key states that refuse, no rotation periods, no key material and no last use.
https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

import time
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import invalid_state, unsupported, violated
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import PENDING_DELETION, KeyStore, require_state_other_than
from console.sandbox.endpoint.metadata import is_primary, key_metadata
from console.sandbox.endpoint.moto_operations import find_key
from console.sandbox.endpoint.parameters import Document
from console.sandbox.endpoint.records import Record, as_uuid
from console.sandbox.endpoint.rotation import Answer, Operation, Rotations

if TYPE_CHECKING:
    from moto.kms.models import Key

DELETION_WINDOW_DAYS = range(7, 31)
TRACKING_DAYS = 90


class ControlPlane:
    """The operations by name, in `by_name`."""

    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.usage_tracked_since = keys.clock.now() - TRACKING_DAYS * 86_400
        self.by_name: dict[str, Operation] = {
            "CancelKeyDeletion": self.cancel_key_deletion,
            "DescribeKey": self.describe_key,
            "DisableKey": self.disable_key,
            "EnableKey": self.enable_key,
            "GetKeyLastUsage": self.get_key_last_usage,
            "ScheduleKeyDeletion": self.schedule_key_deletion,
            **Rotations(keys, faults).by_name,
        }

    def describe_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html"""
        key = self._find(request, record)
        return {"KeyMetadata": key_metadata(key, self._keys.companion(key))}

    def disable_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKey.html"""
        self._keys.moto.kms(record.region).disable_key(self._find_switchable(request, record).id)
        return None

    def enable_key(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKey.html"""
        self._keys.moto.kms(record.region).enable_key(self._find_switchable(request, record).id)
        return None

    def schedule_key_deletion(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html"""
        key = self._find(request, record)
        days = request.get("PendingWindowInDays", 30)
        if not isinstance(days, int) or days not in DELETION_WINDOW_DAYS:
            raise violated(f"Value '{days}' at 'pendingWindowInDays'", "have value between 7 and 30")
        if key.key_manager == "AWS":
            raise unsupported(f"{key.arn} is managed by AWS and can't be deleted.")
        require_state_other_than(key, *PENDING_DELETION, "Creating")
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
        key = self._find(request, record)
        if key.key_state not in PENDING_DELETION:
            raise invalid_state(f"{key.arn} is not pending deletion.")
        self._keys.moto.kms(record.region).cancel_key_deletion(key.id)
        record.response = {"keyId": key.arn}
        return {"KeyId": key.arn}

    def get_key_last_usage(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html

        Uses before `usage_tracked_since` (epoch seconds) are unknown, as in AWS.
        """
        key = self._find(request, record)
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

    def _find_switchable(self, request: Document, record: Record) -> "Key":
        key = self._find(request, record)
        require_state_other_than(key, *PENDING_DELETION, "PendingImport", "Creating")
        record.response = {"keyId": key.arn}
        return key

    def _find(self, request: Document, record: Record) -> "Key":
        return find_key(self._keys, self._faults, request, record)
