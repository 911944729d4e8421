"""Decoys on screen: a sign and a word in the list, what they are in the detail, a line in the status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from crypto_core.database.tokens.decoys import Decoy, DecoyCount, DecoyToken
from crypto_core.database.tokens.inspection import Inspection
from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding, Severity
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import ProblemKind
from crypto_core.lists.coverage import Evidence
from crypto_core.values.clean_text import clean
from crypto_core.values.references import TokenRef
from screens.connections.detail import _key
from screens.connections.screen import LISTING
from screens.keys.detail import _tripwire_lines
from screens.status.problem_rows import ADVICE, problem_rows
from screens.status.screen import decoy_lines

KEY = "arn:aws:kms:eu-central-1:123456789012:key/0badc0de-0000-4000-8000-000000000000"
ROW = InventoryRow(
    TokenRef("gh_connection", "access_token", "gh-7"),
    "github",
    clean("org-a"),
    Format.V1,
    None,
    400,
    KEY,
    None,
    Evidence.INFERRED,
    datetime(2026, 1, 1, tzinfo=UTC),
    (),
    tripwire=2,
)
DECOY = Decoy(2, "gh_connection", "gh-7", KEY, Format.V1, (DecoyToken("access_token", b"d", b"t"),))


def evidence(row: InventoryRow) -> Any:
    (column,) = [column for column in LISTING.columns if column.name == "evidence"]
    return column.text(row, None)  # type: ignore[arg-type]


def test_a_decoy_has_a_sign_and_a_word_in_the_list_and_a_token_its_evidence() -> None:
    assert evidence(ROW)[0] == "◇ decoy"
    assert evidence(replace(ROW, tripwire=None))[0] == "inferred"


def test_the_detail_says_what_it_is_and_offers_no_question_to_kms() -> None:
    inspection = Inspection(ROW, (), KeyAnswer(KEY, None), Evidence.INFERRED)
    (line,) = _key(inspection, None, asking=False)  # type: ignore[arg-type]
    assert line.plain == "◇ Decoy of tripwire 2. Nobody legitimate opens it: whoever does is told."


def test_the_status_counts_decoys_apart_and_says_which_are_gone() -> None:
    assert decoy_lines(DecoyCount(), 80) == []
    (line,) = decoy_lines(DecoyCount((DECOY,)), 80)
    assert line.content.plain == "tripwires: ◇ 1 decoy of 1 tripwire, in no number here"
    (line,) = decoy_lines(DecoyCount((DECOY,), (replace(DECOY, row_id="gh-8"),)), 120)
    assert line.content.plain.endswith("; 1 gone, or changed since")


def test_the_page_of_a_tripwires_key_says_what_it_is_for() -> None:
    status: Any = SimpleNamespace(decoys=DecoyCount((DECOY, replace(DECOY, row_id="gh-8"))))
    (line,) = _tripwire_lines(KeyState(KEY, "eu-central-1"), status, 100)
    assert "◇ 2. Nothing but decoys: a finding names whoever opens one." in line.content.plain
    other = KeyState(KEY.replace("0badc0de", "00000000"), "eu-central-1")
    assert list(_tripwire_lines(other, status, 100)) == []
    assert list(_tripwire_lines(other, None, 100)) == []


@pytest.mark.parametrize("kind", [*ProblemKind, "a-rule-to-come"])
def test_a_problem_of_any_kind_is_listed_with_advice(kind: str) -> None:
    problem = Finding(kind, Severity.MEDIUM, "", "2 decoys gone", "Disabled", "What the service advises.")
    status: Any = SimpleNamespace(problems=(problem,))
    unread: Any = SimpleNamespace(posture=SimpleNamespace(value=None), trail=SimpleNamespace(value=None))
    (row,) = problem_rows(status, unread)
    assert row.advice == ADVICE.get(kind, problem.remedy)
    status.problems = (replace(problem, rule=ProblemKind.KEY_NOT_ENABLED, evidence="PendingImport"),)
    (row,) = problem_rows(status, unread)
    assert row.advice == "What the service advises."  # KMS enables a key in no such state
