"""What KMS permits with the keys that sign checkpoints of the journal and reports: by dry runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core import errors
from crypto_core.aws.kms_signer import rehearsals
from crypto_core.diagnosis.aws import Apis
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.key_names import region_of, short_key

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
