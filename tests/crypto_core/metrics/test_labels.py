"""Metrics: labels are of closed sets, so nothing foreign gets into what Prometheus reads."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl
from crypto_core.aws.kms import READ_ONLY_OPERATIONS, REHEARSABLE_OPERATIONS, KmsApi
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import UNEXPECTED
from crypto_core.metrics import KINDS, KMS_OPERATIONS, OPERATIONS, OTHER, UNKNOWN, Metrics
from crypto_core.values.errors import KeydeckError
from tests.crypto_core.metrics.samples import AT, REF, TOKEN, labels_of, those_above_zero, value

HOME = Path(__file__).parents[3]


HOSTILE = [
    'x"} 1\nkeydeck_tokens{format="v1"} 99',
    "back\\slash\\",
    'quote"',
    "[/red]",
    "\x1b[31m",
    "\u202etxt",
    "\ud800",
    TOKEN,
    f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000",
    "gh_connection.access_token:gh-42",
    "somebody@example.org",
    "Decrypt ",
    "decrypt\n",
    "W" * 100_000,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_a_word_that_is_in_no_closed_set_is_counted_as_other(metrics: Metrics, hostile: str) -> None:
    before = len(metrics.exposition().splitlines())
    metrics.operation(hostile, hostile, hostile)
    metrics.kms_call(hostile, 0.01, hostile)
    metrics.cache(hit=cast(Any, hostile))
    metrics.census(cast(Any, {hostile: 3, Format.V1: 1}), AT, complete=cast(Any, hostile))
    text = metrics.exposition()
    assert hostile not in text
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    closed = OPERATIONS | KMS_OPERATIONS | {f.value for f in Format} | KINDS | {OTHER, UNKNOWN, "hit", "miss"}
    labels = labels_of(text)
    assert set(labels) == {"operation", "format", "kind", "le", "result"}
    assert {word for name, words in labels.items() if name != "le" for word in words} <= closed
    assert value(metrics, "keydeck_operations_total", operation=OTHER, format=OTHER) == 1
    assert value(metrics, "keydeck_failures_total", operation=OTHER, kind=OTHER) == 1
    assert value(metrics, "keydeck_kms_request_seconds_count", operation=OTHER) == 1
    assert value(metrics, "keydeck_kms_failures_total", operation=OTHER, kind=OTHER) == 1
    assert value(metrics, "keydeck_tokens", format=OTHER) == 3
    metrics.operation(hostile + "2", hostile + "2", hostile + "2")
    metrics.kms_call(hostile + "2", 0.01, hostile + "2")
    assert len(metrics.exposition().splitlines()) == len(text.splitlines())
    # One series each for the operation, both failures and the format, a histogram, two families' first lines.
    assert len(text.splitlines()) < before + 30


def test_a_word_that_only_claims_to_be_of_the_set_is_not_shown(metrics: Metrics) -> None:
    class Disguised(str):
        def __str__(self) -> str:
            return TOKEN

        __repr__ = __format__ = cast(Any, __str__)

    metrics.operation(Disguised("decrypt"), Disguised("v1"), Disguised("KmsError"))
    metrics.kms_call(Disguised("Decrypt"), 0.01, "")
    assert TOKEN not in metrics.exposition()
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 1


def test_nothing_that_happened_can_be_read_from_the_exposition(
    aws: EndpointControl, observed: KmsApi, metrics: Metrics, new_key: Callable[[], str]
) -> None:
    first, second = new_key(), new_key()
    keyring = KmsKeyring(observed, write_key=first, cache=DataKeyCache(), observer=metrics)
    cipher = TokenCipher(keyring, write_format=Format.V2, observer=metrics)
    stored = [cipher.encrypt(TOKEN, ref=REF).stored, cipher.encrypt(TOKEN, second, ref=REF).stored]
    cipher.decrypt(stored[0], ref=REF)
    for damaged in (stored[1], stored[0][:-8], TOKEN):
        with pytest.raises(KeydeckError):
            cipher.decrypt(damaged, ref=REF)
    aws.add_denial(Denial("*", "kms:*"))
    for name in (first, second, "alias/nobody-made-this"):
        with pytest.raises(KeydeckError):
            cipher.encrypt(TOKEN, name, ref=REF)
    text = metrics.exposition()
    assert len(those_above_zero(metrics, "keydeck_failures_total")) > 2
    assert labels_of(text)["kind"] <= KINDS
    forbidden = [
        TOKEN,
        "CANARY",
        "arn:",
        "alias/",
        ACCOUNT,
        REF.row_id,
        REF.table,
        REF.column,
        *(k.rpartition("/")[2] for k in (first, second)),
        *(s[10:40] for s in stored),
    ]
    assert [word for word in forbidden if word in text] == []


@pytest.mark.deep
def test_every_kms_operation_that_keydeck_calls_has_a_label_of_its_own(aws: EndpointControl) -> None:
    known = set(boto3.client("kms", region_name="eu-west-1").meta.service_model.operation_names)
    called = {
        argument.value
        for file in (HOME / "crypto_core").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and node.args
        for argument in [node.args[0]]
        if isinstance(argument, ast.Constant) and argument.value in known
    }
    assert called >= {"Decrypt", "DescribeKey", "GenerateDataKey", "ReEncrypt"}
    assert called | READ_ONLY_OPERATIONS | REHEARSABLE_OPERATIONS <= KMS_OPERATIONS <= known


def test_every_error_of_ours_has_a_label_of_its_own() -> None:
    def tree(kind: type[KeydeckError]) -> set[type[KeydeckError]]:
        return {kind}.union(*map(tree, kind.__subclasses__()))

    # EncryptedToken's own error is SQLAlchemy's affair: no operation on a token raises it.
    ours = {k.__name__ for k in tree(KeydeckError) if k.__module__ == KeydeckError.__module__}
    assert ours | {UNEXPECTED} == KINDS


def test_an_error_that_somebody_else_derived_from_ours_is_other(metrics: Metrics) -> None:
    foreign = type(TOKEN, (KeydeckError,), {})
    metrics.operation("decrypt", "v1", foreign.__name__)
    assert those_above_zero(metrics, "keydeck_failures_total") == {(OTHER, "decrypt"): 1}
