"""Names of KMS keys: ARN, key id, alias and alias ARN, and when two of them mean the same key.

AWS KMS Developer Guide, "Key identifiers (KeyId)" and "Multi-Region keys": replicas of a multi-Region key
share a key id that begins with "mrk-" and the same key material.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeGuard

from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import SettingsError

_ARN = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):kms:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):(?P<rest>.+)"
)
# A multi-Region key's id is mrk- and 32 digits; moto and LocalStack keep the dashes.
_KEY_ID = re.compile(r"(?:(?:mrk-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|mrk-[0-9a-f]{32})")
_KEY_ARN = re.compile(rf"arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{{12}}:key/{_KEY_ID.pattern}")
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")


@dataclass(frozen=True, slots=True, order=True)
class AccountRegion:
    """One account's Region: where a key is, and whose trail records its use. `account` "" is not known."""

    account: str
    region: str

    def __str__(self) -> str:
        return f"{self.account} {self.region}".strip()


@dataclass(frozen=True, slots=True)
class KeyName:
    """One parsed name. `region` and `account` are None where the name does not say them."""

    text: str
    key_id: str | None
    alias: str | None
    region: str | None
    account: str | None

    @property
    def is_key_arn(self) -> bool:
        """True for a key's own ARN, the only name that can't come to mean another key."""
        return self.key_id is not None and self.region is not None


def parse_key_name(text: str) -> KeyName:
    """Return the parsed name. Raises SettingsError if it is none of the four forms that KMS accepts."""
    arn = _ARN.fullmatch(text)
    rest, region, account = (arn["rest"], arn["region"], arn["account"]) if arn else (text, None, None)
    if _ALIAS.fullmatch(rest):
        return KeyName(text, None, rest, region, account)
    key_id = rest.removeprefix("key/") if arn else rest
    if _KEY_ID.fullmatch(key_id) and (arn is None or rest.startswith("key/")):
        return KeyName(text, key_id, None, region, account)
    # Whoever pastes a token in the wrong place must not find it in an error.
    shown = f": {text!r}" if text.startswith(("arn:", "alias/")) or len(text) <= 20 else ""
    raise SettingsError(
        f"Not a KMS key{shown}.",
        remedy="Name it by key ARN (arn:aws:kms:…:key/…), key id, alias (alias/…) or alias ARN.",
    )


def is_key_arn(value: object) -> TypeGuard[str]:
    """True for the text of a key ARN."""
    return isinstance(value, str) and _KEY_ARN.fullmatch(value) is not None


def same_key(arn: str, other: str) -> bool:
    """True if two key ARNs mean one key: equal, or replicas of one multi-Region key of one account."""
    if arn == other:
        return True
    first, second = _ARN.fullmatch(arn), _ARN.fullmatch(other)
    return (
        first is not None
        and second is not None
        and first["rest"] == second["rest"]
        and first["rest"].startswith("key/mrk-")
        and first["account"] == second["account"]
    )


def may_mean(name: str, key_arn: str) -> bool:
    """False if the key called `name` can't be `key_arn`. An alias is always of its own account and Region."""
    parsed = parse_key_name(name)
    if parsed.is_key_arn:
        return same_key(name, key_arn)
    if parsed.key_id is not None:
        return key_arn.endswith(f":key/{parsed.key_id}")
    return parsed.region in (None, region_of(key_arn)) and parsed.account in (None, account_of(key_arn))


def means(name: str, key_arn: str, aliases: Collection[str]) -> bool:
    """True if a name means the key, or a replica of it, that has these aliases."""
    alias = parse_key_name(name).alias
    return may_mean(name, key_arn) and (alias is None or alias in aliases)


def region_of(name: str) -> str | None:
    """None for a bare key id or alias."""
    arn = _ARN.fullmatch(name)
    return arn["region"] if arn else None


def account_of(name: str) -> str | None:
    """None for a bare key id or alias."""
    arn = _ARN.fullmatch(name)
    return arn["account"] if arn else None


def homes_of(names: Iterable[str]) -> tuple[AccountRegion, ...]:
    """By keys' ARNs, each once; other names say none."""
    arns = filter(None, map(_ARN.fullmatch, names))
    return tuple(dict.fromkeys(AccountRegion(arn["account"], arn["region"]) for arn in arns))


def in_region(arn: str, region: str) -> str:
    """The ARN that a multi-Region key's replica has in another Region. Raises SettingsError for no ARN."""
    parsed = parse_key_name(arn)
    if parsed.region is None:
        raise SettingsError(f"Not an ARN: {arn!r}.")
    return arn.replace(f":kms:{parsed.region}:", f":kms:{region}:", 1)


def is_multi_region(arn: str) -> bool:
    """Of its primary or a replica."""
    parsed = _ARN.fullmatch(arn)
    return parsed is not None and parsed["rest"].startswith("key/mrk-")


def short_key(name: str) -> CleanText:
    """The last four characters of a key id as "…9f2c", an alias whole: enough to tell keys apart on a row."""
    rest = name.rsplit(":", 1)[-1]
    return clean(rest if rest.startswith("alias/") else f"…{rest[-4:]}")


def short_material(key_material_id: str) -> CleanText:
    """The beginning of a key material's id as "96083e…": enough to tell a key's materials apart."""
    return clean(f"{key_material_id[:6]}…")


PARTITIONS = {
    "cn-": "aws-cn",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
}
"""AWS's partitions by what the names of their Regions begin with; any other Region is of `aws`."""


def partition_of(region: str) -> str:
    """Return the partition in a Region's ARNs."""
    return next((name for begin, name in PARTITIONS.items() if region.startswith(begin)), "aws")
