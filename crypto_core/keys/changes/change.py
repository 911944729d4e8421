"""What an operator wants changed about a KMS key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crypto_core.guard.operations import ChangeKind as ChangeKind  # noqa: PLC0414
from crypto_core.keys.policy.block_statement import BlockStatement, arns_of
from crypto_core.keys.policy.document import MOST_BYTES
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.values.clean_text import DEFAULT_LIMIT, clean
from crypto_core.values.errors import InvalidFieldError, PolicyError, RefusedError
from crypto_core.values.typed_names import expanded

PERIOD_DAYS = range(90, 2561)
"""Days between automatic rotations (API reference, EnableKeyRotation)."""
DEFAULT_PERIOD_DAYS = 365
WINDOW_DAYS = range(7, 31)
"""Days that KMS waits before it deletes a key (API reference, ScheduleKeyDeletion)."""
DEFAULT_WINDOW_DAYS = 30
MOST_DESCRIPTION = 8192
"""Characters of a key's description (API reference, CreateKey)."""

_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}")
_GRANT_ID = re.compile(r"[!-~]{1,128}")


def number_of_days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        raise RefusedError(f"{clean(text, 40)!r} is not a number of days.", remedy="Write digits only.")
    return int(text)


def policy_in(path: str) -> str:
    """Return the text of a file of at most what KMS takes. Blocks; raises PolicyError."""
    try:
        with expanded(path).open("rb") as file:
            return file.read(MOST_BYTES + 1).decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} is not UTF-8 text.") from error
    except OSError as error:
        raise PolicyError(
            f"{path} can't be read: {error.strerror or 'it is not a file'}.",
            remedy="Name a file with a key policy in JSON.",
        ) from error


@dataclass(frozen=True, slots=True)
class ChangeArgument:
    """What a change takes besides its key: the field of KeyChange that has it, and how it is asked for."""

    field: str
    title: str = ""
    question: str = ""
    """ "" where it is chosen from what there is."""
    default: str = ""
    read: Callable[[str], Any] = str
    """Converts typed text into the field's value. Raises RefusedError, PolicyError; may block."""


_PRINCIPALS_ARN = "ARN of the role or user, or of one of its sessions:"
ARGUMENTS: Mapping[ChangeKind, ChangeArgument] = {
    ChangeKind.ENABLE_ROTATION: ChangeArgument(
        "period_days",
        "Enable rotation",
        "Days between rotations, 90 to 2,560:",
        str(DEFAULT_PERIOD_DAYS),
        number_of_days,
    ),
    ChangeKind.POINT_ALIAS: ChangeArgument(
        "alias",
        "Point an alias",
        "Which alias should point at this key? It is created if it doesn't exist.",
        "alias/",
    ),
    ChangeKind.SCHEDULE_DELETION: ChangeArgument(
        "window_days",
        "Schedule deletion",
        "Days until KMS deletes the key, 7 to 30. Until then it can be cancelled.",
        str(DEFAULT_WINDOW_DAYS),
        number_of_days,
    ),
    ChangeKind.PUT_POLICY: ChangeArgument(
        "policy",
        "Put a policy",
        "File with the policy. You see who gains and who loses what before it is applied.",
        read=policy_in,
    ),
    ChangeKind.BLOCK: ChangeArgument("principal", "Block a principal", _PRINCIPALS_ARN),
    ChangeKind.UNBLOCK: ChangeArgument("principal", "Unblock a principal", _PRINCIPALS_ARN),
    ChangeKind.REVOKE_GRANT: ChangeArgument("grant_id"),
    ChangeKind.REPLICATE: ChangeArgument(
        "region", "Replicate", "Region of the replica. Only a multi-Region primary can be replicated."
    ),
}
"""What changes take; those that aren't here take a key alone, and `create` has a form of its own."""


