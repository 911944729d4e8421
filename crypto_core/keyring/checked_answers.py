"""Reading KMS's answers: what must be in them, and which of several keys opens a data key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from crypto_core.envelope import DATA_KEY_BYTES, MAX_EDK_BYTES
from crypto_core.keyring.data_keys import GeneratedDataKey, KeyAnswer, RewrappedDataKey
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import is_key_arn, may_mean, region_of, same_key, short_key
from crypto_core.values.secret import DataKey

REFUSALS = (
    errors.KmsAccessDeniedError,
    errors.KeyDisabledError,
    errors.KeyStateError,
    errors.KeyNotFoundError,
)
"""What KMS refuses because of the key, its state or its policy."""

ANOTHER_KEY = (errors.IncorrectKeyError, errors.UntrustedKeyError)
"""What says that a data key is under another key than the one that was asked."""

TRY_THE_NEXT = (*ANOTHER_KEY, errors.InvalidCiphertextError, *REFUSALS)
"""What KMS may say of a trusted key that is not the one that wrapped the EDK."""


class KeySearch:
    """One search for the key that opens a data key: each candidate is asked until one does.

    A key that isn't the one is passed over; so is a Region that doesn't answer, whose key may have been it.
    What is not about the key is raised.
    """

    __slots__ = ("_region", "_unreachable", "asked", "failures", "silent")

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The names of the keys that were asked."""
        self.failures: list[errors.KmsError] = []
        self.silent: set[str] = set()
        """The Regions that did not answer."""
        self._unreachable: errors.KmsUnreachableError | None = None

    def asking(self, key: str, region: str = "") -> Self:
        """Ask one key, in its Region, in a block; what that fails with is kept if another key may open it."""
        self.asked.append(key)
        self._region = region
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, TRY_THE_NEXT):
            self.failures.append(error)
        elif isinstance(error, errors.KmsUnreachableError):
            self._unreachable = self._unreachable or error
            self.silent.add(self._region)
        else:
            return False
        return True

    @property
    def found_another(self) -> bool:
        """True if the key that was asked last says that another one wrapped it."""
        return bool(self.failures) and isinstance(self.failures[-1], ANOTHER_KEY)

    @property
    def failure(self) -> errors.KmsError:
        """Why no key opened it; a Region that did not answer comes first."""
        return self._unreachable or closest(self.failures)


def take_plaintext(answer: dict[str, Any], operation: str, key: str) -> DataKey:
    """Move the plaintext data key out of KMS's answer. Raises KmsRequestError unless it has 32 bytes."""
    data_key = DataKey(answer.pop("Plaintext", b""))
    if len(data_key) != DATA_KEY_BYTES:
        length = len(data_key)
        data_key.wipe()
        raise errors.KmsRequestError(
            f"KMS returned a data key of {length} bytes, expected {DATA_KEY_BYTES}.",
            operation=operation,
            key=key,
        )
    return data_key


def encrypted_data_key_of(answer: dict[str, Any], operation: str, key: str) -> bytes:
    """Return the data key as KMS wrapped it. Raises KmsRequestError unless it has 1 to 6,144 bytes."""
    blob = bytes(answer.get("CiphertextBlob", b""))
    if not 1 <= len(blob) <= MAX_EDK_BYTES:
        raise errors.KmsRequestError(
            f"KMS returned an encrypted data key of {len(blob):,} bytes.", operation=operation, key=key
        )
    return blob


def key_arn_of(value: object, operation: str, key: str) -> str:
    """Return the key ARN that KMS names in an answer. Raises KmsRequestError for anything else."""
    if not is_key_arn(value):
        raise errors.KmsRequestError("KMS did not say which key it used.", operation=operation, key=key)
    return value


def pinned(pins: dict[str, str], name: str, answer: object, operation: str) -> str:
    """Return the key ARN of KMS's answer once that is the key called `name`.

    `pins` has the ARNs that names were first answered with, and gets this one: an alias is pinned at its
    first answer. Raises UntrustedKeyError for another key, KmsRequestError for none.
    """
    if answer == name and pins.get(name) == name:
        return name  # A key's own ARN, as it was answered before.
    answered = key_arn_of(answer, operation, name)
    # Later answers may come from a replica of the pinned key, in another Region than the name's.
    agrees = may_mean(pins.get(name, name), answered)
    if not (agrees and same_key(pins.setdefault(name, answered), answered)):
        raise errors.UntrustedKeyError(
            f"KMS used {answered} where {name} was expected.", operation=operation, key=answered
        )
    return answered


