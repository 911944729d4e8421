"""What is said of each algorithm, and what is made of KMS's key specs."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem

from crypto_core.aws.kms_signer import ALGORITHMS as SIGNING
from crypto_core.compliance.algorithms.algorithm import (
    ALGORITHMS,
    QUANTUM_SAFE_SIGNING,
    Primitive,
    algorithm_of_spec,
)
from crypto_core.compliance.algorithms.tls_probe import GROUPS


def test_strengths_are_those_of_sp_800_57() -> None:
    """Table 2 of Part 1, Rev. 5: key sizes in bits by strength."""
    table = {112: (2_048,), 128: (3_072, 4_096), 192: (7_680,), 256: (15_360,)}
    for one in ALGORITHMS.values():
        if one.name.startswith(("RSA-", "ffdhe")):
            assert one.key_bits in table[one.classical_bits or 0], one.name
        if one.name.startswith("ECDSA") or one.name.startswith("secp"):
            assert one.classical_bits == min((one.key_bits or 0) // 2, 256), one.name


def test_whatever_rests_on_factoring_or_logarithms_alone_is_in_no_quantum_category() -> None:
    for one in ALGORITHMS.values():
        post_quantum = "ML" in one.name
        if one.primitive in (Primitive.SIGNATURE, Primitive.KEY_AGREEMENT) and not post_quantum:
            assert one.quantum_category == 0
            assert one.quantum_standing.startswith("A large quantum computer could")
        else:
            assert one.quantum_category != 0
            assert ("No known quantum attack" in one.quantum_standing) is (one.quantum_category is not None)


def test_keys_of_post_quantum_algorithms_are_as_long_as_it_says() -> None:
    made = {
        "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
        "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
        "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
        "MLKEM768": mlkem.MLKEM768PrivateKey.generate,
        "MLKEM1024": mlkem.MLKEM1024PrivateKey.generate,
    }
    for name, generate in made.items():
        key: Any = generate()
        assert ALGORITHMS[name].key_bits == 8 * len(key.public_key().public_bytes_raw()), name


def test_each_spec_of_kms_has_an_algorithm_and_a_new_one_has_none() -> None:
    from botocore.session import Session

    shape: Any = Session().get_service_model("kms").shape_for("KeySpec")
    known = {spec: algorithm_of_spec(spec) for spec in shape.enum}
    assert [spec for spec, found in known.items() if found is None] == []
    assert algorithm_of_spec("LATTICE_9") is None
    assert {found.quantum_category for spec in QUANTUM_SAFE_SIGNING if (found := known[spec])} == {2, 3, 5}
    assert "ML_DSA_SHAKE_256" in SIGNING


def test_a_symmetric_key_is_another_algorithm_in_china() -> None:
    default, china = algorithm_of_spec("SYMMETRIC_DEFAULT"), algorithm_of_spec("SYMMETRIC_DEFAULT", "aws-cn")
    assert default is not None
    assert china is not None
    assert (default.name, china.name) == ("AES-256-GCM", "SM4-128")


@pytest.mark.parametrize("group", GROUPS.values())
def test_each_group_of_tls_is_an_algorithm(group: str) -> None:
    assert ALGORITHMS[group].primitive in (
        Primitive.KEY_AGREEMENT,
        Primitive.KEY_ENCAPSULATION,
        Primitive.COMBINER,
    )
