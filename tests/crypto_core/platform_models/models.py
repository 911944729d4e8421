"""The platform's four tables as classes with EncryptedToken columns, and rows of them."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from crypto_core import EncryptedToken, StoredEnvelope
from crypto_core.keyring.cipher import TokenCipher

CANARY = "ghp_CANARYcanaryCANARYcanaryCANARY0123"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, datetime: DateTime(timezone=True), list[str]: JSON}  # noqa: RUF012


class GitHubConnection(Base):
    __tablename__ = "gh_connection"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    user_id: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    refresh_token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken)
    token_type: Mapped[str]
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]


class JiraConnection(Base):
    __tablename__ = "jira_connection"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    user_id: Mapped[str]
    cloud_base_url: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    refresh_token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken)
    token_type: Mapped[str]
    expires_at: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]


class SlackConnection(Base):
    __tablename__ = "slack_connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    team_id: Mapped[str]
    bot_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ConfluenceConnection(Base):
    __tablename__ = "confluence_connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    base_url: Mapped[str]
    email: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


MODELS: tuple[Any, ...] = (GitHubConnection, JiraConnection, SlackConnection, ConfluenceConnection)
TOKENS = {
    GitHubConnection: "github_pat_11HANDBOOK0abcdefghij_" + "k" * 59,
    JiraConnection: "eyJhbGciOiJIUzI1NiJ9." + "j" * 700 + "." + "s" * 43,
    SlackConnection: "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    ConfluenceConnection: "ATATT3xFfGF0" + "c" * 171 + "=0123ABCD",
}
_numbers = count(900_001)


def token_attribute(model: Any) -> str:
    return "bot_token" if model is SlackConnection else "access_token"


def values_of(model: Any, **given: Any) -> dict[str, Any]:
    """What a row of a table needs, its tokens and what is `given` apart."""
    number = next(_numbers)
    common = {"org_id": "org-models", "created_at": NOW}
    own: dict[Any, dict[str, Any]] = {
        GitHubConnection: {
            "id": f"gh-{number}",
            "user_id": "u",
            "token_type": "personal",
            "scopes": ["repo"],
        },
        JiraConnection: {
            "id": f"jira-{number}",
            "user_id": "u",
            "token_type": "oauth",
            "scopes": ["read:jira-work"],
            "cloud_base_url": "https://models.atlassian.example",
        },
        SlackConnection: {"team_id": "T0MODELS", "updated_at": NOW},
        ConfluenceConnection: {
            "base_url": "https://models.atlassian.example/wiki",
            "email": "bot@models.example",
            "updated_at": NOW,
        },
    }
    return common | own[model] | given


def github(**given: Any) -> GitHubConnection:
    return GitHubConnection(**values_of(GitHubConnection, **given))


def seal_for(cipher: TokenCipher, row: Any, token: str = CANARY) -> Any:
    """Seal a token for the row of an object whose id is known."""
    model = type(row)
    return cipher.encrypt(token, ref=EncryptedToken.reference(getattr(model, token_attribute(model)), row.id))


def stored_github(session: Session, cipher: TokenCipher) -> GitHubConnection:
    """A GitHub connection in the database, whose object is in the session."""
    row = github()
    row.access_token = seal_for(cipher, row)
    session.add(row)
    session.commit()
    return row


def everything_told(error: BaseException) -> str:
    """The error and all that it came from, as a log would have it."""
    return "".join(traceback.format_exception(error))
