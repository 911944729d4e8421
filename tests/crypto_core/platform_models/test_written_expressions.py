"""Models of the platform: SQL expressions that would go past a token column's type are refused, unsent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session, aliased

from crypto_core import EncryptedToken, StoredEnvelope
from crypto_core.encrypted_token import UnsealedTokenError
from crypto_core.keyring.cipher import TokenCipher
from tests.crypto_core.platform_models.models import (
    CANARY,
    GitHubConnection,
    everything_told,
    stored_github,
    values_of,
)

TABLE: Any = GitHubConnection.__table__
OTHER: Any = aliased(GitHubConnection)
EXPRESSIONS: dict[str, Callable[[], Any]] = {
    "literal": lambda: sa.literal(CANARY),
    "parameter with a type": lambda: sa.bindparam("given", CANARY, type_=sa.Text),
    "function": lambda: sa.func.concat("ghp_", CANARY),
    "function called sealed": lambda: sa.func.concat("ghp_", CANARY, type_=EncryptedToken),
    "cast": lambda: sa.cast(CANARY, sa.Text),
    "type coercion": lambda: sa.type_coerce(sa.func.concat("ghp_", CANARY), EncryptedToken),
    "case": lambda: sa.case((TABLE.c.org_id == "org-models", CANARY), else_=None),
    "text": lambda: sa.text(f"'{CANARY}'"),
    "literal column": lambda: sa.literal_column(f"'{CANARY}'"),
    "scalar subquery": lambda: sa.select(sa.literal(CANARY)).scalar_subquery(),
}


def row(token: Any) -> dict[str, Any]:
    return values_of(GitHubConnection, access_token=token)


def selecting(token: Any) -> tuple[list[str], Any]:
    """Names and SELECT of a row whose token is an expression."""
    values = values_of(GitHubConnection, id="gh-selected")
    typed = [sa.literal(value, TABLE.c[name].type).label(name) for name, value in values.items()]
    return [*values, "access_token"], sa.select(*typed, token)


def upsert(token: Any, **target: Any) -> Any:
    statement = postgresql.insert(GitHubConnection).values(row(None))
    return statement.on_conflict_do_update(
        **target or {"index_elements": ["id"]}, set_={"access_token": token}
    )


WAYS: dict[str, Callable[[Session, Any], object]] = {
    "insert": lambda s, x: s.execute(sa.insert(GitHubConnection).values(row(x))),
    "insert of many values": lambda s, x: s.execute(sa.insert(GitHubConnection).values([row(None), row(x)])),
    "core insert": lambda s, x: s.connection().execute(sa.insert(TABLE).values(row(x))),
    "insert from select": lambda s, x: s.execute(sa.insert(GitHubConnection).from_select(*selecting(x))),
    "insert from union": lambda s, x: s.execute(
        sa.insert(GitHubConnection).from_select(
            selecting(sa.null())[0], selecting(sa.null())[1].union_all(selecting(x)[1])
        )
    ),
    "upsert": lambda s, x: s.execute(upsert(x)),
    "update": lambda s, x: s.execute(sa.update(GitHubConnection).values(access_token=x)),
    "update by attribute": lambda s, x: s.execute(
        sa.update(GitHubConnection).values({GitHubConnection.access_token: x})
    ),
    "ordered update": lambda s, x: s.execute(
        sa.update(GitHubConnection).ordered_values((GitHubConnection.access_token, x))
    ),
    "core update": lambda s, x: s.connection().execute(sa.update(TABLE).values(access_token=x)),
    "legacy update": lambda s, x: s.query(GitHubConnection).update(
        {"access_token": x}, synchronize_session=False
    ),
    "bulk insert": lambda s, x: s.execute(sa.insert(GitHubConnection), [row(x), row(x)]),
    "bulk update": lambda s, x: s.execute(sa.update(GitHubConnection), [{"id": "gh-1", "access_token": x}]),
    "update within a select": lambda s, x: s.execute(
        sa.select(sa.update(TABLE).values(access_token=x).returning(TABLE.c.id).cte().c.id)
    ),
    "insert beside a select": lambda s, x: s.execute(
        sa.select(sa.literal(1)).add_cte(sa.insert(GitHubConnection).values(row(x)).cte(nesting=True))
    ),
}


@pytest.mark.quick(40)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_refused_before_it_is_sent_and_told_nowhere(
    talkative: sa.Engine, caplog: pytest.LogCaptureFixture, way: str, expression: str
) -> None:
    """Every expression by every way; the deep lane runs them all."""
    caplog.set_level(logging.DEBUG)
    with (
        Session(talkative) as session,
        pytest.raises(UnsealedTokenError, match=r"^gh_connection\.access_token takes sealed") as caught,
    ):
        WAYS[way](session, EXPRESSIONS[expression]())
    assert "INTO gh_connection" not in caplog.text
    assert "UPDATE gh_connection" not in caplog.text
    for told in (everything_told(caught.value), caplog.text):
        assert "CANARY" not in told


@pytest.mark.parametrize(
    "copied",
    [
        lambda: sa.update(GitHubConnection).values(access_token=GitHubConnection.refresh_token),
        lambda: sa.update(GitHubConnection).values(access_token=GitHubConnection.access_token),
        lambda: (
            sa.update(GitHubConnection)
            .values(access_token=OTHER.access_token)
            .where(GitHubConnection.org_id == OTHER.org_id)
        ),
        lambda: sa.insert(GitHubConnection).from_select(*selecting(GitHubConnection.access_token)),
        lambda: sa.insert(GitHubConnection).from_select(
            ["id", "access_token"], sa.text("SELECT 'a', 'b'").columns(TABLE.c.id, TABLE.c.access_token)
        ),
        lambda: sa.insert(GitHubConnection).from_select(
            ["id", "access_token"], sa.select(sa.text("'gh-1'"), TABLE.c.access_token, sa.null())
        ),
        lambda: upsert(GitHubConnection.access_token),
        lambda: upsert(postgresql.insert(TABLE).excluded.refresh_token),
        lambda: upsert(postgresql.insert(TABLE).excluded.access_token, index_elements=["org_id"]),
        lambda: upsert(postgresql.insert(TABLE).excluded.access_token, constraint="gh_connection_org_key"),
    ],
)
def test_a_stored_token_is_not_copied_to_where_it_may_never_open(
    session: Session, copied: Callable[[], Any]
) -> None:
    with pytest.raises(UnsealedTokenError, match=r"was given an SQL expression \(\w+\)\. Nothing was sent"):
        session.execute(copied())


def test_an_old_envelope_is_not_bound_past_the_demand_for_v2(session: Session, cipher: TokenCipher) -> None:
    strict = sa.Table("gh_connection", sa.MetaData(), sa.Column("access_token", EncryptedToken("v2")))
    v1 = sa.literal(cipher.encrypt(CANARY), EncryptedToken())
    with pytest.raises(UnsealedTokenError, match="parameter of type EncryptedToken"):
        session.execute(sa.update(strict).values(access_token=v1))


@pytest.mark.parametrize("when", ["default", "onupdate"])
def test_a_column_takes_no_expression_as_its_default(when: str) -> None:
    with pytest.raises(UnsealedTokenError, match=r"^new\.token takes sealed tokens only"):
        sa.Table(
            "new", sa.MetaData(), sa.Column("token", EncryptedToken, **{when: sa.func.concat("ghp_", "x")})
        )  # type: ignore[arg-type]
    sa.Table("new", sa.MetaData(), sa.Column("token", EncryptedToken, **{when: sa.null()}))  # type: ignore[arg-type]


def test_sealed_parameters_null_and_the_proposed_row_are_written(
    session: Session, cipher: TokenCipher, v2: TokenCipher
) -> None:
    stored = stored_github(session, v2)
    anew = v2.encrypt("ghp_new", ref=stored.access_token.ref)
    proposed = postgresql.insert(GitHubConnection).values(
        values_of(GitHubConnection, id=stored.id, access_token=anew)
    )
    for target in ({"index_elements": ["id"]}, {"constraint": TABLE.primary_key}):
        session.execute(
            proposed.on_conflict_do_update(**target, set_={"access_token": proposed.excluded.access_token})
        )
        session.refresh(stored)
        assert stored.access_token.reveal(v2) == "ghp_new"
    sealed = cipher.encrypt(CANARY)
    session.execute(sa.insert(GitHubConnection).from_select(*selecting(sa.literal(sealed, EncryptedToken))))
    assert session.get_one(GitHubConnection, "gh-selected").access_token.reveal(cipher) == CANARY
    mine = sa.update(GitHubConnection).where(GitHubConnection.id == "gh-selected")
    for value in (
        sealed,
        StoredEnvelope.of(sealed),
        sa.literal(sealed, EncryptedToken()),
        sa.bindparam("sealed", sealed, type_=EncryptedToken),
    ):
        session.execute(mine.values(access_token=value, refresh_token=sa.null()))
    session.connection().execute(
        sa.update(TABLE).where(TABLE.c.id == sa.bindparam("row")).values(access_token=sa.bindparam("token")),
        [{"row": "gh-selected", "token": sealed}],
    )
    session.expire_all()
    assert session.get_one(GitHubConnection, "gh-selected").access_token.reveal(cipher) == CANARY
    session.execute(sa.update(GitHubConnection).values(refresh_token=None))
    session.execute(sa.update(GitHubConnection).values(org_id=sa.func.upper(GitHubConnection.org_id)))
    assert session.scalars(sa.select(GitHubConnection.refresh_token).distinct()).all() == [None]


def test_upserts_into_other_databases_go_through(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'own.sqlite'}")
    own = sa.Table(
        "own",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, unique=True),
    )
    own.create(engine)
    added = sqlite_insert(own)
    with engine.begin() as connection:
        for n in (1, 2):
            connection.execute(
                added.on_conflict_do_update(index_elements=["id"], set_={"n": added.excluded.n}),
                {"id": 1, "n": n},
            )
            connection.execute(added.on_conflict_do_nothing(), {"id": 2, "n": n})
        assert connection.execute(sa.select(own.c.n).where(own.c.id == 1)).scalar_one() == 2
    engine.dispose()
