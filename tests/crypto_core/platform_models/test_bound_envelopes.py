"""Models of the platform: v2 envelopes that are moved to another row, column or id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session, make_transient

from crypto_core import EncryptedToken, StoredEnvelope
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.errors import AuthenticationFailedError, InvalidCiphertextError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.platform_models import models


@pytest.fixture
def pair(session: Session, v2: TokenCipher) -> tuple[models.GitHubConnection, models.GitHubConnection]:
    """Two rows with a v2 envelope each."""
    return models.stored_github(session, v2), models.stored_github(session, v2)


def test_a_v2_envelope_can_not_be_assigned_to_another_row_or_column(
    session: Session, pair: tuple[models.GitHubConnection, models.GitHubConnection], v2: TokenCipher
) -> None:
    first, second = pair
    with pytest.raises(RefusedError, match=f"access_token:{first.id} is bound .*access_token:{second.id}"):
        second.access_token = first.access_token
    with pytest.raises(RefusedError, match=f"as gh_connection.refresh_token:{first.id}"):
        first.refresh_token = first.access_token
    with pytest.raises(RefusedError, match=r"as slack_connection\.bot_token"):
        models.SlackConnection(**models.values_of(models.SlackConnection, bot_token=first.access_token))
    assert second.access_token.reveal(v2) == models.CANARY


MOVES: dict[str, Callable[[Session, Any, Any], object]] = {
    "in SQL": lambda s, first, second: s.execute(
        text(
            "UPDATE gh_connection SET access_token ="
            " (SELECT access_token FROM gh_connection WHERE id = :first) WHERE id = :second"
        ),
        {"first": first.id, "second": second.id},
    ),
    "as a value": lambda s, first, second: s.execute(
        update(models.GitHubConnection)
        .where(models.GitHubConnection.id == second.id)
        .values(access_token=first.access_token),
        execution_options={"synchronize_session": "evaluate"},
    ),
    "boxed anew": lambda s, first, second: setattr(
        second, "access_token", StoredEnvelope.of(first.access_token.stored)
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_v2_envelope_that_was_moved_to_another_row_does_not_open(
    session: Session,
    pair: tuple[models.GitHubConnection, models.GitHubConnection],
    v2: TokenCipher,
    move: str,
) -> None:
    first, second = pair
    MOVES[move](session, first, second)
    if move == "in SQL":
        session.expire(second)
    for _ in range(2):  # in the session, and as loaded again
        assert second.access_token.stored == first.access_token.stored
        assert second.access_token.ref == TokenRef("gh_connection", "access_token", second.id)
        with pytest.raises((AuthenticationFailedError, InvalidCiphertextError)):
            second.access_token.reveal(v2)
        session.commit()
    assert first.access_token.reveal(v2) == models.CANARY


def test_a_copy_of_an_object_under_another_id_is_refused_and_the_first_row_stays(
    session: Session, v2: TokenCipher
) -> None:
    row = models.stored_github(session, v2)
    row_id = row.id
    row.access_token  # noqa: B018
    make_transient(row)
    row.id = "gh-copy"
    session.add(row)
    with pytest.raises(RefusedError, match=f"access_token:{row_id} is bound .*access_token:gh-copy"):
        session.flush()
    session.rollback()
    assert session.get(models.GitHubConnection, "gh-copy") is None
    assert session.get_one(models.GitHubConnection, row_id).access_token.reveal(v2) == models.CANARY


def test_a_row_whose_id_changes_under_its_v2_envelope_is_refused_and_stays(
    session: Session, v2: TokenCipher
) -> None:
    row = models.stored_github(session, v2)
    row_id = row.id
    row.access_token  # noqa: B018
    row.id = "gh-renamed"
    with pytest.raises(RefusedError, match="gh-renamed"):
        session.flush()
    session.rollback()
    assert session.get_one(models.GitHubConnection, row_id).access_token.reveal(v2) == models.CANARY
    row.id = "gh-renamed"
    row.access_token = v2.encrypt(
        models.CANARY, ref=EncryptedToken.reference(models.GitHubConnection.access_token, "gh-renamed")
    )
    session.commit()
    assert row.access_token.reveal(v2) == models.CANARY


def test_an_envelope_of_a_row_in_a_schema_is_sealed_and_opened_with_it(
    session: Session, v2: TokenCipher
) -> None:
    row = models.stored_github(session, v2)
    ref = EncryptedToken.reference(models.GitHubConnection.access_token, row.id, schema="tenant a")
    assert str(ref) == f"tenant%20a.gh_connection.access_token:{row.id}"
    row.access_token = v2.encrypt(models.CANARY, ref=ref)
    session.commit()
    session.expire_all()
    assert row.access_token.reveal(v2, ref=ref) == models.CANARY
    with pytest.raises(InvalidCiphertextError):
        row.access_token.reveal(v2)
    other = EncryptedToken.reference(models.GitHubConnection.access_token, "gh-other", schema="tenant a")
    with pytest.raises(RefusedError, match=r"tenant%20a\.gh_connection\.access_token:gh-other is bound"):
        row.access_token = v2.encrypt(models.CANARY, ref=other)
    composite = EncryptedToken.reference(models.GitHubConnection.access_token, ("a/b", 7))
    assert composite.row_id == "a%2Fb/7"
