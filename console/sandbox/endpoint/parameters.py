"""Members of a KMS request, checked as KMS checks them."""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from console.sandbox.endpoint.errors import ServiceError, dry_run_worked, validation, violated
from console.sandbox.endpoint.keys import SYMMETRIC

Document = Mapping[str, Any]

MAX_PLAINTEXT = 4096
MAX_CIPHERTEXT = 6144
IGNORE_CIPHERTEXT = "IGNORE_CIPHERTEXT"
_KEY_BYTES = {"AES_256": 32, "AES_128": 16}


def shown(**parameters: object) -> Mapping[str, Any]:
    """Return the parameters that were given, as a record shows them."""
    given = tuple(pair for pair in parameters.items() if pair[1] is not None)
    if all(isinstance(value, str | int) for _, value in given):
        return _shared(given)
    return dict(given)


@lru_cache(maxsize=1024)
def _shared(given: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    """Equal parameters share one mapping: a run leaves tens of thousands of records that say the same."""
    return dict(given)


def as_text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def stop_if_dry_run(request: Document) -> None:
    if request.get("DryRun"):
        raise dry_run_worked()


def read_blob(request: Document, name: str, limit: int) -> bytes:
    """Return a base64 member of 1 to `limit` bytes. Raises ValidationException, SerializationException."""
    value, where = request.get(name), f"Value at '{name[:1].lower() + name[1:]}'"
    if not isinstance(value, str):
        raise violated(where, "not be null")
    try:
        raw = a2b_base64(value, strict_mode=True)
    except Base64Error as error:
        raise ServiceError("SerializationException", f"{name} is not base64") from error
    if not 1 <= len(raw) <= limit:
        raise violated(where, f"have length between 1 and {limit}")
    return raw


def read_ciphertext(request: Document) -> bytes | None:
    """Return the CiphertextBlob, None where a dry run is to ignore it. Raises as `read_blob`."""
    modifiers = request.get("DryRunModifiers") or []
    if not isinstance(modifiers, list):
        raise ServiceError("SerializationException", "DryRunModifiers is a list")
    unknown = [modifier for modifier in modifiers if modifier != IGNORE_CIPHERTEXT]
    if unknown:
        must = f"satisfy enum value set: [{IGNORE_CIPHERTEXT}]"
        raise violated(f"Value '{unknown}' at 'dryRunModifiers'", must)
    if modifiers and request.get("DryRun"):
        return None
    return read_blob(request, "CiphertextBlob", MAX_CIPHERTEXT)


def read_context(request: Document, name: str) -> dict[str, str] | None:
    """Return an encryption context, None when it is empty. Raises SerializationException."""
    context = request.get(name)
    if not context:
        return None
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise ServiceError("SerializationException", f"{name} is a map of strings to strings")
    return context


def read_algorithm(request: Document, name: str) -> str:
    """Return the algorithm, which is always the symmetric one. Raises InvalidKeyUsageException."""
    algorithm = request.get(name, SYMMETRIC)
    if algorithm != SYMMETRIC:
        raise ServiceError(
            "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {SYMMETRIC}."
        )
    return SYMMETRIC


def read_data_key_length(request: Document) -> int:
    """Return the wanted length in bytes. Raises ValidationException."""
    spec, length = request.get("KeySpec"), request.get("NumberOfBytes")
    if (spec is None) == (length is None):
        raise validation("Please specify either number of bytes or key spec.")
    if spec is not None:
        if spec not in _KEY_BYTES:
            raise violated(f"Value '{spec}' at 'keySpec'", "satisfy enum value set: [AES_256, AES_128]")
        return _KEY_BYTES[spec]
    if not isinstance(length, int) or not 1 <= length <= 1024:
        raise violated(f"Value '{length}' at 'numberOfBytes'", "have value between 1 and 1024")
    return length
