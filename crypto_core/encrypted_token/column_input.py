"""What a token column takes: sealed tokens and NULL. Everything else is refused without being shown.

SQL expressions that a statement would write into columns are found here too: no column's own type sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import CompoundSelect, Insert, Select, Update
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.elements import BindParameter, ColumnElement, Label
from sqlalchemy.sql.selectable import SelectStatementGrouping

from crypto_core.encrypted_token.stored_envelope import StoredEnvelope
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import SealedToken
from crypto_core.values.errors import EnvelopeError, InvalidTokenError


class UnsealedTokenError(InvalidTokenError, DontWrapMixin):
    """What is no sealed token was given to a token column.

    SQLAlchemy would wrap it into a StatementError, which prints the statement's parameters, were it not for
    DontWrapMixin.
    """

    default_remedy = (
        "Seal the token with TokenCipher.encrypt and pass on what it returns. "
        "What encrypt_token returns is passed on through StoredEnvelope.of."
    )


def boxed(value: object, where: str) -> StoredEnvelope | None:
    """Return what is given to token column `where` as it will be read. Raises UnsealedTokenError."""
    if value is None or isinstance(value, StoredEnvelope):
        return value
    if isinstance(value, SealedToken):
        try:
            return StoredEnvelope.of(value)
        except (EnvelopeError, InvalidTokenError) as error:
            raise UnsealedTokenError(
                f"{where} was given a SealedToken that does not hold an intact envelope. {error.message}"
            ) from error
    raise UnsealedTokenError(f"{where} takes sealed tokens only, and was given {type(value).__name__}.")


def unboxed(value: object, where: str, least: Format = Format.V1) -> str | None:
    """Return the envelope that is written into token column `where`. Raises UnsealedTokenError.

    An envelope of an older version than `least` is refused too. What was found in a column
    and is no intact envelope does not go back: written, it would be a parameter that is logged and repeated
    in errors.
    """
    box = boxed(value, where)
    if box is None:
        return None
    try:
        box.demanding(least).require_least()
    except EnvelopeError as error:
        raise UnsealedTokenError(f"{where}: {error.message}", remedy="Seal the token anew.") from error
    try:
        box.require_intact()
        return box.stored
    except EnvelopeError as error:
        raise UnsealedTokenError(
            f"{where} takes sealed tokens only; what was read is not an intact envelope. {error.message}",
            remedy=error.remedy,
        ) from error


def written_expressions(statement: ClauseElement) -> Iterator[tuple[ColumnElement[Any], ClauseElement]]:
    """Yield each column that a statement writes with the expression that it writes there.

    Statements within a statement are read too. Left out is what the column's own type binds, and the value
    that ON CONFLICT takes from the same column of the row proposed for insertion, where the conflict is one
    of the primary key: both rows have one id.
    """
    for element in visitors.iterate(statement):
        if isinstance(element, Insert | Update):
            yield from _values(element)
        if isinstance(element, Insert):
            yield from _selected(element)
            yield from _set_on_conflict(element)


def _values(statement: Insert | Update) -> Iterator[tuple[ColumnElement[Any], ClauseElement]]:
    ordered = getattr(statement, "_ordered_values", None)  # SQLAlchemy 2.0 keeps them apart
    rows: list[Any] = [statement._values or {}, dict(ordered or ())]  # noqa: SLF001  # nothing public has them
    rows += [row for rows in statement._multi_values for row in rows]  # noqa: SLF001
    for row in rows:
        assigned = row.items() if isinstance(row, Mapping) else zip(statement.table.c, row, strict=False)
        for key, value in assigned:
            expression = _expression(value)
            if expression is not None:
                yield from ((column, expression) for column in _columns(statement, key))


def _selected(statement: Insert) -> Iterator[tuple[ColumnElement[Any], ClauseElement]]:
    """What INSERT … SELECT writes: the whole SELECT where its columns can't be matched."""
    names: list[Any] = statement._select_names or []  # noqa: SLF001
    pending: list[Any] = [statement.select] if names else []
    while pending:
        select = pending.pop()
        if isinstance(select, CompoundSelect):
            pending += select.selects
        elif isinstance(select, SelectStatementGrouping):
            pending.append(select.element)
        else:
            selected = list(select._all_selected_columns) if isinstance(select, Select) else []  # noqa: SLF001
            if len(selected) != len(names):
                selected = [select] * len(names)
            for name, value in zip(names, selected, strict=True):
                while isinstance(value, Label):
                    value = value.element  # noqa: PLW2901
                yield from ((column, value) for column in _columns(statement, name))


def _set_on_conflict(statement: Insert) -> Iterator[tuple[ColumnElement[Any], ClauseElement]]:
    if statement._post_values_clause is None:  # noqa: SLF001
        return
    for clause in visitors.iterate(statement._post_values_clause):  # noqa: SLF001
        for key, value in dict(getattr(clause, "update_values_to_set", ())).items():
            expression = _expression(value)
            for column in _columns(statement, key) if expression is not None else ():
                if not (_is_proposed(expression, column) and _is_on_primary_key(clause, statement)):
                    yield column, expression


def _columns(statement: Insert | Update, key: Any) -> list[ColumnElement[Any]]:
    if not isinstance(key, str):
        return [key]
    return [column for column in statement.table.c if key in (column.key, column.name)]


def _expression(value: Any) -> Any:
    """The expression that a value is; None for a plain value, and a parameter that gets its column's type."""
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    bound = isinstance(value, BindParameter) and value.type._isnull  # noqa: SLF001
    return value if isinstance(value, ClauseElement) and not bound else None


def _is_proposed(expression: Any, column: ColumnElement[Any]) -> bool:
    return getattr(getattr(expression, "table", None), "name", None) == "excluded" and (
        expression.key == column.key
    )


def _is_on_primary_key(clause: Any, statement: Insert) -> bool:
    key: Any = statement.table.primary_key
    constraint = getattr(clause, "constraint_target", None)  # PostgreSQL's alone
    if constraint is not None:
        return bool(constraint == key.name)
    target = {getattr(element, "name", element) for element in clause.inferred_target_elements or ()}
    return target == {column.name for column in key}
