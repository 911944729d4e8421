"""EncryptedToken: a SQLAlchemy column type whose values stay sealed until they are revealed.

    class GitHubConnection(Base):
        __tablename__ = "gh_connection"
        id: Mapped[str] = mapped_column(primary_key=True)
        access_token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken)

    connection.access_token = StoredEnvelope.of(cipher.encrypt(token))    # a plain str is refused
    token = connection.access_token.reveal(cipher)                        # only here KMS is asked

Once all tokens are v2, EncryptedToken("v2") reveals no v1 envelope any more, nor does it store one; nor does
EncryptedToken("v2-bound") any that names no database.

The type boxes and unboxes; it holds no key and asks nobody. A value that was loaded with its object knows
its row, so a v2 envelope opens by `reveal(cipher)` alone. One that was selected as a column does not, nor
does one whose table has a composite primary key, or one that is no integer, text or native UUID, or that is
described to Keydeck with its schema. There it is
`reveal(cipher, ref=EncryptedToken.reference(Model.access_token, row_id))`, with `schema=` for the last.

To seal a v2 envelope the row's id must be known. Where the database hands out ids, take one from the sequence
first, or flush the object before its token is sealed if the column may be NULL.

Only a sealed token as a value or bound parameter, or NULL, is written. An INSERT or UPDATE that would write
an SQL expression (`literal`, a function, a cast, a CASE, `text`, a SELECT) into a token column is refused
before it is sent. That includes another token column, and the same one of another row: a v2 envelope opens in
its own row only, and SQL can't tell what it copies. Reveal the token and seal it for its new row. ON CONFLICT
may take the value of the same column from `excluded` where the conflict is one of the primary key, since the
row stays the same.

What a column type can't see: a whole statement in `text` or through the driver, COPY, defaults and triggers
of the database, rows that another client writes. `keydeck guard` is the floor below: with it PostgreSQL
itself refuses what is no envelope. SQLAlchemy quotes what it can't render with `literal_binds`, and
PostgreSQL's own error texts may repeat a whole row, tokens included that are still plaintext. So create the
engine with `hide_parameters=True`, and log an IntegrityError's type, not its text.

Alembic's autogenerate writes `crypto_core.encrypted_token.EncryptedToken()`: let the template of migrations
import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Self, cast
from uuid import UUID
from weakref import WeakSet

from sqlalchemy import Column, ColumnDefault, Connection, Dialect, Engine, Null, Text, TypeDecorator, event
from sqlalchemy.engine import Compiled, ExecutionContext
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import ClauseElement, operators
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.types import TypeEngine

from crypto_core.encrypted_token.column_input import UnsealedTokenError, boxed, unboxed, written_expressions
from crypto_core.encrypted_token.instances import as_printed, watch
from crypto_core.encrypted_token.stored_envelope import StoredEnvelope
from crypto_core.envelope import Format, at_least, require_envelope_format
from crypto_core.values.errors import InvalidReferenceError, RefusedError
from crypto_core.values.references import TokenRef, composite_id, table_name

__all__ = ["EncryptedToken", "StoredEnvelope", "UnsealedTokenError"]

_COMPARISONS = frozenset(
    {
        operators.eq,
        operators.ne,
        operators.in_op,
        operators.not_in_op,
        operators.is_,
        operators.is_not,
        operators.is_distinct_from,
        operators.is_not_distinct_from,
    }
)
"""What can be asked of envelopes: NULL or not, and one exact envelope. The same token never gets it twice."""


class EncryptedToken(TypeDecorator[StoredEnvelope]):
    """A text column of envelopes. Loads as StoredEnvelope; takes StoredEnvelope, SealedToken and None.

    What else is assigned, bound or compared raises UnsealedTokenError, which names the column and never the
    value. NULL is None.
    """

    impl = Text
    cache_ok = True

    def __init__(self, least_format: Format | str = Format.V1) -> None:
        """`least_format` is the oldest version of envelopes that is revealed and stored.

        Raises SettingsError for a format that is no envelope.
        """
        super().__init__()
        self.least_format = require_envelope_format(least_format, "least_format")
        self._columns: tuple[str, ...] = ()
        self._copied_from: EncryptedToken | None = None

    @staticmethod
    def reference(
        attribute: InstrumentedAttribute[Any] | ColumnElement[Any],
        row_id: int | str | UUID | tuple[int | str | UUID, ...],
        *,
        schema: str | None = None,
    ) -> TokenRef:
        """Return the reference of one token, such as `reference(GitHubConnection.access_token, "gh-42")`.

        The id of several columns is a tuple, in the order of Keydeck's settings. `schema` is for a table that
        these describe with its schema.

        Raises InvalidReferenceError for what is no EncryptedToken column, and for an id of another type.
        """
        column = attribute if isinstance(attribute, Column) else _mapped(attribute)
        if column is None or not isinstance(column.type, EncryptedToken):
            raise InvalidReferenceError(f"{attribute} is not a column of type EncryptedToken.")
        parts = [as_printed(part) for part in (row_id if isinstance(row_id, tuple) else (row_id,))]
        known = [part for part in parts if part is not None]
        if not parts or len(known) < len(parts):
            raise InvalidReferenceError(
                f"{column}: a row id is an integer, text or a UUID, not {type(row_id).__name__}."
            )
        printed = composite_id(known) if isinstance(row_id, tuple) else known[0]
        return TokenRef(table_name(schema, str(column.table.name)), str(column.name), printed)

    @property
    def where(self) -> str:
        """The columns of this type, as errors name them."""
        if not self._columns and self._copied_from is not None:
            return self._copied_from.where
        return " or ".join(self._columns) or "A token column"

    def copy(self, **kw: Any) -> Self:
        """Return the type of another column, which is named like this one's until it has a table."""
        # SQLAlchemy also binds through copies that never become a column's.
        copied = super().copy(**kw)
        copied._columns, copied._copied_from = (), self  # noqa: SLF001  # its own kind
        return copied

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return unboxed(value, self.where, self.least_format)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StoredEnvelope | None:
        return None if value is None else StoredEnvelope.found(value, least=self.least_format)

    def require_sealed(self, expression: ClauseElement) -> None:
        """Raise UnsealedTokenError unless an expression is NULL or a parameter that is bound as this type."""
        if isinstance(expression, Null):
            return
        if isinstance(expression, BindParameter):
            own = expression.type
            if (
                isinstance(own, EncryptedToken)
                and at_least(own.least_format, self.least_format) is own.least_format
            ):
                return
            given = f"a parameter of type {type(own).__name__}"
        else:
            given = f"an SQL expression ({expression.__visit_name__})"
        raise UnsealedTokenError(
            f"{self.where} takes sealed tokens only, and was given {given}. Nothing was sent.",
            remedy="Pass the sealed token itself, or None. Reveal a token of another row or column, "
            "and seal it for this one.",
        )

    @property
    def comparator_factory(self) -> Callable[[ColumnElement[Any]], TypeEngine.Comparator[Any]]:  # type: ignore[override]
        return SealedComparator


