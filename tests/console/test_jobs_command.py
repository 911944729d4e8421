"""keydeck jobs, and jobs begun by rewrap, reencrypt and encrypt: documents, exit codes, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.token_services import TokenServices
from crypto_core.guard.consent import Origin
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from crypto_core.values.errors import DatabaseUnreachableError
from tests.console.command_types import Keydeck, NewKey
from tests.console.shapes import assert_shape
from tests.screens.samples import CURRENT, HOSTILE
from tests.screens.stage_jobs import DONE, StageJobs, job_view


@pytest.fixture
def jobs(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> StageJobs:
    """Jobs in memory, container in place of the real ones."""
    stage = StageJobs(lambda *_: None)
    monkeypatch.setattr(TokenServices, "jobs", stage)
    return stage


def done(view: JobView) -> JobView:
    return StageJobs(lambda *_: None).joined(view)


def test_jobs_are_listed_the_newest_first(keydeck: Keydeck, jobs: StageJobs) -> None:
    document = keydeck("jobs", "list", "--json").json
    assert [job["job"] for job in document["jobs"]] == [31, 30]
    for job in (*document["jobs"], keydeck("jobs", "show", "31", "--errors", "--json").json):
        assert_shape("job", job)
    lines = keydeck("jobs", "list").stdout.splitlines()
    assert lines[1].startswith(" 31  running  re-encrypt: every token under alias/tokens-old  1,000,000")
    assert lines[2].split()[:2] == ["30", "done"]
    assert len(keydeck("jobs", "list", "--limit", "1", "--json").json["jobs"]) == 1


def test_where_there_is_no_job_it_is_said_how_one_begins(keydeck: Keydeck, jobs: StageJobs) -> None:
    jobs.views.clear()
    ran = keydeck("jobs", "list")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "keydeck reencrypt --from OLD" in ran.stderr


def test_a_job_is_shown_whole_and_exits_1_until_every_token_is_written(
    keydeck: Keydeck, jobs: StageJobs
) -> None:
    ran = keydeck("jobs", "show", "31", "--json")
    assert ran.exit_code == 1
    assert {
        "job": 31,
        "state": "running",
        "planned": 1_000_000,
        "done": 412_000,
        "conflicts_retried": 4,
        "poisoned": 3,
        "remaining": 587_997,
        "kms_calls": 824_012,
    }.items() <= ran.json.items()
    assert [runner["pid"] for runner in ran.json["runners"]] == [4711, 815]
    assert ran.json["census_before"]["keys"][0]["tokens"] == 1_000_000
    assert keydeck("jobs", "show", "30").exit_code == 0
    jobs.views[30] = replace(DONE, poisoned=1, errors={"malformed": 1})
    assert keydeck("jobs", "show", "30").exit_code == 1
    words = keydeck("jobs", "show", "31").stdout
    assert "written 412,000 of 1,000,000, remaining 587,997, not written 3, conflicts retried 4" in words
    assert "not written, incorrect-key: 2" in words
    assert "throttled of late 30" in words


def test_the_tokens_that_cant_be_written_are_named_with_their_reasons(
    keydeck: Keydeck, jobs: StageJobs
) -> None:
    listed = keydeck("jobs", "show", "31", "--errors", "--json").json["not_written"]
    assert len(listed) == 3
    assert listed[2] == {
        "kind": "malformed",
        "reference": "gh_connection.access_token:gh-8",
        "reason": "not base64",
    }
    ran = keydeck("jobs", "show", "31", "--errors", "--limit", "1")
    assert "not written, malformed: gh_connection.access_token:gh-8: not base64" in ran.stdout
    assert "slack_connection" not in ran.stdout
    assert "incorrect-key: 1 of 2." in ran.stderr


def test_an_unknown_job_is_wrong_usage(keydeck: Keydeck, jobs: StageJobs) -> None:
    for command in ("show", "watch", "join", "pause", "resume", "retry"):
        ran = keydeck("jobs", command, "7")
        assert ran.exit_code == 2
        assert "There is no job 7." in ran.stderr
    assert keydeck("jobs", "show", "x").exit_code == 2


@pytest.mark.parametrize(("command", "state"), [("pause", JobState.PAUSED), ("resume", JobState.RUNNING)])
def test_pause_and_resume_reach_the_job_that_is_named(
    keydeck: Keydeck, jobs: StageJobs, command: str, state: JobState
) -> None:
    ran = keydeck("jobs", command, "31", "--json")
    assert (ran.exit_code, ran.json["state"]) == (0, state.value)
    assert jobs.asked == [(command, 31)]


def test_a_resumed_job_that_nobody_works_on_says_how_to(keydeck: Keydeck, jobs: StageJobs) -> None:
    assert "No process works on it" not in keydeck("jobs", "resume", "31").stderr
    jobs.views[31] = job_view(state=JobState.PAUSED, runners=())
    assert "keydeck jobs join 31" in keydeck("jobs", "resume", "31").stderr


def test_cancel_needs_a_word_and_retry_tells_how_many(keydeck: Keydeck, jobs: StageJobs) -> None:
    refused = keydeck("jobs", "cancel", "31")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert jobs.asked == []
    assert keydeck("jobs", "retry", "31").stderr.startswith("To be retried: 3 tokens.")
    assert keydeck("jobs", "cancel", "31", "--yes", "--json").json["state"] == "cancelled"
    assert jobs.asked == [("retry", 31), ("cancel", 31)]


def test_join_works_until_the_job_ends_and_its_exit_code_is_the_jobs(
    keydeck: Keydeck, jobs: StageJobs
) -> None:
    ran = keydeck("jobs", "join", "31", "--json")
    assert (ran.exit_code, ran.json["remaining"], ran.json["state"]) == (0, 0, "done")
    for after, code in (
        (job_view(state=JobState.PAUSED), 1),
        (job_view(state=JobState.FAILED, why="The session has expired."), 3),
        (job_view(state=JobState.CANCELLED), 1),
        (replace(DONE, poisoned=2), 1),
    ):
        jobs.joined = lambda _view, after=after: after  # type: ignore[misc]
        assert keydeck("jobs", "join", "31").exit_code == code
    jobs.views[31] = job_view(state=JobState.FAILED, why="The session has expired.")
    assert "job 31: failed: The session has expired." in keydeck("jobs", "show", "31").stdout


def test_watch_ends_with_the_job_and_changes_nothing(keydeck: Keydeck, jobs: StageJobs) -> None:
    views = [job_view(), job_view(done=900_000), DONE]
    jobs.show_job = lambda job: views.pop(0) if len(views) > 1 else views[0]  # type: ignore[method-assign]
    ran = keydeck("jobs", "watch", "30", "--json")
    assert (ran.exit_code, ran.json["job"]) == (0, 30)
    assert "re-encrypt: 412,003 of 1,000,000, 4,060 tokens/s" in ran.stderr
    assert jobs.asked == []


def test_watch_waits_for_a_database_that_is_away(keydeck: Keydeck, jobs: StageJobs) -> None:
    answers: list[Any] = [job_view(), DatabaseUnreachableError("The connection was lost."), DONE]

    def show_job(job: int) -> JobView:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, DatabaseUnreachableError):
            raise answer
        return answer  # type: ignore[no-any-return]

    jobs.show_job = show_job  # type: ignore[method-assign]
    ran = keydeck("jobs", "watch", "30")
    assert (ran.exit_code, "The connection was lost. Waiting for the database." in ran.stderr) == (0, True)


def test_watch_says_once_who_is_silent_and_that_it_is_back(keydeck: Keydeck, jobs: StageJobs) -> None:
    here = job_view()
    cut_off = replace(here.runners[0], ended=True, silent=True)
    silent = replace(here, runners=(cut_off, *here.runners[1:]))
    views = [here, silent, silent, here, DONE]
    jobs.show_job = lambda job: views.pop(0) if len(views) > 1 else views[0]  # type: ignore[method-assign]
    said = keydeck("jobs", "watch", "30").stderr
    assert said.count("Process 4711 on ops-1 is silent since ") == 1
    assert "Others take its tokens over." in said
    assert said.count("Process 4711 on ops-1 is back.") == 1
    views[:] = [silent]
    assert "process 4711 on ops-1, silent since" in keydeck("jobs", "show", "31").stdout


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_of_a_job_reach_no_terminal(keydeck: Keydeck, jobs: StageJobs, text: str) -> None:
    view = job_view(why=text, remarks=(text,), errors={text: 1})
    job = replace(view.job, selection=text, created_by=text, host=text, source_key_arn=text)
    runners = tuple(replace(runner, host=text, actor=text) for runner in view.runners)
    jobs.views[31] = replace(view, job=job, runners=runners)
    jobs.tokens = [(text, replace(jobs.tokens[0][1], reason=text, reference=text))]
    for arguments in (("list",), ("show", "31", "--errors"), ("pause", "31"), ("watch", "31")):
        for json_ in ((), ("--json",)):
            ran = keydeck("jobs", *arguments, *json_)
            for said in (ran.stdout, ran.stderr):
                assert not [c for c in said if c != "\n" and not c.isprintable()]


# Begun by the commands that write


def test_many_tokens_become_a_job_and_the_document_is_the_documented_one(
    keydeck: Keydeck, jobs: StageJobs, new_key: NewKey
) -> None:
    ran = keydeck("reencrypt", "--all", "--to", new_key(), "--job", "--yes", "--json", "--rate", "4000")
    assert ran.exit_code == 0
    assert {
        "job",
        "planned",
        "done",
        "conflicts_retried",
        "poisoned",
        "remaining",
        "seconds",
        "tokens_per_second",
        "kms_calls",
    } <= set(ran.json)
    assert (ran.json["job"], ran.json["planned"], ran.json["poisoned"]) == (32, 1_000_000, 0)
    verb, selection, _, options = jobs.planned[0]
    assert (verb, selection.everything, options.calls_per_second) == (Verb.REENCRYPT, True, 4_000)
    assert [name for name, _ in jobs.asked] == ["start", "join"]
    assert jobs.consent is not None
    assert jobs.consent.origin is Origin.OPTION
    assert "Job 32 has started." in ran.stderr


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (("rewrap", "--from", CURRENT), Verb.REWRAP),
        (("reencrypt", "--filter", "provider:slack"), Verb.REENCRYPT),
        (("encrypt", "--plaintext"), Verb.ENCRYPT),
    ],
)
def test_options_of_jobs_make_one_of_whatever_is_selected(
    keydeck: Keydeck, jobs: StageJobs, arguments: tuple[str, ...], verb: Verb
) -> None:
    ran = keydeck(*arguments, "--to", CURRENT, "--verify", "kms", "--yes", "--json")
    assert ran.exit_code == 0
    assert (jobs.planned[0][0], jobs.planned[0][3].ask_kms) == (verb, True)
    assert ran.json["verb"] == verb.value


def test_how_far_replicas_may_be_behind_is_asked_for_and_what_a_job_waits_for_is_shown(
    keydeck: Keydeck, jobs: StageJobs
) -> None:
    for given, seconds in (("2.5", 2.5), ("off", 0.0)):
        keydeck("rewrap", "--from", CURRENT, "--to", CURRENT, "--max-lag", given, "--yes")
        assert jobs.planned[-1][3].max_lag == seconds
    assert keydeck("rewrap", "--from", CURRENT, "--max-lag", "-1").exit_code == 2
    jobs.views[31] = job_view(waiting="Replica eu-2 is 34 s behind")
    assert keydeck("jobs", "show", "31", "--json").json["waiting"] == "Replica eu-2 is 34 s behind"
    words = keydeck("jobs", "show", "31").stdout
    assert "waiting: Replica eu-2 is 34 s behind; it goes on by itself" in words


@pytest.mark.parametrize(("rate", "limit"), [("auto", 0.0), ("1200", 1_200.0)])
def test_a_rate_is_auto_or_a_limit(keydeck: Keydeck, jobs: StageJobs, rate: str, limit: float) -> None:
    assert keydeck("reencrypt", "--all", "--to", CURRENT, "--rate", rate, "--yes").exit_code == 0
    assert jobs.planned[0][3].calls_per_second == limit
    assert keydeck("reencrypt", "--all", "--to", CURRENT, "--rate", "0", "--yes").exit_code == 2


def test_few_tokens_are_written_without_a_job(keydeck: Keydeck, jobs: StageJobs, new_key: NewKey) -> None:
    jobs.plan_tokens = 200
    ran = keydeck("reencrypt", "--all", "--to", new_key(), "--dry-run", "--json")
    assert (ran.json["job"], ran.json["tokens"]) == (None, 200)
    assert "quota" not in ran.json
    assert jobs.asked == []


def test_more_than_200_selected_tokens_are_a_job_by_themselves(
    keydeck: Keydeck, jobs: StageJobs, new_key: NewKey
) -> None:
    jobs.plan_tokens = 201
    key = new_key()
    ran = keydeck("reencrypt", "--all", "--to", key, "--dry-run", "--json")
    assert (ran.exit_code, ran.json["quota"]) == (0, 100_000)
    assert keydeck("reencrypt", "--filter", "format:v1", "--to", key, "--dry-run").exit_code == 0
    assert [selection.filter for _, selection, _, _ in jobs.planned] == [None, "format:v1"]
    assert jobs.asked == []


def test_a_dry_run_says_what_the_job_takes_and_begins_none(keydeck: Keydeck, jobs: StageJobs) -> None:
    jobs.losses = ("role/platform loses Decrypt",)
    ran = keydeck("reencrypt", "--all", "--to", CURRENT, "--job", "--dry-run", "--processes", "3", "--json")
    assert ran.exit_code == 1
    assert {
        "dry_run": True,
        "rate": "auto",
        "calls_per_second": 100_000.0,
        "assumes": "if production leaves all of the quota of 100,000 KMS calls/s",
        "estimated_seconds": 20.0,
        "estimated_dollars": 6.0,
        "quota": 100_000,
        "quota_share": 1.0,
        "processes": 3,
        "losses": ["role/platform loses Decrypt"],
    }.items() <= ran.json.items()
    words = keydeck("reencrypt", "--all", "--to", CURRENT, "--job", "--dry-run", "--processes", "1").stdout
    assert "at least 20 s, if production leaves all of the quota of 100,000 KMS calls/s; rate auto" in words
    assert "about $6.00; 1 process" in words
    assert "✖ 1 principal would lose access to these tokens:\n• role/platform loses Decrypt\n" in words
    assert jobs.asked == []


def test_a_plan_forecasts_what_the_job_takes_and_what_if(keydeck: Keydeck, jobs: StageJobs) -> None:
    given = ("reencrypt", "--all", "--to", CURRENT, "--plan", "--suppose", "tokens=1e9", "--suppose")
    ran = keydeck(*given, "quota=200,000", "--json")
    assert (ran.exit_code, jobs.asked) == (0, [])
    assert_shape("forecast", ran.json["forecast"])
    results = {one["name"]: one["value"] for one in ran.json["forecast"]["results"]}
    assert (results["calls"], results["time"]) == (2e9, 10_000)
    words = keydeck(*given, "quota=200,000").stdout
    assert "\n  time: at least 2 h\n    Ask AWS for a higher quota" in words
    assert "\n  tokens 1,000,000,000: supposed\n" in words
    assert "µs a token: measured by a benchmark, tests.benchmarks.bulk_jobs\n" in words
    for wrong in ("colour=1", "tokens=many", "tokens=0"):
        assert keydeck(*given, wrong).exit_code == 2
    assert keydeck("reencrypt", "--all", "--suppose", "tokens=1").exit_code == 2


def test_yes_alone_does_not_pass_who_loses_access(keydeck: Keydeck, jobs: StageJobs) -> None:
    jobs.losses = ("role/platform loses Decrypt",)
    ran = keydeck("reencrypt", "--all", "--to", CURRENT, "--job", "--yes")
    assert ran.exit_code == 2
    assert "role/platform loses Decrypt" in ran.stderr
    assert "--except PRINCIPAL" in ran.stderr
    assert jobs.asked == []
    keydeck("reencrypt", "--all", "--to", CURRENT, "--except", "arn:aws:iam::1:role/x", "--dry-run")
    assert jobs.planned[-1][3].accepted == ("arn:aws:iam::1:role/x",)


def test_a_job_of_nothing_is_not_begun(keydeck: Keydeck, jobs: StageJobs) -> None:
    jobs.plan_tokens = 0
    ran = keydeck("reencrypt", "--all", "--to", CURRENT, "--job", "--yes", "--json")
    assert (ran.exit_code, ran.json["planned"], ran.json["job"]) == (0, 0, None)
    assert jobs.asked == []


def test_a_job_that_leaves_tokens_unwritten_exits_1(keydeck: Keydeck, jobs: StageJobs) -> None:
    jobs.joined = lambda view: replace(done(view), poisoned=2, errors={"malformed": 2})
    ran = keydeck("reencrypt", "--all", "--to", CURRENT, "--job", "--yes")
    assert ran.exit_code == 1
    assert "Not written: 2. Which, and why: keydeck jobs show 32 --errors" in ran.stderr


def test_read_only_nothing_of_a_job_is_changed(
    keydeck: Keydeck, jobs: StageJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.read_only = lambda: True
    for arguments in (("pause", "31"), ("resume", "31"), ("cancel", "31", "--yes"), ("retry", "31")):
        assert keydeck("--read-only", "jobs", *arguments).exit_code == 2
    assert keydeck("--read-only", "jobs", "show", "31").exit_code == 1
    assert jobs.asked == []
