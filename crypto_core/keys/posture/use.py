"""How keys are used: the alias, keys that new tokens should no longer be under, and old key material."""

from __future__ import annotations

from datetime import timedelta

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import CRYPTOPERIOD, PCI_KEY_CHANGES, PCI_KEY_RETIREMENT
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.keys.posture.rotation import comes_after, marked_earlier
from crypto_core.keys.state import LastUse, last_use_since
from crypto_core.values.key_names import parse_key_name, same_key

_RETIRED = (PCI_KEY_RETIREMENT,)
STILL_DAYS = 30
"""A use within so many days counts as one of today's platform."""
UNUSED_DAYS = 90
"""A key that nobody used for so many days may be forgotten."""


@rule(
    "kms-alias-elsewhere",
    "Alias that names another key than the one written under",
    Severity.HIGH,
    Facts.KEYS,
    about="KEYDECK_WRITE_ALIAS, or an alias left behind, names another key than TOKEN_ENCRYPTION_KEY_ID",
    controls=_RETIRED,
)
def alias_elsewhere(estate: Estate) -> Said:
    for facts in estate.keys:
        if facts.key.state is not None:
            yield from _aliases_of(facts, estate)
    yield from _alias_of_settings(estate)


def _aliases_of(facts: KeyFacts, estate: Estate) -> Said:
    """Yield the aliases of this key that should name the key written under.

    That is the alias of KEYDECK_WRITE_ALIAS; the very alias that TOKEN_ENCRYPTION_KEY_ID names, where it
    means another key in another Region; and, where TOKEN_ENCRYPTION_KEY_ID names a key without an alias of
    its own, the alias of the key that it took the place of: then the move was done by half.
    """
    writing = estate.writing
    if writing is None or same_key(facts.arn, writing.arn):
        return
    where = f"{facts.key.name} {facts.arn}"
    configured = estate.write_key or ""
    named = parse_key_name(configured).alias if configured else None
    unnamed = not writing.key.aliases and "aliases" not in writing.key.missing
    left_behind = unnamed and comes_after(writing, facts)
    for alias in facts.key.aliases:
        if alias == estate.limits.alias:
            severity, why = Severity.HIGH, "KEYDECK_WRITE_ALIAS names it as the platform's"
        elif alias == named and facts.key.region != writing.key.region:
            severity, why = Severity.MEDIUM, f"in {writing.key.region} it means another key"
        elif left_behind and not marked_earlier(alias):
            severity, why = Severity.MEDIUM, "that key has no alias, and took this one's place"
        else:
            continue
        yield Finding(
            "",
            severity,
            alias,
            f"{alias} does not point to the key that tokens are written under",
            f"ListAliases: it points to {where} in {facts.key.region}; "
            f"TOKEN_ENCRYPTION_KEY_ID is {writing.arn}; {why}",
            f"Point the alias to the key written under (keydeck keys alias {alias} {writing.arn}), or set "
            "TOKEN_ENCRYPTION_KEY_ID to what the alias names, in the platform too.",
        )


def _alias_of_settings(estate: Estate) -> Said:
    """Yield what is wrong with the alias of KEYDECK_WRITE_ALIAS itself: not known, or of no key."""
    alias = estate.limits.alias
    if not alias or any(alias in facts.key.aliases for facts in estate.keys):
        return
    why = {reason for facts in estate.keys if (reason := facts.key.missing.get("aliases"))}
    if why or not estate.keys:
        yield Gap(f"{alias}: where it points: {', '.join(sorted(why)) or 'no key is known'}", Severity.HIGH)
        return
    yield Finding(
        "",
        Severity.HIGH,
        alias,
        f"{alias} points to no key that is known",
        f"ListAliases: {alias} is of none of {len(estate.keys):,} keys",
        "Create the alias for the key written under, or correct KEYDECK_WRITE_ALIAS and KEYDECK_REGIONS.",
    )


@rule(
    "kms-old-key-in-use",
    "Data keys made under a key that is no longer written under",
    Severity.MEDIUM,
    Facts.KEY,
    about="its last use made a data key",
    controls=_RETIRED,
)
def old_key_in_use(facts: KeyFacts, estate: Estate) -> Said:
    """Yield a key under which new data keys are still made, though another is set.

    GetKeyLastUsage tells the last use alone, so a Decrypt hides what came before it: this rule proves that
    data keys are made, never that none are. CloudTrail tells both.
    """
    writing, key = estate.writing, facts.key
    if writing is None or same_key(facts.arn, writing.arn):
        return
    if not (facts.tokens or facts.trusted) or key.state is None:
        return
    use, why = _use_within(facts, estate, STILL_DAYS)
    if why or (key.last_used_at is not None and key.last_used_for is None):
        yield facts.gap("last use", why or "KMS does not tell", Severity.MEDIUM)
    if use is not LastUse.SEALED:
        return
    born = writing.key.created_at
    if born is None or key.last_used_at is None or key.last_used_at <= born:
        return
    yield facts.finding(
        Severity.MEDIUM,
        f"Data keys are still made under {key.name}, which is no longer written under",
        f"GetKeyLastUsage: {key.last_used_for} at {key.last_used_at:%Y-%m-%d %H:%M} UTC; "
        f"TOKEN_ENCRYPTION_KEY_ID is {writing.arn}",
        "Find out in CloudTrail who calls it; give every instance of the platform the new key, then take "
        "kms:GenerateDataKey away in this key's policy.",
    )


