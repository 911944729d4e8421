"""What KMS permits with each key: dry runs of what changes or signs, and simply the calls that only read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any

from crypto_core.aws.kms import READ_ONLY_OPERATIONS, KmsApi
from crypto_core.aws.kms_signer import rehearsals
from crypto_core.diagnosis.aws import LISTED, Apis, AwsPlace
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.guard.operations import BY_NAME
from crypto_core.keyring.preflight import DECRYPT, GENERATE, REENCRYPT_FROM, Permission, Preflight
from crypto_core.values import errors
from crypto_core.values.key_names import in_region, is_multi_region, parse_key_name, region_of, short_key

_READ = tuple(call for call in BY_NAME["inspect"].kms_calls if call not in ("DescribeKey", *LISTED))
"""What is asked of a key to inspect it, besides DescribeKey; none of these takes an alias."""

_NO_ANSWER = (errors.KmsUnreachableError, errors.CredentialsError)


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """A configured key. `is_write_key` is True for the one that is written under."""

    name: str
    is_write_key: bool
    namesake: int = 0
    """How many keys before it look the same when shortened."""

    @property
    def area(self) -> str:
        """The heading of its checks."""
        title = f"{'write' if self.is_write_key else 'trusted'} key {short_key(self.name)}"
        return f"{title[:50]} ({self.namesake + 1})" if self.namesake else title


def keys_of(place: AwsPlace) -> tuple[KeyPlace, ...]:
    """Return the configured keys, each once, the write key first."""
    names = dict.fromkeys((*([place.write_key] if place.write_key else []), *place.trusted_keys))
    keys: list[KeyPlace] = []
    for name in names:
        alike = sum(short_key(k.name) == short_key(name) for k in keys if not k.is_write_key)
        keys.append(KeyPlace(name, name == place.write_key, alike))
    return tuple(keys)


def look_at_key(key: KeyPlace, place: AwsPlace, apis: Apis, stop: Event) -> Iterator[Check]:
    """Yield what KMS permits with a key, in each Region where it may be."""
    try:
        places = _in_regions(key.name, apis.regions)
    except errors.KeydeckError as error:
        yield Topic(key.area, "key").skipped(f"Not asked: {error.message}")
        return
    for region, name in places:
        if stop.is_set():
            return
        where = f" in {region}" if len(places) > 1 else ""
        yield from _KeyChecks(key, name, where, place, apis.of(region), stop).checks()


def _in_regions(name: str, regions: tuple[str, ...]) -> list[tuple[str, str]]:
    """(Region, name there): an ARN is in its own, a multi-Region key and a bare name may be in each."""
    own = region_of(name)
    if own is None:
        return [(region, name) for region in regions]
    if not is_multi_region(name):
        return [(own, name)]
    return [(region, in_region(name, region)) for region in dict.fromkeys((own, *regions))]


@dataclass(slots=True)
class _KeyChecks:
    """The checks of one key in one Region; ends early where AWS does not answer or there is no such key."""

    key: KeyPlace
    name: str
    where: str
    place: AwsPlace
    api: KmsApi
    stop: Event
    ended_by: str = ""

    def checks(self) -> Iterator[Check]:
        arn = yield from self._describe()
        steps: list[Callable[[], Iterator[Check]]] = [
            *(partial(self._read, operation, arn) for operation in _READ),
            *([self._generate] if self.key.is_write_key else []),
            self._decrypt,
            self._reencrypt,
        ]
        for step in steps:
            if self.stop.is_set():
                return
            if self.ended_by:
                yield self._topic("the rest").skipped(f"Not asked: {self.ended_by}")
                return
            yield from step()

    def _describe(self) -> Generator[Check, None, str]:
        """Return, after its check, the key's ARN; "" where it isn't known."""
        topic = self._topic("kms:DescribeKey")
        try:
            metadata = self.api.call("DescribeKey", KeyId=self.name)["KeyMetadata"]
            arn, state = str(metadata["Arn"]), str(metadata["KeyState"])
        except errors.KeyNotFoundError as error:
            self.ended_by = "there is no such key here."
            elsewhere = bool(self.where)
            yield topic.skipped(error.message) if elsewhere else self._bad(topic, error.message, error.remedy)
            return ""
        except errors.KeydeckError as error:
            yield self._failed(topic, error)
            return self.name if parse_key_name(self.name).key_id else ""
        except (KeyError, TypeError):
            yield topic.unknown("Not known: what answered is not KMS.")
            return ""
        if state != "Enabled":
            remedy = "Enable it (kms:EnableKey), or name another key."
            said = f"Allowed. {arn} is {state}: no token under it can be opened, none written."
            yield self._bad(topic, said, remedy)
        else:
            yield topic.ok(f"Allowed. {arn} is enabled.")
        return arn

    def _read(self, operation: str, arn: str) -> Iterator[Check]:
        topic = self._topic(f"kms:{operation}")
        if not arn:
            yield topic.skipped("Not checked: this needs the key id from DescribeKey.")
            return
        if operation not in READ_ONLY_OPERATIONS:
            yield topic.skipped("Not asked: it is not among what read-only mode permits.")
            return
        try:
            self.api.call(operation, KeyId=arn, **_parameters(operation))
        except errors.KmsRequestError as error:
            if "UnsupportedOperation" in error.message:
                yield topic.ok("Allowed; this kind of key has none.")
            else:
                yield self._failed(topic, error)
        except errors.KeydeckError as error:
            yield self._failed(topic, error)
        else:
            yield topic.ok("Allowed.")

    def _generate(self) -> Iterator[Check]:
        yield self._permission(Preflight(self.api).may_generate(self.name))

    def _decrypt(self) -> Iterator[Check]:
        yield self._permission(Preflight(self.api).may_decrypt(self.name, None))

    def _reencrypt(self) -> Iterator[Check]:
        target = self.place.write_key
        if target is None:
            return
        ours, theirs = region_of(self.name), region_of(target)
        if ours and theirs and ours != theirs:
            said = "Not asked: KMS rewraps within one Region only. Re-encrypt works."
            yield self._topic(REENCRYPT_FROM).skipped(said)
            return
        asked = Preflight(self.api).may_reencrypt(
            self.name, self.name if self.key.is_write_key else target, None
        )
        for permission in asked if self.key.is_write_key else asked[:1]:
            yield self._permission(permission)

    def _permission(self, permission: Permission) -> Check:
        topic = self._topic(permission.action)
        if permission.allowed:
            return topic.ok(f"Allowed. {permission.reason}".rstrip())
        if permission.allowed is None:
            return topic.unknown(permission.reason, permission.remedy)
        if permission.action != DECRYPT and self.place.read_only:
            return topic.skipped(
                f"Refused, and not needed while Keydeck is in read-only mode. {permission.reason}"
            )
        said = f"Refused. {permission.reason}"
        if permission.action in (DECRYPT, GENERATE):
            return self._bad(topic, said, permission.remedy)
        # Without ReEncrypt a token can still be re-encrypted.
        return topic.warning(said, permission.remedy)

    def _failed(self, topic: Topic, error: errors.KeydeckError) -> Check:
        if isinstance(error, _NO_ANSWER):
            self.ended_by = error.message
            return topic.failed_by(error)
        if isinstance(error, errors.KmsAccessDeniedError):
            return topic.warning(f"Refused. {error.message}", error.remedy)
        return (
            topic.unknown(error.message, error.remedy)
            if isinstance(error, errors.KmsError)
            else topic.unknown_by(error)
        )

    def _bad(self, topic: Topic, said: str, remedy: str) -> Check:
        """The key can't be used. A warning for others than the write key, which may be meant to be dead."""
        return (topic.failed if self.key.is_write_key else topic.warning)(said, remedy)

    def _topic(self, action: str) -> Topic:
        return Topic(self.key.area, f"{action}{self.where}")


