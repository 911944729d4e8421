"""A key policy and grants in words: who may do what, under which conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.actions import Power, in_words, powers
from crypto_core.keys.policy.document import Condition, PolicyDocument, Statement
from crypto_core.text.clean_text import clean, cleans
from crypto_core.text.json_records import JsonRecord, made, shape

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
        *(_denied(s, n, account) for n, s in enumerate(policy.statements, start=1) if not s.allows),
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


def _denied(statement: Statement, number: int, account: str | None) -> Sentence:
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
