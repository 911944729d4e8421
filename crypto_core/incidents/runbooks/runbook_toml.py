"""Runbooks from TOML (toml.io, version 1.0.0). Whatever they name is in the catalogue, or they are refused.

id = "key-compromise"            # small letters, digits and hyphens; never changes
version = 1
title = "KMS key compromise"
subject = "key"                  # key, tokens or database
summary = "…"
guide = true                     # a built-in one's: steps may have optional = true, until = "a step"

[[phase]]
kind = "contain"                 # detect, contain, eradicate, recover or close
title = "Contain"

[[phase.step]]
id = "lock-down"
title = "Lock the old key down"
purpose = "…"
who = "The responder"
do = ["Tell the platform's team that {key} only decrypts from now on: `keydeck keys policy {key}`.",
      {text = "Tell GitHub's support.", providers = ["github"]}]  # only if such a token is in scope
action = "lock-down-key"         # or {kind = "…", option = …}
check = {kind = "key-state", state = "Enabled"}
captures = ["policy", "grants"]
choices = ["yes", "no"]          # of a step that decides: it has neither action nor check
undecided = "yes"                # the safe one of them: what is proposed, and what no answer comes to
only_if = {step = "leaked", answer = "yes"}
on_failure = "…"
budget = "10 min"                # or seconds
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from crypto_core.incidents.runbooks import catalogue, runbook
from crypto_core.incidents.runbooks.placeholders import PLACEHOLDERS, unknown_placeholders
from crypto_core.lists.toml_fields import Fields, Word
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import RunbookError

STEP_LIMIT = 60
_PHASE_LIMIT = 20
_LINES, _LINE_LENGTH, _PROVIDERS = 30, 500, 10
_MONTH_SECONDS = 31 * 86_400

_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TIME = re.compile(r"(\d{1,7}) ?(s|sec|seconds?|min|minutes?|h|hours?|d|days?)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _RunbookFields(Fields):
    error = RunbookError


def read_runbook(text: str, source: str = "built in") -> runbook.Runbook:
    """Return the runbook that a text is; `source` is its file. Raises RunbookError: file, step and field."""
    where = clean(source or "The runbook", 300)
    top = _RunbookFields.of_text(text, where)
    runbook_id = _id(top)
    version = top.version()
    title = top.text("title", 120, required=True)
    subject = top.word("subject", catalogue.SubjectKind)
    summary = top.text("summary", 2_000, required=True)
    guide = top.flag("guide")
    if guide and where != runbook.BUILT_IN:
        top.refuse("guide", "is for built-in runbooks")
    earlier: dict[str, runbook.RunbookStep] = {}
    phases = tuple(
        _phase(table, f"{where}: phase {number}", where, earlier)
        for number, table in enumerate(top.tables("phase", _PHASE_LIMIT), 1)
    )
    top.none_left()
    if not guide and any(step.optional or step.until for step in earlier.values()):
        top.refuse("guide", "must be true where a step is optional, or has until")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return runbook.Runbook(runbook_id, version, title, subject, summary, phases, digest, where, text, guide)


def _id(fields: Fields) -> CleanText:
    return fields.matched("id", _ID, "small letters, digits and hyphens, at most 40, a letter first")


def _phase(table: object, place: str, where: str, earlier: dict[str, runbook.RunbookStep]) -> runbook.Phase:
    fields = _RunbookFields(table, place)
    kind = fields.word("kind", catalogue.PhaseKind)
    title = fields.text("title", 120, required=True)
    steps = []
    for number, step_table in enumerate(fields.tables("step", STEP_LIMIT), 1):
        step = _step(step_table, f"{place}, step {number}", where, earlier)
        earlier[step.id] = step
        if len(earlier) > STEP_LIMIT:
            raise RunbookError(f"{where} has more than {STEP_LIMIT} steps.")
        steps.append(step)
    fields.none_left()
    return runbook.Phase(kind, title, tuple(steps))


def _step(
    table: object, place: str, where: str, earlier: Mapping[str, runbook.RunbookStep]
) -> runbook.RunbookStep:
    fields = _RunbookFields(table, place)
    step_id = _id(fields)
    fields.where = f"{where}: step {step_id}"
    if step_id in earlier:
        fields.refuse("id", "is another step's already")
    action, action_options = _kind(fields, "action", catalogue.ActionKind, lambda kind: kind.does.options)
    check, check_options = _kind(
        fields, "check", catalogue.CheckKind, lambda kind: catalogue.CHECK_OPTIONS[kind]
    )
    if check is catalogue.CheckKind.KEY_STATE and "state" not in check_options:
        fields.refuse("check", f"{check} needs state")
    do = _lines(fields)
    step = runbook.RunbookStep(
        id=step_id,
        title=fields.text("title", 120, required=True),
        purpose=fields.text("purpose", 1_200, required=True),
        who=fields.text("who", 120),
        do=tuple(text for text, _ in do),
        providers=tuple(only for _, only in do) if any(only for _, only in do) else (),
        action=action,
        action_options=action_options,
        check=check,
        check_options=check_options,
        captures=fields.words("captures", catalogue.CaptureKind),
        choices=fields.texts("choices", 60, 8),
        undecided=fields.text("undecided", 60),
        only_if=_condition(fields, earlier),
        on_failure=fields.text("on_failure", 1_200),
        budget_seconds=_seconds(fields),
        optional=fields.flag("optional"),
        until=fields.text("until", 40),
    )
    fields.none_left()
    _fit_together(fields, step)
    return step


def _lines(fields: Fields) -> list[tuple[CleanText, tuple[CleanText, ...]]]:
    found: list[tuple[CleanText, tuple[CleanText, ...]]] = []
    for number, value in enumerate(fields.values("do", _LINES), 1):
        if isinstance(value, str):
            found.append((fields.cleaned("do", value, _LINE_LENGTH), ()))
            continue
        table = _RunbookFields(value, f"{fields.where}: do, line {number}")
        text = table.text("text", _LINE_LENGTH, required=True)
        only = table.texts("providers", 40, _PROVIDERS)
        if not only:
            table.refuse("providers", "is missing")
        if any(_ID.fullmatch(name) is None for name in only):
            table.refuse("providers", "must be small letters, digits and hyphens, such as github")
        table.none_left()
        found.append((text, only))
    return found


def _fit_together(fields: Fields, step: runbook.RunbookStep) -> None:
    for name, lines in (("do", step.do), ("on_failure", (step.on_failure,))):
        for unknown in (name for line in lines for name in unknown_placeholders(line)):
            known = ", ".join(sorted(PLACEHOLDERS))
            fields.refuse(name, f"has {{{clean(unknown, 40)}}}, which is none of {known}")
    if step.choices:
        if len(step.choices) < 2 or len({choice.casefold() for choice in step.choices}) < len(step.choices):
            fields.refuse("choices", "must be two or more, and differ")
        if step.action or step.check:
            fields.refuse("choices", "can't stand beside an action or a check; make them steps of their own")
    if step.undecided and step.undecided not in step.choices:
        fields.refuse("undecided", f"{step.undecided!r} is none of the choices")
    if step.check is catalogue.CheckKind.EVIDENCE_CAPTURED and not step.captures:
        fields.refuse("captures", f"is missing: {step.check} looks whether they were")


def _kind(
    fields: Fields, name: str, words: type[Word], options: Callable[[Word], catalogue.Options]
) -> tuple[Word | None, Mapping[str, runbook.OptionValue]]:
    value = fields.take(name)
    if value is None:
        return None, {}
    if isinstance(value, str):
        return fields.known(name, value, words), {}
    table = _RunbookFields(value, f"{fields.where}: {name}")
    kind = table.word("kind", words)
    given: dict[str, runbook.OptionValue] = {}
    for option, type_ in options(kind).items():
        number = type_ is int
        taken = table.number(option, 0, 10_000_000) if number else table.text(option, 120) or None
        if taken is not None:
            given[option] = taken
    table.none_left()
    return kind, given


def _condition(fields: Fields, earlier: Mapping[str, runbook.RunbookStep]) -> runbook.StepCondition | None:
    value = fields.take("only_if")
    if value is None:
        return None
    table = _RunbookFields(value, f"{fields.where}: only_if")
    step_id = table.text("step", 40, required=True)
    answer = table.text("answer", 60, required=True)
    table.none_left()
    if step_id not in earlier:
        table.refuse("step", f"{step_id!r} is no earlier step")
    choices = earlier[step_id].choices
    if answer not in choices:
        offered = (
            f"is none of {', '.join(choices)}" if choices else f"can't be: step {step_id} has no choices"
        )
        table.refuse("answer", f"{answer!r} {offered}")
    return runbook.StepCondition(step_id, answer)


def _seconds(fields: Fields) -> int:
    value = fields.take("budget")
    if value is None:
        return 0
    seconds = value if type(value) is int else -1
    if isinstance(value, str) and (found := _TIME.fullmatch(value.strip())):
        seconds = int(found[1]) * _SECONDS[found[2][0]]
    if not 0 <= seconds <= _MONTH_SECONDS:
        fields.refuse("budget", 'is not a time such as "30 min", "2 h" or a number of seconds, up to 31 days')
    return seconds
