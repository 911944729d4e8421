"""KeyMetadata as KMS writes it, from moto's key and its companion."""

from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.keys import SYMMETRIC, Companion

if TYPE_CHECKING:
    from moto.kms.models import Key


def key_metadata(key: "Key", companion: Companion) -> dict[str, Any]:
    """Return the document that DescribeKey, CreateKey and ReplicateKey answer with.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    """
    metadata = {
        name: value for name, value in key.to_dict()["KeyMetadata"].items() if value not in (None, [])
    }
    metadata["Enabled"] = key.key_state == "Enabled"
    if key.key_usage != "ENCRYPT_DECRYPT":
        metadata.pop("EncryptionAlgorithms", None)
    if macs := mac_algorithms(key):
        metadata["MacAlgorithms"] = macs
    if key.key_spec == SYMMETRIC and key.key_state != "PendingImport":
        metadata["CurrentKeyMaterialId"] = companion.current.material.id
    if key.origin == "EXTERNAL" and key.key_state != "PendingImport":
        metadata["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
    if key.multi_region:
        relations = dict(key.multi_region_configuration)
        relations["MultiRegionKeyType"] = "PRIMARY" if is_primary(key) else "REPLICA"
        metadata["MultiRegionConfiguration"] = relations
    return metadata


def mac_algorithms(key: "Key") -> list[str]:
    """Return the algorithms of an HMAC key, which moto does not tell; none for another key."""
    kind, _, bits = key.key_spec.partition("_")
    return [f"HMAC_SHA_{bits}"] if kind == "HMAC" else []


def is_primary(key: "Key") -> bool:
    """Whether the key isn't a replica; every single-Region key is its own primary."""
    return not key.multi_region or bool(key.multi_region_configuration["PrimaryKey"]["Arn"] == key.arn)
