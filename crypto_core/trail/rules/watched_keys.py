"""The keys that rules are about: those that guard tokens, the one written under, those that are retired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crypto_core.findings.finding import Gap, Severity
from crypto_core.values.errors import KmsError, SettingsError
from crypto_core.values.key_names import account_of, is_key_arn, parse_key_name, same_key


@dataclass(frozen=True, slots=True)
class Configured:
    """Names of keys as settings have them: ARNs, ids, aliases. `accounts` are other accounts expected."""

    write_key: str | None = None
    trusted: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    alias: str = ""
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Keys:
    """Configured keys, each by the ARN that it has, as far as that is known, and by its names."""

    writing: frozenset[str] = frozenset()
    guarding: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    """Aliases that settings name, and all those of the keys that guard tokens."""
    accounts: frozenset[str] = frozenset()
    """The accounts that callers and grantees are expected to be of."""
    names: Mapping[str, Sequence[str]] | None = None

    def guards(self, arns: Sequence[str]) -> bool:
        """True if one of these keys guards tokens; of any key where settings name none."""
        return not self.guarding or any(one_of(arn, self.guarding) for arn in arns)

    def is_retired(self, arns: Sequence[str]) -> bool:
        return any(one_of(arn, self.retired) for arn in arns)

    def name(self, arn: str) -> str:
        """A key as a title has room for it: its alias, else its id's end."""
        known = (self.names or {}).get(arn, ())
        if known:
            return known[0]
        return f"key …{arn[-4:]}" if is_key_arn(arn) else arn


def one_of(arn: str, keys: frozenset[str]) -> bool:
    """True if a key is one of some: by its ARN, by that of a replica, or by the name that it goes by."""
    return any(arn == key or same_key(arn, key) for key in keys)


def patterns(keys: frozenset[str], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what the filter's field `key` is like for these keys: ARN, replicas' ARNs, aliases."""
    found: dict[str, None] = {}
    for key in sorted(keys):
        rest = key.rsplit("/", 1)[-1]
        if is_key_arn(key) and rest.startswith("mrk-"):
            found[f"arn:*:kms:*:{account_of(key)}:key/{rest}"] = None
        else:
            found[key] = None
        for arn, aliases in names.items():
            if same_key(arn, key):
                found |= dict.fromkeys(aliases)
    return tuple(found)


def resolve(
    configured: Configured, names: Mapping[str, Sequence[str]], describe: Callable[[str], str]
) -> tuple[Keys, tuple[Gap, ...]]:
    """Return the keys, and a gap for each name that `describe`, which may raise KmsError, doesn't know."""
    gaps: list[Gap] = []

    def arns(wanted: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for name in wanted:
            parsed = parse_key_name(name)
            if parsed.is_key_arn:
                found.add(name)
                continue
            known = {arn for arn, aliases in names.items() if parsed.alias in aliases} if parsed.alias else ()
            if known:
                found |= set(known)
                continue
            try:
                found.add(describe(name))
            except (KmsError, SettingsError) as error:
                # An event may call the key by the same name.
                found.add(parsed.alias or parsed.key_id or name)
                gaps.append(Gap(f"CloudTrail events: which key {name} is: {error.message}", Severity.LOW))
        return frozenset(found)

    writing = arns([configured.write_key] if configured.write_key else [])
    retired = arns(configured.retired)
    guarding = writing | arns(configured.trusted) | retired
    aliases = {alias for arn, known in names.items() if one_of(arn, guarding) for alias in known}
    aliases |= {configured.alias} if configured.alias else set()
    for name in (configured.write_key, *configured.trusted, *configured.retired):
        alias = parse_key_name(name).alias if name else None
        aliases |= {alias} if alias else set()
    accounts = {account for arn in guarding if (account := account_of(arn))} | configured.accounts
    keys = Keys(writing, guarding, retired, frozenset(aliases), frozenset(accounts), names)
    return keys, tuple(dict.fromkeys(gaps))
