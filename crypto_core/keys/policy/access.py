"""Who may do what with a key: its policy and its grants put together, and the same in words.

AWS KMS Developer Guide, "Determining access to AWS KMS keys" and "Grants in AWS KMS". Where the key policy
names only an account, that account's IAM policies decide who of it: they are not the key's, so what is
returned here is what the key itself lets through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import POWERS, Power, in_words, powers
from crypto_core.keys.policy.conditions import Narrowing, narrowings
from crypto_core.keys.policy.document import Condition, PolicyDocument, Statement
from crypto_core.keys.principals import PolicyPrincipal, like
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.json_records import JsonRecord, made, shape


@dataclass(frozen=True, slots=True)
class Access:
    """What one principal may do with the key, and by which statement or grant."""

    principal: PolicyPrincipal
    all_but: bool
    actions: frozenset[str]
    narrowings: tuple[Narrowing, ...] = ()
    conditions: tuple[Condition, ...] = ()
    statement: str = ""
    """The statement's Sid, or "statement 2" where it has none; "" for a grant."""
    grant: Grant | None = None

    @classmethod
    def by_grant(cls, grant: Grant) -> Self:
        """What a grant allows. Its constraints are conditions: callers must give the encryption context."""
        known = frozenset(o for o in grant.operations if o in POWERS)
        conditions = tuple(
            Condition(kind, key, (value,))
            for kind, pairs in grant.constraints.items()
            for key, value in pairs.items()
        )
        return cls(grant.grantee, False, known, (), conditions, "", grant)

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts that callers are of; empty where anybody's may be meant, or a service."""
        if self.principal.account and not self.all_but:
            return frozenset({self.principal.account})
        bound = [n.accounts for n in self.narrowings if n.accounts]
        return frozenset.intersection(*bound) if bound else frozenset()

    def seen_from(self, account: str | None) -> str:
        who = self.principal.seen_from(account)
        return f"everyone but {who}" if self.all_but else who

    @property
    def is_public(self) -> bool:
        """True if anybody with AWS credentials may use it."""
        return (self.principal.is_everyone or self.all_but) and not self.narrowings and bool(self.actions)


def accesses(policy: PolicyDocument, grants: Sequence[Grant] = (), key_arn: str = "*") -> tuple[Access, ...]:
    """Return what a policy and grants allow, in the order of the policy, grants last.

    What is denied to a principal without a condition is left out of what it is allowed.
    """
    here = [(n, s) for n, s in enumerate(policy.statements, start=1) if s.applies_to(key_arn)]
    denials = [s for _, s in here if not s.allows]
    found: list[Access] = []
    for number, statement in here:
        if not statement.allows:
            continue
        bound = narrowings(statement, denials)
        for principal in statement.principals:
            denied = _denied(principal, denials) if not statement.all_principals_but else frozenset()
            actions = statement.covers - denied
            if actions:
                found.append(
                    Access(
                        principal,
                        statement.all_principals_but,
                        actions,
                        bound,
                        statement.conditions,
                        statement.sid or f"statement {number}",
                    )
                )
    found += [Access.by_grant(grant) for grant in grants]
    return tuple(found)


def _denied(principal: PolicyPrincipal, denials: Iterable[Statement]) -> frozenset[str]:
    found: set[str] = set()
    for denial in denials:
        if denial.conditions:
            denied = any(p.is_everyone for p in denial.principals) and _is_refused(principal, denial)
        else:
            denied = any(_is_of(principal, p) for p in denial.principals) is not denial.all_principals_but
        if denied:
            found |= denial.covers
    return frozenset(found)


def _is_refused(principal: PolicyPrincipal, denial: Statement) -> bool:
    """True if a denial of everyone is one of whoever has certain ARNs, and the principal has one of them."""
    if denial.all_principals_but or len(denial.conditions) != 1 or principal.is_account:
        return False
    (condition,) = denial.conditions
    by_arn = condition.operator in ("ArnLike", "ArnEquals") and condition.key.lower() == "aws:principalarn"
    return by_arn and any(like(value, principal.value) for value in condition.values)


def _is_of(principal: PolicyPrincipal, named: PolicyPrincipal) -> bool:
    if named.is_everyone or principal == named:
        return True
    return named.is_account and named.account == principal.account


_TESTS = {
    "stringequals": "is",
    "stringequalsignorecase": "is",
    "stringlike": "is like",
    "arnequals": "is",
    "arnlike": "is like",
    "bool": "is",
    "ipaddress": "is in",
    "notipaddress": "is not in",
    "stringnotequals": "is not",
    "stringnotlike": "is not like",
    "arnnotequals": "is not",
    "arnnotlike": "is not like",
    "encryptioncontextequals": "is, in the encryption context,",
    "encryptioncontextsubset": "is, in the encryption context,",
    "numericequals": "is",
    "numericlessthan": "is below",
    "numericgreaterthan": "is above",
    "numericlessthanequals": "is at most",
    "numericgreaterthanequals": "is at least",
    "datelessthan": "is before",
    "dategreaterthan": "is after",
}


@dataclass(frozen=True, slots=True)
@cleans(who=300, may=60, what=1_000, where=2_000, source=200)
class Sentence(JsonRecord):
    who: str
    may: str
    what: str
    where: str
    """Under which conditions, "" for none."""
    source: str
    powers: tuple[Power, ...]

    json_shape = shape("...", may=made(bool, lambda sentence: sentence.may == "may"))

    def __str__(self) -> str:
        where = f", {self.where}" if self.where else ""
        return f"{self.who} {self.may} {self.what}{where} ({self.source})"


def explain(
    policy: PolicyDocument, found: Sequence[Access], account: str | None = None
) -> tuple[Sentence, ...]:
    """Return what is allowed, then what is denied. `account` is the key's own, which goes without saying."""
    return (
        *(sentence_of(a, account) for a in found),
        *(_denial(s, n, account) for n, s in enumerate(policy.statements, start=1) if not s.allows),
    )


def sentence_of(access: Access, account: str | None = None) -> Sentence:
    who = access.seen_from(account)
    if access.principal.is_account and not access.all_but:
        who = f"{who} (whoever its IAM policies let)"
    told = {n.condition for n in access.narrowings}
    shown = [str(n) for n in access.narrowings]
    shown += [_in_words(c) for c in access.conditions if c not in told]
    grant = access.grant
    source = f"grant {grant.grant_id[:8]}…" if grant is not None else clean(access.statement, 120)
    return Sentence(who, "may", in_words(access.actions), "; ".join(shown), source, powers(access.actions))


def _denial(statement: Statement, number: int, account: str | None) -> Sentence:
    who = " and ".join(p.seen_from(account) for p in statement.principals)
    if statement.all_principals_but:
        who = f"everyone but {who}"
    where = "; ".join(_in_words(c) for c in statement.conditions)
    source = clean(statement.sid, 120) or f"statement {number}"
    return Sentence(who, "may not", in_words(statement.covers), where, source, powers(statement.covers))


def _in_words(condition: Condition) -> str:
    operator = condition.operator.lower()
    key = clean(condition.key, 120)
    if operator == "null":
        return f"if {key} is {'missing' if condition.values == ('true',) else 'given'}"
    some = operator.removeprefix("foranyvalue:").removeprefix("forallvalues:")
    test = _TESTS.get(some.removesuffix("ifexists"), clean(condition.operator, 60))
    values = " or ".join(clean(v, 200) for v in condition.values)
    lead = "if, where it is given," if some.endswith("ifexists") else "if"
    return f"{lead} {key} {test} {values}"
