"""Which tests a lane has, and how often it tries a property."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import settings

from tests import lanes


@pytest.mark.parametrize(
    ("expression", "deep"),
    [("not deep", False), ("deep", True), ("", True), ("deep or not deep", True), ("not (deep)", False)],
)
def test_a_lane_is_deep_if_it_runs_what_is_marked_so(expression: str, deep: bool) -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    assert lanes.is_deep(cast(pytest.Config, config)) is deep


@pytest.mark.parametrize(
    ("expression", "only"),
    [
        ("not deep", False),
        ("deep", True),
        ("", False),
        ("deep or not deep", False),
        ("deep and not long", True),
    ],
)
def test_only_deep_tests_are_run_if_no_other_would_be(expression: str, only: bool) -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    assert lanes.is_only_deep(cast(pytest.Config, config)) is only


def test_a_deep_test_is_never_in_a_module_that_the_deep_lane_leaves_out(tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text("from elsewhere import SLOW\n\n\n@SLOW\ndef test_one(): ...\n")
    item: Any = SimpleNamespace(path=module, get_closest_marker=lambda name: name == "deep")
    with pytest.raises(AssertionError, match=r"test_it\.py has deep tests"):
        lanes.check_modules([item])
    module.write_text("@pytest.mark.deep\ndef test_one(): ...\n")
    lanes.check_modules([item])


def test_properties_are_tried_alike_in_every_run_of_the_default_lane(pytestconfig: pytest.Config) -> None:
    deep = lanes.is_deep(pytestconfig)
    assert settings.default.derandomize is not deep
    assert lanes.examples(400) == (400 if deep else lanes.EXAMPLES)
    assert lanes.examples(400, quick=20) == (400 if deep else 20)
    assert lanes.examples(10) == 10


@pytest.mark.deep
def test_the_deep_lane_has_a_seed_that_can_be_given_again(pytestconfig: pytest.Config) -> None:
    assert str(pytestconfig.getoption("--hypothesis-seed")).isdecimal()


@dataclass
class Case:
    """A case of a test as pytest has collected it, as far as lanes look at it."""

    nodeid: str
    place: int
    quick: int | None
    path: Path = Path("test_it.py")
    marked: list[str] = field(default_factory=list)

    @property
    def callspec(self) -> SimpleNamespace:
        return SimpleNamespace(indices={"n": self.place})

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(args=(self.quick,)) if name == "quick" and self.quick else None

    def add_marker(self, name: str) -> None:
        self.marked.append(name)


@pytest.mark.parametrize(
    ("quick", "default"),
    [(1, {0}), (2, {0, 3}), (3, {0, 2, 4}), (7, set(range(7))), (9, set(range(7))), (None, set(range(7)))],
)
def test_so_many_cases_as_are_quick_are_in_the_default_lane(quick: int | None, default: set[int]) -> None:
    cases = [Case(f"test_it.py::test_one[{n}]", n, quick) for n in range(7)]
    another = [Case(f"test_it.py::test_another[{n}]", n, None) for n in range(7)]
    items = [*cases, *another]
    random.Random(1).shuffle(items)
    lanes.mark_cases(cast(list[pytest.Item], items))
    assert {case.place for case in cases if case.marked != ["deep"]} == default
    assert not any(case.marked for case in another)


@pytest.mark.parametrize(
    ("tests", "long", "workers"), [(20, 5, 3), (7, 7, 2), (5, 0, 4), (2, 1, 6), (0, 0, 2)]
)
def test_each_process_begins_with_its_share_of_the_long_tests(tests: int, long: int, workers: int) -> None:
    names = [f"{'long' if n >= tests - long else 'short'} {n}" for n in range(tests)]
    items: Any = [
        SimpleNamespace(name=name, get_closest_marker=lambda mark, name=name: name.startswith(mark) or None)
        for name in names
    ]
    lanes.long_ones_first(items, workers)
    ordered = [item.name for item in items]
    assert sorted(ordered) == sorted(names)
    for worker in range(workers):
        # As pytest-xdist hands them out.
        part = len(ordered) // (workers - worker)
        mine, ordered = ordered[:part], ordered[part:]
        kinds = [name.startswith("short") for name in mine]
        assert kinds == sorted(kinds)
        if part > long // workers + 1:
            assert abs(kinds.count(False) - long / workers) < 1
    short = [item.name for item in items if item.name.startswith("short")]
    assert short == [name for name in names if name.startswith("short")]