class SealedComparator(TypeDecorator.Comparator[StoredEnvelope]):
    """Compares envelopes with envelopes. Raises RefusedError for what makes no sense with ciphertext."""

    def operate(self, op: operators.OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
        self._require_sensible(op, other)
        return super().operate(op, *other, **kwargs)

    def reverse_operate(self, op: operators.OperatorType, other: Any, **kwargs: Any) -> ColumnElement[Any]:
        self._require_sensible(op, (other,))
        return super().reverse_operate(op, other, **kwargs)

    def _require_sensible(self, op: operators.OperatorType, operands: tuple[Any, ...]) -> None:
        where = cast(EncryptedToken, self.expr.type).where
        if op not in _COMPARISONS:
            name = getattr(op, "__name__", "this operator")
            raise RefusedError(
                f"{where} holds envelopes, which {name} can't search.",
                remedy="Compare with NULL, or with one exact envelope.",
            )
        for operand in operands:
            many = isinstance(operand, Collection) and not isinstance(operand, str | bytes)
            for each in operand if many else (operand,):
                _require_sealed(each, where)


def _require_sealed(operand: object, where: str) -> None:
    if isinstance(operand, BindParameter):
        operand = operand.value
    if not isinstance(operand, ClauseElement) and not hasattr(operand, "__clause_element__"):
        boxed(operand, where)


def _mapped(attribute: object) -> Column[Any] | None:
    columns = getattr(getattr(attribute, "property", None), "columns", ())
    return columns[0] if columns and isinstance(columns[0], Column) else None


@event.listens_for(Column, "after_parent_attach")
def _remember(column: Column[Any], table: object) -> None:
    if isinstance(column.type, EncryptedToken):
        names = (*column.type._columns, str(column))  # noqa: SLF001  # its own kind
        column.type._columns = tuple(dict.fromkeys(names))  # noqa: SLF001
        for default in (column.default, column.onupdate):
            if isinstance(default, ColumnDefault) and isinstance(default.arg, ClauseElement):
                column.type.require_sealed(default.arg)


watch(EncryptedToken)

_examined: WeakSet[Compiled] = WeakSet()
"""Statements that write no expression into a token column; SQLAlchemy keeps and reuses what it compiled."""


@event.listens_for(Engine, "before_cursor_execute")
def _refuse_expressions(
    connection: Connection,
    cursor: object,
    sql: str,
    parameters: object,
    context: ExecutionContext | None,
    many: bool,
) -> None:
    compiled = context.compiled if context else None
    if compiled is None or compiled.statement is None or compiled in _examined:
        return
    for column, expression in written_expressions(compiled.statement):
        if isinstance(column.type, EncryptedToken):
            column.type.require_sealed(expression)
    _examined.add(compiled)
