"""Runbooks are data: what they name is in the catalogue, and whatever is wrong is told, never a crash."""

from __future__ import annotations

import hashlib
import random
import shlex
from datetime import UTC, datetime
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.incidents.model import Incident, IncidentScope, IncidentState
from crypto_core.incidents.runbooks import catalogue
from crypto_core.incidents.runbooks.placeholders import PLACEHOLDERS, commands_in, filled, filled_parts
from crypto_core.incidents.runbooks.runbook import RunbookStep, StepCondition
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RunbookError
from tests.lanes import examples

WHOLE = '''
id = "our-key"
version = 2
title = "Our [/red] key"
subject = "key"
summary = """
Two
lines with \\u001b[2J and \\u202e."""

[[phase]]
kind = "contain"
title = "Contain"

[[phase.step]]
id = "leaked"
title = "Leaked?"
purpose = "To know."
choices = ["yes", "no"]

[[phase.step]]
id = "later"
title = "Delete it"
purpose = "For good."
who = "Ana"
do = ["Tell them about {key}.", "Run ${HOME}/x {}"]
action = {kind = "schedule-deletion", days = 30}
check = {kind = "key-state", state = "PendingDeletion"}
captures = ["key", "policy"]
only_if = {step = "leaked", answer = "yes"}
on_failure = "Ask about {new_key}."
budget = "2 h"

[[phase]]
kind = "close"
title = "Close"

[[phase.step]]
id = "end"
title = "End"
purpose = "It ends."
action = "enable-key"
check = "evidence-captured"
captures = ["census"]
budget = 90
'''


def test_a_runbook_comes_back_as_it_was_written() -> None:
    runbook = read_runbook(WHOLE, "runbooks/ours.toml")
    assert (runbook.id, runbook.version, runbook.subject) == ("our-key", 2, catalogue.SubjectKind.KEY)
    assert (runbook.title, runbook.summary) == ("Our [/red] key", "Two lines with [2J and .")
    assert runbook.digest == hashlib.sha256(WHOLE.encode()).hexdigest()
    assert (runbook.source, runbook.text) == ("runbooks/ours.toml", WHOLE)
    assert [(p.kind, [s.id for s in p.steps]) for p in runbook.phases] == [
        (catalogue.PhaseKind.CONTAIN, ["leaked", "later"]),
        (catalogue.PhaseKind.CLOSE, ["end"]),
    ]
    leaked, later, end = runbook.steps
    assert (later.action, later.action_options) == (catalogue.ActionKind.SCHEDULE_DELETION, {"days": 30})
    assert (later.check, later.check_options) == (catalogue.CheckKind.KEY_STATE, {"state": "PendingDeletion"})
    assert later.captures == (catalogue.CaptureKind.KEY, catalogue.CaptureKind.POLICY)
    assert (later.only_if, later.budget_seconds) == (StepCondition("leaked", "yes"), 7_200)
    assert (end.action, end.action_options, end.budget_seconds) == (catalogue.ActionKind.ENABLE_KEY, {}, 90)
    assert leaked.choices == ("yes", "no")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "our-key"', 'id = "Our key"', "ours.toml: id must be small letters"),
        ("version = 2", "version = true", "ours.toml: version is not a whole number"),
        ("version = 2", "", "ours.toml: version is missing"),
        ('subject = "key"', 'subject = "keys"', "subject 'keys' is none of key, tokens, database"),
        ("version = 2", 'version = 2\nowner = "me"', "ours.toml: 'owner' is not known here"),
        ('kind = "close"', 'kind = "end"', "ours.toml: phase 2: kind 'end' is none of detect"),
        ('id = "end"', 'id = "later"', "step later: id is another step's already"),
        ('title = "End"', "title = 7", "ours.toml: step end: title is not text"),
        ('title = "End"', 'title = "\\u200b"', "step end: title is empty"),
        ('title = "End"', f'title = "{"x" * 121}"', "step end: title is longer than 120"),
        ('purpose = "It ends."', "", "step end: purpose is missing"),
        ('purpose = "It ends."', 'purpose = "It ends."\nwhy = 1', "step end: 'why' is not known here"),
        ('"enable-key"', '"enable"', "step end: action 'enable' is none of create-key"),
        ("days = 30", 'days = "30"', "step later: action: days is not a whole number"),
        ("days = 30", "days = true", "step later: action: days is not a whole number"),
        ("days = 30", "day = 30", "step later: action: 'day' is not known here"),
        ('"enable-key"', '{kind = "enable-key", days = 1}', "step end: action: 'days' is not known here"),
        (', state = "PendingDeletion"', "", "step later: check key-state needs state"),
        ('["key", "policy"]', '["key", "key"]', "step later: captures names something twice"),
        ('["key", "policy"]', '"key"', "step later: captures is not a list"),
        ('captures = ["census"]', "", "step end: captures is missing"),
        ('["yes", "no"]', '["yes"]', "step leaked: choices must be two or more"),
        ('["yes", "no"]', '["yes", "Yes"]', "step leaked: choices must be two or more, and differ"),
        ('"To know."', '"To know."\naction = "enable-key"', "step leaked: choices can't stand beside"),
        ('"To know."', '"To know."\nundecided = "No"', "step leaked: undecided 'No' is none of the choices"),
        ('step = "leaked"', 'step = "end"', "step later: only_if: step 'end' is no earlier step"),
        ('answer = "yes"', 'answer = "Yes"', "step later: only_if: answer 'Yes' is none of yes, no"),
        ("about {key}", "about {kee}", "step later: do has {kee}, which is none of"),
        ("{new_key}", "{newkey}", "step later: on_failure has {newkey}"),
        ('"2 h"', '"2 fortnights"', "step later: budget is not a time"),
        ("budget = 90", "budget = -1", "step end: budget is not a time"),
        ("budget = 90", "budget = 1.5", "step end: budget is not a time"),
        ("version = 2", "version = 2\nguide = true", "ours.toml: guide is for built-in runbooks"),
        ("version = 2", "version = 2\nguide = 1", "ours.toml: guide is neither true nor false"),
        ("budget = 90", "optional = true", "ours.toml: guide must be true where a step is optional"),
        ("budget = 90", 'until = "leaked"', "ours.toml: guide must be true where a step is optional"),
        ("[[phase]]", "[phase]", "ours.toml is not TOML"),
        ("id =", "id", "ours.toml is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_file_step_and_field(old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(RunbookError) as error:
        read_runbook(WHOLE.replace(old, new, 1), "ours.toml")
    assert said in error.value.message


def test_a_runbook_has_bounds() -> None:
    step = '[[phase.step]]\nid = "s{}"\ntitle = "T"\npurpose = "P"\n'
    head = WHOLE.partition("[[phase]]")[0] + '[[phase]]\nkind = "close"\ntitle = "C"\n'
    assert len(read_runbook(head + "".join(map(step.format, range(60)))).steps) == 60
    for text, said in (
        (head + "".join(map(step.format, range(61))), "more than 60"),
        (head, "phase 1: step is missing"),
        (WHOLE + "#" * 262_144, "longer than 256 KiB"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "9" * 10_000, "not TOML"),
        ("\ud800", "not text"),
        ("a = 1\x00", "not TOML"),
    ):
        with pytest.raises(RunbookError, match=said):
            read_runbook(text)


def _read_or_refuse(text: str) -> None:
    told = "any.toml"
    steps: tuple[RunbookStep, ...] = ()
    try:
        steps = read_runbook(text, "any.toml").steps
    except RunbookError as error:
        told = error.message
    else:
        assert 1 <= len(steps) <= 60
    assert told.startswith("any.toml")
    texts = [told, *(text for step in steps for text in (step.title, step.purpose, *step.do))]
    assert [clean(text, 2_000) for text in texts] == texts


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    _read_or_refuse(text)


_LITERALS = st.sampled_from(
    [
        "0",
        "-1",
        "1.5",
        "true",
        '""',
        '"x"',
        "[]",
        "[1]",
        '["yes"]',
        "{}",
        '{kind = "key"}',
        "1979-05-27",
        "nan",
    ]
)


@settings(max_examples=examples(300))
@given(st.data())
def test_any_change_of_a_runbook_is_read_or_refused(data: st.DataObject) -> None:
    folder = resources.files("crypto_core.incidents.runbooks").joinpath("builtin")
    files = sorted(folder.iterdir(), key=lambda f: f.name) if folder.is_dir() else []
    text = data.draw(st.sampled_from([WHOLE, *(f.read_text() for f in files if f.name.endswith(".toml"))]))
    lines = text.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        way = data.draw(st.integers(0, 5))
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        elif way == 2:
            name = lines[at].partition("=")[0]
            lines[at] = f"{name}= {data.draw(_LITERALS)}"
        elif way == 3:
            place = data.draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:place] + data.draw(st.text(max_size=3)) + lines[at][place + 1 :]
        elif way == 4:
            lines[at] = (
                f"{data.draw(st.sampled_from(['id', 'step', 'kind', 'check', 'x']))} = {data.draw(_LITERALS)}"
            )
        else:
            random.Random(data.draw(st.integers(0, 999))).shuffle(lines)
        if not lines:
            lines = [""]
    _read_or_refuse("\n".join(lines))


