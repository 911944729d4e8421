"""The built-in runbooks about tokens and restored databases name only what there is, step by step."""

from __future__ import annotations

import tomllib
from importlib import import_module, resources
from importlib.util import find_spec
from typing import Any

import pytest

from console.capabilities import OWN_TOOLS
from crypto_core.incidents.runbooks import catalogue
from crypto_core.values.clean_text import clean
from tests.crypto_core.incidents.tokens.staging import Stage

ELSEWHERE = {
    catalogue.CheckKind.EVIDENCE_CAPTURED,
    catalogue.CheckKind.DRILL_RECORDED,
    catalogue.CheckKind.SUSPECTS_BLOCKED,
    catalogue.CaptureKind.CENSUS,
    *(kind for kind in (*catalogue.CheckKind, *catalogue.CaptureKind) if kind in OWN_TOOLS),
}
"""What others make: the engine itself, the tools about keys, and capabilities."""
ACTIONS_ELSEWHERE = {catalogue.ActionKind.BLOCK_SUSPECTS, catalogue.ActionKind.ASK_ABILITIES}


def read(name: str) -> tuple[str, dict[str, Any]]:
    text = (resources.files("crypto_core.incidents.runbooks") / "builtin" / f"{name}.toml").read_text("utf-8")
    return text, tomllib.loads(text)


@pytest.mark.parametrize(("name", "subject"), [("token-compromise", "tokens"), ("restore-drill", "database")])
def test_every_step_can_be_done_and_says_what_to_do_if_it_fails(
    stage: Stage, name: str, subject: str
) -> None:
    text, runbook = read(name)
    assert (runbook["id"], runbook["subject"], runbook["version"]) == (name, subject, 1)
    assert clean(runbook["summary"], 2_000) == runbook["summary"]
    answers: dict[str, list[str]] = {}
    for phase in runbook["phase"]:
        catalogue.PhaseKind(phase["kind"])
        for step in phase["step"]:
            for needed in ("title", "purpose", "who", "do", "on_failure", "budget"):
                assert step[needed], (step["id"], needed)
            action = step.get("action", {})
            action = {"kind": action} if isinstance(action, str) else action
            if action:
                kind = catalogue.ActionKind(action.pop("kind"))
                assert kind in {*stage.tools.actions, *ACTIONS_ELSEWHERE}
                assert set(action) <= set(kind.does.options)
            if "check" in step:
                assert catalogue.CheckKind(step["check"]) in {*stage.tools.checks, *ELSEWHERE}
            for capture in step.get("captures", ()):
                assert catalogue.CaptureKind(capture) in {*stage.tools.captures, *ELSEWHERE}
            if "only_if" in step:
                assert step["only_if"]["answer"] in answers[step["only_if"]["step"]]
            answers[step["id"]] = step.get("choices", [])
            assert not (step.get("choices") and (action or "check" in step))
            lines = [line if isinstance(line, str) else line["text"] for line in step["do"]]
            assert max(map(len, lines)) <= 500
    if find_spec("crypto_core.incidents.runbooks.runbook_toml"):
        reading = import_module("crypto_core.incidents.runbooks.runbook_toml")
        assert reading.read_runbook(text).id == name
