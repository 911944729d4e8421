"""Which algorithms are in use by a snapshot, and how they stand against a large quantum computer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from crypto_core.compliance.algorithm_uses import use_of_key, uses_of_keydeck, uses_of_tokens
from crypto_core.compliance.cryptography_facts import AlgorithmFact, CryptographyFacts
from crypto_core.compliance.facts import GuardingKeyFacts, SettingFacts, TokenFacts
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart

_STANDINGS: tuple[tuple[str, Callable[[int | None], bool]], ...] = (
    ("no known quantum attack breaks", bool),
    ("a large quantum computer breaks", lambda category: category == 0),
    ("not known", lambda category: category is None),
)


def algorithms_in_use(snapshot: Snapshot) -> tuple[AlgorithmFact, ...]:
    """Return the algorithms that were recorded; where none were, those that follow from tokens and keys."""
    return tuple(_found(snapshot))


def _found(snapshot: Snapshot) -> Iterator[AlgorithmFact]:
    keys, recorded = snapshot.part(SnapshotPart.KEYS), snapshot.part(SnapshotPart.CRYPTOGRAPHY)
    if isinstance(keys, GuardingKeyFacts):
        yield from (use for key in keys.keys if (use := use_of_key(key)) is not None)
    if isinstance(recorded, CryptographyFacts):
        yield from recorded.algorithms
        return
    tokens, settings = snapshot.part(SnapshotPart.TOKENS), snapshot.part(SnapshotPart.SETTINGS)
    if isinstance(tokens, TokenFacts) and isinstance(settings, SettingFacts):
        yield from uses_of_tokens(tokens, settings.written_format)
    yield from uses_of_keydeck()


def quantum_readiness(algorithms: Iterable[AlgorithmFact]) -> tuple[str, ...]:
    """Return how algorithms stand against a large quantum computer, by their names, a line each."""
    found = tuple(algorithms)
    named = (
        (words, sorted({one.name for one in found if wanted(one.quantum_category)}))
        for words, wanted in _STANDINGS
    )
    return tuple(f"{words}: {', '.join(names)}" for words, names in named if names)
