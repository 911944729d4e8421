"""The platform's part in a response: it is switched to another key, and owners connect again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, update

from console.sandbox import access_keys, platform
from console.sandbox.postgres import OPERATOR
from console.sandbox.provider_tokens import Style, issue
from crypto_core.database.qualified_sql import text
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox
    from crypto_core.keyring.kms_keyring import KmsKeyring


class PlatformPart:
    """Plays the platform, and the owners of its connections: one for a game, which knows what was issued."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._numbers = count(1)
        self._reconnected: dict[TokenRef, int] = {}
        """The number of the token with which a connection's owner has connected again last."""

    def writes_under(self, key_arn: str) -> None:
        """Be seen in CloudTrail to make data keys under a key."""
        kms = self._sandbox.client("kms", access_keys.PLATFORM)
        for _ in range(2):
            kms.generate_data_key(KeyId=key_arn, KeySpec="AES_256")

    def new_token(self, ref: TokenRef | None) -> Secret:
        return self._issued(ref, next(self._numbers))

    def revoke_as_owners(self, refs: Iterable[TokenRef]) -> None:
        """Let the owners revoke the tokens that they have connected with; of no connections, those of all.

        What somebody else has entered for them since is not theirs to revoke.
        """
        wanted = frozenset(refs) or frozenset(self._sandbox.world.tokens)
        for ref in sorted(wanted):
            for token in self._connected_with(ref):
                self._sandbox.providers.revoke(token.reveal())

    def damaged(self, new_key: str) -> list[TokenRef]:
        """Return the connections with damaged tokens whose owners have not connected again.

        No runbook could prove that these open. Before there is a new key nobody misses them.
        """
        return [r for r in sorted(self._sandbox.world.corrupt) if new_key and r not in self._reconnected]

    def _connected_with(self, ref: TokenRef) -> Iterator[Secret]:
        world = self._sandbox.world
        if ref in world.tokens:
            yield Secret.of(world.token_for(ref))
        if ref in self._reconnected:
            yield self._issued(ref, self._reconnected[ref])

    def _issued(self, ref: TokenRef | None, number: int) -> Secret:
        generated = None if ref is None else self._sandbox.world.tokens.get(ref)
        style = Style.GITHUB_USER if generated is None else generated.style
        return Secret.of(issue(style, self._sandbox.world.seed + 1_000 + number, str(ref)))

    def let_add_rows(self) -> None:
        """Grant the console's role what a tripwire takes. Raises DatabaseError."""
        with self._writing() as connection:
            connection.execute(text(f"GRANT INSERT, DELETE ON ALL TABLES IN SCHEMA public TO {OPERATOR}"))
            connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {OPERATOR}"))

    def connect_account(self, keyring: KmsKeyring) -> None:
        """Connect a test account, to see which key it writes under. Raises KmsError, DatabaseError."""
        ref = TokenRef("gh_connection", "access_token", f"test-account-{next(self._numbers)}")
        table = platform.metadata.tables[ref.table]
        now = datetime.now(UTC)
        row = {"id": ref.row_id, "org_id": "platform-team", "user_id": "test", "created_at": now} | {
            "token_type": "bearer",
            "scopes": [],
        }
        with self.new_token(ref) as token:
            row[ref.column] = TokenCipher(keyring).encrypt(token, ref=ref).stored
        with self._writing() as connection:
            connection.execute(insert(table).values(row))

    def reconnect(self, refs: Iterable[TokenRef], keyring: KmsKeyring) -> int:
        """Let the owners of these connections connect again; returns how many tokens were written.

        The platform writes what the provider issued, sealed under the keyring's key. Raises KmsError,
        DatabaseError.
        """
        cipher = TokenCipher(keyring)
        written = 0
        for ref in refs:
            table = platform.metadata.tables[ref.table]
            row_id = int(ref.row_id) if table.c.id.type.python_type is int else ref.row_id
            number = next(self._numbers)
            with self._issued(ref, number) as token:
                stored = cipher.encrypt(token, ref=ref).stored
            statement = update(table).where(table.c.id == row_id).values({ref.column: stored})
            with self._writing() as connection:
                written += connection.execute(statement).rowcount
            self._reconnected[ref] = number
        return written

    def _writing(self) -> AbstractContextManager[Connection]:
        return platform.platform_connection(self._sandbox.platform_database_url, write=True)
