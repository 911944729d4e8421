"""What KMS would refuse, found out before a run begins.

KMS answers a call with `DryRun` as it would answer the call itself, except that it does nothing and that
success is an error, DryRunOperationException (AWS KMS Developer Guide, "Testing your permissions"; API
reference of Decrypt, GenerateDataKey and ReEncrypt). Dry runs are billed, count against the request quota and
are in CloudTrail like any call.

Decrypt and ReEncrypt are tried with a sample, an encrypted data key that the run will meet. Where there is
none, KMS is asked to ignore the ciphertext (`DryRunModifiers`): then it says whether the call is permitted
and nothing about what would be opened. A KMS or a boto3 that can't be asked that way leaves the permission
"not known".

A sample that KMS refuses proves nothing about permission. IncorrectKeyException and
InvalidCiphertextException are about the sample; whether KMS had authorised the caller by then is not
documented, and endpoints differ: one authorises the named key first, another never. An AccessDeniedException
may be about the key that had wrapped the sample instead of the named one ("The ciphertext refers to …"). So
after any of the three KMS is asked once more, without the sample, and that answer counts. Where it can't be,
a denial stands, and the other two leave the permission not known.

An endpoint that doesn't know `DryRun` answers for real. That is a permission too; the data key is wiped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.guard.operations import BY_NAME, Operation
from crypto_core.keyring.checked_answers import REFUSALS, take_plaintext
from crypto_core.keyring.data_keys import NO_CONTEXT
from crypto_core.values import errors
from crypto_core.values.key_names import is_key_arn, may_mean, parse_key_name, region_of

GENERATE, DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"
REENCRYPT_FROM, REENCRYPT_TO = "kms:ReEncryptFrom", "kms:ReEncryptTo"

_OF_THE_SAMPLE = (errors.IncorrectKeyError, errors.InvalidCiphertextError, errors.KmsAccessDeniedError)

_WITHOUT_CIPHERTEXT: Mapping[str, Any] = {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether an IAM action on a key would succeed now. `allowed` is None where that is not known.

    `key` is named as the caller named it, in whatever form. `reason` and `remedy` are empty where there is
    nothing to add.
    """

    action: str
    key: str
    allowed: bool | None
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class WrappedSample:
    """An encrypted data key that a key had wrapped, with its encryption context."""

    encrypted_data_key: bytes = field(repr=False)
    context: EncryptionContext = field(default_factory=lambda: NO_CONTEXT)


class Preflight:
    """Asks KMS what it would permit. Changes nothing, also in read-only mode; brings no data key home.

    Only a malformed setting raises (SettingsError): what KMS answers, or that it doesn't, is a Permission.
    """

    def __init__(self, kms: KmsApi) -> None:
        self._kms = kms

    def may_generate(self, key: str, context: EncryptionContext = NO_CONTEXT) -> Permission:
        """Return whether data keys can be made under `key` (one KMS call)."""
        parse_key_name(key)
        failure = self._rehearse(
            "GenerateDataKey", region_of(key), KeyId=key, KeySpec="AES_256", EncryptionContext=dict(context)
        )
        return _permission(GENERATE, key, _Answer(failure))

    def may_decrypt(
        self, key: str, encrypted_data_key: bytes | None, context: EncryptionContext = NO_CONTEXT
    ) -> Permission:
        """Return whether what `key` had wrapped can be opened (one KMS call, two if it is refused)."""
        parse_key_name(key)
        answer = self._try(
            "Decrypt", region_of(key), encrypted_data_key, KeyId=key, EncryptionContext=dict(context)
        )
        return _permission(DECRYPT, key, answer)

    def may_reencrypt(
        self,
        source: str,
        destination: str,
        encrypted_data_key: bytes | None,
        context: EncryptionContext = NO_CONTEXT,
    ) -> tuple[Permission, Permission]:
        """Return whether a data key can be rewrapped: from `source`, and to `destination`.

        One KMS call, two if the sample is refused. ReEncrypt opens before it wraps, so while the source is
        refused nothing is known about the destination, and a refused destination says that the source isn't.
        """
        parse_key_name(source)
        parse_key_name(destination)
        regions = {region_of(source), region_of(destination)} - {None}
        if len(regions) > 1:
            return (
                Permission(REENCRYPT_FROM, source, None, "Not known: KMS was not asked."),
                Permission(
                    REENCRYPT_TO,
                    destination,
                    False,
                    f"KMS can't rewrap from {source} to {destination}: they are in different Regions.",
                    "Re-encrypt instead.",
                ),
            )
        answer = self._try(
            "ReEncrypt",
            next(iter(regions), None),
            encrypted_data_key,
            SourceKeyId=source,
            DestinationKeyId=destination,
            SourceEncryptionContext=dict(context),
            DestinationEncryptionContext=dict(context),
        )
        return _both_sides(source, destination, answer)

    def for_run(
        self,
        target: str,
        sources: Mapping[str, WrappedSample | None],
        *,
        operation: Operation = BY_NAME["reencrypt"],
        context: EncryptionContext = NO_CONTEXT,
    ) -> tuple[Permission, ...]:
        """Return every permission that a run needs, each once.

        `sources` are the keys that the tokens are under, each with a sample if there is one; none for tokens
        in plaintext. What a run needs is what the `operation` calls. It re-encrypts under `target`, with
        `context` on the new data keys, or rewraps to it, and opens what it has made with `target` too.
        """
        found: list[Permission] = []
        if GENERATE in operation.iam:
            found.append(self.may_generate(target, context))
        for source, sample in sources.items():
            blob = sample.encrypted_data_key if sample else None
            bound_to = sample.context if sample else context
            found.append(self.may_decrypt(source, blob, bound_to))
            if REENCRYPT_FROM in operation.iam:
                found += self.may_reencrypt(source, target, blob, bound_to)
        if target not in sources:
            found.append(self.may_decrypt(target, None, context))
        return _each_once(found)

    def _try(
        self, operation: str, region: str | None, encrypted_data_key: bytes | None, **parameters: Any
    ) -> _Answer:
        """Rehearse with the sample; without one, or where KMS refuses it, ignoring the ciphertext."""
        if encrypted_data_key is None:
            failure = self._rehearse(operation, region, **parameters, **_WITHOUT_CIPHERTEXT)
            return _Answer(failure, "there is no sample, and without one: " if failure else "")
        refused = self._rehearse(operation, region, CiphertextBlob=encrypted_data_key, **parameters)
        if not isinstance(refused, _OF_THE_SAMPLE):
            return _Answer(refused)
        failure = self._rehearse(operation, region, **parameters, **_WITHOUT_CIPHERTEXT)
        if failure is None:
            return _Answer(None, f"KMS permits it, but not with the sample: {refused.message}")
        return _Answer(failure if isinstance(failure, REFUSALS) else refused)

    def _rehearse(self, operation: str, region: str | None, **parameters: Any) -> errors.KmsError | None:
        given = {name: value for name, value in parameters.items() if value}
        try:
            answer = self._kms.call(operation, region=region, DryRun=True, **given)
        except errors.DryRunPassedError:
            return None
        except errors.KmsError as error:
            return error
        if "Plaintext" in answer:
            with suppress(errors.KmsRequestError):  # of another length: wiped all the same
                take_plaintext(answer, operation, "").wipe()
        return None