def _told(default: Any, most: int, *of: ChangeKind) -> Any:
    """A field whose texts have at most `most` characters in documents, 0 for none; of these kinds alone."""
    return field(default=default, metadata={"most": most, "of": of})


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change. `key` is an ARN, id, alias or alias ARN; "" for a key that is to be made.

    Only the fields that its kind names are looked at. In its document, which is what a second person consents
    to, stands every field that is given, but where the field itself says otherwise.
    """

    kind: ChangeKind
    key: str = ""
    period_days: int | None = _told(None, 256, ChangeKind.ENABLE_ROTATION, ChangeKind.CREATE)
    """enable-rotation, create. None: the period stays, or becomes 365 days; for create: no rotation."""
    window_days: int = _told(DEFAULT_WINDOW_DAYS, 256, ChangeKind.SCHEDULE_DELETION)
    alias: str = _told("", 256, ChangeKind.POINT_ALIAS, ChangeKind.CREATE)
    """alias, create: with or without its "alias/"."""
    description: str = _told("", DEFAULT_LIMIT, ChangeKind.CREATE)
    principals: Mapping[Role, tuple[str, ...]] = field(
        default_factory=dict, metadata={"most": DEFAULT_LIMIT, "of": (ChangeKind.CREATE,)}
    )
    """create: whom the policy is for, by role; ARNs."""
    multi_region: bool = _told(False, 256, ChangeKind.CREATE)
    policy: str = _told("", 0)
    """A plan's digest has it, and what follows from it."""
    accept_lockout: bool = _told(False, 0)
    """put-policy: also one that seems to leave no one able to change it. KMS decides."""
    principal: str = _told("", 300)
    """block, unblock: the ARN of a role, a user or a session of a role."""
    only_from: tuple[str, ...] = _told((), 60)
    """block: the addresses and VPC endpoints from which it is not refused."""
    blocks: tuple[BlockStatement, ...] = _told((), 300)
    """block: several in one policy, instead of `principal`. create: who is refused from the beginning."""
    grant_id: str = _told("", 130)
    region: str = _told("", 60)
    unopened: str = _told("", 40)
    """disable, schedule-deletion: how many tokens under the replacing keys are given up, as it is typed."""

    @property
    def blocked(self) -> tuple[BlockStatement, ...]:
        return self.blocks or (BlockStatement(self.principal, self.only_from),)

    @property
    def alias_name(self) -> str:
        """The alias with its "alias/"; "" without one."""
        return self.alias if not self.alias or self.alias.startswith("alias/") else f"alias/{self.alias}"

    @property
    def subject(self) -> str:
        if self.kind is ChangeKind.CREATE:
            return f"a new key {clean(self.alias_name, 256)}".rstrip()
        if self.kind is ChangeKind.POINT_ALIAS:
            return f"{clean(self.alias_name, 256)} at {clean(self.key, 256)}"
        return clean(self.key, 256)

    def as_json(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"change": self.kind.value, "key": clean(self.key, 256)}
        for one in fields(self)[2:]:
            of, most = one.metadata.get("of", ()), one.metadata.get("most", 256)
            value = (self.alias_name or None) if one.name == "alias" else getattr(self, one.name)
            if most and (self.kind in of if of else value):
                asked[one.name] = _cleaned(value, most)
        return asked


def _cleaned(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return clean(value, most)
    if isinstance(value, BlockStatement):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(name): _cleaned(one, most) for name, one in value.items()}
    return [_cleaned(one, most) for one in value] if isinstance(value, tuple) else value


def check(change: KeyChange) -> None:
    """Raise RefusedError for what KMS always rejects: limits and malformed names. Calls nothing."""
    kind = change.kind
    if kind in (ChangeKind.ENABLE_ROTATION, ChangeKind.CREATE) and change.period_days is not None:
        _within(change.period_days, PERIOD_DAYS, "A rotation period is")
    if kind is ChangeKind.SCHEDULE_DELETION:
        _within(change.window_days, WINDOW_DAYS, "A deletion waits")
    if kind is ChangeKind.POINT_ALIAS or (kind is ChangeKind.CREATE and change.alias):
        _alias(change.alias_name)
    if kind is ChangeKind.CREATE and clean(change.description, MOST_DESCRIPTION) != change.description:
        raise RefusedError(
            "The description has control or format characters, or is too long.",
            remedy=f"Write one line of at most {MOST_DESCRIPTION:,} characters.",
        )
    if kind is ChangeKind.REPLICATE and not _REGION.fullmatch(change.region):
        raise RefusedError(
            f"{clean(change.region, 60)!r} is not an AWS Region.", remedy="Write it as in eu-west-1."
        )
    if kind is ChangeKind.UNBLOCK:
        arns_of(change.principal)
    if kind is ChangeKind.BLOCK:
        for block in change.blocked:
            block.statement()
    if kind is ChangeKind.REVOKE_GRANT and not _GRANT_ID.fullmatch(change.grant_id):
        raise RefusedError(
            f"{clean(change.grant_id, 60)!r} is not a grant id.",
            remedy="List them with: keydeck keys grants.",
        )


def _within(days: int, allowed: range, what: str) -> None:
    if days not in allowed:
        raise RefusedError(
            f"{what} {allowed.start} to {allowed.stop - 1} days, not {days}.", remedy="Choose other days."
        )


def _alias(name: str) -> None:
    if not _ALIAS.fullmatch(name):
        raise InvalidFieldError(
            f"{clean(name, 80)!r} is not a valid alias.",
            field="alias",
            remedy="Use letters, digits, /, _ and -; at most 250 of them behind alias/.",
        )
    if name.startswith("alias/aws/"):
        raise InvalidFieldError(
            "Aliases that begin with alias/aws/ are AWS's own.", field="alias", remedy="Choose another name."
        )