def _use_within(facts: KeyFacts, estate: Estate, days: int) -> tuple[LastUse, str]:
    """Return what KMS reports of the last days, as far as there was the key, and why that is not known."""
    key, since = facts.key, estate.now - timedelta(days=days)
    use = last_use_since(key, max(since, key.created_at or since))
    if use is not LastUse.UNTRACKED:
        return use, (key.missing.get("last use") or key.missing["state"]) if use is LastUse.UNREAD else ""
    tracked = key.use_tracked_since
    return use, f"KMS reports it since {tracked:%Y-%m-%d} only" if tracked else "KMS does not tell"


@rule(
    "kms-unused",
    "KMS key that nobody uses",
    Severity.LOW,
    Facts.KEYS,
    about=f"enabled, no token under it, not used for {UNUSED_DAYS} days: what can be used unseen",
    controls=_RETIRED,
)
def unused(estate: Estate) -> Said:
    """Yield enabled keys that guard no token and were not used for long, and one gap for a reason.

    KMS tells the last use since it began to track uses: a key may have been used before.
    """
    unknown: dict[str, list[str]] = {}
    for facts in estate.keys:
        key = facts.key
        if not facts.customer or not key.usable or facts.guards or facts.trusted:
            continue
        use, why = _use_within(facts, estate, UNUSED_DAYS)
        if why:
            unknown.setdefault(why, []).append(facts.arn)
        last = key.last_used_at or key.use_tracked_since
        age = estate.age(last)
        if use is not LastUse.SILENT or age is None or last is None or age.days < UNUSED_DAYS:
            continue
        seen = f"{key.last_used_for or 'a use'} at" if key.last_used_at else "no use since tracking began at"
        yield facts.finding(
            Severity.LOW,
            f"{key.name} has not been used for {age.days:,} days",
            f"GetKeyLastUsage: {seen} {last:%Y-%m-%d %H:%M} UTC; {facts.tokens_in_words()}",
            f"Disable it (keydeck keys disable {facts.arn}), wait whether anybody misses it, then schedule "
            "its deletion: what is sealed under it can't be opened afterwards.",
        )
    for why, arns in unknown.items():
        yield Gap(
            f"{arns[0]}{f' and {len(arns) - 1:,} more' if arns[1:] else ''}: last use: {why}", Severity.LOW
        )


@rule(
    "kms-material-old",
    "Tokens on old key material",
    Severity.MEDIUM,
    Facts.KEY,
    about="older than KEYDECK_MATERIAL_DAYS",
    controls=(PCI_KEY_CHANGES, CRYPTOPERIOD),
)
def old_material(facts: KeyFacts, estate: Estate) -> Said:
    """Yield a key with tokens on key material older than the limit.

    A replica has its primary's material: one of both is told, the primary where it is known.
    """
    key, limit = facts.key, estate.limits.material_days
    if not facts.tokens or (key.is_replica and estate.has(key.primary_arn)):
        return
    since = {m.key_material_id: m.since for m in key.materials}
    old: list[tuple[int, str]] = []
    unknown = 0
    for material, tokens in facts.by_material.items():
        age = estate.age(since.get(material))
        if age is None:
            unknown += tokens
        elif age.days > limit:
            number = key.material_number(material)
            old.append((age.days, f"{tokens:,} on material {number} ({material[:8]}), {age.days:,} days old"))
    young = estate.age(key.created_at)
    if unknown and (young is None or young.days > limit):
        why = key.missing.get("materials", "KMS does not report when it was created")
        yield facts.gap(f"age of the key material of {unknown:,} tokens", why, Severity.MEDIUM)
    if not old:
        return
    old.sort(reverse=True)
    yield facts.finding(
        Severity.MEDIUM,
        f"{key.name} has tokens on key material older than {limit:,} days",
        "tokens: " + "; ".join(words for _, words in old),
        f"Re-encrypt them: keydeck reencrypt --from {facts.arn} --to KEY. Rotation leaves them as they are.",
    )
