"""The keys of an incident in all their Regions, and a step's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Situation
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.keys.state import KeyState
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import first_lines
from crypto_core.values.errors import InvalidFieldError, KeyNotFoundError, KmsError, RefusedError
from crypto_core.values.key_names import in_region, is_multi_region, region_of

NEW_KEY = "new_key"
JOB = "job"
ENCRYPT_JOB = "encrypt_job"
LEFT_OUT = "left_out"
RESPONDER = "responder"
READERS = "readers"
PLATFORM_PRINCIPALS = "platform_principals"
BLOCKED = "blocked"
"""Who was blocked on the old key."""
UNBLOCKED = "not_blocked"
"""The suspects that were left out of that, as was agreed to."""

_VALUE_LIMIT = 1_900
"""Characters of a value: an incident keeps 2,000 of each."""


def old_key(situation: Situation) -> str:
    """Return the name of the key that the incident is about. Raises RefusedError where it is about none."""
    if not situation.incident.scope.key:
        raise RefusedError(
            f"{situation.incident.name} is not about a KMS key.",
            remedy="Declare an incident for the key: keydeck incident start.",
        )
    return situation.incident.scope.key


def new_key(situation: Situation) -> str:
    """Return the ARN of the key that takes the old one's place, "" while there is none."""
    return situation.incident.values.get(NEW_KEY, "")


def required_new_key(situation: Situation) -> str:
    """Return the ARN of the new key. Raises RefusedError while there is none."""
    found = new_key(situation)
    if not found:
        raise RefusedError(
            f"{situation.incident.name} has no new key yet.",
            remedy="Make or choose it first, in the step before.",
        )
    return found


def everywhere(
    keys: KeyInventory, name: str, read: Callable[[str], KeyState] | None = None
) -> tuple[KeyState, ...]:
    """Return a key in each of its Regions, the one that was named first. Raises KmsError about that one.

    `read` reads one, None its description alone. A replica that is gone is left out; of one that can't be
    asked, `missing` has why as the part "state".
    """
    read = read or keys.describe
    first = read(name)
    found = [first]
    for arn in dict.fromkeys((first.primary_arn, *first.replica_arns)):
        if arn is None or arn == first.key_arn:
            continue
        try:
            found.append(read(arn))
        except KeyNotFoundError:
            continue
        except KmsError as error:
            # A Region that is down must not keep the key from being taken away in the others.
            found.append(KeyState(arn, region_of(arn) or "", missing={"state": str(error)}))
    return tuple(found)


def elsewhere(keys: KeyInventory, name: str) -> tuple[KeyState, ...]:
    """Return a multi-Region key's replicas in the other configured Regions, as far as these answer.

    For where the key's own Region does not: which Regions have a replica, only the key itself would tell.
    """
    found = []
    for region in keys.regions if is_multi_region(name) else ():
        replica = in_region(name, region)
        if replica != name:
            with suppress(KmsError):
                found.append(keys.describe(replica))
    return tuple(found)


def unasked(states: Iterable[KeyState]) -> tuple[str, ...]:
    return tuple(
        f"{state.key_arn} could not be asked: {state.missing['state']}"
        for state in states
        if "state" in state.missing
    )


def entered(situation: Situation, name: str, default: str = "") -> str:
    """Return the input, or its default if the field was not shown."""
    return situation.text(name).strip() if name in situation.inputs else default


def required_principal(arn: str, field: str, whose: str = "", *, or_account: bool = False) -> str:
    """Return the ARN of a role or user that was entered. Raises InvalidFieldError for what is none."""
    if not is_principal(arn) or (arn.endswith(":root") and not or_account):
        what = "an IAM role, user or account" if or_account else "an IAM role or user"
        raise InvalidFieldError(
            f"{clean(arn, 200) or 'Nobody'} is not {what}{whose}.",
            field=field,
            remedy="Write it as arn:aws:iam::123456789012:role/name.",
        )
    return arn


def listed(text: str) -> tuple[str, ...]:
    """Return the entries of a list that was entered with commas or spaces between."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def remembered(arns: Iterable[str]) -> str:
    """Return ARNs as a value of an incident: as many whole ones as it has room for."""
    text = ""
    for arn in arns:
        if len(text) + len(arn) + 1 > _VALUE_LIMIT:
            break
        text = f"{text},{arn}" if text else arn
    return text


def said(lines: Iterable[object], most: int = 40) -> tuple[str, ...]:
    """Return lines as they are shown: cleaned, each once, at most so many and how many are left."""
    return first_lines(list(dict.fromkeys(clean(line, 600) for line in lines)), most)


def key_check(look: IncidentCheck, clock: Callable[[], datetime]) -> IncidentCheck:
    """Return a check of keys that runs `look`. A refusal means not yet; repeated lines appear once."""

    def look_at_key(situation: Situation) -> CheckResult:
        try:
            result = look(situation)
        except RefusedError as error:
            result = CheckResult(CheckState.NOT_YET, (clean(error, 600),))
        return replace(result, lines=said(result.lines), at=clock())

    return look_at_key
