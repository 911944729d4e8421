"""tests/vectors, sealed and opened both by the product and by a second implementation."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto_core.envelope import (
    VERSIONS,
    EnvelopeV2,
    Format,
    classify,
    edk_prefix,
    open_envelope,
    parse_strictly,
    seal,
    serialise,
)
from crypto_core.envelope.encryption_context import encode, encryption_context
from crypto_core.envelope.primitives import hkdf
from crypto_core.envelope.v2 import COMMITMENT_LABEL, ENCRYPTION_LABEL
from crypto_core.values.errors import (
    AuthenticationFailedError,
    InvalidReferenceError,
    KeydeckError,
    MalformedEnvelopeError,
    MissingReferenceError,
    UnsupportedFormatError,
    WrongBindingError,
)
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.envelope import second_implementation as second
from tests.crypto_core.envelope.second_implementation import RejectedError, Row

Case = dict[str, Any]
DIRECTORY = Path(__file__).parents[2] / "vectors"
CLASSES: dict[str, type[KeydeckError]] = {
    "unsupported": UnsupportedFormatError,
    "malformed": MalformedEnvelopeError,
    "authentication": AuthenticationFailedError,
    "another database": WrongBindingError,
    "missing reference": MissingReferenceError,
    "invalid reference": InvalidReferenceError,
}


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DIRECTORY / name).read_text(encoding="utf-8"))
    return document


CONTEXTS = read("encryption-context.json")
ENVELOPES = {
    Format.V1: read("envelope-v1.json"),
    Format.V2: read("envelope-v2.json"),
    Format.V2_BOUND: read("envelope-v2-bound.json"),
}
VALID = [(format_, case) for format_, file in ENVELOPES.items() for case in file["valid"]]
INVALID = [
    (format_, next(v for v in file["valid"] if v["name"] == case["based_on"]) | case)
    for format_, file in ENVELOPES.items()
    for case in file["invalid"]
]


def named(value: Any) -> str | None:
    return value["name"] if isinstance(value, dict) else None


valid = pytest.mark.parametrize(("format_", "case"), VALID, ids=named)
invalid = pytest.mark.parametrize(("format_", "case"), INVALID, ids=named)


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def ref_of(case: Case) -> TokenRef | None:
    parts = [case.get(name) for name in ("table", "column", "row_id")]
    return None if None in parts else TokenRef(*map(str, parts))


def row_of(case: Case) -> Row | None:
    ref = ref_of(case)
    return None if ref is None else Row(ref.table, ref.column, ref.row_id, case.get("database"))


# Both ways: the product


@valid
def test_we_seal_to_exactly_the_vector(format_: Format, case: Case) -> None:
    """Salt first, then nonce."""
    drawn = [raw(case, name) for name in ("salt", "nonce") if name in case]

    def entropy(count: int) -> bytes:
        taken = drawn.pop(0)
        assert len(taken) == count
        return taken

    with Secret.of(case["token"]) as token, DataKey(raw(case, "data_key")) as data_key:
        envelope = seal(
            token,
            data_key,
            raw(case, "encrypted_data_key"),
            format_=format_,
            key_arn=case.get("key_arn", ""),
            ref=ref_of(case),
            binding=case.get("database"),
            entropy=entropy,
        )
    assert not drawn
    for part in ("encrypted_data_key", "nonce", "salt", "commitment", "ciphertext"):
        if part in case:
            assert getattr(envelope, part) == raw(case, part)
    assert serialise(envelope) == case["stored"]


@valid
def test_we_open_the_vector(format_: Format, case: Case) -> None:
    assert classify(case["stored"]).format is format_
    envelope = parse_strictly(case["stored"])
    assert type(envelope) is VERSIONS[format_]
    assert envelope.named_key == case.get("key_arn")
    assert envelope.named_database == case.get("database")
    with DataKey(raw(case, "data_key")) as data_key:
        opened = open_envelope(envelope, data_key, ref_of(case), case.get("database"))
        assert opened.reveal() == case["token"]


@pytest.mark.parametrize(("format_", "case"), [(f, c) for f, c in VALID if f.binds_row], ids=named)
def test_we_come_to_the_vectors_values_on_the_way(format_: Format, case: Case) -> None:
    version = VERSIONS[format_]
    assert issubclass(version, EnvelopeV2)
    context = version.context_for(ref_of(case), case.get("database"))
    binding = version._bound(case["key_arn"], ref_of(case), case.get("database"))
    assert binding == raw(case, "binding")
    assert encode(context) == raw(case, "context_encoding")
    for label, name in ((ENCRYPTION_LABEL, "encryption_key"), (COMMITMENT_LABEL, "commitment")):
        assert hkdf(raw(case, "data_key"), raw(case, "salt"), label + binding, 32) == raw(case, name)


@invalid
def test_we_reject_the_invalid_value_with_its_error(format_: Format, case: Case) -> None:
    with DataKey(raw(case, "data_key")) as data_key, pytest.raises(KeydeckError) as caught:
        open_envelope(parse_strictly(case["stored"]), data_key, ref_of(case), case.get("database"))
    assert type(caught.value) is CLASSES[case["error"]]
    assert getattr(caught.value, "field", None) == case["field"]


# Both ways: the second implementation


def test_the_second_implementation_has_nothing_of_the_product() -> None:
    tree = ast.parse(Path(str(second.__file__)).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {"hmac", "struct", "cryptography.hazmat.primitives.ciphers"} <= modules
    assert not [m for m in modules if m and m.startswith(("crypto_core", "console", "screens", "tests"))]


@valid
def test_the_second_implementation_seals_to_exactly_the_vector(format_: Format, case: Case) -> None:
    token, data_key, edk, nonce = (
        case["token"].encode(),
        *(raw(case, name) for name in ("data_key", "encrypted_data_key", "nonce")),
    )
    if format_ is Format.V1:
        ciphertext, stored = second.seal_v1(token, data_key, edk, nonce)
        assert (ciphertext, stored) == (raw(case, "ciphertext"), case["stored"])
        return
    row = row_of(case)
    assert row is not None
    sealed = second.seal_v2(
        token, data_key, edk, key_arn=case["key_arn"], row=row, salt=raw(case, "salt"), nonce=nonce
    )
    for name in ("context_encoding", "binding", "encryption_key", "commitment", "ciphertext"):
        assert getattr(sealed, name) == raw(case, name)
    assert sealed.stored == case["stored"]


@valid
def test_the_second_implementation_opens_the_vector(format_: Format, case: Case) -> None:
    opened = second.open_stored(case["stored"], raw(case, "data_key"), row_of(case))
    assert opened.decode() == case["token"]


@invalid
def test_the_second_implementation_rejects_the_invalid_value(format_: Format, case: Case) -> None:
    with pytest.raises(RejectedError) as caught:
        second.open_stored(case["stored"], raw(case, "data_key"), row_of(case))
    assert (caught.value.error, caught.value.field) == (case["error"], case["field"])


@valid
def test_each_opens_what_the_other_has_sealed_afresh(format_: Format, case: Case) -> None:
    """Under another nonce and salt than the vector's."""
    ref, row, data_key, edk = ref_of(case), row_of(case), raw(case, "data_key"), b"another EDK"
    arn, database = case.get("key_arn", ""), case.get("database")
    with Secret.of(case["token"]) as token, DataKey(data_key) as key:
        sealed = seal(token, key, edk, format_=format_, key_arn=arn, ref=ref, binding=database)
        ours = serialise(sealed)
        assert second.open_stored(ours, data_key, row) == case["token"].encode()
        nonce, salt = bytes(range(12)), bytes(range(32))
        if row is None:
            _, theirs = second.seal_v1(case["token"].encode(), data_key, edk, nonce)
        else:
            theirs = second.seal_v2(
                case["token"].encode(), data_key, edk, key_arn=arn, row=row, salt=salt, nonce=nonce
            ).stored
        assert open_envelope(parse_strictly(theirs), key, ref, database) == token


