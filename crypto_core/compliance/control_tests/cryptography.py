"""Tests of cryptography: is all of it known, strong enough, and what is required."""

from __future__ import annotations

from datetime import datetime

from crypto_core.aws.fips import lacking_fips
from crypto_core.compliance.algorithms.aws_endpoints import trouble_of
from crypto_core.compliance.answer import BY_TEST, ControlAnswer, answer, cause, control_test, not_assessed
from crypto_core.compliance.facts import AlgorithmFact, CryptographyFacts
from crypto_core.compliance.snapshot import Lack, SnapshotPart
from crypto_core.findings.finding import Finding
from crypto_core.values.counts import counted, listed

LEAST_BITS = 128
"""OWASP ASVS 5.0, 11.2.3."""
_NOTHING = "no algorithm is known to be in use"


def _named(one: AlgorithmFact) -> str:
    size = f", {one.key_bits:,}-bit key" if one.key_bits else ""
    return f"{one.name}{size}: {one.use}"


@control_test("cryptography-inventoried", SnapshotPart.CRYPTOGRAPHY)
def _inventoried(_now: datetime, facts: CryptographyFacts) -> ControlAnswer:
    """Algorithms, keys, connections and certificates that protect tokens and records are known."""
    if not facts.algorithms:
        return not_assessed(_NOTHING)
    certificates = sum(one.certificate is not None for one in facts.endpoints)
    summary = ", ".join(
        (
            counted(len({one.name for one in facts.algorithms}), "algorithm"),
            counted(len(facts.signing_keys), "signing key"),
            counted(len(facts.endpoints), "endpoint"),
            counted(certificates, "certificate"),
        )
    )
    lines = [_named(one) for one in facts.algorithms]
    return answer([summary, *lines], unseen=_unseen(facts))


def _unseen(facts: CryptographyFacts) -> list[str]:
    return [f"Not known: {gap}" for gap in facts.gaps]


@control_test("algorithms-strong", SnapshotPart.CRYPTOGRAPHY)
def _strong(_now: datetime, facts: CryptographyFacts) -> ControlAnswer:
    """Every algorithm that protects tokens, records or calls has 128 bits of security."""
    used = [one for one in facts.algorithms if one.protects]
    if not used:
        return not_assessed(_NOTHING)
    weak: list[Finding] = []
    unknown: list[Finding] = []
    good: list[Finding] = []
    for one in used:
        bits = (
            "strength not known" if one.classical_bits is None else f"{one.classical_bits} bits of security"
        )
        found = cause(BY_TEST, _named(one), f"{_named(one)}; {bits}")
        if one.classical_bits is None:
            unknown.append(found)
        else:
            (weak if one.classical_bits < LEAST_BITS else good).append(found)
    return answer(good, bad=weak, open_=unknown, unseen=_unseen(facts))


@control_test("quantum-standing-known", SnapshotPart.CRYPTOGRAPHY)
def _quantum(_now: datetime, facts: CryptographyFacts) -> ControlAnswer:
    """Of every such algorithm it is known how it stands against quantum computers.

    To be broken one day is no failure today.
    """
    used = [one for one in facts.algorithms if one.protects]
    if not used:
        return not_assessed(_NOTHING)
    unknown = [f"{_named(one)}: {one.quantum}" for one in used if one.quantum_category is None]
    broken = [f"{_named(one)}: {one.quantum}" for one in used if one.quantum_category == 0]
    safe = sum(bool(one.quantum_category) for one in used)
    return answer(
        [f"{safe} of {counted(len(used), 'use')} stand", *broken], open_=unknown, unseen=_unseen(facts)
    )


@control_test("endpoints-encrypted-well", SnapshotPart.CRYPTOGRAPHY)
def _encrypted_well(now: datetime, facts: CryptographyFacts) -> ControlAnswer:
    """Endpoints of AWS agree on TLS 1.2 or 1.3, with certificates that last two weeks or more."""
    shaken = [one for one in facts.endpoints if one.protocol is not None]
    troubles = {one.host: trouble for one in facts.endpoints if (trouble := trouble_of(one, now))}
    if not shaken and not troubles:
        reasons = [f"{one.host}: {one.problem}" for one in facts.endpoints] or list(facts.gaps)
        here = facts.endpoints and not any(one.encrypted for one in facts.endpoints)
        told = f"no TLS on this machine: {listed(reasons, 3)}" if here else listed(reasons, 3)
        return not_assessed(told or "no endpoint was looked at", Lack.NOTHING if here else Lack.FAILED)
    found: dict[str, list[Finding]] = {"good": [], "bad": [], "open": []}
    for one in facts.endpoints:
        trouble = troubles.get(one.host, "")
        line = f"{one.host}: {trouble or one.problem}"
        if one.protocol is not None:
            agreed = f"{one.host}: {one.protocol}, {one.cipher}, {one.group or 'group not named'}"
            line = f"{agreed}: {trouble}" if trouble else agreed
        kind = "bad" if trouble else "good" if one.protocol is not None else "open"
        found[kind].append(cause(BY_TEST, one.host, line))
    return answer(found["good"], bad=found["bad"], open_=found["open"])


@control_test("fips-as-required", SnapshotPart.CRYPTOGRAPHY)
def _fips(_now: datetime, facts: CryptographyFacts) -> ControlAnswer:
    """OpenSSL is in FIPS mode where KEYDECK_FIPS requires it."""
    if not facts.modules:
        return not_assessed("no OpenSSL was asked")
    lines = [f"{one.what} ({one.version}): {one.why}" for one in facts.modules]
    if not facts.fips_required:
        return answer(["FIPS mode is not required (KEYDECK_FIPS)", *lines])
    return answer(lines, bad=[f"Not in FIPS mode: {one}" for one in lacking_fips(facts.modules)])
