"""The built-in runbooks about keys: each step says who, how long, what proves it and what if it fails."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import crypto_core.incidents.runbooks
from crypto_core.incidents.runbooks import catalogue

BUILT_IN = Path(crypto_core.incidents.runbooks.__file__).parent / "builtin"


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((BUILT_IN / f"{name}.toml").read_text(encoding="utf-8"))


def steps(runbook: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for phase in runbook["phase"] for step in phase["step"]]


def kind_of(value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    return value["kind"], {k: v for k, v in value.items() if k != "kind"}


@pytest.mark.parametrize("name", ["key-compromise", "key-lost"])
def test_every_step_says_who_how_long_and_what_if_it_fails(name: str) -> None:
    runbook = read(name)
    assert runbook["id"] == name
    assert catalogue.SubjectKind(runbook["subject"]) is catalogue.SubjectKind.KEY
    order = [catalogue.PhaseKind(phase["kind"]) for phase in runbook["phase"]]
    assert order == sorted(order, key=list(catalogue.PhaseKind).index)
    earlier: dict[str, dict[str, Any]] = {}
    for step in steps(runbook):
        assert step["id"] not in earlier
        for field in ("title", "purpose", "who", "do", "on_failure", "budget"):
            assert step[field], (step["id"], field)
        assert all(len(line) <= 500 for line in step["do"])
        if "action" in step:
            action, options = kind_of(step["action"])
            assert set(options) <= set(catalogue.ActionKind(action).does.options)
        if "check" in step:
            check, options = kind_of(step["check"])
            assert set(options) <= set(catalogue.CHECK_OPTIONS.get(catalogue.CheckKind(check), {}))
        assert [catalogue.CaptureKind(kind) for kind in step.get("captures", ())] or "choices" in step
        if "only_if" in step:
            assert step["only_if"]["answer"] in earlier[step["only_if"]["step"]]["choices"]
        earlier[step["id"]] = step


def test_a_compromise_is_contained_before_it_is_eradicated_and_proved_before_the_key_goes() -> None:
    done = [
        (s["id"], kind_of(s.get("action", ""))[0], kind_of(s.get("check", ""))[0])
        for s in steps(read("key-compromise"))
    ]
    ids = [step_id for step_id, _, _ in done]
    assert ids.index("evidence") < ids.index("new-key") < ids.index("switch") < ids.index("lock-down")
    assert ids.index("lock-down") < ids.index("reencrypt") < ids.index("census") < ids.index("quiet")
    assert ids.index("quiet") < ids.index("disable") < ids.index("deletion")
    assert ids.index("retention") < ids.index("copies") < ids.index("deletion")
    assert ("copies", "", "copies-known") in done
    assert ("census", "", "nothing-under-key") in done
