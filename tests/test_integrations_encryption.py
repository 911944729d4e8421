"""Tokens of all four providers, sealed with crypto_core and stored in PostgreSQL.

The platform's handbook runs `pytest tests/test_integrations_encryption.py -v`; the last test is its check.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core import Format, decrypt_token, encrypt_token
from crypto_core.database.tokens.store import Replacement
from crypto_core.values.references import TokenRef


@dataclass(frozen=True)
class Provider:
    table: str
    column: str
    row_id: str
    insert: str
    token: str

    @property
    def ref(self) -> TokenRef:
        return TokenRef(self.table, self.column, self.row_id)

    def store(self, platform: Engine, value: str) -> None:
        with platform.begin() as connection:
            connection.execute(text(self.insert), {"id": self.row_id, "token": value})

    def stored(self, platform: Engine) -> str:
        with platform.connect() as connection:
            found = connection.scalar(
                text(f"SELECT {self.column} FROM {self.table} WHERE id::text = :id"), {"id": self.row_id}
            )
        assert isinstance(found, str)
        return found


PROVIDERS = {
    "github": Provider(
        "gh_connection",
        "access_token",
        "gh-handbook",
        "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at)"
        " VALUES (:id, 'org-handbook', 'user-1', :token, 'personal', '[\"repo\"]', now())",
        "github_pat_11HANDBOOK0abcdefghij_" + "k" * 59,
    ),
    "jira": Provider(
        "jira_connection",
        "access_token",
        "jira-handbook",
        "INSERT INTO jira_connection"
        " (id, org_id, user_id, cloud_base_url, access_token, token_type, scopes, created_at)"
        " VALUES (:id, 'org-handbook', 'user-1', 'https://handbook.atlassian.example', :token, 'oauth',"
        " '[\"read:jira-work\"]', now())",
        "eyJhbGciOiJIUzI1NiJ9." + "j" * 700 + "." + "s" * 43,
    ),
    "slack": Provider(
        "slack_connection",
        "bot_token",
        "900001",
        "INSERT INTO slack_connection (id, org_id, team_id, bot_token, created_at, updated_at)"
        " OVERRIDING SYSTEM VALUE VALUES (:id, 'org-handbook', 'T0HANDBOOK', :token, now(), now())",
        "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    ),
    "confluence": Provider(
        "confluence_connection",
        "access_token",
        "900001",
        "INSERT INTO confluence_connection"
        " (id, org_id, base_url, email, access_token, created_at, updated_at)"
        " OVERRIDING SYSTEM VALUE VALUES (:id, 'org-handbook', 'https://handbook.atlassian.example/wiki',"
        " 'bot@handbook.example', :token, now(), now())",
        "ATATT3xFfGF0" + "c" * 171 + "=0123ABCD",
    ),
}


@pytest.fixture(params=PROVIDERS.values(), ids=list(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    found: Provider = request.param
    return found


def test_a_stored_token_is_read_back_through_the_adapter(
    services: Container, platform: Engine, provider: Provider
) -> None:
    provider.store(platform, encrypt_token(provider.token))
    found = services.store.read_token(provider.ref)
    assert found.format is Format.V1
    assert provider.token not in repr(found)
    assert decrypt_token(found.value.reveal()) == provider.token


def test_the_adapter_swaps_in_a_new_envelope_that_holds_the_same_token(
    services: Container, platform: Engine, provider: Provider
) -> None:
    provider.store(platform, encrypt_token(provider.token))
    old = services.store.read_token(provider.ref)
    written = services.store.write_tokens(
        uuid4(), "reencrypt", [Replacement(old, encrypt_token(provider.token), None)]
    )
    assert written == {provider.ref}
    stored = provider.stored(platform)
    assert stored != old.value.reveal()
    assert decrypt_token(stored) == provider.token


def test_a_token_in_plaintext_is_sealed_in_place(
    services: Container, platform: Engine, provider: Provider
) -> None:
    provider.store(platform, provider.token)
    old = services.store.read_token(provider.ref)
    assert not old.format.protected
    services.store.write_tokens(uuid4(), "encrypt", [Replacement(old, encrypt_token(provider.token), None)])
    assert decrypt_token(provider.stored(platform)) == provider.token


def test_the_handbooks_check_finds_no_plaintext_in_what_was_stored_encrypted(
    services: Container, platform: Engine
) -> None:
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE gh_connection"))
    connections = [replace(PROVIDERS["github"], row_id=f"gh-{number}") for number in range(6)]
    for connection_ in connections[:3]:
        connection_.store(platform, encrypt_token(connection_.token))
    for connection_ in connections[3:]:
        connection_.store(platform, connection_.token)
        old = services.store.read_token(connection_.ref)
        services.store.write_tokens(
            uuid4(), "encrypt", [Replacement(old, encrypt_token(connection_.token), None)]
        )
    with platform.connect() as connection:
        rows = connection.execute(
            text("SELECT LENGTH(access_token), access_token LIKE 'github_pat_%' FROM gh_connection")
        ).all()
    assert len(rows) == 6
    assert all(length > 50 and looks_like_plaintext is False for length, looks_like_plaintext in rows)
