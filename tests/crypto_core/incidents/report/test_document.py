"""What a report tells of an incident, and what it never tells."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from crypto_core.incidents.model import CheckState, StepState
from crypto_core.incidents.report import sections, service
from crypto_core.incidents.report.exhibits import read
from crypto_core.incidents.report.section import Report, Signed
from crypto_core.incidents.report.sections.actions import ActionsSection
from crypto_core.incidents.report.sections.census import CensusSection
from crypto_core.incidents.report.sections.harm import SuspectsSection, UsesSection
from crypto_core.incidents.report.sections.overview import ReportHead, SummarySection
from crypto_core.incidents.report.sections.people import PeopleSection
from crypto_core.incidents.report.sections.records import EvidenceSection
from crypto_core.incidents.report.sections.tokens import TokensSection
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.evidence_text import NOTHING
from crypto_core.values.errors import DatabaseError, EvidenceError
from tests.crypto_core.canary import CANARY, assert_tells_nothing
from tests.crypto_core.incidents.report.making import HmacSigner, report_of, service_of, sown, told
from tests.crypto_core.incidents.sample import ANA, BEN, NEW_KEY, OLD_KEY, Sample, at, journal_entry, sample

ENVELOPES = [b64encode(mark + b"canary, canary" * 9).decode() for mark in (b"v1|", b"v2|", b"dev|")]
HOSTILE = "[/red]\x1b]0;x\x07\u202e"


@pytest.fixture
def finished() -> Sample:
    return sample()


def test_suspects_are_told_as_the_last_findings_have_them(finished: Sample) -> None:
    assert report_of(finished).section(SuspectsSection).suspects is None
    bot = {
        "principal": "arn:aws:iam::123456789012:user/build-bot",
        "why": ["user/build-bot decrypted for the first time", "shares the address 198.51.100.7"],
        "calls": 207,
        "first": "2026-11-25T09:31:00+00:00",
        "last": None,
    }
    later = finished.with_evidence("findings", {"findings": [], "suspects": [bot, "nonsense", {"why": 3}]})
    section = report_of(later).section(SuspectsSection)
    assert section.suspects is not None
    assert [(one.principal, one.calls, one.last) for one in section.suspects] == [(bot["principal"], 207, "")]
    written = service_of(later).report(later.view, "markdown")
    assert "user/build-bot" in written
    assert "shares the address" in written


def test_the_report_takes_numbers_and_cleaned_words_of_the_evidence() -> None:
    piece = sample().view.evidence[0]
    content = {
        "used": 3,
        "may_have_been_used": "many",
        "old_tokens_used": 1,
        "thefts": [{"time": "t", "reference": HOSTILE, "what": HOSTILE, "why": 7}, 5],
    }
    text = json.dumps(content)
    piece = replace(
        piece, kind=CaptureKind.PROVIDER_EVENTS.value, sha256=hashlib.sha256(text.encode()).hexdigest()
    )
    exhibit = read(piece, lambda _: text)
    assert exhibit.token_uses is not None
    assert (exhibit.token_uses.used, exhibit.token_uses.may_have_been_used) == (3, None)
    (theft,) = exhibit.thefts
    assert theft.reference.startswith("[/red]")
    assert "\x1b" not in theft.what + theft.reference


def test_of_logs_that_could_not_be_captured_the_report_says_so_and_counts_no_use(finished: Sample) -> None:
    there = {"used": 3, "may_have_been_used": 0, "old_tokens_used": 0, "thefts": []}
    once = finished.with_evidence("provider-events", there)
    assert "None, as far as the logs reach." in service_of(once).report(once.view, "markdown")
    for one in (finished, finished.with_evidence("provider-events", json.dumps(NOTHING, indent=1))):
        assert report_of(one).section(UsesSection).token_uses is None
        written = service_of(one).report(one.view, "markdown")
        assert "No evidence has the providers' logs." in written
        assert "as far as the logs reach" not in written
    uses = (
        report_of(once.with_evidence("provider-events", json.dumps(NOTHING, indent=1)))
        .section(UsesSection)
        .token_uses
    )
    assert uses is not None
    assert uses.used == 3


def head_of(report: Report) -> ReportHead:
    return report.section(SummarySection).head


def test_a_closed_incident_is_final_and_an_open_one_a_draft(finished: Sample) -> None:
    final = report_of(finished)
    draft = report_of(sample(open_=True), now=at(15))
    assert (head_of(final).state, head_of(draft).state) == ("FINAL", "DRAFT")
    assert head_of(final).runbook_digest == finished.view.runbook.digest
    assert any(line.startswith("low: 7 steps not begun") for line in told(draft))
    assert any("Switch the platform to it: Begun, not ended." in line for line in told(draft))


def test_the_first_and_the_last_census_are_compared_by_key_and_by_format(finished: Sample) -> None:
    census = report_of(finished).section(CensusSection).census
    assert census is not None
    by_key = {row.name: (row.before, row.after) for row in census.by_key}
    assert by_key[OLD_KEY] == (9804, 0), "all materials of a key together"
    assert by_key[NEW_KEY] == (0, 10247)
    assert {row.name: (row.before, row.after) for row in census.by_format} == {
        "v1": (9811, 10254),
        "dev": (31, 0),
        "plaintext": (412, 0),
    }
    figures = {figure.name: figure.value for figure in report_of(finished).section(SummarySection).figures}
    assert figures["Under old key"] == "9,804 → 0"
    assert figures["Not protected"] == "443 → 0"


def test_the_census_of_a_restored_database_is_no_after(finished: Sample) -> None:
    restored = {"database": "restored", "by_format": {"v1": 5}, "keys": []}
    census = report_of(finished.with_evidence("census", restored)).section(CensusSection).census
    assert census is not None
    assert census.after_evidence == 17


PROOF = {"complete": True, "groups": 4, "asked": 5, "gaps": []}


@pytest.mark.parametrize(
    ("proof", "said", "figure"),
    [
        (PROOF, "Fresh proof: 4 groups, 5 questions to KMS, nothing left out.", "tokens, freshly proved"),
        (
            PROOF | {"swept": {"every_row": False}},
            "questions to KMS, nothing left out, other places by samples of their rows.",
            "tokens, freshly proved",
        ),
        (
            PROOF | {"complete": False, "gaps": ["KMS is silent."]},
            "Fresh proof: 4 groups, 5 questions to KMS, 1 gap.",
            "tokens, not freshly proved",
        ),
        (
            PROOF | {"gaps": ["KMS is silent."]},
            "Fresh proof: 4 groups, 5 questions to KMS, 1 gap.",
            "tokens, not freshly proved",
        ),
        (None, "It rests on remembered answers: no zero of it is proved.", "tokens, not freshly proved"),
        ({"groups": "many"}, "It rests on remembered answers", "tokens, not freshly proved"),
    ],
)
def test_a_zero_stands_with_the_proof_that_it_rests_on(
    finished: Sample, proof: object, said: str, figure: str
) -> None:
    report = report_of(finished.with_evidence("census", {"by_format": {"v1": 5}, "keys": [], "proof": proof}))
    census = report.section(CensusSection)
    assert said in census.show(Signed(report, "00", None)).lead
    (under,) = [f for f in report.section(SummarySection).figures if f.name == "Under old key"]
    assert (under.value, under.note) == ("9,804 → 0", figure)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"under": [NEW_KEY], "opened": 7, "tried": 9}, f"KMS opened 7 of 9 tokens under {NEW_KEY}."),
        ({"under": [NEW_KEY], "not_known": "KMS is silent."}, f"Not all tokens under {NEW_KEY} were opened"),
        ({"under": [NEW_KEY], "tokens": 0}, f"No token was under {NEW_KEY}."),
        ({"opened": 7, "tried": 9}, ""),
        ({"under": ["\x1b[2J"], "opened": True, "tried": -1}, "No token was under [2J."),
    ],
)
def test_what_was_opened_before_the_key_was_taken_away_stands_beside_the_census(
    finished: Sample, content: dict[str, object], said: str
) -> None:
    report = report_of(finished.with_evidence("verification", content))
    signed = Signed(report, "00", None)
    shown = report.section(CensusSection).show(signed)
    assert ("Before the key was taken away" in shown.lead) == bool(said)
    assert said in shown.lead
    for form in service.FORMS.values():
        assert "\x1b" not in form(signed)


def test_one_census_alone_has_no_after() -> None:
    census = report_of(sample(open_=True), now=at(15)).section(CensusSection).census
    assert census is not None
    assert census.after_at is None
    assert {row.after for row in (*census.by_key, *census.by_format)} == {None}


def test_open_points_name_what_was_skipped_not_proved_not_covered_and_left_by_hand(finished: Sample) -> None:
    by_hand, skipped, unseen, gap, unknown = told(report_of(finished))
    assert by_hand == (
        "high: jira_connection.access_token:j-5: To be revoked by hand: "
        "An organisation's administrator revokes it at admin.atlassian.com."
    )
    assert skipped == (
        "medium: Step 9, Encrypt what was plaintext: "
        "Skipped: 31 of dev format are test connections, ended by their owner"
    )
    assert unseen == (
        "medium: Step 10, See the old key quiet: Check: not known. "
        "CloudTrail could not be asked in eu-north-1. Reason given: The trail there is switched off"
    )
    assert gap == "medium: Evidence 17, Census at the end: Not whole: Region eu-north-1 did not answer."
    assert unknown == "medium: Tokens: 1 token: whether alive is not known."


def test_a_failed_check_is_worse_than_an_unseen_one_and_no_check_at_all_is_told(finished: Sample) -> None:
    first, second, *rest = finished.view.steps
    assert first.check is not None
    failed = replace(first, check=replace(first.check, state=CheckState.FAILED))
    view = replace(finished.view, steps=(failed, replace(second, check=None), *rest))
    lines = told(report_of(replace(finished, view=view)))
    assert "high: Step 1, Say what is affected: Check: failed. As it should be." in lines
    assert "medium: Step 2, Preserve evidence: Ended without its check." in lines


def test_what_the_steps_have_counted_of_tokens_goes_before_what_evidence_lists(finished: Sample) -> None:
    tokens = report_of(finished).section(TokensSection).tokens
    assert (tokens.dead, tokens.alive, tokens.not_known, tokens.by_hand) == (2, 0, 1, 1)
    values = {**finished.view.incident.values, "dead": "4", "alive": "1", "unknown_liveness": "0"}
    view = replace(finished.view, incident=replace(finished.view.incident, values=values))
    counted = report_of(replace(finished, view=view))
    tokens = counted.section(TokensSection).tokens
    assert (tokens.dead, tokens.alive, tokens.not_known) == (4, 1, 0)
    assert "high: Tokens: 1 token is still alive." in told(counted)


def test_silence_takes_no_answer_back_and_a_dead_token_is_not_left_by_hand(finished: Sample) -> None:
    later = {
        "tokens": [
            {"reference": "gh_connection.access_token:gh-42", "liveness": "not known"},
            {"reference": "jira_connection.access_token:j-5", "liveness": "dead"},
        ]
    }
    tokens = report_of(finished.with_evidence("liveness", later)).section(TokensSection).tokens
    assert (tokens.dead, tokens.not_known, tokens.by_hand) == (3, 1, 0)


def test_tokens_in_scope_stand_in_the_report_with_how_many_more_there_are(finished: Sample) -> None:
    row = {
        "reference": "gh_connection.access_token:gh-1",
        "provider": "github",
        "organisation": "org-a",
        "format": "plaintext",
        "plaintext_provider": "github",
        "characters": 40,
        "key_arn": None,
        "key_material_id": None,
        "evidence": "unknown",
        "created_at": None,
        "shown": {"email": "a@b.c"},
    }
    captured = finished.with_evidence("tokens", {"number": 1353, "rows": [row, {"reference": "x"}, 7]})
    tokens = report_of(captured).section(TokensSection).tokens_in_scope
    assert tokens.rows == (
        ("gh_connection.access_token:gh-1", "org-a", "github", "critical", "plaintext", "-", "-"),
    )
    assert tokens.caption == f"Tokens in scope, as evidence {tokens.evidence} has them, 1 of 1,353"
    assert report_of(finished).section(TokensSection).tokens_in_scope.rows == ()


def test_evidence_that_is_not_what_was_captured_is_told_and_not_used(finished: Sample) -> None:
    def changed(number: int) -> str:
        if number == 14:
            raise EvidenceError("Evidence 14 is not what was captured.")
        if number == 15:
            raise DatabaseError("No connection.")
        return finished.evidence(number) + (" " if number == 17 else "")

    report = report_of(finished, evidence=changed)
    assert {row.id for row in report.section(EvidenceSection).evidence if not row.agrees} == {14, 15, 17}
    assert report.section(CensusSection).census is not None
    assert report.section(CensusSection).census.after_at is None, "a census that was changed proves nothing"
    lines = told(report)
    assert (
        "critical: Evidence 17, Census at the end: Its content no longer has the hash that was captured."
        in lines
    )
    assert any(line.startswith("critical: Evidence 14") and "not what was captured" in line for line in lines)
    assert any(line.startswith("critical: Evidence 15") and "could not be read" in line for line in lines)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "no JSON",
        "[]",
        '"text"',
        '{"by_format": [], "keys": {}}',
        '{"keys": [1], "tokens": -1}',
    ],
)
def test_evidence_of_any_content_leaves_the_report_standing(finished: Sample, content: str) -> None:
    for kind in ("census", "job", "liveness"):
        report = report_of(finished.with_evidence(kind, content))
        assert report.section(EvidenceSection).evidence[-1].agrees
        assert report.section(CensusSection).census is not None
        assert report.section(CensusSection).census.after_evidence == 17


def test_actions_are_those_of_the_time_and_of_the_jobs_and_say_whether_they_name_the_incident(
    finished: Sample,
) -> None:
    report = report_of(finished)
    assert [(row.seq, row.related) for row in report.section(ActionsSection).actions] == [
        (101, True),
        (102, True),
        (103, False),
        (104, True),
        (105, True),
        (106, True),
    ]
    assert report.section(ActionsSection).actions[4].detail == "done: 9804 · remarks: 2 entries · run: r31"
    values = {**finished.view.incident.values, "job": "33"}  # 31 was cancelled, and another one started
    view = replace(finished.view, incident=replace(finished.view.incident, values=values))
    actions = report_of(replace(finished, view=view)).section(ActionsSection).actions
    assert {row.seq for row in actions if row.related} == {101, 102, 104, 105, 106}


def test_many_actions_are_cut_to_those_that_name_the_incident_and_the_rest_is_counted(
    finished: Sample,
) -> None:
    others = tuple(journal_entry(1000 + n, 50, "keys show", "alias/other", "done") for n in range(2000))
    twelfth = journal_entry(5000, 50, "incident note", "INC-71", "done")
    report = report_of(replace(finished, journal=(*finished.journal, *others, twelfth)))
    assert len(report.section(ActionsSection).actions) == 1000
    assert {101, 102, 104, 105, 106} <= {row.seq for row in report.section(ActionsSection).actions}
    assert [row.seq for row in report.section(ActionsSection).actions] == sorted(
        row.seq for row in report.section(ActionsSection).actions
    )
    assert report.section(ActionsSection).actions_left_out == 1007
    assert not any(row.related for row in report.section(ActionsSection).actions if row.seq >= 1000), (
        "INC-71 is not INC-7"
    )
    assert any("1,007 entries from this period" in line for line in told(report))


def test_everybody_who_took_part_is_named_with_what_they_did(finished: Sample) -> None:
    people = {one.who: one for one in report_of(finished).section(PeopleSection).people}
    assert (people[ANA].steps, people[ANA].evidence, people[ANA].entries) == (8, 5, 5)
    assert (people[BEN].steps, people[BEN].evidence, people[BEN].entries) == (3, 2, 3)
    assert people[ANA].first_at == at(0)


def test_jobs_are_told_by_evidence_and_those_that_are_not_are_named(finished: Sample) -> None:
    jobs = report_of(finished).section(TokensSection).jobs
    assert [(job.id, job.state, job.done) for job in jobs] == [(31, "done", 9804), (32, "", None)]


def test_no_form_of_a_report_shows_a_token_or_an_envelope_wherever_one_was_written() -> None:
    secrets = cycle([CANARY, f"see {CANARY}, please", f"{CANARY[:9]}\x00{CANARY[9:]}", *ENVELOPES])
    poisoned = sown(sample(), lambda: next(secrets))
    for text in service_of(poisoned, HmacSigner()).reports(poisoned.view).values():
        assert_tells_nothing(text.replace(" canary", ""))
        assert "hidden-token" in text
        assert "hidden-envelope" in text
        assert not any(envelope[:40] in text for envelope in ENVELOPES)


def test_reasons_beyond_the_tenth_are_counted(finished: Sample) -> None:
    cut = finished.with_evidence("findings", {"complete": False, "reasons": [str(n) for n in range(12)]})
    assert any(line.endswith("Not whole: and 2 more") for line in told(report_of(cut)))


def test_a_very_long_text_is_shortened() -> None:
    poisoned = sown(sample(), lambda: "long " * 2_000)
    assert all(len(text) < 1_000_000 for text in service_of(poisoned).reports(poisoned.view).values())
    assert set(service.FORMS) == {"markdown", "html", "json"}


def test_a_step_that_was_not_needed_is_neither_done_nor_open(finished: Sample) -> None:
    steps = tuple(
        replace(one, state=StepState.NOT_NEEDED, check=None) if one.step.id == "revoke" else one
        for one in finished.view.steps
    )
    report = report_of(replace(finished, view=replace(finished.view, steps=steps)))
    assert report.section(SummarySection).figures[0].value == "9 of 10"
    assert not any("Step 8" in line for line in told(report))


def test_a_section_is_known_by_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decoys.py").write_text("class DecoysSection:\n    PLACE = 15\n")
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    assert [kind.__name__ for kind in service._section_kinds()[:2]] == ["SummarySection", "DecoysSection"]