@dataclass(frozen=True, slots=True)
class _Answer:
    """Why a rehearsal failed, None if the call would succeed, and a note."""

    failure: errors.KmsError | None
    note: str = ""


def _permission(action: str, key: str, answer: _Answer) -> Permission:
    failure = answer.failure
    if failure is None:
        return Permission(action, key, True, answer.note)
    if isinstance(failure, REFUSALS):
        return Permission(action, key, False, failure.message, failure.remedy)
    return Permission(action, key, None, f"Not known: {answer.note}{failure.message}", failure.remedy)


def _both_sides(source: str, destination: str, answer: _Answer) -> tuple[Permission, Permission]:
    failure = answer.failure
    if not isinstance(failure, REFUSALS):
        return _permission(REENCRYPT_FROM, source, answer), _permission(REENCRYPT_TO, destination, answer)
    action = _refused_action(source, destination, failure)
    if action == REENCRYPT_FROM:
        unknown = f"Not known while {REENCRYPT_FROM} is refused on {source}."
        return _permission(action, source, answer), Permission(REENCRYPT_TO, destination, None, unknown)
    if action == REENCRYPT_TO:
        return Permission(REENCRYPT_FROM, source, True), _permission(action, destination, answer)
    unclear = f"Not known: KMS does not say which of the two keys it means. {failure.message}"
    return (
        Permission(REENCRYPT_FROM, source, None, unclear, failure.remedy),
        Permission(REENCRYPT_TO, destination, None, unclear, failure.remedy),
    )


def _refused_action(source: str, destination: str, failure: errors.KmsError) -> str | None:
    """The side of ReEncrypt that KMS refused, None if it can't be told."""
    if isinstance(failure, errors.KmsAccessDeniedError):
        return failure.action if failure.action in (REENCRYPT_FROM, REENCRYPT_TO) else None
    if source == destination or not _may_mean(destination, failure.key):
        return REENCRYPT_FROM if _may_mean(source, failure.key) else None
    return None if _may_mean(source, failure.key) else REENCRYPT_TO


def _may_mean(name: str, refused: str) -> bool:
    """False if `refused`, which KMS named in an error, can't be the key called `name`."""
    return name == refused or (is_key_arn(refused) and may_mean(name, refused))


def _each_once(found: Iterable[Permission]) -> tuple[Permission, ...]:
    """One permission for each action and key: a refusal before a yes, either before what is not known."""
    told: dict[tuple[str, str], Permission] = {}
    for permission in found:
        known = told.get((permission.action, permission.key))
        if known is None or _WEIGHT[permission.allowed] > _WEIGHT[known.allowed]:
            told[permission.action, permission.key] = permission
    return tuple(told.values())


_WEIGHT = {None: 0, True: 1, False: 2}
