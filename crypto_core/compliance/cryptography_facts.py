"""What Keydeck measured of cryptography: algorithms, signing keys, connections, OpenSSLs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.algorithms.algorithm import HowKnown, Primitive
from crypto_core.algorithms.aws_endpoints import EndpointFact
from crypto_core.algorithms.openssl_modules import OpensslModule
from crypto_core.text.cleaning import NO_TEXT, CleanText, cleans

_LINE = 600


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class AlgorithmFact:
    """One algorithm in one use; an algorithm in several uses is there once for each.

    `name` to `standard` are those of `crypto_core.algorithms.algorithm.Algorithm`: sizes and strength in
    bits, category 0 to 5, None where no standard says. `primitive` has CycloneDX's names.
    """

    name: CleanText
    primitive: Primitive
    key_bits: int | None
    classical_bits: int | None
    quantum_category: int | None
    oid: CleanText
    approved: bool | None
    standard: CleanText
    quantum: CleanText
    """How it stands against a large quantum computer, as a sentence."""
    use: CleanText
    """What it does, such as "seals tokens in format v1"."""
    protects: tuple[CleanText, ...] = ()
    """Token columns, "journal", "TLS with kms in eu-west-1"; nothing where its key is public."""
    tokens: int | None = None
    """How many tokens; None where it is about none, or they were not counted."""
    known: HowKnown = HowKnown.FACT
    why: CleanText = NO_TEXT
    """What `known` rests on."""


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class SigningKeyFact:
    """A configured key that signs, or signed until `until`, the journal's checkpoints, records and reports.

    `spec` is KMS's; `algorithm` is the name of an algorithm, None where KMS was not read or the spec is new.
    `missing` says why then.
    """

    name: CleanText
    arn: CleanText | None = None
    spec: CleanText | None = None
    state: CleanText | None = None
    algorithm: CleanText | None = None
    signs: bool = False
    """Whether new signatures are made with it: true of one at most."""
    until: datetime | None = None
    missing: CleanText = NO_TEXT


@dataclass(frozen=True, slots=True)
@cleans(_LINE)
class CryptographyFacts:
    """Which algorithms protect what, by which keys, connections and OpenSSLs.

    `gaps` are what could not be found out. `fips_required` is KEYDECK_FIPS=require.
    """

    algorithms: tuple[AlgorithmFact, ...]
    signing_keys: tuple[SigningKeyFact, ...] = ()
    endpoints: tuple[EndpointFact, ...] = ()
    modules: tuple[OpensslModule, ...] = ()
    fips_required: bool = False
    gaps: tuple[CleanText, ...] = ()
