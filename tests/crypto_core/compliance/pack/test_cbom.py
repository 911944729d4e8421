"""A bill of materials: valid, complete, without values, and what depends on what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_core.compliance import algorithm_uses
from crypto_core.compliance.algorithms.algorithm import ALGORITHMS, Primitive
from crypto_core.compliance.facts import (
    AlgorithmFact,
    ColumnFact,
    CryptographyFacts,
    GuardingKeyFacts,
    MaterialFact,
    PartFacts,
    SigningKeyFact,
    TokenFacts,
)
from crypto_core.compliance.measurement import (
    ACTIVE,
    COMPROMISED,
    DEACTIVATED,
    DESTROYED,
    PRE_ACTIVE,
    SUSPENDED,
)
from crypto_core.compliance.pack.bom.document import bill_document
from crypto_core.compliance.pack.cbom import cryptography_bom
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.envelope import Format
from crypto_core.values.clean_text import CleanText, clean
from tests.crypto_core.compliance.algorithms.facts import ENDPOINT
from tests.crypto_core.compliance.pack.foreign_readers import bill_trouble
from tests.crypto_core.compliance.pack.small_periods import CONTEXT, HOSTILE, period
from tests.crypto_core.compliance.snapshots import KEY, NOW, WELL
from tests.crypto_core.test_imports import loaded_by

STATES = {
    PRE_ACTIVE: "pre-activation",
    **{one: str(one) for one in (ACTIVE, SUSPENDED, DEACTIVATED, COMPROMISED, DESTROYED)},
}
GUARDING = replace(
    KEY,
    created_at=NOW - timedelta(days=900),
    owner=clean("Platform"),
    purpose=clean("tokens"),
    materials=(
        *(MaterialFact(clean(f"m-{one}"), None, NOW - timedelta(days=9), 1, one) for one in STATES),
        MaterialFact(clean("m-unknown"), clean("NON_CURRENT"), None, None),
    ),
)
TOKENS = TokenFacts(
    tokens=130,
    protected=110,
    by_format={"v1": 60, "v2": 50, "dev": 15, "plaintext": 5},
    columns=(
        ColumnFact(clean("gh.access"), 110, {"v1": 60, "v2": 50}),
        ColumnFact(clean("slack.bot"), 20, {"dev": 15, "plaintext": 5}),
    ),
)
SIGNERS = (
    SigningKeyFact(
        clean("alias/now"), clean("arn:s2"), clean("ML_DSA_65"), clean("Enabled"), clean("ML-DSA-65"), True
    ),
    SigningKeyFact(
        clean("alias/old"), clean("arn:s1"), clean("ECC_NIST_P256"), clean("Disabled"), clean("ECDSA P-256")
    ),
    SigningKeyFact(clean("alias/gone"), missing=clean("There is no such key.")),
)
ALGORITHM_FACTS = tuple(
    one
    for one in (
        *algorithm_uses.uses_of_tokens(TOKENS, Format.V2),
        algorithm_uses.use_of_key(GUARDING),
        *map(algorithm_uses.use_of_signing_key, SIGNERS),
        *algorithm_uses.uses_of_endpoint(ENDPOINT),
        *algorithm_uses.uses_of_keydeck(),
    )
    if one is not None
)


def snapshot(**parts: PartFacts | MissingPart) -> Snapshot:
    """A database in all formats, whose parts are others where a test wants it."""
    ours: dict[SnapshotPart, PartFacts | MissingPart] = {
        SnapshotPart.TOKENS: TOKENS,
        SnapshotPart.KEYS: GuardingKeyFacts((GUARDING,), 365, 730),
        SnapshotPart.CRYPTOGRAPHY: CryptographyFacts(ALGORITHM_FACTS, SIGNERS, (ENDPOINT,)),
    }
    return Snapshot(NOW, {**WELL, **ours, **{SnapshotPart(name): one for name, one in parts.items()}})


def bill(of: Snapshot) -> dict[str, Any]:
    """The bill of a snapshot, which is held to CycloneDX's strict schema and to itself."""
    raw = bill_document(of, CONTEXT).decode()
    assert bill_trouble(raw) is None
    found: dict[str, Any] = json.loads(raw)
    refs = [one["bom-ref"] for one in found.get("components", ())]
    assert len(set(refs)) == len(refs)
    assert {one["ref"] for one in found["dependencies"]} == {*refs, "system"}
    assert set(_references(found.get("components", ()))) <= set(refs)
    return found


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [ref for one in part for ref in _references(one)]
    if not isinstance(part, dict):
        return []
    own = [value for name, value in part.items() if name.endswith("Ref") and isinstance(value, str)]
    own += [ref for name in ("cryptoRefArray", "algorithms") for ref in part.get(name, ())]
    return own + [ref for value in part.values() for ref in _references(value)]


