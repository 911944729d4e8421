"""What protects the sandbox's tokens and records: by its census, its KMS keys, and handshakes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from console.container import Container
from console.evidence.services import EvidenceServices
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.aws.fips import DATABASE, LIBRARY, PYTHON
from crypto_core.compliance.algorithm_uses import uses_of_endpoint, uses_of_tokens
from crypto_core.compliance.algorithms.algorithm import HowKnown
from crypto_core.compliance.facts import AlgorithmFact, CryptographyFacts, TokenFacts
from crypto_core.compliance.snapshot import SnapshotPart, read_snapshot, snapshot_json
from crypto_core.envelope import Format
from crypto_core.values.clean_text import clean
from tests.conftest import ForReading
from tests.crypto_core.compliance.algorithms.facts import ENDPOINT

C = SnapshotPart.CRYPTOGRAPHY
END = datetime(2026, 1, 1, tzinfo=UTC)


def using(facts: Iterable[AlgorithmFact], words: str) -> list[AlgorithmFact]:
    return [one for one in facts if words in one.use]


def measured(services: Container) -> CryptographyFacts:
    snapshot = services.of(EvidenceServices).compliance.reader.take([C])
    facts = snapshot.part(C)
    assert isinstance(facts, CryptographyFacts)
    assert read_snapshot(json.loads(json.dumps(snapshot_json(snapshot)))) == snapshot
    return facts


def test_algorithms_are_those_of_formats_keys_signatures_and_connections(
    for_reading: ForReading, sandbox: Sandbox, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    signing = str(made["KeyMetadata"]["Arn"])
    former = f"{world.old_key.arn} until 2026-01-01T00:00:00Z"
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", f"{signing},alias/nobody-has")
    monkeypatch.setenv("KEYDECK_FORMER_SIGNING_KEYS", former)
    container = Container(load().settings)
    try:
        facts = measured(container)
        counted = container.status.take_census()
    finally:
        container.close()

    for format_ in (Format.V1, Format.DEV):
        sealed = using(facts.algorithms, "in format v1" if format_ is Format.V1 else "published key")
        assert sealed, format_
        assert {one.tokens for one in sealed} == {counted.by_format[format_]}
        assert {bool(one.protects) for one in sealed} == {format_ is Format.V1}
    (v1,) = using(facts.algorithms, "in format v1")
    assert (v1.name, v1.classical_bits, v1.quantum_category, v1.known) == (
        *("AES-256-GCM", 256, 5),
        HowKnown.FACT,
    )
    assert "gh_connection.access_token" in v1.protects

    wrapping = using(facts.algorithms, "wraps data keys")
    assert {one.name for one in wrapping} == {"AES-256-GCM"}
    assert {one.known for one in wrapping} == {HowKnown.INFERENCE}
    assert world.old_key.arn in str([one.protects for one in wrapping])

    signs, missing, ended = facts.signing_keys
    assert (signs.name, signs.spec, signs.algorithm, signs.signs) == (
        *(signing, "ECC_NIST_P256", "ECDSA P-256"),
        True,
    )
    assert (missing.algorithm, missing.signs, bool(missing.missing)) == (None, False, True)
    assert (ended.until, ended.signs, ended.algorithm) == (END, False, "AES-256-GCM")
    assert any("alias/nobody-has" in gap for gap in facts.gaps)
    (signature,) = using(facts.algorithms, "signs by")
    assert "could forge it" in signature.quantum

    (endpoint,) = facts.endpoints
    assert (endpoint.encrypted, endpoint.problem) == (False, "plain HTTP")
    assert set(endpoint.services) == {"kms", "cloudtrail", "sts", "s3"}
    assert [one.what for one in facts.modules] == [PYTHON, LIBRARY, DATABASE]


def test_what_can_t_be_read_is_a_gap_and_the_rest_is_told(
    for_reading: ForReading, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", "alias/signing")
    container = Container(load().settings)
    try:
        facts = measured(container)
    finally:
        container.close()
    told = " ".join(facts.gaps)
    assert all(word in told for word in ("tokens: ", "keys that guard tokens: ", "signing key alias/signing"))
    assert using(facts.algorithms, "chains the journal")
    assert not using(facts.algorithms, "seals tokens")


def test_an_unknown_suite_or_group_is_named_and_its_strength_left_open() -> None:
    odd = replace(ENDPOINT, group=clean("group 65535"), cipher=clean("TLS_ODD[/red]"))
    for one in uses_of_endpoint(odd):
        assert (one.classical_bits, one.quantum_category, one.approved) == (None, None, None)
        assert "not known" in one.quantum
    assert [one.name for one in uses_of_endpoint(ENDPOINT)] == ["X25519MLKEM768", "AES-128-GCM"]
    assert list(uses_of_endpoint(replace(ENDPOINT, protocol=None))) == []


def test_a_format_that_is_written_is_told_before_the_first_token_is() -> None:
    found = list(uses_of_tokens(TokenFacts(0, 0, {}), Format.V2_BOUND))
    assert [one.name for one in found] == ["AES-256-GCM", "HKDF-SHA-512"]
    assert {(one.tokens, one.why) for one in found} == {(0, "new tokens are written in it")}
