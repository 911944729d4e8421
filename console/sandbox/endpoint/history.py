"""A made-up past: calls that never happened, recorded as if they had."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from console.sandbox.endpoint.errors import access_denied, incorrect_key, throttled
from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.keys import SYMMETRIC
from console.sandbox.endpoint.records import Record, refuse

CRYPTO_OPERATIONS = frozenset(
    {"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt"}
)
_MESSAGES = {
    "DisabledException": "{arn} is disabled.",
    "KMSInvalidStateException": "{arn} is pending deletion.",
    "NotFoundException": "Key '{arn}' does not exist",
    "ThrottlingException": throttled().message,
    "IncorrectKeyException": incorrect_key().message,
    "InvalidCiphertextException": "",
}


def add_history(gate: EndpointGate, calls: Iterable[Mapping[str, Any]]) -> int:
    """Record past calls; successful cryptographic ones count as uses of their key. Returns how many.

    Each names `time` (epoch seconds), `access_key_id`, `operation`, and may name `service` (default kms),
    `key_id`, `destination_key_id`, `region`, `source_ip`, `user_agent`, `error_code`, `error_message`,
    `encryption_context` and `parameters` (CloudTrail's requestParameters, taken as they are).
    Raises NotFoundException for a key that isn't there; then nothing is recorded.
    """
    records = [_past_record(gate, call) for call in calls]
    for record in records:
        if record.error_code is None and record.name in CRYPTO_OPERATIONS:
            gate.note_use(record)
    gate.trail.add_past(records)
    return len(records)


def _past_record(gate: EndpointGate, call: Mapping[str, Any]) -> Record:
    moment = float(call["time"])
    name = str(call["operation"])
    access_key_id = str(call["access_key_id"])
    references = [call[field] for field in ("key_id", "destination_key_id") if call.get(field)]
    region = call.get("region") or region_of(references[0] if references else "", gate.region)
    keys = [gate.keys.find(region, reference) for reference in references]
    record = Record(
        time=moment,
        source=f"{call.get('service', 'kms')}.amazonaws.com",
        name=name,
        region=region,
        identity=gate.principals.of(access_key_id),
        access_key_id=access_key_id,
        source_ip=str(call.get("source_ip", "192.0.2.10")),
        user_agent=str(call.get("user_agent", "Boto3/1.40.0")),
        request_id=random.getrandbits(128),
        event_id=random.getrandbits(128),
        resources=tuple(key.arn for key in keys),
    )
    materials = [gate.keys.companion(key).at(moment).material.id for key in keys]
    record.request = call.get("parameters") or _parameters(name, call)
    if name == "ReEncrypt" and materials:
        record.extra = {"sourceKeyMaterialId": materials[0], "destinationKeyMaterialId": materials[-1]}
    elif name in CRYPTO_OPERATIONS and materials:
        record.extra = {"keyMaterialId": materials[0]}
    elif record.resources and not record.read_only:
        record.response = {"keyId": record.resources[0]}
    if call.get("error_code"):
        _refuse(record, str(call["error_code"]), call.get("error_message"))
    return record


def _parameters(name: str, call: Mapping[str, Any]) -> dict[str, Any] | None:
    context = {"encryptionContext": call["encryption_context"]} if call.get("encryption_context") else {}
    key = {"keyId": call["key_id"]} if call.get("key_id") else {}
    if name == "Decrypt":
        # Callers rarely name the key when they decrypt, and then the record doesn't either.
        return {"encryptionAlgorithm": SYMMETRIC, **context}
    if name == "Encrypt":
        return {"encryptionAlgorithm": SYMMETRIC, **key, **context}
    if name.startswith("GenerateDataKey"):
        return {**key, "keySpec": "AES_256", **context}
    if name == "ReEncrypt":
        destination = call.get("destination_key_id") or call.get("key_id")
        return {
            "sourceEncryptionAlgorithm": SYMMETRIC,
            "destinationEncryptionAlgorithm": SYMMETRIC,
            "destinationKeyId": destination,
        }
    return key or None


def _refuse(record: Record, code: str, message: str | None) -> None:
    arn = record.resources[0] if record.resources else "*"
    if code in ("AccessDenied", "AccessDeniedException") and record.identity is not None:
        code = "AccessDeniedException"
        reason = f"because no identity-based policy allows the {record.action} action"
        default = access_denied(record.identity.arn, record.action, arn, reason).message
    else:
        default = _MESSAGES.get(code, "").format(arn=arn)
    refuse(record, code, default if message is None else message)


def region_of(reference: str, default: str) -> str:
    """Return the Region that an ARN names, or `default` for a plain id or alias."""
    return reference.split(":")[3] if reference.startswith("arn:") and reference.count(":") >= 5 else default