def named(found: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    (one,) = [c for c in found["components"] if c["bom-ref"].startswith(f"{kind}/") and c["name"] == name]
    return dict(one)


def values(component: Mapping[str, Any]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for one in component.get("properties", ()):
        told.setdefault(one["name"].removeprefix("keydeck:"), []).append(one["value"])
    return told


def needs(found: Mapping[str, Any], ref: str) -> set[str]:
    direct = {one["ref"]: one.get("dependsOn", []) for one in found["dependencies"]}
    seen: set[str] = set()
    left = [ref]
    while left:
        for one in direct[left.pop()]:
            if one not in seen:
                seen.add(one)
                left.append(one)
    return seen


def test_a_column_depends_on_what_seals_it_on_data_keys_and_on_the_key_with_its_materials() -> None:
    found = bill(snapshot())
    by_ref = {one["bom-ref"]: one for one in found["components"]}
    sealed = [by_ref[ref] for ref in needs(found, "column/gh.access")]

    assert {one["description"] for one in sealed if one["name"] == "AES-256-GCM"} == {
        "seals tokens in format v1: a data key and a 96-bit random nonce for each",
        "seals tokens in format v2, bound to their row",
        "wraps data keys in KMS under alias/tokens",
    }
    assert {"HKDF-SHA-512", "Data keys", "alias/tokens", "Material of alias/tokens"} <= {
        one["name"] for one in sealed
    }
    assert needs(found, "column/slack.bot") == set()
    assert values(by_ref["column/slack.bot"])["tokens-dev"] == ["15"]


def test_data_keys_are_one_thing_with_numbers_by_column() -> None:
    found = bill(snapshot())
    (one,) = [one for one in found["components"] if one["name"] == "Data keys"]

    crypto = one["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert (crypto["type"], crypto["size"]) == ("secret-key", 256)
    assert (
        crypto["securedBy"]["algorithmRef"]
        == named(found, "key", "alias/tokens")["cryptoProperties"]["relatedCryptoMaterialProperties"][
            "algorithmRef"
        ]
    )
    assert values(one)["number"] == ["110"]
    assert values(one)["number-by-column"] == ["gh.access: 110", "slack.bot: 0"]


def test_under_several_keys_no_column_is_said_to_be_under_one() -> None:
    other = replace(GUARDING, arn=clean("arn:other"), name=clean("alias/other"), materials=())
    found = bill(snapshot(keys=GuardingKeyFacts((GUARDING, other), 365, 730)))
    (one,) = [one for one in found["components"] if one["name"] == "Data keys"]

    assert "algorithmRef" not in one["cryptoProperties"]["relatedCryptoMaterialProperties"]["securedBy"]
    assert values(one)["keys-by-column"][0].startswith("not known")


def test_keys_and_materials_have_their_states_of_sp_800_57_and_none_that_is_not_known() -> None:
    found = bill(snapshot())
    materials = [one for one in found["components"] if one["bom-ref"].startswith("material/")]
    states = {
        one["cryptoProperties"]["relatedCryptoMaterialProperties"]["id"]: one["cryptoProperties"][
            "relatedCryptoMaterialProperties"
        ].get("state")
        for one in materials
    }

    assert states == {**{f"m-{one}": state for one, state in STATES.items()}, "m-unknown": None}
    key = named(found, "key", "alias/tokens")["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert (key["state"], key["type"], key["size"]) == ("active", "secret-key", 256)
    assert key["creationDate"].startswith("2024-06-08")
    lost = replace(GUARDING, materials=(replace(GUARDING.materials[0], standing=COMPROMISED),))
    stolen = bill(snapshot(keys=GuardingKeyFacts((lost,), 365, 730)))
    key = named(stolen, "key", "alias/tokens")["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert key["state"] == "compromised"
    off = replace(GUARDING, state=clean("Updating"), spec=None, created_at=None)
    unknown = bill(snapshot(keys=GuardingKeyFacts((off,), 365, 730)))
    key = named(unknown, "key", "alias/tokens")["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert not {"state", "size", "creationDate", "algorithmRef"} & set(key)


def test_algorithms_have_their_strength_and_their_standing_against_quantum_computers() -> None:
    found = bill(snapshot())
    every = {one["name"]: one for one in found["components"] if one["bom-ref"].startswith("algorithm/")}

    gcm = every["AES-256-GCM"]["cryptoProperties"]
    assert gcm["oid"] == "2.16.840.1.101.3.4.1.46"
    assert gcm["algorithmProperties"]["mode"] == "gcm"
    assert gcm["algorithmProperties"]["nistQuantumSecurityLevel"] == 5
    signing = every["ECDSA P-256"]["cryptoProperties"]["algorithmProperties"]
    assert (signing["curve"], signing["nistQuantumSecurityLevel"]) == ("P-256", 0)
    assert (
        every["ML-DSA-65"]["cryptoProperties"]["algorithmProperties"]["parameterSetIdentifier"] == "ML-DSA-65"
    )
    assert every["SHA-256"]["cryptoProperties"]["algorithmProperties"]["parameterSetIdentifier"] == "256"
    ready = " / ".join(values(found["metadata"])["quantum-readiness"])
    assert "no known quantum attack breaks: AES-128-CBC, AES-128-GCM, AES-256-GCM" in ready
    assert "a large quantum computer breaks: ECDSA P-256" in ready


def test_only_what_kms_computes_is_said_to_run_in_hardware() -> None:
    found = bill(snapshot())
    hardware = {
        one["description"]
        for one in found["components"]
        if one.get("cryptoProperties", {}).get("algorithmProperties", {}).get("executionEnvironment")
    }

    assert hardware == {
        "wraps data keys in KMS under alias/tokens",
        "signs by alias/now",
        "verifies what alias/old signed",
    }
    outside = replace(GUARDING, origin=clean("EXTERNAL_KEY_STORE"))
    elsewhere = bill_document(snapshot(keys=GuardingKeyFacts((outside,), 365, 730)), CONTEXT).decode()
    assert elsewhere.count('"hardware"') == 2


def test_connections_have_their_suite_and_their_certificate() -> None:
    found = bill(snapshot())
    tls = named(found, "connection", f"TLS to {ENDPOINT.host}")
    protocol = tls["cryptoProperties"]["protocolProperties"]

    assert (protocol["type"], protocol["version"]) == ("tls", "1.3")
    assert len(protocol["cipherSuites"][0]["algorithms"]) == 2
    (shown,) = [one for one in found["components"] if one["bom-ref"] == protocol["cryptoRefArray"][0]]
    certificate = shown["cryptoProperties"]["certificateProperties"]
    assert certificate["issuerName"] == "CN=Amazon"
    assert {"signatureAlgorithmRef", "subjectPublicKeyRef"} <= set(certificate)
    dead = replace(
        ENDPOINT, protocol=None, cipher=None, group=None, certificate=None, problem=clean("no answer")
    )
    silent = bill(snapshot(cryptography=CryptographyFacts((), (), (dead,))))
    one = named(silent, "connection", f"TLS to {ENDPOINT.host}")
    assert one["cryptoProperties"]["protocolProperties"] == {"type": "tls"}
    assert values(one)["not-known"] == ["no answer"]
    plain = replace(dead, encrypted=False, problem=clean("plain HTTP"))
    bare = bill(snapshot(cryptography=CryptographyFacts((), (), (plain,))))
    one = named(bare, "connection", f"Plain HTTP to {ENDPOINT.host}")
    assert one["cryptoProperties"]["protocolProperties"] == {"type": "other"}


def test_what_could_not_be_measured_is_absent_and_said() -> None:
    missing = MissingPart(Lack.PERMISSION, clean("kms:ListKeys is not allowed"))
    found = bill(snapshot(keys=missing, cryptography=missing, tokens=missing))

    assert values(found["metadata"])["not-known"] == [
        f"{part}: kms:ListKeys is not allowed" for part in ("cryptography", "keys", "tokens")
    ]
    assert {one["bom-ref"].split("/")[0] for one in found["components"]} == {"algorithm"}


def test_without_a_recorded_part_algorithms_follow_from_tokens_and_keys() -> None:
    old = MissingPart(Lack.NOTHING, clean("not measured: cryptography"))
    found = bill(snapshot(cryptography=old))

    assert named(found, "algorithm", "HKDF-SHA-512")
    assert any(one.startswith("algorithm/AES-256-GCM") for one in needs(found, "column/gh.access"))


def test_a_period_shows_its_last_record_and_an_empty_one_nothing_measured() -> None:
    raw = cryptography_bom(period("soc2"), CONTEXT).decode()
    assert bill_trouble(raw) is None
    assert values(json.loads(raw)["metadata"])["record"] == ["10"]

    empty = cryptography_bom(period("soc2", gaps=tuple(range(10))), CONTEXT).decode()
    assert bill_trouble(empty) is None
    told = values(json.loads(empty)["metadata"])
    assert "measured-at" not in told
    assert len(told["not-known"]) == 4


def test_a_key_that_only_earlier_records_have_is_there_without_a_state() -> None:
    of = period("soc2")
    old = replace(GUARDING, arn=clean("arn:old"), name=clean("alias/former"))
    earlier = snapshot(keys=GuardingKeyFacts((GUARDING, old), 365, 730))
    records = (replace(of.records[0], snapshot=earlier), *of.records[1:])
    raw = cryptography_bom(replace(of, records=records), CONTEXT).decode()

    assert bill_trouble(raw) is None
    key = named(json.loads(raw), "key", "alias/former")
    assert values(key)["last-record"] == ["1"]
    assert values(key)["kms-state-then"] == ["Enabled"]
    assert "state" not in key["cryptoProperties"]["relatedCryptoMaterialProperties"]
    unread = snapshot(keys=MissingPart(Lack.FAILED, clean("KMS did not answer")))
    last = replace(of.records[-1], snapshot=unread)
    silent = cryptography_bom(replace(of, records=(*records[:-1], last)), CONTEXT).decode()
    assert "arn:old" not in silent


def test_the_same_snapshot_is_the_same_bill_and_another_database_has_another() -> None:
    raw = bill_document(snapshot(), CONTEXT)
    assert bill_document(snapshot(), CONTEXT) == raw
    assert json.loads(raw)["metadata"]["timestamp"] == CONTEXT.made_at.isoformat()
    other = json.loads(bill_document(snapshot(), replace(CONTEXT, database_id=clean("other"))))
    assert other["serialNumber"] != json.loads(raw)["serialNumber"]


@pytest.mark.parametrize("size", [0, 10_000_000])
def test_hostile_names_are_data(size: int) -> None:
    text = CleanText(HOSTILE + "x" * size)
    key = replace(GUARDING, arn=text, name=text, owner=text, purpose=text, state=text, spec=text)
    facts = tuple(replace(one, name=text, use=text, protects=(text,), oid=text) for one in ALGORITHM_FACTS)
    certificate = replace(ENDPOINT.certificate, subject=text, issuer=text, key=text, signature=text)
    endpoint = replace(
        ENDPOINT, host=text, cipher=text, protocol=text, certificate=certificate, services=(text,)
    )
    found = bill(
        snapshot(
            keys=GuardingKeyFacts((key,), 1, 1),
            tokens=replace(TOKENS, columns=(ColumnFact(text, 3, {"v1": 3}),)),
            cryptography=CryptographyFacts(
                facts, (SigningKeyFact(text, text, text, text),), (endpoint,), gaps=(text,)
            ),
        )
    )
    raw = json.dumps(found)

    assert len(raw) < 40_000
    assert "\\u001b" not in raw
    assert "\\u202e" not in raw


def test_what_looks_like_a_token_is_hidden() -> None:
    pasted = clean("ghp_" + "a1B2" * 9)
    key = replace(GUARDING, owner=pasted, purpose=pasted, name=pasted)

    assert pasted not in bill_document(snapshot(keys=GuardingKeyFacts((key,), 1, 1)), CONTEXT).decode()


def test_every_algorithm_and_primitive_has_a_place_in_the_schema() -> None:
    facts = tuple(
        AlgorithmFact(
            *(clean(one.name), one.primitive, one.key_bits, one.classical_bits, one.quantum_category),
            *(clean(one.oid), one.approved, clean(one.standard), clean(one.quantum_standing), clean("Use")),
        )
        for one in ALGORITHMS.values()
    )
    found = bill(snapshot(cryptography=CryptographyFacts(facts)))

    told = {one["name"]: one for one in found["components"] if one.get("description") == "Use"}
    assert set(told) == set(ALGORITHMS)
    assert {one.primitive for one in facts} <= set(Primitive)
    assert all(one["cryptoProperties"]["algorithmProperties"]["cryptoFunctions"] for one in told.values())


def test_a_bill_of_materials_loads_its_library_once_it_is_made() -> None:
    assert "cyclonedx" not in loaded_by("import crypto_core.compliance.pack.cbom")
