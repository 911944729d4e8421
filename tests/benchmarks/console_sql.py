"""How fast the console's lists and its status are over a million connections, without an index of ours.

    python -m tests.benchmarks.console_sql [--connections N | --environment FILE] [--large N] [--json]
        [--rounds N]

Builds a sandbox (see `many_connections`), or uses that of FILE: a JSON document of environment variables, as
`Sandbox.environment` gives them. Then another one with as many connections as --large says, 0 for none, where
the status may take its share of the time of ten million and pages behind the first are to take no longer. Ten
million are 9.5 GB below TMPDIR, and take two minutes to fill on two idle cores. The time is what passes, the
median of some rounds, each a list of its own: nothing that was counted before is used again. Keydeck's schema
is used if it is there. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from console.container import Container
from console.settings import load
from crypto_core.database.tokens.inventory import Inventory, SortKey
from crypto_core.database.tokens.token_groups import GroupBy
from crypto_core.lists.paging import Query
from tests.benchmarks.many_connections import many_connections
from tests.benchmarks.measuring import DecryptCalls, Target, options, report, timed

FIRST, NEXT, FILTERED, SORTED, COUNTED, STATUS = 250.0, 30.0, 1_000.0, 1_500.0, 1_000.0, 2_500.0
"""Targets in milliseconds."""
STATUS_OF_TEN_MILLION = 15_000.0
INDEXED = 100.0
GROUPED = 2_500.0
"""As long as the status, which counts by key material."""

FILTERS = (
    "org:org-ember",
    "provider:slack",
    "format:plaintext",
    "format:unrecognised",
    "key:*",
    "key:unknown",
    "material:*",
    "created:2026-01-01..",
    "ember",
    "nothing-of-that-kind",
)
BY_INDEX = ("table:slack_connection", "column:bot_token", "id:gh-42", "ref:gh_connection.access_token:gh-42")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured: what `prepared` gives is called. Without a `limit` nothing is promised."""

    name: str
    prepared: Callable[[], Callable[[], object]]
    limit: float | None


def cases(container: Container) -> Iterator[Case]:
    """Everything that is measured, in order: the status comes first, so that the keys are known."""
    inventory = container.services.inventory
    yield Case("status", lambda: container.services.status.take_census, STATUS)
    yield _counting(inventory, Query(), "count")
    for by in GroupBy:
        yield Case(f"groups by {by}", lambda by=by: partial(inventory.groups, by), GROUPED)
        filtered = f"groups by {by}, filter provider:slack"
        yield Case(filtered, lambda by=by: partial(inventory.groups, by, "provider:slack"), FILTERED)
    yield _first(inventory, Query(), "first page", FIRST)
    yield from _onwards(inventory, Query(), "default order")
    for sort in SortKey:
        for descending in (False, True):
            query = Query(sort=sort, descending=descending)
            name = f"sort {sort}{', descending' if descending else ''}"
            yield _first(inventory, query, f"{name}: first page", SORTED)
            yield from _onwards(inventory, query, name)
    for filter_ in (*BY_INDEX, *FILTERS):
        query = Query(filter_)
        limit = INDEXED if filter_ in BY_INDEX else FILTERED
        yield _first(inventory, query, f"filter {filter_}: first page", limit)
        yield _counting(inventory, query, f"filter {filter_}: count")


def large_cases(container: Container, connections: int) -> Iterator[Case]:
    """What is measured over many more connections: what must not grow with them, and the status."""
    inventory = container.services.inventory
    limit = max(STATUS, STATUS_OF_TEN_MILLION * connections / 10_000_000)
    yield Case("status", lambda: container.services.status.take_census, limit)
    yield _first(inventory, Query(), "first page", FIRST)
    for sort in (SortKey.STATE, SortKey.REFERENCE, SortKey.PROVIDER, SortKey.FORMAT):
        yield from _onwards(inventory, Query(sort=sort), f"sort {sort}")
    for sort in (SortKey.KEY, SortKey.EVIDENCE):
        yield from _onwards(inventory, Query(sort=sort, descending=True), f"sort {sort}, descending")
    for filter_ in BY_INDEX:
        yield _first(inventory, Query(filter_), f"filter {filter_}: first page", INDEXED)
    for filter_ in ("org:org-ember", "format:plaintext", "nothing-of-that-kind"):
        yield _first(inventory, Query(filter_), f"filter {filter_}: first page", None)


