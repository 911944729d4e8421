"""Which algorithm does what: by the census, KMS's key specs, handshakes, Keydeck's own formats. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from crypto_core.compliance import facts
from crypto_core.compliance.algorithms.algorithm import (
    ALGORITHMS,
    Algorithm,
    HowKnown,
    Primitive,
    algorithm_of_spec,
)
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact
from crypto_core.compliance.snapshot import Snapshot
from crypto_core.envelope import VERSIONS, Format
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import partition_of, region_of

_BY_FORMAT = {
    **{format_: version.algorithms for format_, version in VERSIONS.items()},
    Format.DEV: (
        ("AES-128-CBC", "Fernet, under a published key: protects nothing"),
        ("HMAC-SHA-256 (128-bit key)", "Fernet's tag, under a published key: protects nothing"),
    ),
}

_OF_KEYDECK = (
    ("SHA-256", "chains the journal's entries", ("journal",)),
    (
        "SHA-256",
        "names evidence, plans and envelopes by their digests",
        ("evidence", "approvals", "receipts"),
    ),
    ("HMAC-SHA-256", "fingerprints tokens, so that a leaked one is found", ("index of tokens",)),
    ("HMAC-SHA-256", "signs requests to AWS (Signature Version 4)", ("calls of AWS",)),
)
"""Whatever the settings say: by Keydeck's own code."""

_CIPHERS = {
    "AES_256_GCM": "AES-256-GCM",
    "AES256-GCM": "AES-256-GCM",
    "AES_128_GCM": "AES-128-GCM",
    "AES128-GCM": "AES-128-GCM",
    "CHACHA20": "ChaCha20-Poly1305",
}


def uses_of_tokens(tokens: facts.TokenFacts, written: Format) -> Iterator[facts.AlgorithmFact]:
    """Yield what seals the tokens that were counted, and those that will be written."""
    for format_, parts in _BY_FORMAT.items():
        number = tokens.by_format.get(format_, 0)
        if not number and format_ is not written:
            continue
        columns = [one.column for one in tokens.columns if one.by_format.get(format_)]
        why = "counted by what is stored" if number else "new tokens are written in it"
        for name, use in parts:
            yield algorithm_fact(
                *(ALGORITHMS[name], use.format(format=format_)),
                protects=() if format_ is Format.DEV else columns,
                tokens=number,
                why=why,
            )


def use_of_key(key: facts.KeyFact) -> facts.AlgorithmFact | None:
    """Return what wraps data keys by a KMS key; None where its spec isn't known."""
    found = algorithm_of_spec(key.spec or "", partition_of(region_of(key.arn) or ""))
    if found is None:
        return None
    return algorithm_fact(
        *(found, f"wraps data keys in KMS under {key.name}"),
        protects=[f"data keys under {key.arn}"],
        tokens=key.tokens,
        known=HowKnown.INFERENCE,
        why=f"KMS says {key.spec}, which is {found.name} by AWS's documentation",
    )


def use_of_signing_key(key: facts.SigningKeyFact) -> facts.AlgorithmFact | None:
    """Return what signs by a key; None where that isn't known."""
    if key.algorithm is None:
        return None
    until = f", until {key.until:%Y-%m-%d}" if key.until else ""
    use = f"signs by {key.name}" if key.signs else f"verifies what {key.name} signed{until}"
    return algorithm_fact(
        *(ALGORITHMS[key.algorithm], use),
        protects=["journal", "records", "reports", "approvals"],
        why=f"KMS says {key.spec}",
    )


def uses_of_endpoint(endpoint: EndpointFact) -> Iterator[facts.AlgorithmFact]:
    """Yield key exchange and cipher of a connection; none for one that nothing was agreed on."""
    if endpoint.protocol is None:
        return
    where = [f"TLS with {', '.join(endpoint.services)} in {endpoint.region}"]
    why = f"agreed on in a handshake with {endpoint.host}"
    if endpoint.group is not None:
        group = ALGORITHMS.get(endpoint.group) or _unknown(endpoint.group)
        yield algorithm_fact(group, f"agrees on keys ({endpoint.protocol})", protects=where, why=why)
    cipher = endpoint.cipher or ""
    named = next((name for part, name in _CIPHERS.items() if part in cipher), "")
    yield algorithm_fact(
        ALGORITHMS.get(named) or _unknown(cipher), f"encrypts calls ({cipher})", protects=where, why=why
    )


def uses_of_keydeck() -> Iterator[facts.AlgorithmFact]:
    for name, use, protects in _OF_KEYDECK:
        yield algorithm_fact(ALGORITHMS[name], use, protects=protects, why="Keydeck's own code")


def algorithm_fact(
    algorithm: Algorithm,
    use: str,
    *,
    protects: Iterable[str],
    tokens: int | None = None,
    known: HowKnown = HowKnown.FACT,
    why: str,
) -> facts.AlgorithmFact:
    return facts.AlgorithmFact(
        name=clean(algorithm.name),
        primitive=algorithm.primitive,
        key_bits=algorithm.key_bits,
        classical_bits=algorithm.classical_bits,
        quantum_category=algorithm.quantum_category,
        oid=clean(algorithm.oid),
        approved=algorithm.approved,
        standard=clean(algorithm.standard),
        quantum=clean(algorithm.quantum_standing),
        use=clean(use),
        protects=tuple(map(clean, protects)),
        tokens=tokens,
        known=known,
        why=clean(why),
    )


def _unknown(name: str) -> Algorithm:
    return Algorithm(name, Primitive.UNKNOWN, None, None, None, approved=None)


_STANDINGS: tuple[tuple[str, Callable[[int | None], bool]], ...] = (
    ("no known quantum attack breaks", bool),
    ("a large quantum computer breaks", lambda category: category == 0),
    ("not known", lambda category: category is None),
)


def algorithms_in_use(snapshot: Snapshot) -> tuple[facts.AlgorithmFact, ...]:
    """Return the algorithms that were recorded; where none were, those that follow from tokens and keys."""
    return tuple(_found(snapshot))


def _found(snapshot: Snapshot) -> Iterator[facts.AlgorithmFact]:
    if keys := snapshot.known(facts.GuardingKeyFacts):
        yield from (use for key in keys.keys if (use := use_of_key(key)) is not None)
    if recorded := snapshot.known(facts.CryptographyFacts):
        yield from recorded.algorithms
        return
    tokens, settings = snapshot.known(facts.TokenFacts), snapshot.known(facts.SettingFacts)
    if tokens and settings:
        yield from uses_of_tokens(tokens, settings.written_format)
    yield from uses_of_keydeck()


def quantum_readiness(algorithms: Iterable[facts.AlgorithmFact]) -> tuple[str, ...]:
    """Return how algorithms stand against a large quantum computer, by their names, a line each."""
    found = tuple(algorithms)
    named = (
        (words, sorted({one.name for one in found if wanted(one.quantum_category)}))
        for words, wanted in _STANDINGS
    )
    return tuple(f"{words}: {', '.join(names)}" for words, names in named if names)
