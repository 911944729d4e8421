"""The built-in runbooks, for the page about them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep

_CODE = re.compile(r"(`[^`]*`)")


def markdown() -> str:
    return "\n".join(line for runbook in RunbookLibrary().read().runbooks for line in _runbook(runbook))


def _runbook(runbook: Runbook) -> Iterator[str]:
    yield from (f"## {runbook.title}", "")
    yield from (f"`keydeck incident start {runbook.id}`. {_text(runbook.summary)}", "")
    number = 0
    for phase in runbook.phases:
        yield from (f"### {phase.title}", "")
        for step in phase.steps:
            number += 1
            yield from _step(number, step)


def _step(number: int, step: RunbookStep) -> Iterator[str]:
    budget = f"{step.budget_seconds // 60} min" if step.budget_seconds else ""
    about = ", ".join(filter(None, (_text(step.who), budget)))
    yield from (f"**{number}. {_text(step.title)}**" + (f" ({about})" if about else ""), "")
    if step.only_if is not None:
        yield from (f"Only if `{step.only_if.step}` is answered with *{_text(step.only_if.answer)}*.", "")
    yield from (_text(step.purpose), "")
    for line in step.do:
        yield f"- {_text(line)}"
    facts = {
        "Answers": ", ".join(step.choices),
        "Action": f"`{step.action.value}`" if step.action else "",
        "Check": f"`{step.check.value}`" if step.check else "",
        "Evidence": ", ".join(f"`{one.value}`" for one in step.captures),
        "If it fails": _text(step.on_failure),
    }
    yield from ([""] if step.do else [])
    told = (f"*{name}*: {words.rstrip('.')}." for name, words in facts.items() if words)
    yield from (" ".join(told), "")


def _text(text: str) -> str:
    """Return a text in which nothing is markup but code between backticks."""
    parts = _CODE.split(text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_\[\]<>#&])", r"\\\1", part) for part in parts
    )