def _first(inventory: Inventory, query: Query, name: str, limit: float | None) -> Case:
    return Case(name, lambda: partial(inventory.page, query), limit)


def _counting(inventory: Inventory, query: Query, name: str) -> Case:
    return Case(name, lambda: partial(inventory.count, query), COUNTED)


def _onwards(inventory: Inventory, query: Query, name: str) -> Iterator[Case]:
    """Pages behind others, both ways. Where an order is read by a scan a page, nothing is promised."""
    limit = None if query.sort == SortKey.CREATED else NEXT

    def prepared(backwards: bool) -> Callable[[], object]:
        page = inventory.page(query, backwards=backwards)
        start = page.first if backwards else page.last
        return partial(inventory.page, query, start, backwards=backwards)

    yield Case(f"{name}: next page", partial(prepared, False), limit)
    yield Case(f"{name}: page before the last", partial(prepared, True), limit)


def _questions(container: Container, calls: DecryptCalls) -> Target:
    """How often the first status asks KMS to open a data key, at most once for each key material."""
    status = container.services.status.take_census()
    materials = len({(k.key_arn, k.key_material_id) for k in status.keys if k.key_arn})
    return Target(
        "first status: Decrypt calls", calls.decrypts, materials + 1, f"for {materials} key materials"
    )


def measured(case: Case, rounds: int) -> tuple[float, ...]:
    return tuple(timed(case.prepared())[0] * 1000 for _ in range(rounds))


def _entered(stack: ExitStack, settings: Mapping[str, str]) -> tuple[Container, DecryptCalls]:
    mine = ("AWS_", "KEYDECK_", "TOKEN_ENCRYPTION_KEY_ID", "DATABASE_URL")
    os.environ.update({name: value for name, value in settings.items() if name.startswith(mine)})
    calls = DecryptCalls()
    return stack.enter_context(closing(Container(load().settings, observer=calls))), calls


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time the console's SQL over many connections.", rounds=3)
    parser.add_argument("--connections", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument(
        "--large", type=int, default=3_000_000, help="as many beside, 0 for none (%(default)s)"
    )
    parser.add_argument("--environment", type=Path, help="a running sandbox's environment, as JSON")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        if chosen.environment:
            given = json.loads(chosen.environment.read_text())
        else:
            given = stack.enter_context(many_connections(chosen.connections)).settings()
        container, calls = _entered(stack, given)
        questions = _questions(container, calls)
        tokens = container.services.inventory.count(Query())
        rows = [(case, measured(case, chosen.rounds)) for case in cases(container)]
    if chosen.large:
        with ExitStack() as stack:
            container, _ = _entered(stack, stack.enter_context(many_connections(chosen.large)).settings())
            container.services.status.take_census()
            for case in large_cases(container, chosen.large):
                named = replace(case, name=f"{chosen.large:,} connections, {case.name}")
                rows.append((named, measured(case, min(chosen.rounds, 3))))
    targets = [
        Target(case.name, median(taken), case.limit, "ms") for case, taken in rows if case.limit is not None
    ]
    targets.insert(0, questions)
    return report(
        targets,
        ("", "ms", "worst", "target"),
        [
            (c.name, f"{median(t):,.0f}", f"{max(t):,.0f}", f"{c.limit:,.0f}" if c.limit else "")
            for c, t in rows
        ],
        as_json=chosen.json,
        packages=("psycopg2-binary", "sqlalchemy"),
        notes=[f"{tokens:,} tokens, median of {chosen.rounds} rounds"],
    )


if __name__ == "__main__":
    sys.exit(main())
