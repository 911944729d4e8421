"""The statements that add, validate and drop guards: transactions that wait 2 s for a lock at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crypto_core.database.column_guards.check_expression import check_expression
from crypto_core.database.column_guards.model import ColumnGuard
from crypto_core.database.column_guards.plan import ColumnStep, StepKind
from crypto_core.database.qualified_sql import qualified
from crypto_core.envelope import Format
from crypto_core.text.cleaning import clean

LOCK_SECONDS = 2
LOCK_LIMIT = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
_LONGEST = 20_000


def transactions(step: ColumnStep, least: Format) -> Iterator[tuple[str, ...]]:
    """Give the statements of a step: those of each transaction, without its beginning and its end."""
    guard = step.guard
    table, name = f"ALTER TABLE {guard.place}", _quoted(guard.constraint)
    drop = f"{table} DROP CONSTRAINT {name}"
    check = qualified(check_expression(guard.quoted, guard.type, least, document=guard.document))
    add = f"{table} ADD CONSTRAINT {name} CHECK ({check}) NOT VALID"
    match step.kind:
        case StepKind.DROP:
            yield (drop,)
        case StepKind.ADD:
            yield (add,)
        case StepKind.REPLACE:
            yield drop, add
        case StepKind.VALIDATE:
            pass
    if step.validates:
        yield (f"{table} VALIDATE CONSTRAINT {name}",)


def script(steps: Iterable[ColumnStep], least: Format) -> Iterator[str]:
    """Give the lines of a script for whoever owns the tables, to be run as that role.

    A name that is not printable is another one once it is cleaned: its statements stand there as a comment.
    """
    for step in steps:
        guard: ColumnGuard = step.guard
        yield f"-- {clean(step.sentence, 1_000)} Run as {guard.owner}."
        for statements in transactions(step, least):
            lines = ("BEGIN", LOCK_LIMIT, *statements, "COMMIT")
            safe = all(clean(line, _LONGEST) == line for line in lines)
            before = "" if safe else "-- Not printable: "
            yield from (f"{before}{clean(line, _LONGEST)};" for line in lines)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