def _parameters(operation: str) -> dict[str, Any]:
    if operation == "GetKeyPolicy":
        return {"PolicyName": "default"}
    return {"Limit": 1} if operation.startswith("List") else {}


_SIGNING = ("Sign", "GenerateMac")
_DEAD = (errors.KeyDisabledError, errors.KeyStateError, errors.KeyNotFoundError)


@dataclass(frozen=True, slots=True)
class SigningPlace:
    """A configured signing key. `signs` is True for the first of them, the others only verify.

    A former one has an `end`: what was signed later does not count.
    """

    name: str
    signs: bool
    number: int
    end: datetime | None = None

    @property
    def area(self) -> str:
        """The heading of its checks."""
        return f"signing key {short_key(self.name)}"[:50] + ("" if self.signs else f" ({self.number})")


def signing_keys_of(
    names: Sequence[str], former: Mapping[str, datetime] | None = None
) -> tuple[SigningPlace, ...]:
    """Return the configured signing keys, each once, the one that signs first, former ones last."""
    ends = dict(former or {})
    every = dict.fromkeys((*names, *ends))
    return tuple(SigningPlace(name, n == 1, n, ends.get(name)) for n, name in enumerate(every, start=1))


def look_at_signing_key(key: SigningPlace, apis: Apis, stop: Event) -> Iterator[Check]:
    """Yield whether a key can sign at all, and whether KMS lets it sign and verify."""
    described = Topic(key.area, "kms:DescribeKey")
    try:
        api = apis.of(region_of(key.name) or apis.regions[0])
        arn, calls = rehearsals(api.call, key.name)
    except errors.KeydeckError as error:
        yield _told(key, described, error)
        return
    if key.end is not None:
        yield described.ok(f"Allowed. {arn} counts for what was signed until {key.end:%Y-%m-%d %H:%M:%S %Z}.")
    elif key.signs:
        yield described.ok(f"Allowed. {arn} can sign.")
    else:
        said = f"Allowed. {arn} can sign, and has no end: who may use it signs on."
        yield described.ok(said, "Move it to KEYDECK_FORMER_SIGNING_KEYS, as: KEY until TIME.")
    for operation, parameters in calls.items():
        if stop.is_set():
            return
        action = Topic(key.area, f"kms:{operation}")
        if operation in _SIGNING and not key.signs:
            continue
        try:
            api.call(operation, region=region_of(arn), DryRun=True, **parameters)
        except (errors.DryRunPassedError, errors.InvalidSignatureError):
            yield action.ok("Allowed.")
        except errors.KeydeckError as error:
            yield _told(key, action, error)
        else:
            yield action.ok("Allowed.")


def _told(key: SigningPlace, action: Topic, error: errors.KeydeckError) -> Check:
    """What a call failed with. Without a key that only verifies, older signatures can't be verified."""
    told = action.failed if key.signs else action.warning
    if isinstance(error, errors.KmsAccessDeniedError):
        return told(f"Refused. {error.message}", error.remedy)
    if isinstance(error, _DEAD) or not isinstance(error, errors.KmsError):
        return told(error.message, error.remedy)
    return action.unknown_by(error)
