"""Who may do what with a key beyond those who should: everybody, other accounts, whole accounts by grant.

AWS KMS Developer Guide, "Key policies", "Default key policy", "Allowing users in other accounts to use a KMS
key" and "Grants in AWS KMS"; IAM User Guide, "The confused deputy problem". Conditions are respected as
`crypto_core.keys.policy.conditions` reads them: kms:CallerAccount, kms:ViaService, aws:PrincipalOrgID,
aws:SourceAccount, aws:SourceArn, … Not seen here are IAM policies: where a key policy names its own account,
they decide who of it. That statement of the default key policy is normal in AWS and no finding; what goes to
other accounts, to everybody, or in full to roles and users besides the administrators is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crypto_core.findings import standards
from crypto_core.findings.finding import Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.keys.policy.access import Access, sentence_of
from crypto_core.keys.policy.actions import Power, powers
from crypto_core.keys.policy.conditions import Bound, account_of
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.keys.principals import like
from crypto_core.values.counts import counted

LEAST = (standards.LEAST_PRIVILEGE, standards.PCI_LEAST_PRIVILEGE)
_FULL = frozenset({"Decrypt", "PutKeyPolicy", "ScheduleKeyDeletion"})
"""All three together can open tokens, let others in, and destroy the key: kms:* in all but name."""
_MOST = 5
_HARM = {
    Power.DELEGATE: Severity.HIGH,
    Power.DESTROY: Severity.HIGH,
    Power.OPEN: Severity.HIGH,
    Power.SEAL: Severity.MEDIUM,
    Power.ADMINISTER: Severity.MEDIUM,
    Power.LOOK: Severity.LOW,
}
"""What it means that another account has a power over the key."""


def policy_unknown(facts: KeyFacts) -> Iterator[Gap]:
    if not facts.customer:
        return
    if facts.accesses is None:
        yield facts.gap("policy", facts.missing.get("policy", "KMS does not tell"), Severity.CRITICAL)
    if facts.grants is None:
        yield facts.gap("grants", facts.missing.get("grants", "KMS does not tell"), Severity.CRITICAL)


@rule(
    "kms-key-public",
    "KMS key open to everybody",
    Severity.CRITICAL,
    Facts.KEY,
    about="anybody with AWS credentials may use the key; conditions that bind callers are respected",
    controls=(standards.HUB_PUBLIC, standards.CIS_PUBLIC, *LEAST),
)
def public(facts: KeyFacts, _: Estate) -> Said:
    found = [a for a in _by_policy(facts) if a.is_public]
    if not found:
        return
    harmless = all(powers(a.actions) == (Power.LOOK,) for a in found)
    yield facts.finding(
        Severity.MEDIUM if harmless else facts.weighed(Severity.CRITICAL),
        f"{facts.key.name} is open to everyone" + (" to look at" if harmless else ""),
        f"policy: {_told(found, facts)}; {facts.tokens_in_words()}",
        "Name the principals, or bind them with aws:PrincipalOrgID or kms:CallerAccount: "
        f"keydeck keys policy {facts.arn} --generate.",
    )


@rule(
    "kms-key-cross-account",
    "KMS key used from other accounts",
    Severity.HIGH,
    Facts.KEY,
    about="by policy or grant, by what they may do; KEYDECK_TRUSTED_ACCOUNTS are expected",
    controls=LEAST,
)
def cross_account(facts: KeyFacts, estate: Estate) -> Said:
    """Yield principals of other accounts than the key's, by policy and by grant.

    Accounts of KEYDECK_TRUSTED_ACCOUNTS are expected. A power is as bad as what it does; where a condition
    narrows it further, one degree less. Everybody of an organization or through a service, and a service that
    acts for anybody, are told as medium or low: which accounts that are can't be told.
    """
    expected = estate.limits.accounts | ({facts.account} if facts.account else set())
    foreign: list[Access] = []
    unbound: list[Access] = []
    for access in (*_by_policy(facts), *_by_grant(facts)):
        accounts = _accounts(access)
        if not accounts <= expected:
            foreign.append(access)
        elif not accounts and access.actions and not access.is_public and _reaches_far(access):
            unbound.append(access)
    if foreign:
        beyond = sorted({account for access in foreign for account in _accounts(access) - expected})
        yield facts.finding(
            facts.weighed(_worst(_harm(a) for a in foreign)),
            f"{facts.key.name} may be used from account {' and '.join(beyond[:_MOST])}",
            f"{_told(foreign, facts)}; {facts.tokens_in_words()}",
            "If that account is intended, name it in KEYDECK_TRUSTED_ACCOUNTS; otherwise take it "
            "out of the key policy or revoke the grant.",
        )
    if unbound:
        opens = any(_worst_power(a) is Severity.HIGH for a in unbound)
        yield facts.finding(
            Severity.MEDIUM if opens else Severity.LOW,
            f"{facts.key.name} may be used from accounts that its policy does not name",
            f"{_told(unbound, facts)}; {facts.tokens_in_words()}",
            "Bind the statement to accounts: kms:CallerAccount for principals, aws:SourceAccount or "
            "aws:SourceArn for services.",
        )


@rule(
    "kms-key-full-control",
    "KMS key under full control of others than its administrators",
    Severity.HIGH,
    Facts.KEY,
    about="roles and users with kms:* beyond KEYDECK_ADMINISTRATORS; medium where none are named",
    controls=(standards.SEPARATION, *LEAST),
)
def full_control(facts: KeyFacts, estate: Estate) -> Said:
    """Yield roles and users who may do everything and are no administrators.

    High where KEYDECK_ADMINISTRATORS says who they are, else medium: then any role or user with full control
    is told. The key's account as a whole is none of them; other accounts and everybody have rules of their
    own.
    """
    named = estate.limits.administrators
    found: list[Access] = []
    for access in _by_policy(facts):
        if not access.actions >= _FULL or access.is_public:
            continue
        if access.principal.is_account and not access.all_but:
            continue
        if not all(any(like(pattern, who) for pattern in named) for who in _who(access)):
            found.append(access)
    if not found:
        return
    beyond = "is no administrator" if len(found) == 1 else "are no administrators"
    yield facts.finding(
        facts.weighed(Severity.HIGH) if named else Severity.MEDIUM,
        f"{facts.key.name} is under full control of {counted(len(found), 'principal')} who {beyond}",
        f"{_told(found, facts)}; KEYDECK_ADMINISTRATORS: {', '.join(named) or 'not set'}; "
        f"{facts.tokens_in_words()}",
        f"Give each role what it needs: keydeck keys policy {facts.arn} --generate; or name the "
        "administrators in KEYDECK_ADMINISTRATORS.",
    )


@rule(
    "kms-grant-wide",
    "Grant on a KMS key to more than one principal",
    Severity.CRITICAL,
    Facts.KEY,
    about="critical to everybody or to a pattern of principals, high to a whole account",
    controls=LEAST,
)
def wide_grants(facts: KeyFacts, estate: Estate) -> Said:
    expected = estate.limits.accounts
    found = [
        access
        for access in _by_grant(facts)
        if access.actions
        and ("*" in access.principal.value or access.principal.is_account)
        and access.principal.account not in expected
    ]
    if not found:
        return
    stars = any("*" in a.principal.value for a in found)
    yield facts.finding(
        facts.weighed(Severity.CRITICAL if stars else Severity.HIGH),
        f"{facts.key.name} has {counted(len(found), 'grant')} to more than one principal",
        f"{_told(found, facts)}; {facts.tokens_in_words()}",
        f"Revoke it (keydeck keys revoke-grant {facts.arn} GRANT) and grant to one role, with an "
        "encryption context.",
    )


def _by_policy(facts: KeyFacts) -> tuple[Access, ...]:
    return facts.accesses or () if facts.customer else ()


def _by_grant(facts: KeyFacts) -> Iterator[Access]:
    if facts.customer:
        for grant in facts.grants or ():
            yield Access.by_grant(grant)


def _accounts(access: Access) -> frozenset[str]:
    if access.accounts or access.all_but:
        return access.accounts
    account = account_of(access.principal.value)  # also of an identity provider
    return frozenset({account}) if account else frozenset()


def _reaches_far(access: Access) -> bool:
    """True if callers of any account may be meant although the statement isn't public."""
    if access.principal.is_everyone or access.all_but:
        return all(n.bound in (Bound.ORGANISATION, Bound.SERVICE) for n in access.narrowings)
    service = access.principal.kind == "Service"
    return service and access.grant is None and not access.conditions


def _who(access: Access) -> tuple[str, ...]:
    """The principals that are meant: those that a condition names, else the statement's own."""
    bound = [n.values for n in access.narrowings if n.bound is Bound.PRINCIPAL]
    return bound[0] if bound else (access.principal.value,)


def _harm(access: Access) -> Severity:
    """What the worst of the powers means; one degree less where more than the account is asked for."""
    harm = _worst_power(access)
    further = any(n.bound is not Bound.ACCOUNT for n in access.narrowings)
    return Severity.MEDIUM if harm is Severity.HIGH and further else harm


def _worst_power(access: Access) -> Severity:
    found = powers(access.actions)
    return _HARM[found[0]] if found else Severity.LOW


def _worst(severities: Iterable[Severity]) -> Severity:
    return min(severities, key=lambda s: s.rank)


def _told(found: list[Access], facts: KeyFacts) -> str:
    account = account_of(facts.key.key_arn)
    told = [str(sentence_of(access, account)) for access in found[:_MOST]]
    more = len(found) - _MOST
    return "; ".join(told) + (f"; and {more:,} more" if more > 0 else "")
