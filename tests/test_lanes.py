"""Which tests a lane has, and how often it tries a property."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import settings

from tests import lanes
from tests.lanes import Lane


def config_of(expression: str) -> pytest.Config:
    return cast(pytest.Config, SimpleNamespace(option=SimpleNamespace(markexpr=expression)))


@pytest.mark.parametrize(
    ("expression", "lane", "is_alone"),
    [
        *(("not deep and not long", Lane.DEFAULT, False), ("not deep", Lane.DEFAULT, False)),
        *(("deep", Lane.DEEP, True), ("deep and not slow", Lane.DEEP, True), ("not long", Lane.DEEP, False)),
        *(("long", Lane.LONG, True), ("deep or long", Lane.LONG, True), ("", Lane.LONG, False)),
    ],
)
def test_the_lane_is_the_longest_one_that_an_expression_runs(
    expression: str, lane: Lane, is_alone: bool
) -> None:
    assert lanes.lane_of(config_of(expression)) is lane
    assert lanes.leaves_default_out(config_of(expression)) is is_alone


def test_a_deep_test_is_never_in_a_module_that_the_deep_lane_leaves_out(tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text("from elsewhere import SLOW\n\n\n@SLOW\ndef test_one(): ...\n")
    item: Any = SimpleNamespace(path=module, get_closest_marker=lambda name: name == "deep")
    with pytest.raises(AssertionError, match=r"test_it\.py has deep tests"):
        lanes.check_modules([item])
    module.write_text("@pytest.mark.deep\ndef test_one(): ...\n")
    lanes.check_modules([item])


def test_properties_are_tried_alike_in_every_run_of_the_default_lane(pytestconfig: pytest.Config) -> None:
    lane = lanes.lane_of(pytestconfig)
    assert settings.default.derandomize is (lane is Lane.DEFAULT)
    of_lane = {Lane.DEFAULT: (lanes.EXAMPLES, 5, lanes.EXAMPLES), Lane.DEEP: (lanes.DEEP_EXAMPLES, 100, 60)}
    found = (lanes.examples(400), lanes.examples(400, quick=5), lanes.examples(400, deep=60))
    assert found == of_lane.get(lane, (400, 400, 400))
    assert lanes.examples(10) == 10


@pytest.mark.deep
def test_the_deep_lane_has_a_seed_that_can_be_given_again(pytestconfig: pytest.Config) -> None:
    assert str(pytestconfig.getoption("--hypothesis-seed")).isdecimal()


RESUMED = """
import pytest
from tests import lanes

def pytest_configure(config):
    lanes.choose(config)

pytest_configure = pytest.hookimpl(tryfirst=True)(pytest_configure)

def pytest_collection_modifyitems(config, items):
    lanes.mark_and_choose(config, items)
"""
CASES = """
import os, pytest
from hypothesis import given, strategies as st

@pytest.mark.quick(0, deep=3)
@pytest.mark.parametrize("n", range(8))
def test_case(n):
    assert n in (1, 3) or os.environ.get("MENDED")

@given(st.integers())
def test_property(n): ...
"""


@pytest.mark.deep
def test_a_lane_that_is_resumed_leaves_out_what_has_passed_and_keeps_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "KEYDECK_TESTS_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "conftest.py").write_text(RESUMED)
    (tmp_path / "test_it.py").write_text(CASES)
    monkeypatch.setenv("PYTHONPATH", str(Path(lanes.__file__).parents[1]))
    monkeypatch.setenv("RESUME", str(tmp_path / "passed"))
    options = [*("-p", "no:cacheprovider", "-p", "no:randomly"), *("-m", "long", "-n2")]
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={tmp_path}", *options]

    def passed() -> tuple[str, list[str]]:
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        seed, *names = (tmp_path / "passed").read_text().splitlines()
        return seed, sorted(name.partition("::")[2] for name in names)

    seed, first = passed()
    assert first == ["test_case[1]", "test_case[3]", "test_property"]
    monkeypatch.setenv("MENDED", "1")
    assert passed() == (seed, sorted([*first, "test_case[4]", "test_case[6]", "test_case[7]"]))


@dataclass
class Case:
    """A case of a test as pytest has collected it, as far as lanes look at it."""

    nodeid: str
    place: int
    quick: int | None
    deep: int | None = None
    path: Path = Path("test_it.py")
    marked: list[str] = field(default_factory=list)

    @property
    def callspec(self) -> SimpleNamespace:
        return SimpleNamespace(indices={"n": self.place})

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        given = {} if self.deep is None else {"deep": self.deep}
        return SimpleNamespace(args=(self.quick,), kwargs=given) if name == "quick" and self.quick else None

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
    ("deep", "marked"), [(None, "-dd-ddd"), (2, "-dl-dll"), (0, "-ll-lll"), (9, "-dd-ddd")]
)
def test_the_deep_lane_has_as_many_of_the_others_as_the_mark_says(deep: int | None, marked: str) -> None:
    cases = [Case(f"test_it.py::test_one[{n}]", n, 2, deep) for n in range(7)]
    lanes.mark_cases(cast(list[pytest.Item], cases))
    assert "".join(case.marked[0][0] if case.marked else "-" for case in cases) == marked


@pytest.mark.parametrize(
    ("tests", "slow", "workers"), [(20, 5, 3), (7, 7, 2), (5, 0, 4), (2, 1, 6), (0, 0, 2)]
)
def test_each_process_begins_with_its_share_of_the_slow_tests(tests: int, slow: int, workers: int) -> None:
    names = [f"{'slow' if n >= tests - slow else 'short'} {n}" for n in range(tests)]
    items: Any = [
        SimpleNamespace(name=name, get_closest_marker=lambda mark, name=name: name.startswith(mark) or None)
        for name in names
    ]
    lanes.slow_ones_first(items, workers)
    ordered = [item.name for item in items]
    assert sorted(ordered) == sorted(names)
    for worker in range(workers):
        # As pytest-xdist hands them out.
        part = len(ordered) // (workers - worker)
        mine, ordered = ordered[:part], ordered[part:]
        kinds = [name.startswith("short") for name in mine]
        assert kinds == sorted(kinds)
        if part > slow // workers + 1:
            assert abs(kinds.count(False) - slow / workers) < 1
    short = [item.name for item in items if item.name.startswith("short")]
    assert short == [name for name in names if name.startswith("short")]
