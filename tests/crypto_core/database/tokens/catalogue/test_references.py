"""Catalogue: references to tokens and rows, those that are wrong, and rows that are gone."""

from __future__ import annotations

import pytest

from console.container import Container
from crypto_core.values.errors import InvalidReferenceError, RowVanishedError
from crypto_core.values.references import RowRef, TokenRef, parse_reference


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("gitlab_connection.access_token:1", "There is no token table 'gitlab_connection'"),
        ("gitlab_connection:1", "There is no token table"),
        ("gh_connection.password:gh-1", "has no readable token column 'password'"),
        ("gh_connection.org_id:gh-1", "has no readable token column 'org_id'"),
        ("slack_connection.bot_token:seven", "whole numbers"),
        ("slack_connection.bot_token:1.5", "whole numbers"),
        ("slack_connection.bot_token:-", "whole numbers"),
        ("slack_connection:" + "9" * 20, "whole numbers"),
        ("slack_connection:٣", "whole numbers"),
        ("slack_connection.bot_token: 1", "whole numbers"),
        ("gh_connection:a\x00b", "no row id holds such characters"),
        ("gh_connection:a\ud800", "no row id holds such characters"),
        ("pg_user.passwd:postgres", "There is no token table"),
    ],
)
def test_a_wrong_reference_says_what_is_wrong(services: Container, reference: str, message: str) -> None:
    with pytest.raises(InvalidReferenceError, match=message):
        services.catalogue().references(parse_reference(reference))


@pytest.mark.parametrize(
    "reference",
    [
        "slack_connection.bot_token:999",
        "slack_connection:" + "9" * 19,
        "slack_connection:-1",
        "gh_connection:x'; --",
    ],
)
def test_a_row_that_is_gone_is_told(services: Container, reference: str) -> None:
    refs = services.catalogue().references(parse_reference(reference))
    assert services.store.read_many(refs) == []
    with pytest.raises(RowVanishedError, match="no such row"):
        services.store.read_token(refs[0])


@pytest.mark.parametrize(
    "reference",
    ["", "gh_connection", "gh_connection:", ":1", "gh connection:1", "a.b.c.d:1", "1table:1", "t.:1"],
)
def test_what_is_no_reference_is_told_the_two_forms(reference: str) -> None:
    with pytest.raises(InvalidReferenceError, match="Not a token reference") as caught:
        parse_reference(reference)
    assert "table.column:row-id" in caught.value.remedy


def test_a_row_reference_is_every_token_column_of_the_row(services: Container) -> None:
    catalogue = services.catalogue()
    assert catalogue.references(RowRef("gh_connection", "gh-1")) == (
        TokenRef("gh_connection", "access_token", "gh-1"),
        TokenRef("gh_connection", "refresh_token", "gh-1"),
    )


def test_an_id_with_colons_and_dots_is_one_id() -> None:
    assert parse_reference("gh_connection:a:b.c:d") == RowRef("gh_connection", "a:b.c:d")
    assert parse_reference("t.c:x\ny") == TokenRef("t", "c", "x\ny")
    assert str(TokenRef("t", "c", "x\x1b[31m\ny")) == "t.c:x[31m y"
