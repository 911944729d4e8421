"""Three lanes of tests: what each change is tried by within minutes, what takes longer, marked `deep`, and
what draws worlds by the thousand or plays whole incidents in every variant, marked `long`.

Properties are tried with at most 10 examples in the default lane, the same in every run; with 100 in the deep
one and with all that they ask for in the long one, by a seed of the run's own, which is printed.

A test with many costly cases says how many of them a lane has: `@pytest.mark.quick(2)` leaves two to the
default lane and the others to the deep one, `@pytest.mark.quick(2, deep=8)` leaves that one eight and all
others to the long one.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.expression import Expression
from hypothesis import is_hypothesis_test, settings

EXAMPLES = 10
"""Of a property in the default lane, unless it asks for fewer."""
DEEP_EXAMPLES = 100
"""Of a property in the deep lane, unless it asks for fewer."""


class Lane(Enum):
    DEFAULT, DEEP, LONG = "default", "deep", "long"


_DEFAULT = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
_DEEP = settings(max_examples=DEEP_EXAMPLES, deadline=None, database=None, print_blob=True)
_chosen = Lane.DEFAULT
_SEED, _KEPT = "KEYDECK_TESTS_SEED", "KEYDECK_TESTS_KEPT"
"""What all processes of a run have in common, by the environment."""


def examples(wanted: int, *, quick: int = EXAMPLES, deep: int = DEEP_EXAMPLES) -> int:
    """How many examples a property is tried with: `wanted` in the long lane, no more than so many else."""
    return min(wanted, {Lane.DEFAULT: quick, Lane.DEEP: deep, Lane.LONG: wanted}[_chosen])


def choose(config: pytest.Config) -> None:
    """Set up properties for the lane that is run; in a longer one with a new seed, unless one is given."""
    global _chosen  # one lane a process, and modules ask as they are imported
    _chosen = lane_of(config)
    settings.register_profile("lane", _DEFAULT if _chosen is Lane.DEFAULT else _DEEP)
    settings.load_profile("lane")
    path = os.environ.get("RESUME") if _chosen is not Lane.DEFAULT else None
    resuming = Resuming(Path(path)) if path else None
    if _chosen is not Lane.DEFAULT and config.getoption("--hypothesis-seed") is None:
        kept = resuming.seed if resuming is not None else ""
        new = str(random.SystemRandom().getrandbits(32))
        # By the environment: what a process of a run is given by options hypothesis does not see.
        config.option.hypothesis_seed = os.environ.setdefault(_SEED, kept or new)
    if resuming is not None:
        config.pluginmanager.register(resuming, "resuming")
        if not hasattr(config, "workerinput"):
            resuming.begin(str(config.option.hypothesis_seed))


def lane_of(config: pytest.Config) -> Lane:
    """Return the longest lane that is run, be it alone or among others."""
    if _runs(config, "long") and (_runs(config, "deep") or not _runs(config)):
        return Lane.LONG
    return Lane.DEEP if _runs(config, "deep") else Lane.DEFAULT


def leaves_default_out(config: pytest.Config) -> bool:
    return not _runs(config)


def _runs(config: pytest.Config, *marked: str) -> bool:
    """Whether a test that is marked so, and not otherwise, is run."""
    expression = config.option.markexpr
    return not expression or Expression.compile(expression).evaluate(lambda name, /, **_: name in marked)


def can_have_deep(module: Path) -> bool:
    """False for a module that names nothing of what makes a test deep or long: they need not import it."""
    text = module.read_text(encoding="utf-8")
    return any(word in text for word in ("deep", "mark.long", "quick(", "hypothesis"))


def mark_and_choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what belongs to which lane, then leave out what has passed in a run that is resumed."""
    mark_cases(items)
    check_modules(items)
    mark_properties(items)
    resuming: Resuming | None = config.pluginmanager.get_plugin("resuming")
    if resuming is not None:
        resuming.leave_out(items)


def mark_cases(items: Sequence[pytest.Item]) -> None:
    """Leave each lane as many cases of a test as its mark `quick` says, evenly spread."""
    cases: dict[tuple[Path, str, int, int | None], list[Any]] = defaultdict(list)
    for item in items:
        if mark := item.get_closest_marker("quick"):
            name = item.nodeid.partition("[")[0]
            cases[item.path, name, mark.args[0], mark.kwargs.get("deep")].append(item)
    for (_, _, quick, deep), among in cases.items():
        among.sort(key=lambda item: tuple(item.callspec.indices.values()))
        _, rest = _parted(among, quick)
        deep_ones, long_ones = _parted(rest, len(rest) if deep is None else deep)
        for mark, items_ in (("deep", deep_ones), ("long", long_ones)):
            for item in items_:
                item.add_marker(mark)


def _parted(cases: list[Any], number: int) -> tuple[list[Any], list[Any]]:
    """Part cases into so many, evenly spread, and the others."""
    kept = {place * len(cases) // number for place in range(number)}
    parts: tuple[list[Any], list[Any]] = ([], [])
    for place, case in enumerate(cases):
        parts[place not in kept].append(case)
    return parts


def slow_ones_first(items: list[pytest.Item], workers: int) -> None:
    """Let each process begin with its share of the tests marked `slow`; none is left for the end.

    Processes get equal parts of the list, in its order, and take from each other once they are through. Those
    marked with the seconds that they take are dealt out first, so that no process has several of the longest.
    """
    slow = sorted((item for item in items if item.get_closest_marker("slow")), key=_seconds, reverse=True)
    rest = iter([item for item in items if not item.get_closest_marker("slow")])
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        mine = [item for place, item in enumerate(slow) if _dealt_to(place, workers) == worker]
        part = (len(items) - len(ordered)) // (workers - worker)
        ordered += [*mine, *islice(rest, max(part - len(mine), 0))]
    items[:] = [*ordered, *rest]


def _seconds(item: pytest.Item) -> int:
    """What a test's mark says that it takes; 0 where it says nothing."""
    told = getattr(item.get_closest_marker("slow"), "args", ())
    return int(told[0]) if told else 0


def _dealt_to(place: int, workers: int) -> int:
    """The process that gets a card: once around, then back."""
    turn, seat = divmod(place, workers)
    return workers - 1 - seat if turn % 2 else seat


def mark_properties(items: list[pytest.Item]) -> None:
    """Try properties again in each longer lane."""
    if _chosen is Lane.DEFAULT:
        return
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(_chosen.value)


def check_modules(items: Sequence[pytest.Item]) -> None:
    """Raise AssertionError for a deep or long test in a module that those lanes would leave out."""
    marked = [one for one in items if one.get_closest_marker("deep") or one.get_closest_marker("long")]
    for path in {item.path for item in marked}:
        if not can_have_deep(path):
            raise AssertionError(f"{path} has deep tests, and no word of it in the module itself")


class Resuming:
    """Notes in a file what passes, and leaves that out of the next run, which has the same seed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kept = path.read_bytes() if path.exists() else b""
        # What the file had at the start is left out: processes that come later, too, have the same tests.
        size = int(os.environ.setdefault(_KEPT, str(len(kept))))
        self.seed, *passed = kept[:size].decode().splitlines() or [""]
        self.passed, self.notes = frozenset(passed), False
        self._called: set[str] = set()

    def begin(self, seed: str) -> None:
        """Note what passes from now on: of all processes of a run the one that hears of each test."""
        self.notes = True
        if not self.seed:
            self.path.write_text(f"{seed}\n", "utf-8")

    def leave_out(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self.passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.notes or not report.passed:
            return
        if report.when == "call":
            self._called.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid in self._called:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")
