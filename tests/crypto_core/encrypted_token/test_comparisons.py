"""EncryptedToken: what envelopes are compared with, and operators that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, literal, null, select
from sqlalchemy.orm import aliased

from crypto_core.encrypted_token import StoredEnvelope, UnsealedTokenError
from crypto_core.values.errors import RefusedError
from tests.crypto_core.encrypted_token.scene import CANARY, UNSEALED, V1, Account, sealed

SEALED = [sealed(V1), StoredEnvelope.of(V1), None]
COMPARISONS: list[Callable[[Any, Any], Any]] = [
    lambda column, value: column == value,
    lambda column, value: column != value,
    lambda column, value: value == column,
    lambda column, value: column.in_([value]),
    lambda column, value: column.not_in((value,)),
    lambda column, value: column.is_distinct_from(value),
    lambda column, value: column.is_not_distinct_from(value),
]


@pytest.mark.parametrize("compare", COMPARISONS)
def test_envelopes_are_compared_with_envelopes(compare: Callable[[Any, Any], Any]) -> None:
    for value in SEALED:
        statement = select(Account.name).where(compare(Account.token, value))
        assert "api_token" in str(statement)
        assert V1 not in str(statement.compile().params)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("value", UNSEALED[:-2], ids=lambda value: type(value).__name__)
def test_nothing_else_is_compared_with_envelopes(compare: Callable[[Any, Any], Any], value: Any) -> None:
    with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
        compare(Account.token, value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("value", [literal(CANARY), bindparam("old", CANARY)])
def test_a_parameter_made_beforehand_is_refused_by_its_value(value: Any) -> None:
    for compare in (lambda: Account.token == value, lambda: Account.token.in_([value])):
        with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
            compare()
        assert "CANARY" not in str(caught.value)


def test_a_text_instead_of_a_list_is_refused_and_not_repeated() -> None:
    for value in (CANARY, CANARY.encode()):
        with pytest.raises(UnsealedTokenError) as caught:
            Account.token.in_(value)
        assert "CANARY" not in str(caught.value)


def test_null_other_columns_subqueries_and_late_parameters_can_be_compared() -> None:
    other = aliased(Account)
    for condition in (
        Account.token.is_(None),
        Account.token.is_not(None),
        Account.token == null(),
        Account.token == other.token,
        Account.token == bindparam("old"),
        Account.token.in_(select(other.token)),
        Account.token.in_(bindparam("some", expanding=True)),
    ):
        assert "api_token" in str(select(Account.name).where(condition))


@pytest.mark.parametrize(
    "operate",
    [
        lambda column: column.like("ghp_%"),
        lambda column: column.ilike("ghp_%"),
        lambda column: column.startswith("djF8"),
        lambda column: column.contains("x"),
        lambda column: column.regexp_match("x"),
        lambda column: column.match("x"),
        lambda column: column.between(sealed(V1), sealed(V1)),
        lambda column: column < sealed(V1),
        lambda column: column >= sealed(V1),
        lambda column: column + "x",
        lambda column: "x" + column,
        lambda column: column.concat("x"),
        lambda column: column.op("~")("x"),
        lambda column: column.desc(),
        lambda column: column.collate("C"),
    ],
)
def test_operators_that_say_nothing_about_ciphertext_are_refused(operate: Callable[[Any], Any]) -> None:
    for column in (Account.token, Account.__table__.c.api_token):
        with pytest.raises(RefusedError, match=r"account\.api_token holds envelopes"):
            operate(column)
