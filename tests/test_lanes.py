"""Which tests a lane has, and how often it tries a property."""

from __future__ import annotations

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


def test_properties_are_tried_alike_in_every_run_of_the_default_lane(pytestconfig: pytest.Config) -> None:
    deep = lanes.is_deep(pytestconfig)
    assert settings.default.derandomize is not deep
    assert lanes.examples(400) == (400 if deep else lanes.EXAMPLES)
    assert lanes.examples(400, quick=20) == (400 if deep else 20)
    assert lanes.examples(10) == 10


@pytest.mark.deep
def test_the_deep_lane_has_a_seed_that_can_be_given_again(pytestconfig: pytest.Config) -> None:
    assert str(pytestconfig.getoption("--hypothesis-seed")).isdecimal()
