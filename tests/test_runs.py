"""What a run costs, and which deep tests a commit draws."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import costs, drawn
from tests.costs import Costs

CODE = '"""What it is."""\n\ndef answer():\n    """Return it."""\n    return {}\n'


@pytest.fixture
def commit(tmp_path: Path) -> Callable[..., None]:
    """Writes files and commits them, so many days ago."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    def write(days_ago: int | None, **files: str) -> None:
        for name, content in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        if days_ago is None:
            return
        who = ["-c", "user.name=one", "-c", "user.email=one@example.com", "-c", "commit.gpgsign=false"]
        when = f"{1_700_000_000 - days_ago * 86_400} +0000"
        subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
        subprocess.run(
            ["git", "-C", tmp_path, *who, "commit", "-qm", "it"],
            check=True,
            env=os.environ | {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when},
        )

    return write


def test_touched_are_rooms_whose_meaning_differs_from_the_day_before(
    tmp_path: Path, commit: Callable[..., None]
) -> None:
    old = {"crypto_core__trail__store": CODE, "crypto_core__keys__one": CODE, "console__main": CODE}
    commit(9, **old, screens__status__page=CODE, screens__status__other=CODE)
    commit(3, crypto_core__trail__store=CODE.format(1))
    commit(0, crypto_core__keys__one=CODE.replace("Return it", "Give it back"), tests__test_one=CODE)
    assert drawn.lately(tmp_path).touched == {"tests/test_one"}
    commit(0, screens__status__page=CODE.format(2))
    commit(None, console__main=CODE.format(3), screens__keys__new=CODE)
    found = drawn.lately(tmp_path)
    assert found.touched == {"tests/test_one", "screens/status", "console", "screens/keys"}
    assert "all of console, screens/keys, screens/status, modules of tests: 1; of the others" in str(found)
    (tmp_path / "screens/status/page.py").unlink()
    assert "screens/status" in drawn.lately(tmp_path).touched


def test_without_a_history_a_sample_is_drawn_all_the_same(tmp_path: Path) -> None:
    assert drawn.lately(tmp_path) == drawn.Drawn("", frozenset())
    assert str(drawn.lately(tmp_path)) == "Drawn by no commit: a sample"


def test_a_test_is_of_its_folder_and_of_what_its_module_imports(tmp_path: Path) -> None:
    for room in ("crypto_core/trail/rules", "console/practice", "tests/console/practice"):
        (tmp_path / room).mkdir(parents=True)
    module = tmp_path / "tests/console/practice/test_it.py"
    module.write_text(
        "from crypto_core.trail.rules.one import it\nimport console.settings\nfrom tests import x\n"
    )
    itself = "tests/console/practice/test_it"
    assert drawn.names_of(module, tmp_path) == {itself, "console/practice", "crypto_core/trail", "console"}


def test_all_that_is_touched_is_chosen_and_of_the_rest_what_a_sample_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "names_of", lambda path: frozenset({path.name}))
    mark = SimpleNamespace(args=(drawn.SAMPLE_SECONDS / 4,))
    items: Any = [
        SimpleNamespace(
            nodeid=f"{room} {n:03}", path=Path(room), get_closest_marker=lambda _, mark=mark: mark
        )
        for room in ("keys", "trail")
        for n in range(50)
    ]

    def chosen(commit: str) -> list[str]:
        return [item.nodeid for item in drawn.Drawn(commit, frozenset({"keys"})).choose(items)]

    first, again, another = chosen("a"), chosen("a"), chosen("b")
    assert first == again
    assert first != another
    assert first == sorted(first)
    assert [name.split()[0] for name in first] == ["keys"] * 50 + ["trail"] * 4


@pytest.fixture
def budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "budget.toml").write_text("[lanes]\ndefault = 100\n")
    monkeypatch.setattr(costs, "BUDGET", tmp_path / "budget.toml")


@pytest.mark.parametrize(
    ("lane", "seconds", "held", "fails"),
    [
        *(("default", 116, "1", True), ("default", 114, "1", False), ("default", 900, "", False)),
        *(("deep", 900, "1", False), (None, 900, "1", False)),
    ],
)
def test_a_run_that_is_held_to_its_budget_fails_from_a_share_over_it_on(
    budget: None, monkeypatch: pytest.MonkeyPatch, lane: str | None, seconds: float, held: str, fails: bool
) -> None:
    monkeypatch.setenv(costs.HELD, held)
    monkeypatch.setattr(
        "os.times", lambda: SimpleNamespace(user=0, system=0, children_user=0, children_system=0)
    )
    run, session = Costs(lane, None), SimpleNamespace(config=SimpleNamespace(), exitstatus=pytest.ExitCode.OK)
    run.add({"processor_seconds": float(seconds)})
    run.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert (session.exitstatus is pytest.ExitCode.TESTS_FAILED) == fails


def test_a_run_says_what_it_cost_and_which_tests_were_dearest(budget: None, tmp_path: Path) -> None:
    run = Costs("default", tmp_path / "costs.json")
    tests = {f"test_it.py::test_{n}": n / 10 for n in range(20)}
    run.add({"costs": dict(list(tests.items())[:10]), "processor_seconds": 70.0})
    run.add({"costs": dict(list(tests.items())[10:]), "processor_seconds": 50.0})
    first, budget_line, dearest, *others = run.lines(61)
    assert first == "20 tests: 61 s, 120 processor seconds"
    assert budget_line.startswith("budget of the default lane: 100 processor seconds, 20% over; ")
    assert dearest.split() == ["1.90", "test_it.py::test_19"]
    assert len(others) == costs.DEAREST - 1
    run.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace(), exitstatus=0))  # type: ignore[arg-type]
    assert json.loads((tmp_path / "costs.json").read_text()) == tests