def test_placeholders_are_filled_in_and_what_is_not_known_is_said() -> None:
    scope = IncidentScope(key="arn:x", references=("a:1", "b:2"), since=datetime(2026, 1, 2, tzinfo=UTC))
    declared = datetime(2026, 1, 3, tzinfo=UTC)
    incident = Incident(7, "T {key}", IncidentState.OPEN, scope, declared, "ana", {"new_key": "arn:y"})
    text = "{incident} {number} {title} {key} {new_key} {job} {filter} {references} {since} {} {x} ${HOME}"
    assert filled(text, incident.placeholders) == (
        "INC-7 7 T {key} arn:x arn:y (job not known yet) (filter not given) a:1, b:2 "
        "2026-01-02T00:00:00+00:00 {} {x} ${HOME}"
    )
    assert all("{" not in filled(f"{{{name}}}", incident.placeholders) for name in PLACEHOLDERS - {"title"})


def test_commands_are_whole_and_each_value_is_one_word_of_a_shell() -> None:
    arn, hostile = "arn:aws:kms:eu-west-1:123456789012:key/mrk-1", "$(rm -rf ~); 'x' \u202e`id`"
    values = {"key": arn, "title": hostile, "alias": "alias/tokens", "new_key": ""}
    line = "Back, for {key}: `keydeck keys enable {key}`, then `SET={alias}`. `a {new_key}` `b '{key}'` odd `"
    assert commands_in(line, values) == (f"keydeck keys enable {arn}", "SET=alias/tokens")
    shown = "".join(part for part, _ in filled_parts(line, values, values | {"key": "alias/tokens …rk-1"}))
    assert shown.startswith(
        f"Back, for alias/tokens …rk-1: keydeck keys enable {arn}, then SET=alias/tokens."
    )
    (command,) = commands_in("`keydeck incident note 7 {title}`", values)
    assert shlex.split(command) == ["keydeck", "incident", "note", "7", hostile]