def data_key_of(
    answer: dict[str, Any], operation: str, pins: dict[str, str], key: str
) -> tuple[DataKey, KeyAnswer]:
    """Return the data key of an answer, and who wrapped it, once that is the key called `key`.

    Otherwise the data key is wiped. Raises KmsRequestError, UntrustedKeyError.
    """
    data_key = take_plaintext(answer, operation, key)
    try:
        key_arn = pinned(pins, key, answer.get("KeyId"), operation)
    except errors.KmsError:
        data_key.wipe()
        raise
    return data_key, _key_answer(key_arn, material_of(answer.get("KeyMaterialId")))


def generated_of(answer: dict[str, Any], pins: dict[str, str], key: str) -> GeneratedDataKey:
    """Return the new data key of GenerateDataKey's answer. Raises as `data_key_of`."""
    blob = encrypted_data_key_of(answer, "GenerateDataKey", key)
    data_key, wrapped_by = data_key_of(answer, "GenerateDataKey", pins, key)
    return GeneratedDataKey(data_key, blob, wrapped_by)


def rewrapped_of(
    answer: dict[str, Any], pins: dict[str, str], source: str, destination: str
) -> RewrappedDataKey:
    """Return the data key of ReEncrypt's answer, once both keys are those that were named.

    Raises KmsRequestError, UntrustedKeyError.
    """
    sides = ((source, "SourceKeyId", "Source"), (destination, "KeyId", "Destination"))
    from_key, to_key = (
        _key_answer(
            pinned(pins, name, answer.get(told), "ReEncrypt"), material_of(answer.get(f"{side}KeyMaterialId"))
        )
        for name, told, side in sides
    )
    return RewrappedDataKey(encrypted_data_key_of(answer, "ReEncrypt", destination), from_key, to_key)


def require_same_region(source: str, destination: str) -> None:
    """Raise KmsRequestError for keys of two Regions, which ReEncrypt can't bridge."""
    if len({region_of(source), region_of(destination)} - {None}) > 1:
        raise errors.KmsRequestError(
            f"KMS can't rewrap from {source} to {destination}: they are in different Regions.",
            operation="ReEncrypt",
            key=source,
            remedy="Re-encrypt instead.",
        )


def must_be_named(answered: str, named: str | None, operation: str) -> None:
    """Raise UntrustedKeyError unless KMS used the key that the envelope names; None names none."""
    if named is None or same_key(answered, named):
        return
    raise errors.UntrustedKeyError(
        f"KMS used {answered} where the envelope names {named}.", operation=operation, key=answered
    )


def material_of(value: object) -> str | None:
    """Return the key material id of an answer, None where KMS tells none."""
    return _cleaned(str(value)) if value else None


_cleaned = lru_cache(maxsize=64)(clean)
_key_answer = lru_cache(maxsize=64)(KeyAnswer)
"""There are few keys and key materials, and thousands of answers a second name them."""


def closest(failures: Sequence[errors.KmsError]) -> errors.KmsError:
    """Return the failure that tells most: a key that refuses says more than one that was the wrong one."""
    told = [
        f for f in failures if not isinstance(f, errors.IncorrectKeyError | errors.InvalidCiphertextError)
    ]
    if told:
        return told[0]
    if len(failures) > 1 and all(isinstance(f, errors.IncorrectKeyError) for f in failures):
        keys = ", ".join(short_key(f.key) for f in failures)
        return errors.IncorrectKeyError(
            f"None of the {len(failures)} trusted keys ({keys}) wrapped this encrypted data key.",
            operation=failures[0].operation,
        )
    if len({region_of(f.key) for f in failures}) == 1:
        # In one Region the key that made a blob finds it damaged, and every other key finds it another's.
        return next((f for f in failures if isinstance(f, errors.InvalidCiphertextError)), failures[0])
    return failures[0]