# The encryption context


@pytest.mark.parametrize("case", CONTEXTS["rows"], ids=named)
def test_a_row_has_the_vectors_context_and_encoding(case: Case) -> None:
    ref, row = ref_of(case), row_of(case)
    assert ref is not None
    assert row is not None
    assert encryption_context(ref) == second.context_of(row) == case["context"]
    assert encode(encryption_context(ref)) == second.encode(case["context"]) == raw(case, "encoding")


@pytest.mark.parametrize("case", CONTEXTS["encodings"], ids=named)
def test_a_context_has_the_vectors_encoding(case: Case) -> None:
    assert encode(case["context"]) == second.encode(case["context"]) == raw(case, "encoding")


@pytest.mark.parametrize("case", CONTEXTS["invalid"], ids=named)
def test_an_invalid_row_is_rejected_by_both(case: Case) -> None:
    ref, row = ref_of(case), row_of(case)
    assert ref is not None
    assert row is not None
    with pytest.raises(CLASSES[case["error"]]):
        encryption_context(ref)
    with pytest.raises(RejectedError, match=case["error"]):
        second.context_of(row)


def test_no_two_contexts_in_the_file_have_one_encoding() -> None:
    cases = CONTEXTS["rows"] + CONTEXTS["encodings"]
    assert len({case["encoding"] for case in cases}) == len(cases) == 24


# The files themselves


def test_the_files_hold_the_cases_that_they_are_for() -> None:
    counts = {format_: (len(f["valid"]), len(f["invalid"])) for format_, f in ENVELOPES.items()}
    assert counts == {Format.V1: (10, 49), Format.V2: (14, 60), Format.V2_BOUND: (7, 38)}
    for format_, file in ENVELOPES.items():
        assert file["format"] == format_
        tokens = [case["token"] for case in file["valid"]]
        assert min(len(token.encode()) for token in tokens) == 1
        assert any(token.isascii() for token in tokens)
        assert not all(token.isascii() for token in tokens)
        prefixes = {edk_prefix(raw(case, "encrypted_data_key")) for case in file["valid"]}
        assert None in prefixes
        assert len(prefixes) > 1
        assert {case["stored"].count("=") for case in file["valid"]} == {0, 1, 2}
    errors = {(format_, case["error"]) for format_, case in INVALID}
    assert {error for _, error in errors} == set(CLASSES)
    ids = [case["row_id"] for case in ENVELOPES[Format.V2]["valid"]]
    assert any(i.isdigit() for i in ids)
    assert not all(i.isascii() for i in ids)
    assert max(len(i.encode()) for i in ids) == 1024
    arns = "".join(case["key_arn"] for case in ENVELOPES[Format.V2]["valid"])
    assert ":key/mrk-" in arns
    assert "arn:aws-us-gov:" in arns


@pytest.mark.parametrize(
    "name", ["envelope-v1.json", "envelope-v2.json", "envelope-v2-bound.json", "encryption-context.json"]
)
def test_a_file_says_what_each_of_its_keys_means(name: str) -> None:
    file = read(name)
    assert file["version"] == 1
    assert file["description"]
    used = {key for cases in cases_of(file) for case in cases for key in case}
    assert used == set(file["keys"])
    assert (DIRECTORY / name).stat().st_size < 60_000
    for cases in cases_of(file):
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names)


def cases_of(file: dict[str, Any]) -> Iterator[list[Case]]:
    return (value for value in file.values() if isinstance(value, list))
