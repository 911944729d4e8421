"""SQL for engines that count events elsewhere: DuckDB and Athena, as far as these are alike.

Texts are bound, or quoted where a statement is shown (SQL-92). Numbers are ours, and are written out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ClauseElement
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import SQLCompiler

LONGEST = 1_000
"""Characters of one value as a literal; Athena takes 1,024."""


class _DialectCompiler(SQLCompiler):
    """Reckons with numbers, so that no engine's own functions for bits and division are needed."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **kwargs: Any) -> Any:
        if isinstance(bindparam.value, int) or bindparam.value == "":
            return str(bindparam.value) or "''"
        return super().visit_bindparam(bindparam, *args, **kwargs)  # type: ignore[no-untyped-call]

    def visit_floordiv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        # Divided is only what has no rest.
        two = (self.process(side, **kw) for side in (binary.left, binary.right))
        return f"CAST({' / '.join(two)} AS BIGINT)"

    def visit_bitwise_and_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Compile & with one bit."""
        marks, bit = self.process(binary.left, **kw), int(binary.right.value)
        return f"({marks} % {2 * bit} - {marks} % {bit})"

    def render_literal_value(self, value: Any, _type: Any) -> str:
        return quoted(value)


class _Dialect(DefaultDialect):
    statement_compiler = _DialectCompiler
    supports_native_boolean = True


_DIALECT = _Dialect(paramstyle="qmark")


@dataclass(frozen=True, slots=True)
class EngineStatement:
    """A statement with a ? for each of its values, or `inlined`; `left` are a filter's fields left to us."""

    statement: str
    values: tuple[str, ...]
    inlined: str
    left: tuple[str, ...] = ()

    @property
    def literals(self) -> tuple[str, ...]:
        return tuple(map(quoted, self.values))


def placed(statement: ClauseElement) -> tuple[str, tuple[Any, ...]]:
    """Return a statement with a ? for each of its values, and the values in order."""
    compiled: Any = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return _in_line(str(compiled)), tuple(compiled.params[name] for name in compiled.positiontup or ())


def inlined(statement: ClauseElement) -> str:
    """Return a statement with its values as literals. Raises ValueError for what can't be one."""
    options = {"render_postcompile": True, "literal_binds": True}
    return _in_line(str(statement.compile(dialect=_DIALECT, compile_kwargs=options)))


def _in_line(statement: str) -> str:
    return re.sub(" ?\n *", " ", statement)


def quoted(value: str) -> str:
    """Return a text as a literal (SQL-92). Raises ValueError for control characters and what is too long."""
    if not can_be_literal(value):
        raise ValueError("a text that can't be a literal")
    return "'" + value.replace("'", "''") + "'"


def can_be_literal(value: str) -> bool:
    """True for a text of bounded length without control, format, private or unassigned characters."""
    length = len(value) + value.count("'")
    return length <= LONGEST and not any(unicodedata.category(c)[0] == "C" for c in value)
