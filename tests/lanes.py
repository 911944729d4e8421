"""Two lanes of tests: what each change is tried by within minutes, and what takes longer, marked `deep`.

In the default lane properties are tried with at most 25 examples, the same in every run. In the deep lane
they are tried again, with all the examples that they ask for and a seed of the run's own, which is printed.

A test with many costly cases says how many of them the default lane has: `@pytest.mark.quick(2)`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.expression import Expression
from hypothesis import is_hypothesis_test, settings

EXAMPLES = 25
"""Of a property in the default lane, unless it asks for fewer."""
_DEFAULT = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
_DEEP = settings(max_examples=100, deadline=None, database=None, print_blob=True)


def examples(wanted: int, *, quick: int = EXAMPLES) -> int:
    """How many examples a property is tried with: `wanted` in the deep lane, at most `quick` in the other."""
    return min(wanted, quick) if settings.default.derandomize else wanted


def choose(config: pytest.Config) -> None:
    """Set up properties for the lane that is run; in the deep one with a new seed, unless one is given."""
    deep = is_deep(config)
    settings.register_profile("lane", _DEEP if deep else _DEFAULT)
    settings.load_profile("lane")
    if deep and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().getrandbits(32))


def is_deep(config: pytest.Config) -> bool:
    """True where tests that are marked `deep` are run, be it alone or among others."""
    expression = config.option.markexpr
    return not expression or Expression.compile(expression).evaluate(lambda name, /, **_: name == "deep")


def is_only_deep(config: pytest.Config) -> bool:
    expression = config.option.markexpr
    return bool(expression) and not Expression.compile(expression).evaluate(lambda _, /, **__: False)


def can_have_deep(module: Path) -> bool:
    """False for a module that names nothing of what makes a test deep: the deep lane need not import it."""
    text = module.read_text(encoding="utf-8")
    return any(word in text for word in ("deep", "quick(", "hypothesis"))


def mark_cases(items: Sequence[pytest.Item]) -> None:
    """Leave the default lane as many cases of a test as its mark `quick` says, evenly spread."""
    cases: dict[tuple[Path, str, int], list[Any]] = defaultdict(list)
    for item in items:
        if mark := item.get_closest_marker("quick"):
            cases[item.path, item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (_, _, quick), among in cases.items():
        among.sort(key=lambda item: tuple(item.callspec.indices.values()))
        kept = {place * len(among) // quick for place in range(quick)}
        for place, item in enumerate(among):
            if place not in kept:
                item.add_marker("deep")


def long_ones_first(items: list[pytest.Item], workers: int) -> None:
    """Let each process begin with its share of the tests marked `long`; none is left for the end.

    Processes get equal parts of the list, in its order, and take from each other once they are through. Those
    marked with the seconds that they take are dealt out first, so that no process has several of the longest.
    """
    long = sorted((item for item in items if item.get_closest_marker("long")), key=_seconds, reverse=True)
    rest = iter([item for item in items if not item.get_closest_marker("long")])
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        mine = [item for place, item in enumerate(long) if _dealt_to(place, workers) == worker]
        part = (len(items) - len(ordered)) // (workers - worker)
        ordered += [*mine, *islice(rest, max(part - len(mine), 0))]
    items[:] = [*ordered, *rest]


def _seconds(item: pytest.Item) -> int:
    """What a test's mark says that it takes; 0 where it says nothing."""
    told = getattr(item.get_closest_marker("long"), "args", ())
    return int(told[0]) if told else 0


def _dealt_to(place: int, workers: int) -> int:
    """The process that gets a card: once around, then back."""
    turn, seat = divmod(place, workers)
    return workers - 1 - seat if turn % 2 else seat


def mark_properties(items: list[pytest.Item]) -> None:
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("deep")


def check_modules(items: Sequence[pytest.Item]) -> None:
    """Raise AssertionError for a deep test in a module that the deep lane would leave out."""
    for path in {item.path for item in items if item.get_closest_marker("deep")}:
        if not can_have_deep(path):
            raise AssertionError(f"{path} has deep tests, and no word of it in the module itself")
